"""Gemini's own format, ``generateContent`` and ``streamGenerateContent``.

Source: https://ai.google.dev/api/generate-content (requests, answers), https://ai.google.dev/gemini-api/docs/function-calling
and https://ai.google.dev/gemini-api/docs/thought-signatures (calls go back with the signature they came with).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from ..errors import ProviderFault
from .base import Dialect, StreamDecoder, WireRequest, arguments_of, left_out, unsaid, with_schema
from .gemini_errors import error_of
from .gemini_stream import Decoder
from .reading import json_object, read_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..errors import ProviderError
    from ..types import Attachment, Call, Conversation, Event, Form, Message, Parameters, Tool, ToolResult

_MOST_STOPS: Final = 5
_SIGNED: Final = re.compile(r"(?:models/)?gemini-(?:[3-9]|\d\d)")
_UNSIGNED: Final = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made; Gemini 3 refuses a call without one."""


class Gemini(Dialect):
    """See the module's docstring; keys go into ``x-goog-api-key``, never into the URL."""

    def encode(self, conversation: Conversation, key: str | None) -> WireRequest:
        """See Dialect."""
        form, name = conversation.form, conversation.model.name
        warnings: list[str] = []
        # "Tool use with a response mime type: 'application/json' is unsupported":
        # https://github.com/snailyp/gemini-balance/issues/264
        both = form.schema is not None and bool(form.tools)
        if both:
            warnings.append("the schema was told in words alone: gemini takes none beside tools")
        system = with_schema(conversation.messages, form.schema if both else None)
        body = {
            "systemInstruction": {"parts": [{"text": system}]} if system else None,
            "contents": _contents(conversation.messages, signed=_SIGNED.match(name) is not None),
            "tools": [{"functionDeclarations": [_function(tool) for tool in form.tools]}] if form.tools else None,
            "toolConfig": _choice(form),
            "generationConfig": _config(conversation.parameters, None if both else form.schema, warnings) or None,
        }
        verb = "streamGenerateContent?alt=sse" if conversation.stream else "generateContent"
        headers = {"x-goog-api-key": key} if key else {}
        path = f"/{_place(name)}:{verb}"
        return WireRequest.of(path, body, conversation, headers=headers, warnings=warnings)

    def decoder(self) -> StreamDecoder:
        """See Dialect."""
        return Decoder()

    def decode(self, body: bytes) -> Sequence[Event]:
        """See Dialect; an array of chunks is what a stream is without ``alt=sse``."""
        if not body.lstrip().startswith(b"["):
            return read_whole(Decoder(), body)
        try:
            chunks = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ProviderFault("The provider's answer is not JSON.") from error
        decoder = Decoder()
        events = [event for chunk in chunks for event in decoder.take(chunk)]
        return [*events, *decoder.end()]

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """See Dialect."""
        return error_of(status, _only(body), headers, body)


def _only(body: bytes) -> dict[str, Any] | None:
    """Return the object of an error's body; a stream's errors come as an array of one."""
    text = body.strip()
    return json_object(text[1:-1] if text.startswith(b"[") and text.endswith(b"]") else text)


def _place(name: str) -> str:
    """Return a model's name as a path, in which it stays whatever it holds."""
    head, slash, tail = name.partition("/")
    if slash and head in ("models", "tunedModels"):
        return f"{head}/{quote(tail, safe='')}"
    return f"models/{quote(name, safe='')}"


def _config(given: Parameters, schema: Mapping[str, object] | None, warnings: list[str]) -> dict[str, Any]:
    if len(given.stop) > _MOST_STOPS:
        warnings.append(f"only the first {_MOST_STOPS} stop sequences were sent: gemini takes no more")
    warnings += left_out(unsaid(given, "presence_penalty", "frequency_penalty", "top_k"), "gemini")
    config = {
        "temperature": given.temperature,
        "topP": given.top_p,
        "topK": given.extra.get("top_k"),
        "presencePenalty": given.extra.get("presence_penalty"),
        "frequencyPenalty": given.extra.get("frequency_penalty"),
        "seed": given.seed,
        "maxOutputTokens": given.max_tokens,
        "stopSequences": list(given.stop[:_MOST_STOPS]) or None,
        "responseMimeType": None if schema is None else "application/json",
        "responseJsonSchema": schema,
    }
    return {name: value for name, value in config.items() if value is not None}


def _function(tool: Tool) -> dict[str, Any]:
    declared = {"name": tool.name, "description": tool.description or tool.name}
    return {**declared, "parametersJsonSchema": dict(tool.parameters)} if tool.parameters else declared


def _choice(form: Form) -> dict[str, Any] | None:
    if not form.tools or form.tool_choice is None:
        return None
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    mode = modes.get(form.tool_choice)
    config = {"mode": mode} if mode else {"mode": "ANY", "allowedFunctionNames": [form.tool_choice]}
    return {"functionCallingConfig": config}


# -- messages --------------------------------------------------------------------------------------


def _contents(messages: Sequence[Message], *, signed: bool) -> list[dict[str, Any]]:
    """Return the messages but the system's: none empty, roles in turn."""
    contents: list[dict[str, Any]] = []
    ids = {call.id for message in messages for call in message.tool_calls if call.extra.get("id")}
    for message in messages:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = _answer(message, signed=signed) if role == "model" else _ask(message, ids)
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents or [{"role": "user", "parts": [{"text": " "}]}]


def _ask(message: Message, ids: set[str]) -> list[dict[str, Any]]:
    content = [{"text": one} if isinstance(one, str) else _image(one) for one in message.content]
    results = [_result(result, known=result.id in ids) for result in message.tool_results]
    return [*results, *content]


def _answer(message: Message, *, signed: bool) -> list[dict[str, Any]]:
    text = [{"text": message.text}] if message.text else []
    return [*text, *(_call(call, unsigned=signed and at == 0) for at, call in enumerate(message.tool_calls))]


def _image(image: Attachment) -> dict[str, Any]:
    return {"inlineData": {"mimeType": image.media_type, "data": image.data}}


def _call(call: Call, *, unsigned: bool) -> dict[str, Any]:
    """Return a call with its signature; of several at once the first has one."""
    given = {"id": call.id} if call.extra.get("id") else {}
    part: dict[str, Any] = {"functionCall": {**given, "name": call.name, "args": arguments_of(call)}}
    signature = call.extra.get("thoughtSignature") or (_UNSIGNED if unsigned else None)
    return {**part, "thoughtSignature": signature} if signature else part


def _result(result: ToolResult, *, known: bool) -> dict[str, Any]:
    """Return a result; an id goes along where the call came with one of the provider's own."""
    given = {"id": result.id} if known else {}
    said = {"error" if result.is_error else "result": result.content}
    return {"functionResponse": {**given, "name": result.name or result.id or "tool", "response": said}}
