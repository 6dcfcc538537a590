"""The health of models and their windows in Valkey."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...types import Cooldown, Pace
from ..shared import FIRST_COOLDOWN, MEMORY_SECONDS, PACE_SECONDS, PACE_WEIGHT, Room
from .keys import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...types import Model, Window
    from .keys import Keys
    from .link import Link

_MEMORY_MS = milliseconds(MEMORY_SECONDS)
_PACE_MS = milliseconds(PACE_SECONDS)


class ModelVerbs:
    """The verbs of Shared about models."""

    _link: Link
    _keys: Keys

    # -- health ------------------------------------------------------------------------------------

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """See Shared."""
        models = tuple(dict.fromkeys(models))
        known = await self._link.pipe(*(("EXISTS", self._keys.health(model)[0]) for model in models))
        out = [model for model, exists in zip(models, known, strict=True) if exists]
        if not out:  # as almost always
            return {}
        commands: list[tuple[str, ...]] = []
        for health, probe in map(self._keys.health, out):
            commands += [("HMGET", health, "reason", "named"), ("PTTL", health), ("EXISTS", probe)]
        said = await self._link.pipe(*commands)
        found = zip(out, said[::3], said[1::3], said[2::3], strict=True)
        return {model: _cooldown(known, ms, probe) for model, known, ms, probe in found if known[0]}

    async def cool(self, model: Model, cooldown: Cooldown, *, grows: bool = False) -> float:
        """See Shared."""
        if cooldown.seconds <= 0:
            return 0.0
        lengths = milliseconds(cooldown.seconds), int(grows), milliseconds(FIRST_COOLDOWN), _MEMORY_MS
        told = cooldown.reason, int(cooldown.named), *lengths
        return int(await self._link.script("cool", self._keys.health(model), *told)) / 1000

    async def probe(self, model: Model, holder: str, lease: float) -> bool:
        """See Shared."""
        names = self._keys.health(model)
        return bool(await self._link.script("probe", names, holder, milliseconds(lease), _MEMORY_MS))

    async def leave(self, model: Model, holder: str) -> None:
        """See Shared."""
        await self._link.script("leave", self._keys.health(model)[1:], holder)

    async def restore(self, model: Model) -> None:
        """See Shared."""
        await self._link.call("DEL", *self._keys.health(model))

    async def paces(self, models: Sequence[Model]) -> Mapping[Model, Pace]:
        """See Shared."""
        names = [self._keys.pace(model) for model in models]
        said = await self._link.pipe(*(command for name in names for command in (("GET", name), ("PTTL", name))))
        found = zip(models, said[::2], said[1::2], strict=True)
        return {model: Pace(float(mean), PACE_SECONDS - ms / 1000) for model, mean, ms in found if mean}

    async def pace(self, model: Model, first_token: float) -> None:
        """See Shared."""
        await self._link.script("pace", [self._keys.pace(model)], first_token, PACE_WEIGHT, _PACE_MS)

    async def tick(self, name: str) -> int:
        """See Shared."""
        key = self._keys.tick(name)
        count, _ = await self._link.pipe(("INCR", key), ("PEXPIRE", key, _MEMORY_MS))
        return int(count) - 1

    # -- limits ------------------------------------------------------------------------------------

    async def take(self, model: Model, windows: Mapping[str, Window], holder: str, tokens: int = 0) -> Room:
        """See Shared."""
        return await self._windows(model, windows, holder, tokens, take=True)

    async def room(self, model: Model, windows: Mapping[str, Window]) -> Room:
        """See Shared."""
        return await self._windows(model, windows, "", 1, take=False)

    async def spent(self, model: Model, windows: Mapping[str, Window], holder: str, tokens: int) -> None:
        """See Shared."""
        names = self._keys.windows(model)
        if weights := [names[name][1] for name in windows if name.endswith("tokens")]:
            await self._link.script("spent", weights, holder, tokens)

    async def _windows(
        self, model: Model, windows: Mapping[str, Window], holder: str, tokens: int, *, take: bool
    ) -> Room:
        if not windows:
            return Room(0)
        names = self._keys.windows(model)
        keys = [key for name in windows for key in names[name]]
        sizes: list[int] = []
        for name, window in windows.items():
            sizes += [window.max, milliseconds(window.seconds), tokens if name.endswith("tokens") else 1]
        wait, *left = await self._link.script("take", keys, holder, int(take), *sizes)
        return _room(dict(zip(windows, map(int, left), strict=True)), int(wait))


def _cooldown(known: Sequence[Any], ms: int, probe: int) -> Cooldown:
    left = max(0, ms - _MEMORY_MS) / 1000
    return Cooldown(left, known[0].decode(), named=known[1] == b"1", probing=bool(probe) and not left)


def _room(left: Mapping[str, int], wait: int) -> Room:
    tokens = [left[name] for name in left if name.endswith("tokens")]
    requests = [left[name] for name in left if not name.endswith("tokens")]
    return Room(min(requests, default=0), math.inf if wait < 0 else wait / 1000, min(tokens, default=None))
