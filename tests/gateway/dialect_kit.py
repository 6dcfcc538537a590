"""Conversations of any kind, for the tests of what dialects send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.wire.kit import sample
from warp_magics.gateway.types import Attachment, Call, Conversation, Form, Message, Model, Parameters, Tool, ToolResult

if TYPE_CHECKING:
    from warp_magics.gateway.dialects.base import Dialect, WireRequest

PNG = Attachment("image", "dot.png", "image/png", data="iVBORw0KGgo=")
WEATHER = Tool("get_weather", "The weather in a city.", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def asked(*messages: Message, model: str = "m", **fields: Any) -> Conversation:
    given = {name: fields.pop(name) for name in ("stream", "body") if name in fields}
    form = {name: fields.pop(name) for name in ("tools", "tool_choice", "schema") if name in fields}
    return Conversation(
        Model("lab", model), messages or (Message("user", "hi"),), Parameters(**fields), Form(**form), **given
    )


class Sender:
    """Encodes, and checks what was encoded against the schema that stands beside the wire's samples."""

    def __init__(self, name: str, dialect: Dialect) -> None:
        self.dialect = dialect
        self.check = Draft202012Validator(json.loads(sample(f"{name}/request.schema.json"))).validate

    def request(self, conversation: Conversation) -> WireRequest:
        request = self.dialect.encode(conversation, "key-123")
        self.check(json.loads(request.body))
        return request

    def body(self, conversation: Conversation) -> dict[str, Any]:
        return json.loads(self.request(conversation).body)


IDS = st.sampled_from(["call_0", "call_1", "toolu_9", "a b", "é", ""])
TEXTS = st.sampled_from(["", " ", "\n", "one", "two words ", "{}"])
CALLS = st.builds(Call, IDS, st.sampled_from(["get_weather", "t"]), st.sampled_from(["{}", '{"a": 1}', "[1]", "{", ""]))
RESULTS = st.builds(ToolResult, IDS, TEXTS, st.booleans(), st.sampled_from(["get_weather", "t", ""]))
MESSAGES = st.lists(
    st.builds(Message, st.just("system"), TEXTS)
    | st.builds(Message, st.just("assistant"), TEXTS, tool_calls=st.lists(CALLS, max_size=2).map(tuple))
    | st.builds(
        Message,
        st.just("user"),
        TEXTS,
        images=st.sampled_from([(), (PNG,)]),
        tool_results=st.lists(RESULTS, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=6,
)
"""Conversations in any order, with empty texts, odd ids and arguments, calls without results and the other way."""
