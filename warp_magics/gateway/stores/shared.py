"""Shared: what gateways on one store share besides conversations: the health of models, limits, answers, counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..types import Cooldown, Model, Pace, Turn, UsageRow, Window

FIRST_COOLDOWN: Final = 5.0
"""Seconds of a cooldown whose length nobody set; each further failure without an answer between doubles it."""
MEMORY_SECONDS: Final = 86400.0
"""How long after its cooldown a model that nobody asks any more is remembered to have failed."""
PACE_SECONDS: Final = 3600.0
"""How long a measured pace is kept."""
PACE_WEIGHT: Final = 0.3
"""Of the newest measurement in the mean."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a model's windows: requests, and tokens where they are limited.

    ``wait`` is the seconds until there is room, 0 where there is, infinite where there can never be enough.
    """

    left: int
    wait: float = 0.0
    tokens_left: int | None = None


class Shared(Protocol):
    """All verbs raise StoreUnavailable where the store does not answer in time. ``holder`` is unique to one try."""

    # -- health ------------------------------------------------------------------------------------

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """Return those of ``models`` that have failed and not answered since."""

    async def cool(self, model: Model, cooldown: Cooldown, *, grows: bool = False) -> float:
        """Pass ``model`` over; of two deadlines the later one holds. Returns the seconds that are left until it.

        ``grows``: ``cooldown.seconds`` is the most; the length begins at FIRST_COOLDOWN and doubles with each
        failure after the one before had ended. A probe of the model is over.
        """

    async def probe(self, model: Model, holder: str, lease: float) -> bool:
        """Whether ``holder`` may ask a model that has failed: its time has come, and nobody else probes it.

        The probe is the holder's for ``lease`` seconds, or until ``cool``, ``restore`` or ``leave``.
        """

    async def leave(self, model: Model, holder: str) -> None:
        """Give up a probe that said nothing about the model's health."""

    async def restore(self, model: Model) -> None:
        """Forget that ``model`` has failed."""

    async def paces(self, models: Sequence[Model]) -> Mapping[Model, Pace]:
        """Return the measured pace of those of ``models`` that have one."""

    async def pace(self, model: Model, first_token: float) -> None:
        """Measure: the first event of an answer came after so many seconds."""

    async def tick(self, name: str) -> int:
        """Return how often ``name`` was asked for before."""

    # -- limits ------------------------------------------------------------------------------------

    async def take(self, model: Model, windows: Mapping[str, Window], holder: str, tokens: int = 0) -> Room:
        """Take one request and ``tokens`` tokens from every window or from none; the same holder twice is once.

        Windows are named ``model`` and ``provider``, those of tokens ``model_tokens`` and ``provider_tokens``.
        """

    async def room(self, model: Model, windows: Mapping[str, Window]) -> Room:
        """Return what ``take`` would find, taking nothing."""

    async def spent(self, model: Model, windows: Mapping[str, Window], holder: str, tokens: int) -> None:
        """Put the ``tokens`` that were used in the place of those that ``take`` has reserved."""

    # -- answers kept ------------------------------------------------------------------------------

    async def recall(self, owner: str, digest: str, holder: str, lease: float) -> bytes | Literal["lead", "wait"]:
        """Return what was remembered, else who is to make it.

        "lead": ``holder``, within ``lease`` seconds, or it asks again for another lease. "wait": another does.
        """

    async def remember(self, owner: str, digest: str, holder: str, value: bytes, ttl: float) -> None:
        """Keep ``value`` for ``ttl`` seconds; the lead is over."""

    async def pass_on(self, owner: str, digest: str, holder: str) -> None:
        """Give up the lead without a value."""

    # -- what was used -----------------------------------------------------------------------------

    async def count(self, owner: str, turn: Turn) -> None:
        """Count what ``turn`` used; the same turn again within an hour is not counted twice."""

    async def counted(self, owner: str, by: Literal["model", "day"]) -> Sequence[UsageRow]:
        """Return what was used in the last thirteen months, days newest first, models by name."""
