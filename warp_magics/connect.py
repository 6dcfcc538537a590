"""Which gateway this process uses, and why. One for each process, opened when first used, closed at its exit."""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .gateway import Gateway
    from .portal import Portal, Waiter


@dataclass(slots=True)
class Connection:
    """A gateway and the portal it lives behind. ``why`` is a sentence for ``%warp``."""

    gateway: Gateway
    portal: Portal
    owner: str
    why: str
    warnings: tuple[str, ...] = ()
    _done: bool = field(default=False, repr=False)

    def close(self) -> None:
        """Stop live answers, keep their parts and end the portal's thread; twice is once."""
        if not self._done:
            self._done = True
            self.portal.close(self.gateway.aclose)


_lock = threading.Lock()
_current: Connection | None = None
_parents: list[Connection] = []  # kept in a forked child, where closing them would close what is the parent's
_waiter: Callable[[], Waiter] | None = None


def wait_with(waiter: Callable[[], Waiter]) -> None:
    """Have every call from now on wait by ``waiter``, whether a magic or ``Warp`` makes it."""
    global _waiter  # noqa: PLW0603 - likewise one way of waiting
    _waiter = waiter


def _new_waiter() -> Waiter:
    from .portal import PlainWaiter

    return _waiter() if _waiter else PlainWaiter()


def connection() -> Connection:
    """Return this process's connection, opening it first; raises ConfigError."""
    global _current  # noqa: PLW0603 - one gateway a process is the point
    from .portal import Portal

    with _lock:
        if _current is None:
            _current = _in_this_process(Portal(_new_waiter))
            atexit.register(_current.close)
        return _current


def disconnect() -> None:
    """Close this process's connection; the next use opens another, with the configuration as it is then."""
    global _current  # noqa: PLW0603
    with _lock:
        if _current is not None:
            atexit.unregister(_current.close)
            _current.close()
            _current = None


def _forget() -> None:
    """Leave the connection to the parent: its loop's thread is not in a forked child, which opens its own."""
    global _current, _lock  # noqa: PLW0603 - a child begins anew
    _lock = threading.Lock()
    if _current is not None:
        atexit.unregister(_current.close)
        _parents.append(_current)
        _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _in_this_process(portal: Portal) -> Connection:
    """Open a gateway of our own, from the same configuration a server would read."""
    from jupyter_core.paths import jupyter_config_path

    from . import __version__
    from .gateway import LocalGateway, load_config

    config = load_config(folders=[Path(folder) for folder in jupyter_config_path()])
    why = f"in this process, configured by {config.source or 'the environment'}"
    if config.demo:
        config = config.with_demo()
        why = "in this process; no model is configured, so the demo provider answers"
    gateway = LocalGateway(config, version=__version__)
    owner = config.storage.owner or os.environ.get("JUPYTERHUB_USER") or "local"
    return Connection(gateway, portal, owner, why, config.warnings)
