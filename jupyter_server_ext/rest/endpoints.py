"""Every path of the REST contract as a plain async function: a request in, a response or an event stream out.

Knows no server: ``routes`` says which path is whose, ``handlers`` adapts it to Jupyter's.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from warp_magics import gateway as core  # for what is loaded when it is first used
from warp_magics.gateway import errors, wire

from . import feeds
from .askings import Askings
from .bounds import too_large
from .chunks import Chunks, Pump
from .messages import EventStream, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from warp_magics.gateway import Begun, ChatRequest, ChatResponse, Gateway, Started

    from .chunks import T
    from .messages import Request
    from .metrics import Metrics

PING_SECONDS: Final = 15.0
"""Silence after which a comment keeps a stream open; also how long a first word may hold the status back."""
STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
_PAGE: Final = 50
_FEED_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
_STREAM_ID: Final = re.compile(r"(?P<session_id>[A-Za-z0-9._-]{1,128})~[0-9]{1,15}")


async def live(_: object, request: Request) -> Response:  # noqa: ARG001 - the same for every caller
    """``GET api/v1/health/live``: the process answers, whatever became of its gateway."""
    return Response({"status": "ok"})


class Endpoints:
    """``session_header`` names the header that tells an answer's session; ``body_size`` is in bytes.

    ``counts`` are the figures that ``metrics`` tells; whoever made them closes them.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        session_header: str,
        body_size: int,
        ping_seconds: float = PING_SECONDS,
        counts: Metrics | None = None,
    ) -> None:
        self.gateway = gateway
        self.session_header = session_header
        self._body_size = body_size
        self.ping_seconds = ping_seconds
        self._counts = counts
        self.askings = Askings()

    # -- answers -----------------------------------------------------------------------------------

    async def prompt(self, request: Request) -> Response:
        """``POST api/v1/prompt``."""
        asked = self._ask(request)
        if self._says(request, "dryRun"):
            return Response(wire.preview_json(await self.gateway.preview(asked)))
        said = await self.gateway.ask(asked)
        return Response(wire.response_json(said), headers=self.told(said))

    async def stream(self, request: Request) -> Response | EventStream:
        """``POST api/v1/stream``: what fails before a model has begun, and within the first seconds, has its status.

        With ``Prefer: respond-async`` there are no events: 202 once the prompt has its turn, and what fails before that has
        its status however long it takes. With ``resume``, a session and a ``Last-Event-ID`` nothing is asked: that stream is followed. A dry run is answered
        as by ``prompt``.
        """
        asked = self._ask(request)
        seen = request.headers.get("last-event-id")
        if self._says(request, "dryRun"):
            return await self.prompt(request)
        if seen and asked.session_id and self._says(request, "resume"):
            return await self._followed(asked.owner, _stream_of(asked.session_id, seen), seen)
        if request.prefers("respond-async"):
            return self._begun(await self.gateway.begin(asked))
        known = {self.session_header: core.check_session_id(asked.session_id)} if asked.session_id else {}
        pump = Pump.of(self.gateway.stream(asked))
        begun = await self.first(pump)
        headers = self.told(begun) if isinstance(begun, core.Started) else known
        return self.event_stream(pump, begun, wire.event_bytes, headers, resumable=False)

    def _begun(self, begun: Begun) -> Response:
        told = {
            self.session_header: begun.session_id,
            "x-stream-id": begun.stream_id,
            "Location": f"streams/{begun.stream_id}",  # as seen from this path, wherever it is served
            "Preference-Applied": "respond-async",
        }
        return Response(wire.begun_json(begun), 202, told)

    async def follow(self, request: Request, stream_id: str) -> Response | EventStream:
        """``GET api/v1/streams/{id}``: 204 where nothing is left of it."""
        return await self._followed(request.known_owner(), stream_id, request.last_event_id)

    async def stop(self, request: Request, stream_id: str) -> Response:
        """``POST api/v1/streams/{id}/stop``."""
        stopped = await self.gateway.stop(request.known_owner(), stream_id)
        return Response({"streamId": stream_id, "status": "stopped" if stopped else "ended"})

    async def _followed(self, owner: str, stream_id: str, after: str | None) -> Response | EventStream:
        pump = Pump.of(self.gateway.follow(owner, stream_id, after))
        try:
            begun = await self.first(pump)
        except StopAsyncIteration:
            return Response(None, 204)
        named = _STREAM_ID.fullmatch(stream_id)  # only what is one may be a header
        headers = {self.session_header: named["session_id"], "x-stream-id": stream_id} if named else {}
        return self.event_stream(pump, begun, wire.event_bytes, headers)

    # -- sessions ----------------------------------------------------------------------------------

    async def sessions(self, request: Request) -> Response:
        """``GET api/v1/sessions``."""
        limit = request.number("limit")
        page = await self.gateway.sessions(
            request.known_owner(),
            search=request.asked("search") or "",
            limit=_PAGE if limit is None else limit,
            cursor=request.asked("cursor") or None,
        )
        return Response(wire.page_json(page))

    async def create(self, request: Request) -> Response:
        """``POST api/v1/sessions``."""
        new = wire.read_new_session(self.body(request))
        made = await self.gateway.create(
            request.known_owner(), new.session_id, title=new.title, ttl=new.ttl, metadata=new.metadata
        )
        return Response(wire.session_json(made), 201)

    async def session(self, request: Request, session_id: str) -> Response:
        """``GET api/v1/sessions/{id}``."""
        return Response(wire.session_json(await self.gateway.session(request.known_owner(), session_id)))

    async def update(self, request: Request, session_id: str) -> Response:
        """``PATCH api/v1/sessions/{id}``."""
        to = wire.read_changes(self.body(request))
        changed = await self.gateway.update(
            request.known_owner(), session_id, title=to.title, ttl=to.ttl, metadata=to.metadata
        )
        return Response(wire.session_json(changed))

    async def delete(self, request: Request, session_id: str) -> Response:
        """``DELETE api/v1/sessions/{id}``."""
        await self.gateway.delete(request.known_owner(), session_id)
        return Response(None, 204)

    async def history(self, request: Request, session_id: str) -> Response:
        """``GET api/v1/sessions/{id}/history``."""
        branch, last = request.number("branch"), request.number("last")
        turns = await self.gateway.history(request.known_owner(), session_id, branch, last=last)
        return Response({"turns": [wire.turn_json(turn) for turn in turns]})

    async def fork(self, request: Request, session_id: str) -> Response:
        """``POST api/v1/sessions/{id}/fork``."""
        fork = wire.read_fork(self.body(request))
        made = await self.gateway.fork(request.known_owner(), session_id, at=fork.at, new_id=fork.session_id)
        return Response(wire.session_json(made), 201)

    async def rewind(self, request: Request, session_id: str) -> Response:
        """``POST api/v1/sessions/{id}/rewind``."""
        to = wire.read_rewind(self.body(request))
        return Response(wire.session_json(await self.gateway.rewind(request.known_owner(), session_id, to)))

    async def export(self, request: Request, session_id: str) -> Response:
        """``GET api/v1/sessions/{id}/export``."""
        from warp_magics.gateway import export

        session = await self.gateway.session(request.known_owner(), session_id)
        turns = await self.gateway.history(request.known_owner(), session_id)
        file = export(session, turns, request.asked("format") or "json")
        disposition = f'attachment; filename="{file.file_name}"'
        return Response(file.data, headers={"content-type": file.media_type, "content-disposition": disposition})

    # -- feeds -------------------------------------------------------------------------------------

    async def watch(self, request: Request, session_id: str) -> EventStream:
        """``GET api/v1/sessions/{id}/events``: the headers go out as soon as the session is known to be there."""
        owner, seen = request.known_owner(), request.last_event_id
        if seen and not _FEED_ID.fullmatch(seen):  # later it would be an event, and its reader would come back for more
            raise errors.InvalidRequest(f"The Last-Event-ID {seen[:40]!r} is no id of a session's events.")
        pump = Pump.of(self.gateway.watch(owner, session_id, seen))
        try:
            await self.gateway.session(owner, session_id)
        except BaseException:
            await pump.aclose()
            raise
        return self.event_stream(pump, None, wire.session_event_bytes)

    async def events(self, request: Request) -> EventStream:
        """``GET api/v1/events``: several sessions and their live answers on one connection."""
        sessions = feeds.read_sessions(request.query.get("session", ()))
        after = feeds.read_after(request.query.get("after", ()), sessions)
        pump = Pump(partial(feeds.write, self.gateway, request.known_owner(), sessions, after))
        return self.event_stream(pump, await self.first(pump), bytes)

    # -- the gateway -------------------------------------------------------------------------------

    async def models(self, request: Request) -> Response:  # noqa: ARG002 - the same for every user
        """``GET api/v1/models``."""
        return Response({"models": [wire.model_json(state) for state in await self.gateway.models()]})

    async def usage(self, request: Request) -> Response:
        """``GET api/v1/usage``."""
        by = request.asked("by") or "model"
        rows = await self.gateway.usage(request.known_owner(), by)  # type: ignore[arg-type]  # it refuses others
        return Response({"by": by, "usage": [wire.usage_row_json(row, by) for row in rows]})

    async def ready(self, request: Request) -> Response:
        """``GET api/v1/health/ready``: a stranger is told the status alone."""
        told = wire.status_json(await self.gateway.status())
        return Response(told if request.owner is not None else {"status": told["status"]})

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - the same for every user
        """``GET metrics``."""
        if self._counts is None:
            raise errors.NotFound("Nothing is counted here.")
        from .metrics import CONTENT_TYPE

        return Response(await self._counts.text(self.gateway), headers={"content-type": CONTENT_TYPE})

    def count(self, path: str | None, method: str | None, status: int) -> None:
        """Count a request that was answered with ``status``; ``path`` is its route's, None where there is none."""
        if self._counts is not None:
            self._counts.request(path, method, status)

    # -- what they share ---------------------------------------------------------------------------

    def body(self, request: Request) -> bytes:
        """Return a request's body; raises BodyTooLarge."""
        if len(request.body) > self._body_size:
            raise too_large(self._body_size)
        return request.body

    @staticmethod
    def _says(request: Request, name: str) -> bool:
        return wire.json_of(request.body).get(name) is True

    def _ask(self, request: Request) -> ChatRequest:
        key = request.headers.get("idempotency-key")
        return wire.read_ask(self.body(request), request.known_owner(), turn_id=key)

    def told(self, said: ChatResponse | Started) -> dict[str, str]:
        """Return the headers that tell of an answer's session and stream."""
        told = {
            self.session_header: said.session_id,
            "x-stream-id": said.stream_id,
            "x-session-status": said.session_status,
        }
        return {name: value for name, value in told.items() if value}

    async def first(self, pump: Pump[T]) -> T | None:
        """Return what a stream begins with; None where the headers are to go out without knowing it."""
        try:
            return await pump.next(self.ping_seconds)
        except BaseException:
            await pump.aclose()
            raise

    def event_stream(
        self,
        pump: Pump[T],
        first: T | None,
        write: Callable[[T], bytes],
        headers: Mapping[str, str] | None = None,
        *,
        resumable: bool = True,
        fail: Callable[[errors.WarpError], bytes] | None = None,
    ) -> EventStream:
        """Return what a pump makes as an event stream that has begun with ``first``; see Chunks."""
        chunks = Chunks(pump, first, write, ping=self.ping_seconds, resumable=resumable, fail=fail)
        return EventStream({**STREAM_HEADERS, **(headers or {})}, chunks)


def _stream_of(session_id: str, event_id: str) -> str:
    """Return the stream of ``session_id`` that ``event_id`` (N-K) is of."""
    n = event_id.partition("-")[0]
    if not (n.isascii() and n.isdigit()):
        raise errors.InvalidRequest(f"The Last-Event-ID {event_id[:40]!r} is not of the form N-K.")
    return f"{session_id}~{n}"
