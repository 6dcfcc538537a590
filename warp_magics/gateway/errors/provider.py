"""What a provider did."""

from __future__ import annotations

from typing import ClassVar

from .base import Restore, WarpError


class ProviderError(WarpError):
    """A try at a model failed. ``status`` is the provider's HTTP status where there was one."""

    code = "PROVIDER_RESPONSE_ERROR"
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after, details=details)
        self.status = status


class ProviderUnreachable(ProviderError):
    """No connection: refused, reset, DNS, TLS, or a proxy in between."""

    brief = "unreachable"
    code = "PROVIDER_UNREACHABLE_ERROR"
    retry = True
    fall_back = True
    restore = "provider_error"


class ProviderFault(ProviderError):
    """The provider's own fault: a 5xx, or a body that is no answer."""

    retry = True
    fall_back = True
    restore = "provider_error"


class RateLimited(ProviderError):
    """The provider's rate limit, for a while."""

    brief = "rate limit"
    code = "PROVIDER_RATE_LIMIT_ERROR"
    http_status = 429
    retry = True
    fall_back = True
    restore = "rate_limit"


class QuotaExceeded(ProviderError):
    """The account is out of credit or quota: waiting a minute does not help."""

    brief = "out of quota"
    code = "PROVIDER_EXCEEDED_QUOTA_ERROR"
    lasts = True
    fall_back = True
    restore = "quota"


class AccessRefused(ProviderError):
    """401 or 403: the key is wrong or may not use this model."""

    brief = "access refused"
    code = "PROVIDER_ACCESS_ERROR"
    lasts = True
    fall_back = True
    restore = "provider_error"
    warns = True


class ModelMissing(ProviderError):
    """404: the provider has no such model; the configuration's fault, so the model is out."""

    brief = "no such model"
    code = "PROVIDER_MODEL_NOT_FOUND_ERROR"
    lasts = True
    fall_back = True
    restore = "provider_error"
    warns = True


class RequestRefused(ProviderError):
    """The provider refused the request itself (400, 413, 422): no model's health is touched."""

    brief = "refused the request"
    code = "PROVIDER_REQUEST_ERROR"
    http_status = 400


class NotSayable(ProviderError):
    """The request cannot be written in this model's format; another may take it."""

    brief = "cannot be put so"
    code = "PROVIDER_FORMAT_ERROR"
    http_status = 400
    fall_back = True


class ContextTooLong(ProviderError):
    """The conversation is longer than this model takes; another may take it."""

    brief = "prompt too long"
    code = "PROVIDER_CONTEXT_LENGTH_ERROR"
    http_status = 400
    fall_back = True


class ContentFiltered(ProviderError):
    """The provider refused the content; no other model is asked."""

    brief = "filtered"
    code = "CONTENT_FILTERED"
    http_status = 422


class ConnectTimeout(ProviderError):
    """No connection within ``timeout.connect``."""

    brief = "no connection in time"
    code = "PROVIDER_CONNECT_TIMEOUT_ERROR"
    http_status = 504
    retry = True
    fall_back = True
    restore = "timeout"


class FirstTokenTimeout(ProviderError):
    """Nothing of an answer within ``timeout.first_token``."""

    brief = "no answer in time"
    code = "PROVIDER_REQUEST_TIMEOUT_ERROR"
    http_status = 504
    fall_back = True
    restore = "timeout"


class TotalTimeout(ProviderError):
    """The whole answer took longer than ``timeout.total`` or the request's own timeout."""

    brief = "took too long"
    code = "PROVIDER_TOTAL_TIMEOUT_ERROR"
    http_status = 504


class StreamBroken(ProviderError):
    """The answer broke off: cut before its end, or silent for ``timeout.stall``."""

    brief = "broke off"
    code = "PROVIDER_REQUEST_END_ERROR"
    retry = True
    fall_back = True
    restore: ClassVar[Restore | None] = "provider_error"


class StreamStalled(StreamBroken):
    """No event for ``timeout.stall`` after the answer had begun."""

    brief = "fell silent"
    code = "PROVIDER_REQUEST_STREAM_TIMEOUT_ERROR"
    http_status = 504
    restore = "timeout"


class NoContent(ProviderFault):
    """The provider ended an answer that holds nothing."""

    brief = "said nothing"
    code = "PROVIDER_RESPONSE_NO_CONTENT"


class OwnLimit(ProviderError):
    """This gateway's own limit for the model: it is passed over until the window has room."""

    brief = "own limit reached"
    code = "RATE_LIMIT_EXCEEDED"
    http_status = 429
    fall_back = True


class NoModelsAvailable(ProviderError):
    """Every model of the chain failed or is passed over; ``details["route"]`` tells each."""

    brief = "nobody could answer"
    code = "PROVIDER_NO_MODELS_AVAILABLE_ERROR"
    http_status = 503
