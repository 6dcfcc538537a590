"""Every way the gateway can fail. Each class says what follows from it, so that no caller keeps a list of codes.

``retry``: may the same model be asked once more? ``fall_back``: may the next one? ``restore``: the configured length
(CONFIG.md) for which the model is passed over, None where its health is not touched. ``warns``: only a person can mend
it, so the asker is told. Codes keep AI Warp's names where it has one.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Restore = Literal["rate_limit", "timeout", "provider_error", "quota"]


class WarpError(Exception):
    """Base of all; ``message`` is for people, ``details`` for programs, ``retry_after`` in seconds."""

    code: ClassVar[str] = "WARP_ERROR"
    http_status: ClassVar[int] = 500
    retry: ClassVar[bool] = False
    fall_back: ClassVar[bool] = False
    restore: ClassVar[Restore | None] = None
    warns: ClassVar[bool] = False

    def __init__(
        self, message: str, *, retry_after: float | None = None, details: dict[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.details = details or {}


# -- what the caller got wrong ---------------------------------------------------------------------


class InvalidRequest(WarpError):
    """The request cannot be understood or contradicts itself."""

    code = "INVALID_REQUEST"
    http_status = 400


class UnprocessableRequest(InvalidRequest):
    """The body's fields are wrong; ``details`` names each."""

    code = "UNPROCESSABLE_REQUEST"
    http_status = 422


class BodyTooLarge(InvalidRequest):
    """The body is over ``limits.body_size``."""

    code = "BODY_TOO_LARGE"
    http_status = 413


class InvalidSessionId(InvalidRequest):
    """A session id holds a character or has a length that is not allowed."""

    code = "INVALID_SESSION_ID"


class UnknownModel(InvalidRequest):
    """A model was named that no configured provider has, or that ``allow`` refuses."""

    code = "MODEL_PROVIDER_NOT_FOUND_ERROR"


class SessionNotFound(WarpError):
    """No such session for this owner."""

    code = "SESSION_NOT_FOUND"
    http_status = 404


class NotFound(WarpError):
    """No such path."""

    code = "NOT_FOUND"
    http_status = 404


class SessionBusy(WarpError):
    """Another turn kept the session longer than ``limits.session_wait``."""

    code = "SESSION_BUSY"
    http_status = 409


class SessionExists(WarpError):
    """A session was to be made under an id that is taken."""

    code = "SESSION_EXISTS"
    http_status = 409


class TurnNotFound(WarpError):
    """The session has no such turn, in no branch either."""

    code = "TURN_NOT_FOUND"
    http_status = 404


class BranchNotFound(WarpError):
    """The session has no such branch."""

    code = "BRANCH_NOT_FOUND"
    http_status = 404


class StreamNotFound(WarpError):
    """No such stream for this owner, or its log has expired."""

    code = "STREAM_NOT_FOUND"
    http_status = 404


# -- what is wrong on this side --------------------------------------------------------------------


class ConfigError(WarpError):
    """The configuration is wrong; the message gives the path of the fault and what is allowed."""

    code = "AI_OPTIONS_ERROR"


class NoModelConfigured(WarpError):
    """No provider has a key; says how to add one."""

    code = "NO_MODEL_CONFIGURED"
    http_status = 503


class StoreUnavailable(WarpError):
    """The store did not answer, or not in time."""

    code = "STORAGE_UNAVAILABLE"
    http_status = 503


class FenceLost(WarpError):
    """This turn's hold on its session ran out and another turn has it: nothing was written."""

    code = "SESSION_FENCE_LOST"
    http_status = 409


class Interrupted(WarpError):
    """Who was making an answer is gone; what had come of it is kept."""

    code = "INTERRUPTED"
    http_status = 502


class GatewayUnreachable(WarpError):
    """The gateway of this process is elsewhere and does not answer."""

    code = "GATEWAY_UNREACHABLE"
    http_status = 503


class GatewayRefused(WarpError):
    """The gateway elsewhere knows neither us nor our token."""

    code = "GATEWAY_REFUSED"
    http_status = 401


class ShuttingDown(WarpError):
    """The gateway is closing."""

    code = "SHUTTING_DOWN"
    http_status = 503


# -- what a provider did ---------------------------------------------------------------------------


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

    code = "PROVIDER_RATE_LIMIT_ERROR"
    http_status = 429
    retry = True
    fall_back = True
    restore = "rate_limit"


class QuotaExceeded(ProviderError):
    """The account is out of credit or quota: waiting a minute does not help."""

    code = "PROVIDER_EXCEEDED_QUOTA_ERROR"
    fall_back = True
    restore = "quota"


class AccessRefused(ProviderError):
    """401 or 403: the key is wrong or may not use this model."""

    code = "PROVIDER_ACCESS_ERROR"
    fall_back = True
    restore = "provider_error"
    warns = True


class ModelMissing(ProviderError):
    """404: the provider has no such model; the configuration's fault, so the model is out."""

    code = "PROVIDER_MODEL_NOT_FOUND_ERROR"
    fall_back = True
    restore = "provider_error"
    warns = True


class RequestRefused(ProviderError):
    """The provider refused the request itself (400, 413, 422): no model's health is touched."""

    code = "PROVIDER_REQUEST_ERROR"
    http_status = 400


class ContextTooLong(ProviderError):
    """The conversation is longer than this model takes; another may take it."""

    code = "PROVIDER_CONTEXT_LENGTH_ERROR"
    http_status = 400
    fall_back = True


class ContentFiltered(ProviderError):
    """The provider refused the content; no other model is asked."""

    code = "CONTENT_FILTERED"
    http_status = 422


class ConnectTimeout(ProviderError):
    """No connection within ``timeout.connect``."""

    code = "PROVIDER_CONNECT_TIMEOUT_ERROR"
    http_status = 504
    retry = True
    fall_back = True
    restore = "timeout"


class FirstTokenTimeout(ProviderError):
    """Nothing of an answer within ``timeout.first_token``."""

    code = "PROVIDER_REQUEST_TIMEOUT_ERROR"
    http_status = 504
    fall_back = True
    restore = "timeout"


class TotalTimeout(ProviderError):
    """The whole answer took longer than ``timeout.total`` or the request's own timeout."""

    code = "PROVIDER_TOTAL_TIMEOUT_ERROR"
    http_status = 504


class StreamBroken(ProviderError):
    """The answer broke off: cut before its end, or silent for ``timeout.stall``."""

    code = "PROVIDER_REQUEST_END_ERROR"
    retry = True
    fall_back = True
    restore: ClassVar[Restore | None] = "provider_error"


class StreamStalled(StreamBroken):
    """No event for ``timeout.stall`` after the answer had begun."""

    code = "PROVIDER_REQUEST_STREAM_TIMEOUT_ERROR"
    http_status = 504
    restore = "timeout"


class NoContent(ProviderFault):
    """The provider ended an answer that holds nothing."""

    code = "PROVIDER_RESPONSE_NO_CONTENT"


class OwnLimit(ProviderError):
    """This gateway's own limit for the model: it is passed over until the window has room."""

    code = "RATE_LIMIT_EXCEEDED"
    http_status = 429
    fall_back = True


class NoModelsAvailable(ProviderError):
    """Every model of the chain failed or is passed over; ``details["route"]`` tells each."""

    code = "PROVIDER_NO_MODELS_AVAILABLE_ERROR"
    http_status = 503


def told(code: str, message: str, *, retry_after: float | None, details: dict[str, object] | None) -> WarpError:
    """Return the error that another process or a log tells of; one of no known ``code`` is a WarpError."""
    kind = _by_code(WarpError).get(code)
    if kind is None:
        return WarpError(message, retry_after=retry_after, details={"code": code, **(details or {})})
    return kind(message, retry_after=retry_after, details=details)


def _by_code(kind: type[WarpError]) -> dict[str, type[WarpError]]:
    """Return the classes by code; of a class and a kind of it that share one, the class."""
    found: dict[str, type[WarpError]] = {}
    for below in kind.__subclasses__():
        found |= _by_code(below)
    return found | {kind.code: kind}
