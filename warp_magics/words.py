"""Figures and lists as one would say them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MINUTE: Final = 100.0  # seconds up to which a wait is told in seconds
_LEAST: Final = 0.0001  # US dollars that are told as a figure


def duration(seconds: float) -> str:
    """Return seconds as one would say them."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 60 * _MINUTE else f"{seconds / 3600:.0f} h"


def back_in(seconds: float) -> str:
    """Return when a model that is passed over for ``seconds`` is asked again."""
    return f"back in {duration(seconds)}" if seconds >= 0.5 else "about to be tried again"  # noqa: PLR2004 - rounded, a second


def dollars(cost: float) -> str:
    """Return US dollars, to the hundredth of a cent."""
    return f"<${_LEAST}" if 0 < cost < _LEAST else f"${cost:.4f}"


def listed(words: Sequence[str]) -> str:
    """Return ``words`` with commas and an "and"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def counted(count: int, what: str) -> str:
    """Return ``count`` of ``what`` in words."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")
