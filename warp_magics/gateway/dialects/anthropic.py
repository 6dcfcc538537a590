"""Anthropic's messages format.

Source: https://docs.anthropic.com/en/api/messages (requests), https://docs.anthropic.com/en/api/messages-streaming
(events), https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs (``output_config``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from .anthropic_errors import error_of
from .anthropic_stream import ANSWER, Decoder
from .base import Dialect, StreamDecoder, WireRequest, arguments_of, is_said, left_out, unsaid, with_schema
from .reading import json_object, read_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..errors import ProviderError
    from ..types import Attachment, Call, Conversation, Event, Form, Message, Parameters, Tool, ToolResult

# ``max_tokens`` has to be given. The newer models write far more than these, but refuse a prompt that leaves no room
# for as much as was asked for: https://docs.anthropic.com/en/docs/about-claude/models
_MOST: Final = (
    (re.compile(r"claude-(?:2|instant|3-(?:haiku|opus|sonnet))"), 4096),
    (re.compile(r"claude-3-5"), 8192),
)
_USUAL: Final = 16_384
_WITHOUT_SCHEMAS: Final = re.compile(r"claude-(?:2|instant|3|(?:opus|sonnet)-4(?:-0|-1)?(?:-20\d{6})?$)")
_UNHELD: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {"maxItems", "uniqueItems", "oneOf", "not", "if", "patternProperties"}
)
_CALL_ID: Final = re.compile(r"[^A-Za-z0-9_-]")


class Anthropic(Dialect):
    """See the module's docstring; keys go into ``x-api-key``."""

    def encode(self, conversation: Conversation, key: str | None) -> WireRequest:
        """See Dialect."""
        form, model = conversation.form, conversation.model.name
        warnings: list[str] = []
        way = _way(conversation)
        if way == "words":
            warnings.append("the schema was told in words alone: anthropic cannot hold an answer to one of its kind")
        in_tool = way == "tool"
        body = {
            "model": model,
            "max_tokens": conversation.parameters.max_tokens or _most(model),
            "system": with_schema(conversation.messages, form.schema if way == "words" else None),
            "messages": _alternating(conversation.messages),
            **_sampling(conversation.parameters, warnings),
            "tools": [*map(_tool, form.tools), *([_answer_tool(form)] if in_tool else [])] or None,
            "tool_choice": _choice(form, in_tool=in_tool),
            "output_config": {"format": _format(form.schema)} if way == "format" else None,
            "stream": True if conversation.stream else None,
        }
        headers = {"anthropic-version": "2023-06-01", **({"x-api-key": key} if key else {})}
        return WireRequest.of("/v1/messages", body, conversation, headers=headers, warnings=warnings)

    def decoder(self) -> StreamDecoder:
        """See Dialect."""
        return Decoder()

    def decode(self, body: bytes) -> Sequence[Event]:
        """See Dialect."""
        return read_whole(Decoder(whole=True), body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """See Dialect."""
        return error_of(status, json_object(body), headers, body)


def _most(model: str) -> int:
    return next((most for pattern, most in _MOST if pattern.match(model)), _USUAL)


def _sampling(given: Parameters, warnings: list[str]) -> dict[str, Any]:
    """Return the parameters by their names on this wire; the newer models refuse two ways of sampling at once."""
    warnings += left_out({"seed": given.seed, **unsaid(given, "top_k")}, "anthropic")
    temperature, top_p = given.temperature, given.top_p
    if temperature is not None and temperature > 1:
        warnings.append("temperature was sent as 1: anthropic takes 0 to 1")
        temperature = 1.0
    if temperature is not None and top_p is not None:
        warnings.append("top_p was left out: anthropic takes it or temperature, not both")
        top_p = None
    stops = [stop for stop in given.stop if stop.strip()]
    if len(stops) < len(given.stop):
        warnings.append("stop sequences of white space were left out: anthropic refuses them")
    top_k = given.extra.get("top_k")
    return {"temperature": temperature, "top_p": top_p, "top_k": top_k, "stop_sequences": stops or None}


# -- tools and schemas -----------------------------------------------------------------------------


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": {"type": "object", "properties": {}, **tool.parameters}}


def _answer_tool(form: Form) -> dict[str, Any]:
    """Return the tool whose input is the answer, for models that know no schemas."""
    return {"name": ANSWER, "description": "Give the answer.", "input_schema": form.schema}


def _choice(form: Form, *, in_tool: bool) -> dict[str, Any] | None:
    if in_tool:
        return {"type": "any"} if form.tools else {"type": "tool", "name": ANSWER}
    if not form.tools or form.tool_choice is None:
        return None
    known = {"auto": "auto", "none": "none", "required": "any"}
    return (
        {"type": known[form.tool_choice]} if form.tool_choice in known else {"type": "tool", "name": form.tool_choice}
    )


def _way(conversation: Conversation) -> str:
    """Return how the answer is held to the schema: a ``format``, the input of a ``tool``, ``words``; or "" for none."""
    schema = conversation.form.schema
    if schema is None:
        return ""
    newer = _WITHOUT_SCHEMAS.match(conversation.model.name) is None
    thinks = "thinking" in conversation.body  # which goes with no tool that has to be called
    if newer and _held(schema):
        return "format"
    return "tool" if schema.get("type") == "object" and not thinks else "words"


def _held(schema: object) -> bool:
    """Return whether the wire takes ``schema``: no keyword that it refuses, no object that is open by its own word."""
    if isinstance(schema, list):
        return all(map(_held, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("additionalProperties", False) is not False or schema.get("minItems", 0) not in (0, 1):
        return False
    tables = ("properties", "$defs", "definitions")
    below = [one for name in tables for one in dict(schema.get(name) or {}).values()]
    below += [
        value for name, value in schema.items() if name not in tables and name not in ("enum", "const", "default")
    ]
    return not _UNHELD & schema.keys() and all(map(_held, below))


def _format(schema: Mapping[str, object] | None) -> dict[str, Any]:
    return {"type": "json_schema", "schema": _closed(schema)}


def _closed(schema: object) -> Any:
    """Return ``schema`` with each object that does not say otherwise closed, as the wire wants them."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


# -- messages --------------------------------------------------------------------------------------


def _alternating(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages but the system's: none empty, roles in turn, a user's first and last."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        content = _answer(message) if message.role == "assistant" else _ask(message) if message.role == "user" else []
        if not content:
            continue
        if turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += content
        else:
            turns.append({"role": message.role, "content": content})
    if not turns or turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [_text("(the conversation so far)")]})
    return turns


def _ask(message: Message) -> list[dict[str, Any]]:
    content = [_text(one) if isinstance(one, str) else _image(one) for one in message.content if is_said(one)]
    return [*map(_result, message.tool_results), *content]


def _answer(message: Message) -> list[dict[str, Any]]:
    calls = message.tool_calls
    thoughts: Any = calls[0].extra.get("thinking") if calls else None
    text = [_text(message.text.rstrip())] if message.text.strip() else []
    return [*(thoughts if isinstance(thoughts, list) else ()), *text, *map(_call, calls)]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(image: Attachment) -> dict[str, Any]:
    source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}


def _call(call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "id": _call_id(call.id), "name": call.name, "input": arguments_of(call)}


def _result(result: ToolResult) -> dict[str, Any]:
    said = {"type": "tool_result", "tool_use_id": _call_id(result.id), "content": result.content}
    return {**said, "is_error": True} if result.is_error else said


def _call_id(call_id: str) -> str:
    return _CALL_ID.sub("_", call_id) or "_"
