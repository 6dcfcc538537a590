"""Cohere's answers, streamed and whole.

Source: https://docs.cohere.com/v2/docs/streaming and https://docs.cohere.com/reference/chat-stream (the kinds of
events; each says its own in ``type``), https://docs.cohere.com/docs/reasoning (thoughts are content of a kind of
their own), https://docs.cohere.com/docs/tool-use-streaming (the plan before the calls, and the calls in pieces).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ..errors import ProviderFault, StreamBroken
from ..types import Event, Reasoning, Result, Text, Usage
from .cohere_errors import error_within
from .reading import JsonDecoder, count, words

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESULTS: Final = {
    "COMPLETE": Result.COMPLETE,
    "STOP_SEQUENCE": Result.COMPLETE,
    "MAX_TOKENS": Result.MAX_TOKENS,
    "ERROR_LIMIT": Result.MAX_TOKENS,  # the context was full before the limit that was asked for
    "TOOL_CALL": Result.TOOL_CALLS,
    "ERROR_TOXIC": Result.FILTERED,
}
_BROKEN: Final = frozenset({"ERROR", "TIMEOUT", "USER_CANCEL"})
"""Finish reasons of an answer that is cut."""


@dataclass(slots=True)
class Decoder(JsonDecoder):
    """Reads events by their kinds, and passes over those that it does not know; a whole answer comes as one chunk."""

    plan: list[str] = field(default_factory=list)
    """What the model said it would do before its calls; it goes back with them."""

    def read(self, chunk: dict[str, Any], name: str) -> list[Event]:
        """See JsonDecoder."""
        if self.whole:
            return self._answer(chunk)
        kind = chunk.get("type") or name
        if kind == "error" or (not kind and ("message" in chunk or "error" in chunk)):
            raise error_within(chunk, ProviderFault)
        match kind:
            case "content-start" | "content-delta":
                return _said(_message(chunk).get("content"))
            case "tool-plan-delta":
                return self._planned(_message(chunk))
            case "tool-call-start" | "tool-call-delta":
                self._call(chunk["index"], _message(chunk)["tool_calls"])
            case "message-end":
                self._finish(chunk.get("delta") or {})
        return []

    def _answer(self, answer: dict[str, Any]) -> list[Event]:
        message = answer.get("message")
        if not isinstance(message, dict):
            if isinstance(message, str) or "error" in answer:
                raise error_within(answer, ProviderFault)
            raise TypeError("an answer without a message")
        events = [*_said(message.get("content")), *self._planned(message)]
        for index, call in enumerate(message.get("tool_calls") or []):
            self._call(index, call)
        self._finish(answer)
        return events

    def _planned(self, message: dict[str, Any]) -> list[Event]:
        text = words(message, "tool_plan")
        if not text:
            return []
        self.plan.append(text)
        return [Reasoning(text)]

    def _call(self, index: object, piece: dict[str, Any]) -> None:
        if not isinstance(index, int):
            raise TypeError("the index of a call is no number")
        function = piece.get("function") or {}
        name, arguments = words(function, "name"), words(function, "arguments")
        self.call(index, name=name, arguments=arguments, call_id=words(piece, "id"))

    def _finish(self, said: dict[str, Any]) -> None:
        reason = said.get("finish_reason")
        result = _RESULTS.get(reason, Result.UNKNOWN)  # type: ignore[arg-type]
        self.usage = _usage(said.get("usage") or {})
        if words(said, "error"):
            raise error_within(said, StreamBroken)
        if reason in _BROKEN:
            self.broken = True
        else:
            self.result = result

    def end(self) -> Sequence[Event]:
        """See StreamDecoder; the plan goes with the first of the calls."""
        if self.calls and self.plan:
            first = min(self.calls)
            self.calls[first] = replace(self.calls[first], extra={"tool_plan": "".join(self.plan)})
        return JsonDecoder.end(self)


def _message(chunk: dict[str, Any]) -> dict[str, Any]:
    return (chunk.get("delta") or {}).get("message") or {}


def _said(content: object) -> list[Event]:
    """Return what a piece of content says, or a list of them."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: list[Any] = content if isinstance(content, list) else [content or {}]
    events: list[Event] = []
    for part in parts:
        thought, text = words(part, "thinking"), words(part, "text")
        events += [Reasoning(thought)] if thought else []
        events += [Text(text)] if text else []
    return events


def _usage(usage: dict[str, Any]) -> Usage:
    """Return the model's own tokens; those that are billed are others, and stand in where only they are told.

    Cached tokens are part of the input and thoughts of the output, as Cohere's counts show:
    1504 of 1549 (https://github.com/vercel/ai, the fixtures of packages/cohere).
    """
    tokens = usage.get("tokens") or usage.get("billed_units") or {}
    return Usage(
        input_tokens=count(tokens.get("input_tokens")),
        output_tokens=count(tokens.get("output_tokens")),
        cached_tokens=count(usage.get("cached_tokens")),
        reasoning_tokens=count(tokens.get("reasoning_tokens")),
    )
