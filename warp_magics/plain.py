"""Plain data as a model reads it: as Python writes it, of much only the beginning. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import itertools
import pprint
import types
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .frames import is_a, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WIDTH: Final = 100
_MANY: Final = (list, tuple, set, frozenset, deque)
_DATA: Final = (dict, *_MANY, bytes, range, types.SimpleNamespace)
_ONE: Final = (
    *(bool, int, float, complex, types.NoneType, enum.Enum, decimal.Decimal, fractions.Fraction, uuid.UUID),
    *(dt.date, dt.time, dt.timedelta),
)


def plain_text(value: Any, size: int) -> str | None:
    """Return plain data, a dataclass's or Pydantic's instance in about ``size`` characters; None for what is none."""
    if isinstance(value, str):
        return trimmed(value, size)
    if isinstance(value, _ONE) or is_a(value, "numpy", "generic"):
        return trimmed(str(value), size)
    if is_a(value, "pydantic", "BaseModel"):
        return trimmed(value.model_dump_json(indent=2), size)
    if isinstance(value, _DATA) or _is_dataclass(value):
        return _written(value, size)
    return None


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _written(value: Any, size: int) -> str:
    beginning = _Beginning(size)
    kept = beginning.of(value)
    if beginning.room >= 0:
        return trimmed(_pretty(value), size)
    count = f", whose length is {len(value)}," if isinstance(value, (dict, *_MANY)) else ""
    return f"{_pretty(kept)[:size].rstrip()}\n[the rest of this {type(value).__name__}{count} was left out here]"


def _pretty(value: Any) -> str:
    return pprint.pformat(value, width=_WIDTH, compact=True)


class _Beginning:
    """The beginning of data: as much as ``room`` characters can show, since all of it may take minutes to write.

    ``room`` is below zero once something was left out.
    """

    def __init__(self, room: int) -> None:
        self.room = room

    def of(self, value: Any, above: tuple[int, ...] = ()) -> Any:
        """Return ``value``, which is inside those with the ids ``above``, without what there is no room for."""
        self.room -= 1
        inside = (*above, id(value))
        if id(value) in above:
            return ...
        if isinstance(value, (str, bytes)):
            kept = value[: max(self.room, 0)]
            self.room -= len(value)
            return kept
        if _is_dataclass(value):
            fields = (one.name for one in dataclasses.fields(value) if one.repr)
            kind = type(type(value).__name__, (types.SimpleNamespace,), {})  # written alike, and filled with anything
            return kind(**{field: self.of(getattr(value, field), inside) for field in self._shown(fields)})
        if isinstance(value, dict):
            return {key: self.of(one, inside) for key, one in self._shown(value.items())}
        if isinstance(value, _MANY):
            make: Any = next((kind for kind in _MANY if isinstance(value, kind)), list)
            return make(self.of(one, inside) for one in self._shown(value))
        return value

    def _shown(self, items: Iterable[Any]) -> Iterator[Any]:
        return itertools.takewhile(lambda _: self.room >= 0, items)
