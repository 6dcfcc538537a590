"""TapeGateway: record and replay around a gateway. Sessions live in memory, apart from the real ones.

Answers come from the tape or from the gateway around which it is; all else is what every gateway does with them. Time
stands still, and ids are counted, so that two runs are alike to the byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal

from .. import policy, prompt
from ..base import Chances
from ..branches import asked_on, placed
from ..errors import InvalidRequest, ProviderError, TapeMiss, WarpError
from ..previews import turns_before
from ..stored import StoredGateway
from ..stores.memory import MemoryStore
from ..terms import Terms
from ..types import (
    Ended,
    Failed,
    GatewayStatus,
    Model,
    ModelState,
    Preview,
    Reasoning,
    Restarted,
    Started,
    Text,
    UsageRow,
)
from .entries import Entry, route_of, timeless
from .misses import differences
from .reel import notebooks_of, short
from .shape import key_of, shape

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from typing import Any

    from ..course import Course
    from ..types import ChatRequest, ChatResponse, Event, Source, Turn
    from .reel import Mode, Reel

_RECORDED: Final = (ProviderError, InvalidRequest)
"""Errors that are an answer to what was asked. Others are of this moment: a gateway that is away, say."""
_LONGEST_PROMPT: Final = 60
_CONFIGURED: Final = "the configured models"


class TapeGateway(StoredGateway):
    """``ask`` is the ``stream`` of the gateway to record from; a replay needs none. ``reel`` may be others' too.

    ``record`` asks for every answer and records it; ``auto`` asks for what is not on the tape; ``replay`` asks for
    nothing, and raises TapeMiss. ``realtime`` replays events as far apart as they came, by ``sleep``.
    """

    def __init__(
        self,
        reel: Reel,
        mode: Mode,
        ask: Callable[[ChatRequest], AsyncGenerator[Event, None]] | None = None,
        *,
        realtime: bool = False,
        chances: Chances | None = None,
        terms: Terms | None = None,
    ) -> None:
        chances, numbers = chances or Chances(), itertools.count(1)
        self._answers = _Answers(reel, mode, ask, chances, realtime=realtime)
        super().__init__(
            terms or Terms(total=None),  # how long it may take is for whoever is asked to see to
            MemoryStore(lambda: 0.0),
            self._answers,
            replace(chances, wall=lambda: 0.0, new_id=lambda: f"tape-{next(numbers)}"),
            name="tape",
            clock=lambda: 0.0,
        )

    async def preview(self, request: ChatRequest) -> Preview:
        """See Gateway: who would answer, and for how much, is not known where no configuration is read."""
        policy.check(request)
        turns = await turns_before(request, self._store)
        place = placed(request, turns)
        asked, turns = asked_on(request, turns, place)
        sent = prompt.conversation(asked, turns, Model("tape", "any"), None)
        usage = prompt.expected(sent.tokens, asked.parameters.max_tokens, asked.form)
        return Preview(next(iter(request.models), _CONFIGURED), sent.messages, usage, None, place.warnings)

    async def models(self) -> tuple[ModelState, ...]:
        """See Gateway: those that have answered in this run."""
        return tuple(ModelState(row.key) for row in await self._store.counted("local", "model"))

    async def usage(self, owner: str, by: Literal["model", "session", "day"] = "model") -> tuple[UsageRow, ...]:
        """See Gateway: of this run; its day is no day."""
        rows = await super().usage(owner, by)
        return tuple(replace(row, key="this run") for row in rows) if by == "day" else rows

    async def status(self) -> GatewayStatus:
        """See Gateway."""
        storage = {"type": "memory", "server": None, "reachable": True, "reason": "with this run of the tape"}
        return GatewayStatus("tape", "", configured=True, ok=True, storage=storage)


class _Answers:
    """See Answers; ``ask`` is None where nobody may be asked."""

    def __init__(
        self,
        reel: Reel,
        mode: Mode,
        ask: Callable[[ChatRequest], AsyncGenerator[Event, None]] | None,
        chances: Chances,
        *,
        realtime: bool,
    ) -> None:
        self._reel = reel
        self._mode = mode
        self._ask = ask
        self._chances = chances
        self._realtime = realtime

    def expect(self, request: ChatRequest) -> None:
        """See Answers: who may answer is not known before the tape is looked at."""

    async def priced(self, said: ChatResponse) -> ChatResponse:
        """See Answers: an answer has the price it had."""
        return said

    async def answer(
        self, request: ChatRequest, turns: Sequence[Turn], course: Course
    ) -> AsyncGenerator[Sequence[Event], None]:
        """See Answers; raises TapeMiss, TapeDamaged, TapeUnwritable too."""
        prompt.check_results(request, turns)
        asked = self._reel.cleaned(shape(request, turns))
        name = self._reel.take(key_of(asked), request.source)
        entry = None if self._mode == "record" else self._reel.read(name)
        if entry is None and (self._mode == "replay" or self._ask is None):
            self._reel.note(name, request.prompt, "missing")
            raise TapeMiss(await asyncio.to_thread(self._why, name, asked, request.source))
        self._reel.note(name, request.prompt, "used")
        if entry is None:
            events = self._recorded(name, asked, replace(request, on_break=course.on_break), turns)
        else:
            events = self._replayed(entry)
        async with contextlib.aclosing(events):
            async for event in events:
                told = _told(event, course)
                if told is not None:
                    yield [told]

    async def _replayed(self, entry: Entry) -> AsyncGenerator[Event, None]:
        for event, seconds in zip(entry.events, entry.seconds, strict=True):
            if self._realtime:
                await self._chances.sleep(seconds)
            yield event

    async def _recorded(
        self, name: str, asked: dict[str, Any], request: ChatRequest, turns: Sequence[Turn]
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give the answer's events as they come; its end as the tape has it once all is recorded.

        What is left, stopped, or no answer is not recorded, and its number is the next asking's.
        """
        taken: list[Event] = []
        times: list[float] = []
        before = self._chances.clock()
        kept: Entry | None = None
        try:
            async with contextlib.aclosing(self._asked(request, turns)) as events:
                async for event in events:
                    now = self._chances.clock()
                    taken.append(self._plain(event))
                    times.append(now - before)
                    before = now
                    if isinstance(event, Failed) and not isinstance(event.error, _RECORDED):
                        yield event
                        return
                    if not isinstance(event, Ended | Failed):
                        yield taken[-1]
            entry = Entry(asked, tuple(taken), tuple(times), notebooks_of(request.source))
            kept = await asyncio.to_thread(self._reel.write, name, entry)
        finally:
            if kept is None:
                self._reel.give_back(name, request.source)
        yield kept.events[-1]

    async def _asked(self, request: ChatRequest, turns: Sequence[Turn]) -> AsyncGenerator[Event, None]:
        """Yield what the gateway answers, a refusal as a Failed; raises what is no answer."""
        if self._ask is None:
            raise AssertionError("nobody may be asked")
        alone = replace(
            request,
            session_id=None,
            create_session=False,
            store=False,
            history=prompt.history_of(turns),
            replaces=None,
            continues=None,
            turn_id=None,
            on_disconnect="cancel",
        )
        begun = False
        try:
            async with contextlib.aclosing(self._ask(alone)) as events:
                async for event in events:
                    begun = begun or isinstance(event, Started)
                    yield event
        except _RECORDED as error:
            if begun:  # its line broke, and nobody knows its end
                raise
            yield Failed(error)

    def _plain(self, event: Event) -> Event:
        """Return ``event`` without ids and times, and without what must not be on a tape."""
        match event:
            case Started(model=model, warnings=warnings):
                return Started(model, warnings=warnings)
            case Ended(response=response):
                return Ended(timeless(response))
            case Failed(error=error, response=part):
                if isinstance(error, WarpError) and isinstance(error.details.get("route"), tuple):
                    error.details = {**error.details, "route": route_of(error.details["route"])}  # type: ignore[arg-type]
                return Failed(error, timeless(part) if part else None)
            case Text(text=text):
                return Text(self._reel.hidden(text))
            case Reasoning(text=text):
                return Reasoning(self._reel.hidden(text))
        return replace(event, id="")

    def _why(self, name: str, asked: dict[str, Any], source: Source) -> str:
        key, _, number = name.rpartition("-")
        entries = [(other, entry.asked) for other, entry in self._reel.entries()]
        same = [other.rpartition("-")[2] for other, _ in entries if other.rpartition("-")[0] == key]
        lines = [f"{_where(source, asked.get('prompt', ''))} is not on the tape in {short(self._reel.folder)}."]
        if same:
            has = ", ".join(f"number {one}" for one in sorted(same, key=int))
            lines.append(f"It is asking number {number} of this run; the tape has {has}.")
        else:
            lines += differences(asked, entries)
        return "\n".join([*lines, "WARP_TAPE=record records all anew, %warp tape auto what is missing."])


def _told(event: Event, course: Course) -> Event | None:
    """Return ``event`` as it is shown, and tell ``course`` of it; raises an answer's error."""
    match event:
        case Failed(error=error, response=part):
            told = getattr(error, "details", {}).get("route", ())
            course.route[:] = part.route if part else told
            course.warnings[:] = part.warnings if part else ()
            raise error
        case Ended(response=said):
            course.route[:] = said.route
            return event
        case Restarted():
            course.text.clear()
            course.model = event.to_model
            return event
        case Started():
            course.warnings[:] = event.warnings
    told = course.seen(event, course.since)
    course.first_token = None
    return told


def _where(source: Source, text: str) -> str:
    words = " ".join(text.split())
    words = words if len(words) <= _LONGEST_PROMPT else f"{words[:_LONGEST_PROMPT]}…"
    file = f" of {PurePath(source.notebook).name}" if source.notebook else ""
    own = source.cell and not source.cell.startswith("text-")
    cell = f" (cell {source.cell}{file})" if own else f" ({file.removeprefix(' of ')})" if file else ""
    return f"The prompt “{words}”{cell}"
