"""Mirror: a session's turns as they are now, read anew whenever something has happened to it, whoever did it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .gateway import ChatRequest, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .connect import Connection
    from .gateway import Session, Turn

_FIRST: Final = 0.5
_LONGEST: Final = 30.0
"""Seconds after which a watch that has ended is tried again: the first time, and at most."""
_GONE: Final = 300.0
"""Seconds after which a deleted session is looked for again, where nobody here has asked in it."""
_SETTLED: Final = 1.0
"""Seconds after which what happened before the watch had begun is seen."""
_LOOK_SECONDS: Final = 0.75
"""How long a cell's end may be held up."""
_IDENTITY_SECONDS: Final = 2.0
"""How long the making of a panel may be held up by a gateway that does not say who it is."""
_log = logging.getLogger("warp_magics.panel")


@dataclass(frozen=True, slots=True)
class Reading:
    """A session and its turns at a moment; no ``session`` where it was deleted."""

    session: Session | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def title(self) -> str:
        """The session's title, empty where it has none."""
        return self.session.title if self.session is not None else ""


class Mirror:
    """Reads ``session_id`` behind the portal of ``at``, first making it where it is not there; then calls ``told`` there.

    ``latest`` is what was read last, ``gateway_id`` who answers (see ``gateway_id``), None while that is not known.
    """

    def __init__(self, at: Connection, session_id: str, told: Callable[[Mirror], None]) -> None:
        self.at = at
        self.session_id = session_id
        self.latest: Reading | None = None
        self.gateway_id: str | None = None
        self.is_behind = False
        """Whether a look had taken too long, and none has succeeded since."""
        self._told = told
        self._cancel: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = asyncio.Event()
        self._looking = asyncio.Lock()

    @property
    def is_gone(self) -> bool:
        """Whether the session was there, and is not any more."""
        return self.latest is not None and self.latest.session is None

    def start(self) -> None:
        """Begin to watch the session; waits for nothing."""
        self._cancel = self.at.start(self._run)

    def retry_now(self) -> None:
        """Read at once, where that was to be tried later; may be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._due.set)

    def close(self) -> None:
        """Watch no more."""
        self._cancel()

    async def look(self) -> None:
        """Read the session where it has changed since it was read last."""
        async with self._looking:  # one after the other: a late one changes nothing back
            await self._take(await self._described())

    async def look_soon(self) -> None:
        """As ``look``, for as long as a cell may be held up; else the mirror goes on by itself, and ``is_behind``."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self.look()
                if self.gateway_id is None:
                    self.gateway_id = ""  # it is asked once here, and on while the session is watched
                    await self._identify()
        except Exception as error:  # noqa: BLE001 - nobody has asked for it
            _log.warning("panel_not_looked session=%s reason=%r", self.session_id, error)
            self.is_behind = True
            self._due.set()

    async def begin(self, session: Session) -> None:
        """Read the turns of ``session`` as it was just described, and ask who the gateway is, but not for long."""
        await self._take(session)
        with contextlib.suppress(TimeoutError, errors.WarpError):
            async with asyncio.timeout(_IDENTITY_SECONDS):
                await self._identify()

    async def _described(self) -> Session | None:
        if self.latest is None:
            return await made(self.at, self.session_id)
        try:
            return await self.at.gateway.session(self.at.owner, self.session_id)
        except errors.SessionNotFound:  # it was deleted, and is not made again before somebody asks in it
            return None

    async def _take(self, session: Session | None) -> None:
        """Read the turns of what was described before: what comes in between is seen the next time."""
        if self.latest is not None and _marks(session) == _marks(self.latest.session):
            return
        turns: tuple[Turn, ...] = ()
        if session is not None and session.turns:
            try:
                turns = await self.at.gateway.history(self.at.owner, self.session_id)
            except errors.SessionNotFound:
                session = None
        if self.is_gone:
            self._due.set()  # it is there again, and to be watched
        self.latest = Reading(session, turns)

    async def _identify(self) -> None:
        self.gateway_id = await gateway_id(self.at)

    # -- by itself ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        pause, clock = _FIRST, self._loop.time
        while True:
            begun = clock()
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - it is tried again, whatever it was
                level = logging.WARNING if isinstance(error, errors.WarpError) else logging.ERROR
                _log.log(level, "panel_not_told session=%s reason=%s", self.session_id, error)
            if clock() - begun > _LONGEST:
                pause = _FIRST
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GONE if self.is_gone else pause):
                    await self._due.wait()
            pause = min(2 * pause, _LONGEST)

    async def _follow(self) -> None:
        """Read now, and after each event, until the watching ends: by an error, or with the session."""
        await self._look_and_tell()
        if self.is_gone:
            return
        watching, identifying = (asyncio.ensure_future(one) for one in (self._watch(), self._keep_identifying()))
        watching.add_done_callback(lambda _: self._due.set())
        settled = asyncio.get_running_loop().call_later(_SETTLED, self._due.set)
        try:
            while not watching.done():
                await self._due.wait()
                await self._look_and_tell()
            watching.result()
        finally:
            settled.cancel()
            watching.cancel()
            identifying.cancel()
            await asyncio.wait({watching, identifying})

    async def _look_and_tell(self) -> None:
        self._due.clear()
        await self.look()
        self.is_behind = False
        self._told(self)

    async def _watch(self) -> None:
        events = self.at.gateway.watch(self.at.owner, self.session_id)
        async with contextlib.aclosing(events):
            async for event in events:
                if event.kind != "turn-started":  # its turn is none before it has ended
                    self._due.set()

    async def _keep_identifying(self) -> None:
        """Ask until it is known who the gateway is: since the watch before another process may be at its place."""
        while True:
            try:
                await self._identify()
            except errors.WarpError:
                await asyncio.sleep(_LONGEST)
            else:
                self._told(self)
                return


async def look_at_all(mirrors: Iterable[Mirror]) -> None:
    """Have all of them look, at the same time."""
    await asyncio.gather(*(one.look_soon() for one in mirrors))


def _marks(session: Session | None) -> tuple[object, ...] | None:
    """Return what is another after each change of a session's turns or title."""
    if session is None:
        return None
    return session.title, session.turns, session.updated_at, session.branches, session.usage


# -- sessions and models ---------------------------------------------------------------------------


async def opened(at: Connection, session_id: str | None, model: str, told: Callable[[Mirror], None]) -> Mirror:
    """Return a mirror that has read its session (None: a new one), once it is known that ``model`` can be asked."""
    if model:
        await known(at, model)
    session = await made(at, session_id)
    mirror = Mirror(at, session.key.id, told)
    await mirror.begin(session)
    return mirror


async def made(at: Connection, session_id: str | None) -> Session:
    """Return a session's description; it is made where it is not there (None: with an id of its own)."""
    gateway, owner = at.gateway, at.owner
    if session_id is None:
        return await gateway.create(owner)
    with contextlib.suppress(errors.SessionNotFound):
        return await gateway.session(owner, session_id)
    with contextlib.suppress(errors.SessionExists):
        return await gateway.create(owner, session_id)
    return await gateway.session(owner, session_id)  # somebody was quicker


async def made_soon(at: Connection, session_id: str) -> None:
    """As ``made``, for who does not wait for it: where it fails it is tried again once the session is followed."""
    with contextlib.suppress(errors.WarpError):
        await made(at, session_id)


async def left(at: Connection, session_id: str) -> None:
    """Delete a session in which nothing was ever asked and that nobody has named; where that fails it stays."""
    with contextlib.suppress(errors.WarpError):
        session = await at.gateway.session(at.owner, session_id)
        if not (session.turns or session.branches or session.live_stream_id or session.title):
            await at.gateway.delete(at.owner, session_id)


async def known(at: Connection, model: str) -> None:
    """Raise what asking ``model`` would, where there is no such model; nobody is asked."""
    await at.gateway.preview(ChatRequest("?", models=(model,), store=False, owner=at.owner))


async def gateway_id(at: Connection) -> str:
    """Return the id by which a page may find this gateway elsewhere; none where only the kernel has it."""
    return "" if not at.urls or at.tape is not None else (await at.gateway.status()).gateway_id
