"""What comes in at a path and what goes out, whichever server carries it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from warp_magics.gateway import errors, wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .chunks import Chunks

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose user is known; ``owner`` is None for a stranger on an open path.

    The names of ``headers`` are in lower case; a name of ``query`` has each value that was given.
    """

    owner: str | None
    body: bytes = b""
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def known_owner(self) -> str:
        """Return the owner on a path that only users reach."""
        if self.owner is None:
            raise AssertionError("a path that needs a user was reached without one")
        return self.owner

    def asked(self, name: str) -> str | None:
        """Return the first value of ``name`` in the query."""
        return next(iter(self.query.get(name, ())), None)

    def number(self, name: str) -> int | None:
        """Return the number ``name`` of the query; raises InvalidRequest for what is none."""
        said = self.asked(name)
        if said is not None and not re.fullmatch("[0-9]{1,9}", said):
            raise errors.InvalidRequest(f"{name} is to be a whole number, not {said[:40]!r}.")
        return None if said is None else int(said)

    def prefers(self, preference: str) -> bool:
        """Return whether the header ``Prefer`` (RFC 7240) names ``preference``."""
        said = _QUOTED.sub("", self.headers.get("prefer", ""))
        return preference in {re.split("[;=]", one)[0].strip().lower() for one in said.split(",")}

    @property
    def last_event_id(self) -> str | None:
        """What the reader of a stream has seen last, by its header or else by ``?after=``."""
        return self.headers.get("last-event-id") or self.asked("after") or None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: JSON, or bytes that go out as they are under a content-type of their own; None is an empty body."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events; close ``chunks`` when the reader leaves."""

    headers: Mapping[str, str]
    chunks: Chunks[Any]


def error_response(error: errors.WarpError) -> Response:
    """Return an error's body, status and ``Retry-After``."""
    headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    return Response(wire.error_json(error), error.http_status, headers)
