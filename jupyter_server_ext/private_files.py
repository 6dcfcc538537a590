"""Files that are the user's alone from their first moment, and a set of them that is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BACKUP: Final = ".bak"
_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


def write_new(path: Path, text: str) -> None:
    """Write a file of mode 0600 that was not there; raises FileExistsError, and leaves no part of one."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def own_folder(path: Path) -> None:
    """Make a folder of mode 0700, or give one that is there this mode; raises OSError where it is none of ours."""
    path.mkdir(_FOLDER_MODE, exist_ok=True)
    if path.is_symlink():
        raise NotADirectoryError(0, "is a link, not a folder", str(path))
    path.chmod(_FOLDER_MODE)


class Saving:
    """Files that are written together: leaving the ``with`` block by an exception removes those that are new."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Saving:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._undo.pop_all()
        self._undo.close()

    def add(self, folder: Path, name: str, text: str) -> Path:
        """Write ``text`` into a new file in ``folder``: ``name``, or ``name-2`` and so on where that is taken."""
        number = 1
        while True:
            path = folder / (name if number == 1 else f"{name}-{number}")
            try:
                write_new(path, text)
            except FileExistsError:
                number += 1
            else:
                self._undo.callback(path.unlink, missing_ok=True)
                return path

    def replace(self, path: Path, text: str, *, check: Callable[[Path], object], force: bool) -> None:
        """Put ``text`` at ``path`` in one step, after ``check`` has seen it in a file beside; comes last.

        What was there stays as ``path.bak``. Raises FileExistsError where something is there and not ``force``.
        """
        draft = self.add(path.parent, f".{path.name}.{secrets.token_hex(4)}", text)
        check(draft)
        if os.path.lexists(path):
            if not force:
                raise FileExistsError(0, "is there already", str(path))
            _keep(path)
        draft.replace(path)


def _keep(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_new(draft, path.read_text("utf-8", "surrogateescape") if path.exists() else "")
    draft.replace(path.with_name(path.name + BACKUP))
