"""The endpoints as Tornado handlers, behind Jupyter's own authentication and authorization."""

from __future__ import annotations

import asyncio
import contextlib
import http
from typing import TYPE_CHECKING, Any, Final

from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from warp_magics.gateway import errors, wire

from .endpoints import EventStream, Request, Response, error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .endpoints import Endpoints

RESOURCE: Final = "warp"
_SESSION: Final = r"(?P<session_id>[^/]+)"


class WarpHandler(APIHandler):
    """Runs an endpoint and writes what it returns. ``warp_endpoints`` in the settings makes them when first used."""

    auth_resource = RESOURCE
    _work: asyncio.Future[Any] | None = None

    def owner(self) -> str | None:
        """Return whose sessions are meant; None for a stranger.

        Jupyter's own providers give a token's user a new name at every request: all their users are ``local``.
        """
        user = self.current_user
        if user is None:
            return None
        fixed: str | None = self.settings["warp_owner"]()
        if fixed:
            return fixed
        own = type(self.identity_provider).__module__.startswith("jupyter_server.")
        return "local" if own else str(user.username)

    async def run(self, call: Callable[[Endpoints, Request], Awaitable[Response | EventStream]]) -> None:
        """Answer with what ``call`` returns or raises."""
        self._work = work = asyncio.ensure_future(self._answered(call))
        try:
            answer = await work
        except asyncio.CancelledError:  # the reader has left: nobody is there to be answered
            if not work.cancelled():
                raise
            return
        if isinstance(answer, EventStream):
            await self._write_stream(answer)
        else:
            self._write(answer)

    async def _answered(
        self, call: Callable[[Endpoints, Request], Awaitable[Response | EventStream]]
    ) -> Response | EventStream:
        try:
            endpoints = await self.settings["warp_endpoints"]()
            return await call(endpoints, self._asked())
        except errors.WarpError as error:
            answer = error_response(error)
            return answer if self.current_user else Response({"status": "error"}, answer.status)

    def _asked(self) -> Request:
        """Return the request; only once the configuration is read, for that may set the owner."""
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        return Request(self.owner(), self.request.body, query)

    def _write(self, answer: Response) -> None:
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(wire.json_bytes(answer.body))

    async def _write_stream(self, answer: EventStream) -> None:
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self._work = passing = asyncio.ensure_future(self._pass_on(answer))
        with contextlib.suppress(StreamClosedError, asyncio.CancelledError):  # the reader has left
            await passing

    async def _pass_on(self, answer: EventStream) -> None:
        async with contextlib.aclosing(answer.chunks) as chunks:
            await self.flush()
            async for chunk in chunks:
                self.write(chunk)
                await self.flush()
        # APIHandler.finish would set the type to JSON; the headers are out, so there is nothing left to set.
        web.RequestHandler.finish(self)

    def on_connection_close(self) -> None:
        """Stop working for a reader who has left."""
        if self._work is not None:
            self._work.cancel()
        super().on_connection_close()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer in the gateway's shape of an error, whatever raised it."""
        message = _told(status_code, kwargs.get("exc_info", (None, None))[1])
        if status_code == http.HTTPStatus.FORBIDDEN and not getattr(self, "_jupyter_current_user", None):
            message = "Not signed in. Send the header `Authorization: Bearer TOKEN` with the server's token."
        if status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(_verbs(type(self))))
        self.set_header("Content-Type", "application/json")
        web.RequestHandler.finish(self, wire.json_bytes({"code": _code(status_code), "message": message}))


def _told(status: int, error: object) -> str:
    """Return what a refusal says to its reader; other failures tell nothing of themselves."""
    phrase = http.HTTPStatus(status).phrase
    if not isinstance(error, web.HTTPError) or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return phrase
    said = error.log_message or ""
    return error.reason or (said % error.args if error.args else said) or phrase


def _verbs(handler: type) -> list[str]:
    """Return the verbs that ``handler`` or one of ours above it answers."""
    ours = [kind for kind in handler.__mro__ if kind.__module__ == __name__]
    return [verb.upper() for verb in ("get", "post") if any(verb in vars(kind) for kind in ours)]


def _code(status: int) -> str:
    return http.HTTPStatus(status).name


class PromptHandler(WarpHandler):
    """``api/v1/prompt``."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Ask and answer whole."""
        await self.run(lambda endpoints, request: endpoints.prompt(request))


class StreamHandler(WarpHandler):
    """``api/v1/stream``."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Ask and answer as it comes."""
        await self.run(lambda endpoints, request: endpoints.stream(request))


class HistoryHandler(WarpHandler):
    """``api/v1/sessions/{id}/history``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)  # type: ignore[untyped-decorator]
    async def get(self, session_id: str) -> None:
        """List a session's turns."""
        await self.run(lambda endpoints, request: endpoints.history(request, session_id))


class ModelsHandler(WarpHandler):
    """``api/v1/models``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """List the configured models."""
        await self.run(lambda endpoints, request: endpoints.models(request))


class LiveHandler(WarpHandler):
    """``api/v1/health/live``: open, and answered without the gateway."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Tell that the process answers."""
        self._write(Response({"status": "ok"}))


class ReadyHandler(WarpHandler):
    """``api/v1/health/ready``: open; a stranger is told the status alone."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Tell how the gateway is."""
        await self.run(lambda endpoints, request: endpoints.ready(request))


class UnknownHandler(WarpHandler):
    """Everything else below ``warp/``: a 404 in JSON, for users and strangers alike."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse before anything else is looked at."""
        path = self.request.path
        self._write(error_response(errors.NotFound(f"There is nothing at {path}.")))


ROUTES: Final = (
    (r"api/v1/prompt", PromptHandler),
    (r"api/v1/stream", StreamHandler),
    (rf"api/v1/sessions/{_SESSION}/history", HistoryHandler),
    (r"api/v1/models", ModelsHandler),
    (r"api/v1/health/live", LiveHandler),
    (r"api/v1/health/ready", ReadyHandler),
    (r".*", UnknownHandler),
)
