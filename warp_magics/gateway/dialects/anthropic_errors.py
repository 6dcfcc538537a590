"""What Anthropic refuses, and why.

Source: https://docs.anthropic.com/en/api/errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import (
    AccessRefused,
    ContentFiltered,
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
    from collections.abc import Mapping

_KINDS: Final[dict[str, tuple[int, type[ProviderError]]]] = {
    "invalid_request_error": (400, RequestRefused),
    "authentication_error": (401, AccessRefused),
    "billing_error": (402, QuotaExceeded),
    "permission_error": (403, AccessRefused),
    "not_found_error": (404, ModelMissing),
    "request_too_large": (413, RequestRefused),
    "rate_limit_error": (429, RateLimited),
    "api_error": (500, ProviderFault),
    "timeout_error": (504, ProviderFault),
    "overloaded_error": (529, ProviderFault),
}
PHRASES: Final = (
    Phrase(
        r"prompt is too long",
        ContextTooLong,
        "prompt is too long: 208310 tokens > 200000 maximum",
        "https://github.com/anthropics/claude-code/issues/12186",
    ),
    Phrase(
        r"exceed context limit",
        ContextTooLong,
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or "
        "`max_tokens` and try again",
        "https://github.com/docker/docker-agent/issues/569",
    ),
    Phrase(
        r"credit balance is too low",
        QuotaExceeded,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
        "purchase credits.",
        "https://github.com/anthropics/claude-quickstarts/issues/229",
    ),
    Phrase(
        r"blocked by content filtering policy",
        ContentFiltered,
        "Output blocked by content filtering policy",
        "https://github.com/anthropics/claude-code/issues/6195",
    ),
)


def error_of(status: int | None, body: dict[str, Any] | None, headers: Mapping[str, str], raw: bytes) -> ProviderError:
    """Return the error that ``body`` tells; ``status`` is None for one in a stream, which has none of its own."""
    said = (body or {}).get("error")
    fields = said if isinstance(said, dict) else {}
    message = fields.get("message")
    known, kind = _KINDS.get(str(fields.get("type")), (500 if status is None else status, None))
    status = known if status is None else status
    text = message if isinstance(message, str) and message else raw.decode("utf-8", "replace") or f"status {status}"
    if status < 500:  # noqa: PLR2004 - its types are coarse: the words may say more
        kind = next((phrase.kind for phrase in PHRASES if phrase.fits(text)), kind)
    return refusal(text, status, headers, kind=kind, phrases=PHRASES)
