"""MemoryAnswers: answers that are remembered, and what was used, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from .records import added, month_of, usage_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..types import Turn, UsageRow

_MOST: Final = 1000
"""Answers remembered; the oldest go first."""
_TURNS: Final = 10_000


class MemoryAnswers:
    """The part of a Store that keeps answers and counters. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        self._answers: dict[tuple[str, str], tuple[float, bytes]] = {}
        self._leads: dict[tuple[str, str], tuple[float, str]] = {}
        self._counters: dict[str, dict[str, float]] = {}
        self._counted: dict[tuple[str, str], None] = {}

    async def recall(self, owner: str, digest: str, holder: str, lease: float) -> bytes | Literal["lead", "wait"]:
        """See Shared."""
        now, key = self._now(), (owner, digest)
        until, value = self._answers.get(key, (0.0, b""))
        if until > now:
            return value
        until, leader = self._leads.get(key, (0.0, ""))
        if until > now and leader != holder:
            return "wait"
        self._leads[key] = (now + lease, holder)
        return "lead"

    async def remember(self, owner: str, digest: str, holder: str, value: bytes, ttl: float) -> None:
        """See Shared."""
        now = self._now()
        self._answers = {key: kept for key, kept in self._answers.items() if kept[0] > now}
        while len(self._answers) >= _MOST:
            del self._answers[next(iter(self._answers))]
        self._answers[owner, digest] = (now + ttl, value)
        await self.pass_on(owner, digest, holder)

    async def pass_on(self, owner: str, digest: str, holder: str) -> None:
        """See Shared."""
        if self._leads.get((owner, digest), (0.0, ""))[1] == holder:
            del self._leads[owner, digest]

    async def count(self, owner: str, turn: Turn) -> None:
        """See Shared."""
        if (owner, turn.id) in self._counted:
            return
        self._counted[owner, turn.id] = None
        while len(self._counted) > _TURNS:
            del self._counted[next(iter(self._counted))]
        month = self._counters.setdefault(f"{owner}:{month_of(turn.started_at)}", {})
        for name, amount in added(turn).items():
            month[name] = month.get(name, 0) + amount

    async def counted(self, owner: str, by: Literal["model", "day"]) -> Sequence[UsageRow]:
        """See Shared."""
        months = [used for name, used in self._counters.items() if name.rpartition(":")[0] == owner]
        return usage_rows(months, by)
