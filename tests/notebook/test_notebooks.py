"""The notebooks that teach, each run from top to bottom, as a reader would."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fakes.provider import FakeProvider, Reply
from tests.notebook.kernel import KEY, home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture
def provider():
    with FakeProvider.in_thread() as fake:
        yield fake


@pytest.fixture
def run(provider, monkeypatch, tmp_path):
    """Runs a notebook in a home of its own and returns what each cell shows, by the cell's id."""
    with home(provider) as place:
        for name, said in (place.env | {"JUPYTER_DATA_DIR": str(place.root / "jupyter-data")}).items():
            monkeypatch.setenv(name, said)

        def ran(name):
            notebook = nbformat.read(FOLDER / name, as_version=4)
            nbformat.validate(notebook)
            NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
            assert KEY not in nbformat.writes(notebook)
            return {cell.id: "\n".join(map(told, cell.get("outputs", []))) for cell in notebook.cells}

        yield ran


def told(output):
    """What a person reads of an output."""
    return output.get("text") or output.get("data", {}).get("text/plain", "")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_kept_clean(path):
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in notebook["cells"]:
        assert cell["id"].replace("-", "").isalpha()
        assert set(cell["metadata"]) <= {"tags"}
    shown = json.dumps([cell["outputs"] for cell in code])
    assert not re.search(r"/tmp/|/root|/home/|127\.0\.0\.1|\\u001b", shown)
    assert notebook["cells"][0]["source"][0].startswith("# ")


def test_the_quickstart_twice_is_once(run, provider):
    turns = [re.findall(r"^ *\d+  (.*?)  ", run("01_quickstart.ipynb")["history"], re.MULTILINE) for _ in range(2)]
    assert turns[0] == turns[1]
    assert len(turns[0]) == 3


def test_one_conversation_in_two_kernels_and_curl(run):
    said = run("02_one_conversation.ipynb")
    assert "in message 3." in said["second"]
    answer = json.loads(said["third"].replace("\n", ""))
    assert answer["text"] == "You said 'And doubled?' in message 5."
    for prompt in ("My favourite number is 7", "Which number did I name?", "And doubled?"):
        assert prompt in said["history"]


def test_a_fallback_one_can_watch(run):
    said = run("03_fallback.ipynb")
    assert "demo:ok · fell back from demo:fail-503 (503, back in" in said["chain"]
    assert "demo:fail-503" in said["route"]
    assert said["cooling"] == "demo:fail-503 is cooling: 503\n"
    assert "fell back from demo:fail-503" in said["again"]
    assert "fell back from demo:cut" in said["break"]
    assert "NoModelsAvailable: " in said["alone"]


def test_the_same_again_without_a_model(run, provider):
    """Live: its own answers are asked for, and the tape to play with is the demo provider's."""
    said = run("05_reproducible.ipynb")
    assert "in message 3." in said["own-next"]
    assert "2 used, 0 missing, 0 unused" in said["status"]
    assert "Say it [-twice-]{+thrice+}." in said["miss"]
    assert "1 used, 1 missing, 1 unused" in said["unused"]
    assert len(provider.requests) == 2


def test_data_in_and_objects_out_without_a_model(run, monkeypatch):
    """As somebody without a key runs it: the demo provider's objects have the right form."""
    monkeypatch.delenv("WARP_CONFIG")
    said = run("04_data_in_objects_out.ipynb")
    assert said["value"] == "demo in demo: +0 %\n"
    assert "Finding(month='demo'" in said["python"]


def test_data_in_and_objects_out(run, provider):
    north = '{"month": "May", "region": "north", "change_percent": -36.2}'
    south = '{"month": "March", "region": "south", "change_percent": -2.4}'
    provider.script("ok", Reply(), *(Reply(chunks=[one]) for one in (north, north, south)))
    said = run("04_data_in_objects_out.ipynb")
    assert "The table has 6 months, in thousand euros." in said["braces"]
    for part in ("Nothing was sent", "6 rows, 3 columns", "- north (int64): min 90", "2026-05-01"):
        assert part in said["dry"]
    assert "[image/png figure]" in said["dry-figure"]
    assert said["value"] == "north in May: -36 %\n"
    assert "region='south'" in said["python"]
    assert len(provider.requests) == 4
