"""The OpenAI chat completions format, as OpenAI and every compatible server speak it.

Source: https://platform.openai.com/docs/api-reference/chat (requests, chunks, errors).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..types import Event, Message, Reasoning, Result, Text, Usage
from .base import Dialect, StreamDecoder, WireRequest, dumped, left_out, unsaid, with_schema
from .openai_errors import error_of, error_within
from .reading import JsonDecoder, count, json_object, read_whole, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..errors import ProviderError
    from ..types import Attachment, Call, Conversation, Form, Tool

_RESULTS: Final = {
    "stop": Result.COMPLETE,
    "eos": Result.COMPLETE,  # Together: the model said itself that it has ended
    "length": Result.MAX_TOKENS,
    "model_length": Result.MAX_TOKENS,
    "tool_calls": Result.TOOL_CALLS,
    "function_call": Result.TOOL_CALLS,
    "content_filter": Result.FILTERED,
}
_BROKEN: Final = frozenset({"insufficient_system_resource", "abort", "error"})
"""Finish reasons of an answer that is cut: DeepSeek's, vLLM's, and Mistral's and OpenRouter's."""
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
            "messages": list(self.messages(conversation)),
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

    def messages(self, conversation: Conversation) -> Iterator[dict[str, Any] | orjson.Fragment]:
        """Yield the messages on this wire; one of a text alone as JSON, for it comes again with each prompt after it."""
        for message in self.told(conversation):
            try:
                yield message.written
            except AttributeError:
                yield from [_written(message)] if message.is_text else self.message(message)

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


def _written(message: Message) -> dict[str, Any] | orjson.Fragment:
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


@dataclass(slots=True)
class Decoder(JsonDecoder):
    """Reads chunks, and whole answers as one chunk."""

    keeps_thoughts: bool = False
    """True where the server wants the thoughts that led to a call back with it."""
    refused: bool = False
    thoughts: list[str] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    """Where a call's pieces go by its sender's index, for senders that give one index to several calls."""

    def read(self, chunk: dict[str, Any], name: str) -> list[Event]:
        """See JsonDecoder."""
        groq = chunk.get("x_groq") or {}
        told = name == "error" or chunk.get("object") == "error"  # LM Studio's events have names, vLLM's chunks kinds
        if error := chunk.get("error") or groq.get("error") or (chunk if told else None):
            raise error_within(error)
        # Groq's first servers told the usage of a stream only beside the chunk's own fields.
        usage = chunk.get("usage") or groq.get("usage")
        if isinstance(usage, dict):
            self.usage = _usage(usage)
        events: list[Event] = []
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                events += self._delta(choice.get("message" if self.whole else "delta") or {})
                if reason := choice.get("finish_reason"):
                    self.result = Result.FILTERED if self.refused else _RESULTS.get(reason, Result.UNKNOWN)
                    self.broken = self.broken or reason in _BROKEN
        return events

    def _delta(self, delta: dict[str, Any]) -> list[Event]:
        if len(delta) == 1 and (said := delta.get("content")) and isinstance(said, str):  # as almost always
            return [Text(said)]
        events: list[Event] = []
        if thought := words(delta, "reasoning_content") or words(delta, "reasoning"):
            self.thoughts.append(thought)
            events.append(Reasoning(thought))
        if isinstance(details := delta.get("reasoning_details"), list):
            for detail in details:
                if isinstance(detail, dict):
                    _add_detail(self.details, detail)
        content = delta.get("content")
        if isinstance(content, list):
            events += [event for part in content for event in self._part(part)]
        elif text := words(delta, "content"):
            events.append(Text(text))
        if refusal_ := words(delta, "refusal"):
            self.refused = True
            events.append(Text(refusal_))
        for position, piece in enumerate(delta.get("tool_calls") or ()):
            index = piece.get("index")
            self._call(index if isinstance(index, int) else position, piece)
        return events

    def _part(self, part: dict[str, Any]) -> list[Event]:
        """Return what a part of a content in parts says: Mistral's reasoning models send their thoughts so."""
        if part.get("type") == "thinking":
            thoughts = part.get("thinking") or ()
            texts = [thoughts] if isinstance(thoughts, str) else [words(one, "text") for one in thoughts]
            return [Reasoning(text) for text in texts if text]
        text = words(part, "text")
        return [Text(text)] if text else []

    def _call(self, index: int, piece: dict[str, Any]) -> None:
        function = piece.get("function") or {}
        name, call_id, arguments = words(function, "name"), words(piece, "id"), function.get("arguments")
        at = self.places.get(index, index)
        if (known := self.calls.get(at)) and known.name and name:
            if call_id and known.id and call_id != known.id:
                at = max(self.calls) + 1  # Gemini behind this wire, and Ollama: whole calls, all of index 0
            elif name == known.name:
                name = ""  # said again with each piece
        text = orjson.dumps(arguments).decode() if isinstance(arguments, dict) else words(function, "arguments")
        self.call(at, name=name, arguments=text, call_id=call_id)
        self.places[index] = at
        # Gemini behind this wire signs its calls here, and wants the signature back.
        if isinstance(more := piece.get("extra_content"), dict):
            self.calls[at] = replace(self.calls[at], extra={"call": {"extra_content": more}})

    def end(self) -> Sequence[Event]:
        """See StreamDecoder; what the server wants back with its calls goes with the first of them."""
        kept: dict[str, Any] = {"reasoning_details": self.details} if self.details else {}
        if self.keeps_thoughts and self.thoughts:
            kept["reasoning_content"] = "".join(self.thoughts)
        if self.calls and kept:
            first = min(self.calls)
            self.calls[first] = replace(self.calls[first], extra={**self.calls[first].extra, "message": kept})
        return JsonDecoder.end(self)


def _add_detail(details: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece of what OpenRouter wants back unchanged; its texts come in pieces of one kind and index.

    Source: https://openrouter.ai/docs/use-cases/reasoning-tokens
    """
    last = details[-1] if details else {}
    if not details or any(last.get(name) != piece.get(name) for name in ("type", "index")):
        details.append(dict(piece))
        return
    for name, value in piece.items():
        grows = name in ("text", "summary", "data") and isinstance(last.get(name), str) and isinstance(value, str)
        if value is not None:
            last[name] = last[name] + value if grows else value


def _usage(usage: dict[str, Any]) -> Usage:
    prompt = usage.get("prompt_tokens_details") or {}
    output = usage.get("completion_tokens_details") or {}
    asked, said = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    thought = count(output.get("reasoning_tokens"))
    # xAI counts them beside the others, as its total shows: https://docs.x.ai/docs/guides/reasoning
    beside = thought if count(usage.get("total_tokens")) == asked + said + thought else 0
    return Usage(
        input_tokens=asked,
        output_tokens=said + beside,
        # DeepSeek names its cache hits beside the details.
        cached_tokens=count(prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")),
        reasoning_tokens=thought,
    )
