"""Passing on: a request goes to the gateway elsewhere that the configuration names, and its answer comes back as it is."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from warp_magics.gateway import errors
from warp_magics.ways import is_loopback

from ..rest.bounds import too_large
from ..rest.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger("jupyter_server_ext")

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 20.0
"""How long what asks no model may take to begin: a stream sends its headers after 15 s at the latest."""
SILENCE_SECONDS: Final = 45.0
"""How long nothing may come in a stream, where a gateway pings every 15 s."""
_IDLE_SECONDS: Final = 4.0  # a proxy in between may close a connection that is idle for 5 s
_MOST_OF_ERROR: Final = 64 * 1024  # bytes
_FOREIGN: Final = (aiohttp.ClientError, OSError, ValueError)  # a TimeoutError is an OSError
_REFUSING: Final = (401, 403)
_ERROR: Final = 400
_JSON: Final = re.compile(r"application/(\S+\+)?json\b", re.IGNORECASE)
# Of one connection, or of who has asked here and how; RFC 9110 has the first row.
_HOPS: Final = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"}
_OURS: Final = _HOPS | {"host", "content-length", "expect", "authorization", "proxy-authorization", "cookie", "origin"}
_NOT_SENT: Final = _OURS | {"referer", "x-xsrftoken", "forwarded", "via", "x-real-ip", "x-scheme"}
_NOT_TOLD: Final = _HOPS | {"set-cookie", "www-authenticate", "proxy-authenticate", "date", "server"}
_FAMILIES: Final = ("x-forwarded-", "sec-", "access-control-", "proxy-")


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer as it comes from elsewhere; close ``chunks`` when the reader leaves."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: Body


class Passing:
    """To the gateway at ``url``, with the ``token`` of this server. Belongs to the loop that it is first used on.

    ``body_size`` is in bytes; ``longest`` is how long a gateway may take, in seconds, for what a model is asked.
    """

    def __init__(self, url: str, token: Callable[[], str] | str, *, body_size: int, longest: float) -> None:
        self.url = url
        self._token = token
        self._body_size = body_size
        self._longest = longest
        self._held: aiohttp.ClientSession | None = None

    async def answer(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Passed:
        """Return what the gateway answers to a user of this server; ``path`` is what stands below ``warp/``, as it came.

        Raises NotFound for a path that leads elsewhere, BodyTooLarge, GatewayUnreachable and ServerRefused.
        """
        if len(body) > self._body_size:
            raise too_large(self._body_size)
        token = self._token() if callable(self._token) else self._token
        sent = [*_kept(headers, _NOT_SENT), ("Authorization", f"Bearer {token}")]
        response = await self._asked(method, path, sent, body)
        wait = SILENCE_SECONDS if response.content_type == "text/event-stream" else self._wait(method)
        told = _kept(response.headers.items(), _NOT_TOLD)
        return Passed(response.status, tuple(told), Body(response, wait, self.url))

    async def health(self) -> Response:
        """Return what a stranger may know of the gateway, who is asked without a token: its status and nothing else."""
        response = await self._asked("GET", "api/v1/health/ready", [], b"")
        told = await self._json(response)
        if response.status >= _ERROR or "status" not in told:
            raise errors.GatewayUnreachable(f"{self.url} answers, but not as a gateway does.")
        return Response({"status": str(told["status"])}, response.status)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._held is not None:
            await self._held.close()

    async def _asked(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self._wait(method)):
                response = await self._session().request(
                    method,
                    URL(f"{self.url}/{_checked(path)}", encoded=True),
                    headers=list(headers),
                    data=body or None,
                    allow_redirects=False,
                )
        except _FOREIGN as error:
            raise errors.GatewayUnreachable(f"The gateway at {self.url} cannot be reached: {_why(error)}.") from error
        try:
            await self._check(response)
        except BaseException:
            response.close()
            raise
        return response

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise what is wrong with an answer that is no gateway's, or that says that this server may not ask."""
        status = response.status
        if status in _REFUSING:
            said = (await self._json(response)).get("message") or "it does not say why"
            raise errors.ServerRefused(
                f"The gateway at {self.url} refuses this server's token, not yours (HTTP {status}): {said}"
            )
        typed = _JSON.match(response.headers.get("Content-Type", ""))
        if 300 <= status < _ERROR or (status >= _ERROR and not typed):  # noqa: PLR2004
            raise errors.GatewayUnreachable(
                f"At {self.url} somebody answers (HTTP {status}), but not as a gateway does: does it run, is the URL right?"
            )

    async def _json(self, response: aiohttp.ClientResponse) -> dict[str, Any]:
        """Return what a short answer says; nothing where that cannot be read."""
        body = b""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                while len(body) <= _MOST_OF_ERROR and (more := await response.content.readany()):
                    body += more
            said = json.loads(body)
        except (*_FOREIGN, RecursionError):
            return {}
        finally:
            response.close()
        return said if isinstance(said, dict) else {}

    def _wait(self, method: str) -> float:
        return self._longest if method == "POST" else ANSWER_SECONDS

    def _session(self) -> aiohttp.ClientSession:
        if self._held is None:
            nearby = is_loopback(urlsplit(self.url).hostname or "")
            self._held = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                trust_env=not nearby,  # the system's proxies know nothing of this machine's own addresses
            )
        return self._held


class Body:
    """An answer's bytes as they come. Closed before its end, it closes the connection to the gateway at once."""

    def __init__(self, response: aiohttp.ClientResponse, wait: float, url: str) -> None:
        self._response = response
        self._wait = wait
        self._url = url

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Raises GatewayUnreachable where they break off, or do not come for too long."""
        try:
            async with asyncio.timeout(self._wait):
                chunk = await self._response.content.readany()
        except _FOREIGN as error:
            raise errors.GatewayUnreachable(f"The answer of {self._url} broke off: {_why(error)}.") from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Let go of the answer."""
        self._response.close()


def _checked(path: str) -> str:
    """Return ``path``; raises NotFound for one that would lead out of the gateway's own."""
    if any(part in {".", ".."} for part in re.split(r"[/\\]", unquote(path.partition("?")[0]))):
        raise errors.NotFound(f"There is nothing at {path!r}.")
    return path


def _kept(headers: Iterable[tuple[str, str]], dropped: set[str]) -> list[tuple[str, str]]:
    """Return the headers that go further: neither ``dropped``, nor of a family that does not, nor of the connection."""
    headers = list(headers)
    named = {
        word.strip().lower() for name, value in headers if name.lower() == "connection" for word in value.split(",")
    }
    none = dropped | named
    return [one for one in headers if one[0].lower() not in none and not one[0].lower().startswith(_FAMILIES)]


def _why(error: Exception) -> str:
    """Return what happened, never the HTTP client's text, which may hold more than a reader should see."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "its certificate was not accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return (error.os_error.strerror or "no such host").lower()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "the connection was lost"
