"""Turns whose askers have not seen their end: clients that ask again by themselves do not name the turn they mean."""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Key: TypeAlias = tuple[str, str, str]

_MOST: Final = 4096


def mark_of(body: bytes) -> str:
    """Return what the ids of turns begin with that are asked for with ``body``: any instance knows them by it."""
    return f"oai-{hashlib.sha256(body).hexdigest()[:24]}."


class Askings:
    """Remembers the last few thousand; a key is an owner, a session and a mark. ``new_id`` makes an id no other has."""

    def __init__(self, new_id: Callable[[], object] = uuid.uuid4) -> None:
        self._new_id = new_id
        self._open: OrderedDict[Key, str] = OrderedDict()

    def open(self, key: Key) -> str | None:
        """Return the turn that was asked for under ``key`` and whose end nobody has seen."""
        return self._open.get(key)

    def begin(self, key: Key) -> str:
        """Return the id of a new turn that is asked for under ``key``."""
        self._open[key] = turn_id = f"{key[2]}{self._new_id()}"
        self._open.move_to_end(key)
        if len(self._open) > _MOST:
            self._open.popitem(last=False)
        return turn_id

    def end(self, key: Key) -> None:
        """Forget: who asked has seen how it ended."""
        self._open.pop(key, None)
