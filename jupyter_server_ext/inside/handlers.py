"""The endpoints as Tornado handlers, behind Jupyter's own authentication and authorization."""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jupyter_server import CallContext
from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from warp_magics.gateway import errors, wire

from ..rest import routes
from ..rest.bounds import READER_SECONDS
from ..rest.endpoints import live
from ..rest.messages import EventStream, Request, Response, error_response
from ..rest.shapes import shaped
from .arrivals import RESOURCE, Arrivals
from .bodies import close, has_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from contextvars import Context

    from ..rest.routes import Route
    from .passing import Passed, Passing

_PIECE: Final = 65536


class WarpHandler(Arrivals):
    """Runs a route and writes what it returns.

    In the settings ``warp_endpoints`` makes the endpoints when first used, ``warp_passing``, where there is one, tells the
    way to the gateway that answers instead; see Arrivals for more of them.
    """

    _work: asyncio.Future[Any] | None = None

    def may_pass(self) -> bool:
        """Whether this server's token for the gateway elsewhere is the user's own to use: its sessions are that user's."""
        user = self.current_user
        if user is None:
            return False
        scoped = self.settings.get("warp_scoped")
        named = os.environ.get("JUPYTERHUB_USER")
        return bool((scoped and scoped.is_user(user)) or self._users_are_nameless() or user.username == named)

    async def run(self, route: Route, groups: Mapping[str, str]) -> None:
        """Answer with what the route returns or raises."""
        await self._run(self._answered(route, groups))

    async def _run(self, answering: Coroutine[Any, Any, Response | EventStream | Passed]) -> None:
        if self._body is not None:
            self._body.has_come()
        self._work = work = asyncio.create_task(answering, context=_without_handler())
        try:
            answer = await work
        except asyncio.CancelledError:  # the reader has left: nobody is there to be answered
            if not work.cancelled():
                raise
            return
        if isinstance(answer, Response):
            await self._write(answer)
        else:
            await self._write_stream(answer)

    async def _answered(self, route: Route, groups: Mapping[str, str]) -> Response | EventStream | Passed:
        try:
            if route.call is not live and (passing := await self._passing()):
                return await (passing.health() if route.open and not self.may_pass() else self._passed_on(passing))
            endpoints = await self.settings["warp_endpoints"]() if route.gateway else None
            return await route.call(endpoints, self._asked(), **groups)
        except errors.WarpError as error:
            answer = error_response(error)
            return answer if self.current_user else Response({"status": "error"}, answer.status)

    async def _passing(self) -> Passing | None:
        """Return the way to the gateway that answers instead of this server's, if there is one."""
        way = self.settings.get("warp_passing")
        return await way() if way else None

    async def _passed_on(self, passing: Passing) -> Passed:
        if not self.may_pass():
            raise errors.Forbidden(
                "This server asks the gateway as its own user, whose sessions are not yours. Ask from your own server."
            )
        start = url_path_join(self.base_url, RESOURCE, "/")
        headers, body = self.request.headers.get_all(), self._body.data if self._body else b""
        return await passing.answer(str(self.request.method), str(self.request.uri).removeprefix(start), headers, body)

    def _asked(self) -> Request:
        """Return the request; only once the configuration is read, for that may set the owner."""
        query = routes.read_query(self.request.query)
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        return Request(self.owner(), self._body.data if self._body else b"", query, headers)

    async def _write(self, answer: Response) -> None:
        answer = shaped(self.below, answer)
        self.set_status(answer.status)
        self._set_headers(answer.headers)
        if answer.body is None:
            web.RequestHandler.finish(self)
        elif isinstance(answer.body, bytes):
            await self._write_whole(answer.body, answer.headers["content-type"])
        else:
            await self._write_whole(wire.json_bytes(answer.body), "application/json")

    async def _write_whole(self, data: bytes, content_type: str) -> None:
        """Finish with ``data``, a large one in pieces, so that a reader who takes none of it is let go."""
        if len(data) <= _PIECE:
            self.finish(data, set_content_type=content_type)
            return
        self._set_headers({"Content-Type": content_type, "Content-Length": str(len(data))})
        with contextlib.suppress(StreamClosedError):  # the reader has left
            await self._send(data)
            web.RequestHandler.finish(self)

    async def _send(self, data: bytes) -> None:
        """Write ``data``, piece by piece as its reader takes them; raises StreamClosedError once it takes none."""
        for start in range(0, len(data), _PIECE):
            self.write(data[start : start + _PIECE])
            await self._flush()

    async def _write_stream(self, answer: EventStream | Passed) -> None:
        if isinstance(answer, EventStream):
            self._set_headers(answer.headers)
        else:
            self._set_head(answer)
        self._work = passing = asyncio.create_task(self._pass_on(answer), context=_without_handler())
        try:
            with contextlib.suppress(StreamClosedError, asyncio.CancelledError):  # the reader has left
                await passing
        except errors.GatewayUnreachable as error:
            # It is too late to say so: the reader must not take the part for the whole.
            self.log.warning("warp: %s", error.message)
            if self.request.connection is not None:
                self.request.connection.close()  # type: ignore[attr-defined] # every server's connection has it
        finally:
            await answer.chunks.aclose()  # one that left before the first chunk has never been passed any

    def _set_head(self, answer: Passed) -> None:
        self.set_status(answer.status)
        self.clear_header("Content-Type")
        told: set[str] = set()
        for name, value in answer.headers:  # the first takes the place of what Jupyter says there
            (self.add_header if name.lower() in told else self.set_header)(name, value)
            told.add(name.lower())

    async def _pass_on(self, answer: EventStream | Passed) -> None:
        await self._flush()
        async for chunk in answer.chunks:
            await self._send(chunk)
        # APIHandler.finish would set the type to JSON; the headers are out, so there is nothing left to set.
        web.RequestHandler.finish(self)

    async def _flush(self) -> None:
        """Wait until the reader has taken what was written; one that takes nothing is let go."""
        flushed: asyncio.Future[None] = self.flush()
        if flushed.done():  # as almost always: it is on its way
            await flushed
            return
        try:
            async with asyncio.timeout(READER_SECONDS):
                await flushed
        except TimeoutError:
            close(self.request)
            raise StreamClosedError from None

    def on_connection_close(self) -> None:
        """Stop working for a reader who has left."""
        if self._work is not None:
            self._work.cancel()
        super().on_connection_close()


class UnknownHandler(WarpHandler):
    """Everything else below ``warp/``: a 404 in JSON, for users and strangers alike; passed on where all is."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse before anything else is looked at."""
        with contextlib.suppress(errors.WarpError):  # which is told at the paths that there are
            if await self._passing():
                await super().prepare()
                return
        answer = routes.unmatched(self.request.path)
        if has_body(self.request):
            await self._turn_away(answer)
        else:
            self._once_read(partial(self._write, answer))

    verbs = closed_verbs = ("GET", "POST", "PUT", "PATCH", "DELETE")

    async def _rest(self) -> None:
        await self._run(self._told_elsewhere())

    async def _told_elsewhere(self) -> Response | Passed:
        try:
            passing = await self._passing()
            return await self._passed_on(passing) if passing else routes.unmatched(self.request.path)
        except errors.WarpError as error:
            return error_response(error)

    get = web.authenticated(authorized("read", resource=RESOURCE)(_rest))
    post = put = patch = delete = web.authenticated(authorized("write", resource=RESOURCE)(_rest))


def _without_handler() -> Context:
    """Return this context without Jupyter's handler: a connection or a timer that outlives a request would keep all of it."""
    context = copy_context()
    context.run(CallContext.set, CallContext.JUPYTER_HANDLER, None)
    return context


def _method(route: Route) -> Callable[..., Awaitable[None] | None]:
    async def answer(self: WarpHandler, **groups: str) -> None:
        await self.run(route, groups)

    if route.open:
        return allow_unauthenticated(answer)
    return web.authenticated(authorized(route.action, resource=RESOURCE)(answer))


def _members(of: list[Route]) -> dict[str, Any]:
    """Return what makes a handler the handler of these routes, which are of one path."""
    methods = {route.verb.lower(): _method(route) for route in of}
    closed = tuple(route.verb for route in of if not route.open)
    told = {"verbs": tuple(route.verb for route in of), "closed_verbs": closed}
    return {**methods, **told, "route_path": routes.path_of(of[0].pattern)}


def _handlers() -> list[tuple[str, type[WarpHandler]]]:
    """Return one handler for each path, with the verbs that the table gives it."""
    paths: dict[str, list[Route]] = {}
    for route in routes.ROUTES:
        paths.setdefault(route.pattern, []).append(route)
    known = [(pattern, type("RouteHandler", (WarpHandler,), _members(of))) for pattern, of in paths.items()]
    return [*known, (r".*", UnknownHandler)]


ROUTES: Final = _handlers()
