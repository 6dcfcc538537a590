"""A gateway's REST side that misbehaves on request: one answer, served by any number of instances.

`answer = Answer(events)`; `async with FakeGateway(answer) as gateway` is an instance at `gateway.url`. `gateway.will(…)`
says what befalls the next requests for a stream, one entry each; those after them are served well. What is no stream
is answered by `gateway.says["GET sessions/s1"] = Reply(…)`, or a list of them, the last one repeated.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from warp_magics.gateway import wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warp_magics.gateway.types import Event, SessionEvent

BASE = "/warp/api/v1/"


@dataclass(frozen=True)
class Reply:
    """An answer that is no stream."""

    status: int = 200
    body: object = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Cut:
    """The connection is lost after so many events and so many bytes of the next; of 0 not even the headers come."""

    events: int = 0
    bytes: int = 0
    headers: bool = True


@dataclass(frozen=True)
class Silent:
    """Nothing comes after so many events, and the connection stays."""

    events: int = 0


@dataclass(frozen=True)
class Pings:
    """Before the first event so many comments come, so many seconds apart."""

    number: int
    seconds: float


@dataclass
class Seen:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    body: Any

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    """What all instances serve; `keys` are the prompts that were asked, a repeated one counted once."""

    events: list[Event] = field(default_factory=list)
    stream_id: str = "s1~1"
    feed: list[SessionEvent] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


class FakeGateway:
    """One instance; `requests` are all it got, `left` is set when a reader leaves before the end."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or Answer()
        self.requests: list[Seen] = []
        self.says: dict[str, Reply | Silent | list[Reply | Cut]] = {}
        self.came = asyncio.Event()
        self.left = asyncio.Event()
        self._faults: list[Reply | Cut | Silent | Pings | None] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/warp"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop serving: connections break, new ones are refused."""
        await self._runner.cleanup()

    def will(self, *faults: Reply | Cut | Silent | Pings | None) -> None:
        self._faults += faults

    @property
    def lines(self) -> list[str]:
        return [one.line for one in self.requests]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        path = request.raw_path.partition("?")[0].removeprefix(BASE)
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(request.method, path, headers, dict(request.query), json.loads(raw) if raw else None)
        self.requests.append(seen)
        self.came.set()
        try:
            if seen.line in self.says:
                return await self._say(request, seen.line)
            return await self._stream(request, seen)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise

    async def _say(self, request: web.Request, line: str) -> web.StreamResponse:
        told = self.says[line]
        reply = told if not isinstance(told, list) else told.pop(0) if len(told) > 1 else told[0]
        if isinstance(reply, Silent):
            await asyncio.sleep(60)  # the loss of the connection cancels us
        if isinstance(reply, Cut):
            await _cut(request)
        assert isinstance(reply, Reply)
        return web.Response(
            status=reply.status, body=reply.data, content_type=reply.content_type, headers=reply.headers
        )

    async def _stream(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        fault = self._faults.pop(0) if self._faults else None
        if isinstance(fault, Reply):
            return web.Response(
                status=fault.status, body=fault.data, content_type=fault.content_type, headers=fault.headers
            )
        if seen.line == "POST stream":
            self.answer.keys.add(seen.headers["idempotency-key"])
        if isinstance(fault, Cut) and not fault.headers:
            await _cut(request)
        wanted = self._wanted(seen)
        if isinstance(wanted, Reply):
            return web.Response(status=wanted.status, body=wanted.data, content_type=wanted.content_type)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await self._send(request, response, wanted, fault)
        return response

    def _wanted(self, seen: Seen) -> list[bytes] | Reply:
        after = seen.headers.get("last-event-id")
        if seen.line == "POST stream":
            return [wire.event_bytes(event) for event in self.answer.events]
        if seen.path.endswith("/events"):
            return [wire.session_event_bytes(event) for event in _behind(self.answer.feed, after)]
        if seen.line != f"GET streams/{self.answer.stream_id}":
            return Reply(404, {"code": "STREAM_NOT_FOUND", "message": "There is no such stream."})
        rest = _behind(self.answer.events, after)
        return [wire.event_bytes(event) for event in rest] if rest else Reply(204, b"")

    async def _send(
        self, request: web.Request, response: web.StreamResponse, events: list[bytes], fault: object
    ) -> None:
        end = fault.events if isinstance(fault, Cut | Silent) else len(events)
        if isinstance(fault, Pings):
            for _ in range(fault.number):
                await response.write(b": ping\n\n")
                await asyncio.sleep(fault.seconds)
        for data in events[:end]:
            await response.write(data)
        if isinstance(fault, Silent):
            await asyncio.sleep(60)  # the loss of the connection cancels us
        if isinstance(fault, Cut):
            await response.write(b"".join(events[end:])[: fault.bytes])
            await asyncio.sleep(0.01)  # what was written is read before the connection is lost, as far as it can be
            await _cut(request)


def _behind(events: Iterable[Any], after: str | None) -> list[Any]:
    if after is None:
        return list(events)
    return list(itertools.dropwhile(lambda event: event.id != after, events))[1:]


async def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    await asyncio.sleep(60)  # the loss of the connection cancels us
