"""Cooldowns and request windows in Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from ...types import Cooldown
from ..base import Room
from .keys import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...types import Model, Window
    from .keys import Keys
    from .link import Link


class ModelVerbs:
    """The verbs of Store about models."""

    _link: Link
    _keys: Keys

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """See Store."""
        names = [self._keys.cooldown(model) for model in models]
        said = await self._link.pipe(*(command for name in names for command in (("GET", name), ("PTTL", name))))
        found = zip(models, said[::2], said[1::2], strict=True)
        return {model: Cooldown(ttl / 1000, **orjson.loads(value)) for model, value, ttl in found if value}

    async def cool(self, model: Model, cooldown: Cooldown) -> None:
        """See Store."""
        if cooldown.seconds > 0:
            value = orjson.dumps({"reason": cooldown.reason, "named": cooldown.named})
            await self._link.script("cool", [self._keys.cooldown(model)], value, milliseconds(cooldown.seconds))

    async def restore(self, model: Model) -> None:
        """See Store."""
        await self._link.call("DEL", self._keys.cooldown(model))

    async def take(self, model: Model, windows: Mapping[str, Window], holder: str) -> Room:
        """See Store."""
        return await self._windows(model, windows, holder, take=True)

    async def room(self, model: Model, windows: Mapping[str, Window]) -> Room:
        """See Store."""
        return await self._windows(model, windows, "", take=False)

    async def _windows(self, model: Model, windows: Mapping[str, Window], holder: str, *, take: bool) -> Room:
        if not windows:
            return Room(0)
        names = self._keys.windows(model)
        sizes = [part for window in windows.values() for part in (window.max, milliseconds(window.seconds))]
        left, wait = await self._link.script("take", [names[name] for name in windows], holder, int(take), *sizes)
        return Room(int(left), int(wait) / 1000)
