"""The endpoints as Tornado handlers, behind Jupyter's own authentication and authorization."""

from __future__ import annotations

import asyncio
import contextlib
import http
import os
from typing import TYPE_CHECKING, Any, Final

from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.auth.identity import LegacyIdentityProvider
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from warp_magics.gateway import errors, wire

from . import routes
from .endpoints import EventStream, Request, Response, error_response, live
from .openai_api import BELOW, shaped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from jupyter_server.auth import IdentityProvider

    from .passing import Passed, Passing
    from .routes import Route

RESOURCE: Final = "warp"


class WarpHandler(APIHandler):
    """Runs a route and writes what it returns.

    In the settings ``warp_endpoints`` makes the endpoints when first used, ``warp_passing``, where there is one, tells the
    way to the gateway that answers instead, ``warp_owner`` the owner that the configuration sets over whoever asks, and
    ``warp_scoped``, where there is one, knows the kernels' token.
    """

    auth_resource = RESOURCE
    _work: asyncio.Future[Any] | None = None

    @property
    def identity_provider(self) -> IdentityProvider:
        """Jupyter's own, which here knows the kernels' token too."""
        scoped = self.settings.get("warp_scoped")
        provider = super().identity_provider
        return scoped.wrap(provider) if scoped else provider

    def check_xsrf_cookie(self) -> None:
        """Check what a browser may have been made to send: a kernel's token is in a header, and JupyterHub knows it not."""
        scoped = self.settings.get("warp_scoped")
        if not (scoped and scoped.knows(self)):
            super().check_xsrf_cookie()

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
        return "local" if self._users_are_nameless() else str(user.username)

    def _users_are_nameless(self) -> bool:
        provider = super().identity_provider
        # JupyterHub's servers of the older kind know their users by a handler that Jupyter's own provider asks.
        knows = provider.login_handler_class if isinstance(provider, LegacyIdentityProvider) else type(provider)
        return str(knows.__module__).startswith("jupyter_server.")

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
        self._work = work = asyncio.ensure_future(answering)
        try:
            answer = await work
        except asyncio.CancelledError:  # the reader has left: nobody is there to be answered
            if not work.cancelled():
                raise
            return
        if isinstance(answer, Response):
            self._write(answer)
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
        start = url_path_join(self.base_url, "warp/")
        headers, body = self.request.headers.get_all(), self.request.body
        return await passing.answer(str(self.request.method), str(self.request.uri).removeprefix(start), headers, body)

    def _asked(self) -> Request:
        """Return the request; only once the configuration is read, for that may set the owner."""
        query = {name: tuple(self.get_query_arguments(name)) for name in self.request.query_arguments}
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        return Request(self.owner(), self.request.body, query, headers)

    @property
    def below(self) -> str:
        """The path below ``warp/``."""
        return str(self.request.path).removeprefix(url_path_join(self.base_url, "warp/"))

    def _write(self, answer: Response) -> None:
        answer = shaped(self.below, answer)
        self.set_status(answer.status)
        self._set_headers(answer.headers)
        if answer.body is None:
            web.RequestHandler.finish(self)
        elif isinstance(answer.body, bytes):
            self.finish(answer.body, set_content_type=answer.headers["content-type"])
        else:
            self.finish(wire.json_bytes(answer.body))

    async def _write_stream(self, answer: EventStream | Passed) -> None:
        if isinstance(answer, EventStream):
            self._set_headers(answer.headers)
        else:
            self._set_head(answer)
        self._work = passing = asyncio.ensure_future(self._pass_on(answer))
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
        await self.flush()
        async for chunk in answer.chunks:
            self.write(chunk)
            await self.flush()
        # APIHandler.finish would set the type to JSON; the headers are out, so there is nothing left to set.
        web.RequestHandler.finish(self)

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
        message = _told(status_code, kwargs.get("exc_info", (None, None))[1])
        stranger = status_code == http.HTTPStatus.FORBIDDEN and not getattr(self, "_jupyter_current_user", None)
        if stranger:
            message = "Not signed in. Send the header `Authorization: Bearer TOKEN` with the server's token."
        if status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.verbs))
        if stranger and self.below.startswith(BELOW):  # by this status OpenAI's clients know a wrong key
            status_code = http.HTTPStatus.UNAUTHORIZED
        answer = shaped(self.below, Response({"code": _code(status_code), "message": message}, status_code))
        self.set_status(answer.status)
        self.set_header("Content-Type", "application/json")
        web.RequestHandler.finish(self, wire.json_bytes(answer.body))

    verbs: tuple[str, ...] = ()


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
    """Everything else below ``warp/``: a 404 in JSON, for users and strangers alike; passed on where all is."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse before anything else is looked at."""
        with contextlib.suppress(errors.WarpError):  # which is told at the paths that there are
            if await self._passing():
                await super().prepare()
                return
        self._write(routes.unmatched(self.request.path))

    verbs = ("GET", "POST", "PUT", "PATCH", "DELETE")

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


def _method(route: Route) -> Callable[..., Awaitable[None] | None]:
    async def answer(self: WarpHandler, **groups: str) -> None:
        await self.run(route, groups)

    if route.open:
        return allow_unauthenticated(answer)
    return web.authenticated(authorized(route.action, resource=RESOURCE)(answer))


def _handlers() -> list[tuple[str, type[WarpHandler]]]:
    """Return one handler for each path, with the verbs that the table gives it."""
    methods: dict[str, dict[str, Any]] = {}
    for route in routes.ROUTES:
        methods.setdefault(route.pattern, {})[route.verb.lower()] = _method(route)
    known = [
        (pattern, type("RouteHandler", (WarpHandler,), {**verbs, "verbs": tuple(verb.upper() for verb in verbs)}))
        for pattern, verbs in methods.items()
    ]
    return [*known, (r".*", UnknownHandler)]


ROUTES: Final = _handlers()
