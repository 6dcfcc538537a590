"""Cells: which cell of which notebook asks, whether it has asked before, and what has failed in this kernel."""

from __future__ import annotations

import hashlib
import os
import sys
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

    from .gateway import Source

_FAILURES: Final = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that failed: its code, and the exception as a model reads it."""

    code: str
    traceback: str
    mendable: bool = True
    """False for what the user has stopped, and for a line of ours, which says itself what to do."""


def python_source() -> Source:
    """Return where Python code of this process asks, as far as its front end tells it."""
    from .gateway import Source

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return cells_of(shell).source_of_python() if shell else Source("python", _path(None))


def _path(shell: InteractiveShell | None) -> str | None:
    """Return what VS Code says in a variable, and Jupyter Server in the environment."""
    told = shell.user_ns.get("__vsc_ipynb_file__") if shell else None
    return told or os.environ.get("JPY_SESSION_NAME")


def cells_of(shell: InteractiveShell) -> Cells:
    """Return the cells of ``shell``: the same ones, however often the magics are loaded."""
    found = _of.get(shell)
    if found is None:
        found = _of[shell] = Cells(shell)
    return found


class Cells:
    """What ``shell`` runs."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell: InteractiveShell = weakref.proxy(shell)  # else it would live for ever
        self.session: str | None = None
        """The session of prompts that name none."""
        self._asked: set[str] = set()
        self._chain = ""
        self._execution: tuple[str, Counter[str]] = ("", Counter())
        self.failures: dict[int, Failure] = {}
        """The latest cells that failed, by their execution counts."""

    @property
    def notebook(self) -> str | None:
        """The notebook's path, as far as the front end tells it."""
        return _path(self._shell)

    def source_of_python(self) -> Source:
        """Return where a prompt of Python code is asked: as ``source`` says of a cell, where the front end gives an id."""
        from .gateway import Source

        kernel = getattr(self._shell, "kernel", None)
        parent = kernel.get_parent() if kernel else {}
        name = (parent.get("metadata") or {}).get("cellId")
        return Source("python", self.notebook, self._placed(parent, name, "python") if name else None)

    def source(self, text: str) -> Source:
        """Return where the prompt ``text`` is asked; without a cell in terminals and consoles, where none is run again.

        A cell is known by the id its front end gives it, else by its text and all that this kernel has asked before it:
        a notebook that is run as it was is known again. Where one cell asks several times, each is known by its place
        among them.
        """
        from .gateway import Source

        kernel = getattr(self._shell, "kernel", None)
        if kernel is None:
            return Source("cell", self.notebook)
        parent = kernel.get_parent()
        name = (parent.get("metadata") or {}).get("cellId")
        if not name and self._is_console(parent):
            return Source("cell", self.notebook)
        if not name:
            asked = f"{self._chain}\n{text}".encode("utf-8", "surrogatepass")
            self._chain = hashlib.sha256(asked).hexdigest()[:16]
            return Source("cell", self.notebook, f"text-{self._chain}")
        return Source("cell", self.notebook, self._placed(parent, name, "cell"))

    def _placed(self, parent: Mapping[str, Any], name: str, kind: str) -> str:
        """Return ``name``, and behind it which of the prompts of its ``kind`` in this run of the cell it is."""
        execution = str((parent.get("header") or {}).get("msg_id"))
        if self._execution[0] != execution:
            self._execution = execution, Counter()
        self._execution[1][f"{kind} {name}"] += 1
        place = self._execution[1][f"{kind} {name}"]
        return name if place == 1 else f"{name}#{place}"

    def _is_console(self, parent: Mapping[str, Any]) -> bool:
        """Return whether somebody types prompts one by one: he can be asked, and there is no notebook."""
        typed = bool((parent.get("content") or {}).get("allow_stdin"))
        return typed and self.notebook is None and "google.colab" not in sys.modules

    def runs_again(self, source: Source) -> bool:
        """Return whether ``source`` has asked in this kernel before, and remember that it has now."""
        if source.cell is None:
            return False
        again = source.cell in self._asked
        self._asked.add(source.cell)
        return again

    def ended(self, result: ExecutionResult) -> None:
        """Remember a cell that failed; IPython calls this after each cell."""
        error = result.error_in_exec or result.error_before_exec
        if error is None or result.execution_count is None:
            return
        from .attach import traceback_text

        code = result.info.raw_cell if result.info else ""
        mendable = not isinstance(error, KeyboardInterrupt) and not code.lstrip().startswith(("%warp", "%%warp"))
        self.failures[result.execution_count] = Failure(code, traceback_text(error), mendable)
        while len(self.failures) > _FAILURES:
            del self.failures[next(iter(self.failures))]

    def names(self) -> dict[str, Any]:
        """Return what ``{name}`` may name: the notebook's variables, and ``Err[n]`` for what failed in cell n."""
        errors = {count: failure.traceback for count, failure in list(self.failures.items())}
        return {"Err": errors, **self._shell.user_ns}


_of: weakref.WeakKeyDictionary[InteractiveShell, Cells] = weakref.WeakKeyDictionary()
