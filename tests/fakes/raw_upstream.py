"""Whoever a request is passed on to: sees it to the byte, and answers byte by byte what it was told to.

`async with RawUpstream() as upstream: upstream.will(OK, HOLD, b"rest")`; then `upstream.seen[-1].head`. A part that is
HOLD waits for `upstream.release()`. Each answer ends its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Self

HOLD = None
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode()


def whole(status: int, body: object, kind: str = "application/json", *lines: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(status, f"Content-Type: {kind}", f"Content-Length: {len(data)}", *lines) + data


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@dataclass(frozen=True)
class Seen:
    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)


class RawUpstream:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.left = asyncio.Event()
        self.came = asyncio.Event()
        self._parts: tuple[bytes | None, ...] = (JSON,)
        self._released = asyncio.Event()
        self._visits: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/services/warp"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for visit in list(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    def will(self, *parts: bytes | None) -> None:
        """Answer so from now on."""
        self._parts = parts

    def release(self) -> None:
        self._released.set()

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        assert visit
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.seen.append(await _read(reader))
            self.came.set()
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        leaving = asyncio.ensure_future(reader.read())
        for part in self._parts:
            if part is HOLD:
                released = asyncio.ensure_future(self._released.wait())
                await asyncio.wait({released, leaving}, return_when=asyncio.FIRST_COMPLETED)
                released.cancel()
            else:
                writer.write(part)
            if leaving.done():
                self.left.set()
                return
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Seen:
    said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = said.removesuffix("\r\n\r\n").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (one.partition(":") for one in rest)]
    seen = Seen(line, headers, b"")
    length = int(seen.header("Content-Length") or 0)
    return Seen(line, headers, await reader.readexactly(length))
