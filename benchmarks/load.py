"""Asks a server the same thing over and over, and prints how long that took, as JSON; costs next to nothing itself.

``python -m benchmarks.load URL BODY --connections 16 --seconds 4 [--header 'Name: value'] [--each N]``. One raw HTTP/1.1
connection for each asker, which asks anew once it has its answer, ``--each`` so often and then no more. A list of bodies has
one for each connection; without a body it is a GET.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_TAIL = 4096  # bytes of an answer that are looked at for its end
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")


@dataclass
class Tally:
    """What was seen of all connections; times in seconds."""

    until: float
    waits: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    """Until the first byte of each answer's body."""
    failures: int = 0
    sample: bytes = b""
    """The first answer that was none."""


class Asker(asyncio.Protocol):
    """Asks ``request`` until the tally's time is over; an answer is good that has ``end`` among its last bytes.

    Some servers close the connection in place of an answer's last chunk: that counts, and a new connection is opened.
    """

    def __init__(
        self,
        request: bytes,
        tally: Tally,
        done: asyncio.Future[None],
        again: Callable[[], None],
        *,
        each: int,
        end: bytes,
    ) -> None:
        self.again = again
        self.left_to_ask = each or math.inf
        self.request = request
        self.tally = tally
        self.done = done
        self.end = end
        self.asked = 0.0
        self.reset()

    def reset(self) -> None:
        self.head = b""
        self.status = 0
        self.left: int | None = None
        self.tail = b""
        self.first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        self.reset()
        self.asked = time.perf_counter()
        self.left_to_ask -= 1
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.status:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.status = int(head[9:12])
            length = _LENGTH.search(head)
            self.left = int(length[1]) if length else None if _CHUNKED.search(head) else math.inf  # type: ignore[assignment]
        if data and not self.first:
            self.first = time.perf_counter() - self.asked
        self.tail = (self.tail + data)[-_TAIL:]
        if self.left is not None:
            self.left -= len(data)
            if self.left <= 0:
                self.answered()
        elif self.tail.endswith(b"0\r\n\r\n"):
            self.answered()

    def answered(self) -> None:
        self.tally.waits.append(time.perf_counter() - self.asked)
        self.tally.firsts.append(self.first)
        if self.status != 200 or self.end not in self.tail:
            self.tally.failures += 1
            self.tally.sample = self.tally.sample or self.head[:300] + self.tail
        self.status = 0
        if self.is_over:
            self.transport.close()
        else:
            self.ask()

    @property
    def is_over(self) -> bool:
        return self.left_to_ask <= 0 or (self.left_to_ask == math.inf and time.perf_counter() >= self.tally.until)

    def connection_lost(self, error: Exception | None) -> None:
        if self.status and self.end and self.end in self.tail:
            self.answered()
        elif self.status or error is not None:
            self.tally.failures += 1
        if self.is_over:
            self.done.set_result(None)
        else:
            self.again()


def request_of(url: str, body: bytes, headers: list[str]) -> bytes:
    """Return the bytes of a POST, or of a GET where there is no body."""
    parts = urlsplit(url)
    verb = "POST" if body else "GET"
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    lines = [f"{verb} {path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def run(url: str, requests: list[bytes], *, seconds: float, each: int = 0, end: bytes = b"") -> Tally:
    """Ask with each of ``requests`` on a connection of its own for ``seconds``, or ``each`` so often."""
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    tally = Tally(time.perf_counter() + seconds)
    over: list[asyncio.Future[None]] = []

    tasks: set[asyncio.Task[None]] = set()

    def open_one(request: bytes, done: asyncio.Future[None]) -> None:
        task = asyncio.ensure_future(opened(request, done))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def opened(request: bytes, done: asyncio.Future[None]) -> None:
        def asker() -> Asker:
            return Asker(request, tally, done, lambda: open_one(request, done), each=each, end=end)

        try:
            await loop.create_connection(asker, parts.hostname, parts.port)
        except OSError:
            tally.failures += 1
            done.set_result(None)

    for request in requests:
        over.append(loop.create_future())
        open_one(request, over[-1])
    await asyncio.wait(over, timeout=seconds + 60)
    return tally


def told(tally: Tally, seconds: float) -> dict[str, Any]:
    """Return the figures of a run."""
    waits, firsts = sorted(tally.waits), sorted(tally.firsts)
    count = len(waits)
    middle = lambda times, at: times[min(count - 1, int(count * at))] * 1000 if count else math.nan  # noqa: E731
    return {
        "answers": max(0, count - tally.failures),
        "failures": tally.failures,
        "per_second": max(0, count - tally.failures) / seconds,
        "p50_ms": middle(waits, 0.5),
        "p95_ms": middle(waits, 0.95),
        "first_p50_ms": middle(firsts, 0.5),
        **({"sample": tally.sample.decode("latin-1")} if tally.sample else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("body", help="JSON, a list for one each")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--each", type=int, default=0)
    parser.add_argument("--end", default="", help="what the last bytes of a good answer hold")
    said = parser.parse_args()
    bodies = json.loads(said.body) if said.body.startswith("[") else [said.body] * said.connections
    requests = [request_of(said.url, body.encode(), said.header) for body in bodies]
    began, spent = time.perf_counter(), time.process_time()
    asked = run(said.url, requests, seconds=said.seconds, each=said.each, end=said.end.encode())
    tally = uvloop.run(asked)
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    print(json.dumps(told(tally, seconds) | {"seconds": seconds, "own_share": spent / seconds}))


if __name__ == "__main__":
    main()
