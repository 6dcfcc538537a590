"""Terms: what holds for every answer of a gateway, whoever makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .config import WarpConfig


@dataclass(frozen=True, slots=True)
class Terms:
    """Durations in seconds: how long a session is waited for, what an answer may take, how long things are kept.

    ``total`` None leaves it to whoever makes the answers, also where a request says it. ``on_disconnect`` is for requests
    that do not say it. The defaults are those of CONFIG.md.
    """

    session_wait: float = 30.0
    total: float | None = 600.0
    history: float = 86400.0
    stream: float = 3600.0
    on_disconnect: Literal["finish", "cancel"] = "finish"


def terms_of(config: WarpConfig) -> Terms:
    """Return the terms that ``config`` says."""
    limits = config.limits
    return Terms(
        session_wait=limits.session_wait,
        total=limits.timeout.total,
        history=limits.history_expiration,
        stream=config.storage.stream_expiration,
        on_disconnect=config.on_disconnect,
    )
