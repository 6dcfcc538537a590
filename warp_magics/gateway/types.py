"""What flows through the gateway: requests, events, turns. Frozen, slotted, standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


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
class Model:
    """One model of one provider, written ``provider:name``; the name may hold colons itself."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"

    @classmethod
    def parse(cls, spec: str) -> Model:
        """Split ``spec`` at its first colon; raises ValueError where there is none or a side is empty."""
        provider, colon, name = spec.partition(":")
        if not (provider and colon and name):
            msg = f"{spec!r} is not of the form provider:model"
            raise ValueError(msg)
        return cls(provider, name)


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
class Call:
    """A tool call asked for by a model; ``arguments`` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the prompt as a dialect encodes it."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """Sampling parameters; None leaves a choice to the provider, 0 is a value."""

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a prompt came from."""

    kind: Literal["cell", "panel", "python", "rest"] = "rest"
    notebook: str | None = None
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A session's identity: to another owner it does not exist."""

    owner: str
    id: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A prompt on its way to a model.

    ``models`` is the chain to try, as the asker wrote it; empty means the configured one.
    ``store=False`` keeps no session at all. ``history`` (prompt, response) pairs stand in for a
    session's turns and exclude ``session_id``. ``timeout`` is in seconds and bounds the whole answer.
    ``on_disconnect`` says what a reader's leaving means: the answer is finished and kept, or cancelled.
    ``turn_id`` is the asker's own id for the turn: asked again with it, the answer is followed, not asked for anew.
    """

    prompt: str
    session_id: str | None = None
    create_session: bool = False
    store: bool = True
    owner: str = "local"
    context: str | None = None
    models: tuple[str, ...] = ()
    parameters: Parameters = Parameters()
    history: tuple[tuple[str, str], ...] = ()
    source: Source = Source()
    timeout: float | None = None
    on_disconnect: Literal["finish", "cancel"] | None = None
    turn_id: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one model is asked: the messages in order and the parameters."""

    model: Model
    messages: tuple[Message, ...]
    parameters: Parameters = Parameters()


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


@dataclass(frozen=True, slots=True)
class Turn:
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
    source: Source = Source()
    error: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Turns that a rewind put aside from behind the turn ``after`` (None: the beginning)."""

    number: int
    after: str | None
    turns: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Session:
    """A session's description; ``ttl`` is in seconds without use, ``usage`` and ``cost`` of all turns it ever had."""

    key: SessionKey
    turns: int
    created_at: float
    updated_at: float
    expires_at: float | None = None
    title: str = ""
    models: tuple[str, ...] = ()
    usage: Usage = Usage()
    cost: float | None = None
    ttl: float | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    live_stream_id: str | None = None
    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the sessions, last used first; ``cursor`` asks for the next ones, None where there are none."""

    sessions: tuple[Session, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What happened to a session; the ids are of the turn that began or ended."""

    kind: Literal["turn-started", "turn-ended", "rewound", "updated", "deleted"]
    session_id: str
    id: str = ""
    stream_id: str | None = None
    turn_id: str | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A limit of ``max`` requests in any ``seconds`` seconds."""

    max: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cooldown:
    """A model is passed over for ``seconds``; ``named`` where the provider itself gave the time."""

    seconds: float
    reason: str
    named: bool = False


@dataclass(frozen=True, slots=True)
class ModelState:
    """A configured model as ``models()`` tells it; durations in seconds."""

    model: str
    alias: str | None = None
    in_chain: bool = False
    state: Literal["ready", "cooling"] = "ready"
    reason: str | None = None
    restores_in: float | None = None
    window: Window | None = None
    left: int | None = None


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """What answers here and where it keeps things."""

    gateway_id: str
    version: str
    configured: bool  # False where only the demo provider would answer
    ok: bool
    reasons: tuple[str, ...] = ()
    storage: Mapping[str, object] = field(default_factory=dict)
    config_file: str | None = None
