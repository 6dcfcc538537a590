"""The gateway's decisions, pure: time and chance are arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import AccessRefused, InvalidRequest, RequestRefused
from .form import check_attachments, check_form
from .types import Cooldown

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from .errors import ProviderError
    from .types import ChatRequest, Conversation, Model, Usage

PATIENCE: Final = 5.0
"""Seconds that a provider's ``Retry-After`` is waited out in place; for longer ones another model is asked."""
LONGEST_BACKOFF: Final = 30.0


def check(request: ChatRequest) -> None:
    """Refuse what contradicts itself or what nobody can be sent; raises InvalidRequest."""
    for name, text in (("The prompt", request.prompt), ("context", request.context or "")):
        if not isinstance(text, str):
            raise InvalidRequest(f"{name} is a text, not {type(text).__name__}.")
    if request.messages:
        _check_messages(request)
    elif not request.prompt.strip() and not request.tool_results and request.continues is None:
        raise InvalidRequest("The prompt is empty.")
    _check_place(request)
    if request.history and request.session_id is not None:
        raise InvalidRequest("history and sessionId exclude each other: a session has its own history.")
    if not request.store and request.session_id is not None:
        raise InvalidRequest("store: false keeps no session, so it takes no sessionId.")
    if request.tool_results and request.session_id is None and not request.history:
        raise InvalidRequest("toolResults answer the calls of a session's last turn, so they need its sessionId.")
    try:
        "".join(_texts(request)).encode()
    except UnicodeEncodeError:
        raise InvalidRequest("The prompt holds half a character (a lone surrogate); decode it anew.") from None
    check_attachments(request.attachments)
    for one in request.history:
        check_attachments(one.attachments)
    check_form(request.form)
    given = request.parameters
    _in_range("temperature", given.temperature, 0, 2)
    _in_range("top_p", given.top_p, 0, 1)
    _in_range("max_tokens", given.max_tokens, 1, None)
    _in_range("timeout", request.timeout, 0.001, None)


def _check_messages(request: ChatRequest) -> None:
    """Refuse whole messages beside what they stand for, and pictures in them that are none."""
    beside = (request.prompt, request.context, request.history, request.session_id, request.attachments)
    if any(beside) or request.tool_results or request.store:
        raise InvalidRequest("messages are a whole conversation: nothing of one, and no session, goes beside them.")
    for message in request.messages:
        check_attachments(message.images)


def _check_place(request: ChatRequest) -> None:
    """Refuse what is to go where it cannot."""
    given = {"replaces": request.replaces, "continue": request.continues}
    names = [name for name, value in given.items() if value is not None]
    if names and request.session_id is None:
        raise InvalidRequest(f"{names[0]} means a turn of a session, so it needs the sessionId.")
    if len(names) > 1:
        raise InvalidRequest("replaces and continue exclude each other: a turn is asked anew, or gone on with.")
    if request.continues is not None and (request.prompt or request.tool_results or request.attachments):
        raise InvalidRequest(
            "continue goes on with a turn as it was asked: it takes no prompt, toolResults or attachments."
        )


def _texts(request: ChatRequest) -> list[str]:
    source = request.source
    texts = [request.prompt, request.context or "", source.notebook or "", source.cell or ""]
    texts += (*request.parameters.stop, *request.models, request.replaces or "", request.continues or "")
    for turn in request.history:
        texts += (turn.prompt, turn.response)
    for attached in request.attachments:
        texts += (attached.name, attached.text)
    for result in request.tool_results:
        texts += (result.id, result.content)
    texts += [tool.description for tool in request.form.tools]
    return texts + [message.text for message in request.messages]


def _in_range(name: str, value: float | None, least: float, most: float | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{name} is a number, not {value!r}.")
    if not value >= least or (most is not None and not value <= most):  # NaN is neither
        bounds = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
        raise InvalidRequest(f"{name} is {bounds}, not {value!r}.")


def candidates(order: Sequence[Model], cooling: Mapping[Model, Cooldown]) -> list[Model]:
    """Return the models to ask, in order: the healthy ones, and those that somebody may probe by now."""
    return [
        model
        for model in dict.fromkeys(order)
        if model not in cooling or not (cooling[model].seconds or cooling[model].probing)
    ]


def last_hope(order: Sequence[Model], cooling: Mapping[Model, Cooldown], asked: Container[Model]) -> Model | None:
    """Return the model that is asked although it is passed over, when no other is left: the one that is back first.

    None whose provider named the time itself: asking before it would only earn another refusal.
    """
    hopes = [model for model in order if model in cooling and model not in asked and not cooling[model].named]
    return min(hopes, key=lambda model: cooling[model].seconds, default=None)


def reserved(expected: Usage, windows: Sequence[int]) -> int:
    """Return the tokens to take from windows of such sizes for a prompt ``expected`` to use so much.

    An answer is never thought to need more than a window has; a prompt that has more cannot be sent.
    """
    whole = expected.input_tokens + expected.output_tokens
    return max(expected.input_tokens, min([whole, *windows]))


def pause_before_retry(error: ProviderError, tries: int, most: int, interval: float, chance: float) -> float | None:
    """Return the seconds to wait before the same model is asked again, None where it is not.

    ``tries`` counts those made, ``most`` those allowed after the first, ``chance`` is in [0, 1): full jitter
    over an interval that doubles (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    if not error.retry or tries > most:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= PATIENCE else None
    return min(LONGEST_BACKOFF, interval * 2.0 ** min(tries - 1, 64)) * chance


def cooldown(
    error: ProviderError, restore: Mapping[str, float], written: Container[str]
) -> tuple[Cooldown, bool] | None:
    """Return for how long the model is passed over after ``error``, None where its health is not touched.

    And whether that length is only the most that it may grow to, as it is where nobody has ``written`` it.
    """
    if error.restore is None:
        return None
    reason = str(error.status) if error.status else error.code
    if error.retry_after is not None:
        return Cooldown(error.retry_after, reason, named=True), False
    return Cooldown(restore[error.restore], reason), error.restore not in written


def warning_of(model: Model, error: ProviderError, seconds: float | None) -> str | None:
    """Return what the asker is told of a failure that only somebody's change of key or configuration can end."""
    if not error.warns:
        return None
    out = "" if seconds is None else f"; it is passed over for {seconds:.0f} s"
    return f"{model}: {error.message}{out}"


def explain(error: ProviderError, conversation: Conversation) -> None:
    """Add to a refusal of what was asked what may be its reason; a provider's own words do not always say it."""
    if isinstance(error, AccessRefused):
        error.message = f"{conversation.model} refuses the key that the gateway has for it: {error.message}"
        error.args = (error.message,)
    if isinstance(error, RequestRefused) and any(message.images for message in conversation.messages):
        error.message = f"{error.message.rstrip('.')}. The prompt has an image, and not every model takes images."
        error.args = (error.message,)


def reads_cache(request: ChatRequest, *, enabled: bool) -> bool:
    """Return whether ``request`` may be answered from the cache: as it says, else as the configuration does."""
    return enabled if request.cache is None else request.cache
