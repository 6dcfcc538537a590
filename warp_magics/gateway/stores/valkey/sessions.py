"""Sessions in Valkey: their descriptions, turns, branches and feeds."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from ...errors import BranchNotFound, InvalidRequest, SessionExists
from ...types import Page, SessionEvent, SessionKey
from .. import records
from ..base import Limb, Tree
from .keys import milliseconds
from .turns import Listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...types import Session, Turn
    from ..base import Graft, Lives

_FEED_SECONDS: Final = 60.0  # how long a deleted session's feed tells of it
_FEED_ID: Final = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
_SCORE: Final = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)
_ALL: Final = (0, -1)


class SessionVerbs(Listing):
    """The verbs of Store about sessions."""

    async def turns(self, key: SessionKey, branch: int | None = None, last: int | None = None) -> tuple[Turn, ...]:
        """See Store."""
        newest = _ALL if last is None else (0, last - 1)  # the newest stands first
        what = "turns" if branch is None else f"branch:{branch}"
        exists, found = await self._link.pipe(
            ("EXISTS", self._keys.of(key, "meta")), ("LRANGE", self._keys.of(key, what), *newest)
        )
        if not exists:
            raise records.no_session(key.id)
        if branch is not None and not found:
            raise BranchNotFound(f"The session {key.id!r} has no branch {branch}.")
        return _turns(found)

    async def session(self, key: SessionKey) -> Session:
        """See Store."""
        (found,) = await self._described([key])
        if found is None:
            raise records.no_session(key.id)
        meta, session = found
        branches = records.branches(meta)
        sizes = await self._link.pipe(*(("LLEN", self._keys.of(key, f"branch:{one.number}")) for one in branches))
        sized = (replace(one, turns=size) for one, size in zip(branches, sizes, strict=True))
        return replace(session, branches=tuple(sized))

    async def sessions(self, owner: str, limit: int, cursor: str | None = None) -> Page:
        """See Store. The index is a hint: what has expired is taken out of it here."""
        await self._all_noted()
        index = self._keys.index(owner)
        score, last = _cursor(cursor)
        listed: list[Session] = []
        while True:
            rows = await self._rows(index, score, last, limit + 1 - len(listed))
            if not rows:
                return Page(tuple(listed))
            described = await self._described([SessionKey(owner, name) for name, _ in rows])
            gone = [name for (name, _), one in zip(rows, described, strict=True) if one is None]
            if gone:
                await self._link.call("ZREM", index, *gone)
            for (name, when), one in zip(rows, described, strict=True):
                if one is not None and len(listed) == limit:
                    return Page(tuple(listed), f"{score}:{last}")
                score, last = when, name
                if one is not None:
                    listed.append(one[1])

    async def _rows(self, index: str, score: str, last: str | None, most: int) -> list[tuple[str, str]]:
        """Return names and scores behind the last one told; of one moment the later name comes first."""
        skipped = 0
        while True:
            bounds = (score, "-inf", "WITHSCORES", "LIMIT", skipped, most)
            said = await self._link.call("ZREVRANGEBYSCORE", index, *bounds)
            rows = [(name.decode(), when.decode()) for name, when in zip(said[::2], said[1::2], strict=True)]
            fresh = [row for row in rows if last is None or float(row[1]) != float(score) or row[0] < last]
            if fresh or not rows:
                return fresh
            skipped += len(rows)

    async def _described(self, keys: Sequence[SessionKey]) -> list[tuple[Mapping[bytes, bytes], Session] | None]:
        commands = [
            command
            for key in keys
            for command in (
                ("HGETALL", self._keys.of(key, "meta")),
                ("PEXPIRETIME", self._keys.of(key, "meta")),
                ("LLEN", self._keys.of(key, "turns")),
                ("EXISTS", self._keys.of(key, "lock")),
                ("HMGET", self._keys.of(key, "draft"), "n", "turn", "prompt"),
            )
        ]
        said = await self._link.pipe(*commands)
        each = len(commands) // len(keys)
        rows = zip(keys, *(said[at::each] for at in range(each)), strict=True)
        return [
            (meta, records.described(key, meta, expires, size, _live(held, draft))) if meta else None
            for key, meta, expires, size, held, draft in rows
        ]

    async def create(
        self,
        key: SessionKey,
        lives: Lives,
        *,
        title: str = "",
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
        turns: Sequence[Turn] = (),
    ) -> Session:
        """See Store."""
        own = "" if ttl is None else milliseconds(ttl)
        kept = orjson.dumps(metadata) if metadata else ""
        args: list[str | float | bytes] = [milliseconds(lives.session), title, own, kept]
        args += [max((turn.n for turn in turns), default=0), len(turns), *map(records.dump, turns)]
        made = await self._link.script("create", self._keys.session(key), *args, *records.counts(turns))
        if not made:
            raise SessionExists(f"There is a session {key.id!r} already.")
        return await self._listed(key)

    async def update(
        self,
        key: SessionKey,
        lives: Lives,
        *,
        title: str | None = None,
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Store."""
        fields: dict[str, str | int | bytes] = {}
        if title is not None:
            fields["title"] = title
        if ttl is not None:
            fields["ttl"] = milliseconds(ttl)
        if metadata is not None:
            fields["metadata"] = orjson.dumps(metadata)
        pairs = [part for pair in fields.items() for part in pair]
        if not await self._link.script("update", self._keys.session(key), milliseconds(lives.session), *pairs):
            raise records.no_session(key.id)
        return await self._listed(key)

    async def _listed(self, key: SessionKey) -> Session:
        session = await self.session(key)
        await self._hint(("ZADD", self._keys.index(key.owner), session.updated_at, key.id))
        return session

    async def delete(self, key: SessionKey) -> None:
        """See Store."""
        if not await self._link.script("delete", self._keys.session(key), milliseconds(_FEED_SECONDS)):
            raise records.no_session(key.id)
        self._known.forget(key)
        self._used.get(key.owner, {}).pop(key.id, None)
        await self._hint(("ZREM", self._keys.index(key.owner), key.id))

    async def tree(self, key: SessionKey) -> Tree:
        """See Store."""
        meta, main = await self._link.pipe(
            ("HGETALL", self._keys.of(key, "meta")), ("LRANGE", self._keys.of(key, "turns"), *_ALL)
        )
        if not meta:
            raise records.no_session(key.id)
        found = records.branches(meta)
        lists = await self._link.pipe(*(("LRANGE", self._keys.of(key, f"branch:{one.number}"), *_ALL) for one in found))
        limbs = tuple(
            Limb(one.number, one.after, one.created_at, _turns(turns)) for one, turns in zip(found, lists, strict=True)
        )
        return Tree(int(meta[b"version"]), _turns(main), limbs, int(meta.get(b"newest branch", 0)) + 1)

    async def graft(self, key: SessionKey, version: int, change: Graft, lives: Lives) -> bool:
        """See Store."""
        args: list[str | int | bytes] = [version, milliseconds(lives.session), change.keep, len(change.add)]
        args += map(records.dump, change.add)
        for limb in change.branches:
            args += [limb.number, limb.after or "", round(limb.created_at * 1000), len(limb.turns)]
            args += map(records.dump, limb.turns)
        return bool(await self._link.script("graft", self._keys.session(key), *args))

    async def feed(self, key: SessionKey, after: str | None, wait: float = 0.0) -> tuple[tuple[SessionEvent, ...], str]:
        """See Store."""
        name, meta = self._keys.of(key, "events"), self._keys.of(key, "meta")
        if after is None:
            exists, newest = await self._link.pipe(("EXISTS", meta), ("XREVRANGE", name, "+", "-", "COUNT", 1))
            if not exists:
                raise records.no_session(key.id)
            return (), newest[0][0].decode() if newest else "0-0"
        if not _FEED_ID.fullmatch(after):
            raise InvalidRequest(f"{after[:40]!r} is no id of a session's event.")
        exists, entries = await self._link.pipe(("EXISTS", meta), ("XRANGE", name, f"({after}", "+"))
        if not exists and not entries:
            raise records.no_session(key.id)
        if not entries and wait:
            said = await self._link.call("XREAD", "BLOCK", milliseconds(wait), "STREAMS", name, after, wait=wait)
            entries = said[0][1] if said else []
        events = tuple(_event(key, *entry) for entry in entries)
        return events, events[-1].id if events else after


def _turns(found: Sequence[bytes]) -> tuple[Turn, ...]:
    return tuple(records.load(one) for one in reversed(found))


def _live(held: int, draft: Sequence[bytes | None]) -> tuple[str, str, str] | None:
    """Return number, id and prompt of the turn that is being answered: one whose lock is gone has nobody who does."""
    n, turn_id, prompt = draft
    return (n.decode(), turn_id.decode(), (prompt or b"").decode()) if held and n and turn_id else None


def _event(key: SessionKey, name: bytes, fields: Mapping[bytes, bytes]) -> SessionEvent:
    told: dict[str, Any] = {name.decode(): value.decode() for name, value in fields.items()}
    stream = f"{key.id}~{told['n']}" if "n" in told else None
    return SessionEvent(told["kind"], key.id, name.decode(), stream, told.get("turn"), told.get("status"))


def _cursor(cursor: str | None) -> tuple[str, str | None]:
    if cursor is None:
        return "+inf", None
    score, colon, last = cursor.partition(":")
    if not (colon and _SCORE.fullmatch(score)):
        raise InvalidRequest("The cursor is none that a list of sessions gave.")
    return score, last
