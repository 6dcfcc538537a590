"""Orphans: turns whose gateway died in mid-answer. Whoever notices one sees to it that its part is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .errors import Interrupted, SessionNotFound, StoreUnavailable, StreamNotFound, told
from .signals import tell
from .stores.base import NOT, GoingOn
from .types import ChatResponse, Ended, Failed, Restarted, Result, Started, Text, ToolCall, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Chances
    from .stores.base import Lives, Orphan, Store
    from .types import Event, SessionKey

log = logging.getLogger("warp_magics.sessions")

GRACE_SECONDS: Final = 2.0
"""A producer whose lease ran out may only have had a store that was away: it is given time to come back first."""
BROKEN_OFF: Final = "interrupted: the gateway that was making this answer is gone; what had come of it is kept."


class Orphans:
    """Settles each orphan once, in the background."""

    def __init__(self, store: Store, chances: Chances, lives: Lives) -> None:
        self._store = store
        self._chances = chances
        self._lives = lives
        self._settling: dict[tuple[SessionKey, int], asyncio.Task[None]] = {}

    def notice(self, key: SessionKey, orphan: Orphan) -> None:
        """Settle ``orphan`` after the grace, unless its producer comes back; returns at once."""
        one = key, orphan.n
        if one not in self._settling:
            task = self._settling[one] = asyncio.create_task(self._settle(key, orphan))
            task.add_done_callback(lambda _: self._settling.pop(one, None))

    async def look(self, key: SessionKey) -> None:
        """Notice the session's orphan, if it has one; a store that does not answer is asked another time."""
        with contextlib.suppress(StoreUnavailable, SessionNotFound):
            orphan = await self._store.orphan(key)
            if orphan is not None:
                self.notice(key, orphan)

    async def _settle(self, key: SessionKey, seen: Orphan) -> None:
        await self._chances.sleep(GRACE_SECONDS)
        with contextlib.suppress(StoreUnavailable, SessionNotFound):  # the next to notice it tries again
            orphan = await self._store.orphan(key)
            if orphan is None or orphan.n != seen.n:
                return
            try:
                events = (await self._store.logged(key, orphan.n, 0)).events
            except StreamNotFound:
                events = ()
            goes_on = orphan.draft.continues
            before = next((one for one in await self._store.turns(key) if one.id == goes_on), None)
            turn, last = remains(key, orphan, events, before)
            going_on = GoingOn(before, orphan.draft.turn_id) if before else NOT
            if await self._store.settle(key, turn, last, self._lives, going_on):
                tell(log, "orphan_settled", level=logging.WARNING, session=key.id, turn=turn.id, events=len(events))

    async def aclose(self) -> None:
        """Leave those not yet settled to others."""
        for task in list(self._settling.values()):
            task.cancel()
        await asyncio.gather(*self._settling.values(), return_exceptions=True)


def remains(
    key: SessionKey, orphan: Orphan, events: Sequence[Event], before: Turn | None = None
) -> tuple[Turn, Failed]:
    """Return the turn that is kept of an orphan whose log holds ``events``, and the event that ends its stream.

    ``before`` is the turn that it went on with, and that it takes the place of.
    """
    text = _said(events) or (before.response if before else "")
    started = next((event for event in events if isinstance(event, Started)), None)
    error = Interrupted(BROKEN_OFF)
    turn = Turn(
        id=orphan.draft.turn_id,
        n=orphan.n,
        prompt=orphan.draft.prompt,
        response=text,
        status="interrupted" if text else "failed",
        result=Result.UNKNOWN,
        model=started.model if started else None,
        started_at=orphan.began,
        ended_at=orphan.began,
        source=orphan.draft.source,
        attachments=orphan.draft.attachments,
        tool_results=orphan.draft.tool_results,
        error={"code": error.code, "message": error.message},
    )
    if before:
        turn = replace(before, n=turn.n, response=text, status=turn.status, result=turn.result, error=turn.error)
    part = None
    if started:
        part = ChatResponse(
            turn.response, Result.UNKNOWN, started.model, key.id, turn.id, f"{key.id}~{turn.n}", started.session_status
        )
    return turn, Failed(error, part, f"{orphan.n}-{len(events) + 1}")


def _said(events: Sequence[Event]) -> str:
    text: list[str] = []
    for event in events:
        if isinstance(event, Restarted):
            text.clear()
        elif isinstance(event, Text):
            text.append(event.text)
    return "".join(text)


def rest_of(turn: Turn, key: SessionKey, events: Sequence[Event]) -> list[Event]:
    """Return the events that lead from ``events`` to the end of a stored turn, for a log that has lost its own."""
    stream_id = f"{key.id}~{turn.n}"
    said = _said(events)
    rest: list[Event] = []
    if not events:
        rest.append(Started(turn.model or "", key.id, stream_id, turn.id))
    if turn.response.startswith(said) and len(turn.response) > len(said):
        rest.append(Text(turn.response[len(said) :]))
    known = {event.call.id for event in events if isinstance(event, ToolCall)}
    rest += [ToolCall(call) for call in turn.tool_calls if call.id not in known]
    whole = ChatResponse(
        text=turn.response,
        result=turn.result,
        model=turn.model or "",
        session_id=key.id,
        turn_id=turn.id,
        stream_id=stream_id,
        usage=turn.usage,
        cost=turn.cost,
        route=turn.route,
        tool_calls=turn.tool_calls,
        first_token=turn.first_token,
    )
    if turn.error is None:
        rest.append(Ended(whole))
    else:
        rest.append(
            Failed(
                told(str(turn.error["code"]), str(turn.error["message"]), retry_after=None, details=None),
                whole if turn.model else None,
            )
        )
    return [replace(event, id=f"{turn.n}-{at}") for at, event in enumerate(rest, start=len(events) + 1)]
