"""Every path of the REST contract as a plain async function: a request in, a response or an event stream out.

Knows no server; ``handlers`` adapts it to Jupyter's.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from warp_magics.gateway import Started, comment, errors, wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from warp_magics.gateway import ChatResponse, Event, Gateway

log = logging.getLogger("jupyter_server_ext")

PING_SECONDS: Final = 15.0
"""Silence after which a comment keeps a stream open; also how long a first word may hold the status back."""
STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose user is known; ``owner`` is None for a stranger on an open path."""

    owner: str | None
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)

    def known_owner(self) -> str:
        """Return the owner on a path that only users reach."""
        if self.owner is None:
            raise AssertionError("a path that needs a user was reached without one")
        return self.owner


@dataclass(frozen=True, slots=True)
class Response:
    """A JSON answer."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events; close ``chunks`` when the reader leaves."""

    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes, None]


class Endpoints:
    """``session_header`` names the header that tells an answer's session; ``body_size`` is in bytes."""

    def __init__(
        self, gateway: Gateway, *, session_header: str, body_size: int, ping_seconds: float = PING_SECONDS
    ) -> None:
        self._gateway = gateway
        self._session_header = session_header
        self._body_size = body_size
        self._ping = ping_seconds

    async def prompt(self, request: Request) -> Response:
        """``POST api/v1/prompt``."""
        said = await self._gateway.ask(wire.read_ask(self._body(request), request.known_owner()))
        return Response(wire.response_json(said), headers=self._session_headers(said))

    async def stream(self, request: Request) -> EventStream:
        """``POST api/v1/stream``: what fails before a model has begun, and within the first seconds, has its status."""
        events = self._gateway.stream(wire.read_ask(self._body(request), request.known_owner()))
        first = asyncio.ensure_future(anext(events))
        try:
            done, _ = await asyncio.wait({first}, timeout=self._ping)
            begun = first.result() if done else None
        except BaseException:
            await _left(first, events)
            raise
        headers = self._session_headers(begun) if isinstance(begun, Started) else {}
        return EventStream({**STREAM_HEADERS, **headers}, self._chunks(first, events))

    async def history(self, request: Request, session_id: str) -> Response:
        """``GET api/v1/sessions/{id}/history``."""
        turns = await self._gateway.history(request.known_owner(), session_id)
        return Response({"turns": [wire.turn_json(turn) for turn in turns]})

    async def models(self, request: Request) -> Response:  # noqa: ARG002 - the same for every user
        """``GET api/v1/models``."""
        return Response({"models": [wire.model_json(state) for state in await self._gateway.models()]})

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - the same for every caller
        """``GET api/v1/health/live``: the process answers."""
        return Response({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """``GET api/v1/health/ready``: a stranger is told the status alone."""
        told = wire.status_json(await self._gateway.status())
        return Response(told if request.owner is not None else {"status": told["status"]})

    def _body(self, request: Request) -> bytes:
        if len(request.body) > self._body_size:
            raise errors.BodyTooLarge(f"The body is over {self._body_size} bytes (limits.body_size).")
        return request.body

    def _session_headers(self, said: ChatResponse | Started) -> dict[str, str]:
        told = {
            self._session_header: said.session_id,
            "x-stream-id": said.stream_id,
            "x-session-status": said.session_status,
        }
        return {name: value for name, value in told.items() if value}

    async def _chunks(
        self, first: asyncio.Future[Event], events: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events as bytes, a comment after each silence."""
        coming = first
        try:
            while True:
                done, _ = await asyncio.wait({coming}, timeout=self._ping)
                if not done:
                    yield comment("ping")
                    continue
                try:
                    yield wire.event_bytes(coming.result())
                except StopAsyncIteration:
                    return
                except errors.WarpError as error:  # the status went out before the fault was known
                    yield wire.failure_bytes(error)
                    return
                except Exception:
                    log.exception("stream_failed")
                    yield wire.failure_bytes(errors.WarpError("The gateway failed."))
                    return
                coming = asyncio.ensure_future(anext(events))
        finally:
            await _left(coming, events)


async def _left(coming: asyncio.Future[Event], events: AsyncGenerator[Event, None]) -> None:
    """Let go of an answer that is read no further."""
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)
    await events.aclose()


def error_response(error: errors.WarpError) -> Response:
    """Return an error's body, status and ``Retry-After``."""
    headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    return Response(wire.error_json(error), error.http_status, headers)
