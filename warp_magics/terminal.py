"""Text as a terminal shows it: how wide it is, wrapped, cut, and without what a terminal would obey. Pure."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH: Final = 80
MOST: Final = 20_000
"""So many characters of a cell are shown, in a terminal as in HTML."""
LINES: Final = 8
"""So many lines may a cell have in a terminal, unless its table keeps lines."""
GAP: Final = 2
_WIDE: Final = 2
_WORD: Final = re.compile(r"\s*\S+?(?:(?<=\w)-(?=\w)|(?!\S))")
"""A word with the blanks before it; behind a hyphen another begins."""
_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, the cursor
    r"|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles, the clipboard, whole strings for the terminal
    r"|\x1b[ -/]*[0-Z\\^-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_JOINER: Final = "\N{ZERO WIDTH JOINER}"
_AS_PICTURE: Final = "\N{VARIATION SELECTOR-16}"
_SKINS: Final = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


def told(text: str) -> str:
    """Return what is shown of ``text``: nothing that a terminal would obey, and of a very long one its beginning."""
    told = _CONTROL.sub("", "\n".join(text[:MOST].splitlines()))
    return told if len(text) <= MOST else f"{told} … and {len(text) - MOST:,} characters more"


def wrapped(text: str, width: int, most: int | None) -> list[str]:
    """Return a cell's lines, none wider than ``width``; more than ``most`` of them end with an ellipsis."""
    if most is None:
        return list(pieces(text, width))
    lines = list(itertools.islice(pieces(text, width), most + 1))
    if len(lines) > most:
        lines[most - 1 :] = [_split(lines[most - 1], width - 1)[0] + "…"]
    return lines


def pieces(text: str, width: int) -> Iterator[str]:
    """Yield the lines of ``text``, in pieces no wider than ``width``: broken between words where that can be."""
    for line in text.splitlines() or [""]:
        piece = ""
        for word in _WORD.findall(line.rstrip()):
            if columns(piece + word) <= width:
                piece += word
                continue
            if piece:
                yield piece
            piece, rest = _split(word.lstrip() if piece else word, width)
            while rest:
                yield piece
                piece, rest = _split(rest, width)
        yield piece


def _split(text: str, width: int) -> tuple[str, str]:
    """Return as much of ``text`` as fits in ``width``, one character at least, and the rest."""
    room, at = width, 0
    for unit, size in _units(text):
        room -= size
        if room < 0 and at:
            break
        at += len(unit)
    return text[:at], text[at:]


def columns(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return len(text) if text.isascii() else sum(size for _, size in _units(text))


def _units(text: str) -> Iterator[tuple[str, int]]:
    """Yield what a terminal draws as one, a character with its marks or a joined emoji, and how many columns it takes."""
    unit, size = "", 0
    for one in text:
        own = _columns_of(one)
        if unit and (own == 0 or (size == _WIDE and (unit[-1] == _JOINER or one in _SKINS))):
            unit += one
            size = _WIDE if one == _AS_PICTURE else size
            continue
        if unit:
            yield unit, size
        unit, size = one, own
    if unit:
        yield unit, size


@functools.lru_cache(4096)
def _columns_of(one: str) -> int:
    if unicodedata.category(one) in ("Mn", "Me", "Cf") and one != "\N{SOFT HYPHEN}":
        return 0
    return _WIDE if unicodedata.east_asian_width(one) in "WF" else 1


def padded(text: str, width: int, *, left: bool) -> str:
    """Return ``text`` with blanks to ``width``, those to its ``left`` where it is a figure."""
    blanks = " " * (width - columns(text))
    return blanks + text if left else text + blanks


def widths(texts: list[list[str]]) -> list[int]:
    """Return column widths that fit WIDTH: the widest column gives way first."""
    widths = [
        min(WIDTH, max(max(map(columns, text.splitlines()), default=0) for text in column))
        for column in zip(*texts, strict=True)
    ]
    room = WIDTH - GAP * (len(widths) - 1)
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    return widths
