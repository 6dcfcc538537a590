"""In which order a chain's models are asked: pure functions of a snapshot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .types import Model, Pace

_HALF_LIFE: Final = 300.0
"""Seconds in which a measured pace loses half its weight: a model that was slow is tried again one day."""


def by_cost(chain: Sequence[Model], costs: Mapping[Model, float]) -> list[Model]:
    """Return ``chain`` with the cheapest first. One whose cost is not known comes behind those whose cost is: it is not 0."""
    return sorted(chain, key=lambda model: costs.get(model, math.inf))


def by_latency(chain: Sequence[Model], paces: Mapping[Model, Pace]) -> list[Model]:
    """Return ``chain`` with the soonest to begin first; one that was not measured is tried before those that were."""
    return sorted(chain, key=lambda model: expected(paces[model]) if model in paces else 0.0)


def expected(pace: Pace) -> float:
    """Return the seconds a first token is expected after, less the older the measurement is."""
    return pace.first_token * math.exp2(-pace.age / _HALF_LIFE)


def rotated(chain: Sequence[Model], turn: int) -> list[Model]:
    """Return ``chain`` beginning with another model each time, the others behind it in order."""
    at = turn % len(chain)
    return [*chain[at:], *chain[:at]]
