"""What Cohere's refusals mean: by the few codes it has, by its own statuses, and by its words.

Source: https://docs.cohere.com/reference/errors. It names no wait: neither ``Retry-After`` nor a reset comes with a
429, and the counts of trial keys come with good answers alone
(https://github.com/elastic/elasticsearch, ``CohereResponseHandler``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import (
    ContentFiltered,
    ContextTooLong,
    NoContent,
    ProviderError,
    ProviderFault,
    QuotaExceeded,
)
from .refusals import Phrase, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

# All come with 422, though it is the model that failed, and may not when asked again:
# https://github.com/langchain-ai/langchain-cohere/issues/105
_BY_CODE: Final[dict[str, type[ProviderError]]] = {
    "INVALID_TOOL_GENERATION": ProviderFault,
    "HALLUCINATED_ALL_TOOL_CALLS": ProviderFault,
    "NO_VALID_RESPONSE_GENERATED": NoContent,
}
_BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    498: ContentFiltered,  # against the usage guidelines: https://github.com/cohere-ai/cohere-developer-experience/pull/189
    499: ProviderFault,  # "request cancelled": nobody on this side did
}

PHRASES: Final = (
    # With more words about ``max_tokens`` it is no length of the conversation that is wrong.
    Phrase(
        r"^too many tokens: (?!max tokens)",
        ContextTooLong,
        "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs, or setting "
        "prompt_truncation='AUTO'.",
        "https://docs.cohere.com/reference/errors",
    ),
    Phrase(
        r"limited to \d+ API calls / month",
        QuotaExceeded,
        "You are using a Trial key, which is limited to 1000 API calls / month.",
        "https://docs.cohere.com/docs/rate-limits (the same sentence with / minute is a rate limit)",
    ),
    Phrase(
        r"past the per[- ]month request limit",
        QuotaExceeded,
        "You are past the per-month request limit for this model, please wait and try again later.",
        "https://docs.cohere.com/docs/rate-limits (with the per minute limit it is a rate limit)",
    ),
    Phrase(
        r"^no valid tool call or response generated",
        NoContent,
        "No valid tool call or response generated",
        "https://github.com/cohere-ai/notebooks/issues/237",
    ),
)
"""An unknown message stays the plain error of its status."""


def error_within(body: Mapping[str, Any], otherwise: type[ProviderError]) -> ProviderError:
    """Return the error that an answer tells of in its midst: what its code or words mean, else one of ``otherwise``."""
    message = _message(body) or "The provider told of an error."
    kind = _BY_CODE.get(str(body.get("error_type"))) or next((one.kind for one in PHRASES if one.fits(message)), None)
    return (kind or otherwise)(message, details={"provider": message})


def error_of(status: int, body: Mapping[str, Any] | None, headers: Mapping[str, str], raw: bytes) -> ProviderError:
    """Return the error by the body's code where it has one we know, else by Cohere's statuses, words, and HTTP's own."""
    body = body or {}
    message = _message(body) or raw.decode("utf-8", "replace") or f"status {status}"
    kind = _BY_CODE.get(str(body.get("error_type"))) or _BY_STATUS.get(status)
    return refusal(message, status, headers, kind=kind, phrases=PHRASES)


def _message(body: Mapping[str, Any]) -> str:
    said = body.get("message") or body.get("error") or body.get("detail")
    if isinstance(said, dict) and isinstance(said.get("message"), str):
        said = said["message"]
    return said if isinstance(said, str) else orjson.dumps(said).decode() if said else ""
