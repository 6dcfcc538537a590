"""Signals: what happens in the gateway, told once: to the log under a stable name, and to whoever observes.

The one seam for metrics and traces. docs/events.md lists the names and their fields. No field holds a key, a prompt
or an answer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Observer: TypeAlias = Callable[[str, dict[str, object]], None]

_observers: list[Observer] = []
_log = logging.getLogger("warp_magics.signals")


def observe(observer: Observer) -> Callable[[], None]:
    """Have ``observer(name, fields)`` called at each event of this process; returns what ends that.

    It is called on the gateway's loop and must return at once; what it raises is logged.
    """
    _observers.append(observer)
    return lambda: _observers.remove(observer)


def tell(log: logging.Logger, name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log the event ``name`` with its ``fields`` (None ones left out) and call all observers."""
    if log.isEnabledFor(level):
        told = " ".join(f"{key}={_written(value)}" for key, value in fields.items() if value is not None)
        log.log(level, "%s %s", name, told)
    for observer in tuple(_observers):
        try:
            observer(name, fields)
        except Exception:  # noqa: BLE001 - no answer is lost for who looks on
            _log.exception("observer_failed event=%s", name)


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return repr(text) if not text or any(one.isspace() for one in text) else text
