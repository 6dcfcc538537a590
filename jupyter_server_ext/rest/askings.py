"""Which turns were asked for with which words: clients that ask again by themselves do not name the turn they mean."""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 4096


@dataclass(frozen=True, slots=True)
class Asking:
    """One body sent to one session. Ids of its turns begin with ``mark``; ``turn_id`` is the last one, where it is known."""

    askings: Askings
    key: tuple[str, str, str]
    turn_id: str | None

    @property
    def mark(self) -> str:
        """What any instance knows these words by."""
        return self.key[2]

    def new_id(self) -> str:
        """Return the id of a new turn, which is remembered."""
        return self.askings.begun(self.key)


class Askings:
    """Remembers the last few thousand; ``new_id`` makes an id that no other has."""

    def __init__(self, new_id: Callable[[], object] = uuid.uuid4) -> None:
        self._new_id = new_id
        self._turns: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    def of(self, owner: str, session_id: str, body: bytes) -> Asking:
        """Return what is known of a ``body`` that is sent to a session."""
        key = (owner, session_id, f"oai-{hashlib.sha256(body).hexdigest()[:24]}.")
        return Asking(self, key, self._turns.get(key))

    def begun(self, key: tuple[str, str, str]) -> str:
        """Return the id of a new turn that is asked for under ``key``."""
        self._turns[key] = turn_id = f"{key[2]}{self._new_id()}"
        self._turns.move_to_end(key)
        if len(self._turns) > _MOST:
            self._turns.popitem(last=False)
        return turn_id
