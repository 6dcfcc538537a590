"""Cohere's chat format, version 2.

Source: https://docs.cohere.com/reference/chat (requests), https://docs.cohere.com/reference/errors (what it refuses:
a system text that is not the first, a turn that holds nothing, two calls of one id, a result whose call is not known),
https://docs.cohere.com/docs/tool-use-usage-patterns (calls and their results), https://docs.cohere.com/docs/image-inputs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from .base import Dialect, StreamDecoder, WireRequest, arguments_of, is_said, left_out, unsaid, with_schema
from .cohere_errors import error_of
from .cohere_stream import Decoder
from .reading import json_object, read_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..errors import ProviderError
    from ..types import Attachment, Call, Conversation, Event, Form, Message, Parameters, Tool, ToolResult

_MOST_STOPS: Final = 5
_NOTHING: Final = "(nothing)"
"""Stands where nothing was said and the wire wants a word."""
_NO_RESULT: Final = "The tool was not run."
_CHOICES: Final = {"none": "NONE", "required": "REQUIRED", "auto": None, None: None}


class Cohere(Dialect):
    """See the module's docstring; keys go into ``Authorization``."""

    def encode(self, conversation: Conversation, key: str | None) -> WireRequest:
        """See Dialect; a schema is always told in words too, without which the model may run on and on."""
        form = conversation.form
        warnings: list[str] = []
        system = with_schema(conversation.messages, form.schema) or ""
        tools, choice = _tools(form)
        body = {
            "model": conversation.model.name,
            "messages": [
                *([{"role": "system", "content": system}] if system.strip() else []),
                *_spoken(conversation.messages),
            ],
            **_sampling(conversation.parameters, warnings),
            "tools": tools or None,
            "tool_choice": choice,
            "response_format": _format(form, warnings),
            "stream": conversation.stream,
        }
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return WireRequest.of("/v2/chat", body, conversation, headers=headers, warnings=warnings)

    def decoder(self) -> StreamDecoder:
        """See Dialect."""
        return Decoder()

    def decode(self, body: bytes) -> Sequence[Event]:
        """See Dialect."""
        return read_whole(Decoder(whole=True), body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """See Dialect."""
        return error_of(status, json_object(body), headers, body)


def _sampling(given: Parameters, warnings: list[str]) -> dict[str, Any]:
    """Return the parameters by their names on this wire, each within what it takes."""
    if len(given.stop) > _MOST_STOPS:
        warnings.append(f"only the first {_MOST_STOPS} stop sequences were sent: cohere takes no more")
    warnings += left_out(unsaid(given, "presence_penalty", "frequency_penalty", "top_k"), "cohere")
    return {
        "temperature": _within("temperature", given.temperature, 0.0, 1.0, warnings),
        "p": _within("top_p", given.top_p, 0.01, 0.99, warnings),
        "k": given.extra.get("top_k"),
        "presence_penalty": given.extra.get("presence_penalty"),
        "frequency_penalty": given.extra.get("frequency_penalty"),
        "seed": given.seed,
        "max_tokens": given.max_tokens,
        "stop_sequences": list(given.stop[:_MOST_STOPS]) or None,
    }


def _within(name: str, value: float | None, least: float, most: float, warnings: list[str]) -> float | None:
    if value is None or least <= value <= most:
        return value
    nearest = min(max(value, least), most)
    warnings.append(f"{name} was sent as {nearest}: cohere takes {least} to {most}")
    return nearest


# -- tools and schemas -----------------------------------------------------------------------------


def _tools(form: Form) -> tuple[list[dict[str, Any]], str | None]:
    """Return the tools and the choice among them; one that is named is the only one sent: no choice can name it."""
    if form.tool_choice in _CHOICES:
        return [_tool(tool) for tool in form.tools], _CHOICES[form.tool_choice] if form.tools else None
    named = [_tool(tool) for tool in form.tools if tool.name == form.tool_choice]
    return named, "REQUIRED" if named else None


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **tool.parameters}
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": parameters}}


def _format(form: Form, warnings: list[str]) -> dict[str, Any] | None:
    """Return what holds the answer to the schema, None where the wire takes none: with tools, or of such keywords."""
    if form.schema is None:
        return None
    if form.tools:
        warnings.append("the schema was told in words alone: cohere takes none beside tools")
    elif form.schema.get("type") != "object" or not _holds_to(form.schema):
        warnings.append("the schema was told in words alone: cohere cannot hold an answer to one of its kind")
    else:
        return {"type": "json_object", "json_schema": form.schema}
    return None


_UNHELD: Final = frozenset(
    {"allOf", "oneOf", "not", "uniqueItems", "minItems", "maxItems", "minLength", "maxLength"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
)
_FORMATS: Final = ("date-time", "uuid", "date", "time")
_UNHELD_PATTERN: Final = re.compile(r"[\^$]|\?[=!]")


def _holds_to(schema: object) -> bool:
    """Return whether Cohere takes ``schema``: keywords that it knows, and of each object something required.

    Source: https://docs.cohere.com/docs/structured-outputs#schema-constraints
    """
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    if _UNHELD & set(schema) or _UNHELD_PATTERN.search(str(schema.get("pattern", ""))):
        return False
    if "format" in schema and schema["format"] not in _FORMATS:
        return False
    types = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    if ("object" in types or "properties" in schema) and not schema.get("required"):
        return False
    tables = [schema.get(name, {}) for name in ("properties", "$defs", "definitions")]
    either = schema.get("anyOf", [])
    if not all(isinstance(table, dict) for table in tables) or not isinstance(either, list):
        return False
    single = [schema[name] for name in ("items", "additionalProperties") if name in schema]
    return all(map(_holds_to, [*single, *either, *(below for table in tables for below in table.values())]))


# -- messages --------------------------------------------------------------------------------------


def _spoken(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages but the system's as the wire takes them; there is always one."""
    talk = _Talk()
    for message in messages:
        if message.role == "assistant":
            talk.answer(message)
        elif message.role == "user":
            talk.ask(message)
    talk.answer_open_calls()
    unasked = not talk.turns or (messages[-1].role == "user" and talk.turns[-1]["role"] == "assistant")
    if unasked:
        talk.turns.append({"role": "user", "content": [_text(_NOTHING)]})
    return [_plain(turn) for turn in talk.turns]


class _Talk:
    """Turns that the wire takes: none is empty, none of one role follow each other but results.

    Each call has an id of its own and its result behind it. Ids of other providers' calls may occur twice, and
    results may be left whose calls are gone: those are told in words.
    """

    def __init__(self) -> None:
        self.turns: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._open: list[tuple[str, str]] = []

    def answer(self, message: Message) -> None:
        """Add an assistant's message."""
        self.answer_open_calls()
        if not (message.text.strip() or message.tool_calls):
            return
        turn = self._turn("assistant")
        turn["content"] += [_text(message.text)] if message.text.strip() else []
        if message.tool_calls:
            turn["tool_calls"] = [self._call(call) for call in message.tool_calls]
            if plan := message.tool_calls[0].extra.get("tool_plan"):
                turn["tool_plan"] = plan

    def ask(self, message: Message) -> None:
        """Add a user's message, the results that it holds first."""
        lost = [result for result in message.tool_results if not self._result(result)]
        self.answer_open_calls()
        told = [f"The result of the tool {one.name or one.id}:\n{_content(one)}" for one in lost]
        parts = [
            _text(one) if isinstance(one, str) else _image(one) for one in (*told, *message.content) if is_said(one)
        ]
        if parts:
            self._turn("user")["content"] += parts

    def answer_open_calls(self) -> None:
        """Add a result for each call that has none."""
        for _, call_id in self._open:
            self._tell(call_id, _NO_RESULT)
        self._open = []

    def _turn(self, role: str) -> dict[str, Any]:
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": []})
        return self.turns[-1]

    def _call(self, call: Call) -> dict[str, Any]:
        call_id, n = call.id or "call", 1
        while call_id in self._ids:
            n += 1
            call_id = f"{call.id or 'call'}_{n}"
        self._ids.add(call_id)
        self._open.append((call.id, call_id))
        arguments = call.arguments if arguments_of(call) else "{}"
        return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}

    def _result(self, result: ToolResult) -> bool:
        """Add ``result`` if its call waits for one."""
        for asked in self._open:
            if asked[0] == result.id:
                self._open.remove(asked)
                self._tell(asked[1], _content(result))
                return True
        return False

    def _tell(self, call_id: str, content: str) -> None:
        self.turns.append({"role": "tool", "tool_call_id": call_id, "content": content})


def _plain(turn: dict[str, Any]) -> dict[str, Any]:
    """Return ``turn`` with its texts as one, unless it holds images; content that is empty is left out."""
    content = turn["content"]
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "\n\n".join(part["text"] for part in content)
    return {**turn, "content": content} if content else {name: turn[name] for name in turn if name != "content"}


def _content(result: ToolResult) -> str:
    """Return what a result says; the wire has no mark for errors."""
    said = result.content if result.content.strip() else _NOTHING
    return f"Error: {said}" if result.is_error else said


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(image: Attachment) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}
