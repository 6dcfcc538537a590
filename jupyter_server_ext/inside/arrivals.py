"""What comes to a Jupyter Server: who asks, a body as it arrives, and what is refused before anything is answered."""

from __future__ import annotations

import contextlib
import http
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jupyter_server.auth.identity import LegacyIdentityProvider
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from warp_magics.gateway import errors, wire

from ..rest.messages import Response, error_response
from ..rest.shapes import OPENAI, shaped
from .bodies import Body, at_once, hang_up, has_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from jupyter_server.auth import IdentityProvider

RESOURCE: Final = "warp"
_TOKEN: Final = re.compile("(token|bearer) ", re.IGNORECASE)


@web.stream_request_body
class Arrivals(APIHandler):
    """Knows who asks; who may not, and too large a body, is answered before it is read.

    In the settings ``warp_body_size`` tells how large a body may be, ``warp_owner`` the owner that the configuration sets
    over whoever asks, ``warp_scoped``, where there is one, knows the kernels' token, ``warp_count`` counts what was answered.
    """

    auth_resource = RESOURCE
    _body: Body | None = None
    verbs: tuple[str, ...] = ()
    closed_verbs: tuple[str, ...] = ()
    """Those that only users may ask with."""
    route_path: str | None = None

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
        at_once(self.request)
        try:
            await self._let_in()
        except web.HTTPError as error:
            if has_body(self.request):
                await self._turn_away(self._complaint(error.status_code, error))
            else:
                self._once_read(partial(_refuse, error))
            return
        if has_body(self.request):
            await self._expect_body()

    def _once_read(self, answer: Callable[[], Awaitable[None]]) -> None:
        """Answer so in the verb's place: whom Tornado sees answered before it has read the request it hangs up on."""
        setattr(self, str(self.request.method).lower(), lambda **_: answer())

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
        self._count()
        await hang_up(self.request)

    def check_xsrf_cookie(self) -> None:
        """Check what a browser may have been made to send: a kernel's token is in a header, and JupyterHub knows it not."""
        scoped = self.settings.get("warp_scoped")
        if not (scoped and scoped.knows(self)):
            super().check_xsrf_cookie()

    def set_secure_cookie(self, name: str, value: str | bytes, *more: Any, **settings: Any) -> None:
        """Have whoever shows a token in a header, as no page can be made to, sign in with it alone: a cookie is for browsers.

        Jupyter would sign a new one for each request. A provider that tells its users by it keeps it.
        """
        shown = _TOKEN.match(self.request.headers.get("Authorization", ""))
        if not (shown and self._users_are_nameless()):
            super().set_secure_cookie(name, value, *more, **settings)

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

    @property
    def below(self) -> str:
        """The path below ``warp/``."""
        return str(self.request.path).removeprefix(url_path_join(self.base_url, "warp/"))

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
            if self.below.startswith(OPENAI):  # by this status OpenAI's clients know a wrong key
                status = http.HTTPStatus.UNAUTHORIZED
        return shaped(self.below, Response({"code": _code(status), "message": message}, status))

    def on_connection_close(self) -> None:
        """Wait for nothing more of a sender who has left."""
        if self._body is not None:
            self._body.has_come()
        super().on_connection_close()

    def on_finish(self) -> None:
        """Count the request."""
        if self._body is not None:
            self._body.has_come()
        self._count()
        super().on_finish()

    def _count(self) -> None:
        if count := self.settings.get("warp_count"):
            count(self.route_path, self.request.method, self.get_status())

    def _set_headers(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)


async def _refuse(error: web.HTTPError) -> None:
    raise error


def _told(status: int, error: object) -> str:
    """Return what a refusal says to its reader; other failures tell nothing of themselves."""
    phrase = http.HTTPStatus(status).phrase
    if not isinstance(error, web.HTTPError) or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return phrase
    said = error.log_message or ""
    return error.reason or (said % error.args if error.args else said) or phrase


def _code(status: int) -> str:
    return http.HTTPStatus(status).name
