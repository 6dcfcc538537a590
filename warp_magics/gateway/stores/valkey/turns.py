"""One turn at a time, and the log of its answer, in Valkey."""

from __future__ import annotations

import asyncio
import logging
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ...errors import FenceLost, StoreUnavailable, StreamNotFound
from ...signals import tell
from ...types import SessionKey
from .. import records
from ..base import NOT, TICKET_SECONDS, Asked, Begun, Draft, Hold, Log, Logged, Orphan, Waiting
from ..logs import dump_event, load_events
from .keys import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...types import Event, Turn
    from ..base import GoingOn, Lives
    from .clients import Command
    from .keys import Keys
    from .known import Known, Line
    from .link import Link


log = logging.getLogger("warp_magics.stores")

_TIDY_EVERY: Final = 8  # new sessions, by chance: their names say which
_NOTED_SECONDS: Final = 1.0  # how exactly the list knows when a session was used


class Listing:
    """An owner's list of sessions: a hint, on another slot than they are, so that its trouble is not theirs."""

    _link: Link
    _keys: Keys
    _known: Known
    _used: dict[str, dict[str, float]]
    """Owner to session to when it was used, not noted yet."""
    _untidy: set[str]
    _listing: asyncio.Task[None] | None

    def _list(self, key: SessionKey, when: float, *, new: bool = False) -> None:
        """Note the session's last use, while its turn goes on; what is used at one moment is noted together."""
        self._used.setdefault(key.owner, {})[key.id] = when
        if new and zlib.crc32(key.id.encode()) % _TIDY_EVERY == 0:
            self._untidy.add(key.owner)
        if self._listing is None:
            self._note_next()

    def _note_next(self) -> None:
        self._listing = asyncio.ensure_future(self._note_uses())
        self._listing.add_done_callback(self._has_noted)

    def _has_noted(self, _: asyncio.Task[None]) -> None:
        self._listing = None
        if self._used:
            self._note_next()

    async def _note_uses(self) -> None:
        used, self._used = self._used, {}
        untidy, self._untidy = self._untidy, set()
        commands: list[Command] = []
        for owner, sessions in used.items():
            if sessions:  # else they were deleted meanwhile
                scores = [part for name, when in sessions.items() for part in (when, name)]
                commands.append(("ZADD", self._keys.index(owner), *scores))
        await self._hint(*commands)
        for owner in untidy:
            await self._tidy(owner)

    async def _all_noted(self) -> None:
        """Wait until the list knows of all that was done here."""
        for _ in range(2):  # what is on its way, and what has gathered meanwhile
            if self._listing is not None:
                await asyncio.wait({self._listing})

    async def _tidy(self, owner: str) -> None:
        """Look at the sessions used longest ago: what has expired leaves the list, so that it does not grow for ever."""
        index = self._keys.index(owner)
        try:
            oldest = await self._link.call("ZRANGE", index, 0, 2 * _TIDY_EVERY - 1)
            keys = [SessionKey(owner, name.decode()) for name in oldest]
            alive = await self._link.pipe(*(("EXISTS", self._keys.of(key, "meta")) for key in keys))
            gone = [key.id for key, exists in zip(keys, alive, strict=True) if not exists]
            if gone:
                await self._link.call("ZREM", index, *gone)
        except StoreUnavailable as error:
            tell(log, "sessions_not_listed", level=logging.WARNING, reason=error.message)

    async def _hint(self, *commands: Command) -> None:
        try:
            await self._link.pipe(*commands)
        except StoreUnavailable as error:
            tell(log, "sessions_not_listed", level=logging.WARNING, reason=error.message)


class TurnVerbs(Listing):
    """The verbs of Store about turns and streams."""

    async def begin(
        self, key: SessionKey, holder: str, draft: Draft, lives: Lives, *, create: bool
    ) -> Begun | Waiting | Asked | Orphan:
        """See Store."""
        told = records.dump_draft(draft)
        names, line = self._keys.session(key), self._known.line(key)
        for _ in range(2):
            said = await self._link.script(
                "begin",
                names,
                *(holder, milliseconds(lives.lease), milliseconds(lives.session), int(create)),
                *(await self._link.deadline(names[0]), milliseconds(TICKET_SECONDS)),
                *(draft.turn_id, records.title_of(draft.prompt), told, draft.prompt),
                *(line.named, len(line.turns), line.digest),
            )
            if said[0] != b"late":
                break
            self._link.forget_clock()  # the server's clock may have been set: look at it again
        begun = self._begun(key, line, said)
        if isinstance(begun, Begun):
            self._list(key, begun.now, new=begun.status != "known")
        return begun

    def _begun(self, key: SessionKey, line: Line, said: Sequence[Any]) -> Begun | Waiting | Asked | Orphan:
        match said[0]:
            case b"late":
                raise StoreUnavailable("The store did not answer in time.")
            case b"missing":
                raise records.no_session(key.id)
            case b"waiting":
                return Waiting(int(said[1]), said[2])
            case b"asked":
                return Asked(int(said[1]))
            case b"orphan":
                return _orphan(*said[1:])
        status, n, now, named, stays, added = said
        turns = self._known.grown(key, line, named, stays, added)
        return Begun(n=int(n), now=int(now) / 1000, status=status.decode(), turns=turns)

    async def renew(self, hold: Hold, lives: Lives) -> Literal["held", "stop", "lost"]:
        """See Store."""
        times = milliseconds(lives.lease), milliseconds(lives.session)
        said = await self._link.script("renew", self._keys.session(hold.key), hold.n, hold.holder, *times)
        answer: Literal["held", "stop", "lost"] = said.decode()
        return answer

    async def release(self, key: SessionKey, holder: str) -> None:
        """See Store."""
        await self._link.script("release", self._keys.session(key), holder)

    async def log(self, hold: Hold, events: Sequence[Event], lives: Lives) -> Logged:
        """See Store."""
        last, *stop = await self._link.script(
            "log",
            self._keys.session(hold.key, stream=hold.n),
            *(hold.n, hold.holder, milliseconds(lives.stream), number_of(events[0])),
            _kept(hold) if records.has_word(events) else "",
            *map(dump_event, events),
        )
        if last == b"fenced":
            raise _lost(hold.key)
        return Logged(int(last), bool(stop[0]))

    async def append(self, hold: Hold, turn: Turn, events: Sequence[Event], lives: Lives) -> bool:
        """See Store."""
        said, copied = await self._append(hold, turn, events, lives)
        if said == b"fenced":
            raise _lost(hold.key)
        # Else what was noted at its beginning does; of a new session whoever had found it gone may have struck that off.
        if hold.made or turn.ended_at - turn.started_at > _NOTED_SECONDS:
            self._list(hold.key, turn.ended_at)
        return copied

    async def settle(self, key: SessionKey, turn: Turn, event: Event, lives: Lives, going_on: GoingOn = NOT) -> bool:
        """See Store."""
        said, _ = await self._append(Hold(key, turn.n, "", going_on=going_on), turn, [event], lives)
        if said != b"stored":
            return False
        self._list(key, turn.ended_at)
        return True

    async def _append(self, hold: Hold, turn: Turn, events: Sequence[Event], lives: Lives) -> tuple[Any, bool]:
        before, asked_as = hold.going_on.before, hold.going_on.asked_as or turn.id
        return await self._link.copied_script(
            "append",
            self._keys.session(hold.key, stream=turn.n),
            *(turn.n, hold.holder, asked_as, records.dump(turn), turn.status),
            *(milliseconds(lives.session), milliseconds(lives.stream)),
            *(_kept(hold), before.id if before else ""),
            *(number_of(events[0]) if events else 1, len(events)),
            *map(dump_event, events),
            *records.counts([turn], before),
        )

    async def orphan(self, key: SessionKey) -> Orphan | None:
        """See Store."""
        meta, lock, draft = (self._keys.of(key, what) for what in ("meta", "lock", "draft"))
        exists, held, told = await self._link.pipe(
            ("EXISTS", meta), ("EXISTS", lock), ("HMGET", draft, "n", "began", "json")
        )
        if not exists:
            raise records.no_session(key.id)
        return None if held or told[0] is None else _orphan(*told)

    async def logged(self, key: SessionKey, n: int, after: int, wait: float = 0.0) -> Log:
        """See Store."""
        found = await self._read(key, n, after)
        if found.events or not found.live or not wait:
            return found
        name = self._keys.of(key, f"stream:{n}")
        block = milliseconds(wait)
        said = await self._link.call("XREAD", "BLOCK", block, "STREAMS", name, f"{n}-{after}", wait=wait)
        return await self._read(key, n, after) if not said else _log(said[0][1], n, after, held=True)

    async def _read(self, key: SessionKey, n: int, after: int) -> Log:
        stream, lock, draft = (self._keys.of(key, what) for what in (f"stream:{n}", "lock", "draft"))
        entries, newest, held, drafted = await self._link.pipe(
            ("XRANGE", stream, f"({n}-{after}", "+"),
            ("XREVRANGE", stream, "+", "-", "COUNT", 1),
            ("GET", lock),
            ("HGET", draft, "n"),
        )
        if not newest and drafted != str(n).encode():
            raise StreamNotFound(f"There is no stream {key.id}~{n}: it never was, or its log has expired.")
        making = bool(held) and held.startswith(f"{n} ".encode())
        return _log(entries, n, after, held=making and not _log(newest, n, 0, held=False).ended)

    async def live(self, key: SessionKey) -> tuple[int, Draft] | None:
        """See Store."""
        lock, draft = (self._keys.of(key, what) for what in ("lock", "draft"))
        held, (n, told) = await self._link.pipe(("EXISTS", lock), ("HMGET", draft, "n", "json"))
        return (int(n), records.load_draft(told)) if held and n is not None else None

    async def ask_to_stop(self, key: SessionKey, n: int) -> bool:
        """See Store."""
        return bool(await self._link.script("stop", self._keys.session(key), n))


def number_of(event: Event) -> int:
    """Return K of an event's id ``N-K``."""
    return int(event.id.partition("-")[2])


def _kept(hold: Hold) -> int | str:
    return "" if hold.keep is None else hold.keep


def _lost(key: SessionKey) -> FenceLost:
    return FenceLost(f"The session {key.id!r} went on without this turn.")


def _orphan(n: bytes, began: bytes, told: bytes) -> Orphan:
    return Orphan(int(n), int(began) / 1000, records.load_draft(told))


def _log(entries: Sequence[Any], n: int, after: int, *, held: bool) -> Log:
    events: list[Event] = []
    for name, fields in entries:
        last = int(name.partition(b"-")[2])
        events += load_events(fields[b"events"], n, last)
    events = [event for event in events if number_of(event) > after]
    found = Log(tuple(events), held)
    return replace(found, live=False) if found.ended else found
