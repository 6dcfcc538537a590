"""Connections to the providers, kept open between calls. The only door to the HTTP client; its errors become ours here."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import ssl
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from yarl import URL

from .errors import ConnectTimeout, FirstTokenTimeout, ProviderError, ProviderUnreachable, StreamBroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from .config import ProviderSettings
    from .dialects.base import WireRequest
    from .dialects.demo import DemoAnswer

_FOREIGN: Final = (aiohttp.ClientError, OSError)
_KEEP_ALIVE_SECONDS: Final = 60.0
PACE_SECONDS: Final = 1 / 60
"""Words that come faster are read together: no screen shows them sooner, and a piece costs as much as many words."""
_LARGE: Final = 2**20


class Answer(Protocol):
    """What came back, to be closed; headers have their names in lower case."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    def due(self, when: float | None, error: type[ProviderError]) -> None:
        """Have what is being read, now or next, end with ``error`` at the loop's time ``when``; None: never."""

    def gather(self) -> None:
        """Have ``more`` return no oftener than each PACE_SECONDS from now on, but for the end and what is due."""

    async def more(self) -> bytes:
        """Return what has come of the body, b"" at its end; raises StreamBroken, and what ``due`` says."""

    async def whole(self) -> bytes:
        """Return the rest of the body; raises as ``more``."""

    def close(self) -> None:
        """Let the connection serve again where the body was read to its end, and close it where not."""


class Connections:
    """Belongs to the event loop it is first used on."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str | None], aiohttp.ClientSession] = {}
        self._ways: dict[tuple[str, str | None, str | None], tuple[aiohttp.ClientSession, str | None]] = {}
        self._urls: dict[tuple[str, str], URL] = {}

    async def open(
        self, provider: ProviderSettings, request: WireRequest, connect: float, first_by: float | None
    ) -> Answer:
        """Send ``request`` and return its answer; closed before its end, so is the connection, and its sender stops.

        ``connect`` is how many seconds a connection may take, ``first_by`` the loop's time by which the answer has begun.
        Raises ProviderError.
        """
        if provider.dialect == "demo":
            from .dialects.demo import respond

            return _Played(respond(request.body))
        session, proxy = self._way(provider)
        headers = {name.lower(): value for name, value in provider.revealed_headers().items()}
        headers.update(request.headers)
        url = self._url(provider.base_url, request.path)
        body, timeout = _sent(request.body), _time_for(connect)
        async with deadline(first_by, FirstTokenTimeout):
            try:
                response = await session.post(
                    url, data=body, headers=headers, timeout=timeout, proxy=proxy, allow_redirects=False
                )
            except _FOREIGN as error:
                raise _unreached(error) from error
        return _HttpAnswer(response)

    def _way(self, provider: ProviderSettings) -> tuple[aiohttp.ClientSession, str | None]:
        key = (provider.base_url, provider.verify, provider.proxy)
        if key not in self._ways:
            scheme = urlsplit(provider.base_url).scheme
            self._ways[key] = self._session(scheme, provider.verify), provider.proxy or _proxy_of(provider.base_url)
        return self._ways[key]

    def _session(self, scheme: str, verify: str | None) -> aiohttp.ClientSession:
        key = (scheme, verify)
        if key not in self._sessions:
            # No limit: the router's own limits say how much is too much.
            connector = aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS, ssl=_tls(verify) if scheme == "https" else True
            )
            self._sessions[key] = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._sessions[key]

    def _url(self, base: str, path: str) -> URL:
        key = (base, path)
        if key not in self._urls:
            if len(self._urls) > 1000:  # noqa: PLR2004 - a path may name any model
                self._urls.clear()
            self._urls[key] = URL(base.rstrip("/") + path)
        return self._urls[key]

    async def aclose(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        self._ways.clear()


@contextlib.asynccontextmanager
async def deadline(when: float | None, error: type[ProviderError]) -> AsyncIterator[None]:
    """Raise ``error`` at the loop's time ``when``."""
    try:
        async with asyncio.timeout_at(when):
            yield
    except TimeoutError as late:
        raise late_error(error) from late


def late_error(error: type[ProviderError]) -> ProviderError:
    """Return ``error`` in words."""
    return error("The model did not answer in time.")


class _HttpAnswer:
    """One timer watches over all of an answer: moving a time-out on with each chunk would cost more than the chunk."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        self._late: type[ProviderError] = FirstTokenTimeout
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._rang: type[ProviderError] | None = None
        self._gathers = False
        self._together_until = 0.0
        self._broke: ProviderError | None = None
        """What went wrong behind what was returned."""

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self._response.headers.items()}

    def due(self, when: float | None, error: type[ProviderError]) -> None:
        self._due, self._late = when, error
        if when is not None and when < self._rings_at:
            self._set(when)

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = self._loop.call_at(when, self._ring), when

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        if self._due is None:
            return
        if self._loop.time() < self._due:  # it was moved on meanwhile
            self._set(self._due)
            return
        self._rang = self._late
        self._response.close()  # whoever reads is told

    def gather(self) -> None:
        self._gathers = True

    async def more(self) -> bytes:
        if self._broke is not None:
            raise self._broke
        content = self._response.content
        if self._gathers and not content.is_eof() and content.exception() is None:
            await self._gathered()
        data = await self._any()
        self._together_until = self._loop.time() + PACE_SECONDS
        return data

    async def _gathered(self) -> None:
        """Wait for what else comes in time, without being woken for each piece of it."""
        until = self._together_until
        if self._due is not None:  # what has come in time is not to be held against its sender
            until = min(until, self._due - PACE_SECONDS)
        if self._loop.time() < until:
            with contextlib.suppress(*_FOREIGN):  # the time is over; or it broke, which who reads is told
                async with asyncio.timeout_at(until):
                    await self._response.content.wait_eof()

    async def _any(self) -> bytes:
        content = self._response.content
        try:
            return await content.readany()
        except _FOREIGN as error:
            broke = self._broken()
            # What came before the fault is there, but for readers who look past it.
            if left := content._read_nowait(-1):  # noqa: SLF001
                self._broke = broke
                return left
            raise broke from error

    async def whole(self) -> bytes:
        try:
            return await self._response.read()
        except _FOREIGN as error:
            raise self._broken() from error

    def _broken(self) -> ProviderError:
        if self._rang is not None:
            return late_error(self._rang)
        return StreamBroken("The connection broke in mid-answer.")

    def close(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings_at = None, math.inf
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


@lru_cache(maxsize=100)
def _time_for(connect: float) -> aiohttp.ClientTimeout:
    """Return how long a connection may take: of one from the pool, which has no limit, that is the look-up's time too."""
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect)


def _sent(body: bytes) -> bytes | BytesIO:
    """Return ``body`` as aiohttp wants it: one with attachments in pieces, between which others have their turn."""
    return body if len(body) < _LARGE else BytesIO(body)


def _tls(verify: str | None) -> ssl.SSLContext:
    """Return whom to believe: ``verify``, a file of CA certificates; else what the environment names; else certifi's."""
    folder = os.environ.get("SSL_CERT_DIR")
    file = verify or os.environ.get("SSL_CERT_FILE") or (None if folder else certifi.where())
    return ssl.create_default_context(cafile=file, capath=None if verify else folder)


def _proxy_of(base_url: str) -> str | None:
    """Return the proxy that the environment names for an address; raises ProviderUnreachable for one of another kind."""
    parts = urlsplit(base_url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    kind = urlsplit(proxy).scheme  # in lower case
    if kind not in ("http", "https"):
        raise ProviderUnreachable(f"The environment names a {kind} proxy: only http and https ones can be used.")
    return proxy


def _unreached(error: Exception) -> ProviderError:
    """Return our error for the HTTP client's: what happened, never its text, which may hold an address with a key."""
    if isinstance(error, aiohttp.ServerTimeoutError):
        return ConnectTimeout("The provider did not accept a connection in time.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return ProviderUnreachable("The provider's certificate was not accepted.")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or "no such host"
        return ProviderUnreachable(f"No connection to the provider: {reason}.")
    return ProviderUnreachable("The connection to the provider was lost before it answered.")


class _Played:
    """Plays what ``dialects.demo.respond`` says, in place of a network."""

    def __init__(self, answer: DemoAnswer) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = {"content-type": answer.content_type}
        self._due: float | None = None
        self._late: type[ProviderError] = FirstTokenTimeout
        self._left = list(reversed(answer.chunks))

    def due(self, when: float | None, error: type[ProviderError]) -> None:
        self._due, self._late = when, error

    def gather(self) -> None:
        pass  # it comes as it is played

    async def more(self) -> bytes:
        async with deadline(self._due, self._late):
            return await self._next()

    async def _next(self) -> bytes:
        if self._left:
            if self._answer.pause:
                await asyncio.sleep(self._answer.pause)
            return self._left.pop()
        if self._answer.ends == "cut":
            raise StreamBroken("The connection broke in mid-answer.")
        if self._answer.ends == "hang":
            await asyncio.Event().wait()
        return b""

    def close(self) -> None:
        pass  # nothing is held

    async def whole(self) -> bytes:
        parts = []
        while part := await self.more():
            parts.append(part)
        return b"".join(parts)
