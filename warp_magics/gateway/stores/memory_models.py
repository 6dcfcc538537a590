"""MemoryModels: the health of models and their windows in this process."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..types import Cooldown, Pace
from .shared import FIRST_COOLDOWN, MEMORY_SECONDS, PACE_SECONDS, PACE_WEIGHT, Room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..types import Model, Window


@dataclass(slots=True)
class _Failed:
    """A model that has failed: passed over ``until``; ``prober`` asks it ``probed_until``."""

    until: float
    cooldown: Cooldown
    failures: int = 0
    prober: str = ""
    probed_until: float = 0.0


@dataclass(slots=True)
class _Taken:
    """What of a window is taken: when, and how much, by holder."""

    when: dict[str, float] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)

    def room(self, window: Window, weight: int, now: float) -> tuple[int, float]:
        """Return what is left, and the seconds until ``weight`` fits."""
        for holder in [holder for holder, when in self.when.items() if when <= now - window.seconds]:
            del self.when[holder], self.weights[holder]
        left = window.max - sum(self.weights.values())
        if weight <= left:
            return max(0, left), 0.0
        if weight > window.max:
            return max(0, left), math.inf
        free = left
        for holder, when in sorted(self.when.items(), key=lambda item: item[1]):
            free += self.weights[holder]
            if weight <= free:
                return max(0, left), when + window.seconds - now
        return 0, window.seconds


class MemoryModels:
    """The part of a Store that is about models. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: dict[Model, _Failed] = {}
        self._taken: dict[tuple[str, Model | str], _Taken] = {}
        self._paces: dict[Model, tuple[float, float]] = {}
        self._ticks: dict[str, int] = {}

    # -- health ------------------------------------------------------------------------------------

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """See Shared."""
        now = self._clock()
        return {model: _told(failed, now) for model, failed in self._of(models, now)}

    async def cool(self, model: Model, cooldown: Cooldown, *, grows: bool = False) -> float:
        """See Shared."""
        if cooldown.seconds <= 0:
            return 0.0
        now = self._clock()
        failed = self._failed.setdefault(model, _Failed(0.0, cooldown))
        failed.prober = ""
        if failed.until <= now:
            failed.failures = 1 if failed.until <= now - MEMORY_SECONDS else failed.failures + 1
        grown = FIRST_COOLDOWN * 2.0 ** min(failed.failures - 1, 64)
        until = now + (min(cooldown.seconds, grown) if grows else cooldown.seconds)
        if until > failed.until:
            failed.until, failed.cooldown = until, cooldown
        return failed.until - now

    async def probe(self, model: Model, holder: str, lease: float) -> bool:
        """See Shared."""
        now = self._clock()
        failed = self._failed.get(model)
        if failed is None:
            return True
        if failed.until > now or (failed.prober not in ("", holder) and failed.probed_until > now):
            return False
        failed.prober, failed.probed_until = holder, now + lease
        return True

    async def leave(self, model: Model, holder: str) -> None:
        """See Shared."""
        failed = self._failed.get(model)
        if failed and failed.prober == holder:
            failed.prober = ""

    async def restore(self, model: Model) -> None:
        """See Shared."""
        self._failed.pop(model, None)

    async def paces(self, models: Sequence[Model]) -> Mapping[Model, Pace]:
        """See Shared."""
        now = self._clock()
        known = ((model, *self._paces[model]) for model in models if model in self._paces)
        return {model: Pace(mean, now - at) for model, mean, at in known if now - at < PACE_SECONDS}

    async def pace(self, model: Model, first_token: float) -> None:
        """See Shared."""
        now = self._clock()
        mean, at = self._paces.get(model, (first_token, now))
        if now - at >= PACE_SECONDS:
            mean = first_token
        self._paces[model] = (mean + PACE_WEIGHT * (first_token - mean), now)

    async def tick(self, name: str) -> int:
        """See Shared."""
        self._ticks[name] = self._ticks.get(name, -1) + 1
        return self._ticks[name]

    def _of(self, models: Sequence[Model], now: float) -> Iterator[tuple[Model, _Failed]]:
        for model in dict.fromkeys(models):
            failed = self._failed.get(model)
            if failed and failed.until > now - MEMORY_SECONDS:
                yield model, failed

    # -- limits ------------------------------------------------------------------------------------

    async def take(self, model: Model, windows: Mapping[str, Window], holder: str, tokens: int = 0) -> Room:
        """See Shared."""
        now = self._clock()
        taken = {name: self._window(model, name) for name in windows}
        if any(holder in one.when for one in taken.values()):
            return await self.room(model, windows)
        weights = {name: tokens if name.endswith("tokens") else 1 for name in windows}
        rooms = {name: taken[name].room(window, weights[name], now) for name, window in windows.items()}
        if found := _room(rooms, weights if _fits(rooms) else {}):
            if not found.wait:
                for name, one in taken.items():
                    one.when[holder], one.weights[holder] = now, weights[name]
            return found
        return Room(0)

    async def room(self, model: Model, windows: Mapping[str, Window]) -> Room:
        """See Shared."""
        now = self._clock()
        return _room({name: self._window(model, name).room(one, 1, now) for name, one in windows.items()}, {}) or Room(
            0
        )

    async def spent(self, model: Model, windows: Mapping[str, Window], holder: str, tokens: int) -> None:
        """See Shared."""
        for name in windows:
            taken = self._window(model, name)
            if name.endswith("tokens") and holder in taken.when:
                taken.weights[holder] = tokens

    def _window(self, model: Model, name: str) -> _Taken:
        return self._taken.setdefault((name, model if name.startswith("model") else model.provider), _Taken())


def _told(failed: _Failed, now: float) -> Cooldown:
    probing = failed.until <= now and bool(failed.prober) and failed.probed_until > now
    return replace(failed.cooldown, seconds=max(0.0, failed.until - now), probing=probing)


def _fits(rooms: Mapping[str, tuple[int, float]]) -> bool:
    return not any(wait for _, wait in rooms.values())


def _room(rooms: Mapping[str, tuple[int, float]], taken: Mapping[str, int]) -> Room | None:
    """Return what is left once ``taken`` is gone from each."""
    if not rooms:
        return None
    left = {name: room[0] - taken.get(name, 0) for name, room in rooms.items()}
    tokens = [left[name] for name in left if name.endswith("tokens")]
    requests = [left[name] for name in left if not name.endswith("tokens")]
    return Room(min(requests, default=0), max(wait for _, wait in rooms.values()), min(tokens, default=None))
