"""One Valkey for all of a user's processes, started by the first and stopped after the last.

Four locks, all flocks, which the kernel drops when their holder dies: *clients* is shared by all who use the
server, *start* serialises starting and stopping, *keeper* makes the keeper the only one, and *data* lies beside
the append-only file and is handed to the server itself, so that no second server can open that file. They are
taken in this order; the keeper waits for *clients* alone, and while it has it nobody can start or attach.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import StoreUnavailable
from . import keeper
from .places import NO_SERVER, Places, ServerBinary, explained, find_server, places, why_not

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EmbeddedServer", "Places", "ServerBinary", "Status", "find_server", "places", "why_not"]

_PING_TIMEOUT = 1.0
_POLL = 0.01
_FOREIGN_GRACE = 1.0  # how long another's server may take to let the data go
_SETTINGS = {
    "--port": "0",
    "--protected-mode": "yes",
    "--unixsocketperm": "700",
    "--daemonize": "yes",
    "--save": "",
    "--appendonly": "yes",
    "--appendfsync": "everysec",
    "--aof-use-rdb-preamble": "no",  # plain commands, so that Valkey 9 and Redis 7.0 load each other's data
}


@dataclass(frozen=True, slots=True)
class Status:
    """What there is: ``kind``, ``version`` and ``pid`` are the running server's own word, None without one."""

    running: bool
    pid: int | None
    kind: Literal["valkey", "redis"] | None
    version: str | None
    socket: str
    data_dir: str
    data_bytes: int
    binary: ServerBinary | None
    keep_running: bool


class EmbeddedServer:
    """This process's hold on the user's one server. Calls block, so a loop makes them in a thread; all are thread-safe.

    ``where`` defaults to `places`, whose errors it raises. ``keep_running``: the server outlives its last client,
    until `stop`; it is enough that one client wishes so.
    """

    def __init__(self, where: Places | None = None, *, keep_running: bool = False) -> None:
        self.places = where or places()
        self._keep_running = keep_running
        self._client: int | None = None
        self._mutex = threading.Lock()

    def ensure(self, timeout: float = 10.0) -> str:
        """Become a client of the server, starting it where it does not run, and return its socket's path.

        To be called again when the connection was lost. ``timeout``, in seconds, covers waiting for others who
        start or stop it and for its reading the data (a frozen server adds two seconds). Raises StoreUnavailable.
        Either way this process may count as a client from now on, until `release`.
        """
        deadline = time.monotonic() + timeout
        with self._mutex, explained("start the embedded store"):
            self.places.make()
            self._attach(deadline)
            with self._starting(deadline):
                reply = self._answer()
                if not reply:
                    self._start(deadline)
                self._guard()
                if not _ready(reply):
                    self._wait(deadline)
        return self.places.socket

    def release(self) -> None:
        """Be a client no longer; without any, the server stops. Does nothing the second time."""
        with self._mutex:
            if self._client is not None:
                os.close(self._client)
                self._client = None

    def stop(self, timeout: float = 10.0) -> bool:
        """Stop the server, its clients notwithstanding (their next `ensure` starts it), and wait till it is gone.

        Returns False where none ran. ``timeout`` is in seconds; raises StoreUnavailable where it was too short.
        """
        deadline = time.monotonic() + timeout
        with explained("stop the embedded store"):
            self.places.make()
            with self._starting(deadline):
                Path(self.places.keep).unlink(missing_ok=True)
                if not keeper.shut_down(self.places.socket, timeout):
                    return False
                while not self._gone():
                    if _late(deadline):
                        raise StoreUnavailable(f"the embedded store's server does not exit: {self._last_words()}")
        return True

    def status(self) -> Status:
        """Tell what runs, where the data is and how much, and what would be started."""
        info = self._info()
        version = info.get("valkey_version")  # Valkey's redis_version is that of the protocol it speaks
        return Status(
            running=bool(info),
            pid=int(info["process_id"]) if info else None,
            kind=("valkey" if version else "redis") if info else None,
            version=version or info.get("redis_version"),
            socket=self.places.socket,
            data_dir=str(self.places.data),
            data_bytes=_size(self.places.data / "appendonlydir"),
            binary=find_server(),
            keep_running=Path(self.places.keep).exists(),
        )

    def _attach(self, deadline: float) -> None:
        if self._client is None or not keeper.is_at(self._client, self.places.clients):
            held = self._hold(self.places.clients, fcntl.LOCK_SH, deadline, "the embedded store is being stopped")
            self._client, old = held, self._client
            if old is not None:
                os.close(old)
        if self._keep_running:
            Path(self.places.keep).touch(mode=0o600)

    @contextmanager
    def _starting(self, deadline: float) -> Iterator[None]:
        busy = "another process is starting or stopping the embedded store"
        held = self._hold(self.places.start, fcntl.LOCK_EX, deadline, busy)
        try:
            yield
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)  # closing is not enough where a thread forked meanwhile
            os.close(held)

    def _hold(self, path: str, how: int, deadline: float, busy: str) -> int:
        while (held := keeper.lock(path, how | fcntl.LOCK_NB)) is None:
            if _late(deadline):
                raise StoreUnavailable(f"{busy} and takes too long over it (it holds {path}): try again")
        return held

    def _start(self, deadline: float) -> None:
        """Start a server, with the start lock held; the keeper first, so that no server is ever without one."""
        binary = find_server()
        if binary is None:
            raise StoreUnavailable(NO_SERVER)
        data = self._take_data(deadline)
        if data is None:
            return
        try:
            if self.places.log.exists():
                self.places.log.replace(f"{self.places.log}.old")
            self._guard()
            self._sign(None)
            self._spawn(binary, data, deadline)
        finally:
            os.close(data)

    def _take_data(self, deadline: float) -> int | None:
        """Take the data's lock; None where its holder turns out to be our server, slow to answer."""
        grace = min(deadline, time.monotonic() + _FOREIGN_GRACE)
        while (data := keeper.lock(self.places.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
            if self._answer():
                return None
            holder = self._holder()
            ours = (holder.get("host"), holder.get("socket")) == (socket.gethostname(), self.places.socket)
            if _late(deadline if ours else grace):
                raise StoreUnavailable(_in_use(self.places, holder, ours=ours))
        return data

    def _spawn(self, binary: ServerBinary, data: int, deadline: float) -> None:
        own = ["--unixsocket", self.places.socket, "--dir", str(self.places.data), "--logfile", str(self.places.log)]
        settings = [word for setting in _SETTINGS.items() for word in setting]
        command = [binary.path, *settings, *own, "--pidfile", self.places.pid]
        try:
            self._run(command, data, max(deadline - time.monotonic(), _PING_TIMEOUT))
        except subprocess.CalledProcessError as fault:
            raise StoreUnavailable(f"{binary.path} did not start: {self._last_words()}") from fault

    def _guard(self) -> None:
        """See that there is a keeper; it gets the lock that says so, and outlives us."""
        place = keeper.lock(self.places.keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if place is None:
            return
        command = [sys.executable, "-I", "-S", keeper.__file__, str(place)]
        try:
            self._run([*command, self.places.clients, self.places.socket, self.places.keep], place, 10.0)
        finally:
            os.close(place)

    def _run(self, command: list[str], held: int, timeout: float) -> None:
        """Run a program that goes into the background with our lock ``held``, and with nothing else of ours."""
        with self.places.log.open("ab") as log:
            subprocess.run(  # noqa: S603
                command, pass_fds=(held,), cwd="/", start_new_session=True, timeout=timeout, check=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _wait(self, deadline: float) -> None:
        """Wait till the server takes commands, and write down who it is."""
        while not _ready(reply := self._answer()):
            if not reply and self._gone():
                raise StoreUnavailable(f"the embedded store's server ended at its start: {self._last_words()}")
            if _late(deadline):
                doing = "is still reading its data: try again" if reply else "does not answer"
                raise StoreUnavailable(f"the embedded store's server {doing}; {self._last_words()}")
        self._sign(self._info().get("process_id"))

    def _answer(self) -> str:
        """Ping; "" where nobody answers, which is for the caller to judge."""
        try:
            return keeper.ask(self.places.socket, "PING", _PING_TIMEOUT)
        except OSError:
            return ""

    def _info(self) -> dict[str, str]:
        try:
            reply = keeper.ask(self.places.socket, "INFO server", _PING_TIMEOUT)
        except OSError:
            return {}
        return dict(line.split(":", 1) for line in reply.splitlines() if ":" in line)

    def _gone(self) -> bool:
        free = keeper.lock(self.places.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if free is not None:
            os.close(free)
        return free is not None

    def _sign(self, pid: str | None) -> None:
        who = {"host": socket.gethostname(), "pid": pid, "socket": self.places.socket}
        Path(self.places.lock).write_text(json.dumps(who), "utf-8")

    def _holder(self) -> dict[str, object]:
        try:
            return dict(json.loads(Path(self.places.lock).read_text("utf-8")))
        except ValueError:  # read while it was being written
            return {}

    def _last_words(self) -> str:
        lines = self.places.log.read_text("utf-8", "replace").splitlines() if self.places.log.exists() else []
        return "\n".join([f"see {self.places.log}", *lines[-5:]])


def _ready(reply: str) -> bool:
    """Judge a reply to PING; one that complains of anything but loading comes from a server that works."""
    return bool(reply) and not reply.startswith("-LOADING")


def _late(deadline: float) -> bool:
    """Sleep for a moment, unless the deadline has passed."""
    if time.monotonic() > deadline:
        return True
    time.sleep(_POLL)
    return False


def _in_use(where: Places, holder: dict[str, object], *, ours: bool) -> str:
    """Say who has the data and what to do about it."""
    who = "a server on host {host} (pid {pid}, socket {socket})".format_map(
        {"host": "?", "pid": "?", "socket": "?"} | holder
    )
    if ours:
        return (
            f"{who} has the embedded store's data in {where.data} but does not answer: end that process and try again"
        )
    return (
        f"the embedded store's data in {where.data} is in use by {who}, not at {where.socket}: on that host set "
        "WARP_RUN_DIR to that socket's directory to share it; or stop it there; or set WARP_DATA_DIR to another directory"
    )


def _size(folder: Path) -> int:
    """Add up the bytes of a directory's files; one that goes away meanwhile (a rewrite does that) counts nothing."""
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
