"""What the decoders of all dialects share: JSON in events, tokens counted, tool calls in pieces, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import ProviderFault, StreamBroken
from ..types import Call, ChatResponse, Ended, Event, Result, ToolCall, Usage
from .base import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..sse import ServerSentEvent

_MOST_TOKENS: Final = 2**53
_SHORT: Final = 20
MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What reading JSON of another shape than an answer's raises."""


@dataclass(slots=True)
class JsonDecoder(StreamDecoder):
    """Collects what only counts at the end. A dialect says in ``read`` what one event means.

    An event that is no JSON object, or not of the shape of an answer, is skipped, counted and warned of.
    """

    whole: bool = False
    """True for an answer that came in one piece."""
    done: bool = False
    result: Result | None = None
    broken: bool = False
    """True once the sender has said that the answer is cut, whatever else it says."""
    usage: Usage = field(default_factory=Usage)
    calls: dict[int, Call] = field(default_factory=dict)
    pieces: int = 0
    malformed: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """See StreamDecoder."""
        return not self.broken and (self.done or self.result is not None)

    def read(self, chunk: dict[str, Any], name: str) -> list[Event]:
        """Return what ``chunk`` says, the data of an event called ``name``; raises ProviderError where it reports one."""
        raise NotImplementedError

    def feed(self, event: ServerSentEvent) -> Sequence[Event]:
        """See StreamDecoder."""
        if len(event.data) < _SHORT and event.data.strip() == "[DONE]":
            self.done = True
            return ()
        chunk = json_object(event.data)
        if chunk is not None:
            try:
                return self.read(chunk, event.event)
            except MALFORMED:
                pass
        self.malformed += 1
        return ()

    def call(self, index: int, *, name: str = "", arguments: str = "", call_id: str = "") -> None:
        """Add a piece of the call number ``index``."""
        self.pieces += 1
        before = self.calls.get(index, Call("", "", ""))
        self.calls[index] = replace(
            before, id=call_id or before.id, name=before.name + name, arguments=before.arguments + arguments
        )

    def end(self) -> Sequence[Event]:
        """See StreamDecoder."""
        if not self.finished:
            raise StreamBroken("The provider's answer broke off before its end.")
        calls = self._whole_calls()
        result = self.result or Result.UNKNOWN
        if calls and result in (Result.COMPLETE, Result.UNKNOWN):
            result = Result.TOOL_CALLS
        if self.malformed:
            self.warnings.append(f"{self.malformed} malformed chunks of the answer were skipped")
        response = ChatResponse(
            "", result, "", usage=self.usage, warnings=tuple(dict.fromkeys(self.warnings)), tool_calls=calls
        )
        return [*(ToolCall(call) for call in calls), Ended(response)]

    def _whole_calls(self) -> tuple[Call, ...]:
        """Return the calls in order, each with an id and with arguments; one that was cut is told of instead."""
        calls = []
        for index, call in sorted(self.calls.items()):
            if self.result is Result.MAX_TOKENS and not _is_json(call.arguments):
                self.warnings.append(f"a call of the tool {call.name} was cut and left out")
                continue
            calls.append(replace(call, id=call.id or f"call_{index}", arguments=call.arguments or "{}"))
        return tuple(calls)


def read_whole(decoder: JsonDecoder, body: bytes) -> Sequence[Event]:
    """Return the events of an answer in one piece, which ``decoder`` reads; raises ProviderFault for one that is none."""
    chunk = json_object(body)
    if chunk is None:
        raise ProviderFault("The provider's answer is not JSON.")
    try:
        return [*decoder.read(chunk, ""), *decoder.end()]
    except MALFORMED as error:
        raise ProviderFault("The provider's answer has not the shape of one.") from error


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that ``text`` holds, None for anything else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def words(fields: dict[str, Any], name: str) -> str:
    """Return the text called ``name``, empty where there is none; raises TypeError for anything else."""
    value = fields.get(name) or ""
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def count(value: object) -> int:
    """Return a number of tokens; one that cannot be a count is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value <= _MOST_TOKENS else 0


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
