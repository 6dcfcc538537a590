"""DataFrames, Series and arrays as a model reads them: shape, columns, figures, rows, as much as fits. Pure.

Nothing is imported: pandas' and polars' objects are told by the names of their classes.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SAMPLE: Final = 20
_CELL: Final = 80
_MANY: Final = 1_000_000
"""Rows up to which a column's figures are of all of them."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: str
    facts: str


def is_a(value: Any, package: str, name: str) -> bool:
    """Return whether ``value`` is of the class ``name`` of ``package``, which need not be imported for that."""
    classes = type(value).__mro__
    return any(one.__name__ == name and one.__module__.partition(".")[0] == package for one in classes)


def frame_text(value: Any, size: int) -> str | None:
    """Return a DataFrame, Series, Index or array in about ``size`` characters; None for what is none of them."""
    for package in ("pandas", "polars"):
        if is_a(value, package, "DataFrame"):
            return _frame(value, package, size)
        if is_a(value, package, "Series"):
            name = value.name if value.name not in (None, "") else "values"
            return _frame(value.to_frame(str(name)), package, size, what="Series")
    if is_a(value, "pandas", "Index"):
        named = value.nlevels > 1 or value.name not in (None, "")
        frame = (value if named else value.rename("values")).to_frame(index=False)
        return _frame(frame, "pandas", size, what=type(value).__name__)
    if is_a(value, "polars", "LazyFrame"):
        schema = value.collect_schema()
        columns = [_Column(name, str(kind), "") for name, kind in schema.items()]
        return _described(f"polars LazyFrame: {len(columns)} columns, not collected", columns, size)
    return _array(value, size) if is_a(value, "numpy", "ndarray") else None


def _frame(frame: Any, package: str, size: int, what: str = "DataFrame") -> str:
    rows, width = frame.shape
    of = (lambda at: frame.iloc[:, at]) if package == "pandas" else frame.to_series
    # Half of the room is for the columns; a row of the sample has those that are described.
    columns: list[_Column] = []
    room = size // 2
    for at in range(width):
        columns.append(_column(str(frame.columns[at]), of(at), package, rows))
        room -= len(_line(columns[-1]))
        if room < 0:
            break
    head = f"{package} {what}: {rows} rows, {width} columns"
    if package == "pandas" and not is_a(frame.index, "pandas", "RangeIndex"):
        names = ", ".join(str(name) for name in frame.index.names)
        head += f", index {type(frame.index).__name__} ({names})"
    text = _described(head, columns, size, left=width - len(columns))
    sample = frame.head(_SAMPLE)
    shown = sample.iloc[:, : len(columns)].itertuples(name=None) if package == "pandas" else sample.iter_rows()
    heads = [*([""] if package == "pandas" else []), *(column.name for column in columns)]
    return text + _rows(heads, shown, size - len(text), rows)


def _column(name: str, series: Any, package: str, rows: int) -> _Column:
    missing = int(series.isna().sum()) if package == "pandas" else series.null_count()
    facts = [f"{missing} missing"] if missing else []
    kind = str(series.dtype)
    about = ""
    ordered = _kind(series, package)
    if _floats(series, package):
        series, strange = _finite(series, package)
        facts += strange
    if rows > _MANY:
        step = rows // _MANY + 1
        series = series.iloc[::step] if package == "pandas" else series.gather_every(step)
        about = "about "
    if ordered and series.count():
        facts += [f"{about}{fact}" for fact in _figures(series, ordered)]
    elif not ordered:
        distinct = _distinct(series, package)
        facts += [f"{about}{distinct} distinct"] if distinct is not None else []
    return _Column(name, kind, ", ".join(facts))


def _figures(values: Any, ordered: str = "number") -> list[str]:
    mean = [f"mean {_short(values.mean())}"] if ordered == "number" else []
    return [f"min {_short(values.min())}", *mean, f"max {_short(values.max())}"]


def _floats(values: Any, package: str) -> bool:
    return bool(values.dtype.is_float() if package == "polars" else getattr(values.dtype, "kind", "O") == "f")


def _finite(values: Any, package: str) -> tuple[Any, list[str]]:
    """Return those of floating numbers that are finite, and how many are not: no figure comes of them."""
    if package != "numpy":
        values = values.dropna() if package == "pandas" else values.drop_nulls()
    size = abs(values)
    kept = values.filter(size < math.inf) if package == "polars" else values[size < math.inf]
    infinite = int((size == math.inf).sum())
    count, left = (one.len() if package == "polars" else one.size for one in (values, kept))
    counts = {"NaN": count - left - infinite, "infinite": infinite}
    return kept, [f"{number} {word}" for word, number in counts.items() if number]


def _kind(series: Any, package: str) -> str:
    """Return ``number`` or ``time`` for what has a least and a most, else nothing."""
    if package == "pandas":
        kind = getattr(series.dtype, "kind", "O")
        return "number" if kind in "iuf" else "time" if kind in "Mm" else ""
    return "number" if series.dtype.is_numeric() else "time" if series.dtype.is_temporal() else ""


def _distinct(series: Any, package: str) -> int | None:
    try:
        return int(series.nunique() if package == "pandas" else series.n_unique())
    except (TypeError, ValueError, RuntimeError):  # lists and the like cannot be compared
        return None
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "polars":
            return None
        raise


def _described(head: str, columns: Sequence[_Column], size: int, left: int = 0) -> str:
    more = [f"- and {left} more columns"] if left else []
    return trimmed("\n".join([head, *map(_line, columns), *more]), size)


def _line(column: _Column) -> str:
    return f"- {column.name} ({column.kind})" + (f": {column.facts}" if column.facts else "")


def _rows(heads: Sequence[str], rows: Iterable[Sequence[Any]], size: int, total: int) -> str:
    """Return the first rows as CSV, as many as fit."""
    lines: list[str] = []
    for row in (heads, *rows):
        said = io.StringIO()
        csv.writer(said, lineterminator="").writerow([_short(cell) for cell in row[: len(heads)]])
        size -= len(said.getvalue()) + 1
        if size < 0:
            break
        lines.append(said.getvalue())
    shown = len(lines) - 1
    if shown < 1:
        return ""
    head = "All rows:" if shown == total else f"The first {shown} rows:"
    return "\n\n" + "\n".join([head, *lines])


def _array(array: Any, size: int) -> str:
    facts = [f"shape {array.shape}", f"dtype {array.dtype}"]
    numbers = array
    if _floats(array, "numpy"):
        numbers, strange = _finite(array, "numpy")
        facts += strange
    if array.dtype.kind in "iuf" and numbers.size:
        facts += _figures(numbers)
    return trimmed(f"numpy array: {', '.join(facts)}\n{array}", size)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    said = str(value)
    return said if len(said) <= _CELL else said[: _CELL - 1] + "…"


def trimmed(text: str, size: int) -> str:
    """Return ``text`` cut to ``size`` characters, and a word of what was left out."""
    if len(text) <= size:
        return text
    return f"{text[:size].rstrip()}\n[{len(text) - size} of {len(text)} characters were left out here]"
