"""What Anthropic answers: events, whole messages, errors.

Source: https://docs.anthropic.com/en/api/messages-streaming, https://docs.anthropic.com/en/api/errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..types import Event, Reasoning, Result, Text, Usage
from .anthropic_errors import error_of
from .reading import JsonDecoder, count, words

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWER: Final = "_warp_answer"
"""The tool whose input is an answer of a schema; nobody gives one of his own this name."""
_RESULTS: Final = {
    "end_turn": Result.COMPLETE,
    "stop_sequence": Result.COMPLETE,
    "max_tokens": Result.MAX_TOKENS,
    "model_context_window_exceeded": Result.MAX_TOKENS,
    "tool_use": Result.TOOL_CALLS,
    "refusal": Result.FILTERED,
}


@dataclass(slots=True)
class Decoder(JsonDecoder):
    """Reads the events of a message; a whole message is read as the blocks it holds."""

    counts: dict[str, Any] = field(default_factory=dict)
    thoughts: dict[int, dict[str, Any]] = field(default_factory=dict)
    answers: set[int] = field(default_factory=set)
    """The blocks that are calls of ANSWER: their input is what is said."""

    def read(self, chunk: dict[str, Any], name: str) -> list[Event]:
        """See JsonDecoder."""
        match words(chunk, "type") or name:
            case "error":
                raise error_of(None, chunk, {}, b"")
            case "message":
                return self._message(chunk)
            case "message_start":
                self._count(chunk["message"].get("usage"))
            case "content_block_start":
                return self._block(chunk["index"], chunk["content_block"])
            case "content_block_delta":
                return self._delta(chunk["index"], chunk["delta"])
            case "message_delta":
                self._stopped(chunk["delta"].get("stop_reason"))
                self._count(chunk.get("usage"))
            case "message_stop":
                self.done = True
        return []

    def _message(self, chunk: dict[str, Any]) -> list[Event]:
        events = [event for index, block in enumerate(chunk["content"]) for event in self._block(index, block)]
        self._stopped(chunk.get("stop_reason"))
        self._count(chunk.get("usage"))
        self.done = True
        return events

    def _block(self, index: int, block: dict[str, Any]) -> list[Event]:
        """Return what a block says where it begins: all of it in a whole message, nothing yet in a stream."""
        match block.get("type"):
            case "text":
                return _some(Text, words(block, "text"))
            case "thinking":
                signature = words(block, "signature")
                thought = words(block, "thinking")
                self.thoughts[index] = {"type": "thinking", "thinking": thought, "signature": signature}
                return _some(Reasoning, thought)
            case "redacted_thinking":
                self.thoughts[index] = dict(block)
            case "tool_use":
                return self._call(index, block)
        return []

    def _call(self, index: int, block: dict[str, Any]) -> list[Event]:
        written = orjson.dumps(block["input"]).decode() if block.get("input") else ""
        if words(block, "name") == ANSWER:
            self.answers.add(index)
            return _some(Text, written)
        self.call(index, name=words(block, "name"), call_id=words(block, "id"), arguments=written)
        return []

    def _delta(self, index: int, delta: dict[str, Any]) -> list[Event]:
        self.pieces += 1  # of a tool that the server runs itself, or a signature: nothing to show, but life
        match delta.get("type"):
            case "text_delta":
                return _some(Text, words(delta, "text"))
            case "thinking_delta":
                thought = words(delta, "thinking")
                self.thoughts[index]["thinking"] += thought
                return _some(Reasoning, thought)
            case "signature_delta":
                self.thoughts[index]["signature"] += words(delta, "signature")
            case "input_json_delta" if index in self.answers:
                return _some(Text, words(delta, "partial_json"))
            case "input_json_delta" if index in self.calls:  # else of a tool that the server runs itself
                self.call(index, arguments=words(delta, "partial_json"))
        return []

    def _stopped(self, reason: str | None) -> None:
        if reason is not None:
            self.result = _RESULTS.get(reason, Result.UNKNOWN)

    def _count(self, usage: dict[str, Any] | None) -> None:
        """Take the counts told last: those of ``message_delta`` are the whole answer's, but need not name all."""
        self.counts |= {name: value for name, value in (usage or {}).items() if value is not None}
        told = self.counts
        cached, written = count(told.get("cache_read_input_tokens")), count(told.get("cache_creation_input_tokens"))
        details = told.get("output_tokens_details") or {}
        self.usage = Usage(
            input_tokens=count(told.get("input_tokens")) + cached + written,
            output_tokens=count(told.get("output_tokens")),
            cached_tokens=cached,
            reasoning_tokens=count(details.get("thinking_tokens")),
        )

    def end(self) -> Sequence[Event]:
        """See StreamDecoder; the thoughts go back with the calls that they led to."""
        if self.calls and self.thoughts:
            first = min(self.calls)
            kept = [thought for _, thought in sorted(self.thoughts.items())]
            self.calls[first] = replace(self.calls[first], extra={"thinking": kept})
        if self.answers and not self.calls and self.result is Result.TOOL_CALLS:
            self.result = Result.COMPLETE
        return JsonDecoder.end(self)


def _some(kind: type[Text | Reasoning], text: str) -> list[Event]:
    return [kind(text)] if text else []
