"""Sessions: what can be done with them besides asking on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Final

from .branches import forked, rewound
from .errors import InvalidRequest, SessionBusy, SessionNotFound, StoreUnavailable, StreamNotFound
from .turns import check_session_id, lives
from .types import Page, SessionKey, UsageRow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from .base import Chances
    from .orphans import Orphans
    from .stores.base import Store
    from .terms import Terms
    from .types import Session, SessionEvent, Turn

_PAGE: Final = 100  # sessions read at once by a search
_MOST: Final = 1000
_POLL_SECONDS: Final = 0.1
_FEED_SECONDS: Final = 2.0  # a read of a feed waits so long for news
_LONGEST: Final = 36525 * 86400.0  # a store counts milliseconds, and cannot count to infinity
_OUTAGE_SECONDS: Final = 30.0  # a store that is away for so long ends its watchers' reading


class Sessions:
    """``stop`` ends an answer wherever it is made."""

    def __init__(
        self,
        terms: Terms,
        store: Store,
        orphans: Orphans,
        chances: Chances,
        stop: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        self._lives = lives(terms)
        self._wait = terms.session_wait
        self._store = store
        self._orphans = orphans
        self._chances = chances
        self._stop = stop

    async def used(self, owner: str) -> tuple[UsageRow, ...]:
        """Return what each of the owner's sessions has used, last used first, the newest thousand."""
        page = await self._store.sessions(owner, _MOST)
        return tuple(UsageRow(one.key.id, one.turns, one.usage, one.cost, one.unpriced) for one in page.sessions)

    async def create(
        self,
        owner: str,
        session_id: str | None,
        *,
        title: str,
        ttl: float | None,
        metadata: Mapping[str, object] | None,
    ) -> Session:
        """See Gateway."""
        key = SessionKey(owner, self._chances.new_id()) if session_id is None else _key(owner, session_id)
        _is_json(title, metadata)
        return await self._store.create(key, self._lives, title=title, ttl=_positive(ttl), metadata=metadata)

    async def session(self, owner: str, session_id: str) -> Session:
        """See Gateway."""
        key = _key(owner, session_id)
        found = await self._store.session(key)
        if found.live_stream_id is None:
            await self._orphans.look(key)
        return found

    async def sessions(self, owner: str, *, search: str, limit: int, cursor: str | None) -> Page:
        """See Gateway."""
        if not 1 <= limit <= _MOST:
            raise InvalidRequest(f"limit is from 1 to {_MOST}.")
        if not search:
            return await self._store.sessions(owner, limit, cursor)
        found: list[Session] = []
        while len(found) < limit:
            page = await self._store.sessions(owner, min(_PAGE, limit - len(found)), cursor)
            found += [one for one in page.sessions if search.casefold() in f"{one.key.id} {one.title}".casefold()]
            cursor = page.cursor
            if cursor is None:
                break
        return Page(tuple(found), cursor)

    async def update(
        self,
        owner: str,
        session_id: str,
        *,
        title: str | None,
        ttl: float | None,
        metadata: Mapping[str, object] | None,
    ) -> Session:
        """See Gateway."""
        key = _key(owner, session_id)
        _is_json(title, metadata)
        return await self._store.update(key, self._lives, title=title, ttl=_positive(ttl), metadata=metadata)

    async def delete(self, owner: str, session_id: str) -> None:
        """See Gateway."""
        key = _key(owner, session_id)
        live = (await self._store.session(key)).live_stream_id
        if live is not None:
            # Else it has ended by itself, or its producer will find its session gone.
            with contextlib.suppress(StreamNotFound, SessionBusy):
                await self._stop(owner, live)
        await self._store.delete(key)

    async def history(self, owner: str, session_id: str, branch: int | None, last: int | None) -> tuple[Turn, ...]:
        """See Gateway."""
        key = _key(owner, session_id)
        if last is not None and last < 1:
            raise InvalidRequest("last is a whole number of at least 1.")
        turns = await self._store.turns(key, branch, last)
        await self._orphans.look(key)
        return turns

    async def fork(self, owner: str, session_id: str, *, at: str | None, new_id: str | None) -> Session:
        """See Gateway."""
        key = _key(owner, session_id)
        to = SessionKey(owner, self._chances.new_id()) if new_id is None else _key(owner, new_id)
        tree, source = await self._store.tree(key), await self._store.session(key)
        turns = forked(tree, at)
        return await self._store.create(
            to, self._lives, title=source.title, ttl=source.ttl, metadata=source.metadata, turns=turns
        )

    async def rewind(self, owner: str, session_id: str, to: str) -> Session:
        """See Gateway."""
        key = _key(owner, session_id)
        deadline = self._chances.clock() + self._wait
        while True:
            tree = await self._store.tree(key)
            change = rewound(tree, to, self._chances.wall())
            if change is None:  # it is the last one already, but for one that is being answered
                done = await self._idle(key)
            else:
                done = await self._store.graft(key, tree.version, change, self._lives)
            if done:
                return await self._store.session(key)
            if self._chances.clock() >= deadline:
                raise SessionBusy(
                    f"A turn of the session {session_id!r} has been answered for longer than {self._wait:g} s "
                    "(limits.session_wait); stop it, or rewind later.",
                    retry_after=self._wait,
                )
            await self._orphans.look(key)
            await self._chances.sleep(_POLL_SECONDS)

    async def _idle(self, key: SessionKey) -> bool:
        live = (await self._store.session(key)).live_stream_id
        return live is None and await self._store.orphan(key) is None

    async def watch(self, owner: str, session_id: str, after: str | None) -> AsyncGenerator[SessionEvent, None]:
        """See Gateway."""
        key = _key(owner, session_id)
        events, cursor = await self._store.feed(key, after)
        away = 0.0
        while True:
            for event in events:
                yield event
                if event.kind == "deleted":
                    return
            try:
                events, cursor = await self._store.feed(key, cursor, _FEED_SECONDS)
                away = 0.0
            except SessionNotFound:  # it has expired
                return
            except StoreUnavailable:
                if away >= _OUTAGE_SECONDS:
                    raise
                events, away = (), away + 1.0
                await asyncio.sleep(1.0)


def _key(owner: str, session_id: str) -> SessionKey:
    return SessionKey(owner, check_session_id(session_id))


def _is_json(title: str | None, metadata: Mapping[str, object] | None) -> None:
    try:
        json.dumps([title, metadata], ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        raise InvalidRequest("title is text and metadata what JSON can hold, in whole characters.") from None


def _positive(ttl: float | None) -> float | None:
    if ttl is not None and not 0 < ttl <= _LONGEST:
        raise InvalidRequest("ttl is more than 0 seconds, and no more than a hundred years.")
    return ttl
