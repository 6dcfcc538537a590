"""What a dialect is: a provider's wire format as pure functions, and what all of them share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import (
    AccessRefused,
    ModelMissing,
    ProviderError,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..sse import ServerSentEvent
    from ..types import Conversation, Event


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A POST to ``base_url + path``. ``repr`` leaves the headers out: they hold the key."""

    path: str
    body: bytes
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"WireRequest({self.path!r}, {len(self.body)} bytes)"


class StreamDecoder(Protocol):
    """The state of one streamed answer."""

    @property
    def done(self) -> bool:
        """True once the sender's end marker has come: nothing more need be read."""

    @property
    def finished(self) -> bool:
        """True once the answer is known to be whole, though its sender may have a word about it to add."""

    def feed(self, event: ServerSentEvent) -> Sequence[Event]:
        """Return what the event says; raises ProviderError where it reports one."""

    def end(self) -> Sequence[Event]:
        """Return the last events, an Ended at their end; raises StreamBroken where the answer is cut."""


class Dialect(Protocol):
    """A wire format. Holds no state: ``decoder()`` gives a fresh one for each answer."""

    def encode(self, conversation: Conversation, key: str | None) -> WireRequest:
        """Return the request for a streamed answer."""

    def decoder(self) -> StreamDecoder:
        """Return the decoder of one streamed answer."""

    def decode(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole, an Ended at their end; raises ProviderError."""

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Return what an answer with this status (not 2xx) means. Header names are lower-case."""


HTTP_REFUSALS = {
    401: AccessRefused,
    402: QuotaExceeded,
    403: AccessRefused,
    404: ModelMissing,
    408: ProviderFault,  # it waited for us: nothing is wrong with the request, and another try may do
    429: RateLimited,
}


def error_class(status: int) -> type[ProviderError]:
    """Return what a status alone says, for bodies that say no more."""
    if status in HTTP_REFUSALS:
        return HTTP_REFUSALS[status]
    return RequestRefused if 400 <= status < 500 else ProviderFault  # noqa: PLR2004 - HTTP's own classes


_SECONDS: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]+)?")
_LONGEST: Final = 30 * 86400.0  # what is named beyond is no time anybody meant


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds ``Retry-After`` names (RFC 9110, 10.2.3), None where it is absent or unreadable.

    A date is read against the answer's own ``Date``, so that no clock is needed here.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return min(max(0.0, float(value)), _LONGEST)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return min(max(0.0, wait.total_seconds()), _LONGEST)
