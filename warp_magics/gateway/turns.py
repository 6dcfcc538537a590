"""Turns, one at a time: a turn gets its conversation, holds it while it is answered, and is stored at its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from . import policy, prompt
from .branches import asked_on, placed
from .errors import FenceLost, InvalidRequest, InvalidSessionId, SessionBusy, StoreUnavailable, WarpError
from .signals import tell
from .stores.base import NOT, Asked, Begun, Draft, GoingOn, Hold, Lives, Orphan, Waiting
from .types import SessionKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from .base import Chances
    from .orphans import Orphans
    from .stores.base import Store
    from .terms import Terms
    from .types import ChatRequest, Event, Source, Turn

    Stop = Callable[[str, str], Awaitable[bool]]

log = logging.getLogger("warp_magics.sessions")

LEASE_SECONDS: Final = 6.0
"""With the grace of orphans, a dead producer is noticed within ten seconds."""
_POLL_SECONDS: Final = 0.02
_LONGEST_POLL: Final = 0.25  # well within a ticket's life
STORE_SECONDS: Final = 1.0
"""How long the end of an answer waits for its turn to be stored."""
_AGAIN_SECONDS: Final = 0.5  # of a store that comes back a holder is to be heard before the grace of orphans is over
_RETRY_SECONDS: Final = 1.2  # longer than a store in trouble is left alone
_PERSISTENCE_SECONDS: Final = 60.0  # how long a turn is tried to be stored, or given back: a fail-over takes seconds
WITHOUT_HISTORY: Final = "storage unavailable, answered without history"
UNHEARD: Final = "Nothing was asked, for an answer that nobody reads has to be kept"
STARTED_AGAIN: Final = "session expired, started again"
NOT_STORED: Final = "the turn could not be stored"
NOT_COPIED: Final = "the turn is stored, but not yet on as many replicas as storage.wait_replicas asks for"
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A turn about to be asked. ``hold`` is None where nothing is kept; ``now`` is the store's clock where there is one."""

    turn_id: str
    n: int
    now: float
    turns: tuple[Turn, ...]
    asked: ChatRequest
    """What a model is asked, behind ``turns``."""
    hold: Hold | None = None
    session_id: str | None = None
    status: Literal["restarted", "stateless"] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def stream_id(self) -> str | None:
        """``{sessionId}~{N}``; None where nothing is kept."""
        return f"{self.hold.key.id}~{self.n}" if self.hold else None


@dataclass(frozen=True, slots=True)
class Before:
    """This turn, by the id its asker gave it, was asked before: its answer is this stream's."""

    key: SessionKey
    n: int

    @property
    def stream_id(self) -> str:
        """``{sessionId}~{N}``."""
        return f"{self.key.id}~{self.n}"


def is_session_id(text: str) -> bool:
    """Return whether ``text`` may be a session's id."""
    return _SESSION_ID.fullmatch(text) is not None


def check_session_id(session_id: str) -> str:
    """Return ``session_id``; raises InvalidSessionId saying what is allowed."""
    if not is_session_id(session_id):
        raise InvalidSessionId(
            f"{session_id[:140]!r} is not a session id: 1 to 128 characters of A-Z a-z 0-9 . _ - are allowed."
        )
    return session_id


class Turns:
    """``name`` is this gateway's: two of them are not to take each other's turns for their own."""

    def __init__(
        self,
        terms: Terms,
        store: Store,
        orphans: Orphans,
        chances: Chances,
        name: str,
    ) -> None:
        self._wait = terms.session_wait
        self.lives = lives(terms)
        self._store = store
        self._orphans = orphans
        self._chances = chances
        self._name = name
        self._tries = itertools.count(1)
        self._late: set[asyncio.Task[Any]] = set()

    def new_id(self, request: ChatRequest) -> str:
        """Return the turn's id, its asker's where that gave one; raises InvalidRequest for one that is none."""
        if request.turn_id is None:
            return self._chances.new_id()
        if not is_session_id(request.turn_id):
            raise InvalidRequest("A turn's id has 1 to 128 characters of A-Z a-z 0-9 . _ -.")
        return request.turn_id

    async def open(self, request: ChatRequest, turn_id: str, stop: Stop, *, unread: bool = False) -> Opened | Before:
        """Give a prompt its turn: the session's next number and the turns before it.

        Waits in line while others have the session; with ``stop``, an answer to the same source that it is to replace
        is stopped first. Raises InvalidRequest, InvalidSessionId, SessionNotFound, SessionBusy, TurnNotFound; a store
        that is down is no error: the turn is answered without history and says so, unless there is no prompt without it, or
        it is ``unread`` but for its log.
        """
        policy.check(request)
        if not request.store:
            return Opened(turn_id, 1, self._chances.wall(), prompt.told(request.history), request)
        wanted = self._chances.new_id() if request.session_id is None else check_session_id(request.session_id)
        key = SessionKey(request.owner, wanted)
        holder = f"{turn_id}@{self._name}#{next(self._tries)}"  # the same turn asked twice is one of them's
        try:
            begun = await self._begin(key, holder, request, turn_id, stop)
        except StoreUnavailable as error:
            if request.continues is not None:
                raise
            if unread:
                raise StoreUnavailable(f"{UNHEARD}: {error.message}") from error
            tell(log, "store_unavailable", level=logging.WARNING, reason=error.message)
            return Opened(
                turn_id,
                1,
                self._chances.wall(),
                prompt.told(request.history or request.before),
                request,
                session_id=request.session_id,
                status="stateless",
                warnings=(WITHOUT_HISTORY,),
            )
        if isinstance(begun, Asked):
            return Before(key, begun.n)
        try:
            place = placed(request, begun.turns)
        except WarpError:
            self._in_background(self._let_go(key, holder))
            raise
        again = begun.status == "restarted"
        asked, turns = asked_on(request, prompt.told(request.history) or begun.turns, place)
        turns = (*prompt.told(request.before), *turns)
        going_on = GoingOn(place.before, turn_id) if place.before else NOT
        return Opened(
            place.before.id if place.before else turn_id,
            begun.n,
            begun.now,
            turns,
            asked,
            Hold(key, begun.n, holder, place.keep, going_on, made=begun.status != "known"),
            key.id,
            "restarted" if again else None,
            ((STARTED_AGAIN,) if again else ()) + place.warnings,
        )

    def give_back(self, opened: Opened) -> None:
        """Let the session go as if nothing had been asked."""
        if opened.hold is not None:
            self._in_background(self._let_go(opened.hold.key, opened.hold.holder))

    async def _begin(
        self, key: SessionKey, holder: str, request: ChatRequest, turn_id: str, stop: Stop
    ) -> Begun | Asked:
        draft = Draft(
            turn_id, request.prompt, request.source, request.attachments, request.tool_results, request.continues
        )
        own = request.source if request.replaces == "source" and request.source.cell else None
        seen: int | None = None
        create = request.create_session or request.session_id is None
        deadline = self._chances.clock() + self._wait
        while True:
            said = await self._ask(key, holder, draft, create=create)
            if isinstance(said, Begun | Asked):
                return said
            if self._chances.clock() >= deadline:
                self._in_background(self._let_go(key, holder))
                raise SessionBusy(
                    f"Other turns have held the session {key.id!r} for longer than {self._wait:g} s "
                    "(limits.session_wait).",
                    retry_after=LEASE_SECONDS,
                )
            if isinstance(said, Orphan):
                self._orphans.notice(key, said)
            elif said.n != seen and own is not None:
                seen = said.n
                self._in_background(self._stop_own(key, own, stop))
            pause = _POLL_SECONDS * said.position if isinstance(said, Waiting) else _LONGEST_POLL
            await self._paused(min(_LONGEST_POLL, pause), key, holder)

    async def _stop_own(self, key: SessionKey, source: Source, stop: Stop) -> None:
        """Stop the answer that is being made for ``source``, which is asking anew."""
        with contextlib.suppress(WarpError):
            live = await self._store.live(key)
            if live and live[1].source == source:
                await stop(key.owner, f"{key.id}~{live[0]}")

    async def _paused(self, seconds: float, key: SessionKey, holder: str) -> None:
        try:
            await self._chances.sleep(seconds)
        except asyncio.CancelledError:  # nobody waits for this turn any more: out of the queue
            self._in_background(self._let_go(key, holder))
            raise

    async def _ask(
        self, key: SessionKey, holder: str, draft: Draft, *, create: bool
    ) -> Begun | Waiting | Asked | Orphan:
        """Ask the store for the session once; one that nobody waits for any more is given back.

        A begin whose reply was lost, or not waited for, may hold the session too. What is asked over the same connection
        after it is answered after it; a store that has it from another by then finds it too late.
        """
        try:
            return await self._store.begin(key, holder, draft, self.lives, create=create)
        except (asyncio.CancelledError, StoreUnavailable):
            self._in_background(self._let_go(key, holder))
            raise

    async def _let_go(self, key: SessionKey, holder: str) -> None:
        """Give back the session, also to a store that comes back late."""
        deadline = self._chances.clock() + _PERSISTENCE_SECONDS
        while self._chances.clock() < deadline:
            try:
                await self._store.release(key, holder)
            except StoreUnavailable:
                await self._chances.sleep(_RETRY_SECONDS)
            else:
                return

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    @contextlib.asynccontextmanager
    async def held(self, opened: Opened, stop: Callable[[], None]) -> AsyncIterator[None]:
        """Hold the session's lease while the turn is answered; calls ``stop`` where another process asks for an end."""
        if opened.hold is None:
            yield
            return
        hold, renewing = opened.hold, []
        # Most answers are given before their lease is to be renewed: a timer costs less than a task.
        timer = asyncio.get_running_loop().call_later(
            self.lives.lease / 3, lambda: renewing.append(asyncio.ensure_future(self._renew(hold, stop)))
        )
        try:
            yield
        finally:
            timer.cancel()
            for task in renewing:
                task.cancel()

    async def _renew(self, hold: Hold, stop: Callable[[], None]) -> None:
        while True:
            try:
                said = await self._store.renew(hold, self.lives)
            except StoreUnavailable:
                tell(log, "lease_not_renewed", level=logging.WARNING, session=hold.key.id)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if said == "lost":
                tell(log, "lease_lost", level=logging.WARNING, session=hold.key.id)
                return
            if said == "stop":
                stop()
            await asyncio.sleep(self.lives.lease / 3)

    async def close(self, opened: Opened, turn: Turn, events: Sequence[Event]) -> str | None:
        """Store ``turn`` and the last ``events`` of its log; returns a warning where it is not known to be stored in time.

        A slow store is still given the turn in the background: the same turn twice is stored once.
        """
        if opened.hold is None:
            return None
        hold, pause = opened.hold, 0.0
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return None if await self._store.append(hold, turn, events, self.lives) else NOT_COPIED
        except TimeoutError:
            warning = NOT_STORED
        except StoreUnavailable as error:
            warning, pause = f"{NOT_STORED}: {error.message}", _RETRY_SECONDS
        except FenceLost as error:
            _tell_lost(hold, turn, "fenced")
            return f"{NOT_STORED}: {error.message}"
        self._in_background(self._insist(pause, hold, turn, events))
        return warning

    async def _insist(self, pause: float, hold: Hold, turn: Turn, events: Sequence[Event]) -> None:
        """See to it that ``turn`` gets stored in ``pause`` seconds, also by a store that comes back late."""
        deadline = self._chances.clock() + _PERSISTENCE_SECONDS
        while True:
            await self._chances.sleep(pause)
            try:
                await self._store.append(hold, turn, events, self.lives)
            except StoreUnavailable:
                if self._chances.clock() >= deadline:
                    _tell_lost(hold, turn)
                    return
                pause = _RETRY_SECONDS
            except FenceLost:
                _tell_lost(hold, turn, "fenced")
                return
            else:
                return

    async def aclose(self) -> None:
        """Wait a moment for turns still being stored."""
        if self._late:
            _, pending = await asyncio.wait(self._late, timeout=STORE_SECONDS)
            for task in pending:
                task.cancel()


def lives(terms: Terms) -> Lives:
    """Return how long things are kept, as the terms say."""
    return Lives(LEASE_SECONDS, terms.history, terms.stream)


def _tell_lost(hold: Hold, turn: Turn, reason: str | None = None) -> None:
    tell(log, "turn_not_stored", level=logging.ERROR, session=hold.key.id, turn=turn.id, reason=reason)
