"""Known: the turns that this process has read, so that a turn of a long session reads only what has been added since."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Final

from .. import records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...types import SessionKey, Turn

_BYTES: Final = 32 * 2**20
_TURN_BYTES: Final = 2000  # what a turn takes besides its texts, and the messages that are made of it


@dataclass(frozen=True, slots=True)
class Line:
    """``turns``, oldest first, of a session that was ``named`` so then; ``digest`` is the newest one's, SHA-1 of its JSON.

    A session's line gets another name when a turn in it changes in its place: under one name what stands before a turn, by
    its id, is always the same.
    """

    named: bytes
    turns: tuple[Turn, ...] = ()
    digest: str = ""
    size: int = 0


NONE: Final = Line(b"")


class Known:
    """About ``most`` bytes are known at a time; the session used longest ago is forgotten first."""

    def __init__(self, most: int = _BYTES) -> None:
        self._most = most
        self._lines: OrderedDict[SessionKey, Line] = OrderedDict()
        self._size = 0

    def line(self, key: SessionKey) -> Line:
        """Return what is known of a session."""
        return self._lines.get(key, NONE)

    def grown(self, key: SessionKey, line: Line, named: bytes, stays: int, added: Sequence[Any]) -> tuple[Turn, ...]:
        """Return a session's turns: of ``line`` the oldest ``stays``, then ``added``, JSON with the newest first."""
        turns = (*line.turns[:stays], *map(records.load, reversed(added)))
        if added or named != line.named:
            size = sum(map(_size, turns[stays:], reversed(added)), line.size if stays else 0)
            digest = _digest(added[0]) if added else line.digest if stays else ""
            line = Line(named, turns, digest, size)
        self._keep(key, line)
        return turns

    def forget(self, key: SessionKey) -> None:
        """Know nothing more of a session."""
        self._size -= self._lines.pop(key, NONE).size

    def _keep(self, key: SessionKey, line: Line) -> None:
        self.forget(key)
        if not line.turns or line.size > self._most:
            return
        self._lines[key] = line
        self._size += line.size
        while self._size > self._most:
            self._size -= self._lines.popitem(last=False)[1].size


def _size(turn: Turn, told: bytes) -> int:
    """Return about how many bytes a turn takes: its texts, once more in the words of a conversation, and their JSON."""
    attached = sum(getsizeof(one.text) + getsizeof(one.data) for one in turn.attachments)
    return 2 * (getsizeof(turn.prompt) + getsizeof(turn.response) + attached) + len(told) + _TURN_BYTES


def _digest(told: bytes) -> str:
    return hashlib.sha1(told, usedforsecurity=False).hexdigest()
