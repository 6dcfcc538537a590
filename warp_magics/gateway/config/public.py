"""The configuration as plain data for people to look at, without its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ..types import Model
from .schema import Table
from .values import HIDDEN, Expanded, Secret


def plain(value: Any) -> Any:
    """``value`` as JSON knows it; a secret, and a field that its class keeps out of its repr, is ``***``."""
    if isinstance(value, Secret | Expanded):
        return HIDDEN
    if isinstance(value, Model | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    shown = _shown(value)
    return {name: _member(getattr(value, name), shown=show) for name, show in shown.items()} if shown else value


def _shown(value: Any) -> dict[str, bool]:
    """The fields of a record, and whether each may be seen."""
    if isinstance(value, Table):
        return {name: bool(info.repr) for name, info in type(value).model_fields.items()}
    return {field.name: field.repr for field in fields(value)} if is_dataclass(value) else {}


def _member(value: Any, *, shown: bool) -> Any:
    return plain(value) if shown or value is None else HIDDEN
