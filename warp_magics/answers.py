"""Answers: asked, shown in the cell that runs as they come, and read as what they were to be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .display import REDRAW_SECONDS, LiveReply, show_route, shown_live
from .formats import json_of
from .schema import Misfit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from IPython.core.interactiveshell import InteractiveShell

    from .connect import Connection
    from .gateway import ChatRequest, ChatResponse, Event
    from .grammar import Format
    from .schema import Wanted


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
    ) -> tuple[ChatResponse, Any]:
        """Return the whole answer, and the value that it is where it was to be one.

        Raises its error, NotJson, and Misfit where an answer and the one that was to repair it do not fit; what came
        stays on the screen.
        """
        reply = LiveReply(self._shell, stream=stream, format_=format_)
        response = self._shown(at, lambda: at.gateway.stream(request), reply)
        value, misfit = _value(wanted, response)
        if wanted is not None and misfit is not None:
            reply.restart()
            again = wanted.again(request, response, misfit)
            response = self._shown(at, lambda: at.gateway.stream(again), reply)
            warned = f"asked once more: the first answer did not fit ({str(misfit).rstrip('.')})"
            response = replace(response, warnings=(*response.warnings, warned))
            value, misfit = _value(wanted, response)
        self._end(reply, response)
        if misfit is not None:
            raise Misfit(f"The answer of {response.model} does not fit, asked twice: {misfit}")
        if format_ == "json" and wanted is None:
            value = json_of(response.text)
        return response, value

    def show(self, at: Connection, source: Callable[[], AsyncGenerator[Event, None]]) -> ChatResponse:
        """Show the events of an answer that was asked for before; raises its error."""
        reply = LiveReply(self._shell, stream=True)
        response = self._shown(at, source, reply)
        self._end(reply, response)
        return response

    @staticmethod
    def _shown(at: Connection, source: Callable[[], AsyncGenerator[Event, None]], reply: LiveReply) -> ChatResponse:
        from .gateway import Text

        nothing: Event = Text("")
        # In a lull the empty piece draws what came too soon after the last drawing.
        return shown_live(at.portal.stream(source, lull=(REDRAW_SECONDS, nothing)), reply)

    def _end(self, reply: LiveReply, response: ChatResponse) -> None:
        reply.end(response)
        if self._route_line():
            show_route(response)


def _value(wanted: Wanted | None, response: ChatResponse) -> tuple[Any, Misfit | None]:
    if wanted is None:
        return None, None
    try:
        return wanted.value(response), None
    except Misfit as misfit:
        return None, misfit
