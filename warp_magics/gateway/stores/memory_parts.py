"""What a session is made of in this process: its turns, its queue, its feed, who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from dataclasses import astuple, dataclass, field, replace
from operator import add, sub
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakValueDictionary

from ..errors import InvalidRequest
from ..types import Branch, Page, Session, SessionEvent, Usage
from .base import NOT, TICKET_SECONDS, Limb, Orphan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..types import SessionKey, Turn
    from .base import Begun, Draft, GoingOn, Hold

_FEED_LENGTH: Final = 256
SETTLED: Final = ""
"""Stands for the holder of a turn that somebody else has ended."""
_Found = TypeVar("_Found")


@dataclass(slots=True)
class Open:
    """A turn that has begun and not ended; its holder is taken to live until ``until``."""

    begun: Begun
    holder: str
    draft: Draft
    until: float
    stop: bool = False

    def is_held(self, now: float) -> bool:
        """Return whether its holder is alive."""
        return self.until > now

    def is_of(self, hold: Hold) -> bool:
        """Return whether ``hold`` is on it."""
        return (self.begun.n, self.holder) == (hold.n, hold.holder)

    def orphaned(self) -> Orphan:
        """Return what is to be settled."""
        return Orphan(self.begun.n, self.begun.now, self.draft)


class Queue:
    """Who waits for a session, first come, first served, as long as he keeps asking."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def place(self, holder: str, now: float) -> int:
        """Return the holder's position, counted from 1; who is new comes last."""
        self._until = {who: until for who, until in self._until.items() if until >= now}
        self._until[holder] = now + TICKET_SECONDS
        return list(self._until).index(holder) + 1

    def leave(self, holder: str) -> None:
        """Give up the place, if there is one."""
        self._until.pop(holder, None)


class Feed:
    """The latest events of a session; their ids have the form of Valkey's, ``milliseconds-number``."""

    def __init__(self) -> None:
        self._last = (0, 0)
        self._events: deque[tuple[tuple[int, int], SessionEvent]] = deque(maxlen=_FEED_LENGTH)

    @property
    def last(self) -> str:
        """The id of the last event, or one that is before all."""
        return "{}-{}".format(*self._last)

    def tell(self, event: SessionEvent, now: float) -> None:
        """Add ``event`` under an id of its own."""
        self._last = max((int(now * 1000), 0), (self._last[0], self._last[1] + 1))
        self._events.append((self._last, replace(event, id=self.last)))

    def behind(self, place: tuple[int, int]) -> tuple[SessionEvent, ...]:
        """Return the events whose ids are higher than ``place``."""
        return tuple(event for at, event in self._events if at > place)


def place_of(feed_id: str) -> tuple[int, int]:
    """Return where in a feed the id is; raises InvalidRequest where it is none."""
    found = re.fullmatch(r"(\d{1,19})-(\d{1,19})", feed_id, re.ASCII)
    if not found:
        raise InvalidRequest(f"{feed_id!r} is no id of a session's events.")
    return int(found[1]), int(found[2])


@dataclass(slots=True)
class Kept:
    """A session. ``stored`` has the number and the holder of each turn it ever had, by the turn's id."""

    created_at: float
    updated_at: float
    n: int
    version: int
    feed: Feed
    expires_at: float = 0.0
    title: str | None = None
    ttl: float | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    branches: dict[int, Limb] = field(default_factory=dict)
    next_branch: int = 1
    stored: dict[str, tuple[int, str]] = field(default_factory=dict)
    open: Open | None = None
    queue: Queue = field(default_factory=Queue)
    models: set[str] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    unpriced: int = 0

    def held(self, now: float) -> Open | None:
        """Return the turn that is being answered, if there is one."""
        return self.open if self.open and self.open.is_held(now) else None

    def orphan(self, now: float) -> Orphan | None:
        """Return the turn whose holder has died, if there is one."""
        return None if self.open is None or self.open.is_held(now) else self.open.orphaned()

    def asked(self, turn_id: str, now: float) -> int | None:
        """Return the number under which this turn is being answered, or was."""
        held = self.held(now)
        if held and held.draft.turn_id == turn_id:
            return held.begun.n
        return self.stored.get(turn_id, (None, ""))[0]

    def add(self, turn: Turn, holder: str, going_on: GoingOn = NOT) -> None:
        """Put ``turn`` behind the others, or in the place of the one it goes on with, and count what it used."""
        before = going_on.before
        if before is not None and self.turns and self.turns[-1].id == before.id:
            self.turns.pop()
        self.turns.append(turn)
        self.stored[going_on.asked_as or turn.id] = (turn.n, holder)
        used = map(add, astuple(self.usage), astuple(turn.usage))
        self.usage = Usage(*map(sub, used, astuple(before.usage if before else Usage())))
        if turn.cost is not None:
            self.cost = (self.cost or 0.0) + turn.cost - ((before and before.cost) or 0.0)
        if turn.model:
            self.models.add(turn.model)
            self.unpriced += (turn.cost is None) - bool(before and before.model and before.cost is None)

    def put_aside(self, keep: int, now: float) -> bool:
        """Make a branch of the turns behind the oldest ``keep``; False where there are none, as when it is done again."""
        tail = tuple(self.turns[keep:])
        if not tail:
            return False
        after = self.turns[keep - 1].id if keep else None
        self.branches[self.next_branch] = Limb(self.next_branch, after, now, tail)
        self.next_branch += 1
        del self.turns[keep:]
        return True

    def described(self, key: SessionKey, now: float) -> Session:
        """Return its description."""
        held = self.held(now)
        limbs = sorted(self.branches.values(), key=lambda limb: limb.number)
        return Session(
            key=key,
            turns=len(self.turns),
            created_at=self.created_at,
            updated_at=self.updated_at,
            expires_at=self.expires_at,
            title=self.title or "",
            models=tuple(sorted(self.models)),
            usage=self.usage,
            cost=self.cost,
            ttl=self.ttl,
            metadata=dict(self.metadata),
            live_stream_id=f"{key.id}~{held.begun.n}" if held else None,
            live_turn_id=held.draft.turn_id if held else None,
            live_prompt=held.draft.prompt if held else None,
            branches=tuple(Branch(limb.number, limb.after, len(limb.turns), limb.created_at) for limb in limbs),
            unpriced=self.unpriced,
        )


def page(sessions: Iterable[Session], limit: int, cursor: str | None) -> Page:
    """Return at most ``limit`` of ``sessions``, last used first, that come behind ``cursor``.

    The cursor names the last use and the id of a page's last session, so it stays right where others are used or go.
    """
    rest = sorted(sessions, key=_rank)
    if cursor is not None:
        at = _rank_at(cursor)
        rest = [one for one in rest if _rank(one) > at]
    shown = tuple(replace(one, branches=()) for one in rest[:limit])
    last = shown[-1] if shown and len(rest) > limit else None
    return Page(shown, f"{last.updated_at!r}~{last.key.id}" if last else None)


def _rank(session: Session) -> tuple[float, str]:
    return -session.updated_at, session.key.id


def _rank_at(cursor: str) -> tuple[float, str]:
    used, _, session_id = cursor.partition("~")
    try:
        return -float(used), session_id
    except ValueError as error:
        raise InvalidRequest(f"{cursor!r} is no cursor of a list of sessions.") from error


class Changes:
    """Wakes whoever waits for something to happen to a session."""

    def __init__(self) -> None:
        self._awaited: WeakValueDictionary[SessionKey, asyncio.Event] = WeakValueDictionary()  # gone with who waits

    def tell(self, key: SessionKey) -> None:
        """Let all who wait look again."""
        if awaited := self._awaited.pop(key, None):
            awaited.set()

    async def look(
        self, key: SessionKey, wait: float, look: Callable[[], _Found], enough: Callable[[_Found], object]
    ) -> _Found:
        """Return what ``look`` finds as soon as that is enough, or after ``wait`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while wait > 0 and not enough(look()):
                    await self._awaited.setdefault(key, asyncio.Event()).wait()
        return look()
