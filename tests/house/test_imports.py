"""What importing costs, what is public, and how long a file may be: each looked at in a fresh interpreter."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 350
OWN_SECONDS = 0.060  # what is promised; `make bench` measures it, a test on a busy machine allows ten times as much
HEAVY = {"aiohttp", "anyio", "genai_prices", "httpx", "jupyter_server", "orjson", "pydantic", "redis", "tornado"}
SHELL = "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
LOAD = "shell.run_line_magic('load_ext', 'warp_magics')\nassert 'warp' in shell.magics_manager.magics['cell']\n"


def fresh(code: str, before: str = "") -> tuple[set[str], float]:
    """Run ``before``, then ``code``, in a new interpreter: the packages that ``code`` loaded, and its seconds."""
    script = (
        f"{before}\nimport json, sys, time\nknown = set(sys.modules)\nbegin = time.perf_counter()\n{code}\n"
        "seconds = time.perf_counter() - begin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - known}\n"
        "print(json.dumps([sorted(new), seconds]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded, seconds = json.loads(done.stdout.splitlines()[-1])
    return set(loaded), seconds


def test_import_loads_nothing_heavy():
    loaded, _ = fresh("import warp_magics")
    assert "warp_magics" in loaded
    assert not loaded & (HEAVY | {"IPython", "traitlets"})


def test_load_ext_loads_nothing_heavy_that_ipython_has_not():
    loaded, _ = fresh(LOAD, before=SHELL)
    assert "warp_magics" in loaded
    assert not loaded & (HEAVY | {"asyncio"})


def test_load_ext_is_quick():
    took = min(fresh(LOAD, before=SHELL)[1] for _ in range(3))
    assert took < 10 * OWN_SECONDS, f"{took * 1000:.0f} ms of our own"


def test_the_gateway_knows_no_notebook_and_no_server():
    loaded, _ = fresh("import warp_magics.gateway")
    assert "warp_magics" in loaded
    assert not loaded & (HEAVY | {"IPython", "anywidget", "traitlets"})


def test_a_gateway_in_use_knows_no_notebook_and_no_server():
    loaded, _ = fresh("import warp_magics.gateway as door\nfor name in door.__all__: getattr(door, name)")
    assert "pydantic" in loaded
    assert not loaded & {"IPython", "anywidget", "tornado", "traitlets", "jupyter_server"}


def test_the_server_extension_says_its_name_without_loading_the_gateway():
    loaded, _ = fresh("import jupyter_server_ext")
    assert not loaded & HEAVY


def test_the_server_extension_starts_without_loading_what_answers():
    server = "import jupyter_server.serverapp, jupyter_server.extension.application, jupyter_server.auth.decorator"
    code = "import jupyter_server_ext.extension, jupyter_server_ext.inside.handlers, sys\n"
    answering = ("base", "config", "local", "prompt", "router", "stores", "streams", "turns", "types", "wire.bodies")
    code += f"assert not {{f'warp_magics.gateway.{{name}}' for name in {answering}}} & set(sys.modules)"
    loaded, _ = fresh(code, before=server)
    assert "jupyter_server_ext" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("module", ["warp_magics", "warp_magics.gateway"])
def test_every_public_name_is_there(module):
    face = importlib.import_module(module)
    assert len(set(face.__all__)) == len(face.__all__)
    assert face.__all__
    assert not [name for name in face.__all__ if not hasattr(face, name)]


@pytest.mark.parametrize("module", ["warp_magics", "warp_magics.gateway"])
def test_a_name_that_is_not_public_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module(module).no_such_name  # noqa: B018  (looking is the test)


def test_files_are_short():
    folders = ("warp_magics", "jupyter_server_ext", "deploy", "benchmarks")
    lengths = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8").count("\n")
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST}
