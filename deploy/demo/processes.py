"""The processes of one demo: each a group of its own, each ended by its pid; a directory's name finds what is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

GRACE_SECONDS = 10.0
POLL_SECONDS = 0.1


class Failed(Exception):
    """The demo cannot go on; says why."""


class Children:
    """What the demo has started, ended in reverse order on leaving."""

    def __init__(self, logs: Path, env: Mapping[str, str]) -> None:
        self.logs = logs
        self.env = dict(env)
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start one in a group of its own, so that Ctrl-C reaches the demo alone, which then ends them in order."""
        with (self.logs / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(  # noqa: S603  (our own commands)
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        self._running.append((name, child))
        return child

    def log(self, name: str, lines: int = 25) -> str:
        """Read the last words of one."""
        return "\n".join((self.logs / f"{name}.log").read_text("utf-8", "replace").splitlines()[-lines:])

    def wait(self, name: str) -> int:
        """Wait until one ends; its status."""
        return dict(self._running)[name].wait()

    def until(self, ready: Callable[[], T | None], name: str, seconds: float) -> T:
        """Wait until ``ready`` gives something; Failed where the child ends first, or the time does."""
        child = dict(self._running)[name]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := ready():
                return found
            if child.poll() is not None:
                raise Failed(f"{name} ended with status {child.returncode}:\n{self.log(name)}")
            time.sleep(POLL_SECONDS)
        raise Failed(f"{name} was not ready within {seconds:.0f} s:\n{self.log(name)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        turn_deaf()
        while self._running:
            child = self._running.pop()[1]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def turn_deaf() -> None:
    """Pass over a second Ctrl-C: cleaning up takes seconds, and must be done to its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def belonging_to(directory: str) -> dict[int, str]:
    """Find the processes that name ``directory`` in their command or environment: pid -> command.

    The directory is one that the demo made under a name of its own, so nobody else's process names it.
    """
    found = _from_proc(directory) if sys.platform == "linux" else _from_ps(directory)
    return {pid: command for pid, command in found.items() if pid != os.getpid()}


def _from_proc(directory: str) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            if command and (directory in command or directory in environment):
                found[int(entry.name)] = command
    return found


def _from_ps(directory: str) -> dict[int, str]:
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True)  # noqa: S607
    rows = (line.split(None, 1) for line in listing.stdout.splitlines())
    return {int(row[0]): row[1] for row in rows if len(row) > 1 and directory in row[1]}


def await_end(directory: str, seconds: float) -> dict[int, str]:
    """Give what belongs to ``directory`` time to end by itself; what has not is returned."""
    deadline = time.monotonic() + seconds
    while (left := belonging_to(directory)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left


def end(directory: str) -> dict[int, str]:
    """End what belongs to ``directory``: asked first, then made to; what even so is left is returned."""
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 2.0)):
        for pid in belonging_to(directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if not await_end(directory, seconds):
            break
    return belonging_to(directory)
