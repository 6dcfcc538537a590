"""Processes to measure: each on a core of its own, and what it has used of the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CORES = sorted(os.sched_getaffinity(0))
MEASURED, REST = {CORES[0]}, {CORES[-1]}
"""The core of whatever is measured, and that of all others; one and the same where there is only one."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Process:
    """A process, and those that it has started."""

    popen: subprocess.Popen[bytes]
    log: Path

    def pids(self) -> list[int]:
        """Return it and its descendants."""
        parents: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = stat.read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        found, new = [], [self.popen.pid]
        while new:
            found += new
            new = [child for pid in new for child in parents.get(pid, ())]
        return found

    def cpu(self) -> float:
        """Return the seconds of CPU time that they have had."""
        spent = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                spent += int(fields[11]) + int(fields[12])
        return spent / _TICKS

    def memory(self) -> float:
        """Return the megabytes that they hold."""
        pages = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cores: set[int], cwd: Path | None = None
) -> Iterator[Process]:
    """Run ``command`` on those cores until the end of the block; what it prints goes to ``log``."""
    with log.open("wb") as out:
        popen = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.sched_setaffinity(popen.pid, cores)
    try:
        yield Process(popen, log)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(popen.pid, signal.SIGTERM)
        try:
            popen.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def until_up(url: str, process: Process, seconds: float = 120.0) -> None:
    """Wait until ``url`` answers anything; raises SystemExit with the log of a process that has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.popen.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:  # an answer, too
            return
        except (OSError, ValueError):  # not up yet
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer\n{process.log.read_text(errors='replace')[-3000:]}")


def machine() -> dict[str, Any]:
    """Return what was measured on, as JSON knows it."""
    return {
        "processor": _processor(),
        "cores": len(CORES),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
