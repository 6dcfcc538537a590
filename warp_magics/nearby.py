"""What of a notebook can go along with a prompt, as one chooses it from a list. Pure, and none of the objects' own code runs.

Libraries are told by the names of their classes, as in ``attach``.
"""

from __future__ import annotations

import types
from collections import deque
from dataclasses import dataclass, is_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from .frames import is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST: Final = 200
"""How many names are listed."""
_SIZED: Final = (str, bytes, list, tuple, set, frozenset, dict, deque, range)
_ONE: Final = (bool, int, float, complex)
_CODE: Final = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_SHELL: Final = frozenset({"In", "Out", "Err", "exit", "quit", "open", "get_ipython"})
_LONGEST: Final = 30
_BY: Final = " \N{MULTIPLICATION SIGN} "


@dataclass(frozen=True, slots=True)
class Nearby:
    """A variable that can be attached: what it is called, its class, its size or value where that says something.

    ``group`` tells what the class is to a reader: a table, series, array, figure, image, error or data.
    """

    name: str
    kind: str
    detail: str
    group: str


def nearby(names: Mapping[str, Any]) -> tuple[Nearby, ...]:
    """Return the user's own variables in ``names`` that can be attached: tables first, plain data last, newest first."""
    found: dict[str, list[Nearby]] = {group: [] for group in _GROUPS}
    for name, value in reversed(list(names.items())):
        if name.startswith("_") or name in _SHELL:
            continue
        group = _group(value)
        if group is not None:
            found[group].append(Nearby(name, type(value).__name__, _detail(group, value), group))
    return tuple(one for of_group in found.values() for one in of_group)[:MOST]


def _group(value: Any) -> str | None:
    try:
        return None if _is(value, *_CODE) else next((name for name, holds in _GROUPS.items() if holds(value)), None)
    except Exception:  # noqa: BLE001 - of a class that is not what classes are: it cannot be attached either
        return None


def _is(value: Any, *classes: type) -> bool:
    """As ``isinstance``, which asks a lazy proxy what it stands for: that may compute, and fail."""
    return issubclass(type(value), classes)


def _table(value: Any) -> bool:
    return (
        is_a(value, "pandas", "DataFrame") or is_a(value, "polars", "DataFrame") or is_a(value, "polars", "LazyFrame")
    )


def _series(value: Any) -> bool:
    return is_a(value, "pandas", "Series") or is_a(value, "polars", "Series") or is_a(value, "pandas", "Index")


def _figure(value: Any) -> bool:
    return any(
        is_a(value, *one) for one in (("matplotlib", "Figure"), ("matplotlib", "Axes"), ("plotly", "BaseFigure"))
    )


def _image(value: Any) -> bool:
    return is_a(value, "PIL", "Image") or is_a(value, "IPython", "Image")


def _data(value: Any) -> bool:
    plain = _is(value, *_SIZED, *_ONE, PurePath, types.SimpleNamespace) or is_dataclass(type(value))
    return plain or is_a(value, "pydantic", "BaseModel") or "_repr_llm_" in _attributes(value)


def _attributes(value: Any) -> Iterator[str]:
    return (name for one in type(value).__mro__ for name in vars(one))


_GROUPS: Final[dict[str, Callable[[Any], bool]]] = {
    "table": _table,
    "series": _series,
    "array": lambda value: is_a(value, "numpy", "ndarray"),
    "figure": _figure,
    "image": _image,
    "error": lambda value: _is(value, BaseException),
    "data": _data,
}


def _detail(group: str, value: Any) -> str:
    try:
        return _size(group, value)
    except Exception:  # noqa: BLE001 - of a library's object that is not what its class says; it is listed all the same
        return ""


def _size(group: str, value: Any) -> str:
    if group in ("table", "series", "array") and not is_a(value, "polars", "LazyFrame"):
        return _BY.join(f"{size:,}" for size in value.shape)
    if is_a(value, "PIL", "Image"):
        return f"{value.width}{_BY}{value.height}"
    # A class of the user's may have a length and a text of its own making.
    if type(value) in _SIZED:
        return f"{len(value):,}"
    return str(value)[:_LONGEST] if type(value) in (bool, float, complex) else _whole(value)


def _whole(value: Any) -> str:
    if type(value) is not int:
        return ""
    return str(value) if value.bit_length() < 4 * _LONGEST else f"{value.bit_length()} bits"
