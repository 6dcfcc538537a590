"""How a Jupyter Server tells its kernels of its gateway: a file in Jupyter's runtime folder, for its user's eyes only.

It holds the server's process and an id made at the server's start, which kernels inherit in their environment: the
number of a process comes again, that id does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import sys
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVER_ID: Final = "WARP_SERVER_ID"
"""The variable in which a server hands its id to the kernels it starts."""
KEYS_HIDDEN: Final = "WARP_KEYS_HIDDEN"
"""The variable that is set where a server keeps its keys from them: then they have no gateway but the server's."""
_PARENT: Final = "JPY_PARENT_PID"
_FILE: Final = 0o600
_FOLDER: Final = 0o700
_OTHERS: Final = 0o077
_MOST_BYTES: Final = 64 * 1024
_MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Announcement:
    """The gateway inside the server ``pid``: its base URL, and a token that is good for its paths only."""

    url: str
    token: str = field(repr=False)
    pid: int
    server_id: str
    version: str


def announce(folder: Path, announcement: Announcement) -> Path:
    """Write the file, whole from its first moment and of mode 0600, and return its path; raises OSError."""
    folder.mkdir(_FOLDER, parents=True, exist_ok=True)
    path = folder / f"warp-{announcement.pid}-{announcement.server_id}.json"
    draft = folder / f".{path.name}.{secrets.token_hex(4)}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(announcement), file)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return path


def withdraw(path: Path) -> None:
    """Remove the file; that it is gone already is no fault. Raises OSError."""
    path.unlink(missing_ok=True)


def parent_server(env: Mapping[str, str]) -> tuple[int, str] | None:
    """Return process and id of the Jupyter Server that started this kernel; None where ``env`` does not tell."""
    parent, server_id = env.get(_PARENT, ""), env.get(SERVER_ID, "")
    if not server_id or not (parent.isascii() and parent.isdecimal()) or len(parent) > _MOST_DIGITS:
        return None
    pid = _process(int(parent))
    return (pid, server_id) if pid > 0 else None


def announcements(folder: Path, pid: int) -> list[Announcement]:
    """Return what the living process ``pid`` announces, newest first.

    Passed over are files that others could have read or written, that are another user's or hold something else.
    """
    if not _alive(pid):
        return []
    try:
        paths = list(folder.glob(f"warp-{pid}-*.json"))
    except OSError:
        return []
    found = [one for path in paths if (one := _read(path)) and one[1].pid == pid]
    return [one for _, one in sorted(found, key=lambda each: each[0], reverse=True)]


def _read(path: Path) -> tuple[int, Announcement] | None:
    """Return when the file was written, in nanoseconds, and what it says; None where it is not to be trusted."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        # Neither a link nor a pipe: what is opened is what is looked at, and opening it never waits.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if _private(facts) and facts.st_size <= _MOST_BYTES and (said := _parsed(json.loads(file.read()))):
                return facts.st_mtime_ns, said
    return None


def _private(facts: os.stat_result) -> bool:
    if not stat.S_ISREG(facts.st_mode):
        return False
    if sys.platform == "win32":  # where the folder's list of rights says who may read, and modes say nothing
        return True
    return facts.st_uid == os.geteuid() and not facts.st_mode & _OTHERS


def _parsed(said: object) -> Announcement | None:
    kinds = {one.name: int if one.name == "pid" else str for one in fields(Announcement)}
    if not isinstance(said, dict) or any(type(said.get(name)) is not kind for name, kind in kinds.items()):
        return None
    return Announcement(**{name: said[name] for name in kinds})


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # there a signal of 0 would end it; a kernel outlives its server by a moment only
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _process(parent: int) -> int:
    """Return the process that ``JPY_PARENT_PID`` means: on Windows it is a handle of it."""
    if sys.platform == "win32":
        import ctypes

        return int(ctypes.windll.kernel32.GetProcessId(parent))
    return parent
