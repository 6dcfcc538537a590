"""Sessions: a turn gets its conversation, holds it while it is answered, and is stored at its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from . import policy
from .errors import FenceLost, InvalidSessionId, SessionBusy, StoreUnavailable, WarpError
from .types import Result, SessionKey, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from .base import Chances
    from .config import WarpConfig
    from .stores.base import Begun, Store
    from .types import ChatRequest

log = logging.getLogger("warp_magics.sessions")

LEASE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
STORE_SECONDS: Final = 1.0
"""How long the end of an answer waits for its turn to be stored."""
_RETRY_SECONDS: Final = 1.2  # longer than a store in trouble is left alone
WITHOUT_HISTORY: Final = "storage unavailable, answered without history"
STARTED_AGAIN: Final = "session expired, started again"
NOT_STORED: Final = "the turn could not be stored"
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A turn about to be asked. ``key`` is None where nothing is kept; ``now`` is the store's clock where there is one."""

    turn_id: str
    n: int
    now: float
    turns: tuple[Turn, ...]
    key: SessionKey | None = None
    session_id: str | None = None
    status: Literal["restarted", "stateless"] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def stream_id(self) -> str | None:
        """``{sessionId}~{N}``; None where nothing is kept."""
        return f"{self.key.id}~{self.n}" if self.key else None


def check_session_id(session_id: str) -> str:
    """Return ``session_id``; raises InvalidSessionId saying what is allowed."""
    if not _SESSION_ID.fullmatch(session_id):
        raise InvalidSessionId(
            f"{session_id[:140]!r} is not a session id: 1 to 128 characters of A-Z a-z 0-9 . _ - are allowed."
        )
    return session_id


class Sessions:
    """``wall`` gives Unix seconds for turns that no store dates; ``new_id`` a fresh unique id."""

    def __init__(
        self, config: WarpConfig, store: Store, chances: Chances, wall: Callable[[], float], new_id: Callable[[], str]
    ) -> None:
        self._limits = config.limits
        self._store = store
        self._chances = chances
        self._wall = wall
        self._new_id = new_id
        self._late: set[asyncio.Task[None]] = set()

    async def open(self, request: ChatRequest) -> Opened:
        """Give a prompt its turn: the session's next number and the turns before it.

        Waits while another turn holds the session. Raises InvalidRequest, InvalidSessionId, SessionNotFound,
        SessionBusy; a store that is down is no error: the turn is answered without history and says so.
        """
        turn_id = self._new_id()
        policy.check(request)
        if not request.store:
            return Opened(turn_id, 1, self._wall(), _told(request.history))
        if request.session_id is None:
            request_key = SessionKey(request.owner, self._new_id())
        else:
            request_key = SessionKey(request.owner, check_session_id(request.session_id))
        create = request.create_session or request.session_id is None
        try:
            begun = await self._begin(request_key, turn_id, create=create)
        except StoreUnavailable as error:
            log.warning("store_unavailable reason=%s", error.message)
            return Opened(
                turn_id,
                1,
                self._wall(),
                _told(request.history),
                session_id=request.session_id,
                status="stateless",
                warnings=(WITHOUT_HISTORY,),
            )
        again = begun.status == "restarted"
        return Opened(
            turn_id,
            begun.n,
            begun.now,
            _told(request.history) or begun.turns,
            request_key,
            request_key.id,
            "restarted" if again else None,
            (STARTED_AGAIN,) if again else (),
        )

    async def _begin(self, key: SessionKey, holder: str, *, create: bool) -> Begun:
        ttl, deadline = self._limits.history_expiration, self._chances.clock() + self._limits.session_wait
        while True:
            begun = await self._ask(key, holder, create=create, ttl=ttl)
            if begun is not None:
                return begun
            if self._chances.clock() >= deadline:
                raise SessionBusy(
                    f"Another turn has held the session {key.id!r} for longer than {self._limits.session_wait:g} s "
                    "(limits.session_wait).",
                    retry_after=LEASE_SECONDS,
                )
            await self._chances.sleep(_POLL_SECONDS)

    async def _ask(self, key: SessionKey, holder: str, *, create: bool, ttl: float) -> Begun | None:
        """Ask the store for the session once; one that nobody waits for any more is given back."""
        asking = asyncio.ensure_future(self._store.begin(key, holder, create=create, lease=LEASE_SECONDS, ttl=ttl))
        try:
            return await asyncio.shield(asking)
        except (asyncio.CancelledError, StoreUnavailable):
            self._in_background(self._let_go(key, holder, asking))
            raise

    async def _let_go(self, key: SessionKey, holder: str, asking: asyncio.Future[Begun | None]) -> None:
        """Give back what ``asking`` may have got: a begin whose reply was lost holds the session too."""
        with contextlib.suppress(WarpError):
            await asking
        for _ in range(2):
            try:
                await self._store.renew(key, holder, 0.0)
            except StoreUnavailable:
                await self._chances.sleep(_RETRY_SECONDS)
            else:
                return

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._done)
        return task

    @contextlib.asynccontextmanager
    async def held(self, opened: Opened) -> AsyncIterator[None]:
        """Hold the session's lease while the turn is answered."""
        if opened.key is None:
            yield
            return
        renewing = asyncio.create_task(self._renew(opened.key, opened.turn_id))
        try:
            yield
        finally:
            renewing.cancel()

    async def _renew(self, key: SessionKey, holder: str) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                if not await self._store.renew(key, holder, LEASE_SECONDS):
                    log.warning("lease_lost session=%s", key.id)
                    return
            except StoreUnavailable:
                log.warning("lease_not_renewed session=%s", key.id)

    async def close(self, opened: Opened, turn: Turn) -> str | None:
        """Store ``turn``; returns a warning where it is not known to be stored within a second.

        A slow store is still given the turn in the background: the same turn twice is stored once.
        """
        if opened.key is None:
            return None
        storing = self._in_background(self._append(opened.key, turn))
        done, _ = await asyncio.wait({storing}, timeout=STORE_SECONDS)
        if not done:
            return NOT_STORED
        error = storing.exception()
        if error is None:
            return None
        if isinstance(error, StoreUnavailable | FenceLost):
            return f"{NOT_STORED}: {error.message}"
        raise error

    def _done(self, storing: asyncio.Task[None]) -> None:
        self._late.discard(storing)
        if not storing.cancelled():
            storing.exception()  # asked for: who waited has it, and ``_append`` has logged it

    async def _append(self, key: SessionKey, turn: Turn) -> None:
        for last in (False, False, True):
            try:
                await self._store.append(key, turn, turn.id, ttl=self._limits.history_expiration)
            except StoreUnavailable:
                if last:
                    log.error("turn_not_stored session=%s turn=%s", key.id, turn.id)  # noqa: TRY400 - no trace to see
                    raise
                await self._chances.sleep(_RETRY_SECONDS)
            else:
                return

    async def aclose(self) -> None:
        """Wait for turns still being stored."""
        if self._late:
            await asyncio.wait(self._late, timeout=STORE_SECONDS)


def _told(history: Sequence[tuple[str, str]]) -> tuple[Turn, ...]:
    return tuple(
        Turn("", n, prompt, reply, "complete", Result.COMPLETE, None, 0.0, 0.0)
        for n, (prompt, reply) in enumerate(history, start=1)
    )
