"""Several sessions on one connection: what a request says of them, and their feeds as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warp_magics import gateway as core  # for what is loaded when it is first used
from warp_magics.gateway import comment, encode_line, errors, wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from warp_magics.gateway import Gateway, Told

    from .chunks import Put

MOST: Final = 100
"""Sessions that one connection may watch."""
_PING: Final = comment("ping")


def read_sessions(named: Sequence[str]) -> tuple[str, ...]:
    """Return the sessions named, each once; raises InvalidRequest for none and for too many."""
    sessions = tuple(dict.fromkeys(named))
    if not 1 <= len(sessions) <= MOST:
        raise errors.InvalidRequest(f"Name 1 to {MOST} sessions, as ?session=A&session=B.")
    return sessions


def read_after(said: Sequence[str], sessions: Sequence[str]) -> dict[str, str]:
    """Return the last event seen of each session and stream that ``SESSION:ID`` and ``STREAM:ID`` name.

    Raises InvalidRequest for what is neither, or is of none of ``sessions``.
    """
    seen: dict[str, str] = {}
    for one in said:
        source, _, event_id = one.partition(":")
        if not event_id or source.partition("~")[0] not in sessions:
            raise errors.InvalidRequest(f"after={one[:300]!r} is not SESSION:ID or STREAM:ID of a session asked for.")
        seen[source] = event_id
    return seen


async def write(
    gateway: Gateway, owner: str, sessions: Sequence[str], after: Mapping[str, str], put: Put[bytes]
) -> None:
    """Put what happens to ``sessions``, and their answers, as server-sent events; a comment once all are watched."""

    async def tell(told: Told | None) -> None:
        await put(_PING if told is None else _bytes(told))

    await core.merge(gateway, owner, sessions, after, tell)


def _bytes(told: Told) -> bytes:
    return encode_line(wire.json_bytes(told.data), event=told.event, id=told.id)
