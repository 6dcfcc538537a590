"""Turns as stored JSON (snake_case, a version in each), and words the back ends share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final, TypeVar

import orjson

from ..errors import SessionNotFound
from ..types import Attempt, Call, Result, Source, Turn, Usage

VERSION: Final = 1
_TITLE: Final = 60
_T = TypeVar("_T", Attempt, Call, Source, Usage)


def title_of(prompt: str) -> str:
    """Return the session's title that its first prompt gives: one line, at most 60 characters."""
    line = " ".join(prompt.split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1].rstrip() + "…"


def no_session(session_id: str) -> SessionNotFound:
    """Return the error for a session that is not there."""
    return SessionNotFound(
        f"There is no session {session_id!r}: nothing was asked in it yet, or its store was emptied. "
        "Over REST, createSession: true begins it."
    )


def dump(turn: Turn) -> bytes:
    """Return ``turn`` as JSON."""
    return orjson.dumps({"v": VERSION, **asdict(turn)})


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
    )


def _made(kind: type[_T], fields: dict[str, Any]) -> _T:
    known = kind.__dataclass_fields__
    return kind(**{name: value for name, value in fields.items() if name in known})
