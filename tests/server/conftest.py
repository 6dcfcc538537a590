"""A Jupyter Server with the extension in the test's own process, and a client that shows everything it got."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from traitlets.config import Config

from tests.server.places import kind, open_place  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEY = "sk-fake-0123456789-uvwxyz"
TOML = """
{more}
[providers.fake]
dialect = "openai"
base_url = "{base_url}"
api_key = "{key}"
[limits]
retry = {{ max = 0 }}
{limits}
[storage]
{storage}
"""


@dataclass(frozen=True)
class Event:
    """A server-sent event as it came; a comment has its text as ``data`` and no name."""

    name: str
    id: str
    data: Any


@dataclass(frozen=True)
class Answer:
    """A response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"].startswith("application/json"), self.headers["Content-Type"]
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        """Read as AI Warp's client does: cut at each empty line, LF only, one data line each."""
        *blocks, rest = self.body.decode().split("\n\n")
        assert not rest, f"an event is not closed: {rest!r}"
        return [event_of(block) for block in blocks]

    def whole(self) -> str:
        return f"{self.status} {list(self.headers.items())} {self.body.decode()}"


def event_of(block: str) -> Event:
    assert "\r" not in block
    if block.startswith(": "):
        return Event("", "", block[2:])
    fields = [line.split(": ", 1) for line in block.split("\n")]
    named = dict(fields)
    names = [name for name, _ in fields]
    # Only what failed before a model had begun has no number in a log.
    late = ["event", "data"] if named["event"] == "error" else None
    assert names in (["event", "id", "data"], late), block
    return Event(named["event"], named.get("id", ""), json.loads(named["data"]))


@pytest.fixture
def configure(fake, config_file, monkeypatch) -> Callable[..., Path]:
    """Writes the file that the server will read at its first request, for the fake provider and its models."""

    def write(*models: str, more: str = "", limits: str = "", storage: str = 'type = "memory"', url: str = "") -> Path:
        chain = json.dumps([f"fake:{model}" for model in models])
        text = TOML.format(
            more=f"models = {chain}\n{more}", base_url=url or fake.base_url, key=KEY, limits=limits, storage=storage
        )
        path = config_file(text)
        monkeypatch.setenv("WARP_CONFIG", str(path))
        return path

    return write


@pytest.fixture
def jp_server_config(configure) -> Config:
    configure("ok")
    return Config({"ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}}})


@pytest.fixture
def rest(jp_serverapp, http_server_client, jp_base_url) -> Callable[..., Any]:
    """``await rest("prompt", {"prompt": "Hello"})``; headers replace the token's."""
    token = jp_serverapp.identity_provider.token

    async def call(
        path: str,
        body: object = None,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        below: str = "warp/api/v1/",
    ) -> Answer:
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        said = await http_server_client.fetch(
            f"{jp_base_url}{below}{path}",
            method=method or ("GET" if sent is None else "POST"),
            body=sent,
            headers={"Authorization": f"token {token}"} if headers is None else headers,
            raise_error=False,
            follow_redirects=False,
            allow_nonstandard_methods=True,
        )
        return Answer(said.code, said.headers, said.body)

    call.token = token
    return call


class Reader:
    """A reader of a stream who may leave whenever it likes; see ``open_stream``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def event(self, name: str) -> Event:
        """Wait for the next event of that name."""
        async with asyncio.timeout(10):
            while True:
                block = (await self._reader.readuntil(b"\n\n")).decode()
                block = block.strip("\n").rpartition("\r\n")[2]  # without the length of the chunk
                if not block.startswith(": ") and (event := event_of(block)).name == name:
                    return event

    async def events(self) -> list[Event]:
        """Wait for the end of the answer, of which only the headers were read; all its events but pings."""
        async with asyncio.timeout(10):
            body = (await self._reader.readuntil(b"\r\n0\r\n\r\n")).decode()
        *blocks, _ = body.split("\n\n")
        blocks = [block.strip("\r\n").rpartition("\r\n")[2] for block in blocks]  # without the length of the chunk
        return [event_of(block) for block in blocks if not block.startswith(": ")]

    async def status(self) -> int:
        """Wait for the headers."""
        async with asyncio.timeout(10):
            return int((await self._reader.readuntil(b"\r\n\r\n")).split()[1])

    @property
    def address(self) -> tuple[str, int]:
        """Where it asks from."""
        address: tuple[str, int] = self._writer.get_extra_info("sockname")
        return address

    def leave(self) -> None:
        self._writer.transport.abort()


@pytest.fixture
def open_stream(jp_serverapp, http_server, http_server_client, jp_base_url) -> Callable[..., Any]:
    """``await open_stream({"prompt": "Hello"})``: what it is sent is read when it asks for it."""
    token = jp_serverapp.identity_provider.token

    async def call(
        body: Mapping[str, object],
        path: str = "stream",
        *,
        below: str = "warp/api/v1/",
        headers: Mapping[str, str] | None = None,
    ) -> Reader:
        sent = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", http_server_client.get_http_port())
        head = f"POST {jp_base_url}{below}{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        writer.write(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        return Reader(reader, writer)

    return call


async def events_of(stream):
    """The events of an event stream; what is ready at a time comes in one piece."""
    async for chunk in stream.chunks:
        assert chunk.endswith(b"\n\n")
        for block in chunk.decode()[:-2].split("\n\n"):
            if not block.startswith(": "):
                yield event_of(block)
