"""RemoteGateway: each verb as a request, and streams that go on where a connection broke."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .. import policy, wire
from ..base import Gateway, whole
from ..errors import GatewayUnreachable, SessionExists, SessionNotFound, WarpError
from ..types import Ended, Failed, Started
from .line import Call, Line, Lost, Waits, path
from .progress import Patience, Place, SoFar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from ..base import Chances
    from ..sse import ServerSentEvent
    from ..types import (
        Begun,
        ChatRequest,
        ChatResponse,
        Event,
        GatewayStatus,
        ModelState,
        Page,
        Preview,
        Session,
        SessionEvent,
        Turn,
        UsageRow,
    )

log = logging.getLogger("warp_magics.remote")

_E = TypeVar("_E")
_T = TypeVar("_T")

_LOOKS = 6
_LOOK_SECONDS = 0.05


class RemoteGateway(Gateway):
    """A gateway at ``urls``, such as ``http://127.0.0.1:8888/warp``; several are instances of one.

    The first that answers is used, on failure the next. Belongs to the event loop it is first used on. ``token``
    is sent to these urls alone; a function is called for each request. Whose sessions are meant says the token:
    ``owner`` only names them in what is returned. All verbs raise GatewayUnreachable and GatewayRefused too.
    ``new_id`` gives a fresh unique id. ``leaving`` says that this process is about to end: then nothing is stopped
    there, for an answer outlives who asked for it.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: Callable[[], str] | str | None,
        *,
        chances: Chances,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        waits: Waits | None = None,
        leaving: Callable[[], bool] | None = None,
    ) -> None:
        self._waits = waits or Waits()
        self._leaving = leaving
        self._line = Line(urls, token, self._waits)
        self._chances = chances
        self._new_id = new_id

    # -- answers -----------------------------------------------------------------------------------

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """See Gateway."""
        return await whole(self.stream(replace(request, on_break=request.on_break or "restart")))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See Gateway; an answer that breaks off here and cannot be gone on with raises, its part in ``details``."""
        policy.check(request)
        turn_id = request.turn_id or self._new_id()
        place = Place(Call("POST", "stream", wire.ask_bytes(request), {"Idempotency-Key": turn_id}))
        so_far = SoFar()
        try:
            answer: AsyncGenerator[Event, None] = self._read(place, wire.event_of)
            async with contextlib.aclosing(answer) as events:
                async for one in events:
                    event = so_far.take(one)
                    if isinstance(event, Failed) and event.response is None:
                        raise event.error
                    if isinstance(event, Started):
                        place.go_on(event)
                    yield event
                    if so_far.over:
                        return
            raise GatewayUnreachable(f"{self._line.hosts} closed an answer before its end.")
        except WarpError as error:
            if so_far.started:
                error.details["partial"] = "".join(so_far.text)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if request.on_disconnect == "cancel" and not so_far.over:
                await self._stop_left((so_far.started and so_far.started.stream_id) or turn_id)
            raise

    async def begin(self, request: ChatRequest) -> Begun:
        """See Gateway."""
        policy.check(request)
        headers = {"Idempotency-Key": request.turn_id or self._new_id(), "Prefer": "respond-async"}
        call = Call("POST", "stream", wire.ask_bytes(request), headers)
        # As long as a stream is waited for, not once more alone as by _call: by its key a prompt may be sent again, and one
        # that may have arrived is being answered, and paid for, while nobody knows of its stream.
        patience, sent = Patience(self._chances, self._waits.progress), False
        while True:
            try:
                return self._told(wire.begun_of, await self._line.fetch(call))
            except Lost as lost:
                sent = sent or lost.sent
                if not (sent and await patience.wait()):
                    raise _unreachable(lost) from lost

    async def preview(self, request: ChatRequest) -> Preview:
        """See Gateway."""
        return self._told(wire.preview_of, await self._call("POST", "prompt", wire.ask_bytes(request, dry_run=True)))

    async def follow(self, owner: str, stream_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:  # noqa: ARG002
        """See Gateway."""
        place = Place(Call("GET", path("streams", stream_id)), after)
        answer: AsyncGenerator[Event, None] = self._read(place, wire.event_of)
        async with contextlib.aclosing(answer) as events:
            async for event in events:
                yield event
                if isinstance(event, Ended | Failed):
                    return

    async def stop(self, owner: str, stream_id: str) -> bool:  # noqa: ARG002
        """See Gateway."""
        return self._told(wire.stopped_of, await self._call("POST", path("streams", stream_id, "stop")))

    async def watch(self, owner: str, session_id: str, after: str | None = None) -> AsyncGenerator[SessionEvent, None]:  # noqa: ARG002
        """See Gateway."""
        place = Place(Call("GET", path("sessions", session_id, "events")), after)
        async with contextlib.aclosing(self._read(place, wire.session_event_of)) as events:
            async for event in events:
                yield event
                if event.kind == "deleted":
                    return

    # -- sessions ----------------------------------------------------------------------------------

    async def create(
        self,
        owner: str,
        session_id: str | None = None,
        *,
        title: str = "",
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Gateway."""
        asked, known = session_id or self._new_id(), None if session_id else SessionExists
        body = wire.session_bytes(asked, title or None, ttl, metadata)
        made = await self._call("POST", "sessions", body, done=known)
        return await self.session(owner, asked) if made is None else self._told(wire.session_of, made, owner)

    async def session(self, owner: str, session_id: str) -> Session:
        """See Gateway."""
        return self._told(wire.session_of, await self._call("GET", path("sessions", session_id)), owner)

    async def sessions(self, owner: str, *, search: str = "", limit: int = 50, cursor: str | None = None) -> Page:
        """See Gateway."""
        query = {"limit": str(limit)} | ({"search": search} if search else {}) | ({"cursor": cursor} if cursor else {})
        return self._told(wire.page_of, await self._call("GET", "sessions", query=query), owner)

    async def update(
        self,
        owner: str,
        session_id: str,
        *,
        title: str | None = None,
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Gateway."""
        body = wire.session_bytes(None, title, ttl, metadata)
        return self._told(wire.session_of, await self._call("PATCH", path("sessions", session_id), body), owner)

    async def delete(self, owner: str, session_id: str) -> None:  # noqa: ARG002
        """See Gateway."""
        await self._call("DELETE", path("sessions", session_id), done=SessionNotFound)

    async def history(
        self,
        owner: str,  # noqa: ARG002
        session_id: str,
        branch: int | None = None,
        *,
        last: int | None = None,
    ) -> tuple[Turn, ...]:
        """See Gateway."""
        asked = {"branch": branch, "last": last}
        query = {name: str(number) for name, number in asked.items() if number is not None}
        return self._told(wire.turns_of, await self._call("GET", path("sessions", session_id, "history"), query=query))

    async def fork(self, owner: str, session_id: str, *, at: str | None = None, new_id: str | None = None) -> Session:
        """See Gateway."""
        asked, known = new_id or self._new_id(), None if new_id else SessionExists
        made = await self._call("POST", path("sessions", session_id, "fork"), wire.fork_bytes(at, asked), done=known)
        return await self.session(owner, asked) if made is None else self._told(wire.session_of, made, owner)

    async def rewind(self, owner: str, session_id: str, to: str) -> Session:
        """See Gateway."""
        told = await self._call("POST", path("sessions", session_id, "rewind"), wire.rewind_bytes(to))
        return self._told(wire.session_of, told, owner)

    # -- the gateway -------------------------------------------------------------------------------

    async def models(self) -> tuple[ModelState, ...]:
        """See Gateway."""
        return self._told(wire.models_of, await self._call("GET", "models"))

    async def usage(self, owner: str, by: Literal["model", "session", "day"] = "model") -> tuple[UsageRow, ...]:  # noqa: ARG002
        """See Gateway."""
        return self._told(wire.usage_of, await self._call("GET", "usage", query={"by": by}))

    async def status(self) -> GatewayStatus:
        """See Gateway."""
        return self._told(wire.status_of, await self._call("GET", "health/ready"))

    async def aclose(self) -> None:
        """Close the connections; what is being answered elsewhere is finished there."""
        await self._line.aclose()

    # -- below -------------------------------------------------------------------------------------

    async def _read(self, place: Place, read: Callable[[ServerSentEvent], _E | None]) -> AsyncGenerator[_E, None]:
        """Yield what ``read`` makes of the events from ``place`` on, over as many connections as that takes."""
        patience = Patience(self._chances, self._waits.progress)
        while True:
            try:
                async with self._line.streaming(place.next()) as chunks:
                    if chunks is None:
                        return
                    place.begun = True
                    async for chunk in chunks:
                        patience.alive(moved=bool(chunk))
                        for one in chunk:
                            place.after = one.id or place.after
                            event = self._told(read, one)
                            if event is not None:
                                yield event
                                patience.alive(moved=True)  # however long the reader took
            except Lost as lost:
                place.begun = place.begun or lost.sent
                if not place.resumable:
                    raise GatewayUnreachable(f"An answer that is not stored broke off ({lost}).") from lost
                if not (place.begun and await patience.wait()):
                    raise _unreachable(lost) from lost

    async def _call(
        self,
        method: str,
        where: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        done: type[WarpError] | None = None,
    ) -> bytes | None:
        """Return an answer's body; one that was lost is asked for once more.

        ``done`` is the error that says, the second time, that the first was heard: None is returned then.
        """
        call = Call(method, where, body, query=query or {})
        try:
            return await self._line.fetch(call)
        except Lost as lost:
            if not lost.sent:
                raise _unreachable(lost) from lost
        try:
            return await self._line.fetch(call)
        except Lost as lost:
            raise _unreachable(lost) from lost
        except WarpError as error:
            if done is None or not isinstance(error, done):
                raise
            return None

    def _told(self, read: Callable[..., _T], said: Any, *more: Any) -> _T:
        """Return what ``read`` makes of an answer's body or of an event."""
        try:
            return read(wire.json_of(said) if isinstance(said, bytes) else said, *more)
        except ValueError as error:
            told = f"{self._line.hosts} answers, but not as a gateway does: is the URL right? ({error})"
            raise GatewayUnreachable(told) from error

    async def _is_left_for_good(self) -> bool:
        """Tell a restart of the kernel from its stop button: both begin with an interrupt, and the word of it comes later."""
        if self._leaving is None:
            return False
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_SECONDS)
            if self._leaving():
                return True
        return False

    async def _stop_left(self, stream_id: str) -> None:
        """Stop an answer that nobody reads on; whether that can be said in time is not the reader's business."""
        if await self._is_left_for_good():
            return
        try:
            async with asyncio.timeout(self._waits.stop):
                await self._call("POST", path("streams", stream_id, "stop"))
        except (WarpError, TimeoutError) as error:
            log.debug("stop_failed: %s", error)


def _unreachable(lost: Lost) -> GatewayUnreachable:
    return GatewayUnreachable(f"The gateway does not answer ({lost}).")
