"""The names of everything in Valkey, as ARCHITECTURE.md lists them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from ...types import Model, SessionKey

SCHEMA: Final = 1
_OF_SESSION: Final = ("meta", "lock", "turns", "seen", "queue", "events", "draft")


class Keys:
    """``prefix`` stands before all names; what belongs to one session has one hash tag, so it lies on one slot."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}:{SCHEMA}"

    def of(self, key: SessionKey, what: str) -> str:
        """Return the name of a session's ``what``."""
        return f"{self._prefix}:{{{_safe(key.owner)}/{key.id}}}:{what}"

    def session(self, key: SessionKey, *, stream: int | None = None) -> list[str]:
        """Return a session's keys in the order in which the scripts take them, a stream's as the eighth."""
        names = _of_session(self._prefix, key)
        return list(names) if stream is None else [*names, self.of(key, f"stream:{stream}")]

    def index(self, owner: str) -> str:
        """Return the name of the owner's sessions by last use."""
        return f"{self._prefix}:sessions:{{{_safe(owner)}}}"

    def health(self, model: Model) -> list[str]:
        """Return the names of what is known of a model that failed, and of who probes it."""
        name = f"{self._prefix}:health:{{{_safe(str(model))}}}"
        return [name, f"{name}:probe"]

    def pace(self, model: Model) -> str:
        """Return the name of a model's pace."""
        return f"{self._prefix}:pace:{{{_safe(str(model))}}}"

    def tick(self, name: str) -> str:
        """Return the name of a counter."""
        return f"{self._prefix}:tick:{{{_safe(name)}}}"

    def windows(self, model: Model) -> dict[str, tuple[str, str]]:
        """Return the names of a model's windows, times and weights, on one slot with its provider's."""
        provider = f"{{{_safe(model.provider)}}}"
        owners = {"provider": provider, "model": f"{provider}:{_safe(model.name)}"}
        names = {whose: ("rate", owner) for whose, owner in owners.items()}
        names |= {f"{whose}_tokens": ("tokens", owner) for whose, owner in owners.items()}
        return {
            name: (f"{self._prefix}:{what}:{of}", f"{self._prefix}:{what}-weights:{of}")
            for name, (what, of) in names.items()
        }

    def answer(self, owner: str, digest: str) -> list[str]:
        """Return the names of an answer that is remembered, and of who is to make it."""
        name = f"{self._prefix}:cache:{{{_safe(owner)}/{digest}}}"
        return [name, f"{name}:lead"]

    def usage(self, owner: str, month: str, turn_id: str = "") -> list[str]:
        """Return the names of an owner's counters of a month, and of the mark that a turn was counted."""
        tag = f"{self._prefix}:usage:{{{_safe(owner)}}}"
        return [f"{tag}:{month}", f"{tag}:turn:{_safe(turn_id)}"]


@lru_cache(maxsize=1000)
def _of_session(prefix: str, key: SessionKey) -> tuple[str, ...]:
    base = f"{prefix}:{{{_safe(key.owner)}/{key.id}}}:"
    return tuple(base + name for name in _OF_SESSION)


@lru_cache(maxsize=1000)
def _safe(text: str) -> str:
    return quote(text, safe=":@.-_")


def milliseconds(seconds: float) -> int:
    """Return a time to live as scripts take it, at least one millisecond."""
    return max(1, round(seconds * 1000))
