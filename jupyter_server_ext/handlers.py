"""The endpoints as Tornado handlers, behind Jupyter's own authentication and authorization."""

from __future__ import annotations

import asyncio
import contextlib
import http
from typing import TYPE_CHECKING, Any, Final

from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from warp_magics.gateway import errors, wire

from . import routes
from .bodies import Body, close, hang_up, has_body
from .endpoints import EventStream, Request, Response, error_response
from .openai_api import BELOW, shaped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from jupyter_server.auth import IdentityProvider

    from .routes import Route

RESOURCE: Final = "warp"
_PIECE: Final = 65536
READER_SECONDS: Final = 60.0
"""How long a reader may take nothing of what waits for it."""


@web.stream_request_body
class WarpHandler(APIHandler):
    """Runs a route and writes what it returns; who may not ask, and too large a body, is answered before it is read.

    In the settings ``warp_endpoints`` makes the endpoints when first used, ``warp_body_size`` tells how large a body may
    be, ``warp_owner`` the owner that the configuration sets over whoever asks, and ``warp_scoped``, where there is one,
    knows the kernels' token.
    """

    auth_resource = RESOURCE
    _work: asyncio.Future[Any] | None = None
    _body: Body | None = None

    @property
    def identity_provider(self) -> IdentityProvider:
        """Jupyter's own, which here knows the kernels' token too."""
        scoped = self.settings.get("warp_scoped")
        provider = super().identity_provider
        return scoped.wrap(provider) if scoped else provider

    def set_default_headers(self) -> None:
        """Add to Jupyter's own that no cache keeps an answer."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse strangers and what is too large before the body is read."""
        try:
            await self._let_in()
        except web.HTTPError as error:
            if not has_body(self.request):
                raise
            await self._turn_away(self._complaint(error.status_code, error))
            return
        if has_body(self.request):
            await self._expect_body()

    async def _let_in(self) -> None:
        await super().prepare()
        if self.current_user is None and self.request.method in self.closed_verbs:
            raise web.HTTPError(http.HTTPStatus.FORBIDDEN)

    async def _expect_body(self) -> None:
        try:
            size = await self.settings["warp_body_size"]() if self.current_user is not None else None
        except errors.WarpError as error:
            await self._turn_away(error_response(error))
            return
        self._body = Body(self.request, size)
        if self._body.is_too_large:
            await self._turn_away(self._body.refusal())

    async def data_received(self, chunk: bytes) -> None:
        """Take a part of the body, and refuse at once what becomes too large."""
        if self._body is not None:
            self._body.add(chunk)
            if self._body.is_too_large:
                await self._turn_away(self._body.refusal())

    async def _turn_away(self, answer: Response) -> None:
        """Answer while the body still arrives, and close the connection once the answer can have been read."""
        answer = shaped(self.below, answer)
        self.set_status(answer.status)
        self._set_headers({**answer.headers, "Content-Type": "application/json", "Connection": "close"})
        data = wire.json_bytes(answer.body)
        self.set_header("Content-Length", str(len(data)))
        self.write(data)
        with contextlib.suppress(StreamClosedError):
            await self.flush()
        self.application.log_request(self)
        await hang_up(self.request)

    def owner(self) -> str | None:
        """Return whose sessions are meant; None for a stranger.

        Jupyter's own providers give a token's user a new name at every request: all their users are ``local``.
        """
        user = self.current_user
        if user is None:
            return None
        if fixed := self.settings["warp_owner"]():
            return str(fixed)
        scoped = self.settings.get("warp_scoped")
        if scoped and scoped.is_user(user):
            return str(scoped.owner())
        own = type(super().identity_provider).__module__.startswith("jupyter_server.")
        return "local" if own else str(user.username)

    async def run(self, route: Route, groups: Mapping[str, str]) -> None:
        """Answer with what the route returns or raises."""
        self._work = work = asyncio.ensure_future(self._answered(route, groups))
        try:
            answer = await work
        except asyncio.CancelledError:  # the reader has left: nobody is there to be answered
            if not work.cancelled():
                raise
            return
        if isinstance(answer, EventStream):
            await self._write_stream(answer)
        else:
            await self._write(answer)

    async def _answered(self, route: Route, groups: Mapping[str, str]) -> Response | EventStream:
        try:
            endpoints = await self.settings["warp_endpoints"]() if route.gateway else None
            return await route.call(endpoints, self._asked(), **groups)
        except errors.WarpError as error:
            answer = error_response(error)
            return answer if self.current_user else Response({"status": "error"}, answer.status)

    def _asked(self) -> Request:
        """Return the request; only once the configuration is read, for that may set the owner."""
        query = {name: tuple(self.get_query_arguments(name)) for name in self.request.query_arguments}
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        return Request(self.owner(), self._body.data if self._body else b"", query, headers)

    @property
    def below(self) -> str:
        """The path below ``warp/``."""
        return str(self.request.path).removeprefix(url_path_join(self.base_url, "warp/"))

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

    async def _write_stream(self, answer: EventStream) -> None:
        self._set_headers(answer.headers)
        self._work = passing = asyncio.ensure_future(self._pass_on(answer))
        try:
            with contextlib.suppress(StreamClosedError, asyncio.CancelledError):  # the reader has left
                await passing
        finally:
            await answer.chunks.aclose()  # one that left before the first chunk has never been passed any

    async def _pass_on(self, answer: EventStream) -> None:
        await self._flush()
        async for chunk in answer.chunks:
            await self._send(chunk)
        # APIHandler.finish would set the type to JSON; the headers are out, so there is nothing left to set.
        web.RequestHandler.finish(self)

    async def _flush(self) -> None:
        """Wait until the reader has taken what was written; one that takes nothing is let go."""
        try:
            async with asyncio.timeout(READER_SECONDS):
                await self.flush()
        except TimeoutError:
            close(self.request)
            raise StreamClosedError from None

    def _set_headers(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    def on_connection_close(self) -> None:
        """Stop working for a reader who has left."""
        if self._work is not None:
            self._work.cancel()
        super().on_connection_close()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer in the gateway's shape of an error, whatever raised it."""
        if status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.verbs))
        answer = self._complaint(status_code, kwargs.get("exc_info", (None, None))[1])
        self.set_status(answer.status)
        self.set_header("Content-Type", "application/json")
        web.RequestHandler.finish(self, wire.json_bytes(answer.body))

    def _complaint(self, status: int, error: object) -> Response:
        message = _told(status, error)
        if status == http.HTTPStatus.FORBIDDEN and not getattr(self, "_jupyter_current_user", None):
            message = "Not signed in. Send the header `Authorization: Bearer TOKEN` with the server's token."
            if self.below.startswith(BELOW):  # by this status OpenAI's clients know a wrong key
                status = http.HTTPStatus.UNAUTHORIZED
        return shaped(self.below, Response({"code": _code(status), "message": message}, status))

    verbs: tuple[str, ...] = ()
    closed_verbs: tuple[str, ...] = ()
    """Those that only users may ask with."""


def _told(status: int, error: object) -> str:
    """Return what a refusal says to its reader; other failures tell nothing of themselves."""
    phrase = http.HTTPStatus(status).phrase
    if not isinstance(error, web.HTTPError) or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return phrase
    said = error.log_message or ""
    return error.reason or (said % error.args if error.args else said) or phrase


def _code(status: int) -> str:
    return http.HTTPStatus(status).name


class UnknownHandler(WarpHandler):
    """Everything else below ``warp/``: a 404 in JSON, for users and strangers alike."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse before anything else is looked at."""
        answer = routes.unmatched(self.request.path)
        if has_body(self.request):
            await self._turn_away(answer)
        else:
            await self._write(answer)


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
    return {**methods, "verbs": tuple(route.verb for route in of), "closed_verbs": closed}


def _handlers() -> list[tuple[str, type[WarpHandler]]]:
    """Return one handler for each path, with the verbs that the table gives it."""
    paths: dict[str, list[Route]] = {}
    for route in routes.ROUTES:
        paths.setdefault(route.pattern, []).append(route)
    known = [(pattern, type("RouteHandler", (WarpHandler,), _members(of))) for pattern, of in paths.items()]
    return [*known, (r".*", UnknownHandler)]


ROUTES: Final = _handlers()
