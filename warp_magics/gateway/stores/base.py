"""Store: where sessions, cooldowns and counters are, in verbs of the domain. One suite runs over every back end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..types import Cooldown, Model, Session, SessionKey, Turn, Window

SEEN_SECONDS = 30 * 86400
"""How long a session's id is remembered after the session has expired."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn has its session: number ``n``, which is also its fence, since no number is given twice.

    ``now`` is the store's clock in Unix seconds; ``turns`` are those before it, oldest first.
    """

    n: int
    now: float
    status: Literal["known", "created", "restarted"]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a window; ``wait`` is the seconds until it has room, 0 where it has."""

    left: int
    wait: float = 0.0


class Store(Protocol):
    """All verbs raise StoreUnavailable where the store does not answer in time."""

    kind: str

    async def begin(
        self, key: SessionKey, holder: str, *, create: bool, lease: float, ttl: float, limit: int | None = None
    ) -> Begun | None:
        """Give the session to ``holder`` (unique to the turn) for ``lease`` seconds; None while another has it.

        Asked again by the same holder it answers the same. ``limit`` is how many of the newest turns to read
        (None: all). Raises SessionNotFound where there is none and ``create`` is false, unless it has expired:
        then it is begun anew. All its keys live ``ttl`` seconds more.
        """

    async def renew(self, key: SessionKey, holder: str, lease: float) -> bool:
        """Hold on for ``lease`` seconds more; False where another has taken over."""

    async def append(self, key: SessionKey, turn: Turn, holder: str, *, ttl: float) -> None:
        """Store ``turn`` and let the session go, in one step; done before by the same turn id, it is a no-op.

        Raises FenceLost where a later turn has begun or the session is gone.
        """

    async def turns(self, key: SessionKey) -> tuple[Turn, ...]:
        """Return all turns, oldest first; raises SessionNotFound."""

    async def session(self, key: SessionKey) -> Session:
        """Return its description; raises SessionNotFound."""

    async def sessions(self, owner: str, limit: int) -> list[Session]:
        """Return the owner's sessions, last used first."""

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """Return those of ``models`` that are passed over."""

    async def cool(self, model: Model, cooldown: Cooldown) -> None:
        """Pass ``model`` over; of two deadlines the later one holds."""

    async def restore(self, model: Model) -> None:
        """Stop passing ``model`` over."""

    async def take(self, model: Model, windows: Mapping[str, Window], holder: str) -> Room:
        """Take one request from every window or from none. Windows are named ``model`` and ``provider``."""

    async def room(self, model: Model, windows: Mapping[str, Window]) -> Room:
        """Return what ``take`` would find, taking nothing."""

    async def describe(self) -> Mapping[str, object]:
        """Return type, server (name and version) and reachable; never raises for a store that is down."""

    async def aclose(self) -> None:
        """Close connections."""
