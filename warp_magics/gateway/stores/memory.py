"""MemoryStore: everything in this process, gone with it. Also stands in while another store is down."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import FenceLost
from ..types import Cooldown, Session, SessionKey, Turn, Usage
from .base import SEEN_SECONDS, Begun, Room, Store
from .records import no_session, title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..types import Model, Window


@dataclass(slots=True)
class _Kept:
    created_at: float
    updated_at: float
    expires_at: float
    n: int
    turns: list[Turn] = field(default_factory=list)
    holder: str = ""
    held_until: float = 0.0
    holder_n: int = 0


class MemoryStore(Store):
    """``clock`` gives Unix seconds. Nothing here awaits, so each verb is whole."""

    kind = "memory"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: dict[SessionKey, _Kept] = {}
        self._seen: dict[SessionKey, tuple[int, float]] = {}
        self._cooling: dict[Model, tuple[float, Cooldown]] = {}
        self._taken: dict[tuple[str, Model | str], dict[str, float]] = {}

    async def begin(
        self, key: SessionKey, holder: str, *, create: bool, lease: float, ttl: float, limit: int | None = None
    ) -> Begun | None:
        """See Store."""
        now = self._clock()
        kept = self._alive(key)
        status = "known" if kept else "restarted" if key in self._seen else "created"
        if status == "created" and not create:
            raise no_session(key.id)
        if kept is None:
            last, _ = self._seen.get(key, (0, 0.0))
            kept = self._sessions[key] = _Kept(now, now, now + ttl, last)
        elif kept.held_until > now and kept.holder != holder:
            return None
        if kept.holder != holder:
            kept.n += 1
            kept.holder, kept.holder_n = holder, kept.n
        kept.held_until, kept.expires_at, kept.updated_at = now + lease, now + ttl, now
        self._seen[key] = (kept.n, now + ttl + SEEN_SECONDS)
        turns = kept.turns if limit is None else kept.turns[max(0, len(kept.turns) - limit) :]
        return Begun(kept.holder_n, now, status, tuple(turns))  # type: ignore[arg-type]

    async def renew(self, key: SessionKey, holder: str, lease: float) -> bool:
        """See Store."""
        kept = self._alive(key)
        if kept is None or kept.holder != holder or kept.held_until <= self._clock():
            return False
        kept.held_until = self._clock() + lease
        return True

    async def append(self, key: SessionKey, turn: Turn, holder: str, *, ttl: float) -> None:
        """See Store."""
        kept = self._alive(key)
        if kept and any(turn.id == one.id for one in kept.turns):
            return
        if kept is None or kept.n != turn.n:
            raise FenceLost(f"The session {key.id!r} went on without this turn.")
        now = self._clock()
        kept.turns.append(turn)
        kept.updated_at, kept.expires_at = now, now + ttl
        if kept.holder == holder:
            kept.held_until = 0.0
        self._seen[key] = (kept.n, now + ttl + SEEN_SECONDS)

    async def turns(self, key: SessionKey) -> tuple[Turn, ...]:
        """See Store."""
        return tuple(self._found(key).turns)

    async def session(self, key: SessionKey) -> Session:
        """See Store."""
        return _described(key, self._found(key))

    async def sessions(self, owner: str, limit: int) -> list[Session]:
        """See Store."""
        kept = [(key, self._alive(key)) for key in list(self._sessions) if key.owner == owner]
        described = [_described(key, one) for key, one in kept if one]
        return sorted(described, key=lambda session: -session.updated_at)[:limit]

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """See Store."""
        now = self._clock()
        told = ((model, self._cooling.get(model)) for model in models)
        return {m: replace(entry[1], seconds=entry[0] - now) for m, entry in told if entry and entry[0] > now}

    async def cool(self, model: Model, cooldown: Cooldown) -> None:
        """See Store."""
        until = self._clock() + cooldown.seconds
        if until > self._cooling.get(model, (0.0, cooldown))[0]:
            self._cooling[model] = (until, cooldown)

    async def restore(self, model: Model) -> None:
        """See Store."""
        self._cooling.pop(model, None)

    async def take(self, model: Model, windows: Mapping[str, Window], holder: str) -> Room:
        """See Store."""
        found = await self.room(model, windows)
        if not found.wait:
            now = self._clock()
            for name in windows:
                self._window(model, name)[holder] = now
        return found if found.wait else Room(found.left - 1)

    async def room(self, model: Model, windows: Mapping[str, Window]) -> Room:
        """See Store."""
        now = self._clock()
        rooms = [_room(self._window(model, name), window, now) for name, window in windows.items()]
        return Room(min(r.left for r in rooms), max(r.wait for r in rooms)) if rooms else Room(0)

    async def describe(self) -> Mapping[str, object]:
        """See Store."""
        return {"type": self.kind, "server": None, "reachable": True}

    async def aclose(self) -> None:
        """See Store."""

    def _alive(self, key: SessionKey) -> _Kept | None:
        now = self._clock()
        kept = self._sessions.get(key)
        if kept and kept.expires_at <= now:
            del self._sessions[key]
            kept = None
        if key in self._seen and self._seen[key][1] <= now:
            del self._seen[key]
        return kept

    def _found(self, key: SessionKey) -> _Kept:
        kept = self._alive(key)
        if kept is None:
            raise no_session(key.id)
        return kept

    def _window(self, model: Model, name: str) -> dict[str, float]:
        return self._taken.setdefault((name, model if name == "model" else model.provider), {})


def _room(taken: dict[str, float], window: Window, now: float) -> Room:
    for holder in [holder for holder, when in taken.items() if when <= now - window.seconds]:
        del taken[holder]
    left = window.max - len(taken)
    if left > 0:
        return Room(left)
    # Room comes when the request that stands ``max`` places from the end leaves the window.
    oldest = sorted(taken.values())[-window.max] if window.max else now
    return Room(0, oldest + window.seconds - now)


def _described(key: SessionKey, kept: _Kept) -> Session:
    used = [astuple(turn.usage) for turn in kept.turns]
    return Session(
        key=key,
        turns=len(kept.turns),
        created_at=kept.created_at,
        updated_at=kept.updated_at,
        expires_at=kept.expires_at,
        title=title_of(kept.turns[0].prompt) if kept.turns else "",
        models=tuple(sorted({turn.model for turn in kept.turns if turn.model})),
        usage=Usage(*map(sum, zip(*used, strict=True))),
    )
