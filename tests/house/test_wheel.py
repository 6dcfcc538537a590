"""The wheel holds everything: built, installed into a clean environment, and used there by a cell and by REST."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
CELLS = [
    "%load_ext warp_magics",
    "%%warp --session wheel --model demo:ok\nHello from a cell.",
    "%warp history wheel",
    "%warp chat wheel",
]
RUN_CELLS = """
import json, sys, nbclient, nbformat
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in json.loads(sys.argv[1])])
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bin_dir(wheel, tmp_path_factory):
    """The commands of an environment that has the wheel, what it asks for, and a kernel and its runner."""
    home = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(home, with_pip=True)
    run(home / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, "ipykernel", "nbclient")
    return home / "bin"


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """Nothing of this process's environment that could lead back to the tree, and sessions of its own."""
    home = tmp_path_factory.mktemp("home")
    (home / "warp.toml").write_text('models = ["demo:ok"]\n[storage]\ntype = "embedded"\n', encoding="utf-8")
    runtime = tempfile.mkdtemp(prefix="warp-wheel-")  # short: a socket lies in it
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    yield kept | {
        "HOME": str(home),
        "WARP_CONFIG": str(home / "warp.toml"),
        "WARP_DATA_DIR": str(home / "data"),
        "WARP_RUN_DIR": runtime,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_TOKEN": secrets.token_hex(16),
    }
    shutil.rmtree(runtime, ignore_errors=True)


def run(*command, **more):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=500, **more)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr if command[-1] == "list" else done.stdout


def test_holds_every_file_of_both_packages(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = {
        path.relative_to(ROOT).as_posix()
        for package in ("warp_magics", "jupyter_server_ext")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "etc" not in path.parts
    }
    assert tracked <= names
    assert [name for name in names if name.endswith("etc/jupyter/jupyter_server_config.d/jupyter_server_ext.json")]
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert not [name for name in names if name.startswith(("tests/", "docs/", "notebooks/", "deploy/"))]


def test_is_installed_apart_from_the_tree(bin_dir, env, tmp_path):
    where = run(bin_dir / "python", "-c", "import warp_magics; print(warp_magics.__file__)", env=env, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(bin_dir.parent)


def test_installing_it_enables_the_server_extension(bin_dir, env, tmp_path):
    listing = run(bin_dir / "jupyter", "server", "extension", "list", env=env, cwd=tmp_path)
    (line,) = [line for line in listing.splitlines() if "jupyter_server_ext" in line and "enabled" in line]
    assert "disabled" not in line
    assert "OK" in listing[listing.index("jupyter_server_ext") :]


def test_a_cell_and_a_rest_call_share_a_session(bin_dir, env, tmp_path):
    _, (answer, *_), history, (saved, panel) = cells(bin_dir, env, tmp_path)
    assert answer["data"]["text/markdown"].strip()
    assert "Hello from a cell." in json.dumps(history)
    assert "Hello from a cell." in saved["data"]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in panel["data"]

    server = subprocess.Popen(
        [bin_dir / "jupyter-server", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1", "--no-browser", "--allow-root"],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "log").open("wb"),
    )
    try:
        url = await_url(server, Path(env["JUPYTER_RUNTIME_DIR"]), tmp_path / "log")
        body = {"prompt": "And hello from REST.", "sessionId": "wheel", "models": ["demo:ok"]}
        said = ask(f"{url}warp/api/v1/prompt", env["JUPYTER_TOKEN"], body)
        assert said["sessionId"] == "wheel"
        assert said["text"].strip()
        turns = ask(f"{url}warp/api/v1/sessions/wheel/history", env["JUPYTER_TOKEN"])["turns"]
        assert [turn["prompt"].strip() for turn in turns] == ["Hello from a cell.", "And hello from REST."]
        assert [turn["source"]["kind"] for turn in turns] == ["cell", "rest"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def cells(bin_dir, env, folder):
    return json.loads(run(bin_dir / "python", "-c", RUN_CELLS, json.dumps(CELLS), env=env, cwd=folder))


def await_url(server, runtime, log):
    info = runtime / f"jpserver-{server.pid}.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            url = json.loads(info.read_bytes())["url"]
            urllib.request.urlopen(f"{url}warp/api/v1/health/ready", timeout=5).close()
        except (OSError, ValueError):
            time.sleep(0.1)
        else:
            return url
    pytest.fail(f"the server was not ready: {log.read_text()[-3000:]}")


def ask(url, token, body=None):
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
