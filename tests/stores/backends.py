"""The back ends over which the store's contract is tested."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import turn
from warp_magics.gateway.errors import SessionNotFound
from warp_magics.gateway.stores.base import Begun, Draft, Hold, Lives
from warp_magics.gateway.stores.embedded import EmbeddedServer, Places
from warp_magics.gateway.stores.valkey.link import Link
from warp_magics.gateway.types import ChatResponse, Ended, Model, Result, SessionKey, Source, Text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from tests.gateway.kit import Clock
    from warp_magics.gateway.stores.base import Asked, Orphan, Store, Waiting
    from warp_magics.gateway.types import Event, Turn

SERVERS = server_binaries()
KINDS = ("memory", *SERVERS, *(() if sys.platform == "win32" else ("embedded",)))
on_a_server = pytest.mark.parametrize(
    "place", [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "memory"], indirect=True
)
"""For what a process that holds everything alone has not."""
KEY = SessionKey("local", "s1")
A, B, C = Model("lab", "a"), Model("lab", "b"), Model("other", "a")


def lasting(**lives: float) -> Lives:
    return replace(Lives(lease=30.0, session=3600.0, stream=600.0), **lives)


def turn_of(hold: Hold, prompt: str = "ask", **fields: Any) -> Turn:
    return turn(hold.n, prompt, **{"id": f"turn-of-{hold.holder}", **fields})


def texts(n: int, *numbers: int) -> list[Event]:
    """Events of stream `n`."""
    return [Text(f"<{number}>", id=f"{n}-{number}") for number in numbers]


def ended(n: int, number: int) -> Ended:
    return Ended(ChatResponse("all", Result.COMPLETE, "lab:ok"), id=f"{n}-{number}")


@dataclass
class Backend:
    """A store and how its time passes: told to a memory's clock, waited for at a server's."""

    store: Store
    clock: Clock | None = None
    url: str = ""
    holders: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def begin(
        self,
        holder: str,
        key: SessionKey = KEY,
        *,
        turn_id: str | None = None,
        prompt: str = "ask",
        create: bool = True,
        **lives: float,
    ) -> Begun | Waiting | Asked | Orphan:
        draft = Draft(turn_id or f"turn-of-{holder}", prompt, Source("cell", "a.ipynb", "c1"))
        return await self.store.begin(key, holder, draft, lasting(**lives), create=create)

    async def hold(self, holder: str | None = None, key: SessionKey = KEY, **given: Any) -> Hold:
        """A session that was free."""
        holder = holder or f"holder-{next(self.holders)}"
        begun = await self.begin(holder, key, **given)
        assert isinstance(begun, Begun), begun
        return Hold(key, begun.n, holder, made=begun.status != "known")

    async def append(self, hold: Hold, turn: Turn | None = None, events: Sequence[Event] = (), **lives: float) -> bool:
        """The end of the turn that `hold` is on, as it was begun."""
        return await self.store.append(hold, turn or turn_of(hold), events, lasting(**lives))

    async def say(self, prompt: str = "ask", key: SessionKey = KEY, *, lives: Any = None, **fields: Any) -> Turn:
        """A whole turn."""
        hold = await self.hold(key=key, prompt=prompt, **(lives or {}))
        now = (await self.store.session(key)).updated_at
        said = turn_of(hold, prompt, **{"started_at": now, "ended_at": now, **fields})
        await self.append(hold, said, **(lives or {}))
        return said

    async def die(self, key: SessionKey = KEY, **given: Any) -> Hold:
        """A turn that was begun and whose holder is gone."""
        hold = await self.hold(key=key, **given, lease=0.03)
        await self.when(lambda: self.store.orphan(key), 0.03)
        return hold

    async def missing(self, key: SessionKey = KEY) -> bool:
        try:
            await self.store.session(key)
        except SessionNotFound:
            return True
        return False

    async def prompts(self, key: SessionKey = KEY, branch: int | None = None) -> list[str]:
        return [one.prompt for one in await self.store.turns(key, branch)]

    async def pass_by(self, seconds: float) -> None:
        if self.clock:
            self.clock.now += seconds
        else:
            await asyncio.sleep(seconds + 0.005)

    async def when(self, seen: Callable[[], Awaitable[object]], seconds: float) -> Any:
        """What is true once `seconds` have passed: at once by a clock of ours, else looked for again and again."""
        await self.pass_by(seconds)
        async with asyncio.timeout(10):
            while not (found := await seen()):
                assert not self.clock
                await asyncio.sleep(0.01)
        return found


@contextlib.contextmanager
def server_of(kind: str) -> Iterator[str]:
    """The URL of a running back end of this kind, empty for memory."""
    if kind == "memory":
        yield ""
    elif kind == "embedded":
        top = Path(tempfile.mkdtemp(prefix="w", dir="/tmp")).resolve()
        embedded = EmbeddedServer(Places(top / "data", top / "run"))
        try:
            yield f"unix://{embedded.ensure()}"
        finally:
            embedded.stop()
            embedded.release()
            shutil.rmtree(top, ignore_errors=True)
    else:
        with running_server(SERVERS[kind], password="sesame") as running:
            yield running.url


@contextlib.asynccontextmanager
async def linked(url: str, **settings: Any) -> AsyncIterator[Link]:
    """A link, and no warning of what it has left behind."""

    async def locate() -> str:
        return url

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        link = Link(locate, **settings)
        try:
            yield link
        finally:
            await link.aclose()
        del link
        await asyncio.sleep(0)
        gc.collect()
    assert [str(one.message) for one in said if "redis" in str(one.message)] == []
    assert {task for task in asyncio.all_tasks() if "valkey" in repr(task)} == set()
