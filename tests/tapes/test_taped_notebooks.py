"""Whole notebooks, recorded and run again by nbval, nbclient, nbconvert and papermill, with nobody to ask."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fakes.local_model import local_model
from tests.fakes.provider import FakeProvider
from tests.notebook.kernel import KEY, home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SKIP = "nbval-skip"


def cells(path):
    """The code cells of a notebook that a replay runs."""
    found = nbformat.read(path, as_version=4).cells
    return [cell for cell in found if cell.cell_type == "code" and SKIP not in cell.metadata.get("tags", ())]


@pytest.fixture
def copied(tmp_path):
    """The notebooks with their tape, where they may be changed."""
    return Path(shutil.copytree(FOLDER, tmp_path / "notebooks"))


@pytest.fixture
def nobody(tmp_path):
    """An environment with no configuration, no key and an empty home."""
    env = {
        k: v for k, v in os.environ.items() if not k.startswith(("WARP_", "JUPYTER", "IPYTHON")) and "_API_KEY" not in k
    }
    env |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    env |= {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    for name in ("home", "mpl", "ipython", "data"):
        (tmp_path / name).mkdir()
    return env


def run(env, folder, *command, alone=False):
    """Run a module of Python; `alone` in a network of its own, where there is nobody else."""
    words = [sys.executable, "-m", *map(str, command)]
    if alone:
        script = 'ip link set lo up && exec "$@"'
        words = [
            "unshare",
            *([] if os.geteuid() == 0 else ["--map-root-user"]),
            "--net",
            "sh",
            "-c",
            script,
            "sh",
            *words,
        ]
    return subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def test_plain_nbval_passes_on_all_notebooks_without_a_network(copied, nobody):
    told = run(
        nobody, copied, "pytest", "--nbval", "--warp-tape=replay", "-q", "-p", "no:cacheprovider", ".", alone=True
    )
    assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-1000:]
    expected = sum(len(cells(path)) for path in NOTEBOOKS)
    assert f"{expected} passed" in told.stdout
    files = {path.name: path.read_bytes() for path in (FOLDER / ".warp" / "tape").iterdir()}
    assert {path.name: path.read_bytes() for path in (copied / ".warp" / "tape").iterdir()} == files


def test_in_that_network_there_is_nobody(nobody, tmp_path):
    """What the test above proves: a request to anywhere ends at once."""
    code = "import socket\nsocket.create_connection(('192.0.2.1', 80), 5)"
    told = run(nobody, tmp_path, "timeit", "-n", "1", "-r", "1", code, alone=True)
    assert "unreachable" in told.stderr


def test_every_cell_that_asks_a_model_is_on_the_tape_and_the_others_are_listed():
    listed = (ROOT / "docs" / "reproducible-notebooks.md").read_text("utf-8")
    told = set(re.findall(r"^\| `(\S+)` \| `(\S+)` \|", listed, re.MULTILINE))
    skipped = {
        (path.name, cell.id)
        for path in NOTEBOOKS
        for cell in nbformat.read(path, as_version=4).cells
        if SKIP in cell.metadata.get("tags", ())
    }
    assert told == skipped
    for path in NOTEBOOKS:
        assert any(cell.outputs for cell in cells(path) if cell.source.startswith("%%warp"))


def shown(notebook):
    return {cell.id: json.dumps(cell.outputs, sort_keys=True) for cell in notebook.cells if cell.cell_type == "code"}


def differences(one, two):
    return "\n".join(
        difflib.unified_diff(*(json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (one, two)), n=0)
    )


@pytest.mark.parametrize("name", ["01_quickstart.ipynb", "05_reproducible.ipynb"])
def test_nbconvert_and_papermill_show_what_stands_there(copied, nobody, name):
    kept = shown(nbformat.read(copied / name, as_version=4))
    env = nobody | {"WARP_TAPE": "replay"}
    for command in (
        ("nbconvert", "--to", "notebook", "--execute", "--output", "out", name),
        ("papermill", "--no-progress-bar", name, "out.ipynb"),
    ):
        told = run(env, copied, *command)
        assert told.returncode == 0, told.stderr[-2000:]
        again = shown(nbformat.read(copied / "out.ipynb", as_version=4))
        assert again == kept, f"{command[0]}: {differences(kept, again)}"


# -- recorded here ---------------------------------------------------------------------------------


@pytest.fixture
def executed(copied, nobody, monkeypatch):
    """Runs a notebook in its folder with an environment, and returns it."""

    def ran(notebook, **env):
        for name in [name for name in os.environ if name.startswith("WARP_")]:
            monkeypatch.delenv(name)
        for name, value in (nobody | env).items():
            monkeypatch.setenv(name, value)
        made = nbformat.from_dict(notebook)
        NotebookClient(made, timeout=200, allow_errors=True, record_timing=False).execute(cwd=str(copied))
        return made

    return ran


def test_recorded_with_a_real_model_and_replayed_it_is_the_same(copied, executed, tmp_path):
    shutil.rmtree(copied / ".warp")
    notebook = nbformat.read(copied / "01_quickstart.ipynb", as_version=4)
    with local_model(tmp_path) as url:
        (tmp_path / "warp.toml").write_text(
            f'models = ["local:smollm2"]\n[providers.local]\ndialect = "openai"\nbase_url = "{url}"\n[storage]\ntype = "memory"\n'
        )
        recorded = executed(notebook, WARP_TAPE="record", WARP_CONFIG=str(tmp_path / "warp.toml"))
    assert "Paris" in str(shown(recorded))
    for _ in range(2):
        replayed = executed(notebook, WARP_TAPE="replay")
        assert nbformat.writes(replayed) == nbformat.writes(recorded), differences(shown(recorded), shown(replayed))


CHANGES = {
    "a word of its prompt": ("out", "And of Japan?", "And of China?", ["[-Japan-]{+China+}"]),
    "a parameter": ("out", "--max-tokens 60", "--max-tokens 61", ["max_tokens: [-60-]{+61+}"]),
    "the models": ("out", "--temperature 0", "--temperature 0 -m demo:ok", ['models: [-"default"-]{+["demo:ok"]+}']),
    "a turn before": ("follow-up", "And of Italy?", "And of Spain?", ["[-Italy-]{+Spain+}", "turns before it"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_has_changed_is_missed_and_explained(executed, copied, what):
    place, was, now, told = CHANGES[what]
    notebook = nbformat.read(copied / "01_quickstart.ipynb", as_version=4)
    changed = next(cell for cell in notebook.cells if cell.id == place)
    assert was in changed.source
    changed.source = changed.source.replace(was, now)
    replayed = executed(notebook, WARP_TAPE="replay")
    errors = {
        cell.id: output.evalue
        for cell in replayed.cells
        for output in cell.get("outputs", ())
        if output.output_type == "error" and output.ename == "TapeMiss"
    }
    assert next(iter(errors)) == place
    assert "nearest is" in errors[place]
    for part, message in zip(told, errors.values(), strict=False):
        assert part in message
    assert len(errors) == len(told)


def test_the_plugin_records_and_replays_plain_tests(nobody, tmp_path):
    tests = tmp_path / "suite"
    tests.mkdir()
    (tests / "test_it.py").write_text(
        "from warp_magics import Warp\n\n\ndef test_it():\n    assert Warp().ask('hello').text == \"You said 'hello' in message 1.\"\n"
    )
    folder = tests / "kept"
    with FakeProvider.in_thread() as fake, home(fake) as place:
        env = nobody | {
            name: place.env[name] for name in ("WARP_CONFIG", "LAB_API_KEY", "WARP_DATA_DIR", "WARP_RUN_DIR")
        }
        told = run(
            env, tests, "pytest", "-q", "--warp-tape=record", f"--warp-tape-dir={folder}", "-p", "no:cacheprovider"
        )
        assert "1 passed" in told.stdout, told.stdout
        assert len(fake.requests) == 1
    assert KEY not in "".join(path.read_text("utf-8") for path in folder.iterdir())
    told = run(
        nobody,
        tests,
        "pytest",
        "-q",
        "--warp-tape=replay",
        "--warp-tape-dir=kept",
        "-p",
        "no:cacheprovider",
        alone=True,
    )
    assert "1 passed" in told.stdout, told.stdout
    told = run(nobody, tests, "pytest", "-q", "--warp-tape=replay", "--warp-tape-dir=other", "-p", "no:cacheprovider")
    assert "TapeMiss" in told.stdout
    assert "invalid choice" in run(nobody, tests, "pytest", "--warp-tape=reply").stderr
