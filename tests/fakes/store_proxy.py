"""A TCP proxy before a store, with which the store goes away and comes back.

It lives in a thread of its own; its verbs may be called from anywhere and have taken effect when they return:
`with StoreProxy("redis://127.0.0.1:6379") as proxy` (or unix://PATH, or PATH), then `proxy.freeze()`, `proxy.back()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path


class StoreProxy:
    """Up until told otherwise. `delay` is added to each piece either way; `connections` counts the accepted ones.

    `trips` counts how often something was asked once what was asked before had been answered, `told` the bytes of answers.
    """

    def __init__(self, target: str | Path) -> None:
        self._target = urlsplit(str(target))
        self.delay = 0.0
        self.connections = 0
        self.trips = 0
        self.told = 0
        self._answered = True
        self._last_word: bytes | None = None
        self._place = socket.socket()  # bound and never listening: keeps the port ours while it refuses
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port: int = self._place.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._requests_flow, self._replies_flow = asyncio.Event(), asyncio.Event()

    def refuse(self) -> None:
        """Connections are closed, new ones refused."""
        self._run(self._refuse())

    def drop(self) -> None:
        """Connections are closed; new ones are welcome."""
        self._run(self._drop())

    def freeze(self, *, replies_only: bool = False) -> None:
        """Connections are accepted and nothing is forwarded; `replies_only`: commands arrive, their answers do not."""
        self._run(self._flow(requests=replies_only, replies=False))

    def freeze_at(self, word: bytes) -> None:
        """As `freeze`, from the first piece of a request on that holds `word`."""
        self._last_word = word

    def back(self) -> None:
        """All is well again; what was held back is forwarded."""
        self._run(self._back())

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="store-proxy", daemon=True)
        self._thread.start()
        self.back()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._place.close()

    def _run(self, doing: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(10)

    async def _back(self) -> None:
        self._last_word = None
        await self._flow(requests=True, replies=True)
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, reuse_port=True)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._drop()

    async def _drop(self) -> None:
        for link in (links := list(self._links)):
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _flow(self, *, requests: bool, replies: bool) -> None:
        for event, on in ((self._requests_flow, requests), (self._replies_flow, replies)):
            event.set() if on else event.clear()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # refused since
            writer.close()
            return
        self.connections += 1
        self._links.add(link := asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            await self._requests_flow.wait()
            await self._join(reader, writer)
        self._links.discard(link)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = self._target
        unix = asyncio.open_unix_connection
        there, here = await (asyncio.open_connection(to.hostname, to.port) if to.hostname else unix(to.path))
        pumps = (self._pump(reader, here, self._requests_flow), self._pump(there, writer, self._replies_flow))
        tasks = [asyncio.create_task(pump) for pump in pumps]
        with contextlib.closing(here):
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay)
                if self._last_word and flow is self._requests_flow and self._last_word in data:
                    await self._flow(requests=False, replies=False)
                await flow.wait()
                asks = flow is self._requests_flow
                self.trips += asks and self._answered
                self._answered = not asks
                self.told += 0 if asks else len(data)
                writer.write(data)
                await writer.drain()
