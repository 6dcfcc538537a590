"""What is wrong with a request, or on this side."""

from __future__ import annotations

from .base import WarpError

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
    lasts = True


class NoModelConfigured(WarpError):
    """No provider has a key; says how to add one."""

    code = "NO_MODEL_CONFIGURED"
    lasts = True
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


class ServerRefused(WarpError):
    """The gateway elsewhere refuses the token of the server that passes requests on to it."""

    code = "GATEWAY_REFUSED_SERVER"
    http_status = 502


class Forbidden(WarpError):
    """Known, and not let in."""

    code = "FORBIDDEN"
    http_status = 403


class HubUnavailable(WarpError):
    """The JupyterHub whose tokens are taken does not say whose one is."""

    code = "HUB_UNAVAILABLE"
    http_status = 503


class ShuttingDown(WarpError):
    """The gateway is closing."""

    code = "SHUTTING_DOWN"
    http_status = 503


# -- tapes -----------------------------------------------------------------------------------------


class TapeMiss(WarpError):
    """The tape that is replayed has no answer to this prompt; the message says what has changed."""

    code = "TAPE_MISS"
    http_status = 404
    brief = "not on the tape"


class TapeDamaged(WarpError):
    """A file of the tape cannot be read; the message names it."""

    code = "TAPE_DAMAGED"


class TapeUnwritable(WarpError):
    """An answer could not be recorded; the message names the file."""

    code = "TAPE_UNWRITABLE"
