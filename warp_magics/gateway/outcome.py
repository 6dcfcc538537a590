"""Outcome: what has come of an answer, as the turn that is kept and the event that ends its stream. Pure."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from operator import add
from typing import TYPE_CHECKING

from .types import ChatResponse, Ended, Failed, Restarted, Result, Started, Text, ToolCall, Turn, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .course import Course
    from .errors import WarpError
    from .turns import Opened
    from .types import ChatRequest, Event, Status


@dataclass(slots=True)
class Outcome:
    """``opened`` is its turn and ``course`` what it has been through."""

    opened: Opened
    course: Course
    notes: tuple[str, ...] = ()
    """Warnings that are no model's."""
    ended: ChatResponse | None = None
    error: WarpError | None = None
    stopped: bool = False
    spoke: bool = False
    """True once a word, or a call, was shown: then the turn is kept, whatever becomes of it."""

    @property
    def _before(self) -> Turn | None:
        return self.opened.hold.going_on.before if self.opened.hold else None

    @property
    def changes_nothing(self) -> bool:
        """True where a turn was to be replaced, or gone on with, and not a word has come."""
        hold = self.opened.hold
        asked_again = hold is not None and (hold.keep is not None or self._before is not None)
        return asked_again and not self.ended and not self.spoke

    def take(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Return what is shown of ``batch``; an answer that is gone on with begins with what there is of it."""
        if self.spoke and batch and not isinstance(batch[0], Started | Restarted) and not isinstance(batch[-1], Ended):
            return batch  # as almost always: a try's beginning is the first of its batch, and its end the last
        shown: list[Event] = []
        for event in batch:
            if isinstance(event, Text):
                self.spoke = True
                shown.append(event)
            elif isinstance(event, Ended):
                self.ended = event.response
            else:
                shown += self._shown(event)
        return shown

    def _shown(self, event: Event) -> list[Event]:
        """Return what is shown of an event that is neither a text nor the end."""
        self.spoke = self.spoke or isinstance(event, ToolCall)
        if isinstance(event, Started):
            event = replace(
                event,
                session_id=self.opened.session_id,
                stream_id=self.opened.stream_id,
                turn_id=self.opened.turn_id,
                warnings=(*self.opened.warnings, *event.warnings),
                session_status=self.opened.status,
            )
        begins = isinstance(event, Started | Restarted)
        return [event, Text(self._before.response)] if begins and self._before and self._before.response else [event]

    def turn(self, request: ChatRequest, now: float) -> Turn:
        """Return the turn that this answer alone is; ``now`` is on the clock of the course."""
        said = self._said()
        error = {"code": self.error.code, "message": self.error.message} if self.error else None
        return Turn(
            id=self.opened.turn_id,
            n=self.opened.n,
            prompt=request.prompt,
            response=said.text,
            status=self._status(),
            result=said.result,
            model=said.model or None,
            started_at=self.opened.now,
            ended_at=self.opened.now + now - self.course.since,
            route=said.route,
            usage=said.usage,
            cost=said.cost,
            first_token=said.first_token,
            tool_calls=said.tool_calls,
            source=request.source,
            error=error,
            attachments=request.attachments,
            tool_results=request.tool_results,
        )

    def merged(self, turn: Turn) -> Turn:
        """Return ``turn`` as it is kept: behind what there was of it, where it goes on."""
        before = self._before
        if before is None:
            return turn
        whole = self._whole(self._said())
        return replace(
            turn,
            prompt=before.prompt,
            response=whole.text,
            started_at=before.started_at,
            route=whole.route,
            usage=whole.usage,
            cost=whole.cost,
            first_token=before.first_token,
            source=before.source,
            attachments=before.attachments,
            tool_results=before.tool_results,
        )

    def last(self, warning: str | None) -> Event:
        """Return the event that ends the stream; ``warning`` is of the turn's being kept."""
        said = self._whole(self._said())
        if warning:
            said = replace(said, warnings=(*said.warnings, warning))
        if self.error is not None:
            return Failed(self.error, said if self.course.model else None)
        return Ended(said)

    def _status(self) -> Status:
        if self.ended:
            return "complete"
        if self.stopped:
            return "stopped"
        return "interrupted" if self.course.text else "failed"

    def _said(self) -> ChatResponse:
        """Return the answer as far as it has come, with what only its stream knows."""
        course, opened = self.course, self.opened
        said = self.ended or ChatResponse(
            text="".join(course.text),
            result=Result.STOPPED if self.stopped else Result.UNKNOWN,
            model=course.model or "",
            route=tuple(course.route),
            warnings=tuple(course.warnings),
            first_token=course.first_token,
        )
        return replace(
            said,
            session_id=opened.session_id,
            turn_id=opened.turn_id,
            stream_id=opened.stream_id,
            session_status=opened.status,
            warnings=(*opened.warnings, *said.warnings, *self.notes),
        )

    def _whole(self, said: ChatResponse) -> ChatResponse:
        """Return ``said`` behind what there was of its turn."""
        before = self._before
        if before is None:
            return said
        costs = [cost for cost in (before.cost, said.cost) if cost is not None]
        return replace(
            said,
            text=before.response + said.text,
            route=before.route + said.route,
            usage=Usage(*map(add, astuple(before.usage), astuple(said.usage))),
            cost=sum(costs) if costs else None,
        )
