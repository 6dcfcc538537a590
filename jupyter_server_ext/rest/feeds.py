"""The feeds of several sessions and the events of their live answers, on one connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Final

from warp_magics.gateway import comment, encode, errors, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from warp_magics.gateway import Event, Gateway

MOST: Final = 100
"""Sessions that one connection may watch."""


def read_sessions(named: Sequence[str]) -> tuple[str, ...]:
    """Return the sessions named, each once; raises InvalidRequest for none and for too many."""
    sessions = tuple(dict.fromkeys(named))
    if not 1 <= len(sessions) <= MOST:
        raise errors.InvalidRequest(f"Name 1 to {MOST} sessions, as ?session=A&session=B.")
    return sessions


def read_after(said: Sequence[str], sessions: Sequence[str]) -> dict[str, str]:
    """Return the last event seen of each session and stream that ``SESSION:ID`` and ``STREAM:ID`` name.

    Raises InvalidRequest for what is neither, or is of none of ``sessions``.
    """
    seen: dict[str, str] = {}
    for one in said:
        source, _, event_id = one.partition(":")
        if not event_id or source.partition("~")[0] not in sessions:
            raise errors.InvalidRequest(f"after={one[:300]!r} is not SESSION:ID or STREAM:ID of a session asked for.")
        seen[source] = event_id
    return seen


async def merge(
    gateway: Gateway,
    owner: str,
    sessions: Sequence[str],
    after: Mapping[str, str],
    put: Callable[[bytes], Awaitable[None]],
) -> None:
    """Put what happens to ``sessions``, and their answers, as server-sent events, until all are deleted.

    A comment comes once all are watched. A session or stream that is not there is told by an ``error`` event. Raises
    StoreUnavailable, for then nothing that follows would be whole.
    """
    watched = [_Watched(gateway, owner, session_id, after, put) for session_id in sessions]
    try:
        async with asyncio.TaskGroup() as group:
            for one in watched:
                group.create_task(one.run())
            for one in watched:
                await one.known.wait()
            await put(comment("ping"))
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
        put: Callable[[bytes], Awaitable[None]],
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
            except errors.StoreUnavailable:
                raise
            except errors.WarpError:
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
                    await self._put(wire.session_event_bytes(event))
                    if event.kind == "turn-started" and event.stream_id:
                        self._follow(group, event.stream_id)
        except errors.StoreUnavailable:
            raise
        except errors.WarpError as error:
            await self._put(_told(error, sessionId=self._id))

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
            except errors.StoreUnavailable:
                raise
            except errors.WarpError as error:
                await self._put(_told(error, sessionId=self._id, streamId=stream_id))

    def _addressed(self, event: Event, stream_id: str) -> bytes:
        """Return an answer's event, its data told apart from those of other answers."""
        head, name, data = wire.event_bytes(event).partition(b"data: ")
        body = {**json.loads(data), "sessionId": self._id, "streamId": stream_id}
        return head + name + wire.json_bytes(body) + b"\n\n"


def _told(error: errors.WarpError, **of: str) -> bytes:
    return encode(wire.json_bytes({**wire.error_json(error), **of}).decode(), event="error")
