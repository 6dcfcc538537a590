"""Turns as stored JSON (snake_case, a version in each), and words the back ends share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import orjson

from ..errors import SessionNotFound
from ..types import (
    Attachment,
    Attempt,
    Branch,
    Call,
    Result,
    Session,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    UsageRow,
)
from .base import Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..types import Event, SessionKey

VERSION: Final = 1
_TITLE: Final = 60
USAGE: Final = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_T = TypeVar("_T", Attachment, Attempt, Call, Source, ToolResult, Usage)


def title_of(prompt: str) -> str:
    """Return the session's title that its first prompt gives: one line, at most 60 characters."""
    line = " ".join(prompt.split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1].rstrip() + "…"


def no_session(session_id: str) -> SessionNotFound:
    """Return the error for a session that is not there."""
    return SessionNotFound(
        f"There is no session {session_id!r}: nothing was asked in it yet, or its store was emptied. "
        "The first prompt in it begins it; over REST, one with createSession: true."
    )


def dump(turn: Turn) -> bytes:
    """Return ``turn`` as JSON."""
    return b'{"v":%d,%b' % (VERSION, orjson.dumps(turn)[1:])


def load(data: bytes) -> Turn:
    """Return the turn that ``dump`` wrote, in this version or an older one; fields of a newer one are left out."""
    raw: dict[str, Any] = orjson.loads(data)
    return Turn(
        id=raw["id"],
        n=raw["n"],
        prompt=raw["prompt"],
        response=raw["response"],
        status=raw["status"],
        result=Result(raw["result"]),
        model=raw["model"],
        started_at=raw["started_at"],
        ended_at=raw["ended_at"],
        route=tuple(_made(Attempt, one) for one in raw["route"]),
        usage=_made(Usage, raw["usage"]),
        cost=raw["cost"],
        first_token=raw["first_token"],
        tool_calls=tuple(_made(Call, one) for one in raw["tool_calls"]),
        source=_made(Source, raw["source"]),
        error=raw["error"],
        attachments=tuple(_made(Attachment, one) for one in raw.get("attachments", ())),
        tool_results=tuple(_made(ToolResult, one) for one in raw.get("tool_results", ())),
    )


def has_word(events: Iterable[Event]) -> bool:
    """Return whether an answer has begun in ``events``: with its first word, or the first tool it calls."""
    return any(isinstance(event, Text | ToolCall) for event in events)


def dump_draft(draft: Draft) -> bytes:
    """Return ``draft`` as JSON."""
    return orjson.dumps(draft)


def load_draft(data: bytes) -> Draft:
    """Return the draft that ``dump_draft`` wrote, in this version or an older one."""
    raw: dict[str, Any] = orjson.loads(data)
    return Draft(
        turn_id=raw["turn_id"],
        prompt=raw["prompt"],
        source=_made(Source, raw["source"]),
        attachments=tuple(_made(Attachment, one) for one in raw.get("attachments", ())),
        tool_results=tuple(_made(ToolResult, one) for one in raw.get("tool_results", ())),
        continues=raw.get("continues"),
    )


def _made(kind: type[_T], fields: dict[str, Any]) -> _T:
    known = kind.__dataclass_fields__
    return kind(**{name: value for name, value in fields.items() if name in known})


def counts(turns: Sequence[Turn], before: Turn | None = None) -> list[str | int | float]:
    """Return what ``turns`` add to their session's counters: field, increment, field, increment, ...

    Less what they have from ``before``, with which the last of them goes on.
    """
    told: dict[str, int | float] = {}
    for turn in turns:
        for name in USAGE:
            told[name] = told.get(name, 0) + getattr(turn.usage, name)
        if turn.cost is not None:
            told["cost"] = told.get("cost", 0.0) + turn.cost
        if turn.model:
            told[f"model {turn.model}"] = told.get(f"model {turn.model}", 0) + 1
            told["unpriced"] = told.get("unpriced", 0) + (turn.cost is None)
    if before is not None:
        for name in USAGE:
            told[name] -= getattr(before.usage, name)
        if before.cost is not None:
            told["cost"] = told.get("cost", 0.0) - before.cost
        elif before.model:
            told["unpriced"] = told.get("unpriced", 0) - 1
    return [part for pair in told.items() for part in pair]


def month_of(when: float) -> str:
    """Return the month, as YYYY-MM, of Unix seconds."""
    return day_of(when)[:7]


def day_of(when: float) -> str:
    """Return the day in UTC, as YYYY-MM-DD, of Unix seconds."""
    return datetime.fromtimestamp(when, UTC).date().isoformat()


def added(turn: Turn) -> dict[str, int | float]:
    """Return what ``turn`` adds to its owner's counters of the month: ``DAY MODEL FIELD`` to increment."""
    told: dict[str, int | float] = {"answers": 1, **{name: getattr(turn.usage, name) for name in USAGE}}
    told |= {"unpriced": 1} if turn.cost is None else {"cost": turn.cost}
    place = f"{day_of(turn.started_at)} {turn.model}"
    return {f"{place} {name}": amount for name, amount in told.items() if amount}


def usage_rows(months: Iterable[Mapping[str, float]], by: Literal["model", "day"]) -> list[UsageRow]:
    """Return the counters that ``added`` told of, summed up by model or by day, the newest day first."""
    sums: dict[str, dict[str, float]] = {}
    for month in months:
        for field, amount in month.items():
            day, _, rest = field.partition(" ")
            model, _, name = rest.rpartition(" ")
            row = sums.setdefault(model if by == "model" else day, {})
            row[name] = row.get(name, 0) + amount
    rows = [_usage_row(key, row) for key, row in sums.items()]
    return sorted(rows, key=lambda row: row.key, reverse=by == "day")


def _usage_row(key: str, row: Mapping[str, float]) -> UsageRow:
    usage = Usage(*(int(row.get(name, 0)) for name in USAGE))
    return UsageRow(key, int(row.get("answers", 0)), usage, row.get("cost"), int(row.get("unpriced", 0)))


def described(
    key: SessionKey, meta: Mapping[bytes, bytes], expires_ms: int, turns: int, live: tuple[str, str, str] | None
) -> Session:
    """Return the description that a session's hash in Valkey holds, without branches.

    ``live`` is number, id and prompt of the turn that is being answered.
    """
    told = {name.decode(): value for name, value in meta.items()}
    return Session(
        key=key,
        turns=turns,
        created_at=int(told["created"]) / 1000,
        updated_at=int(told["updated"]) / 1000,
        expires_at=expires_ms / 1000,
        title=told.get("title", b"").decode(),
        models=tuple(sorted(name.removeprefix("model ") for name in told if name.startswith("model "))),
        usage=Usage(*(int(told.get(name, 0)) for name in USAGE)),
        cost=float(told["cost"]) if "cost" in told else None,
        ttl=int(told["ttl"]) / 1000 if "ttl" in told else None,
        metadata=orjson.loads(told["metadata"]) if "metadata" in told else {},
        live_stream_id=f"{key.id}~{live[0]}" if live else None,
        live_turn_id=live[1] if live else None,
        live_prompt=live[2] if live else None,
        unpriced=int(told.get("unpriced", 0)),
    )


def branches(meta: Mapping[bytes, bytes]) -> list[Branch]:
    """Return the branches that a session's hash names, without how many turns they have."""
    found = []
    for number in meta.get(b"branches", b"").split():
        created, _, after = meta[b"branch " + number].decode().partition(" ")
        found.append(Branch(int(number), after or None, 0, int(created) / 1000))
    return found
