"""What Gemini answers: chunks, whole answers (one chunk), errors.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse,
https://ai.google.dev/gemini-api/docs/troubleshooting, and google.rpc.Status of https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import (
    ContentFiltered,
)
from ..types import Event, Reasoning, Result, Text, Usage
from .gemini_errors import error_of
from .reading import MALFORMED, JsonDecoder, count, words

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESULTS: Final = {
    "STOP": Result.COMPLETE,
    "MAX_TOKENS": Result.MAX_TOKENS,
    **dict.fromkeys(
        [
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
        ],
        Result.FILTERED,
    ),
}
_BROKEN: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"}
)
"""The model began a call and did not end it: the answer is cut, and asked again it may come whole."""


@dataclass(slots=True)
class Decoder(JsonDecoder):
    """Reads chunks: there is no end marker, the answer is whole once a candidate names its finish."""

    said: bool = False
    blocked: str = ""
    left_out: bool = False

    def read(self, chunk: dict[str, Any], name: str) -> list[Event]:  # noqa: ARG002 - events have no names here
        """See JsonDecoder."""
        if chunk.get("error"):
            raise error_of(None, chunk, {}, b"")
        if isinstance(usage := chunk.get("usageMetadata"), dict):
            self.usage = _usage(usage)
        feedback = chunk.get("promptFeedback") or {}
        if reason := feedback.get("blockReason"):
            self.blocked = words(feedback, "blockReasonMessage") or str(reason)
            self.result = Result.FILTERED
        events: list[Event] = []
        for candidate in chunk.get("candidates") or ():
            if candidate.get("index", 0) == 0:
                events += self._candidate(candidate)
        return events

    def take(self, chunk: object) -> Sequence[Event]:
        """Return what one chunk of an array says, as ``feed`` does of an event."""
        if isinstance(chunk, dict):
            try:
                return self.read(chunk, "")
            except MALFORMED:
                pass
        self.malformed += 1
        return ()

    def _candidate(self, candidate: dict[str, Any]) -> list[Event]:
        parts = (candidate.get("content") or {}).get("parts") or ()
        events = [event for part in parts for event in self._part(part)]
        self.said = self.said or any(isinstance(event, Text) for event in events)
        if reason := candidate.get("finishReason"):
            self.result = Result.FILTERED if self.blocked else _RESULTS.get(reason, Result.UNKNOWN)
            self.broken = self.broken or reason in _BROKEN
            if self.result is Result.FILTERED and not self.blocked:
                self.blocked = words(candidate, "finishMessage") or str(reason)
        return events

    def _part(self, part: dict[str, Any]) -> list[Event]:
        if call := part.get("functionCall"):
            self._call(call, part.get("thoughtSignature"))
        elif code := part.get("executableCode"):
            return [Text(_fenced(words(code, "code"), words(code, "language").lower()))]
        elif result := part.get("codeExecutionResult"):
            return [Text(_fenced(words(result, "output"), ""))]
        elif "inlineData" in part or "fileData" in part:
            self.warnings.append("a file in the answer was left out: only text is kept")
        elif text := words(part, "text"):
            return [Reasoning(text) if part.get("thought") else Text(text)]
        return []

    def _call(self, call: dict[str, Any], signature: object) -> None:
        at = len(self.calls)
        written = orjson.dumps(call.get("args") or {}).decode()
        self.call(at, name=words(call, "name"), call_id=words(call, "id"), arguments=written)
        extra = {"thoughtSignature": signature, "id": call.get("id")}
        self.calls[at] = replace(self.calls[at], extra={name: value for name, value in extra.items() if value})

    def end(self) -> Sequence[Event]:
        """See StreamDecoder; a refusal before the first word is no answer: raises ContentFiltered with its reason."""
        if self.result is Result.FILTERED and not self.said and not self.calls:
            raise ContentFiltered(
                f"The provider refused the content: {self.blocked}.", details={"provider": self.blocked}
            )
        return JsonDecoder.end(self)


def _fenced(text: str, language: str) -> str:
    return f"\n```{language}\n{text.strip()}\n```\n"


def _usage(usage: dict[str, Any]) -> Usage:
    thought = count(usage.get("thoughtsTokenCount"))
    return Usage(
        input_tokens=count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount")),
        output_tokens=count(usage.get("candidatesTokenCount")) + thought,
        cached_tokens=count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thought,
    )
