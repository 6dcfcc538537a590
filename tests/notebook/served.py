"""A kernel that a real Jupyter Server has started, with no key of its own."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import httpx
from jupyter_client.manager import KernelManager

from tests.notebook.kernel import Kernel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.process import JupyterProcess

TOML = """
models = ["lab:ok@served"]
[providers.lab]
dialect = "openai"
base_url = "{base_url}"
api_key = "${{LAB_API_KEY}}"
[storage]
type = "memory"
"""
NO_KEY = "import os\nfor name in ('LAB_API_KEY', 'WARP_CONFIG'): os.environ.pop(name, None)\n%load_ext warp_magics"


class ServedKernel(Kernel):
    """A kernel that a server has started, driven past the server."""

    def __init__(self, server: JupyterProcess, folder: Path, load: str) -> None:
        self._rest = httpx.Client(base_url=f"{server.url}api/", headers={"Authorization": f"token {server.token}"})
        self._id = self._rest.post("kernels", json={}, timeout=60).raise_for_status().json()["id"]
        self._load, self._code, self.messages = False, load, []
        path = str(folder / "runtime" / f"kernel-{self._id}.json")
        self.manager = KernelManager(connection_file=path, owns_kernel=False)
        self.manager.load_connection_file(path)

    def __enter__(self):
        self._connect()
        self.run(self._code)
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        with contextlib.suppress(httpx.TransportError):  # the server may be gone, and the kernel with it
            self._rest.delete(f"kernels/{self._id}")
        self._rest.close()

    def interrupt(self) -> float:
        """The stop button."""
        at = time.monotonic()
        self._rest.post(f"kernels/{self._id}/interrupt").raise_for_status()
        return at

    def restart(self) -> None:
        """The restart button, and the first cell again."""
        self.client.stop_channels()
        self._rest.post(f"kernels/{self._id}/restart", timeout=60).raise_for_status()
        self._connect()
        self.run(self._code)
