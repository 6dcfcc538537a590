"""Place: one server, its connections, its circuit and its clock; and ``One``, the store that is a single place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...errors import StoreUnavailable
from .clients import CALL_SECONDS, RedisError, blocks, client_of, exchange, is_trouble, words
from .pipe import Pipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .clients import AskError, Command

OPEN_SECONDS: Final = 1.0
"""After a failure a server is left alone for this long, so that a dead one costs one request its time-out, not all."""

_CLOSED: Final = "The store was closed."


class Place:
    """``locate`` returns the URL of a server that is up; it is asked again after a failure.

    ``patience`` is how many seconds more than a call ``locate`` may take: it may have to start the server.
    ``ahead`` is how many seconds the server's clock is ahead of ``clock``, None while nobody looked.
    """

    def __init__(
        self, locate: Callable[[], Awaitable[str]], clock: Callable[[], float], *, patience: float = 0.0
    ) -> None:
        self._locate = locate
        self._clock = clock
        self._patience = patience
        self._pipe: Pipe | None = None
        self._connecting: asyncio.Task[Pipe] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._left_alone_until = 0.0
        self.ahead: float | None = None
        self.trouble = ""
        """What was wrong when it was last asked, empty if nothing."""

    async def send(self, commands: Sequence[Command], until: float, *, asking: bool = False) -> list[Any]:
        """Return the replies to ``commands``, sent together on one connection, by the loop's time ``until``.

        What was refused is a redis-py error in its place. ``asking``: they are about keys that are still to move here.
        Raises StoreUnavailable where the server is in trouble: at once for as long as it is left alone.
        """
        if self.trouble:
            until = await self._try(until)
        pipe = self._pipe
        try:
            if pipe is None:
                pipe, until = await self._piped(until)
            sent = [(b"ASKING",), *commands] if asking else commands
            replies = await (self._apart(pipe, sent, until) if blocks(commands) else pipe.send(sent, until))
            for reply in replies:
                if isinstance(reply, RedisError) and is_trouble(reply):
                    raise reply
        except (RedisError, OSError, StoreUnavailable) as error:
            raise self._failed(pipe, error) from error
        return replies[1:] if asking else replies

    async def _try(self, until: float) -> float:
        """Find out whether a server that was in trouble is well again, and return by when it may still be asked.

        One does, first, as what he asks itself may wait; others need not wait to hear that it is still dead.
        """
        if self._clock() < self._left_alone_until:
            raise StoreUnavailable(self.trouble)
        self._left_alone_until = self._clock() + CALL_SECONDS
        pipe = self._pipe
        try:
            pipe, until = await self._piped(until)
            [pong] = await pipe.send([("PING",)], until)
            if isinstance(pong, RedisError):
                raise pong  # noqa: TRY301 - as all that goes wrong here
        except (RedisError, OSError, StoreUnavailable) as error:
            raise self._failed(pipe, error) from error
        except BaseException:  # whoever tried has left
            self._left_alone_until = 0.0
            raise
        self.trouble, self._left_alone_until = "", 0.0
        return until

    def _failed(self, pipe: Pipe | None, error: Exception) -> StoreUnavailable:
        """Leave the server alone, and return why; what went wrong over connections that it has no more says nothing of it."""
        trouble = StoreUnavailable(words(error))
        if pipe is self._pipe:
            self.leave_alone(trouble.message)
        return trouble

    async def _piped(self, until: float) -> tuple[Pipe, float]:
        """Return the pipe, connecting where there is none, and ``until`` later by as long as that took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        pipe = self._pipe or await self._connected(until + self._patience)
        return pipe, until + min(loop.time() - started, self._patience)

    async def _apart(self, pipe: Pipe, commands: Sequence[Command], until: float) -> list[Any]:
        """Exchange them on a connection of their own."""
        try:
            async with asyncio.timeout_at(until):
                return await exchange(pipe.client, commands)
        finally:
            if pipe is not self._pipe:  # left alone meanwhile, and perhaps connected once more after that
                self._close(pipe)

    def leave_alone(self, why: str) -> None:
        """Ask it no more for OPEN_SECONDS, and then anew."""
        self._left_alone_until = self._clock() + OPEN_SECONDS
        self.ahead = None  # another server may come up in its place
        self.trouble = why
        self._drop()  # a new connection may have to start the server first

    async def _connected(self, until: float) -> Pipe:
        """Return the pipe, connecting first; one connection attempt serves all who wait for it."""
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._has_connected)
        async with asyncio.timeout_at(until):
            return await asyncio.shield(self._connecting)

    async def _connect(self) -> Pipe:
        return Pipe(client_of(await self._locate()))

    def _has_connected(self, connecting: asyncio.Task[Pipe]) -> None:
        if self._connecting is connecting:
            self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._pipe = connecting.result()

    def _drop(self) -> None:
        """Close the connections without making anybody wait: a frozen server takes its time for that, too."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.fail(StoreUnavailable(self.trouble or _CLOSED))
            self._close(pipe)

    def _close(self, pipe: Pipe) -> None:
        closing = asyncio.ensure_future(pipe.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close all connections."""
        if (connecting := self._connecting) is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        self._drop()
        await asyncio.gather(*self._closing)


class Places(Protocol):
    """Who has which key."""

    async def of(self, key: str | bytes | None, until: float) -> Place:
        """Return the place of ``key``, any for None, by the loop's time ``until``; raises StoreUnavailable."""

    def moved(self, error: AskError, place: Place) -> Place:
        """Return where ``place`` says the key is; raises StoreUnavailable."""

    def all(self) -> list[Place]:
        """Return those that were needed so far."""

    def counts(self) -> dict[str, int]:
        """Return how many primaries and replicas there are, as far as it is known."""

    async def aclose(self) -> None:
        """Close all connections."""


class One:
    """All keys are in one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def of(self, key: str | bytes | None, until: float) -> Place:  # noqa: ARG002  wherever that is
        """Return the place."""
        return self._place

    def moved(self, error: AskError, place: Place) -> Place:  # noqa: ARG002
        """Raise StoreUnavailable: nothing can move."""
        raise StoreUnavailable("The store is a cluster: set storage.cluster = true in the configuration.") from error

    def all(self) -> list[Place]:
        """Return the place."""
        return [self._place]

    def counts(self) -> dict[str, int]:
        """Return nothing: it did not say."""
        return {}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._place.aclose()
