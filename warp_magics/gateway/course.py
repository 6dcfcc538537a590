"""Course: what one answer has been through. The router fills it in; who keeps the answer reads it, however it ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from .form import value_of
from .splice import Splice
from .types import Attempt, Ended, Restarted, Result, Started, Text, ToolCall

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from .errors import ProviderError, WarpError
    from .types import ChatResponse, Cooldown, Event, Model

STOPPED = "stopped"
DIVERGED = "diverged"
_ELSE = "its answer did not begin as the one before"


class Diverged(Exception):
    """The answer that was to go on with another says something else."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The models that may answer, and which of them are passed over.

    That was asked for at ``since`` (monotonic seconds), while the turn was still being opened.
    """

    chain: tuple[Model, ...]
    cooling: asyncio.Future[Mapping[Model, Cooldown]]
    since: float


@dataclass(slots=True)
class Course:
    """``turn_id`` and ``since`` (monotonic seconds) are its turn's; ``on_break`` is what ChatRequest says.

    ``pieces`` False is of an answer that nobody here reads along. ``text`` is what was shown of the answer, ``first_token`` seconds from the prompt to the first event.
    """

    turn_id: str
    since: float
    on_break: Literal["splice", "restart", "error"] = "splice"
    outlook: Outlook | None = None
    pieces: bool = True
    route: list[Attempt] = field(default_factory=list)
    failures: list[tuple[Model, ProviderError]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    sent: dict[Model, int] = field(default_factory=dict)
    """How many of the turns before it each model was told."""
    model: str | None = None
    first_token: float | None = None
    broken: tuple[Model, ProviderError] | None = None
    """Who broke off after the first word, and why, until another has ended."""
    whole: bool = False
    _calls: int = 0
    _shown: bool = False
    _splice: Splice | None = None

    @property
    def begun(self) -> bool:
        """True once a word of the answer, or a call, was shown: from there on the next model cannot just begin."""
        return bool(self.text) or self._calls > 0

    @property
    def holder(self) -> str:
        """Who takes from windows for the next try."""
        return f"{self.turn_id}.{len(self.route)}"

    # -- events ------------------------------------------------------------------------------------

    def told(
        self, batch: Sequence[Event], now: float, began: float, *, wants_value: bool
    ) -> tuple[list[Event], Diverged | None]:
        """Return what of ``batch``, of a try that ``began`` then, the reader is to see, and whether it goes wrong behind that.

        Its Ended has the whole answer, but for its cost.
        """
        told: list[Event] = []
        try:
            for event in batch:
                if isinstance(event, Ended):
                    told.append(self._ended(event, now, began, wants_value=wants_value))
                elif (seen := self.seen(event, now)) is not None:
                    told.append(seen)
        except Diverged as diverged:
            return told, diverged
        return told, None

    def seen(self, event: Event, now: float) -> Event | None:
        """Return ``event`` as the reader is to see it, None where he saw it before; raises Diverged. Ended is not for it."""
        if isinstance(event, Started):
            return self._started(event, now)
        if self._splice is not None and self.broken:
            event = self._spliced(event, self._splice)
        if isinstance(event, Text):
            if not event.text:
                return None
            self.text.append(event.text)
        self._calls += isinstance(event, ToolCall)
        self._shown = True
        return event

    def _started(self, event: Started, now: float) -> Event | None:
        before, self.model = self.model, event.model
        if before is None:
            self.first_token = now - self.since
            return Started(event.model, warnings=tuple(self.warnings))
        if self.on_break == "restart" and self._shown:
            self.text.clear()
            self._calls, self._shown = 0, False
            failed, error = self.broken or self.failures[-1]
            return Restarted(error.code, str(failed), event.model)
        self._splice = Splice("".join(self.text))
        return None

    def _spliced(self, event: Event, splice: Splice) -> Event:
        if isinstance(event, Text):
            event = replace(event, text=splice.feed(event.text))
        elif isinstance(event, ToolCall) and (self._calls or not splice.caught_up):
            raise Diverged
        elif not splice.caught_up:
            return Text("")  # thoughts on the way to what was said
        if splice.diverged:
            raise Diverged
        return event

    def _ended(self, event: Ended, now: float, began: float, *, wants_value: bool) -> Ended:
        """Return ``event`` with the whole answer, but for its cost; raises Diverged where it is less than was shown."""
        said: ChatResponse = event.response
        if self.broken and self._splice is not None and not self._splice.caught_up:
            raise Diverged
        self.broken, self.whole = None, True
        self.route.append(Attempt(said.model, "ok", now - began))
        text = "".join(self.text)
        warnings = [*self.warnings, *said.warnings]
        value = None
        if wants_value and said.result is Result.COMPLETE:
            value, wrong = value_of(text)
            warnings += [wrong] if wrong else []
        whole = replace(
            said,
            text=text,
            route=tuple(self.route),
            warnings=tuple(warnings),
            first_token=self.first_token,
            value=value,
        )
        return Ended(whole)

    # -- the route ---------------------------------------------------------------------------------

    def pass_over(self, models: Mapping[Model, Cooldown]) -> None:
        """Note models that are not asked."""
        for model, rest in models.items():
            outcome = "cooling" if rest.seconds else "probing"
            self.route.append(Attempt(str(model), outcome, 0.0, reason=rest.reason, restores_in=rest.seconds or None))

    def failed(self, model: Model, error: ProviderError, seconds: float, rest: float | None) -> None:
        """Note a try that failed after ``seconds``; the model is passed over for ``rest``."""
        back = error.retry_after if rest is None else rest
        self.failures.append((model, error))
        self.route.append(Attempt(str(model), error.code, seconds, error.status, error.message, back))
        if self.begun and self.broken is None:
            self.broken = model, error

    def diverged(self, model: Model, seconds: float) -> None:
        """Note a try that went on with something else."""
        self.route.append(Attempt(str(model), DIVERGED, seconds, reason=_ELSE))

    def stopped(self, model: Model, seconds: float) -> None:
        """Note a try that its asker, or a time-out of the whole, has ended."""
        self.route.append(Attempt(str(model), STOPPED, seconds))

    def out_of_time(self, error: WarpError) -> None:
        """Note that ``error`` is why the last try was stopped."""
        if self.route and self.route[-1].outcome == STOPPED:
            self.route[-1] = replace(self.route[-1], outcome=error.code, reason=error.message)
