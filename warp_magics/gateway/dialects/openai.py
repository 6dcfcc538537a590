"""The OpenAI chat completions format, as OpenAI, DeepSeek and every compatible server speak it.

Source: https://platform.openai.com/docs/api-reference/chat (requests, chunks, errors) and, for
``reasoning_content``, https://api-docs.deepseek.com/guides/reasoning_model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import (
    ContentFiltered,
    ContextTooLong,
    ProviderError,
    ProviderFault,
    QuotaExceeded,
    StreamBroken,
)
from ..types import Call, ChatResponse, Ended, Event, Reasoning, Result, Text, ToolCall, Usage
from .base import Dialect, StreamDecoder, WireRequest, error_class, retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..sse import ServerSentEvent
    from ..types import Conversation

_RESULTS: Final = {
    "stop": Result.COMPLETE,
    "length": Result.MAX_TOKENS,
    "tool_calls": Result.TOOL_CALLS,
    "function_call": Result.TOOL_CALLS,
    "content_filter": Result.FILTERED,
}
_BROKEN: Final = frozenset({"insufficient_system_resource", "abort", "error"})
"""Finish reasons of an answer that is cut, DeepSeek's and vLLM's."""
_BY_CODE: Final[dict[str, type[ProviderError]]] = {
    "context_length_exceeded": ContextTooLong,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "insufficient_quota": QuotaExceeded,
}
# OpenAI's reasoning models refuse ``max_tokens``; other servers do not all know its successor.
_NEW_LIMIT: Final = re.compile(r"(?:ft:)?(?:o\d|gpt-5)")


class OpenAI(Dialect):
    """See the module's docstring; keys go into ``Authorization``."""

    def encode(self, conversation: Conversation, key: str | None) -> WireRequest:
        """Return the request for a streamed answer with its usage."""
        given = conversation.parameters
        limit = "max_completion_tokens" if _NEW_LIMIT.match(conversation.model.name) else "max_tokens"
        wanted = {
            "temperature": given.temperature,
            "top_p": given.top_p,
            "seed": given.seed,
            "stop": list(given.stop) or None,
            limit: given.max_tokens,
        }
        body = {
            "model": conversation.model.name,
            "messages": [{"role": m.role, "content": m.text} for m in conversation.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **{name: value for name, value in wanted.items() if value is not None},
        }
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        return WireRequest("/chat/completions", orjson.dumps(body), headers)

    def decoder(self) -> StreamDecoder:
        """Return the decoder of one streamed answer."""
        return _Decoder()

    def decode(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole, as some servers send it whatever was asked."""
        decoder = _Decoder(whole=True)
        chunk = _json(body)
        if chunk is None:
            raise ProviderFault("The provider's answer is not JSON.")
        try:
            return [*decoder.chunk(chunk), *decoder.end()]
        except (AttributeError, TypeError) as error:
            raise ProviderFault("The provider's answer has not the shape of one.") from error

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Return the error by the body's code where it has one we know, else by the status."""
        return _error(status, _json(body), headers, body)


@dataclass(slots=True)
class _Decoder(StreamDecoder):
    """Collects what only counts at the end: finish reason, usage, tool calls in pieces."""

    whole: bool = False
    done: bool = False
    result: Result | None = None
    usage: Usage = field(default_factory=Usage)
    refused: bool = False
    broken: bool = False
    malformed: int = 0
    calls: dict[int, Call] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return not self.broken and (self.done or self.result is not None)

    def feed(self, event: ServerSentEvent) -> Sequence[Event]:
        if event.data.strip() == "[DONE]":
            self.done = True
            return ()
        chunk = _json(event.data)
        if chunk is None:
            self.malformed += 1
            return ()
        try:
            return self.chunk(chunk)
        except (AttributeError, TypeError):  # JSON, but not of the shape of an answer
            self.malformed += 1
            return ()

    def chunk(self, chunk: dict[str, Any]) -> list[Event]:
        error = chunk.get("error") or (chunk if chunk.get("object") == "error" else None)
        if error:
            raise _error(_status_in(error), {"error": error}, {}, b"")
        if isinstance(usage := chunk.get("usage"), dict):
            self.usage = _usage(usage)
        events: list[Event] = []
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                events += self._delta(choice.get("message" if self.whole else "delta") or {})
                if reason := choice.get("finish_reason"):
                    self.result = _RESULTS.get(reason, Result.UNKNOWN)
                    self.broken = reason in _BROKEN
        return events

    def _delta(self, delta: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if thought := _words(delta, "reasoning_content") or _words(delta, "reasoning"):
            events.append(Reasoning(thought))
        if text := _words(delta, "content"):
            events.append(Text(text))
        if refusal := _words(delta, "refusal"):
            self.refused = True
            events.append(Text(refusal))
        for position, piece in enumerate(delta.get("tool_calls") or ()):
            index = piece.get("index")
            self._call(index if isinstance(index, int) else position, piece)
        return events

    def _call(self, index: int, piece: dict[str, Any]) -> None:
        before = self.calls.get(index, Call("", "", ""))
        function = piece.get("function") or {}
        self.calls[index] = Call(
            id=_words(piece, "id") or before.id,
            name=before.name + (function.get("name") or ""),
            arguments=before.arguments + (function.get("arguments") or ""),
        )

    def end(self) -> Sequence[Event]:
        if not self.finished:
            raise StreamBroken("The provider's answer broke off before its end.")
        calls = tuple(call for _, call in sorted(self.calls.items()))
        warnings = (f"{self.malformed} malformed chunks of the answer were skipped",) if self.malformed else ()
        response = ChatResponse(
            text="",
            result=Result.FILTERED if self.refused else self.result or Result.UNKNOWN,
            model="",
            usage=self.usage,
            warnings=warnings,
            tool_calls=calls,
        )
        return [*(ToolCall(call) for call in calls), Ended(response)]


def _json(text: str | bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _words(fields: dict[str, Any], name: str) -> str:
    """Return the text called ``name``, empty where there is none; raises TypeError for anything else."""
    value = fields.get(name) or ""
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


_MOST_TOKENS: Final = 2**53


def _count(value: object) -> int:
    """Return a number of tokens; one that cannot be a count is none."""
    return int(value) if isinstance(value, int | float) and 0 <= value <= _MOST_TOKENS else 0


def _usage(usage: dict[str, Any]) -> Usage:
    prompt = usage.get("prompt_tokens_details") or {}
    output = usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        # DeepSeek names its cache hits beside the details.
        cached_tokens=_count(prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")),
        reasoning_tokens=_count(output.get("reasoning_tokens")),
    )


def _status_in(error: object) -> int:
    """Return the status an error inside a stream stands for: its code where that is one, else 500."""
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch(r"[45]\d\d", code) else 500


def _error(status: int, body: dict[str, Any] | None, headers: Mapping[str, str], raw: bytes) -> ProviderError:
    said = (body or {}).get("error")
    fields = said if isinstance(said, dict) else {"message": said or (body or {}).get("message")}
    message = str(fields.get("message") or raw.decode("utf-8", "replace") or f"status {status}")
    known = _BY_CODE.get(str(fields.get("code"))) or _BY_CODE.get(str(fields.get("type")))
    kind = known or error_class(status)
    details: dict[str, object] = {"provider": message}
    return kind(message, status=status, retry_after=retry_after(headers), details=details)
