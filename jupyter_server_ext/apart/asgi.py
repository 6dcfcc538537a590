"""The endpoints as a raw ASGI 3 application: the gateway alone, on whichever server runs it."""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from warp_magics.gateway import errors, wire

from ..rest import bounds
from ..rest.messages import EventStream, Request, Response, error_response
from ..rest.routes import allowed, match, path_of, read_query, unmatched
from ..rest.shapes import shaped
from .cors import SAFE_HEADERS, Cors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping

    from ..rest.endpoints import Endpoints
    from ..rest.routes import Route
    from .guards import Guard

    Scope: TypeAlias = MutableMapping[str, Any]
    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

log = logging.getLogger("jupyter_server_ext")

BELOW: Final = "/warp/"
CLOSE_SECONDS: Final = 5.0
"""How long the gateway may take to stop its answers and keep their parts."""
LAST_WORDS_SECONDS: Final = 1.0
"""How long readers have, once the gateway has closed, to be sent what is left for them."""
_PLACE: Final = "warp.below"
"""What a scope is told of its path: what stands below ``warp/``, None for another."""
_ROUTE: Final = "warp.route"
"""What a scope is told of the route that was found, for whoever counts."""
LEFT: Final = "warp.left"
"""Where a scope has a future that is done once its reader has left, of a server that tells: then no task waits for that."""
_END: Final = {"type": "http.response.body", "body": b""}
_AUTHORIZATION: Final = re.compile(r"(?:token|bearer) +(\S+) *", re.IGNORECASE)


class Application:
    """``opened()`` opens the endpoints at the server's start and closes what is behind them at its end.

    ``guard`` says who is let in, ``below`` where the paths begin; ``body_size`` is in bytes. ``cors`` knows the pages of
    elsewhere that may ask.
    """

    def __init__(
        self,
        opened: Callable[[], contextlib.AbstractAsyncContextManager[Endpoints]],
        guard: Guard,
        *,
        body_size: int,
        below: str = BELOW,
        body_seconds: float = bounds.BODY_SECONDS,
        cors: Cors | None = None,
    ) -> None:
        self._opened = opened
        self._guard = guard
        self._below = below
        self._cors = cors or Cors()
        self._body_seconds = body_seconds
        self._body_size = body_size
        self._held = contextlib.AsyncExitStack()
        self._endpoints: Endpoints | None = None
        self._works: set[asyncio.Task[Any]] = set()
        self._closing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI: ``lifespan``, which is needed, and ``http``."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            raise ValueError(f"nothing here speaks {scope['type']}")

    async def close(self) -> None:
        """Stop live answers and keep their parts; then let go of the readers that are left. Bounded, done once."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._held.aclose()
        except TimeoutError:
            log.warning("close_too_slow: an answer's part may not be kept")
        if works := set(self._works):
            await asyncio.wait(works, timeout=LAST_WORDS_SECONDS)
        for work in self._works:
            work.cancel()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._endpoints = await self._held.enter_async_context(self._opened())
        except errors.WarpError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        send = self._with_cors(scope, send)
        scope[_PLACE] = _below(scope, self._below)
        try:
            route, groups, request = await self._asked(scope, receive)
        except _Refused as refused:
            answer = shaped(scope[_PLACE] or "", refused.answer)
            self._count(scope, answer.status)
            await _respond(send, answer, head=head)
            return
        except _Left:
            return
        with self._until_left(scope, receive):
            await self._work(scope, route, request, groups, send, head=head)

    @contextlib.contextmanager
    def _until_left(self, scope: Scope, receive: Receive) -> Generator[None, None, None]:
        """End what is done here once the reader has left, or the server ends: with nobody there, that is no fault."""
        work = asyncio.current_task()
        if work is None:
            raise AssertionError("a request is answered by a task")
        self._works.add(work)
        told: asyncio.Future[None] | None = scope.get(LEFT)
        left = told or asyncio.ensure_future(_left(receive))  # of another server only who receives is told

        def leave(_: object) -> None:
            if work in self._works and not left.cancelled():
                work.cancel()

        left.add_done_callback(leave)
        try:
            yield
        except asyncio.CancelledError:
            if not left.done() and self._closing is None:
                raise
            work.uncancel()
        finally:
            self._works.discard(work)
            left.remove_done_callback(leave)
            if told is None:
                left.cancel()

    def _with_cors(self, scope: Scope, send: Send) -> Send:
        """Return ``send`` with what the asking page's browser is told besides."""
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        more = _raw(self._cors.headers(origin))
        if not more:
            return send

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in more if one[0] not in known)]
            await send(message)

        return telling

    async def _asked(self, scope: Scope, receive: Receive) -> tuple[Route, dict[str, str], Request]:
        """Return what is asked, and of which route; raises _Refused before more is read than needed, and _Left."""
        headers = _headers(scope)
        try:
            route, groups = self._route(scope, headers)
            scope[_ROUTE] = path_of(route.pattern)
            owner = await self._owner(route, headers.get("authorization", ""))
            if owner is None and not route.open:
                raise _Refused(_stranger(self._guard.hint))
            query = read_query(scope["query_string"].decode("latin-1"))
            async with asyncio.timeout(self._body_seconds):
                body = await self._body(headers, receive)
        except TimeoutError:
            raise _Refused(_too_slow(self._body_seconds)) from None
        except errors.WarpError as error:
            raise _Refused(error_response(error)) from None
        return route, groups, Request(owner, body, query, headers)

    def _route(self, scope: Scope, headers: Mapping[str, str]) -> tuple[Route, dict[str, str]]:
        """Return the route that is asked for; raises _Refused, also with the answer to a browser that asks before."""
        below: str | None = scope[_PLACE]
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        if verb == "OPTIONS" and below is not None and (verbs := allowed(below)):
            told = self._cors.preflight(headers, verbs)
            if told is not None:
                raise _Refused(Response(None, http.HTTPStatus.NO_CONTENT, told))
        found = None if below is None else match(verb, below)
        if found is None:
            raise _Refused(unmatched(scope["path"] if below is None else below))
        return found

    async def _owner(self, route: Route, authorization: str) -> str | None:
        """Return the owner of the token that a request carries; None for a stranger."""
        if route.open and not route.gateway:  # the same for everybody, also while nobody can tell who is who
            return None
        said = _AUTHORIZATION.fullmatch(authorization)
        try:
            return await self._guard.owner(said[1] if said else "")
        except errors.WarpError:
            if not route.open:
                raise
            return None

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Read the body as far as it is allowed to go; raises BodyTooLarge."""
        declared = headers.get("content-length", "")
        too_large = bounds.too_large(self._body_size)
        if declared.isdecimal() and int(declared) > self._body_size:
            raise too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Left
            body += message.get("body", b"")
            if len(body) > self._body_size:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)

    async def _work(
        self, scope: Scope, route: Route, request: Request, groups: Mapping[str, str], send: Send, *, head: bool
    ) -> None:
        """Answer; cancelled where the reader has left, and where the server ends."""
        answer = await self._answer(route, request, groups)
        if isinstance(answer, EventStream):
            self._count(scope, http.HTTPStatus.OK)
            await self._pass_on(send, answer, head=head)
        else:
            answer = shaped(scope[_PLACE], answer)
            self._count(scope, answer.status)
            await _respond(send, answer, head=head)

    def _count(self, scope: Scope, status: int) -> None:
        if self._endpoints is not None:
            self._endpoints.count(scope.get(_ROUTE), scope["method"], status)

    async def _answer(self, route: Route, request: Request, groups: Mapping[str, str]) -> Response | EventStream:
        try:
            return await route.call(self._endpoints if route.gateway else None, request, **groups)
        except errors.WarpError as error:
            answer = error_response(error)
        except Exception:
            log.exception("request_failed")
            answer = _failed()
        return Response({"status": "error"}, answer.status) if request.owner is None else answer

    async def _pass_on(self, send: Send, answer: EventStream, *, head: bool) -> None:
        """Send each chunk once the one before it has gone; what is left at the server's end is cut off cleanly."""
        try:
            await send(_start(http.HTTPStatus.OK, answer.headers))
            if not head:
                async for chunk in answer.chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send(_END)
        except asyncio.CancelledError:
            if self._closing is None:
                raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await send(_END)
        finally:
            await answer.chunks.aclose()


class _Refused(Exception):
    """A request that is answered without the gateway."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer)
        self.answer = answer


class _Left(Exception):
    """Who was asking has gone."""


def _below(scope: Scope, start: str) -> str | None:
    """Return the path below ``start``, still percent-encoded; None for another."""
    path = str((scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1"))
    return path.removeprefix(start) if path.startswith(start) else None


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in lower case; one that came twice matches nothing that is compared whole."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _left(receive: Receive) -> None:
    """Return when the reader has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _respond(send: Send, answer: Response, *, head: bool) -> None:
    headers = dict(answer.headers)
    if answer.body is None or isinstance(answer.body, bytes):
        body = answer.body or b""
    else:
        body = wire.json_bytes(answer.body)
        headers = {"content-type": "application/json", **headers}
    if answer.status != http.HTTPStatus.NO_CONTENT:
        headers["content-length"] = str(len(body))
    await send(_start(answer.status, headers))
    await send({"type": "http.response.body", "body": b"" if head else body})


def _start(status: int, headers: Mapping[str, str]) -> Message:
    told = {**SAFE_HEADERS, **{name.lower(): value for name, value in headers.items()}}
    return {"type": "http.response.start", "status": int(status), "headers": _raw(told)}


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _too_slow(seconds: float) -> Response:
    status = http.HTTPStatus.REQUEST_TIMEOUT
    return Response({"code": status.name, "message": f"The body did not arrive within {seconds:g} s."}, status)


def _stranger(hint: str) -> Response:
    message = f"Not signed in. Send the header `Authorization: Bearer TOKEN`. {hint}"
    status = http.HTTPStatus.UNAUTHORIZED
    return Response({"code": status.name, "message": message}, status, {"WWW-Authenticate": "Bearer"})


def _failed() -> Response:
    status = http.HTTPStatus.INTERNAL_SERVER_ERROR
    return Response({"code": status.name, "message": status.phrase}, status)
