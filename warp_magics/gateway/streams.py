"""Streams: an answer is made by a task of its own, so that it outlives its reader; readers follow its log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from .base import answer_of
from .course import Course
from .errors import InvalidRequest, SessionBusy, ShuttingDown, StoreUnavailable, StreamNotFound, TotalTimeout, WarpError
from .live import Live
from .orphans import rest_of
from .outcome import Outcome
from .signals import tell
from .tails import position_of, stream_key
from .turns import Before
from .turnstile import Turnstile
from .types import Begun, Failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from .course import Outlook
    from .stores.base import Store
    from .tails import Tails
    from .terms import Terms
    from .turns import Turns
    from .types import ChatRequest, ChatResponse, Event, Turn

log = logging.getLogger("warp_magics.streams")

_NOT_SENT: Final = "The prompt was stopped before it was sent."
_NOT_FOLLOWED: Final = "An answer that is not kept cannot be followed: ask for its stream, or for the whole of it."
_STOP_SECONDS: Final = 15.0
"""How long a stop waits for a producer elsewhere: longer than a dead one is noticed."""


class Answers(Protocol):
    """Who makes answers."""

    def expect(self, request: ChatRequest) -> Outlook | None:
        """Make ready for ``request``, before its session gives it a turn; raises what is wrong with its models.

        What is found out meanwhile is to be given to the course of its answer.
        """

    def answer(
        self, request: ChatRequest, turns: Sequence[Turn], course: Course
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield the events of one answer behind ``turns``, those that have come together at a time, an Ended last.

        ``course`` tells how it goes.

        Raises WarpError; after a Started that means that the answer broke off.
        """

    async def priced(self, said: ChatResponse) -> ChatResponse:
        """Return a whole answer with its cost, where that is known."""


class Streams:
    """Starts answers and keeps them until they have ended. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        terms: Terms,
        answers: Answers,
        *,
        turns: Turns,
        tails: Tails,
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        self._terms = terms
        self._answers = answers
        self._turns = turns
        self._tails = tails
        self._store = store
        self._clock = clock
        self._live: set[Live] = set()
        self._turnstile = Turnstile()
        self._closing = False

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Yield the events of a new answer, or of the one that was asked for with this turn's id before.

        Raises what was wrong before a model had begun to answer; later faults are a Failed event. A reader
        that leaves early lets the answer be finished, or stops it where ``on_disconnect`` says so.
        """
        async with self._asking(request) as live, contextlib.aclosing(live.shown.read()) as events:
            async for event in events:
                if isinstance(event, Failed) and event.response is None:
                    raise event.error
                yield event

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """See Gateway; nobody here reads along, so its log is written less often."""
        async with self._asking(request, read_along=False) as live:
            return answer_of(await live.shown.last())

    @contextlib.asynccontextmanager
    async def _asking(self, request: ChatRequest, *, read_along: bool = True) -> AsyncIterator[Live]:
        turn_id = self._turns.new_id(request)
        live = self._asked(request, turn_id) or self._start(request, turn_id, read_along=read_along)
        live.askers += 1
        keep = (request.on_disconnect or self._terms.on_disconnect) == "finish" and request.store
        try:
            yield live
        finally:
            live.askers -= 1
            if not keep and not live.askers:  # another may have asked again, once its line had broken
                await _stopped(live)

    async def begin(self, request: ChatRequest) -> Begun:
        """See Gateway."""
        if not request.store:
            raise InvalidRequest(_NOT_FOLLOWED)
        turn_id = self._turns.new_id(request)
        live = self._asked(request, turn_id) or self._start(request, turn_id, unread=True)
        live.askers += 1  # for good, once it has its turn: no reader's leaving is to end what others may follow
        try:
            await live.placed.wait()
        finally:
            if live.begun is None:
                live.askers -= 1
                if not live.placed.is_set() and not live.askers:
                    await _stopped(live)
        if live.begun is not None:
            return live.begun
        match live.shown.events[:1]:
            case [Failed(error=error)]:
                raise error
        raise StoreUnavailable(_NOT_FOLLOWED)  # somebody reads it as it is made without a store

    async def follow(self, owner: str, stream_id: str, after: str | None) -> AsyncGenerator[Event, None]:
        """See Gateway."""
        key, n = stream_key(owner, stream_id)
        position = position_of(n, after)
        live = self._find(owner, stream_id)
        async with self._tails.tail(key, n) if live is None else contextlib.nullcontext(live.shown) as shown:
            async with contextlib.aclosing(shown.read(position)) as events:
                async for event in events:
                    yield event
            if position > len(shown.events):
                yield shown.events[-1]  # its reader saw more than was logged, but not the end

    async def stop(self, owner: str, reference: str) -> bool:
        """See Gateway."""
        live = self._find(owner, reference)
        if live is not None and live.made_as is None:
            await _stopped(live)
            return True
        reference = reference if live is None else live.made_as or reference
        key, n = stream_key(owner, reference)
        if not await self._store.ask_to_stop(key, n):
            await self._store.logged(key, n, 0)
            return False
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                with contextlib.suppress(StreamNotFound):  # it has ended without a word that is kept
                    async for _ in self.follow(owner, reference, None):
                        pass  # until its producer has ended it
        except TimeoutError:
            raise SessionBusy(
                f"The answer {reference!r} was told to stop, and has not ended within {_STOP_SECONDS:g} s.",
                retry_after=_STOP_SECONDS,
            ) from None
        return True

    async def aclose(self) -> None:
        """Stop all live answers and keep their parts."""
        self._closing = True
        await asyncio.gather(*(_stopped(live) for live in list(self._live)))

    def _find(self, owner: str, reference: str) -> Live | None:
        """Return the live answer of this stream's or this turn's id; one whose end was shown is the store's to tell."""
        live = (one for one in self._live if one.owner == owner and not one.shown.ended)
        return next((one for one in live if reference in (one.stream_id, one.turn_id)), None)

    def _asked(self, request: ChatRequest, turn_id: str) -> Live | None:
        """Return the live answer of this very turn: ids of turns are their session's."""
        turn = request.owner, request.session_id, turn_id
        return next((live for live in self._live if (live.owner, live.session_id, live.turn_id) == turn), None)

    def _start(self, request: ChatRequest, turn_id: str, *, unread: bool = False, read_along: bool = True) -> Live:
        if self._closing:
            raise ShuttingDown("The gateway is shutting down.")
        outlook = self._answers.expect(request)  # a model nobody has must not cost the session a turn
        live = Live(request.owner, turn_id, request.session_id, unread=unread, read_along=read_along)
        live.task = asyncio.create_task(self._produce(live, request, outlook))
        self._live.add(live)
        live.task.add_done_callback(lambda task: self._finished(live, task))
        return live

    def _finished(self, live: Live, task: asyncio.Task[None]) -> None:
        """Forget an answer that is made; one whose task died leaves no follower waiting."""
        self._live.discard(live)
        if live.shown.ended:
            return
        if task.cancelled():  # before it ran
            live.end(Failed(InvalidRequest(_NOT_SENT)))
        else:
            log.error("answer_died", exc_info=task.exception())
            live.end(Failed(WarpError("The gateway failed while it answered.")))

    async def _produce(self, live: Live, request: ChatRequest, outlook: Outlook | None) -> None:
        try:
            await self._turnstile.enter()
            opened = await self._turns.open(request, live.turn_id, self.stop, unread=live.unread)
            if isinstance(opened, Before):
                live.is_elsewhere(Begun(opened.key.id, request.continues or live.turn_id, opened.stream_id))
                await self._again(live, opened)
                return
        except WarpError as error:
            live.end(Failed(error))
            return
        except asyncio.CancelledError:
            stopped = InvalidRequest(_NOT_SENT)
            live.end(Failed(stopped if live.made_as is None else ShuttingDown("The gateway is shutting down.")))
            return
        live.opened(opened, self._store, self._turns.lives)
        tell(log, "answer_started", turn=live.turn_id, session=opened.session_id, stream=opened.stream_id)
        on_break = request.on_break or ("splice" if live.read_along else "restart")
        course = Course(opened.turn_id, self._clock(), on_break, outlook, pieces=live.read_along)
        answer = Outcome(opened, course)
        async with self._turns.held(opened, live.stop):
            await self._collect(live, request, answer)
            live.stoppable = False
            if answer.ended:  # whole, whatever befell us after its last word
                answer.error, answer.stopped = None, False
                answer.ended = await self._answers.priced(answer.ended)
            answer.notes = live.notes
            turn = answer.turn(request, self._clock())
            counting = asyncio.ensure_future(self._count(request.owner, turn))
            warning = await self._keep(live, answer, turn)
            await counting
            answer.notes = live.notes
        live.end(answer.last(warning))
        _tell_end(turn)

    async def _keep(self, live: Live, answer: Outcome, turn: Turn) -> str | None:
        """Store what has come of an answer; returns a warning where that is not known to have been done."""
        if answer.changes_nothing:
            self._turns.give_back(answer.opened)
            return None
        last = live.named(answer.last(None))
        return await self._turns.close(answer.opened, answer.merged(turn), [*live.rest(), last])

    async def _count(self, owner: str, turn: Turn) -> None:
        if turn.model is None:
            return
        try:
            await self._store.count(owner, turn)
        except StoreUnavailable as error:
            tell(log, "usage_not_counted", level=logging.WARNING, turn=turn.id, reason=error.message)

    async def _again(self, live: Live, before: Before) -> None:
        """Show the answer that this turn has got already, from wherever it is made or kept."""
        try:
            async for event in self.follow(before.key.owner, before.stream_id, None):
                live.relay([event])
        except StreamNotFound:  # its log has expired, its turn has not
            tree = await self._store.tree(before.key)
            lines = (tree.turns, *(branch.turns for branch in tree.branches))
            found = [turn for line in lines for turn in line if turn.n == before.n]
            if not found:
                raise
            live.relay(rest_of(found[0], before.key, ()))

    async def _collect(self, live: Live, request: ChatRequest, answer: Outcome) -> None:
        """Run the router, show its events and remember how it went; never raises what the turn can tell."""
        opened = answer.opened
        total = self._terms.total and min(filter(None, (request.timeout, self._terms.total)))
        try:
            async with (
                asyncio.timeout(total),
                contextlib.aclosing(self._answers.answer(opened.asked, opened.turns, answer.course)) as batches,
            ):
                async for batch in batches:
                    live.put(answer.take(batch))
                    await live.keep_up()
        except TimeoutError:
            answer.error = TotalTimeout(f"The answer took longer than {total:g} s.")
            answer.course.out_of_time(answer.error)
            answer.error.details["route"] = tuple(answer.course.route)
        except WarpError as error:
            answer.error = error
        except asyncio.CancelledError:
            # Stopped: from here on the task only stores what has come.
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            answer.stopped = True
        except Exception as error:
            log.exception("answer_failed")
            answer.error = WarpError(f"The gateway failed: {type(error).__name__}.")


async def _stopped(live: Live) -> None:
    """Stop an answer and wait until its part is stored; a reader that is in a hurry may leave before."""
    live.stop()
    if live.task is not None:
        await asyncio.wait({live.task})


def _tell_end(turn: Turn) -> None:
    tell(
        log,
        "answer_ended",
        turn=turn.id,
        status=turn.status,
        model=turn.model,
        seconds=turn.ended_at - turn.started_at,
        first_token=turn.first_token,
        input_tokens=turn.usage.input_tokens,
        output_tokens=turn.usage.output_tokens,
        cost=turn.cost,
    )
