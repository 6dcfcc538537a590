"""Answers: asked, shown in the cell that runs as they come, and read as what they were to be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .advice import advice_for
from .display import REDRAW_SECONDS, LiveReply, show_route, shown_live
from .formats import NotJson, json_of
from .repairs import given_up, judged, repaired

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from IPython.core.interactiveshell import InteractiveShell

    from .connect import Connection
    from .gateway import ChatRequest, ChatResponse, Event
    from .grammar import Format
    from .schema import Misfit, Wanted


_REST_SECONDS: Final = 0.1
"""What a stop may take after the answer has been stopped: all in all it is done within a second."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, the value that it is where it was to be one, and why it is none."""

    response: ChatResponse
    value: Any = None
    fault: Misfit | NotJson | None = None


async def _rest(at: Connection, reply: LiveReply) -> AsyncGenerator[Event, None]:
    async with asyncio.timeout(_REST_SECONDS):
        async for event in at.gateway.follow(at.owner, reply.stream_id or "", reply.seen):
            yield event


class Answers:
    """Draws into ``shell``; ``route_line`` says whether each answer's route is shown under it."""

    def __init__(self, shell: InteractiveShell, route_line: Callable[[], bool]) -> None:
        self._shell = shell
        self._route_line = route_line

    def ask(
        self,
        at: Connection,
        request: ChatRequest,
        *,
        stream: bool = True,
        format_: Format = "markdown",
        wanted: Wanted | None = None,
    ) -> Answer:
        """Return the whole answer; one that does not fit ``wanted`` is asked for once more.

        Raises an answer's error; what came stays on the screen.
        """
        reply = LiveReply(self._shell, stream=stream and at.is_live, format_=format_)
        response = self._shown(at, lambda: at.gateway.stream(request), reply, kept=request.store)
        value, misfit = judged(wanted, response)
        if wanted is not None and misfit is not None:
            reply.restart(f"asked once more: {misfit}")
            first, again = response, wanted.again(request, response, misfit)
            second = self._shown(at, lambda: at.gateway.stream(again), reply, kept=request.store)
            response = repaired(first, second, misfit)
            value, misfit = judged(wanted, second)
        self._end(at, reply, response)
        if misfit is not None:
            return Answer(response, None, given_up(response, misfit))
        if format_ != "json" or wanted is not None:
            return Answer(response, value)
        try:
            return Answer(response, json_of(response.text))
        except NotJson as error:
            return Answer(response, None, error)

    def show(self, at: Connection, source: Callable[[], AsyncGenerator[Event, None]]) -> ChatResponse:
        """Show the events of an answer that was asked for before; raises its error."""
        reply = LiveReply(self._shell, stream=at.is_live)
        response = self._shown(at, source, reply, kept=False)
        self._end(at, reply, response)
        return response

    def _shown(
        self, at: Connection, source: Callable[[], AsyncGenerator[Event, None]], reply: LiveReply, *, kept: bool
    ) -> ChatResponse:
        """Show an answer; ``kept`` says that its part is in a session, should it end before its end."""
        from .gateway import Text, errors

        nothing: Event = Text("")
        try:
            try:
                # In a lull the empty piece draws what came too soon after the last drawing.
                return shown_live(at.portal.stream(source, lull=(REDRAW_SECONDS, nothing)), reply)
            except KeyboardInterrupt:
                self._show_rest(at, reply)
                raise
        except (errors.WarpError, KeyboardInterrupt) as error:
            advice = advice_for(error, kept=kept and reply.begun)
            if advice:
                error.add_note(advice)
            raise

    def _show_rest(self, at: Connection, reply: LiveReply) -> None:
        """Show what is kept of an answer that was stopped: it may be a word more than was read of it."""
        from .gateway import errors

        part: ChatResponse | None = None
        try:
            if reply.stream_id is not None:
                part = shown_live(at.portal.stream(lambda: _rest(at, reply)), reply)
        except (errors.WarpError, TimeoutError):  # what was read of it is shown
            pass
        finally:
            self._end(at, reply, part)

    def _end(self, at: Connection, reply: LiveReply, response: ChatResponse | None) -> None:
        reply.end(response)
        if response is not None and self._route_line():
            show_route(response, styled=at.tape is None)
