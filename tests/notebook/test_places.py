"""Where notebooks and their cells are run besides JupyterLab: a terminal, nbconvert, papermill, VS Code, Colab."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import nbformat
import pexpect
import pytest

from tests.fakes.provider import Fault, Reply
from tests.notebook.kernel import KEY, Kernel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

numbers = itertools.count()
VSCODE = "vscode-notebook-cell:/home/me/n.ipynb#{}sZmlsZQ%3D%3D"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def sid() -> str:
    return f"place-{next(numbers)}"


@pytest.fixture
def history(kernel):
    """(prompt, status, answer) of each turn of a session, as another kernel sees them."""

    def told(session):
        kernel.run("from warp_magics.connect import connection\nat = connection()")
        turns = f"at.portal.call(lambda: at.gateway.history(at.owner, {session!r}))"
        return kernel.value(f"[(t.prompt, str(t.status), t.response) for t in {turns}]")

    return told


# -- a terminal ------------------------------------------------------------------------------------


class Terminal:
    """IPython in a terminal of its own."""

    def __init__(self, place):
        command = ["-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
        self.child = pexpect.spawn(
            sys.executable, command, env=place.env | {"TERM": "dumb"}, cwd=str(place.root), encoding="utf-8",
            timeout=40, dimensions=(40, 80),
        )  # fmt: skip
        self._ready()

    def _ready(self):
        self.child.expect(r"In \[\d+\]: ")
        return ESCAPES.sub("", self.child.before).replace("\r", "")

    def type(self, *lines):
        for line in (*lines, *(["", ""] if lines[0].startswith("%%") else [])):
            self.child.sendline(line)

    def run(self, *lines):
        """Type lines, a cell ends with an empty one, and return what was printed."""
        self.type(*lines)
        return self._ready()

    def wait(self):
        return self._ready()

    def close(self):
        self.child.sendline("exit")
        self.child.expect(pexpect.EOF)
        self.child.close()


@pytest.fixture
def terminal(place):
    opened = Terminal(place)
    try:
        opened.run("%load_ext warp_magics")
        yield opened
    finally:
        opened.close()


def test_a_terminal_prints_as_it_comes_and_every_prompt_is_a_new_turn(terminal, history, sid):
    for _ in range(2):
        said = terminal.run(f"%%warp -s {sid}", "hello")
        assert "You said 'hello' in message" in said
        assert "lab:ok · first token" in said
        assert "<div" not in said
    assert [turn[:2] for turn in history(sid)] == [("hello", "complete")] * 2
    told = terminal.run(f"%warp history {sid}")
    assert told.count("hello") >= 2
    assert max(map(len, told.splitlines()[1:])) <= 80
    assert KEY not in told


def test_ctrl_c_in_a_terminal_keeps_the_part_and_continue_goes_on(terminal, lab, history, sid):
    model = f"part@{sid}"
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1), Reply(chunks=["more"]))
    terminal.type(f"%%warp -s {sid} -m lab:{model}", "hello")
    terminal.child.expect("one ")
    terminal.child.sendintr()
    assert "KeyboardInterrupt" in terminal.wait()
    lab.release()
    assert history(sid) == [("hello", "stopped", "one ")]
    assert "one more" in terminal.run("%warp continue")
    assert history(sid) == [("hello", "complete", "one more")]


# -- as a process ----------------------------------------------------------------------------------


def written(path, *cells, tags=None):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for cell in made.cells[: 1 if tags else 0]:
        cell.metadata["tags"] = tags
    nbformat.write(made, path)
    return path


def ran(place, *command):
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        env=place.env, cwd=place.root, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_nbconvert_twice_is_once(place, history, sid, tmp_path):
    path = written(tmp_path / "n.ipynb", "%load_ext warp_magics", f"%%warp -s {sid}\none", f"%%warp -s {sid}\ntwo")
    for _ in range(2):
        done = ran(place, "nbconvert", "--to", "notebook", "--execute", "--output", "out", path)
        assert done.returncode == 0, done.stderr
    assert [turn[0] for turn in history(sid)] == ["one", "two"]
    made = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    answer, route = made.cells[2].outputs
    assert answer.data["text/markdown"] == "You said 'two' in message 3."
    assert answer.metadata["warp"]["session"] == sid
    assert route.data["text/plain"].startswith("lab:ok · ")
    assert KEY not in nbformat.writes(made)


def test_nbconvert_fails_where_a_cell_does(place, sid, tmp_path):
    path = written(
        tmp_path / "n.ipynb", "%load_ext warp_magics", "%%warp -m lab:fail-401@nbconvert\none", "print('after')"
    )
    done = ran(place, "nbconvert", "--to", "notebook", "--execute", "--output", "out", path)
    assert done.returncode != 0
    assert "AccessRefused" in done.stderr
    assert KEY not in done.stderr


def test_papermill_and_its_parameters(place, history, sid, tmp_path):
    cells = (
        "city = 'Paris'",
        "%load_ext warp_magics",
        f"%%warp -s {sid} --raw\nplain",
        f"%%warp -s {sid}\nAnd {{city}}?",
    )
    path = written(tmp_path / "n.ipynb", *cells, tags=["parameters"])
    done = ran(place, "papermill", path, tmp_path / "out.ipynb", "-p", "city", "Rome", "-k", "python3")
    assert done.returncode == 0, done.stderr
    assert [turn[0] for turn in history(sid)] == ["plain", "And Rome?"]
    made = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert made.cells[-1].outputs[0].data["text/markdown"] == "You said 'And Rome?' in message 3."


# -- other front ends ------------------------------------------------------------------------------


def test_as_vs_code_drives_a_kernel(place, history, sid):
    with Kernel(place, load=False) as its:
        its.run("__vsc_ipynb_file__ = '/home/me/n.ipynb'", cell=VSCODE.format("W0"))
        its.run("%load_ext warp_magics", cell=VSCODE.format("W1"))
        for _ in range(2):
            for at, prompt in enumerate(("one", "two")):
                its.run(f"%%warp -s {sid}\n{prompt}", cell=VSCODE.format(f"X{at}"))
        ran_ = its.run(f"%%warp -s {sid}\none, edited", cell=VSCODE.format("X0"))
        assert ran_.shown[0]["data"]["text/markdown"] == "You said 'one, edited' in message 1."
    assert [turn[0] for turn in history(sid)] == ["one, edited"]


def test_as_colab_drives_a_kernel(place, history, sid):
    """No cell ids, no sub-shell, no comm; widgets and a new loop are nobody's business."""
    for _ in range(2):
        with Kernel(place) as its:
            ran_ = its.run(f"%%warp -s {sid} -f code\none")
            assert ran_.shown[0]["data"]["text/markdown"] == "You said 'one' in message 2."
            its.run(f"%%warp -s {sid}\ntwo")
            assert its.run("%warp").status == "ok"
    assert [turn[0] for turn in history(sid)] == ["one", "two"]
