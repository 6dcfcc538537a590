"""News: what happens to a session and in its answers, gathered, numbered and told to a page."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .gateway import Told, errors, merge, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .connect import Connection

_log = logging.getLogger("warp_magics.panel")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds for which events are gathered, and seconds of silence after which a page is told that nothing was lost."""

    gather: float = 0.05
    silence: float = 15.0


class News:
    """``tell(seq, events)`` is called behind the portal, ``seq`` counted from 1; without events it is that of the last."""

    def __init__(self, tell: Callable[[int, list[dict[str, Any]]], None], pace: Pace) -> None:
        self._tell = tell
        self._pace = pace
        self._seq = 0
        self._events: list[dict[str, Any]] = []
        self._due = asyncio.Event()

    async def run(self, at: Connection, session_id: str, after: Mapping[str, str]) -> None:
        """Tell what happens behind the events ``after``, by their sources, until the session is deleted.

        What ends the watching earlier is told as an event of its own, ``error``.
        """
        watching = asyncio.ensure_future(self._watch(at, session_id, after))
        watching.add_done_callback(lambda _: self._due.set())
        try:
            while not watching.done() or self._events:
                await self._next()
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _next(self) -> None:
        try:
            async with asyncio.timeout(self._pace.silence):
                await self._due.wait()
        except TimeoutError:
            self._tell(self._seq, [])
            return
        await asyncio.sleep(self._pace.gather)
        self._due.clear()
        events, self._events = self._events, []
        if events:
            self._seq += 1
            self._tell(self._seq, events)

    async def _watch(self, at: Connection, session_id: str, after: Mapping[str, str]) -> None:
        try:
            await merge(at.gateway, at.owner, (session_id,), after, self._put)
        except Exception as error:  # noqa: BLE001 - a page that is told of no end would wait for ever
            if not isinstance(error, errors.WarpError):
                _log.exception("news_failed session=%s", session_id)
            await self._put(Told("error", "", wire.error_json(error)))

    async def _put(self, told: Told | None) -> None:
        one = told or Told("watching", "", {})
        self._events.append({"event": one.event, "id": one.id, "data": one.data})
        self._due.set()
