"""The OpenAI chat completions format, as OpenAI and every compatible server speak it.

Source: https://platform.openai.com/docs/api-reference/chat (requests, chunks, errors).
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..types import Message
from .base import Dialect, StreamDecoder, WireRequest, dumped, left_out, unsaid, with_schema
from .openai_errors import error_of
from .openai_stream import Decoder
from .reading import json_object, read_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..errors import ProviderError
    from ..types import Attachment, Call, Conversation, Event, Form, Tool

_STRICT: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs"}
    | {"definitions", "title", "description", "pattern", "format", "multipleOf", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)
"""The keywords that OpenAI can hold an answer to; with any other it refuses a strict schema."""
ANY_OBJECT: Final = {"type": "object"}
"""The schema of any JSON object, which this wire has words for: ``json_object``, once a message speaks of JSON."""
# OpenAI's reasoning models refuse ``max_tokens``; other servers do not all know its successor.
_NEW_LIMIT: Final = re.compile(r"(?:ft:|openai/)?(?:o\d|gpt-[5-9])")


class OpenAI(Dialect):
    """See the module's docstring; keys go into ``Authorization``. What kin do otherwise they override."""

    schemas: bool = True
    """Whether the server takes a JSON Schema; one that does not is asked for any JSON and told the schema in words."""

    def encode(self, conversation: Conversation, key: str | None) -> WireRequest:
        """See Dialect; a stream is asked for with its usage."""
        form, extras = conversation.form, self.extras(conversation)
        warnings = left_out(unsaid(conversation.parameters, *extras), type(self).__name__.lower())
        if form.schema is not None and self.schemas and not _has_object_root(form.schema):
            warnings.append("the schema was told in words alone: its root is no object, as this wire wants it")
        body = {
            "model": conversation.model.name,
            "messages": self._written(conversation),
            **self.sampling(conversation),
            **extras,
            "tools": [_tool(tool) for tool in form.tools] or None,
            "tool_choice": _choice(form.tool_choice) if form.tools else None,
            "response_format": self._format(form),
            **(self.streaming() if conversation.stream else {}),
        }
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return WireRequest.of("/chat/completions", body, conversation, headers=headers, warnings=warnings)

    def streaming(self) -> dict[str, Any]:
        """Return what asks for a stream and for its usage."""
        return {"stream": True, "stream_options": {"include_usage": True}}

    def sampling(self, conversation: Conversation) -> dict[str, Any]:
        """Return the parameters by their names on this wire."""
        given = conversation.parameters
        limit = "max_completion_tokens" if _NEW_LIMIT.match(conversation.model.name) else "max_tokens"
        return {
            "temperature": given.temperature,
            "top_p": given.top_p,
            "seed": given.seed,
            "stop": list(given.stop) or None,
            limit: given.max_tokens,
        }

    def extras(self, conversation: Conversation) -> dict[str, Any]:
        """Return the parameters that this wire alone has words for."""
        return dict(conversation.parameters.extra)

    def _written(self, conversation: Conversation) -> list[Any]:
        """Return the messages as they go into the body.

        Where no kin has a say in it, a text alone is JSON already: it was made once, and comes again with each prompt.
        """
        if type(self).messages is not OpenAI.messages or type(self).message is not OpenAI.message:
            return list(self.messages(conversation))
        written: list[Any] = []
        for message in self.told(conversation):
            try:
                written.append(message.written)
            except AttributeError:  # it comes for the first time, or is not a text alone
                written += [_remembered(message)] if message.is_text else self.message(message)
        return written

    def messages(self, conversation: Conversation) -> Iterator[dict[str, Any]]:
        """Yield the messages on this wire."""
        return chain.from_iterable(map(self.message, self.told(conversation)))

    def told(self, conversation: Conversation) -> Sequence[Message]:
        """Return what is to be told; a schema that its server does not take is told in words, at the head."""
        messages, schema = conversation.messages, conversation.form.schema
        told = schema == ANY_OBJECT and any("json" in message.text.lower() for message in messages)
        if schema is not None and not told and not (self.schemas and _is_held(schema)):
            return systems_first(messages, schema)
        return messages

    def message(self, message: Message) -> Iterator[dict[str, Any]]:
        """Yield the messages that ``message`` is on this wire: each tool result is one of its own."""
        for result in message.tool_results:
            content = f"Error: {result.content}" if result.is_error else result.content
            yield {"role": "tool", "tool_call_id": self.call_id(result.id), "content": content}
        if message.role == "assistant":
            yield self._assistant(message)
        elif message.images or message.text or not message.tool_results:
            named = {"name": message.name} if message.name else {}
            parts = list(map(_part, message.content)) if message.parts or message.images else None
            yield {"role": message.role, **named, "content": message.text if parts is None else parts}

    def _assistant(self, message: Message) -> dict[str, Any]:
        said: dict[str, Any] = {"role": "assistant", "content": message.text or None}
        if not message.tool_calls:
            return said | {"content": message.text}
        said["tool_calls"] = [
            {
                **_kept(call, "call"),
                "id": self.call_id(call.id),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
        return {**_kept(message.tool_calls[0], "message"), **said}

    def call_id(self, call_id: str) -> str:
        """Return a call's id as this server takes it, whoever gave it."""
        return call_id

    def _format(self, form: Form) -> dict[str, Any] | None:
        if form.schema is None or not _has_object_root(form.schema):
            return None
        if not (self.schemas and _is_held(form.schema)):
            return {"type": "json_object"}
        strict = form.strict is not False and _is_strict(form.schema) and "anyOf" not in form.schema
        schema = {"name": form.schema_name, "schema": form.schema, "strict": strict}
        return {"type": "json_schema", "json_schema": schema}

    def decoder(self) -> StreamDecoder:
        """Return the decoder of one streamed answer."""
        return Decoder()

    def decode(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole, as some servers send it whatever was asked."""
        return read_whole(Decoder(whole=True), body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Return the error by the body's code where it has one we know, else by its words, else by the status."""
        return error_of(status, json_object(body), headers, body)


def _kept(call: Call, where: str) -> dict[str, Any]:
    """Return what a server wants back with a call or its message, which may have been in other hands meanwhile."""
    kept = call.extra.get(where)
    return kept if isinstance(kept, dict) else {}


def systems_first(messages: Sequence[Message], schema: Mapping[str, object] | None = None) -> tuple[Message, ...]:
    """Return ``messages`` with all system texts in one at the head, and the wish for JSON of ``schema`` after them."""
    system = with_schema(messages, schema)
    rest = tuple(message for message in messages if message.role != "system")
    return rest if system is None else (Message("system", system), *rest)


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **tool.parameters}  # refused without, even where there are none
    described: dict[str, Any] = {"description": tool.description} if tool.description else {}
    held = {} if tool.strict is None else {"strict": tool.strict}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": parameters, **held}}


def _choice(choice: str | None) -> object:
    if choice in (None, "auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _part(part: str | Attachment) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    detail = {"detail": part.detail} if part.detail else {}
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}", **detail}}


def _remembered(message: Message) -> dict[str, Any] | orjson.Fragment:
    """Return a message of a text alone as JSON, the same for all servers, and have it remember that."""
    said = {"role": message.role, "content": message.text}
    try:
        written = orjson.Fragment(dumped(said))
    except TypeError:
        return said  # no JSON: refused with its request
    object.__setattr__(message, "written", written)
    return written


def _has_object_root(schema: Mapping[str, object]) -> bool:
    """Return whether the schema's root is an object: "schema must be a JSON Schema of 'type: "object"'" otherwise."""
    return schema.get("type") == "object"


def _is_held(schema: Mapping[str, object]) -> bool:
    """Return whether an answer can be held to more of ``schema`` than that it is an object."""
    return _has_object_root(schema) and schema != ANY_OBJECT


def _is_strict(schema: object) -> bool:
    """Return whether OpenAI would hold to ``schema``: known keywords, closed objects, all their properties required.

    Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if not isinstance(schema, dict) or not set(schema) <= _STRICT or not {"type", "anyOf", "$ref"} & set(schema):
        return False
    types = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    if "object" in types:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list):
            return False
        if schema.get("additionalProperties") is not False or set(map(str, required)) != set(properties):
            return False
    tables = [schema.get(name, {}) for name in ("properties", "$defs", "definitions")]
    either = schema.get("anyOf", [])
    if not all(isinstance(table, dict) for table in tables) or not isinstance(either, list):
        return False
    items = [schema.get("items")] if "items" in schema or "array" in types else []
    return all(map(_is_strict, [*items, *either, *(below for table in tables for below in table.values())]))
