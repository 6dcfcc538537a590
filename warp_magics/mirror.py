"""Mirror: a session's turns as they are now, read anew whenever something has happened to it, whoever did it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .gateway import ChatRequest, errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connect import Connection
    from .gateway import Session, Turn

_FIRST: Final = 0.5
_LONGEST: Final = 30.0
"""Seconds after which a watch that has ended is tried again: the first time, and at most."""
_SETTLED: Final = 1.0
"""Seconds after which what happened before the watch had begun is seen."""
_LOOK_SECONDS: Final = 2.0
"""How long a cell's end may be held up."""
_log = logging.getLogger("warp_magics.panel")


@dataclass(frozen=True, slots=True)
class Reading:
    """A session's title and turns at a moment; a later one has a higher ``number``. Not ``exists``: there is none."""

    number: int = 0
    title: str = ""
    turns: tuple[Turn, ...] = ()
    exists: bool = False


class Mirror:
    """Reads ``session_id`` behind the portal of ``at``, and calls ``hear`` there with each reading; ``latest`` is the last."""

    _numbers = itertools.count(1)

    def __init__(self, at: Connection, session_id: str, hear: Callable[[Mirror, Reading], None]) -> None:
        self.at = at
        self.session_id = session_id
        self._hear = hear
        self.latest = Reading()
        self._marks: Any = None
        self._cancel: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._soon = asyncio.Event()

    def start(self) -> None:
        """Make the session, where it is not there, and begin to watch it; waits for nothing."""
        self._cancel = self.at.portal.start(self._run)

    def again(self) -> None:
        """Watch at once, where that was to be tried later; may be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._soon.set)

    def close(self) -> None:
        """Watch no more."""
        self._cancel()

    async def create(self) -> None:
        """Make the session, where it is not there."""
        with contextlib.suppress(errors.SessionExists):
            await self.at.gateway.create(self.at.owner, self.session_id)

    async def read(self) -> Reading:
        """Return the session as it is now."""
        reading = await self._read()
        if reading.number > self.latest.number:
            self.latest = reading
        return reading

    async def look(self) -> Reading:
        """Return the session as it is now, read only where it has changed; raises TimeoutError where that takes long."""
        async with asyncio.timeout(_LOOK_SECONDS):
            try:
                marks = _marks(await self.at.gateway.session(self.at.owner, self.session_id))
            except errors.SessionNotFound:
                marks = None
            return self.latest if self.latest.number and marks == self._marks else await self.read()

    async def _read(self) -> Reading:
        number, gateway, owner = next(self._numbers), self.at.gateway, self.at.owner
        try:
            session = await gateway.session(owner, self.session_id)
            turns = await gateway.history(owner, self.session_id)
        except errors.SessionNotFound:
            self._marks = None
            return Reading(number)
        self._marks = _marks(session)  # described before it was read: what came in between is seen next time
        return Reading(number, session.title, turns, exists=True)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        pause, create, clock = _FIRST, True, self._loop.time
        while True:
            begun = clock()
            try:
                if create:
                    await self.create()
                    create = False
                await self._follow()
            except Exception as error:  # noqa: BLE001 - it is tried again, whatever it was
                level = logging.WARNING if isinstance(error, errors.WarpError) else logging.ERROR
                _log.log(level, "panel_not_told session=%s reason=%s", self.session_id, error)
            if clock() - begun > _LONGEST:
                pause = _FIRST
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._soon.wait()
            self._soon.clear()
            pause = min(2 * pause, _LONGEST)

    async def _follow(self) -> None:
        """Read now, and after each event, until the watching ends: by an error, or with the session."""
        due = asyncio.Event()
        due.set()
        watching = asyncio.ensure_future(self._watch(due))
        watching.add_done_callback(lambda _: due.set())
        settled = asyncio.get_running_loop().call_later(_SETTLED, due.set)
        try:
            while True:
                await due.wait()
                due.clear()
                self._hear(self, await self.read())
                if watching.done():
                    return watching.result()
        finally:
            settled.cancel()
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self, due: asyncio.Event) -> None:
        events = self.at.gateway.watch(self.at.owner, self.session_id)
        async with contextlib.aclosing(events):
            async for _ in events:
                due.set()


def _marks(session: Session) -> tuple[object, ...]:
    """Return what is another after each change of a session's turns or title."""
    return session.title, session.turns, session.updated_at, session.branches, session.usage


# -- before it is followed -------------------------------------------------------------------------


async def made(at: Connection, session: str | None, model: str) -> str:
    """Make the session, where it is not there, once it is known that ``model`` can be asked."""
    if model:
        await known(at, model)
    try:
        return (await at.gateway.create(at.owner, session)).key.id
    except errors.SessionExists:
        return session or ""


async def known(at: Connection, model: str) -> None:
    """Raise what asking ``model`` would, where there is no such model; nobody is asked."""
    await at.gateway.preview(ChatRequest("?", models=(model,), store=False, owner=at.owner))


async def gateway_id(at: Connection) -> str:
    """Return the id by which a page may find this gateway elsewhere; none where only the kernel has it."""
    if not at.urls or at.tape is not None:
        return ""
    with contextlib.suppress(TimeoutError):  # then all goes over the comm
        async with asyncio.timeout(_LOOK_SECONDS):
            return (await at.gateway.status()).gateway_id
    return ""
