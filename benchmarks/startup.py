"""What it costs to begin: imports, ``%load_ext``, the server's start, the first ``%%warp`` and the next."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_TIMED = """
import json, os, resource, sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
held = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6
before, began = held(), time.perf_counter()
import warp_magics
shell.run_line_magic('load_ext', 'warp_magics')
loaded = time.perf_counter() - began
more = held() - before
def asked():
    began = time.perf_counter()
    shell.run_cell('%%warp\\nHello', store_history=False).raise_error()
    return (time.perf_counter() - began) * 1000
sys.stdout = open(os.devnull, 'w')
first, later = asked(), sorted(asked() for _ in range(9))[4]
print(json.dumps({'load_ext_ms': loaded * 1000, 'load_ext_mb': more, 'first_ms': first, 'later_ms': later}), file=sys.__stdout__)
"""
_SERVER = """
import time
began = time.process_time()
from jupyter_server.serverapp import ServerApp
app = ServerApp(jpserver_extensions={'jupyter_server_ext': %s}, port=0, token='x', allow_root=True)
app.initialize(argv=[])
print((time.process_time() - began) * 1000)
"""
"""In CPU time: what the disk and others on the machine add is a hundred times what is looked for."""
WHAT = {
    "load_ext_ms": "`import warp_magics` and `%load_ext`, ms",
    "load_ext_mb": "the same, MB",
    "first_ms": "first `%%warp` on the demo provider, ms",
    "later_ms": "a later one, ms",
    "extension_ms": "the extension's share of a Jupyter Server's start, ms of CPU time",
}


def measured(rounds: int) -> list[dict[str, float]]:
    """Return what each round took, in processes of their own."""
    return [_once() for _ in range(rounds + 1)][1:]  # the first compiles and fills caches


def _once() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="warp-start-") as folder:
        config = Path(folder, "warp.toml")
        config.write_text('models = ["demo:ok"]\n[storage]\ntype = "memory"\n', "utf-8")
        env = {
            **os.environ,
            "WARP_CONFIG": str(config),
            "HOME": folder,
            "IPYTHONDIR": folder,
            "JUPYTER_CONFIG_DIR": folder,
        }
        said: dict[str, float] = json.loads(_printed(_TIMED, env))
        with_ours, without = (min(float(_printed(_SERVER % on, env)) for _ in range(5)) for on in (True, False))
    return said | {"extension_ms": with_ours - without}


def _printed(code: str, env: dict[str, str]) -> str:
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.stderr[-3000:])
    return ran.stdout.splitlines()[-1]


def table(rounds: list[dict[str, Any]]) -> str:
    """Return a Markdown table of medians and spread."""
    rows = ["| | median | least to most |", "|---|--:|--:|"]
    for name, what in WHAT.items():
        values = [one[name] for one in rounds]
        rows.append(f"| {what} | {statistics.median(values):.0f} | {min(values):.0f} to {max(values):.0f} |")
    return "\n".join(rows)
