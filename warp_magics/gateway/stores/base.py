"""Store: where sessions, streams, cooldowns and counters are, in verbs of the domain. One suite over every back end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from ..types import Ended, Failed, Source
from .shared import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..types import (
        Attachment,
        Event,
        Page,
        Session,
        SessionEvent,
        SessionKey,
        ToolResult,
        Turn,
    )

SEEN_SECONDS = 30 * 86400
"""How long a session's id is remembered after the session has expired."""
TICKET_SECONDS = 3.0
"""A turn in the queue that has not asked for so long is there no more."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A turn before its answer: what is kept of it should its producer die."""

    turn_id: str
    prompt: str
    source: Source = field(default_factory=Source)
    attachments: tuple[Attachment, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    continues: str | None = None
    """The turn that it goes on with."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn has its session: number ``n``, which is also its fence, since no number is given twice.

    ``now`` is the store's clock in Unix seconds; ``turns`` are those before it, oldest first.
    """

    n: int
    now: float
    status: Literal["known", "created", "restarted"]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another turn, number ``n`` (None: it has just ended), has the session; ``position`` in the queue counts from 1."""

    position: int
    n: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """This very turn, by its id, is being answered by another holder as ``n``, or was one of the session's last 16."""

    n: int


@dataclass(frozen=True, slots=True)
class Orphan:
    """Turn ``n`` was begun and never ended, and nobody holds its session. ``began`` is the store's clock."""

    n: int
    began: float
    draft: Draft


@dataclass(frozen=True, slots=True)
class GoingOn:
    """A turn that goes on with the session's last one, ``before``: it is stored in its place and under its id.

    ``asked_as`` is the id under which it was asked to go on.
    """

    before: Turn | None = None
    asked_as: str = ""


NOT = GoingOn()
"""A turn of its own."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A session as its holder has it: written only while ``n`` is its last turn and ``holder`` began that.

    ``keep`` is how many of the oldest turns stay before this one (None: all); those behind them become a branch in the
    write that has its first word. ``made`` is True where the turn has made its session.
    """

    key: SessionKey
    n: int
    holder: str
    keep: int | None = None
    going_on: GoingOn = NOT
    made: bool = False


@dataclass(frozen=True, slots=True)
class Lives:
    """How long things are kept, in seconds: the hold unless renewed, a session without use, a stream's log."""

    lease: float
    session: float
    stream: float


@dataclass(frozen=True, slots=True)
class Logged:
    """What a stream's log says: ``last`` is the number K of its last event, ``stop`` that somebody wants an end."""

    last: int
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """Events of a stream's log, and whether somebody is still making more."""

    events: tuple[Event, ...]
    live: bool

    @property
    def ended(self) -> bool:
        """True where the terminal event is among the events."""
        return bool(self.events) and isinstance(self.events[-1], Ended | Failed)


@dataclass(frozen=True, slots=True)
class Limb:
    """A branch with its turns, oldest first; it stood behind the turn ``after`` (None: at the beginning)."""

    number: int
    after: str | None
    created_at: float
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A session's turns and branches at one moment; ``version`` changes with every change of them."""

    version: int
    turns: tuple[Turn, ...]
    branches: tuple[Limb, ...] = ()
    next_branch: int = 1


@dataclass(frozen=True, slots=True)
class Graft:
    """A change of a tree: the oldest ``keep`` turns stay, ``add`` follow them, branches come, change or go.

    ``add`` is oldest first; a branch without turns goes.
    """

    keep: int
    add: tuple[Turn, ...] = ()
    branches: tuple[Limb, ...] = ()


class Store(Shared, Protocol):
    """All verbs raise StoreUnavailable where the store does not answer in time.

    Times to live: each verb that writes to a session lets all its keys live as long as the session's own ``ttl``,
    or, where it has none, as the one given.
    """

    kind: str
    warnings: tuple[str, ...] = ()
    """What a user is to be told once of what is kept otherwise than he may think."""

    # -- one turn at a time ------------------------------------------------------------------------

    async def begin(
        self, key: SessionKey, holder: str, draft: Draft, lives: Lives, *, create: bool
    ) -> Begun | Waiting | Asked | Orphan:
        """Give the session to ``holder`` (unique to this try), first come, first served.

        Asked again by the same holder it answers the same. A Waiting holder is to ask again within
        TICKET_SECONDS, or it loses its place. Asked: another holder has begun this turn; the caller follows it.
        An Orphan is to be settled before anything can begin. Raises SessionNotFound where there is no session
        and ``create`` is false, unless it has expired: then it is begun anew.
        """

    async def renew(self, hold: Hold, lives: Lives) -> Literal["held", "stop", "lost"]:
        """Hold on for another lease, also where it ran out unnoticed; "stop" where somebody wants the answer to end."""

    async def release(self, key: SessionKey, holder: str) -> None:
        """Give up: leave the queue, or the session with nothing said in it. A no-op for others."""

    async def log(self, hold: Hold, events: Sequence[Event], lives: Lives) -> Logged:
        """Add ``events`` (their ids are ``n-K``, consecutive) to the stream's log, as one batch.

        Idempotent. Nothing is written where the log lacks those before: ``last`` then says what it has.
        Raises FenceLost where the turn is not this holder's any more.
        """

    async def append(self, hold: Hold, turn: Turn, events: Sequence[Event], lives: Lives) -> bool:
        """Store ``turn``, log the last ``events`` and let the session go, in one step; twice is once.

        Returns whether as many replicas have it as the store was told to wait for. Where the log lacks events
        before these it is left as it is. Raises FenceLost where a later turn has begun, this one was settled as an
        orphan, or the session is gone.
        """

    async def orphan(self, key: SessionKey) -> Orphan | None:
        """Return the turn whose holder has died, if there is one; raises SessionNotFound."""

    async def settle(self, key: SessionKey, turn: Turn, event: Event, lives: Lives, going_on: GoingOn = NOT) -> bool:
        """End an orphan: as ``append``, by whoever has found it; twice is once, False where it is none (any more)."""

    # -- streams -----------------------------------------------------------------------------------

    async def logged(self, key: SessionKey, n: int, after: int, wait: float = 0.0) -> Log:
        """Return what the log of stream ``n`` holds behind event ``after``, waiting up to ``wait`` seconds for some.

        Raises StreamNotFound where there is no log and no turn ``n`` is open.
        """

    async def live(self, key: SessionKey) -> tuple[int, Draft] | None:
        """Return the turn that is being answered, and its number."""

    async def ask_to_stop(self, key: SessionKey, n: int) -> bool:
        """Tell the producer of stream ``n`` to end it; False where there is none."""

    # -- sessions ----------------------------------------------------------------------------------

    async def turns(self, key: SessionKey, branch: int | None = None, last: int | None = None) -> tuple[Turn, ...]:
        """Return all turns, or the newest ``last`` (at least 1), oldest first; raises SessionNotFound, BranchNotFound."""

    async def session(self, key: SessionKey) -> Session:
        """Return its description; raises SessionNotFound."""

    async def sessions(self, owner: str, limit: int, cursor: str | None = None) -> Page:
        """Return the owner's sessions, last used first, at most ``limit``; without their branches."""

    async def create(
        self,
        key: SessionKey,
        lives: Lives,
        *,
        title: str = "",
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
        turns: Sequence[Turn] = (),
    ) -> Session:
        """Make a session, with ``turns`` (oldest first) in it; raises SessionExists."""

    async def update(
        self,
        key: SessionKey,
        lives: Lives,
        *,
        title: str | None = None,
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """Change what is not None of a description; raises SessionNotFound."""

    async def delete(self, key: SessionKey) -> None:
        """Remove the session with its turns, branches and logs; raises SessionNotFound. Its numbers are not given anew."""

    async def tree(self, key: SessionKey) -> Tree:
        """Return its turns and branches; raises SessionNotFound."""

    async def graft(self, key: SessionKey, version: int, change: Graft, lives: Lives) -> bool:
        """Apply ``change``; False where the tree is of another version by now, or a turn is being answered."""

    async def feed(self, key: SessionKey, after: str | None, wait: float = 0.0) -> tuple[tuple[SessionEvent, ...], str]:
        """Return what happened behind the id ``after``, waiting up to ``wait`` seconds, and the id to go on from.

        Without ``after``: nothing, and where the feed ends at present. Raises SessionNotFound where there is no
        session and no event to tell of its end, InvalidRequest for an ``after`` that is no id.
        """

    # -- the whole ---------------------------------------------------------------------------------

    async def describe(self) -> Mapping[str, object]:
        """Return type, server (name and version) and reachable; never raises for a store that is down."""

    async def aclose(self) -> None:
        """Close connections."""
