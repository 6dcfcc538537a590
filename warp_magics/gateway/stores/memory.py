"""MemoryStore: everything in this process, gone with it. Also stands in while another store is down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from ..errors import BranchNotFound, FenceLost, SessionExists, StreamNotFound
from ..types import Ended, Failed, SessionEvent
from .base import NOT, Asked, Begun, Log, Logged, Store, Tree, Waiting
from .memory_answers import MemoryAnswers
from .memory_models import MemoryModels
from .memory_parts import SETTLED, Changes, Open, page, place_of
from .memory_shelf import Shelf, number_of
from .records import has_word, no_session, title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..types import Event, Page, Session, SessionKey, Status, Turn
    from .base import Draft, GoingOn, Graft, Hold, Lives, Orphan
    from .memory_parts import Kept


class MemoryStore(MemoryModels, MemoryAnswers, Store):
    """``clock`` gives Unix seconds. Only ``logged`` and ``feed`` await anything, so each verb is whole.

    ``instead`` says why this is not the store that was configured, empty if it is.
    """

    kind = "memory"

    def __init__(self, clock: Callable[[], float] = time.time, *, instead: str = "") -> None:
        MemoryModels.__init__(self, clock)
        MemoryAnswers.__init__(self, clock)
        self.warnings = (f"conversations are kept in memory and end with this process: {instead}",) if instead else ()
        self._shelf = Shelf(clock)
        self._changes = Changes()

    # -- one turn at a time ------------------------------------------------------------------------

    async def begin(
        self, key: SessionKey, holder: str, draft: Draft, lives: Lives, *, create: bool
    ) -> Begun | Waiting | Asked | Orphan:
        """See Store."""
        now = self._clock()
        kept, status = self._shelf.begun(key, create=create)
        held = kept.held(now)
        if held and held.holder == holder:
            return held.begun
        if asked := kept.asked(draft.turn_id, now):
            kept.queue.leave(holder)
            return Asked(asked)
        position = kept.queue.place(holder, now)
        if orphan := kept.orphan(now):
            return orphan
        if held or position > 1:
            return Waiting(position, kept.open.begun.n if kept.open else None)
        kept.queue.leave(holder)
        kept.n += 1
        begun = Begun(kept.n, now, status, tuple(kept.turns))
        kept.open = Open(begun, holder, draft, now + lives.lease)
        kept.title = title_of(draft.prompt) if kept.title is None else kept.title
        self._used(key, kept, lives)
        self._tell_turn(key, kept, "turn-started")
        return begun

    async def renew(self, hold: Hold, lives: Lives) -> Literal["held", "stop", "lost"]:
        """See Store."""
        try:
            kept, turn = self._held(hold)
        except FenceLost:
            return "lost"
        turn.until = self._clock() + lives.lease
        self._shelf.keep(hold.key, kept, lives)
        return "stop" if turn.stop else "held"

    async def release(self, key: SessionKey, holder: str) -> None:
        """See Store."""
        kept = self._shelf.alive(key)
        if kept is None:
            return
        kept.queue.leave(holder)
        if kept.open and kept.open.holder == holder:
            self._tell_turn(key, kept, "turn-ended", "failed")
            kept.open = None

    async def log(self, hold: Hold, events: Sequence[Event], lives: Lives) -> Logged:
        """See Store."""
        kept, turn = self._held(hold)
        last = self._shelf.add(hold.key, hold.n, events, lives)
        if has_word(events) and last >= number_of(events[-1]):
            self._put_aside(hold, kept)
        self._shelf.keep(hold.key, kept, lives)
        self._changes.tell(hold.key)
        return Logged(last, turn.stop)

    async def append(self, hold: Hold, turn: Turn, events: Sequence[Event], lives: Lives) -> bool:
        """See Store."""
        before = self._shelf.alive(hold.key)
        if before and before.stored.get(hold.going_on.asked_as or turn.id) == (hold.n, hold.holder):
            return True
        kept, _ = self._held(hold)
        self._put_aside(hold, kept)
        self._end(hold.key, kept, turn, events, lives, going_on=hold.going_on)
        return True

    async def orphan(self, key: SessionKey) -> Orphan | None:
        """See Store."""
        return self._shelf.found(key).orphan(self._clock())

    async def settle(self, key: SessionKey, turn: Turn, event: Event, lives: Lives, going_on: GoingOn = NOT) -> bool:
        """See Store."""
        kept = self._shelf.alive(key)
        if kept and kept.stored.get(going_on.asked_as or turn.id) == (turn.n, SETTLED):
            return True
        orphan = kept and kept.orphan(self._clock())
        if not (kept and kept.open and orphan) or orphan.n != turn.n:
            return False
        if number_of(event) != len(self._shelf.events(key, turn.n) or ()) + 1:
            return False  # its producer has said more since somebody looked
        kept.open.holder = SETTLED  # whoever held it is told so, should he come to end it himself
        self._end(key, kept, turn, [event], lives, going_on=going_on)
        return True

    # -- streams -----------------------------------------------------------------------------------

    async def logged(self, key: SessionKey, n: int, after: int, wait: float = 0.0) -> Log:
        """See Store."""

        def look() -> Log:
            kept, events = self._shelf.alive(key), self._shelf.events(key, n)
            if events is None and not (kept and kept.open and kept.open.begun.n == n):
                raise StreamNotFound(f"There is no stream {n} of {key.id!r}, or its log has expired.")
            return Log(tuple((events or [])[after:]), self._is_live(key, n))

        return await self._changes.look(key, wait, look, lambda log: log.events or not log.live)

    async def live(self, key: SessionKey) -> tuple[int, Draft] | None:
        """See Store."""
        kept = self._shelf.alive(key)
        held = kept and kept.held(self._clock())
        return (held.begun.n, held.draft) if held else None

    async def ask_to_stop(self, key: SessionKey, n: int) -> bool:
        """See Store."""
        kept = self._shelf.alive(key)
        if kept is None or kept.open is None or kept.open.begun.n != n:
            return False
        kept.open.stop = True
        return True

    # -- sessions ----------------------------------------------------------------------------------

    async def turns(self, key: SessionKey, branch: int | None = None, last: int | None = None) -> tuple[Turn, ...]:
        """See Store."""
        kept = self._shelf.found(key)
        if branch is not None and branch not in kept.branches:
            raise BranchNotFound(f"The session {key.id!r} has no branch {branch}.")
        turns = kept.turns if branch is None else kept.branches[branch].turns
        return tuple(turns if last is None else turns[-last:])

    async def session(self, key: SessionKey) -> Session:
        """See Store."""
        return self._shelf.found(key).described(key, self._clock())

    async def sessions(self, owner: str, limit: int, cursor: str | None = None) -> Page:
        """See Store."""
        now = self._clock()
        described = [kept.described(key, now) for key, kept in self._shelf.of(owner)]
        return page(described, limit, cursor)

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
        """See Store."""
        if self._shelf.alive(key):
            raise SessionExists(f"There is a session {key.id!r} already.")
        kept = self._shelf.made(key)
        kept.n = max([kept.n, *(turn.n for turn in turns)])
        kept.title = title or (title_of(turns[0].prompt) if turns else None)
        kept.ttl, kept.metadata = ttl, dict(metadata or {})
        for turn in turns:
            kept.add(turn, SETTLED)
        kept.stored.clear()  # those were asked in another session
        self._used(key, kept, lives)
        return await self.session(key)

    async def update(
        self,
        key: SessionKey,
        lives: Lives,
        *,
        title: str | None = None,
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Store."""
        kept = self._shelf.found(key)
        kept.title = kept.title if title is None else title
        kept.ttl = kept.ttl if ttl is None else ttl
        kept.metadata = kept.metadata if metadata is None else dict(metadata)
        self._used(key, kept, lives)
        self._tell(key, kept, SessionEvent("updated", key.id))
        return await self.session(key)

    async def delete(self, key: SessionKey) -> None:
        """See Store."""
        kept = self._shelf.found(key)
        self._shelf.remove(key)
        self._tell(key, kept, SessionEvent("deleted", key.id))

    async def tree(self, key: SessionKey) -> Tree:
        """See Store."""
        kept = self._shelf.found(key)
        branches = tuple(kept.branches[number] for number in sorted(kept.branches))
        return Tree(kept.version, tuple(kept.turns), branches, kept.next_branch)

    async def graft(self, key: SessionKey, version: int, change: Graft, lives: Lives) -> bool:
        """See Store."""
        kept = self._shelf.alive(key)
        if kept is None or kept.open or kept.version != version:
            return False
        kept.turns[change.keep :] = change.add
        for limb in change.branches:
            kept.branches[limb.number] = limb
            kept.next_branch = max(kept.next_branch, limb.number + 1)
        kept.branches = {number: limb for number, limb in kept.branches.items() if limb.turns}
        kept.version = self._shelf.version()
        self._used(key, kept, lives)
        self._tell(key, kept, SessionEvent("rewound", key.id))
        return True

    async def feed(self, key: SessionKey, after: str | None, wait: float = 0.0) -> tuple[tuple[SessionEvent, ...], str]:
        """See Store."""
        if after is None:
            return (), self._shelf.found(key).feed.last
        behind = place_of(after)

        def look() -> tuple[SessionEvent, ...]:
            kept = self._shelf.alive(key)
            told = (kept.feed if kept else self._shelf.last_words(key)).behind(behind)
            if kept is None and not told:
                raise no_session(key.id)
            return told

        told = await self._changes.look(key, wait, look, bool)
        return told, told[-1].id if told else after

    # -- the whole ---------------------------------------------------------------------------------

    async def describe(self) -> Mapping[str, object]:
        """See Store."""
        told = {"type": self.kind, "server": None, "reachable": True}
        return {**told, "reason": self.warnings[0]} if self.warnings else told

    async def aclose(self) -> None:
        """See Store."""

    # -- what the verbs share ----------------------------------------------------------------------

    def _held(self, hold: Hold) -> tuple[Kept, Open]:
        kept = self._shelf.alive(hold.key)
        if kept is None or kept.open is None or not kept.open.is_of(hold):
            raise FenceLost(f"The session {hold.key.id!r} went on without this turn.")
        return kept, kept.open

    def _is_live(self, key: SessionKey, n: int) -> bool:
        kept, events = self._shelf.alive(key), self._shelf.events(key, n)
        held = kept and kept.held(self._clock())
        return bool(held and held.begun.n == n and not (events and isinstance(events[-1], Ended | Failed)))

    def _used(self, key: SessionKey, kept: Kept, lives: Lives) -> None:
        kept.updated_at = self._clock()
        self._shelf.keep(key, kept, lives)

    def _put_aside(self, hold: Hold, kept: Kept) -> None:
        if hold.keep is not None and kept.put_aside(hold.keep, self._clock()):
            kept.version = self._shelf.version()
            self._tell(hold.key, kept, SessionEvent("rewound", hold.key.id))

    def _end(
        self, key: SessionKey, kept: Kept, turn: Turn, events: Sequence[Event], lives: Lives, *, going_on: GoingOn
    ) -> None:
        self._shelf.add(key, turn.n, events, lives)
        self._tell_turn(key, kept, "turn-ended", turn.status)
        kept.add(turn, kept.open.holder if kept.open else SETTLED, going_on)
        kept.open, kept.version = None, self._shelf.version()
        self._used(key, kept, lives)

    def _tell_turn(
        self, key: SessionKey, kept: Kept, kind: Literal["turn-started", "turn-ended"], status: Status | None = None
    ) -> None:
        if turn := kept.open:
            stream_id = f"{key.id}~{turn.begun.n}"
            self._tell(key, kept, SessionEvent(kind, key.id, "", stream_id, turn.draft.turn_id, status))

    def _tell(self, key: SessionKey, kept: Kept, event: SessionEvent) -> None:
        kept.feed.tell(event, self._clock())
        self._changes.tell(key)
