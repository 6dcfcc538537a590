"""How far the reader of a stream has come, and how long it goes on trying."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..types import Ended, Failed, Restarted, Started, Text
from .line import Call, path

if TYPE_CHECKING:
    from ..base import Chances
    from ..types import Event

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds before a connection is made anew


@dataclass(slots=True)
class Place:
    """Where the reader of a stream is: what to ask for next. ``begun`` once anything may have arrived there."""

    call: Call
    after: str | None = None
    begun: bool = False
    resumable: bool = True

    def next(self) -> Call:
        """Return the request for what comes behind ``after``."""
        if self.after is None or self.call.method != "GET":
            return self.call
        return replace(self.call, headers={"Last-Event-ID": self.after})

    def go_on(self, started: Started) -> None:
        """From here on follow the answer instead of asking for it, where it is kept."""
        if started.stream_id is None:
            self.resumable = False
        else:
            self.call = Call("GET", path("streams", started.stream_id))


@dataclass(slots=True)
class SoFar:
    """What has come of an answer."""

    started: Started | None = None
    text: list[str] = field(default_factory=list)
    over: bool = False

    def take(self, event: Event) -> Event:
        """Remember ``event``; return it with what is known here and has no place on the wire."""
        if isinstance(event, Started):
            self.started = event
        elif isinstance(event, Text):
            self.text.append(event.text)
        elif isinstance(event, Restarted):
            self.text.clear()
        self.over = isinstance(event, Ended | Failed)
        return self._filled(event) if isinstance(event, Failed) else event

    def _filled(self, failed: Failed) -> Failed:
        began, part = self.started, failed.response
        if began is None or part is None:
            return failed
        whole_part = replace(
            part,
            model=began.model,
            session_id=began.session_id,
            turn_id=began.turn_id,
            stream_id=began.stream_id,
            session_status=began.session_status,
            warnings=began.warnings,
            route=getattr(failed.error, "details", {}).get("route", ()),
        )
        return replace(failed, response=whole_part)


class Patience:
    """How long a stream is tried to be gone on with: until ``seconds`` after its last sign of life."""

    def __init__(self, chances: Chances, seconds: float) -> None:
        self._chances = chances
        self._seconds = seconds
        self._tries = 0
        self._since = chances.clock()

    def alive(self, *, moved: bool) -> None:
        """Note a sign of life; where the stream ``moved``, the pauses begin anew too."""
        self._since = self._chances.clock()
        self._tries = 0 if moved else self._tries

    async def wait(self) -> bool:
        """Wait before the next try; False where none is left."""
        if self._chances.clock() - self._since >= self._seconds:
            return False
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._tries)
        self._tries += 1
        await self._chances.sleep(pause * (0.5 + self._chances.random() / 2))
        return True
