"""Streams: an answer is made by a task of its own, so that it outlives its reader; readers follow its log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .errors import InvalidRequest, ShuttingDown, TotalTimeout, WarpError
from .types import ChatResponse, Ended, Failed, Result, Started, Text, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .config import WarpConfig
    from .router import Router
    from .sessions import Opened, Sessions
    from .types import ChatRequest, Event, Status

log = logging.getLogger("warp_magics.streams")


class Live:
    """One answer being made: its events so far and the task that makes them. Ids are minted here, once."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.stream_id: str | None = None
        self.task: asyncio.Task[None] | None = None
        self.stoppable = True
        """False once only the storing is left: what has come is never dropped for a stop that comes late."""
        self._log: list[Event] = []
        self._prefix = "1"
        self._news = asyncio.Event()

    def opened(self, opened: Opened) -> None:
        """Take on the turn's number, from which events have their ids."""
        self.stream_id, self._prefix = opened.stream_id, str(opened.n)

    def put(self, event: Event) -> None:
        """Add ``event`` to the log under the next id, for every follower."""
        self._log.append(replace(event, id=f"{self._prefix}-{len(self._log) + 1}"))
        self._news.set()
        self._news = asyncio.Event()

    async def follow(self) -> AsyncGenerator[Event, None]:
        """Yield all events, those to come included, until the terminal one."""
        for position in range(1 << 62):
            while position >= len(self._log):
                await self._news.wait()
            event = self._log[position]
            yield event
            if isinstance(event, Ended | Failed):
                return

    def stop(self) -> None:
        """Have the answer end here; its part is kept as a stopped turn."""
        if self.task is not None and self.stoppable:
            self.stoppable = False
            self.task.cancel()

    @property
    def ended(self) -> bool:
        """True once the terminal event is in the log."""
        return bool(self._log) and isinstance(self._log[-1], Ended | Failed)


@dataclass(slots=True)
class _Answer:
    """What has come of an answer so far."""

    began: float
    text: list[str]
    model: str | None = None
    first_token: float | None = None
    warnings: tuple[str, ...] = ()
    ended: ChatResponse | None = None
    error: WarpError | None = None
    stopped: bool = False


class Streams:
    """Starts answers and keeps them until they have ended. ``clock`` is monotonic seconds."""

    def __init__(self, config: WarpConfig, router: Router, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._config = config
        self._router = router
        self._sessions = sessions
        self._clock = clock
        self._live: set[Live] = set()
        self._closing = False

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Yield the events of a new answer.

        Raises what was wrong before a model had begun to answer; later faults are a Failed event. A reader
        that leaves early lets the answer be finished, or stops it where ``on_disconnect`` says so.
        """
        live = self._start(request)
        keep = (request.on_disconnect or self._config.on_disconnect) == "finish" and request.store
        try:
            async with contextlib.aclosing(live.follow()) as events:
                async for event in events:
                    if isinstance(event, Failed) and event.response is None:
                        raise event.error
                    yield event
        finally:
            if not keep:
                await _stopped(live)

    async def stop(self, owner: str, stream_id: str) -> bool:
        """Stop a live answer of ``owner``; returns whether there was one."""
        found = [live for live in self._live if (live.owner, live.stream_id) == (owner, stream_id)]
        for live in found:
            await _stopped(live)
        return bool(found)

    async def aclose(self) -> None:
        """Stop all live answers and keep their parts."""
        self._closing = True
        await asyncio.gather(*(_stopped(live) for live in list(self._live)))

    def _start(self, request: ChatRequest) -> Live:
        if self._closing:
            raise ShuttingDown("The gateway is shutting down.")
        self._router.chain(request)  # a model nobody has must not cost the session a turn
        live = Live(request.owner)
        live.task = asyncio.create_task(self._produce(live, request))
        self._live.add(live)
        live.task.add_done_callback(lambda task: self._finished(live, task))
        return live

    def _finished(self, live: Live, task: asyncio.Task[None]) -> None:
        """Forget an answer that is made; one whose task died leaves no follower waiting."""
        self._live.discard(live)
        if not live.ended:
            log.error("answer_died", exc_info=None if task.cancelled() else task.exception())
            live.put(Failed(WarpError("The gateway failed while it answered.")))

    async def _produce(self, live: Live, request: ChatRequest) -> None:
        try:
            opened = await self._sessions.open(request)
        except WarpError as error:
            live.put(Failed(error))
            return
        except asyncio.CancelledError:
            live.put(Failed(InvalidRequest("The prompt was stopped before it was sent.")))
            return
        live.opened(opened)
        answer = _Answer(self._clock(), [])
        async with self._sessions.held(opened):
            await self._collect(live, request, opened, answer)
            live.stoppable = False
            if answer.ended:  # whole, whatever befell us after its last word
                answer.error, answer.stopped = None, False
            warning = await self._sessions.close(opened, _turn(request, opened, answer, self._clock()))
        live.put(_last(opened, answer, warning))

    async def _collect(self, live: Live, request: ChatRequest, opened: Opened, answer: _Answer) -> None:
        """Run the router, show its events and remember how it went; never raises what the turn can tell."""
        total = min(filter(None, (request.timeout, self._config.limits.timeout.total)))
        try:
            async with (
                asyncio.timeout(total),
                contextlib.aclosing(self._router.answer(request, opened.turns, opened.turn_id)) as events,
            ):
                async for event in events:
                    self._take(live, opened, answer, event)
        except TimeoutError:
            answer.error = TotalTimeout(f"The answer took longer than {total:g} s.")
        except WarpError as error:
            answer.error = error
        except asyncio.CancelledError:
            # Stopped: from here on the task only stores what has come.
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            answer.stopped = True
        except Exception as error:
            log.exception("answer_failed")
            answer.error = WarpError(f"The gateway failed: {type(error).__name__}.")

    def _take(self, live: Live, opened: Opened, answer: _Answer, event: Event) -> None:
        if isinstance(event, Ended):
            answer.ended = event.response
            return
        if isinstance(event, Started):
            answer.model = event.model
            answer.warnings = event.warnings
            answer.first_token = self._clock() - answer.began
            event = replace(
                event,
                session_id=opened.session_id,
                stream_id=opened.stream_id,
                turn_id=opened.turn_id,
                warnings=(*opened.warnings, *event.warnings),
                session_status=opened.status,
            )
        elif isinstance(event, Text):
            answer.text.append(event.text)
        live.put(event)


async def _stopped(live: Live) -> None:
    """Stop an answer and wait until its part is stored; a reader that is in a hurry may leave before."""
    live.stop()
    if live.task is not None:
        await asyncio.wait({live.task})


def _response(opened: Opened, answer: _Answer) -> ChatResponse:
    """Return the answer as far as it has come, with what only the stream knows."""
    said = answer.ended or ChatResponse(
        text="".join(answer.text),
        result=Result.STOPPED if answer.stopped else Result.UNKNOWN,
        model=answer.model or "",
        route=tuple(answer.error.details.get("route", ())) if answer.error else (),  # type: ignore[arg-type]
        warnings=answer.warnings,
        first_token=answer.first_token,
    )
    return replace(
        said,
        session_id=opened.session_id,
        turn_id=opened.turn_id,
        stream_id=opened.stream_id,
        session_status=opened.status,
        warnings=(*opened.warnings, *said.warnings),
    )


def _turn(request: ChatRequest, opened: Opened, answer: _Answer, now: float) -> Turn:
    said = _response(opened, answer)
    error = {"code": answer.error.code, "message": answer.error.message} if answer.error else None
    return Turn(
        id=opened.turn_id,
        n=opened.n,
        prompt=request.prompt,
        response=said.text,
        status=_status(answer),
        result=said.result,
        model=said.model or None,
        started_at=opened.now,
        ended_at=opened.now + now - answer.began,
        route=said.route,
        usage=said.usage,
        cost=said.cost,
        first_token=said.first_token,
        tool_calls=said.tool_calls,
        source=request.source,
        error=error,
    )


def _status(answer: _Answer) -> Status:
    if answer.ended:
        return "complete"
    if answer.stopped:
        return "stopped"
    return "interrupted" if answer.text else "failed"


def _last(opened: Opened, answer: _Answer, warning: str | None) -> Event:
    said = _response(opened, answer)
    if warning:
        said = replace(said, warnings=(*said.warnings, warning))
    if answer.error is not None:
        return Failed(answer.error, said if answer.model else None)
    return Ended(said)
