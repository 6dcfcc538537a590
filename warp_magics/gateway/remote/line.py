"""Line: HTTP to a gateway that is elsewhere, at whichever of its instances answers. The only door to the HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient

from .. import wire
from ..errors import ConfigError, GatewayRefused, GatewayUnreachable, InvalidRequest, ShuttingDown, WarpError
from ..sse import Decoder, ServerSentEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

_ERROR_BODY = 64 * 1024  # bytes of an error's body that are read
_FOREIGN = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)  # a TimeoutError is an OSError
# httpx-aiohttp calls lost connections time-outs too: only aiohttp's own name tells that nothing was sent.
_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds.

    ``connect`` for a connection, ``call`` for an answer that is no stream, ``silence`` in a stream (a gateway pings
    every 15 s), ``progress`` without any before a stream is given up, ``stop`` for the word that stops an answer
    whose reader leaves.
    """

    connect: float = 5.0
    call: float = 45.0
    silence: float = 45.0
    progress: float = 60.0
    stop: float = 0.45


@dataclass(frozen=True, slots=True)
class Call:
    """A request: ``path`` behind a URL of the gateway."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


class Lost(Exception):
    """No instance answered, or a connection broke; ``sent`` where the request may have arrived."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Line:
    """Connections to the instances at ``urls``, kept open between calls. Belongs to the loop it is first used on.

    ``token`` goes into the header ``Authorization`` of requests to these urls and nowhere else. Raises ConfigError.
    """

    def __init__(self, urls: Sequence[str], token: Callable[[], str] | str | None, waits: Waits) -> None:
        if not urls:
            raise ConfigError("A gateway elsewhere has at least one URL.")
        self._urls = [_base(url) for url in urls]
        self._token = token
        self._waits = waits
        self._at = 0
        self._clients: dict[bool, httpx.AsyncClient] = {}

    @property
    def hosts(self) -> str:
        """The instances' hosts, for people."""
        return ", ".join(map(_host, self._urls))

    async def fetch(self, call: Call) -> bytes:
        """Return the body of an answer. Raises Lost, and the error that the gateway tells."""
        async with self._opened(call, self._waits.call) as response, _reading(response, self._waits.call):
            return await response.aread()

    @contextlib.asynccontextmanager
    async def streaming(self, call: Call) -> AsyncIterator[AsyncGenerator[list[ServerSentEvent], None] | None]:
        """Hold open an answer's events, those of a chunk together; None where the gateway says that there are no more.

        Each chunk is a sign of life, also one without events. Raises Lost where they break off and at their end,
        which is for who reads the events to know, and the error that the gateway tells.
        """
        async with self._opened(call, self._waits.silence) as response:
            if response.status_code == httpx.codes.NO_CONTENT:
                yield None
                return
            if "text/event-stream" not in response.headers.get("content-type", ""):
                raise GatewayUnreachable(f"{_host_of(response)} answers, but not as a gateway does: is the URL right?")
            async with contextlib.aclosing(self._events(response)) as events:
                yield events

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _events(self, response: httpx.Response) -> AsyncGenerator[list[ServerSentEvent], None]:
        decoder = Decoder()
        pieces = aiter(response.aiter_bytes())
        while True:
            async with _reading(response, self._waits.silence):
                chunk = await anext(pieces, None)
            if chunk is None:
                raise Lost(f"{_host_of(response)} broke off", sent=True)
            try:
                events = decoder.feed(chunk)
            except ValueError as error:
                raise GatewayUnreachable(f"{_host_of(response)} sent no event stream: {error}.") from None
            yield events

    @contextlib.asynccontextmanager
    async def _opened(self, call: Call, wait: float) -> AsyncIterator[httpx.Response]:
        response = await self._answered(call, wait)
        try:
            yield response
        finally:
            with contextlib.suppress(*_FOREIGN):  # it is left anyway
                await response.aclose()

    async def _answered(self, call: Call, wait: float) -> httpx.Response:
        """Return the answer of the first instance that has one, that which answered last asked first."""
        first, lost = self._at, list[Lost]()
        for at in (*range(first, len(self._urls)), *range(first)):
            try:
                response = await self._asked(self._urls[at], call, wait)
            except Lost as one:
                lost.append(one)
            else:
                self._at = at
                return response
        raise Lost("; ".join(map(str, lost)), sent=any(one.sent for one in lost))

    async def _asked(self, url: str, call: Call, wait: float) -> httpx.Response:
        host, client = _host(url), self._client(url)
        typed = {} if call.body is None else {"Content-Type": "application/json"}
        try:
            request = client.build_request(
                call.method,
                f"{url}/api/v1/{call.path}",
                content=call.body,
                headers={**self._authorization(), **typed, **call.headers},
                params=call.query or None,
                timeout=httpx.Timeout(None, connect=self._waits.connect),
            )
            async with asyncio.timeout(wait):
                response = await client.send(request, stream=True)
        except _FOREIGN as error:
            raise Lost(f"{host}: {_why(error)}", sent=not isinstance(error.__cause__, _UNSENT)) from error
        except ValueError:  # which may quote the header
            raise InvalidRequest("A token or an id holds characters that no header can hold.") from None
        if response.is_success:
            return response
        refusal = await self._refusal(response)
        if isinstance(refusal, GatewayUnreachable | ShuttingDown):
            sent = response.status_code in (httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT)
            raise Lost(f"{host}: {refusal.message.rstrip('.')}", sent=sent) from refusal
        raise refusal

    async def _refusal(self, response: httpx.Response) -> WarpError:
        status, body = response.status_code, b""
        try:
            with contextlib.suppress(*_FOREIGN):  # the status says enough where the body does not come
                async with asyncio.timeout(self._waits.connect):
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > _ERROR_BODY:
                            break
        finally:
            with contextlib.suppress(*_FOREIGN):
                await response.aclose()
        error = wire.error_of(status, body)
        if response.is_redirect:
            return GatewayUnreachable(f"somebody answers (HTTP {status}), but not as a gateway does: is the URL right?")
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            told = f"The gateway at {_host_of(response)} does not let us in (HTTP {status}): {error.message}"
            advice = "Set WARP_GATEWAY_TOKEN to a token that it knows."
            return GatewayRefused(f"{told} {advice}", details={"reason": error.message})
        return error

    def _authorization(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _client(self, url: str) -> httpx.AsyncClient:
        nearby = _is_loopback(url)
        if nearby not in self._clients:
            # aiohttp reads 0 as "no limit". The system's proxies know nothing of this machine's own addresses.
            limits = httpx.Limits(max_connections=0, keepalive_expiry=15.0)
            self._clients[nearby] = HttpxAiohttpClient(limits=limits, trust_env=not nearby)
        return self._clients[nearby]


def path(*parts: str) -> str:
    """Return a path of ``parts``, none of which can change its shape; raises InvalidRequest for one that would."""
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidRequest("An id that is empty, '.' or '..' cannot be asked for over REST.")
    return "/".join(quote(part, safe="") for part in parts)


@contextlib.asynccontextmanager
async def _reading(response: httpx.Response, wait: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(wait):
            yield
    except _FOREIGN as error:
        raise Lost(f"{_host_of(response)}: {_why(error)}", sent=True) from error


def _why(error: Exception) -> str:
    """Return what happened, never the HTTP client's text, which may hold more than a reader should see."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "its certificate was not accepted"
    if isinstance(cause, aiohttp.ClientConnectorError):
        return (cause.os_error.strerror or "no such host").lower()
    if isinstance(error, TimeoutError) or isinstance(cause, aiohttp.ServerTimeoutError):
        return "no answer in time"
    return "the connection was lost"


def _base(url: str) -> str:
    """Return ``url`` as paths are put behind it; one with a password is refused, and not told."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not ("@" in parts.netloc or parts.query)
    except ValueError:
        good = False
    if not good:
        raise ConfigError("A gateway's URL is like http://127.0.0.1:8888/warp, without a user, a password or a token.")
    return url.rstrip("/")


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _host_of(response: httpx.Response) -> str:
    return response.request.url.netloc.decode("ascii", "replace")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
