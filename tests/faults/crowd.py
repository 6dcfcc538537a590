"""Connections that cost a server nothing if it does not wait for them: clients that are slow, and streams that are idle.

`async with crowd(server) as held` keeps 200 of the first kind and 1,000 of the second open; `median(server)` asks beside
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from tests.fakes.provider import provider_process
from tests.server.alone_process import running_alone
from tests.server.process import running_jupyter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

HEADS, BODIES, READERS = 70, 70, 60
STREAMS = 1000
SESSIONS = 20
FILES = 8192
PROMISED = 0.05
WITHIN = 60.0
ASKED = 60
LARGE = 400_000
TOML = """
models = ["openai:ok"]
[providers.openai]
base_url = "{url}"
api_key = "sk-crowd"
[storage]
type = "memory"
[limits]
rate = {{ max = 100000, time_window = "1m" }}
"""


@dataclass(frozen=True)
class Server:
    """A gateway's process: its base URL and its user's token."""

    name: str
    url: str
    token: str = field(repr=False)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def head(self, verb: str, path: str, *lines: str) -> bytes:
        """The first bytes of a request."""
        host, port = self.address
        told = [f"Host: {host}:{port}", f"Authorization: Bearer {self.token}", *lines]
        return "\r\n".join([f"{verb} {urlsplit(self.url).path}/api/v1/{path} HTTP/1.1", *told, "", ""]).encode()

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=f"{self.url}/api/v1/", headers=headers, timeout=WITHIN)


@contextlib.contextmanager
def servers() -> Iterator[list[Server]]:
    """Both servers of the gateway, asking a provider that is a process, too."""
    raise_limit()
    folder = Path(tempfile.mkdtemp(prefix="w-"))
    with provider_process() as fake:
        config = folder / "warp.toml"
        config.write_text(TOML.format(url=fake.base_url))
        env = {"WARP_CONFIG": str(config)}
        with running_jupyter(folder / "jupyter", env) as jupyter, running_alone(folder / "alone", env) as alone:
            yield [Server("in Jupyter", jupyter.warp, jupyter.token), Server("alone", alone.url, alone.token)]


def raise_limit() -> None:
    """Let this process, and those it starts, have that many connections; raises ValueError where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


@dataclass
class Held:
    """What a crowd holds: the readers of its idle streams, and everything that is to be closed."""

    streams: list[asyncio.StreamReader] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open(self, server: Server, said: bytes, buffer: int = 0) -> asyncio.StreamReader:
        """A connection on which something is said, and not always all; with ``buffer`` the client takes little."""
        link = socket.socket(socket.AF_INET)
        link.settimeout(0)
        if buffer:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(link, server.address)
        reader, writer = await asyncio.open_connection(sock=link, limit=buffer or 65536)
        self.writers.append(writer)
        writer.write(said)
        await writer.drain()
        return reader


@contextlib.asynccontextmanager
async def crowd(server: Server) -> AsyncGenerator[Held, None]:
    """Open all of them, and close them in the end; the sessions that are watched are made first."""
    held = Held()
    async with server.client() as client:
        for number in range(SESSIONS):
            body = {
                "prompt": "x" * (LARGE if number == 0 else 1),
                "sessionId": f"{tag()}{number}",
                "createSession": True,
            }
            (await client.post("prompt", json=body)).raise_for_status()
    try:
        for _ in range(HEADS):
            await held.open(server, server.head("POST", "prompt")[:-20])
        for _ in range(BODIES):
            await held.open(server, server.head("POST", "prompt", "Content-Length: 5000") + b'{"prompt": "')
        for _ in range(READERS):
            await held.open(server, server.head("GET", f"sessions/{tag()}0/history") * 4, buffer=4096)
        for number in range(STREAMS):
            path = f"sessions/{tag()}{number % SESSIONS}/events"
            held.streams.append(await held.open(server, server.head("GET", path)))
        async with asyncio.timeout(WITHIN):
            for stream in held.streams:
                assert b" 200 " in await stream.readuntil(b"\r\n\r\n")
        yield held
    finally:
        for writer in held.writers:
            writer.transport.abort()


def tag() -> str:
    return f"crowd-{os.getpid()}-"


async def seen_by_all(server: Server, held: Held) -> int:
    """How many of the idle streams tell of what happens to their sessions."""
    async with server.client() as client:
        for number in range(SESSIONS):
            (await client.patch(f"sessions/{tag()}{number}", json={"title": "told"})).raise_for_status()
    async with asyncio.timeout(WITHIN):
        for stream in held.streams:
            await stream.readuntil(b"event: updated")
    return len(held.streams)


async def ask(server: Server, times: int = ASKED) -> list[float]:
    """Ask one prompt after another, each answered whole; how long each took."""
    took = []
    async with server.client() as client:
        for number in range(times):
            began = time.perf_counter()
            said = await client.post("prompt", content=json.dumps({"prompt": f"ask {number}", "store": False}))
            took.append(time.perf_counter() - began)
            assert said.status_code == 200, said.text
            assert said.json()["text"] == f"You said 'ask {number}' in message 1."
    return took


@dataclass(frozen=True)
class Row:
    """What was measured at one server, in seconds."""

    server: str
    before: float
    during: float

    @property
    def wrong(self) -> bool:
        return self.during - self.before > PROMISED


def rows() -> Iterator[Row]:
    """Measure each server without and with the crowd."""
    with servers() as both:
        for server in both:
            yield asyncio.run(_measured(server))


async def _measured(server: Server) -> Row:
    await ask(server, 10)
    before = statistics.median(await ask(server))
    async with crowd(server):
        return Row(server.name, before, statistics.median(await ask(server)))
