"""Advice: what to do about an answer that failed, in one sentence. Pure."""

from __future__ import annotations

from typing import Final

from .gateway import errors
from .words import duration

_SOON: Final = (errors.RateLimited, errors.OwnLimit, errors.NoModelsAvailable)
_ADVICE: Final[tuple[tuple[type[errors.WarpError], str | None], ...]] = (
    (
        errors.AccessRefused,
        "Check that provider's key (`jupyter warp init` asks for it), or name another model with -m.",
    ),
    (errors.ModelMissing, "%warp models lists those that are configured."),
    (errors.QuotaExceeded, "Name another model with -m."),
    (
        errors.ContextTooLong,
        "Ask in a new session (%warp new), attach less, or name a model that takes more with -m.",
    ),
    (errors.ContentFiltered, "Put it in other words."),
    (errors.FirstTokenTimeout, "Raise limits.timeout in warp.toml, or name another model with -m."),
    (errors.TotalTimeout, "Give it longer with --timeout, or name another model with -m."),
    (errors.RequestRefused, None),
    (errors.ProviderError, "Run the cell again, or name another model with -m."),
)
"""The first whose class an error is of; None where its own sentence says it."""


def advice_for(error: BaseException, *, kept: bool = False) -> str | None:
    """Return what to do about ``error``; ``kept`` says that a part of the answer is in a session."""
    if kept:
        return "%warp continue goes on with what has come."
    if isinstance(error, _SOON) and error.retry_after:
        return f"Wait {duration(error.retry_after)}, or name another model with -m."
    return next((advice for kind, advice in _ADVICE if isinstance(error, kind)), None)
