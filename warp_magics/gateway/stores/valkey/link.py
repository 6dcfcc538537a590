"""Link: the way to a Valkey, a Redis, a cluster of them or the one that sentinels name."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...errors import StoreUnavailable
from .clients import (
    CALL_SECONDS,
    UNSETTLED,
    AskError,
    MovedError,
    NoScriptError,
    RedisError,
    client_of,
    watched_primary,
    words,
)
from .cluster import Cluster
from .place import OPEN_SECONDS, One, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .clients import Command, Sentinels
    from .place import Places

__all__ = ["CALL_SECONDS", "OPEN_SECONDS", "Link", "client_of"]

CONNECT_SECONDS: Final = 5.0
"""The first connection may have to start an embedded server."""
_WAY_BACK_SECONDS: Final = 0.1
"""Of a call, what an answer is given to come back: what is done later than that is done for nobody."""
_COPY_SECONDS: Final = CALL_SECONDS / 2
"""Of a call, what the replicas are waited for: a dead one costs every turn so much."""
_SETTLE_SECONDS: Final = 0.05
_HERE: Final = Path(__file__).parent
_PRELUDE: Final = "session"  # what the scripts about sessions share
_KEYLESS: Final = frozenset({"INFO", "PING", "TIME"})


class Link:
    """``locate`` returns the URL of a server that is up (``client_of`` says which); it is asked again after a failure.

    ``cluster``: it is one of a cluster's, from which the others become known. ``sentinel``: those who are asked where
    the primary is; of the URL all but host and port holds. ``replicas`` is how many of them ``copied_script`` waits for.

    Belongs to the event loop it is first used on. ``clock`` is monotonic seconds. All verbs raise StoreUnavailable:
    within CALL_SECONDS, and at once where a server has just failed. In a cluster each server fails for itself.
    """

    def __init__(
        self,
        locate: Callable[[], Awaitable[str]],
        *,
        cluster: bool = False,
        sentinel: Sentinels | None = None,
        replicas: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._replicas = replicas
        self._places: Places
        if cluster:
            self._places = Cluster(locate, clock)
        elif sentinel is not None:

            async def primary() -> str:
                return await watched_primary(sentinel, await locate())

            self._places = One(Place(primary, clock))
        else:
            self._places = One(Place(locate, clock, patience=CONNECT_SECONDS))
        self._scripts: dict[str, tuple[str, str]] = {}

    async def call(self, *command: str | float | bytes, wait: float = 0.0) -> Any:
        """Return the reply to one command, which may itself block for ``wait`` seconds."""
        return _good(await self._exchange(_key(command), [command], _until(wait)))[0]

    async def pipe(self, *commands: Command) -> list[Any]:
        """Return the replies to several commands, sent together to each server; not a transaction."""
        if len(commands) == 1:
            return [await self.call(*commands[0])]
        until = _until()
        shares: dict[Place, list[int]] = {}
        for at, command in enumerate(commands):
            shares.setdefault(await self._places.of(_key(command), until), []).append(at)
        replies: list[Any] = [None] * len(commands)

        async def ask(place: Place, share: list[int]) -> None:
            try:
                said = await place.send([commands[at] for at in share], until)
            except StoreUnavailable as error:
                said = [error] * len(share)
            for at, reply in zip(share, said, strict=True):
                replies[at] = reply

        if len(shares) == 1:
            await ask(*next(iter(shares.items())))
        else:
            await asyncio.gather(*(ask(place, share) for place, share in shares.items()))
        for at, reply in enumerate(replies):
            if isinstance(reply, (StoreUnavailable, AskError, *UNSETTLED)):  # its key may have moved
                [replies[at]] = await self._exchange(_key(commands[at]), [commands[at]], until)
        return _good(replies)

    async def script(self, name: str, keys: Sequence[str], *args: str | float | bytes) -> Any:
        """Return the reply of the script ``name``, a file beside this one; ``keys`` lie on one slot."""
        until = _until()
        source, digest = self._script(name)
        replies = await self._exchange(keys[0], [("EVALSHA", digest, len(keys), *keys, *args)], until)
        if isinstance(replies[0], NoScriptError):
            replies = await self._exchange(keys[0], [("EVAL", source, len(keys), *keys, *args)], until)
        return _good(replies)[0]

    async def copied_script(self, name: str, keys: Sequence[str], *args: str | float | bytes) -> tuple[Any, bool]:
        """As ``script``, and whether as many replicas as configured have what it wrote.

        Of a script that wrote nothing this says only that there are as many.
        """
        if not self._replicas:
            return await self.script(name, keys, *args), True
        # With its text: were only that unknown, the replicas would be waited for in vain, and no time be left.
        script = ("EVAL", self._script(name)[0], len(keys), *keys, *args)
        wait = ("WAIT", self._replicas, round(_COPY_SECONDS * 1000))
        reply, copies = await self._exchange(keys[0], [script, wait], _until())
        return _good([reply])[0], isinstance(copies, int) and copies >= self._replicas

    async def deadline(self, key: str) -> int:
        """Return when, on the clock of the server that has ``key``, in milliseconds, a call made now has failed.

        A store that was frozen must not wake up and hold a session for a turn that was answered without it.
        """
        until = _until()
        place = await self._places.of(key, until)
        if place.ahead is None:
            [(seconds, micros)] = _good(await self._exchange(key, [("TIME",)], until))
            place = await self._places.of(key, until)  # perhaps another since
            # By when the answer is here: it may have waited for others on its way, and a deadline is better early than late.
            place.ahead = seconds + micros / 1e6 - self._clock()
        return round((self._clock() + place.ahead + CALL_SECONDS - _WAY_BACK_SECONDS) * 1000)

    def forget_clock(self) -> None:
        """Look at the servers' clocks anew: they may have been set."""
        for place in self._places.all():
            place.ahead = None

    async def info(self) -> dict[str, Any]:
        """Return what one server says of itself; of a cluster also how many ``primaries`` and ``replicas`` it has."""
        return dict(await self.call("INFO", "server")) | self._places.counts()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._places.aclose()

    async def _exchange(self, key: str | bytes | None, commands: Sequence[Command], until: float) -> list[Any]:
        """Return the replies to what belongs together and to ``key``.

        A cluster that is choosing a primary refuses what others have, too: it is asked again for a while.
        """
        loop = asyncio.get_running_loop()
        settled_by = loop.time() + CALL_SECONDS / 2
        replies = await self._once(key, commands, until)
        while isinstance(replies[0], UNSETTLED):
            if loop.time() > settled_by:
                (await self._places.of(key, until)).leave_alone(words(replies[0]))
                break
            await asyncio.sleep(_SETTLE_SECONDS)
            replies = await self._once(key, commands, until)
        return replies

    async def _once(self, key: str | bytes | None, commands: Sequence[Command], until: float) -> list[Any]:
        """Ask where the key is, or has gone meanwhile."""
        place = await self._places.of(key, until)
        try:
            replies = await place.send(commands, until)
        except StoreUnavailable:
            other = await self._places.of(key, until)
            if other is place:
                raise
            return await other.send(commands, until)
        moved = replies[0]
        if isinstance(moved, AskError):
            asking = not isinstance(moved, MovedError)
            return await self._places.moved(moved, place).send(commands, until, asking=asking)
        return replies

    def _script(self, name: str) -> tuple[str, str]:
        if name not in self._scripts:
            source = (_HERE / f"{name}.lua").read_text()
            if source.startswith(f"-- needs {_PRELUDE}"):
                source = (_HERE / f"{_PRELUDE}.lua").read_text() + source
            self._scripts[name] = (source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
        return self._scripts[name]


def _until(wait: float = 0.0) -> float:
    return asyncio.get_running_loop().time() + CALL_SECONDS + wait


def _key(command: Command) -> str | bytes | None:
    """Return the first key of a command, if it has one."""
    name = str(command[0]).upper()
    if name in _KEYLESS:
        return None
    at = [str(word).upper() for word in command].index("STREAMS") + 1 if name in {"XREAD", "XREADGROUP"} else 1
    key = command[at]
    return key if isinstance(key, bytes) else str(key)


def _good(replies: list[Any]) -> list[Any]:
    """Return ``replies``; raise StoreUnavailable where one is an error."""
    for reply in replies:
        if isinstance(reply, RedisError):
            raise StoreUnavailable(words(reply)) from reply
    return replies
