"""SmolLM2 behind llama.cpp's server, as a process of the tests' own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def local_model(folder: Path, slots: int = 1) -> Iterator[str]:
    """The base URL of a local model; it ends with the block."""
    ready = folder / "url"
    command = [sys.executable, str(ROOT / "deploy/demo/local_model.py"), "--parallel", str(slots)]
    command += ["--stop-with-parent", "--ready-file", str(ready)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 90
        while not ready.exists():
            assert server.poll() is None, "the local model ended; `make demo-model` installs it"
            assert time.monotonic() < until
            time.sleep(0.1)
        yield ready.read_text("utf-8")
    finally:
        server.terminate()
        server.wait(20)
