"""Tails: answers made elsewhere, or made before, read from the store: one reader a stream, whoever follows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from .errors import InvalidRequest, SessionNotFound, StoreUnavailable, StreamNotFound, WarpError
from .live import Shown
from .orphans import remains, rest_of
from .stores.base import Draft, Orphan
from .turns import is_session_id
from .types import SessionKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .orphans import Orphans
    from .stores.base import Store
    from .types import Turn

log = logging.getLogger("warp_magics.streams")

_WAIT_SECONDS: Final = 1.0  # a read waits so long for news; then it is looked whether anybody is still making some
_LOOK_SECONDS: Final = 0.2
_OUTAGE_SECONDS: Final = 30.0
"""A store that is away for so long ends its followers' reading; they come back and go on where they were."""


class _Tail:
    """One stream being read from the store."""

    def __init__(self, key: SessionKey, n: int) -> None:
        self.key = key
        self.n = n
        self.shown = Shown()
        self.readers = 0
        self.known = asyncio.Event()
        """Set once the store has answered: the log is shown up to where it was then."""
        self.task: asyncio.Task[None] | None = None


def stream_key(owner: str, stream_id: str) -> tuple[SessionKey, int]:
    """Return the session and the turn's number that ``stream_id`` names; raises StreamNotFound."""
    session_id, _, n = stream_id.rpartition("~")
    if not is_session_id(session_id) or not (n.isascii() and n.isdigit() and len(n) < 16):  # noqa: PLR2004 - as many digits as numbers have
        raise StreamNotFound(f"There is no stream {stream_id[:140]!r}.")
    return SessionKey(owner, session_id), int(n)


def position_of(n: int, after: str | None) -> int:
    """Return K of the event id ``after``; raises InvalidRequest for one that is not of stream ``n``."""
    if after is None:
        return 0
    prefix, _, k = after.partition("-")
    if prefix != str(n) or not (k.isascii() and k.isdigit() and len(k) < 16):  # noqa: PLR2004 - likewise
        raise InvalidRequest(f"{after[:40]!r} is no event of this stream: their ids are {n}-1, {n}-2, ...")
    return int(k)


class Tails:
    """Reads from ``store``; a log whose producer is gone is handed to ``orphans``."""

    def __init__(self, store: Store, orphans: Orphans) -> None:
        self._store = store
        self._orphans = orphans
        self._tails: dict[tuple[SessionKey, int], _Tail] = {}

    @contextlib.asynccontextmanager
    async def tail(self, key: SessionKey, n: int) -> AsyncIterator[Shown]:
        """Have stream ``n`` read for as long as this is held; raises StreamNotFound, StoreUnavailable."""
        one = key, n
        tail = self._tails.get(one)
        if tail is None:
            tail = self._tails[one] = _Tail(key, n)
            tail.task = asyncio.create_task(self._read(tail))
        tail.readers += 1
        try:
            await tail.known.wait()
            yield tail.shown
        finally:
            tail.readers -= 1
            if not tail.readers:
                if self._tails.get(one) is tail:
                    del self._tails[one]
                if tail.task is not None:
                    tail.task.cancel()

    async def _read(self, tail: _Tail) -> None:
        loop = asyncio.get_running_loop()
        answered = None
        try:
            while not tail.shown.ended:
                try:
                    live = await self._more(tail)
                    answered = loop.time()
                    tail.known.set()
                    if not live and not tail.shown.ended:
                        await self._bereft(tail)
                except StoreUnavailable:
                    if answered is None or loop.time() - answered > _OUTAGE_SECONDS:
                        raise
                    await asyncio.sleep(_WAIT_SECONDS)
        except WarpError as error:
            tail.shown.fail(error)
        except Exception as error:
            log.exception("tail_failed stream=%s~%s", tail.key.id, tail.n)
            tail.shown.fail(WarpError(f"The stream cannot be read: {type(error).__name__}."))
        finally:
            if not tail.shown.ended and self._tails.get((tail.key, tail.n)) is tail:
                del self._tails[tail.key, tail.n]  # who comes now asks the store himself
            tail.known.set()

    async def _more(self, tail: _Tail) -> bool:
        """Read what is new; returns whether somebody is still making more."""
        wait = _WAIT_SECONDS if tail.known.is_set() else 0.0
        try:
            found = await self._store.logged(tail.key, tail.n, len(tail.shown.events), wait)
        except StreamNotFound:
            if not tail.shown.events:
                raise
            return False  # the log was lost on the way; its turn may tell the rest
        if found.events:
            tail.shown.add(found.events)
        return found.live

    async def _bereft(self, tail: _Tail) -> None:
        """End a log that nobody is making and that has no end: an orphan's, or one that lost its end."""
        turns: tuple[Turn, ...] = ()
        with contextlib.suppress(SessionNotFound):
            orphan = await self._store.orphan(tail.key)
            if orphan is not None and orphan.n == tail.n:
                self._orphans.notice(tail.key, orphan)
                await asyncio.sleep(_LOOK_SECONDS)
                return
            if await self._more(tail) or tail.shown.ended:  # it ended between two looks
                return
            turns = await self._store.turns(tail.key)
        turn = next((one for one in turns if one.n == tail.n), None)
        if turn is not None:
            tail.shown.add(rest_of(turn, tail.key, tail.shown.events))
        else:
            unknown = Orphan(tail.n, 0.0, Draft("", ""))
            tail.shown.add([remains(tail.key, unknown, tail.shown.events)[1]])

    async def aclose(self) -> None:
        """Stop reading; followers end with StoreUnavailable and may go on elsewhere."""
        for tail in list(self._tails.values()):
            if tail.task is not None:
                tail.task.cancel()
            tail.shown.fail(StoreUnavailable("The gateway is shutting down."))
