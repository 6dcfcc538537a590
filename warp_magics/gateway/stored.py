"""StoredGateway: answers kept as turns of sessions in a store, whoever makes them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from .base import Gateway
from .errors import InvalidRequest
from .orphans import Orphans
from .sessions import Sessions
from .streams import Streams
from .tails import Tails
from .turns import Turns, lives

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from .base import Chances
    from .stores.base import Store
    from .streams import Answers
    from .terms import Terms
    from .types import Begun, ChatRequest, ChatResponse, Event, Page, Session, SessionEvent, Turn, UsageRow


class StoredGateway(Gateway):
    """All verbs but those that tell of models. ``name`` tells this gateway from others over the same store.

    ``clock`` is monotonic seconds, by which answers are timed.
    """

    def __init__(
        self,
        terms: Terms,
        store: Store,
        answers: Answers,
        chances: Chances,
        *,
        name: str,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._orphans = Orphans(store, chances, lives(terms))
        self._turns = Turns(terms, store, self._orphans, chances, name)
        self._tails = Tails(store, self._orphans)
        self._streams = Streams(
            terms, answers, turns=self._turns, tails=self._tails, store=store, clock=clock or chances.clock
        )
        self._sessions = Sessions(terms, store, self._orphans, chances, self._streams.stop)

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """See Gateway."""
        return await self._streams.ask(request)

    def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See Gateway."""
        return self._streams.stream(request)

    async def begin(self, request: ChatRequest) -> Begun:
        """See Gateway."""
        return await self._streams.begin(request)

    def follow(self, owner: str, stream_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """See Gateway."""
        return self._streams.follow(owner, stream_id, after)

    async def stop(self, owner: str, stream_id: str) -> bool:
        """See Gateway."""
        return await self._streams.stop(owner, stream_id)

    def watch(self, owner: str, session_id: str, after: str | None = None) -> AsyncGenerator[SessionEvent, None]:
        """See Gateway."""
        return self._sessions.watch(owner, session_id, after)

    async def create(
        self,
        owner: str,
        session_id: str | None = None,
        *,
        title: str = "",
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Gateway."""
        return await self._sessions.create(owner, session_id, title=title, ttl=ttl, metadata=metadata)

    async def session(self, owner: str, session_id: str) -> Session:
        """See Gateway."""
        return await self._sessions.session(owner, session_id)

    async def sessions(self, owner: str, *, search: str = "", limit: int = 50, cursor: str | None = None) -> Page:
        """See Gateway."""
        return await self._sessions.sessions(owner, search=search, limit=limit, cursor=cursor)

    async def update(
        self,
        owner: str,
        session_id: str,
        *,
        title: str | None = None,
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Gateway."""
        return await self._sessions.update(owner, session_id, title=title, ttl=ttl, metadata=metadata)

    async def delete(self, owner: str, session_id: str) -> None:
        """See Gateway."""
        await self._sessions.delete(owner, session_id)

    async def history(
        self, owner: str, session_id: str, branch: int | None = None, *, last: int | None = None
    ) -> tuple[Turn, ...]:
        """See Gateway."""
        return await self._sessions.history(owner, session_id, branch, last)

    async def fork(self, owner: str, session_id: str, *, at: str | None = None, new_id: str | None = None) -> Session:
        """See Gateway."""
        return await self._sessions.fork(owner, session_id, at=at, new_id=new_id)

    async def rewind(self, owner: str, session_id: str, to: str) -> Session:
        """See Gateway."""
        return await self._sessions.rewind(owner, session_id, to)

    async def usage(self, owner: str, by: Literal["model", "session", "day"] = "model") -> tuple[UsageRow, ...]:
        """See Gateway."""
        if by == "session":
            return await self._sessions.used(owner)
        if by not in {"model", "day"}:
            raise InvalidRequest(f"by={str(by)[:40]!r} is none of model, session, day.")
        return tuple(await self._store.counted(owner, by))

    async def aclose(self) -> None:
        """See Gateway."""
        async with contextlib.AsyncExitStack() as closing:
            for part in (self._store, self._orphans, self._turns, self._tails, self._streams):
                closing.push_async_callback(part.aclose)
