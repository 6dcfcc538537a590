"""Answers of the OpenAI chat completions format, in chunks and whole.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..types import Event, Reasoning, Result, Text, Usage
from .openai_errors import error_within
from .reading import JsonDecoder, count, words

if TYPE_CHECKING:
    from collections.abc import Sequence

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
