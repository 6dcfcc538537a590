"""Chunks: what a reader of a stream is sent, a few events ahead of it; a comment fills each silence."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from warp_magics.gateway import comment, errors, wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

log = logging.getLogger("jupyter_server_ext")

AHEAD: Final = 32
"""How many things wait for a slow reader; what makes more of them is then held up."""
T = TypeVar("T")
Put: TypeAlias = "Callable[[T], Awaitable[None]]"
_PING: Final = comment("ping")


class Pump(Generic[T]):
    """Runs ``produce`` as a task of its own, which hands over what it makes by the function it is called with.

    The task ends with ``produce``, or when the pump is closed.
    """

    def __init__(self, produce: Callable[[Put[T]], Coroutine[Any, Any, None]]) -> None:
        self._made: deque[T] = deque()
        self._reader = _Bell()
        self._maker = _Bell()
        self._task = asyncio.create_task(produce(self._put))
        self._task.add_done_callback(lambda _: self._reader.ring())

    @classmethod
    def of(cls, things: AsyncGenerator[T, None]) -> Pump[T]:
        """Return a pump of what ``things`` yields; the generator is closed with it."""

        async def produce(put: Put[T]) -> None:
            async with contextlib.aclosing(things):
                async for thing in things:
                    await put(thing)

        return cls(produce)

    async def _put(self, thing: T) -> None:
        while len(self._made) >= AHEAD:
            await self._maker.heard()
        self._made.append(thing)
        self._reader.ring()

    async def next(self, seconds: float) -> T | None:
        """Return the next thing, None after ``seconds`` without one.

        Raises StopAsyncIteration once there are no more, or what ``produce`` has raised.
        """
        if not await self._any(seconds):
            return None
        self._maker.ring()
        return self._made.popleft()

    async def ready(self, seconds: float) -> list[T]:
        """Return all that is there, waiting for the first of it; nothing after ``seconds``. Raises as ``next``."""
        if not await self._any(seconds):
            return []
        self._maker.ring()
        things = list(self._made)
        self._made.clear()
        return things

    async def _any(self, seconds: float) -> bool:
        while not self._made:
            if self._task.done():
                if not self._task.cancelled() and (error := self._task.exception()):
                    raise error
                raise StopAsyncIteration
            if not await self._reader.heard(seconds):
                return bool(self._made)
        return True

    async def aclose(self) -> None:
        """End the task, and wait until it has."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class _Bell:
    """Wakes all who wait for it."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[bool]] = []

    def ring(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(True)

    async def heard(self, seconds: float | None = None) -> bool:
        """Return whether it rang within ``seconds``."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiting)
        timer = None if seconds is None else loop.call_later(seconds, self._give_up, waiting)
        try:
            return await waiting
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            if timer is not None:
                timer.cancel()

    @staticmethod
    def _give_up(waiting: asyncio.Future[bool]) -> None:
        if not waiting.done():
            waiting.set_result(False)


class Chunks(Generic[T]):
    """The bytes of a stream, all that is ready in one piece; close it at its end.

    Its beginning ``first`` (None: silence) has been awaited already.
    ``write`` makes an event's bytes, ``fail`` those of a fault, ``ping`` is in seconds. A fault that comes now is an
    ``error`` event, for the status has gone out. A store that is lost is none to a reader who can come back (``resumable``, and whoever has
    seen an event, but where ``fail`` writes faults of its own: those events have no numbers): the stream just ends.
    """

    def __init__(
        self,
        pump: Pump[T],
        first: T | None,
        write: Callable[[T], bytes],
        *,
        ping: float,
        resumable: bool,
        fail: Callable[[errors.WarpError], bytes] | None = None,
    ) -> None:
        self._pump = pump
        self._begun: list[T] | None = [] if first is None else [first]
        self._write = write
        self._fail = fail or wire.failure_bytes
        self._numbered = fail is None
        self._ping = ping
        self._resumable = resumable
        self._over = False

    def __aiter__(self) -> Chunks[T]:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        try:
            if (things := self._begun) is None:
                things = await self._pump.ready(self._ping)
            self._begun = None
            chunk = b"".join(map(self._write, things)) if things else _PING
        except (StopAsyncIteration, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - nobody else can tell the reader
            self._over = True
            return self._last(error)
        self._resumable = self._resumable or (self._numbered and bool(things))
        return chunk

    def _last(self, error: Exception) -> bytes:
        if isinstance(error, errors.StoreUnavailable) and self._resumable:
            log.warning("stream_lost reason=%s", error.message)
            raise StopAsyncIteration
        if isinstance(error, errors.WarpError):
            return self._fail(error)
        log.error("stream_failed", exc_info=error)
        return self._fail(errors.WarpError("The gateway failed."))

    async def aclose(self) -> None:
        """Let go of what is read no further, at once and whether it has been read at all."""
        self._over = True
        await self._pump.aclose()
