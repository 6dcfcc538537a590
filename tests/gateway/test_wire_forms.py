"""Attachments, tools and schemas in bodies: read as they were written, and refused by their names."""

from dataclasses import replace

import orjson
import pytest

from tests.gateway.dialect_kit import CLOSED, PNG, WEATHER
from warp_magics.gateway import wire
from warp_magics.gateway.errors import InvalidRequest, UnprocessableRequest
from warp_magics.gateway.types import Attachment, ChatRequest, Form, Tool, ToolResult


def read(**body):
    return wire.read_ask(orjson.dumps({"prompt": "hi", **body}), "ada")


def test_what_was_written_is_read():
    request = ChatRequest(
        "hi",
        owner="ada",
        session_id="s",
        attachments=(PNG, Attachment("text", "a.txt", "text/plain", text="x")),
        tool_results=(ToolResult("c1", "21 °C"), ToolResult("c2", "no", is_error=True)),
        form=Form((WEATHER, Tool("bare"), Tool("held", strict=True)), "get_weather", CLOSED),
    )
    assert wire.read_ask(wire.ask_bytes(request), "ada") == request


def test_a_tool_may_be_written_as_openais_clients_do():
    function = {"name": "get_weather", "description": WEATHER.description, "parameters": WEATHER.parameters}
    assert read(tools=[{"type": "function", "function": function}]).form.tools == (WEATHER,)
    assert read(tools=[function]).form.tools == (WEATHER,)
    assert read(tools=[{**function, "strict": True}]).form.tools == (replace(WEATHER, strict=True),)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"tools": [{"name": 3}]}, {"tools.0.name"}),
        ({"tools": [{"name": "a", "nonsense": True}]}, {"tools.0.nonsense"}),
        ({"tools": [{"type": "function", "function": {}}]}, {"tools.0.name"}),
        ({"attachments": [{"kind": "pdf"}]}, {"attachments.0.kind"}),
        ({"toolResults": [{"id": "c1"}]}, {"toolResults.0.content"}),
        ({"responseSchema": "object"}, {"responseSchema"}),
        ({"stream": "maybe"}, {"stream"}),
    ],
)
def test_a_fault_is_named_by_its_place(body, fields):
    with pytest.raises(UnprocessableRequest) as caught:
        read(**body)
    assert set(caught.value.details["fields"]) == fields


def test_a_prompt_may_be_missing_only_where_results_are_given():
    assert wire.read_ask(b'{"sessionId": "s", "toolResults": [{"id": "c1", "content": "x"}]}', "ada").prompt == ""
    with pytest.raises(InvalidRequest, match="prompt"):
        wire.read_ask(b'{"sessionId": "s", "toolResults": []}', "ada")
