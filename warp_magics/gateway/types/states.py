"""What is told of sessions, models and the gateway. Frozen, slotted, standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .answers import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .answers import Status
    from .prompts import Message, SessionKey


@dataclass(frozen=True, slots=True)
class Branch:
    """Turns that a rewind put aside from behind the turn ``after`` (None: the beginning)."""

    number: int
    after: str | None
    turns: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Session:
    """A session's description; ``ttl`` is in seconds without use, ``usage`` and ``cost`` of all turns it ever had.

    ``unpriced`` counts those whose price is not known: ``cost`` is without them. What is ``live`` is of the turn that
    is being answered, from the moment that it has the session; of one that is gone on with the prompt is empty.
    """

    key: SessionKey
    turns: int
    created_at: float
    updated_at: float
    expires_at: float | None = None
    title: str = ""
    models: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    ttl: float | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    live_stream_id: str | None = None
    live_turn_id: str | None = None
    live_prompt: str | None = None
    branches: tuple[Branch, ...] = ()
    unpriced: int = 0


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
    """A limit of ``max`` requests, or tokens, in any ``seconds`` seconds."""

    max: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cooldown:
    """A failed model is passed over for ``seconds``; ``named`` where the provider itself gave the time.

    At 0 its time has come: the next to ask probes it, and ``probing`` says that somebody does.
    """

    seconds: float
    reason: str
    named: bool = False
    probing: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon a model's first event came lately: a decaying mean, in seconds, and how many seconds old it is."""

    first_token: float
    age: float


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used under one ``key`` (a model, a session, a day as YYYY-MM-DD), in US dollars where prices are known.

    ``unpriced`` counts the answers whose price is not known: ``cost`` is without them.
    """

    key: str
    answers: int
    usage: Usage
    cost: float | None
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class ModelState:
    """A configured model as ``models()`` tells it; durations in seconds."""

    model: str
    alias: str | None = None
    in_chain: bool = False
    state: Literal["ready", "cooling", "probing"] = "ready"
    reason: str | None = None
    restores_in: float | None = None
    window: Window | None = None
    left: int | None = None
    token_window: Window | None = None
    tokens_left: int | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent, and to whom first; ``usage`` is about what it would use, ``cost`` US dollars for that.

    The answer is taken to be as long as it may be, or as room is kept for where nobody limits it.
    """

    model: str
    messages: tuple[Message, ...]
    usage: Usage
    cost: float | None = None
    warnings: tuple[str, ...] = ()


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
