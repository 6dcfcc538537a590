"""The names of everything in Valkey, as ARCHITECTURE.md lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from ...types import Model, SessionKey

SCHEMA: Final = 1


class Keys:
    """``prefix`` stands before all names; what belongs to one session has one hash tag, so it lies on one slot."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}:{SCHEMA}"

    def of(self, key: SessionKey, what: str) -> str:
        """Return the name of a session's ``what``."""
        return f"{self._prefix}:{{{_safe(key.owner)}/{key.id}}}:{what}"

    def session(self, key: SessionKey, *, stream: int | None = None) -> list[str]:
        """Return a session's keys in the order in which the scripts take them, a stream's as the eighth."""
        names = ["meta", "lock", "turns", "seen", "queue", "events", "draft"]
        if stream is not None:
            names.append(f"stream:{stream}")
        return [self.of(key, name) for name in names]

    def index(self, owner: str) -> str:
        """Return the name of the owner's sessions by last use."""
        return f"{self._prefix}:sessions:{{{_safe(owner)}}}"

    def cooldown(self, model: Model) -> str:
        """Return the name of a model's cooldown."""
        return f"{self._prefix}:model:{{{_safe(str(model))}}}"

    def windows(self, model: Model) -> dict[str, str]:
        """Return the names of a model's windows, on one slot with its provider's."""
        tag = f"{self._prefix}:rate:{{{_safe(model.provider)}}}"
        return {"provider": tag, "model": f"{tag}:{_safe(model.name)}"}


def _safe(text: str) -> str:
    return quote(text, safe=":@.-_")


def milliseconds(seconds: float) -> int:
    """Return a time to live as scripts take it, at least one millisecond."""
    return max(1, round(seconds * 1000))
