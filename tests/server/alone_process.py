"""`jupyter warp` as a process: `with running_alone(folder, env) as warp: warp.url, warp.token, warp.client()`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.server.process import poll

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

READY_SECONDS = 20.0
STOP_SECONDS = 20.0
COMMAND = Path(sys.executable).with_name("jupyter-warp")
LISTENS = re.compile(r"^listens +(http://\S+?:(\d+)/\S*warp)$", re.MULTILINE)


class AloneProcess:
    """What was started; `url` is the gateway's base URL, as AI Warp's client wants it; `log` holds all it printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, begin: int, token_file: Path) -> None:
        self.process, self.log, self._begin, self.token_file = process, log, begin, token_file
        self.url, self.port = "", 0

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    def printed(self) -> str:
        """All that this process, not one before it in the folder, has printed."""
        return self.log.read_bytes()[self._begin :].decode()

    def wait_until_ready(self) -> None:
        found = poll(lambda: LISTENS.search(self.printed()) or self.process.poll() is not None, READY_SECONDS)
        assert isinstance(found, re.Match), f"it ended with {self.process.returncode}: {self.printed()[-3000:]}"
        self.url, self.port = found[1], int(found[2])

    def client(self, timeout: float = 30) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=timeout)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end and wait till it has; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


@contextmanager
def running_alone(folder: Path, env: Mapping[str, str], *args: str, port: int = 0) -> Iterator[AloneProcess]:
    """Start one whose token and log are in `folder`; `env` is added to this process's environment.

    It listens at a port of its own choice, so that any number run beside each other; with `port` one that was killed
    can come back where it was, and with the same folder it has the same token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token_file, path = folder / "token", folder / "log"
    command = [COMMAND, "--port", str(port), "--token-file", token_file, *args]
    with path.open("ab") as log:
        begin = path.stat().st_size
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log)
    alone = AloneProcess(process, path, begin, token_file)
    try:
        alone.wait_until_ready()
        yield alone
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            alone.kill()
