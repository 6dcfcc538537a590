"""What goes wrong in other notebooks with models in them, and does not here: in a real kernel, with either gateway.

Braces, values read twice, parameters: test_options. Run All and restarts: test_runs_again. Imports: tests/house.
"""

from __future__ import annotations

import itertools

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fakes.provider import Fault, Reply
from tests.notebook.kernel import KEY

pytestmark = pytest.mark.slow

numbers = itertools.count()


@pytest.fixture
def model() -> str:
    return f"ok-{next(numbers)}-pitfall"


def texts(ran):
    return [m["content"]["data"].get("text/markdown") for m in ran.displays if "text/markdown" in m["content"]["data"]]


def test_an_answer_streams(front, lab, model):
    lab.script(model, Reply(chunks=[f"word{n} " for n in range(60)], delay=0.01))
    grown = texts(front.run(f"%%warp -m lab:{model}\nhello"))
    assert len(grown) > 3
    assert grown == sorted(grown, key=len)
    assert all(grown[-1].startswith(one) for one in grown)


def test_a_stop_is_heard_and_loses_nothing(front, lab, model):
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    msg = front.start(f"%%warp -m lab:{model} -s {model}\nhello")
    front.until_text(msg, "one ")
    front.interrupt()
    ran = front.wait(msg)
    assert ran.error["ename"] == "KeyboardInterrupt"
    assert texts(ran)[-1] == "one "
    lab.wait_until(lambda: [call for call in lab.disconnects if call.model == model])
    lab.release()
    history = front.run(f"%warp history {model}").shown[0]["data"]["text/plain"]
    assert "one [stopped]" in history
    assert front.value("1 + 1") == 2


@pytest.mark.parametrize("behaviour", ["fail-401", "fail-500", "cut-2"])
def test_an_error_is_raised_not_told_as_an_answer(front, behaviour):
    ran = front.run(f"%%warp -m lab:{behaviour}@pit{next(numbers)}\nhello", ok=False)
    assert ran.status == "error"
    assert len(ran.reply["traceback"]) == 2  # what happened, and what to do
    assert "execute_result" not in {m["msg_type"] for m in ran.messages}
    assert KEY not in ran.everything


def test_the_magic_returns_nothing_and_run_all_stops_at_an_error(front, lab, model):
    assert front.run(f"%%warp -m lab:{model}\nhello").displays[-1]["msg_type"] == "display_data"
    first = front.start(f"%%warp -m lab:fail-401@pit{next(numbers)}\nhello", stop_on_error=True)
    second = front.start(f"%%warp -m lab:{model}\nafter", stop_on_error=True)
    assert front.wait(first).status == "error"
    front.until(lambda: front.reply(second))
    assert front.reply(second)["content"]["status"] in ("aborted", "error")
    assert len(lab.calls(model)) == 1


def test_the_document_is_not_touched(place, monkeypatch, tmp_path):
    for name, said in place.env.items():
        monkeypatch.setenv(name, said)
    cells = ["%load_ext warp_magics", "%%warp -s document\nhello", "%%warp -f code\nx = 1", "%warp history document"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = tmp_path / "n.ipynb"
    nbformat.write(made, path)
    before = path.read_bytes()
    NotebookClient(made, kernel_name="python3", timeout=60).execute(cwd=str(tmp_path))
    assert path.read_bytes() == before
    assert [cell.source for cell in made.cells] == cells
    assert [one.name for one in tmp_path.iterdir()] == ["n.ipynb"]
    assert KEY not in nbformat.writes(made)


def test_a_key_in_a_file_of_the_working_folder_is_not_read(front, lab, model):
    front.run("import os, pathlib\nkept = os.getcwd()\nos.chdir(__import__('tempfile').mkdtemp())")
    try:
        front.run("_ = pathlib.Path('.env').write_text('OPENAI_API_KEY=sk-from-the-folder')")
        front.run("_ = pathlib.Path('warp.toml').write_text('models = [')")
        assert front.run(f"%%warp -m lab:{model}\nhello").status == "ok"
        assert front.value("os.environ.get('OPENAI_API_KEY')") is None
        assert "sk-from-the-folder" not in front.run("%warp").everything
    finally:
        front.run("os.chdir(kept)")
