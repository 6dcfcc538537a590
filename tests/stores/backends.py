"""The back ends over which the store's contract is tested."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import turn
from warp_magics.gateway.stores.embedded import EmbeddedServer, Places
from warp_magics.gateway.types import Model, SessionKey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.gateway.kit import Clock
    from warp_magics.gateway.stores.base import Begun, Store

SERVERS = server_binaries()
KINDS = ("memory", *SERVERS, *(() if sys.platform == "win32" else ("embedded",)))
KEY = SessionKey("local", "s1")
A, B, C = Model("lab", "a"), Model("lab", "b"), Model("other", "a")


@dataclass
class Backend:
    """A store and how its time passes: told to a memory's clock, waited for at a server's."""

    store: Store
    clock: Clock | None = None
    url: str = ""

    async def begin(self, holder: str, key: SessionKey = KEY, **given: Any) -> Begun | None:
        return await self.store.begin(key, holder, **{"create": True, "lease": 30.0, "ttl": 3600.0, **given})

    async def say(self, n: int | None = None, key: SessionKey = KEY, **fields: Any) -> None:
        """A whole turn of its own."""
        holder = f"holder {key} {n}"
        begun = await self.begin(holder, key)
        await self.store.append(key, turn(begun.n, f"ask {begun.n}", id=holder, **fields), holder, ttl=3600.0)

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
