"""What is sent on Anthropic's wire."""

from itertools import pairwise

import pytest
from hypothesis import given

from tests.gateway.dialect_kit import CLOSED, MESSAGES, PNG, WEATHER, Sender, asked
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.types import Call, Message, ToolResult

SENDER = Sender("anthropic", dialect("anthropic"))
OPEN = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}


def text(words):
    return {"type": "text", "text": words}


def test_a_request():
    system, history = Message("system", "Be brief."), (Message("user", "grüß"), Message("assistant", "dich"))
    request = SENDER.request(asked(system, *history, Message("user", "?"), temperature=0.0, max_tokens=9, stop=("x",)))
    assert request.path == "/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("key-123", "2023-06-01")
    assert "key-123" not in repr(request)
    assert SENDER.body(asked(system, *history, Message("user", "?"), temperature=0.0, max_tokens=9, stop=("x",))) == {
        "model": "m",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [text("grüß")]},
            {"role": "assistant", "content": [text("dich")]},
            {"role": "user", "content": [text("?")]},
        ],
        "temperature": 0.0,
        "stop_sequences": ["x"],
        "stream": True,
    }
    assert "x-api-key" not in SENDER.dialect.encode(asked(), None).headers


def test_a_whole_answer_is_asked_for_without_a_stream():
    request = SENDER.request(asked(stream=False, body={"thinking": {"type": "enabled", "budget_tokens": 1024}}))
    assert b'"stream"' not in request.body
    assert b'"budget_tokens":1024' in request.body
    assert request.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-opus-20240229", 4096),
        ("claude-3-5-sonnet-20241022", 8192),
        ("claude-3-7-sonnet-20250219", 16384),
        ("claude-sonnet-4-5", 16384),
        ("claude-of-next-year", 16384),
    ],
)
def test_how_long_an_answer_may_be_where_nobody_says(model, most):
    assert SENDER.body(asked(model=model))["max_tokens"] == most


def test_what_the_wire_has_no_word_for_is_told():
    request = SENDER.request(asked(temperature=1.5, top_p=0.5, seed=0, stop=(" ", "x")))
    assert request.warnings == (
        "seed was left out: anthropic has no such setting",
        "temperature was sent as 1: anthropic takes 0 to 1",
        "top_p was left out: anthropic takes it or temperature, not both",
        "stop sequences of white space were left out: anthropic refuses them",
    )
    assert SENDER.body(asked(top_p=0.5))["top_p"] == 0.5


def test_images_tools_calls_and_results():
    kept = [{"type": "thinking", "thinking": "Hm.", "signature": "RXFv"}]
    calls = (Call("call 1", "get_weather", '{"city": "Wien"}', {"thinking": kept}), Call("c2", "get_time", "{"))
    results = (ToolResult("call 1", "21 °C"), ToolResult("c2", "no clock", is_error=True))
    body = SENDER.body(
        asked(
            Message("user", "Look.", images=(PNG,)),
            Message("assistant", "I will. ", tool_calls=calls),
            Message("user", "And now?", tool_results=results),
            tools=(WEATHER,),
            tool_choice="get_weather",
        )
    )
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    first, second, third = body["messages"]
    assert first["content"] == [text("Look."), image]
    assert second["content"] == [
        *kept,
        text("I will."),
        {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Wien"}},
        {"type": "tool_use", "id": "c2", "name": "get_time", "input": {}},
    ]
    assert third["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "21 °C"},
        {"type": "tool_result", "tool_use_id": "c2", "content": "no clock", "is_error": True},
        text("And now?"),
    ]
    assert body["tools"] == [
        {"name": "get_weather", "description": "The weather in a city.", "input_schema": WEATHER.parameters}
    ]
    assert body["tool_choice"] == {"type": "tool", "name": "get_weather"}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [(None, None), ("auto", {"type": "auto"}), ("none", {"type": "none"}), ("required", {"type": "any"})],
)
def test_each_choice_among_tools(choice, sent):
    assert SENDER.body(asked(tools=(WEATHER,), tool_choice=choice)).get("tool_choice") == sent


def test_a_schema_is_held_by_models_that_know_how():
    body = SENDER.body(asked(model="claude-sonnet-4-5", schema={"type": "object", "properties": CLOSED["properties"]}))
    closed = {"type": "object", "properties": CLOSED["properties"], "additionalProperties": False}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": closed}}
    assert "tools" not in body


@pytest.mark.parametrize(
    ("model", "schema"),
    [("claude-3-7-sonnet-20250219", CLOSED), ("claude-opus-4-1", CLOSED), ("claude-sonnet-4-5", OPEN)],
)
def test_a_schema_is_a_tools_input_for_others(model, schema):
    body = SENDER.body(asked(model=model, schema=schema))
    (tool,) = body["tools"]
    assert (tool["name"], tool["input_schema"]) == ("_warp_answer", schema)
    assert body["tool_choice"] == {"type": "tool", "name": "_warp_answer"}
    both = SENDER.body(asked(model=model, schema=schema, tools=(WEATHER,)))
    assert ([tool["name"] for tool in both["tools"]], both["tool_choice"]) == (
        ["get_weather", "_warp_answer"],
        {"type": "any"},
    )


@pytest.mark.parametrize(
    "fields",
    [{"schema": {"type": "array", "maxItems": 3}}, {"schema": OPEN, "body": {"thinking": {"type": "enabled"}}}],
)
def test_a_schema_that_nothing_holds_is_told_in_words(fields):
    request = SENDER.request(asked(model="claude-sonnet-4-5", **fields))
    assert b"JSON Schema" in request.body
    assert b"output_config" not in request.body
    assert request.warnings == (
        "the schema was told in words alone: anthropic cannot hold an answer to one of its kind",
    )


@given(MESSAGES)
def test_any_conversation_is_one_the_wire_takes(messages):
    sent = SENDER.body(asked(*messages))["messages"]
    roles = [message["role"] for message in sent]
    assert roles[0] == "user"
    assert all(a != b for a, b in pairwise(roles))
