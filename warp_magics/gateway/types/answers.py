"""What is answered: events on their way back, and the turn that is kept. Frozen, slotted, standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

from .prompts import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .prompts import Attachment, Call, Message, ToolResult


class Result(StrEnum):
    """How an answer ended, in AI Warp's words."""

    COMPLETE = "COMPLETE"
    TOOL_CALLS = "TOOL_CALLS"
    MAX_TOKENS = "INCOMPLETE_MAX_TOKENS"
    STOPPED = "INCOMPLETE_STOPPED"
    FILTERED = "INCOMPLETE_FILTERED"
    UNKNOWN = "INCOMPLETE_UNKNOWN"


Status: TypeAlias = Literal["complete", "stopped", "failed", "interrupted"]
"""What became of a turn: answered; stopped by its asker; failed before a word; broken in mid-answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; cached ones are part of the input, reasoning ones of the output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one model: an entry of an answer's route."""

    model: str
    outcome: str
    """``ok``, or the code of the error it ended with."""
    seconds: float
    status: int | None = None
    reason: str | None = None
    restores_in: float | None = None
    """Seconds for which the model is passed over after this try."""


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """A whole answer. ``cost`` is in US dollars, None where the price is not known."""

    text: str
    result: Result
    model: str
    session_id: str | None = None
    turn_id: str | None = None
    stream_id: str | None = None
    session_status: Literal["restarted", "stateless"] | None = None
    usage: Usage = Usage()
    cost: float | None = None
    route: tuple[Attempt, ...] = ()
    warnings: tuple[str, ...] = ()
    tool_calls: tuple[Call, ...] = ()
    first_token: float | None = None  # seconds from the prompt to the first event
    value: object = None  # what the text says where a schema was asked for


@dataclass(frozen=True, slots=True)
class Begun:
    """A prompt that has its turn: where its answer is followed, and as what it is kept."""

    session_id: str
    turn_id: str
    stream_id: str


@dataclass(frozen=True, slots=True)
class Started:
    """A model has begun to answer."""

    model: str
    session_id: str | None = None
    stream_id: str | None = None
    turn_id: str | None = None
    warnings: tuple[str, ...] = ()
    session_status: Literal["restarted", "stateless"] | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the model thought; not part of the answer."""

    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call, whole."""

    call: Call
    id: str = ""


@dataclass(frozen=True, slots=True)
class Restarted:
    """Forget the text so far: another model begins anew."""

    reason: str
    from_model: str
    to_model: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is whole; terminal."""

    response: ChatResponse
    id: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer broke off; terminal. ``error`` says why, ``response`` holds the part."""

    error: Exception
    response: ChatResponse | None = None
    id: str = ""


Event: TypeAlias = Started | Text | Reasoning | ToolCall | Restarted | Ended | Failed


class _InWords:
    """Room for what a turn is in the words of a conversation, made once (``prompt``): no field, so neither compared nor kept."""

    __slots__ = ("in_words",)
    in_words: tuple[Message, Message, int]


@dataclass(frozen=True, slots=True)
class Turn(_InWords):
    """One prompt and its reply as a session keeps it. Times are Unix seconds on the store's clock."""

    id: str
    n: int
    prompt: str
    response: str
    status: Status
    result: Result
    model: str | None
    started_at: float
    ended_at: float
    route: tuple[Attempt, ...] = ()
    usage: Usage = Usage()
    cost: float | None = None
    first_token: float | None = None
    tool_calls: tuple[Call, ...] = ()
    source: Source = field(default_factory=Source)
    error: Mapping[str, object] | None = None
    attachments: tuple[Attachment, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
