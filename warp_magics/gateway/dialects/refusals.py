"""What providers' refusals mean, as far as all of them agree: statuses, waits, and words where a code is lacking."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

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
    from collections.abc import Iterable, Mapping

_TOO_MANY: Final = 429
HTTP_REFUSALS: Final = {
    401: AccessRefused,
    402: QuotaExceeded,
    403: AccessRefused,
    404: ModelMissing,
    408: ProviderFault,  # it waited for us: nothing is wrong with the request, and another try may do
    _TOO_MANY: RateLimited,
}


class StreamRefused(RequestRefused):
    """The model answers, but not as a stream: it is to be asked for its answer in one piece."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence that stands for a code which its sender does not give: ``source`` says where ``sample`` was seen."""

    pattern: str
    kind: type[ProviderError]
    sample: str
    source: str

    def fits(self, message: str) -> bool:
        """Return whether ``message`` says so."""
        return re.search(self.pattern, message, re.IGNORECASE) is not None


def error_class(status: int) -> type[ProviderError]:
    """Return what a status alone says, for bodies that say no more."""
    if status in HTTP_REFUSALS:
        return HTTP_REFUSALS[status]
    return RequestRefused if 400 <= status < 500 else ProviderFault  # noqa: PLR2004 - HTTP's own classes


def refusal(
    message: str,
    status: int,
    headers: Mapping[str, str],
    *,
    kind: type[ProviderError] | None = None,
    phrases: Iterable[Phrase] = (),
    wait: float | None = None,
) -> ProviderError:
    """Return the error a provider sent: of ``kind`` where its code says so, else by its words, else by its status.

    ``wait`` is the time in seconds that its body names; its headers go before.
    """
    if kind is None and status < 500:  # noqa: PLR2004 - what a server says of its own faults is no judgement of ours
        kind = next((phrase.kind for phrase in phrases if phrase.fits(message)), None)
    kind = kind or error_class(status)
    windows = limits(headers)
    after = retry_after(headers)
    if after is None and wait is not None:
        after = min(max(0.0, wait), _LONGEST)
    if after is None and status == _TOO_MANY:
        spent = [left["reset"] for left in windows.values() if left.get("remaining") == 0 and "reset" in left]
        after = max(spent, default=None)
    details: dict[str, object] = {"provider": message}
    if windows:
        details["limits"] = windows
    return kind(message, status=status, retry_after=after, details=details)


_SECONDS: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]+)?")
_LONGEST: Final = 30 * 86400.0  # what is named beyond is no time anybody meant


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds ``Retry-After`` names (RFC 9110, 10.2.3), None where it is absent or unreadable.

    ``retry-after-ms``, which OpenAI sends beside it, is finer and goes first. A date is read against the
    answer's own ``Date``, so that no clock is needed here.
    """
    fine = headers.get("retry-after-ms", "").strip()
    if _SECONDS.fullmatch(fine):
        return min(max(0.0, float(fine) / 1000), _LONGEST)
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


# OpenAI, Groq, Together and xAI write "x-ratelimit-remaining-tokens", OpenRouter without the last word,
# Anthropic "anthropic-ratelimit-input-tokens-remaining".
_LIMIT: Final = re.compile(
    r"(?:x-ratelimit-(?P<field>limit|remaining|reset)(?:-(?P<window>[a-z-]+))?"
    r"|anthropic-ratelimit-(?P<window2>[a-z-]+)-(?P<field2>limit|remaining|reset))"
)
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|h|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_EPOCH: Final = 1e9
_EPOCH_MS: Final = 1e12


def limits(headers: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return what the headers tell of the provider's windows: ``{"tokens": {"limit", "remaining", "reset"}}``.

    ``reset`` is in seconds from the answer's own ``Date``. What cannot be read is left out.
    """
    windows: dict[str, dict[str, float]] = {}
    for name, value in headers.items():
        found = _LIMIT.fullmatch(name)
        if found is None:
            continue
        field = found["field"] or found["field2"]
        number = _reset(value.strip(), headers) if field == "reset" else _number(value.strip())
        if number is not None:
            windows.setdefault(found["window"] or found["window2"] or "requests", {})[field] = number
    return windows


def _number(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text) else None


def _reset(text: str, headers: Mapping[str, str]) -> float | None:
    """Return the seconds until a time written as a duration (``1m30s``), seconds, a Unix time or RFC 3339."""
    number = _number(text)
    parts = _PART.findall(text)
    if number is None and parts and "".join(map("".join, parts)) == text:
        return min(sum(float(much) * _UNITS[unit] for much, unit in parts), _LONGEST)
    if number is not None and number < _EPOCH:
        return min(max(0.0, number), _LONGEST)
    try:
        if number is not None:
            when = datetime.fromtimestamp(number / 1000 if number >= _EPOCH_MS else number, UTC)
        else:
            when = datetime.fromisoformat(text)
        wait = (when - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return min(max(0.0, wait), _LONGEST)
