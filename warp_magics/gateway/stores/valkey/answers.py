"""Answers that are remembered, and what was used, in Valkey."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from ..records import added, month_of, usage_rows
from .keys import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...types import Turn, UsageRow
    from .keys import Keys
    from .link import Link

_MARKED_MS: Final = 3600 * 1000
_KEPT_MS: Final = 400 * 86400 * 1000
_MONTHS: Final = 13


class AnswerVerbs:
    """The verbs of Shared about answers and counters."""

    _link: Link
    _keys: Keys

    async def recall(self, owner: str, digest: str, holder: str, lease: float) -> bytes | Literal["lead", "wait"]:
        """See Shared."""
        keys = self._keys.answer(owner, digest)
        kind, *value = await self._link.script("recall", keys, holder, milliseconds(lease))
        if kind == b"value":
            return bytes(value[0])
        return "lead" if kind == b"lead" else "wait"

    async def remember(self, owner: str, digest: str, holder: str, value: bytes, ttl: float) -> None:
        """See Shared."""
        await self._link.script("remember", self._keys.answer(owner, digest), holder, value, milliseconds(ttl))

    async def pass_on(self, owner: str, digest: str, holder: str) -> None:
        """See Shared."""
        await self._link.script("leave", self._keys.answer(owner, digest)[1:], holder)

    async def count(self, owner: str, turn: Turn) -> None:
        """See Shared."""
        counts = [part for pair in added(turn).items() for part in pair]
        keys = self._keys.usage(owner, month_of(turn.started_at), turn.id)
        await self._link.script("count", keys, _MARKED_MS, _KEPT_MS, *counts)

    async def counted(self, owner: str, by: Literal["model", "day"]) -> Sequence[UsageRow]:
        """See Shared."""
        names = [self._keys.usage(owner, month)[0] for month in _months(time.time())]
        said = await self._link.pipe(*(("HGETALL", name) for name in names))
        return usage_rows([{key.decode(): float(one) for key, one in month.items()} for month in said], by)


def _months(now: float) -> list[str]:
    """Return the names of the last months, and of the next, for a server whose clock is ahead."""
    year, month = map(int, month_of(now).split("-"))
    last = 12 * year + month
    return [f"{at // 12:04}-{at % 12 + 1:02}" for at in range(last - _MONTHS, last + 1)]
