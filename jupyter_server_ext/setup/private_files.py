"""Files that are the user's alone from their first moment, and a set of them that is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BACKUP: Final = ".bak"
_FILE: Final = 0o600
_FOLDER: Final = 0o700


def write_new(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that was not there; raises FileExistsError, and leaves no part of one."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class Saving:
    """Files that are written together: what is new goes where the ``with`` block is left by an exception."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._undo.pop_all()
        self._undo.close()

    def folder(self, path: Path) -> Path:
        """Make a folder of mode 0700, or give this mode to one that is there; raises OSError where it cannot be."""
        if path.is_symlink():
            raise NotADirectoryError(0, "is a link, not a folder", str(path))
        with contextlib.suppress(FileExistsError):
            path.mkdir(_FOLDER)
            self._undo.callback(_remove_empty, path)
        path.chmod(_FOLDER)
        return path

    def add(self, folder: Path, name: str, text: str) -> Path:
        """Write ``text`` into a new file in ``folder``: ``name``, or ``name-2`` and so on where that is taken."""
        number = 1
        while True:
            path = folder / (name if number == 1 else f"{name}-{number}")
            try:
                write_new(path, text.encode())
            except FileExistsError:
                number += 1
            else:
                self._undo.callback(path.unlink, missing_ok=True)
                return path

    def replace(self, path: Path, text: str, *, check: Callable[[Path], object], force: bool) -> None:
        """Put ``text`` at ``path`` in one step, once ``check`` has taken it from a file beside; to be called last.

        With ``force`` what was there stays as ``path.bak``, without FileExistsError is raised.
        """
        draft = self.add(path.parent, _beside(path), text)
        check(draft)
        if os.path.lexists(path):
            if not force:
                raise FileExistsError(0, "is there already", str(path))
            _keep(path)
        draft.replace(path)
        self._undo.pop_all()


def _beside(path: Path) -> str:
    return f".{path.name}.{secrets.token_hex(4)}"


def _keep(path: Path) -> None:
    if path.exists():  # a link that leads nowhere has nothing to keep
        draft = path.with_name(_beside(path))
        write_new(draft, path.read_bytes())
        draft.replace(path.with_name(path.name + BACKUP))


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
