"""MemoryModels: cooldowns and windows in this process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .base import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..types import Cooldown, Model, Window


class MemoryModels:
    """The part of a Store that is about models. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._cooling: dict[Model, tuple[float, Cooldown]] = {}
        self._taken: dict[tuple[str, Model | str], dict[str, float]] = {}

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
