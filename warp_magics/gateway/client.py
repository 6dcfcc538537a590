"""ModelClient: one try at one model, as events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from .connections import Connections
from .dialects import dialect
from .dialects.refusals import StreamRefused
from .errors import (
    ConfigError,
    ContentFiltered,
    FirstTokenTimeout,
    ModelMissing,
    NoContent,
    NotSayable,
    ProviderError,
    ProviderFault,
    StreamStalled,
    WarpError,
)
from .sse import Decoder
from .turnstile import Turnstile
from .types import Ended, Reasoning, Result, Started, Text, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from .config import ProviderSettings
    from .connections import Answer
    from .dialects.base import Dialect, StreamDecoder, WireRequest
    from .types import Conversation, Event, Model

_ERROR_BODY = 64 * 1024  # bytes of an error's body that are read
_TAIL_SECONDS = 5.0  # that a whole answer's usage and end marker are waited for
_LONGEST_SAID = 1000  # characters of a provider's own words; cut only when no part of a key is left in them
_END_SECONDS = 0.2  # that the end of the body is waited for after its last event
_MASKED = re.compile(r"[\w.-]*\*{3,}[\w.-]*")  # a key as providers quote it: its first and last characters are left
log = logging.getLogger("warp_magics.client")
_GOOD = range(200, 300)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, for the first event of an answer, and between two of them.

    ``first_token`` None waits as long as the caller does.
    """

    connect: float
    first_token: float | None
    stall: float


class ModelClient:
    """Belongs to the event loop it is first used on."""

    def __init__(self, providers: Mapping[str, ProviderSettings]) -> None:
        self._providers = providers
        self._connections = Connections()
        self._unstreamed: set[Model] = set()
        self._turnstile = Turnstile()

    async def attempt(self, conversation: Conversation, timeouts: Timeouts) -> AsyncGenerator[Sequence[Event], None]:
        """Ask once and yield Started, then what comes, then Ended with text left to the caller; all that has come at a time.

        Started comes with the first event of an answer, never before. Closing the generator closes the
        connection, so that the provider stops. A model that says it cannot stream is asked for its answer in one
        piece, and remembered. Raises ProviderError.
        """
        if conversation.stream and conversation.model not in self._unstreamed:
            try:
                async with contextlib.aclosing(self._asked(conversation, timeouts)) as batches:
                    async for batch in batches:
                        yield batch
            except StreamRefused:
                self._unstreamed.add(conversation.model)
            else:
                return
        async with contextlib.aclosing(self._asked(replace(conversation, stream=False), timeouts)) as batches:
            async for batch in batches:
                yield batch

    async def _asked(self, conversation: Conversation, timeouts: Timeouts) -> AsyncGenerator[Sequence[Event], None]:
        provider = self._providers[conversation.model.provider]
        answer: Answer | None = None
        try:
            wire = _dialect(provider)
            request = _encoded(wire, conversation, provider.api_key.reveal() if provider.api_key else None)
            check = _Check(conversation.model, request.warnings)
            # Where it is asked for in one piece, all of it comes at once, and only when it is done.
            wait = timeouts.first_token if conversation.stream else None
            first_by = None if wait is None else asyncio.get_running_loop().time() + wait
            answer = await self._connections.open(provider, request, timeouts.connect, first_by)
            await self._turnstile.enter()
            if answer.status not in _GOOD:
                raise await _refusal(wire, answer, timeouts)  # noqa: TRY301 - as all that goes wrong here
            if "json" in answer.headers.get("content-type", ""):
                answer.due(first_by, FirstTokenTimeout)
                yield check(wire.decode(await answer.whole()))
                return
            async with contextlib.aclosing(_streamed(wire, answer, timeouts, first_by)) as batches:
                async for batch in batches:
                    if events := check(batch if conversation.pieces else _joined(batch)):
                        yield events
        except WarpError as error:
            raise _scrubbed(error, provider) from error.__cause__
        except Exception as error:  # a dialect of another package's that does not keep its word
            log.exception("dialect_failed dialect=%s", provider.dialect)
            raise ProviderFault(f"The dialect {provider.dialect!r} failed: {type(error).__name__}.") from error
        finally:
            if answer is not None:
                answer.close()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()


def _dialect(provider: ProviderSettings) -> Dialect:
    try:
        return dialect(provider.dialect)
    except ConfigError as error:  # another package's, which cannot be loaded: another model may answer
        raise ModelMissing(error.message) from error


async def _refusal(wire: Dialect, answer: Answer, timeouts: Timeouts) -> ProviderError:
    body = b""
    with contextlib.suppress(ProviderError):  # the status says enough where the body does not come
        answer.due(asyncio.get_running_loop().time() + timeouts.stall, StreamStalled)
        while len(body) <= _ERROR_BODY and (part := await answer.more()):
            body += part
    return wire.error(answer.status, answer.headers, body)


async def _streamed(
    wire: Dialect, answer: Answer, timeouts: Timeouts, first_by: float | None
) -> AsyncGenerator[Sequence[Event], None]:
    """Yield an answer's events as they come, none of them lost to a fault behind it; waits until ``first_by`` for the first and ``stall`` for each later one.

    A piece of a tool call is a sign of life too, though it is told of only when the call is whole.
    """
    lines, decoder = Decoder(), wire.decoder()
    now = asyncio.get_running_loop().time
    expected = first_by
    late: type[ProviderError] = FirstTokenTimeout
    while not decoder.done:
        before = decoder.pieces
        answer.due(expected, late)
        try:
            chunk = await answer.more()
        except ProviderError:
            if not decoder.finished:
                raise
            break  # whole: only its usage or its end marker is lost
        if not chunk:
            break
        answer.due(None, late)  # whoever takes the events may take his time
        batch, error = _decoded(lines, decoder, chunk)
        if batch:
            yield batch
            answer.gather()  # the first word waits for nobody
        if error is not None:
            raise error
        if batch or decoder.pieces > before:
            expected, late = now() + timeouts.stall, StreamStalled
        if decoder.finished:
            expected = now() + min(timeouts.stall, _TAIL_SECONDS)
    yield decoder.end()
    if decoder.done:
        await _read_out(answer)


async def _read_out(answer: Answer) -> None:
    """Read a body to its end, so that its connection serves again; that of a sender who dawdles is closed."""
    with contextlib.suppress(ProviderError):
        answer.due(asyncio.get_running_loop().time() + _END_SECONDS, StreamStalled)
        while await answer.more():
            pass


def _decoded(lines: Decoder, answer: StreamDecoder, chunk: bytes) -> tuple[list[Event], Exception | None]:
    """Return what ``chunk`` says, and what is wrong with it: that takes nothing away of what came before it."""
    events: list[Event] = []
    try:
        said = lines.feed(chunk)
    except ValueError as error:
        return events, ProviderFault(f"The provider's answer is no event stream: {error}.")
    try:
        for one in said:
            events += answer.feed(one)
    except Exception as error:  # noqa: BLE001 - raised by who is given it
        return events, error
    return events, None


def _joined(batch: Sequence[Event]) -> Sequence[Event]:
    """Return ``batch`` with pieces of text that follow one another as one."""
    events: list[Event] = []
    for _, run in groupby(batch, type):
        alike = list(run)
        texts = [event.text for event in alike if isinstance(event, Text)]
        events += [Text("".join(texts))] if texts else alike
    return events


class _Check:
    """Puts Started first, names the model, adds the request's warnings; an answer that ends with nothing said is an error."""

    def __init__(self, model: Model, warnings: tuple[str, ...]) -> None:
        self._model = model
        self._warnings = warnings
        self._started = False
        self._said = False

    def __call__(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Return the events of ``batch`` as they are passed on."""
        if self._said and batch and not isinstance(batch[-1], Ended):  # as almost always
            return batch
        events: list[Event] = []
        for event in batch:
            if isinstance(event, Ended):
                events.append(self._ended(event))
                continue
            events.append(event)
            if not self._said:
                self._said = isinstance(event, Text | Reasoning | ToolCall)
        if events and not self._started:
            self._started = True
            events.insert(0, Started(str(self._model)))
        return events

    def _ended(self, event: Ended) -> Ended:
        response = event.response
        if not self._said and response.result is Result.FILTERED:
            raise ContentFiltered("The provider refused the content without a word.")
        if not self._said and response.result in (Result.COMPLETE, Result.UNKNOWN):
            raise NoContent("The model ended its answer without a word.")
        warnings = (*self._warnings, *response.warnings)
        return Ended(replace(response, model=str(self._model), warnings=warnings))


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
