"""The feeds of several sessions and the events of their live answers, in one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from . import wire
from .errors import StoreUnavailable, WarpError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .base import Gateway
    from .types import Event


@dataclass(frozen=True, slots=True)
class Told:
    """What happened, as it is told to whoever is elsewhere: ``data`` is JSON, and says of which session and stream.

    ``id`` is where to go on from; an ``error`` that is no answer's end has none.
    """

    event: str
    id: str
    data: Mapping[str, object]


Put: TypeAlias = Callable[[Told | None], Awaitable[None]]


async def merge(
    gateway: Gateway,
    owner: str,
    sessions: Sequence[str],
    after: Mapping[str, str],
    put: Put,
) -> None:
    """Put what happens to ``sessions``, and their answers, until all are deleted; None once all are watched.

    ``after`` has the id of the last event seen of a session, or of a stream: it is gone on with behind that. A session
    or stream that is not there is told by an ``error``. Raises StoreUnavailable, for then nothing that follows would be
    whole.
    """
    watched = [_Watched(gateway, owner, session_id, after, put) for session_id in sessions]
    try:
        async with asyncio.TaskGroup() as group:
            for one in watched:
                group.create_task(one.run())
            for one in watched:
                await one.known.wait()
            await put(None)
    except ExceptionGroup as failed:
        raise _first(failed) from None


def _first(failed: Exception) -> Exception:
    while isinstance(failed, ExceptionGroup):
        failed = failed.exceptions[0]
    return failed


class _Watched:
    """One of the sessions: its feed, and its answers in their order."""

    def __init__(
        self,
        gateway: Gateway,
        owner: str,
        session_id: str,
        after: Mapping[str, str],
        put: Put,
    ) -> None:
        self._gateway = gateway
        self._owner = owner
        self._id = session_id
        self._after = after
        self._put = put
        self.known = asyncio.Event()
        """Set once the session has been found, or found missing."""
        self._streams: set[str] = set()
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            # Watched before it is described: a turn that starts in between is seen twice rather than never.
            group.create_task(self._watch(group))
            try:
                live = (await self._gateway.session(self._owner, self._id)).live_stream_id
            except StoreUnavailable:
                raise
            except WarpError:
                live = None  # whose fault it is, the watching tells
            self.known.set()
            for stream_id in self._left_off():
                self._follow(group, stream_id)
            if live:
                self._follow(group, live)

    def _left_off(self) -> list[str]:
        """Return the streams that the reader has begun to read, oldest first."""
        begun = [source for source in self._after if source.startswith(f"{self._id}~")]
        return sorted(begun, key=lambda stream: (len(stream), stream))

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        try:
            events = self._gateway.watch(self._owner, self._id, self._after.get(self._id))
            async with contextlib.aclosing(events):
                async for event in events:
                    await self._put(Told(event.kind, event.id, wire.session_event_json(event)))
                    if event.kind == "turn-started" and event.stream_id:
                        self._follow(group, event.stream_id)
        except StoreUnavailable:
            raise
        except WarpError as error:
            await self._put(_failed(error, sessionId=self._id))

    def _follow(self, group: asyncio.TaskGroup, stream_id: str) -> None:
        if stream_id not in self._streams:
            self._streams.add(stream_id)
            group.create_task(self._pass_on(stream_id))

    async def _pass_on(self, stream_id: str) -> None:
        async with self._turn:  # one answer after the other, as they were given
            try:
                events = self._gateway.follow(self._owner, stream_id, self._after.get(stream_id))
                async with contextlib.aclosing(events):
                    async for event in events:
                        await self._put(self._addressed(event, stream_id))
            except StoreUnavailable:
                raise
            except WarpError as error:
                await self._put(_failed(error, sessionId=self._id, streamId=stream_id))

    def _addressed(self, event: Event, stream_id: str) -> Told:
        """Return an answer's event, its data told apart from those of other answers."""
        name, data = wire.event_parts(event)
        return Told(name, event.id, {**data, "sessionId": self._id, "streamId": stream_id})


def _failed(error: WarpError, **of: str) -> Told:
    return Told("error", "", {**wire.error_json(error), **of})
