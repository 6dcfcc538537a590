"""The token of the gateway alone: a file that only its user reads."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from warp_magics.gateway import errors

from ..setup.private_files import write_new

if TYPE_CHECKING:
    from pathlib import Path

_BYTES: Final = 32
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LONGEST: Final = 4096  # bytes


def read_token(path: Path) -> str:
    """Return the token in ``path``; raises FileNotFoundError, and ConfigError for a file that cannot hold one.

    A file that others may read holds none: what they can read is no secret.
    """
    with path.open("rb") as file:
        _check(path, os.fstat(file.fileno()))
        token = file.read(_LONGEST + 1).decode("latin-1").strip()
    if not (token.isascii() and token.isprintable() and token) or " " in token or len(token) > _LONGEST:
        raise errors.ConfigError(f"{path} holds no token: that is one line of ASCII without spaces.")
    return token


def make_token(path: Path) -> None:
    """Make ``path``, mode 0600, with a new token, and a folder for it, mode 0700, where there is none.

    The file is there whole or not at all, and one that is there, be it since a moment, stays.
    """
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_new(draft, f"{secrets.token_urlsafe(_BYTES)}\n".encode())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _check(path: Path, found: os.stat_result) -> None:
    if os.name != "posix":
        return
    if found.st_uid not in {os.geteuid(), 0}:
        raise errors.ConfigError(f"{path} belongs to another user, who knows the token in it: name a file of your own.")
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise errors.ConfigError(
            f"{path} can be read by others (mode {mode:04o}). Either `chmod 600 {path}`, or, if somebody may have"
            " read it, remove it: the next start makes a new token."
        )
