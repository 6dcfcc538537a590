"""What the refusals of OpenAI-compatible servers mean: by their codes, and by their words where they give none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import AccessRefused, ContentFiltered, ContextTooLong, ModelMissing, ProviderError, QuotaExceeded
from .refusals import Phrase, StreamRefused, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_CODE: Final[dict[str, type[ProviderError]]] = {
    "context_length_exceeded": ContextTooLong,
    "exceed_context_size_error": ContextTooLong,  # llama.cpp, as its type
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "insufficient_quota": QuotaExceeded,
    "billing_hard_limit_reached": QuotaExceeded,
    "billing_not_active": QuotaExceeded,
    "invalid_api_key": AccessRefused,
    "model_not_found": ModelMissing,
}
_TOO_MANY: Final = frozenset({"rate_limit_exceeded", "rate_limit_error"})
"""Codes and types that stand for the status 429 in a stream, whose own status says nothing any more."""

PHRASES: Final = (
    Phrase(
        r"maximum context length is|model's context length is only",
        ContextTooLong,
        "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens "
        "(136000 in the messages, 4000 in the completion). Please reduce the length of the messages or completion.",
        "DeepSeek, and vLLM: https://github.com/vllm-project/vllm/issues/20409",
    ),
    Phrase(
        r"maximum context length is|model's context length is only",
        ContextTooLong,
        "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only "
        "1024 tokens, resulting in a maximum input length of 1014 tokens.",
        "vLLM from 0.16: https://github.com/harbor-framework/harbor/pull/996",
    ),
    Phrase(
        r"prompt \(total length \d+\) is too long",
        ContextTooLong,
        "The prompt (total length 25938) is too long to fit into the model (context length 4096).",
        "vLLM: https://github.com/vllm-project/vllm/issues/12165",
    ),
    Phrase(
        r"maximum prompt length is",
        ContextTooLong,
        "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
        "xAI: https://github.com/cline/cline/issues/3120",
    ),
    Phrase(
        r"too large for model with \d+ maximum context length",
        ContextTooLong,
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        "Mistral, under its code 3051, which is that of other faults too: https://docs.mistral.ai/api/",
    ),
    Phrase(
        r"^trying to keep the first \d+ tokens when|^reached context length of \d+ tokens",
        ContextTooLong,
        "Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded with context "
        "length of only 32768 tokens, which is not enough.",
        "LM Studio: https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/546 (its words in mid-answer: 1024)",
    ),
    Phrase(
        r"`inputs` tokens \+ `max_new_tokens` must be <=",
        ContextTooLong,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. "
        "Given: 2019 `inputs` tokens and 30 `max_new_tokens`",
        "Together, and TGI: https://github.com/stanford-crfm/helm/pull/2079",
    ),
    Phrase(
        r"exceeds the available context size",
        ContextTooLong,
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        "llama.cpp: https://github.com/ggml-org/llama.cpp/pull/15780",
    ),
    # Larger than the account's tokens per minute: no wait makes room for it, a model with a larger allowance may.
    Phrase(
        r"^request too large for",
        ContextTooLong,
        "Request too large for model `llama-3.3-70b-versatile` in organization `org` service tier `on_demand` on "
        "tokens per minute (TPM): Limit 12000, Requested 14137, please reduce your message size and try again.",
        "Groq (413): https://github.com/continuedev/continue/issues/10218, and OpenAI (429): "
        "https://github.com/vanna-ai/vanna-flask/issues/11",
    ),
    Phrase(
        r"insufficient balance|insufficient credits|can only afford",
        QuotaExceeded,
        "Insufficient Balance",
        "DeepSeek: https://api-docs.deepseek.com/quick_start/error_codes",
    ),
    Phrase(
        r"^key limit exceeded",
        QuotaExceeded,
        "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys",
        "OpenRouter (403): https://github.com/MCPJam/inspector/issues/1287",
    ),
    Phrase(
        r"^incorrect api key provided",
        AccessRefused,
        "Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai.",
        "xAI (400): https://github.com/continuedev/continue/issues/10778",
    ),
    Phrase(
        r"content violates usage guidelines",
        ContentFiltered,
        "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
        "xAI (403): https://github.com/UKGovernmentBEIS/inspect_ai/pull/2267",
    ),
    Phrase(
        r"content management policy|content exists risk",
        ContentFiltered,
        "Content Exists Risk",
        "DeepSeek: https://github.com/deepseek-ai/awesome-deepseek-integration/issues/13",
    ),
)
"""An unknown message stays the plain error of its status."""


def error_within(error: object) -> ProviderError:
    """Return the error that a chunk of a stream tells of."""
    return error_of(_status_in(error), {"error": error}, {}, b"")


def _status_in(error: object) -> int | None:
    """Return the status an error inside a stream stands for, None where it names none."""
    fields = error if isinstance(error, dict) else {}
    code = str(fields.get("code"))
    if re.fullmatch(r"[45]\d\d", code):
        return int(code)
    return 429 if {code, str(fields.get("type"))} & _TOO_MANY else None


def error_of(status: int | None, body: dict[str, Any] | None, headers: Mapping[str, str], raw: bytes) -> ProviderError:
    """Return the error by the body's code where it has one we know, else by its words, else by the status.

    Without a status it was told in a stream, and is its sender's fault unless it says otherwise.
    """
    body = body or {}
    said = body.get("error")
    fields = said if isinstance(said, dict) else {**body, "message": said or body.get("message") or body.get("detail")}
    message = fields.get("message")
    message = message if isinstance(message, str) else orjson.dumps(message).decode() if message else ""
    message = message or raw.decode("utf-8", "replace") or (f"status {status}" if status else "no reason was given")
    kind = _BY_CODE.get(str(fields.get("code"))) or _BY_CODE.get(str(fields.get("type")))
    if fields.get("param") == "stream" and status == 400:  # noqa: PLR2004 - OpenAI: the account may not stream this model
        kind = StreamRefused
    if isinstance(metadata := fields.get("metadata"), dict):  # OpenRouter's
        message, headers = _upstream(message, headers, metadata)
        if "flagged_input" in metadata:
            kind = ContentFiltered
    if kind is None and status is None:
        kind = next((phrase.kind for phrase in PHRASES if phrase.fits(message)), None)
    return refusal(message, status or 500, headers, kind=kind, phrases=PHRASES)


def _upstream(message: str, headers: Mapping[str, str], metadata: dict[str, Any]) -> tuple[str, Mapping[str, str]]:
    """Return the message with what the provider behind OpenRouter said, and the headers with those told in the body.

    Source: https://openrouter.ai/docs/api/reference/errors-and-debugging
    """
    raw, told = metadata.get("raw"), metadata.get("headers")
    if isinstance(raw, str) and raw and raw not in message:
        message = f"{message}: {raw}"
    if isinstance(told, dict):
        headers = {**{str(name).lower(): str(value) for name, value in told.items()}, **headers}
    return message, headers
