"""Clients of one server, what its errors mean, and whom the sentinels name. The only door to redis-py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import hiredis
from redis._parsers.hiredis import NOT_ENOUGH_DATA  # it has no other name
from redis.asyncio import Connection, Redis
from redis.asyncio.connection import DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as LostConnection

from ...errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable, Sequence
    from typing import TypeAlias

    Command: TypeAlias = Sequence[str | float | bytes]

__all__ = [
    "AskError",
    "Connection",
    "MovedError",
    "NoScriptError",
    "Redis",
    "RedisError",
    "ResponseError",
    "key_slot",
]

CALL_SECONDS: Final = 0.9
"""A call that takes longer has failed: a prompt may wait for a dead store once, and less than a second."""
_CONNECTIONS: Final = 65536  # each follower keeps one waiting; redis-py's own limit of 100 would shut all others out
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
UNSETTLED: Final = (ClusterDownError, TryAgainError)
"""What a cluster says that has something to settle first."""
_BLOCKING: Final = frozenset({"XREAD", "WAIT"})
_ANSWERS: Final = ("ERR", "UNBLOCKED")  # what a server that is well may say to one command

T = TypeVar("T")


class Parser(DefaultParser):  # type: ignore[misc, valid-type]
    """redis-py's for hiredis, which reads many replies as cheaply as one."""

    async def replies(self, count: int) -> list[Any]:
        """Return the next ``count`` replies; what was refused is its error in its place. Raises RedisError and OSError."""
        found: list[Any] = []
        while len(found) < count:
            reply = self._reader.gets()
            if reply is NOT_ENOUGH_DATA:
                await self.read_from_socket()
            elif isinstance(reply, LostConnection):
                raise reply
            else:
                found.append(reply)
        return found


class SecretText(Protocol):
    """A text that shows itself only when asked."""

    def reveal(self) -> str:
        """Return the text."""


class Sentinels(Protocol):
    """Who watches the primary called ``name``; ``hosts`` are ``host`` or ``host:port``."""

    @property
    def name(self) -> str:
        """What they call it."""

    @property
    def hosts(self) -> Sequence[str]:
        """Where they are."""

    @property
    def username(self) -> str | None:
        """Who we are to them."""

    @property
    def password(self) -> SecretText | None:
        """With which password."""


def client_of(url: str, **settings: Any) -> Redis:
    """Return a client for ``url`` (valkey(s)://, redis(s)://, unix://); it fails at once, we decide what follows."""
    scheme, colon, rest = url.partition(":")
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
    return Redis.from_url(
        scheme + colon + rest,
        **{
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": CALL_SECONDS,
            "retry": Retry(NoBackoff(), 1),
            "max_connections": _CONNECTIONS,
            "parser_class": Parser,
            **settings,
        },
    )


def url_at(url: str, host: str, port: int) -> str:
    """Return ``url`` with another host: same user, password, database and encryption."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{f'[{host}]' if ':' in host else host}:{port}").geturl()


def address_of(url: str) -> tuple[str, int]:
    """Return a URL's host and port."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORT


async def exchange(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """Return the replies to ``commands``, sent together on one connection; what the server refused is its error."""
    if len(commands) == 1:
        try:
            return [await client.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
        except ResponseError as error:
            return [error]
    async with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute(raise_on_error=False))


def blocks(commands: Sequence[Command]) -> bool:
    """Return whether they may make whoever shares their connection wait."""
    return not _BLOCKING.isdisjoint([command[0] for command in commands])


def packed(commands: Sequence[Command]) -> bytes:
    """Return ``commands`` as they are sent."""
    return b"".join([hiredis.pack_command(tuple(command)) for command in commands])  # type: ignore[arg-type]


def replies(connection: Connection, count: int) -> Coroutine[Any, Any, list[Any]]:
    """Return the next ``count`` replies on a connection of ``client_of``; see Parser.

    redis-py's own way to read costs several times the reply: hooks and time-outs that the pipe has for all together.
    """
    parser = cast("Parser", connection._parser)  # noqa: SLF001 - nor has this
    return parser.replies(count)


def read_as(client: Redis, command: Command, reply: Any) -> Any:
    """Return a reply as redis-py gives it for that command."""
    callback = client.response_callbacks.get(str(command[0]))
    return reply if callback is None or reply is None else callback(reply)


async def first(asked: Iterable[Awaitable[T]]) -> T:
    """Return the first good answer, and ask the others no more; raise the last one's trouble if there is none."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    trouble: Exception = StoreUnavailable("The store has no node to ask.")
    try:
        for answer in asyncio.as_completed(tasks):
            try:
                return await answer
            except (RedisError, OSError, StoreUnavailable) as error:
                trouble = error
        raise trouble
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def watched_primary(sentinels: Sentinels, url: str) -> str:
    """Return ``url`` at the server that a sentinel names and that says itself that it is the primary.

    Takes less than CALL_SECONDS. Raises StoreUnavailable, redis-py's errors and OSError.
    """
    async with asyncio.timeout(CALL_SECONDS):
        return await first(_named(sentinels, host, url) for host in sentinels.hosts)


async def _named(sentinels: Sentinels, host: str, url: str) -> str:
    scheme = "rediss" if urlsplit(url).scheme in {"rediss", "valkeys"} else "redis"
    parts = urlsplit(f"{scheme}://{host}")
    password = sentinels.password.reveal() if sentinels.password else None
    at = url_at(f"{scheme}://{host}", parts.hostname or "", parts.port or _SENTINEL_PORT)
    async with client_of(at, username=sentinels.username, password=password) as sentinel:
        found = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinels.name)  # type: ignore[no-untyped-call]
    if not found:
        raise StoreUnavailable(f'No sentinel knows a primary "{sentinels.name}" (storage.sentinel).')
    url = url_at(url, found[0].decode(), int(found[1]))
    async with client_of(url) as client:
        role = await client.execute_command("ROLE")  # type: ignore[no-untyped-call]
    if role[0] not in {"master", b"master"}:  # a sentinel that slept knows only who it was
        raise StoreUnavailable("The store is choosing another primary; it is tried again in a second.")
    return url


def is_trouble(error: RedisError) -> bool:
    """Tell trouble of the server from an answer that concerns one command; redis-py takes the word ERR off the text.

    A spoilt key is that session's trouble; the store answers all others. A full store refuses what would grow it, and
    that at once; what it has can be read and deleted.
    """
    if not isinstance(error, ResponseError):
        return True
    if isinstance(error, (NoScriptError, AskError, OutOfMemoryError, *UNSETTLED)):
        return False
    word = getattr(error, "status_code", None)
    return word not in _ANSWERS and not str(error).startswith(("WRONGTYPE", "UNBLOCKED"))


def words(error: Exception) -> str:
    """Say in a sentence what is wrong."""
    if isinstance(error, AuthenticationError):
        return "The store refused the user name or password (storage.url in the configuration)."
    if isinstance(error, TimeoutError):
        return "The store did not answer in time; it is tried again in a second."
    if isinstance(error, StoreUnavailable):
        return error.message
    if isinstance(error, ClusterDownError):
        return f"The store's cluster is down: {error}"
    if isinstance(error, ResponseError):
        return f"The store refused: {error}"
    return f"The store cannot be reached ({type(error).__name__}); it is tried again in a second."
