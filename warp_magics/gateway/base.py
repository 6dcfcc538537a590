"""Gateway: what the fronts know, one protocol wherever it runs; and the chances it takes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from .types import Ended, Failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from .types import (
        Begun,
        ChatRequest,
        ChatResponse,
        Event,
        GatewayStatus,
        ModelState,
        Page,
        Preview,
        Session,
        SessionEvent,
        Turn,
        UsageRow,
    )


@dataclass(frozen=True, slots=True)
class Chances:
    """Time and chance as arguments: monotonic seconds, a number in [0, 1), a sleep, Unix seconds, a fresh unique id."""

    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    wall: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())


class Gateway(Protocol):
    """All verbs raise WarpError. ``owner`` is whose sessions are meant; another's do not exist (SessionNotFound)."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Return the whole answer; one that breaks off raises, its part in ``details["partial"]``."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Yield an answer's events as they come; what fails before a model has begun raises."""

    async def begin(self, request: ChatRequest) -> Begun:
        """Return once ``request`` has its turn in its session; the answer is then made whoever reads it, or nobody.

        Raises what is wrong before that, StoreUnavailable where no stream could be followed, and InvalidRequest for
        an answer that is not to be kept; what fails later is told to those who follow the stream or watch the
        session. Begun again with the same turn id it is not asked anew. Cancelled in line it gives up its place.
        """

    async def preview(self, request: ChatRequest) -> Preview:
        """Return what ``request`` would send, and about what it would cost; nothing is sent, kept or counted."""

    def follow(self, owner: str, stream_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """Yield a running or ended answer's events behind the id ``after``, the terminal one last.

        Yields nothing where ``after`` is the terminal event's. Raises StreamNotFound, InvalidRequest for an
        ``after`` that is no event of this stream, StoreUnavailable where the log cannot be read any more.
        """

    async def stop(self, owner: str, stream_id: str) -> bool:
        """Stop an answer and keep its part; False where it had ended already. Raises StreamNotFound.

        ``stream_id`` may be the turn's id too: of an answer that has not begun, nothing else is known.
        """

    def watch(self, owner: str, session_id: str, after: str | None = None) -> AsyncGenerator[SessionEvent, None]:
        """Yield what happens to a session, behind the id ``after`` or from now on, until it is deleted."""

    async def create(
        self,
        owner: str,
        session_id: str | None = None,
        *,
        title: str = "",
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """Make an empty session; ``ttl`` is in seconds without use. Raises SessionExists, InvalidSessionId."""

    async def session(self, owner: str, session_id: str) -> Session:
        """Return a session's description."""

    async def sessions(self, owner: str, *, search: str = "", limit: int = 50, cursor: str | None = None) -> Page:
        """Return the owner's sessions, last used first, whose id or title holds ``search``."""

    async def update(
        self,
        owner: str,
        session_id: str,
        *,
        title: str | None = None,
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """Change what is not None of a session's description."""

    async def delete(self, owner: str, session_id: str) -> None:
        """Stop a live answer, then remove the session, its turns, logs and branches."""

    async def history(
        self, owner: str, session_id: str, branch: int | None = None, *, last: int | None = None
    ) -> tuple[Turn, ...]:
        """Return a session's turns, or a branch's, oldest first; of many the newest ``last``, at least 1.

        Raises BranchNotFound.
        """

    async def fork(self, owner: str, session_id: str, *, at: str | None = None, new_id: str | None = None) -> Session:
        """Make a session with this one's turns up to and with ``at`` (None: all); raises TurnNotFound, SessionExists."""

    async def rewind(self, owner: str, session_id: str, to: str) -> Session:
        """Put the turns behind the turn ``to`` into a branch; a turn of a branch brings that branch back.

        Raises TurnNotFound, and SessionBusy where a turn is being answered for longer than ``limits.session_wait``.
        """

    async def models(self) -> tuple[ModelState, ...]:
        """Return each configured model with its state."""

    async def usage(self, owner: str, by: Literal["model", "session", "day"] = "model") -> tuple[UsageRow, ...]:
        """Return what the owner has used in the last thirteen months, days newest first; sessions, as long as they live."""

    async def status(self) -> GatewayStatus:
        """Return how the gateway is."""

    async def aclose(self) -> None:
        """Stop live answers, keep their parts, close connections."""


async def whole(events: AsyncGenerator[Event, None]) -> ChatResponse:
    """Return the answer that ``events`` end with, and close them; one that broke off raises, with its part."""
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Ended | Failed):
                return answer_of(event)
    raise AssertionError("a stream ends with Ended or Failed")


def answer_of(last: Event) -> ChatResponse:
    """Return the answer that the last event of a stream holds; one that broke off raises, with its part."""
    if isinstance(last, Ended):
        return last.response
    if not isinstance(last, Failed):
        raise TypeError(f"{type(last).__name__} is not the last event of a stream")
    details = getattr(last.error, "details", None)
    if details is not None and last.response is not None:
        details["partial"] = last.response.text
    raise last.error
