"""Pipe: one connection that all share. What is asked while an exchange is on its way goes together with the next."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .clients import RedisError, packed, read_as, replies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .clients import Command, Connection, Redis

_GATHERING: Final = 2
"""Turns of the loop for which an exchange waits for company: what one prompt asks at a time is asked by several tasks."""
_LATE_SECONDS: Final = 0.05
"""A timer that rings later than this was not heard: the loop was held up, and could not hear the store either."""


@dataclass(slots=True)
class _Asked:
    commands: Sequence[Command]
    sent: bytes
    until: float
    replies: asyncio.Future[list[Any]]


class Pipe:
    """Commands of many callers, written together and answered in their order; a connection is opened when needed.

    An exchange costs one write and one read however many commands are in it, so the more is asked at a time, the less
    each costs. Belongs to the event loop it is first used on.
    """

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._connection: Connection | None = None
        self._asked: list[_Asked] = []
        self._under_way: list[_Asked] = []
        self._exchanging: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def send(self, commands: Sequence[Command], until: float) -> asyncio.Future[list[Any]]:
        """Return the replies to ``commands`` by the loop's time ``until``; what was refused is its error in its place.

        Who is cancelled gives up the replies, not what was sent. Raises redis-py's errors and OSError.
        """
        if self._error is not None:
            raise self._error
        asked = _Asked(commands, packed(commands), until, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if until < self._rings_at:
            self._watch(until)
        if self._exchanging is None:
            self._exchanging = asyncio.ensure_future(self._exchange_all())
        return asked.replies

    def _watch(self, until: float) -> None:
        """Look at ``until`` who waits in vain: one timer for all, most of whom are answered long before it rings."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(until, self._look)
        self._rings_at = until

    def _look(self) -> None:
        """Tell who is overdue; where this process stood still itself, only once what came meanwhile has been read."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._rings_at > _LATE_SECONDS:
            self._timer = loop.call_later(_LATE_SECONDS, self._tell_overdue)
        else:
            self._tell_overdue()

    def _tell_overdue(self) -> None:
        self._timer, self._rings_at = None, math.inf
        now = asyncio.get_running_loop().time()
        waiting = [asked for asked in (*self._under_way, *self._asked) if not asked.replies.done()]
        for asked in waiting:
            if asked.until <= now:
                asked.replies.set_exception(TimeoutError())
        if left := [asked.until for asked in waiting if asked.until > now]:
            self._watch(min(left))

    async def _exchange_all(self) -> None:
        for _ in range(_GATHERING):
            await asyncio.sleep(0)
        try:
            while self._asked:
                self._under_way = [asked for asked in self._asked if not asked.replies.done()]
                self._asked = []
                await self._exchange(self._under_way)
                self._under_way = []
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            self._answer(self._under_way, error)
            await self._disconnect()  # what it has not been asked for yet would be taken for the next one's reply
        finally:
            self._exchanging = None
        if self._asked:  # while what is under way failed
            self._exchanging = asyncio.ensure_future(self._exchange_all())

    async def _exchange(self, batch: Sequence[_Asked]) -> None:
        """Send what was asked and answer it; over a connection that was closed meanwhile, once more over a new one.

        What is asked of a store may be asked twice: see its scripts.
        """
        try:
            await self._over(await self._connected(), batch)
        except (RedisError, OSError):
            await self._disconnect()
            await self._over(await self._connected(), [asked for asked in batch if not asked.replies.done()])

    async def _over(self, connection: Connection, batch: Sequence[_Asked]) -> None:
        await connection.send_packed_command(b"".join([asked.sent for asked in batch]), check_health=False)
        for asked in batch:
            said = await replies(connection, len(asked.commands))
            if not asked.replies.done():
                asked.replies.set_result(list(map(self._read, asked.commands, said)))

    def _read(self, command: Command, reply: Any) -> Any:
        if isinstance(reply, RedisError):
            return reply
        try:
            return read_as(self.client, command, reply)
        except Exception as error:  # noqa: BLE001 - the others of the batch have theirs
            return RedisError(f"a reply to {command[0]!r} that cannot be read ({type(error).__name__})")

    async def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = await self.client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self.client.connection_pool.release(connection)

    def fail(self, error: Exception) -> None:
        """Answer all who still wait, and all who ask from now on, with ``error``."""
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings_at = None, math.inf
        if self._exchanging is not None:
            self._exchanging.cancel()
        self._answer(self._asked, error)
        self._answer(self._under_way, error)

    @staticmethod
    def _answer(waiting: list[_Asked], error: Exception) -> None:
        for asked in waiting:
            if not asked.replies.done():
                asked.replies.set_exception(error)
        waiting.clear()

    async def aclose(self) -> None:
        """Close all connections."""
        with contextlib.suppress(RedisError, OSError):  # they are thrown away because they are broken
            if (exchanging := self._exchanging) is not None:
                await asyncio.wait({exchanging})
            await self._disconnect()
            await self.client.aclose()
