"""Panels: those that are open in this kernel, and what is done for all of them together when a cell ends."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from .mirror import look_at_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .mirror import Mirror

_FOLLOWED: Final = 16
"""How many panels of cells without a name are followed: which of them are of a cell's earlier run nobody can tell."""
_log = logging.getLogger("warp_magics.panel")


class Run(NamedTuple):
    """Which run of which cell: ``cell`` is None where the front end names none."""

    cell: str | None
    message: str | None


class Panel(Protocol):
    """What is asked of a panel here, and is no business of who uses it."""

    session: str
    _made_by: Run

    def _catch_up(self) -> Mirror | None:
        """Follow the session as it is set, at the gateway as it is chosen; None where none is open."""

    def _show(self) -> None:
        """Show what was read."""

    def _rest(self) -> None:
        """Follow the session no more."""

    def _give_way(self) -> None:
        """Close, for the panel that the same cell has made in its next run."""


class Panels:
    """Only on the kernel's main thread; what a sub-shell runs is no cell of these."""

    def __init__(self) -> None:
        self._open: list[Panel] = []
        self._shell: Any = None
        self._cell_runs = False

    def add(self, panel: Panel, shell: Any) -> None:
        """Follow ``panel`` from now on; those that its cell has made in an earlier run are closed."""
        made = panel._made_by  # noqa: SLF001
        for other in list(self._open):
            run = other._made_by  # noqa: SLF001
            if made.cell is not None and run.cell == made.cell and run.message != made.message:
                other._give_way()  # noqa: SLF001 - else each run of its cell would leave one behind
        if not self._open:
            self._listen(shell)
        self._open.append(panel)
        nameless = [one for one in self._open if one._made_by.cell is None]  # noqa: SLF001
        for one in nameless[:-_FOLLOWED]:
            self.remove(one)
            one._rest()  # noqa: SLF001

    def remove(self, panel: Panel) -> None:
        """Follow ``panel`` no more; twice is once."""
        if panel in self._open:
            self._open.remove(panel)
            if not self._open:
                self._listen(None)

    def shows(self, session: str) -> bool:
        """Return whether one of them shows ``session``."""
        return any(one.session == session for one in self._open)

    def follows(self, panel: Panel) -> bool:
        """Return whether ``panel`` is one of them."""
        return panel in self._open

    def in_cell(self) -> bool:
        """Return whether a cell's code is what runs: it may be held up, what a page or a timer has begun may not."""
        return self._cell_runs and is_main() and _kind(self._shell.kernel) == "execute_request"

    def _listen(self, shell: Any) -> None:
        """Hear of the cells of ``shell``; None: of none any more."""
        for at, change in ((self._shell, "unregister"), (shell, "register")):
            if at is not None:
                getattr(at.events, change)("pre_run_cell", self._before_cell)
                getattr(at.events, change)("post_run_cell", self._after_cell)
        self._shell, self._cell_runs = shell, shell is not None and _kind(shell.kernel) == "execute_request"

    def _before_cell(self, _: object) -> None:
        if is_main():
            self._cell_runs = True

    def _after_cell(self, _: object) -> None:
        if not is_main():
            return
        self._cell_runs = False
        mirrors = [_guarded(one._catch_up) for one in list(self._open)]  # noqa: SLF001
        _look(one for one in mirrors if one is not None and not one.is_behind)
        for one in list(self._open):
            _guarded(one._show)  # noqa: SLF001


def _look(mirrors: Iterable[Mirror]) -> None:
    """Have them look, those of one gateway in one call: however many they are, a cell is held up once."""
    by_gateway: dict[int, list[Mirror]] = {}
    for one in mirrors:
        by_gateway.setdefault(id(one.at), []).append(one)
    for ones in by_gateway.values():
        try:
            ones[0].at.call(partial(look_at_all, ones))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nobody has asked for it, and the cell has ended
            _log.warning("panels_not_looked reason=%r", error)


def _guarded(work: Callable[[], Mirror | None]) -> Mirror | None:
    try:
        return work()
    except Exception:  # noqa: BLE001 - the cell is not to blame
        _log.exception("panel_failed")
        return None


PANELS: Final = Panels()


# -- the kernel ------------------------------------------------------------------------------------


def is_main() -> bool:
    """Return whether this is the thread that runs cells."""
    return threading.current_thread() is threading.main_thread()


def on_main(kernel: Any, work: Callable[[], None]) -> None:
    """Run ``work`` on the thread that runs cells, between two of them."""
    kernel.io_loop.add_callback(work)


def run_of(kernel: Any) -> Run:
    """Return what runs now."""
    parent = kernel.get_parent()
    return Run((parent.get("metadata") or {}).get("cellId"), (parent.get("header") or {}).get("msg_id"))


def _kind(kernel: Any) -> str | None:
    kind: str | None = (kernel.get_parent().get("header") or {}).get("msg_type")
    return kind
