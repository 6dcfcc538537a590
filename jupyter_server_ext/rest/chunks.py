"""Chunks: what a reader of a stream is sent, a few events ahead of it; a comment fills each silence."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
        self._made: asyncio.Queue[T | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(AHEAD)
        self._task = asyncio.create_task(produce(self._put))
        self._task.add_done_callback(lambda _: self._made.put_nowait(None))

    @classmethod
    def of(cls, things: AsyncGenerator[T, None]) -> Pump[T]:
        """Return a pump of what ``things`` yields; the generator is closed with it."""

        async def produce(put: Put[T]) -> None:
            async with contextlib.aclosing(things):
                async for thing in things:
                    await put(thing)

        return cls(produce)

    async def _put(self, thing: T) -> None:
        await self._room.acquire()
        self._made.put_nowait(thing)

    async def next(self, seconds: float) -> T | None:
        """Return the next thing, None after ``seconds`` without one.

        Raises StopAsyncIteration once there are no more, or what ``produce`` has raised.
        """
        try:
            async with asyncio.timeout(seconds):
                thing = await self._made.get()
        except TimeoutError:
            return None
        if thing is not None:
            self._room.release()
            return thing
        if not self._task.cancelled() and (error := self._task.exception()):
            raise error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the task, and wait until it has."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Chunks(Generic[T]):
    """The bytes of a stream, whose beginning ``first`` (None: silence) has been awaited already; close it at its end.

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
        self._waiting = [first]
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
            thing = self._waiting.pop() if self._waiting else await self._pump.next(self._ping)
            chunk = _PING if thing is None else self._write(thing)
        except (StopAsyncIteration, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - nobody else can tell the reader
            self._over = True
            return self._last(error)
        self._resumable = self._resumable or (self._numbered and thing is not None)
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
