"""What Gemini refuses, and why.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting, and google.rpc.Status of
https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ..errors import (
    AccessRefused,
    ContextTooLong,
    ModelMissing,
    ProviderError,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
)
from .refusals import Phrase, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KINDS: Final[dict[str, tuple[int, type[ProviderError] | None]]] = {
    "INVALID_ARGUMENT": (400, None),
    "FAILED_PRECONDITION": (400, None),
    "OUT_OF_RANGE": (400, RequestRefused),
    "UNAUTHENTICATED": (401, AccessRefused),
    "PERMISSION_DENIED": (403, AccessRefused),
    "NOT_FOUND": (404, ModelMissing),
    "RESOURCE_EXHAUSTED": (429, RateLimited),
    "CANCELLED": (499, ProviderFault),
    "INTERNAL": (500, ProviderFault),
    "UNAVAILABLE": (503, ProviderFault),
    "DEADLINE_EXCEEDED": (504, ProviderFault),
}
_REASONS: Final[dict[str, type[ProviderError]]] = {
    "API_KEY_INVALID": AccessRefused,
    "API_KEY_SERVICE_BLOCKED": AccessRefused,
    "BILLING_DISABLED": QuotaExceeded,
}
_DELAY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
PHRASES: Final = (
    Phrase(
        r"input token count .*exceeds the maximum number of tokens",
        ContextTooLong,
        "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
        "https://github.com/google-gemini/gemini-cli/issues/6678",
    ),
)


def error_of(status: int | None, body: dict[str, Any] | None, headers: Mapping[str, str], raw: bytes) -> ProviderError:
    """Return the error that ``body`` tells; ``status`` is None for one in a stream."""
    said = (body or {}).get("error")
    fields = said if isinstance(said, dict) else {}
    known, kind = _KINDS.get(str(fields.get("status")), (500, None))
    told = fields.get("code")
    status = status or (told if isinstance(told, int) else known)
    message = fields.get("message")
    text = message if isinstance(message, str) and message else raw.decode("utf-8", "replace") or f"status {status}"
    given = fields.get("details")
    details = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    kind = _by_reason(details) or kind
    return refusal(text, status, headers, kind=kind, phrases=PHRASES, wait=_wait(details))


def _by_reason(details: Sequence[dict[str, Any]]) -> type[ProviderError] | None:
    """Return what the details say: a key that is none, a bill unpaid, a quota of the whole day."""
    for one in details:
        if known := _REASONS.get(str(one.get("reason"))):
            return known
        violations = one.get("violations")
        for broken in violations if isinstance(violations, list) else ():
            if isinstance(broken, dict) and "PerDay" in str(broken.get("quotaId")):
                return QuotaExceeded
    return None


def _wait(details: Sequence[dict[str, Any]]) -> float | None:
    found = (_DELAY.fullmatch(str(one.get("retryDelay"))) for one in details)
    return next((float(one[1]) for one in found if one), None)
