"""A Jupyter Server as a process: `with running_jupyter(env, folder) as server: server.url, server.client()`."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL = 0.05


class JupyterProcess:
    """What was started; `url` ends with a slash."""

    def __init__(self, process: subprocess.Popen[bytes], token: str, url: str, log: Path) -> None:
        self.process, self.token, self.url, self.log = process, token, url, log

    @property
    def warp(self) -> str:
        """The base URL of the gateway, as AI Warp's client wants it."""
        return f"{self.url}warp"

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.warp}/api/v1/", headers=headers, timeout=30)

    def stop(self) -> int:
        """Ask it to end and wait till it has; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running_jupyter(
    folder: Path, env: Mapping[str, str], alive: str = "warp/api/v1/health/live", *, counted: bool = True
) -> Iterator[JupyterProcess]:
    """Start one with a token, a port and folders of its own; `env` is added to this process's environment.

    It is there once the path `alive` answers. `counted`: its coverage is, which takes half as long again.
    """
    token = secrets.token_hex(16)
    folder.mkdir()
    own = {"JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "JUPYTER_TOKEN": token}
    command = [sys.executable, "-m", "jupyter_server", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--no-browser"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--allow-root", f"--ServerApp.root_dir={folder}"],
            env={**(os.environ if counted else _uncounted()), **env, **own},
            stdout=log,
            stderr=log,
        )
    try:
        yield JupyterProcess(process, token, _ready(process, folder, alive), folder / "log")
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _uncounted() -> dict[str, str]:
    """This process's environment, in which no coverage is counted."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def _ready(process: subprocess.Popen[bytes], folder: Path, alive: str) -> str:
    info = folder / "runtime" / f"jpserver-{process.pid}.json"
    until = time.monotonic() + READY_SECONDS
    while True:
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        assert time.monotonic() < until, "the server was not ready in time"
        try:
            url = str(json.loads(info.read_bytes())["url"])
            if httpx.get(f"{url}{alive}", timeout=5).is_success:
                return url
        except (OSError, ValueError, httpx.TransportError):
            pass
        time.sleep(POLL)


def poll(look: Callable[[], Any], within: float) -> Any:
    """Look until something is seen."""
    until = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < until, f"not seen within {within} s"
        time.sleep(POLL)
    return found
