"""Shelf: the sessions in this process, those that are remembered, and their logs, each for its time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from .base import SEEN_SECONDS
from .memory_parts import Feed, Kept
from .records import no_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..types import Event, SessionKey
    from .base import Lives

_FEED_OUTLIVES: Final = 60.0
_SWEEP_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a session that is gone: its last number, and whether somebody deleted it."""

    n: int
    until: float
    how: Literal["expired", "deleted"] = "expired"


@dataclass(slots=True)
class Tape:
    """The log of one stream: event K is the K-th."""

    expires_at: float
    events: list[Event] = field(default_factory=list)


def news(events: Sequence[Event], have: int) -> Sequence[Event]:
    """Return those of ``events`` that a log of ``have`` events lacks; none where it lacks earlier ones too."""
    first = number_of(events[0]) if events else 0
    return events[have + 1 - first :] if events and first <= have + 1 else ()


def number_of(event: Event) -> int:
    """Return K of the event's id ``n-K``."""
    return int(event.id.partition("-")[2])


class Shelf:
    """``clock`` gives Unix seconds. What has had its time is not found, and swept away when others are kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sessions: dict[SessionKey, Kept] = {}
        self._seen: dict[SessionKey, Seen] = {}
        self._tapes: dict[SessionKey, dict[int, Tape]] = {}
        self._last_words: dict[SessionKey, tuple[float, Feed]] = {}
        self._versions = itertools.count(1)
        self._swept_at = clock()

    def alive(self, key: SessionKey) -> Kept | None:
        """Return the session if it has not expired."""
        kept = self._sessions.get(key)
        if kept and kept.expires_at <= self._clock():
            del self._sessions[key]
            return None
        return kept

    def found(self, key: SessionKey) -> Kept:
        """Return the session; raises SessionNotFound."""
        kept = self.alive(key)
        if kept is None:
            raise no_session(key.id)
        return kept

    def of(self, owner: str) -> list[tuple[SessionKey, Kept]]:
        """Return the owner's sessions."""
        keys = [key for key in self._sessions if key.owner == owner]
        return [(key, kept) for key in keys if (kept := self.alive(key))]

    def begun(self, key: SessionKey, *, create: bool) -> tuple[Kept, Literal["known", "created", "restarted"]]:
        """Return the session, made if it has expired or ``create`` says so; raises SessionNotFound."""
        if kept := self.alive(key):
            return kept, "known"
        seen = self._was(key)
        if seen and seen.how == "expired":
            return self.made(key), "restarted"
        if not create:
            raise no_session(key.id)
        return self.made(key), "created"

    def made(self, key: SessionKey) -> Kept:
        """Put down an empty session, whose numbers go on from those of an earlier one."""
        now, seen = self._clock(), self._was(key)
        kept = Kept(now, now, seen.n if seen else 0, self.version(), self.last_words(key))
        self._sessions[key] = kept
        return kept

    def version(self) -> int:
        """Return a number that no tree has had, not even one of an earlier session under the same id."""
        return next(self._versions)

    def keep(self, key: SessionKey, kept: Kept, lives: Lives) -> None:
        """Let the session live on; not shorter than it is held."""
        ends = self._clock() + (lives.session if kept.ttl is None else kept.ttl)
        kept.expires_at = max(ends, kept.open.until) if kept.open else ends
        self._seen[key] = Seen(kept.n, kept.expires_at + SEEN_SECONDS)
        self._sweep()

    def remove(self, key: SessionKey) -> None:
        """Forget all but its last number, and for a while its feed."""
        kept, now = self._sessions.pop(key), self._clock()
        self._tapes.pop(key, None)
        self._seen[key] = Seen(kept.n, now + SEEN_SECONDS, "deleted")
        self._last_words[key] = (now + _FEED_OUTLIVES, kept.feed)

    def last_words(self, key: SessionKey) -> Feed:
        """Return the feed of a session that was deleted lately, else an empty one."""
        until, feed = self._last_words.get(key, (0.0, None))
        return feed if feed and until > self._clock() else Feed()

    def events(self, key: SessionKey, n: int) -> list[Event] | None:
        """Return what the log of stream ``n`` holds, if there is one."""
        tape = self._tapes.get(key, {}).get(n)
        return tape.events if tape and tape.expires_at > self._clock() else None

    def add(self, key: SessionKey, n: int, events: Sequence[Event], lives: Lives) -> int:
        """Add those of ``events`` to the log of stream ``n`` that join on, and return the number of its last."""
        have = self.events(key, n) or []
        if new := news(events, len(have)):
            have = [*have, *new]
            self._tapes.setdefault(key, {})[n] = Tape(self._clock() + lives.stream, have)
        return len(have)

    def _was(self, key: SessionKey) -> Seen | None:
        seen = self._seen.get(key)
        return seen if seen and seen.until > self._clock() else None

    def _sweep(self) -> None:
        now = self._clock()
        if now < self._swept_at + _SWEEP_EVERY:
            return
        self._swept_at = now
        for key in list(self._sessions):
            self.alive(key)
        self._seen = {key: seen for key, seen in self._seen.items() if seen.until > now}
        self._last_words = {key: words for key, words in self._last_words.items() if words[0] > now}
        tapes = {key: {n: tape for n, tape in of.items() if tape.expires_at > now} for key, of in self._tapes.items()}
        self._tapes = {key: of for key, of in tapes.items() if of}
