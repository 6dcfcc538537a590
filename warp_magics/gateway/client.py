"""ModelClient: one try at one model, as events. The only door to the HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient

from .dialects import dialect
from .dialects.refusals import StreamRefused
from .errors import (
    ConfigError,
    ConnectTimeout,
    ContentFiltered,
    FirstTokenTimeout,
    ModelMissing,
    NoContent,
    NotSayable,
    ProviderError,
    ProviderFault,
    ProviderUnreachable,
    StreamBroken,
    StreamStalled,
    WarpError,
)
from .sse import Decoder
from .types import Ended, Reasoning, Result, Started, Text, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping

    from .config import ProviderSettings
    from .dialects.base import Dialect, StreamDecoder, WireRequest
    from .dialects.demo import DemoAnswer
    from .types import Conversation, Event, Model

_ERROR_BODY = 64 * 1024  # bytes of an error's body that are read
_TAIL_SECONDS = 5.0  # that a whole answer's usage and end marker are waited for
_LONGEST_SAID = 1000  # characters of a provider's own words; cut only when no part of a key is left in them
_END_SECONDS = 0.2  # that the end of the body is waited for after its last event
_MASKED = re.compile(r"[\w.-]*\*{3,}[\w.-]*")  # a key as providers quote it: its first and last characters are left
log = logging.getLogger("warp_magics.client")
_FOREIGN = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, for the first event of an answer, and between two of them.

    ``first_token`` None waits as long as the caller does.
    """

    connect: float
    first_token: float | None
    stall: float


class ModelClient:
    """Connections to the providers, kept open between calls. Belongs to the event loop it is first used on."""

    def __init__(self, providers: Mapping[str, ProviderSettings]) -> None:
        self._providers = providers
        self._clients: dict[tuple[str, str | None, str | None], httpx.AsyncClient] = {}
        self._unstreamed: set[Model] = set()

    async def attempt(self, conversation: Conversation, timeouts: Timeouts) -> AsyncGenerator[Event, None]:
        """Ask once and yield Started, then what comes, then Ended with text left to the caller.

        Started comes with the first event of an answer, never before. Closing the generator closes the
        connection, so that the provider stops. A model that says it cannot stream is asked for its answer in one
        piece, and remembered. Raises ProviderError.
        """
        if conversation.stream and conversation.model not in self._unstreamed:
            try:
                async with contextlib.aclosing(self._asked(conversation, timeouts)) as events:
                    async for event in events:
                        yield event
            except StreamRefused:
                self._unstreamed.add(conversation.model)
            else:
                return
        async with contextlib.aclosing(self._asked(replace(conversation, stream=False), timeouts)) as events:
            async for event in events:
                yield event

    async def _asked(self, conversation: Conversation, timeouts: Timeouts) -> AsyncGenerator[Event, None]:
        provider = self._providers[conversation.model.provider]
        key = provider.api_key.reveal() if provider.api_key else None
        try:
            wire = _dialect(provider)
            request = _encoded(wire, conversation, key)
            if not conversation.stream:  # all of it comes at once, and only when it is done
                timeouts = replace(timeouts, first_token=None)
            answer = self._exchange(provider, wire, request, timeouts)
            async with contextlib.aclosing(_checked(answer, conversation.model, request.warnings)) as events:
                async for event in events:
                    yield event
        except WarpError as error:
            raise _scrubbed(error, provider) from error.__cause__
        except Exception as error:  # a dialect of another package's that does not keep its word
            log.exception("dialect_failed dialect=%s", provider.dialect)
            raise ProviderFault(f"The dialect {provider.dialect!r} failed: {type(error).__name__}.") from error

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _exchange(
        self, provider: ProviderSettings, wire: Dialect, request: WireRequest, timeouts: Timeouts
    ) -> AsyncGenerator[Event, None]:
        loop = asyncio.get_running_loop()
        first_by = None if timeouts.first_token is None else loop.time() + timeouts.first_token
        async with self._opened(provider, request, timeouts, first_by) as response:
            if not response.is_success:
                raise await _refusal(wire, response, timeouts)
            if "json" in response.headers.get("content-type", ""):
                async with _deadline(first_by, FirstTokenTimeout):
                    body = await response.aread()
                for event in wire.decode(body):
                    yield event
                return
            async for event in _streamed(wire, response, timeouts, first_by):
                yield event

    @contextlib.asynccontextmanager
    async def _opened(
        self, provider: ProviderSettings, request: WireRequest, timeouts: Timeouts, first_by: float | None
    ) -> AsyncIterator[httpx.Response]:
        """Send the request and hold its answer open; foreign errors become ours here, also while it is read."""
        client = self._client(provider)
        given = {name.lower(): value for name, value in provider.revealed_headers().items()}
        headers = {**given, **request.headers}
        call = client.build_request(
            "POST",
            provider.base_url.rstrip("/") + request.path,
            content=request.body,
            headers=headers,
            # aiohttp's time for a connection from the pool, which has no limit, is that of the address's look-up too.
            timeout=httpx.Timeout(None, connect=timeouts.connect, pool=timeouts.connect),
        )
        begun = False
        try:
            async with _deadline(first_by, FirstTokenTimeout):
                response = await client.send(call, stream=True)
            begun = True
            try:
                yield response
            finally:
                await response.aclose()
        except _FOREIGN as error:
            raise _foreign(error, begun=begun) from error

    def _client(self, provider: ProviderSettings) -> httpx.AsyncClient:
        kind = "demo" if provider.dialect == "demo" else "http"
        key = (kind, provider.verify, provider.proxy)
        if key not in self._clients:
            self._clients[key] = _new_client(*key)
        return self._clients[key]


def _dialect(provider: ProviderSettings) -> Dialect:
    try:
        return dialect(provider.dialect)
    except ConfigError as error:  # another package's, which cannot be loaded: another model may answer
        raise ModelMissing(error.message) from error


def _new_client(kind: str, verify: str | None, proxy: str | None) -> httpx.AsyncClient:
    if kind == "demo":
        return httpx.AsyncClient(transport=_DemoTransport())
    context = httpx.create_ssl_context(verify) if verify else httpx.create_ssl_context()
    # aiohttp reads 0 as "no limit"; the router's own limits say how much is too much.
    limits = httpx.Limits(max_connections=0, keepalive_expiry=60.0)
    return HttpxAiohttpClient(verify=context, proxy=proxy, limits=limits)


@contextlib.asynccontextmanager
async def _deadline(when: float | None, error: type[ProviderError]) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(when):
            yield
    except TimeoutError as late:
        raise error("The model did not answer in time.") from late


async def _refusal(wire: Dialect, response: httpx.Response, timeouts: Timeouts) -> ProviderError:
    body = b""
    with contextlib.suppress(*_FOREIGN):  # the status says enough where the body does not come
        async with asyncio.timeout(timeouts.stall):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _ERROR_BODY:
                    break
    headers = {name.lower(): value for name, value in response.headers.items()}
    return wire.error(response.status_code, headers, body)


async def _streamed(
    wire: Dialect, response: httpx.Response, timeouts: Timeouts, first_by: float | None
) -> AsyncGenerator[Event, None]:
    """Yield an answer's events; waits until ``first_by`` for the first and ``stall`` for each later one.

    A piece of a tool call is a sign of life too, though it is told of only when the call is whole.
    """
    lines, answer = Decoder(), wire.decoder()
    loop = asyncio.get_running_loop()
    expected = first_by
    late: type[ProviderError] = FirstTokenTimeout
    body = aiter(response.aiter_bytes())
    while not answer.done:
        before = answer.pieces
        try:
            async with _deadline(expected, late):
                chunk = await anext(body, None)
        except (ProviderError, *_FOREIGN):
            if not answer.finished:
                raise
            break  # whole: only its usage or its end marker is lost
        if chunk is None:
            break
        for event in _decoded(lines, answer, chunk):
            yield event
            expected, late = loop.time() + timeouts.stall, StreamStalled
        if answer.pieces > before:
            expected, late = loop.time() + timeouts.stall, StreamStalled
        if answer.finished:
            expected = loop.time() + min(timeouts.stall, _TAIL_SECONDS)
    for event in answer.end():
        yield event
    if answer.done:
        await _read_out(body)


async def _read_out(body: AsyncIterator[bytes]) -> None:
    """Read a body to its end, so that its connection serves again; that of a sender who dawdles is closed."""
    with contextlib.suppress(*_FOREIGN):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in body:
                pass


def _decoded(lines: Decoder, answer: StreamDecoder, chunk: bytes) -> Iterator[Event]:
    """Yield what ``chunk`` says one by one, so that an error in it takes nothing away that came before it."""
    try:
        said = lines.feed(chunk)
    except ValueError as error:
        raise ProviderFault(f"The provider's answer is no event stream: {error}.") from error
    for one in said:
        yield from answer.feed(one)


async def _checked(
    events: AsyncGenerator[Event, None], model: Model, warnings: tuple[str, ...]
) -> AsyncGenerator[Event, None]:
    """Put Started first, name the model, add the request's warnings; an answer that ends with nothing said is an error."""
    started = said = False
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Ended):
                if not said and event.response.result is Result.FILTERED:
                    raise ContentFiltered("The provider refused the content without a word.")
                if not said and event.response.result in (Result.COMPLETE, Result.UNKNOWN):
                    raise NoContent("The model ended its answer without a word.")
                said_of_it = (*warnings, *event.response.warnings)
                event = replace(event, response=replace(event.response, model=str(model), warnings=said_of_it))  # noqa: PLW2901
            if not started:
                started = True
                yield Started(str(model))
            said = said or isinstance(event, Text | Reasoning | ToolCall)
            yield event


def _foreign(error: Exception, *, begun: bool) -> ProviderError:
    """Return our error for the HTTP client's: what happened, never its text, which may hold an address with a key."""
    if begun:
        return StreamBroken("The connection broke in mid-answer.")
    # httpx-aiohttp calls refused connections time-outs too: only aiohttp's own name is to be trusted.
    cause = error.__cause__
    if isinstance(cause, aiohttp.ServerTimeoutError):
        return ConnectTimeout("The provider did not accept a connection in time.")
    if isinstance(cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return ProviderUnreachable("The provider's certificate was not accepted.")
    if isinstance(cause, aiohttp.ClientConnectorError):
        reason = cause.os_error.strerror or "no such host"
        return ProviderUnreachable(f"No connection to the provider: {reason}.")
    return ProviderUnreachable("The connection to the provider was lost before it answered.")


def _encoded(wire: Dialect, conversation: Conversation, key: str | None) -> WireRequest:
    """Return the request in the model's format; raises NotSayable, which is no fault of the model's health."""
    try:
        return wire.encode(conversation, key)
    except WarpError:
        raise
    except Exception as error:
        log.exception("dialect_failed dialect=%s", type(wire).__name__)
        raise NotSayable(f"The request cannot be put in the words of {conversation.model}.") from error


def _scrubbed(error: WarpError, provider: ProviderSettings) -> WarpError:
    """Take every secret of ``provider`` out of what it said about our request, those that it masked itself too."""

    def clean(text: str) -> str:
        for secret in provider.secrets():
            text = text.replace(secret, "***")
        text = _MASKED.sub("***", text)
        return text if len(text) <= _LONGEST_SAID else text[: _LONGEST_SAID - 1] + "…"

    error.message = clean(error.message)
    error.args = (error.message,)
    error.details = {name: clean(said) if isinstance(said, str) else said for name, said in error.details.items()}
    return error


class _DemoTransport(httpx.AsyncBaseTransport):
    """Plays what ``dialects.demo.respond`` says, in place of a network."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        from .dialects.demo import respond

        answer = respond(request.content)
        headers = {"content-type": answer.content_type}
        return httpx.Response(answer.status, headers=headers, stream=_DemoStream(answer))


class _DemoStream(httpx.AsyncByteStream):
    def __init__(self, answer: DemoAnswer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._answer.chunks:
            if self._answer.pause:
                await asyncio.sleep(self._answer.pause)
            yield chunk
        if self._answer.ends == "cut":
            raise httpx.ReadError("the demo provider breaks off here")
        if self._answer.ends == "hang":
            await asyncio.Event().wait()
