"""`make demo` ends as it should: Ctrl-C, or a clean-up after it was killed, leaves no process behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path):
    """The demo's files in a folder of their own, so that no other demo is met."""
    for name in ("deploy", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def demo(tree):
    """A demo whose JupyterLab is up, on a terminal."""
    child = pexpect.spawn(sys.executable, [str(tree / "deploy/demo/demo.py")], timeout=90, encoding="utf-8", cwd=tree)
    child.expect(r"http://127\.0\.0\.1:\d+/lab\S*")
    yield child
    child.close(force=True)


def left_of(directory: str) -> list[str]:
    """The command lines of processes that name ``directory``; those that have ended and wait for init are none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, state = (
                (folder / "cmdline").read_bytes(),
                (folder / "stat").read_text().rpartition(")")[2].split()[0],
            )
        except OSError:  # it ended while we looked
            continue
        if directory.encode() in words and state != "Z":
            found.append(words.replace(b"\0", b" ").decode())
    return found


def until_none_is_left(directory: str) -> None:
    until = time.monotonic() + 30
    while left := left_of(directory):
        assert time.monotonic() < until, left
        time.sleep(0.05)


def test_ctrl_c_leaves_nothing(tree, demo):
    directory = json.loads((tree / ".demo/running.json").read_text())["directory"]
    assert left_of(directory)
    demo.sendintr()
    demo.expect(pexpect.EOF, timeout=60)
    until_none_is_left(directory)
    assert not Path(directory).exists()


def test_what_a_killed_demo_left_is_cleaned_up(tree, demo):
    directory = json.loads((tree / ".demo/running.json").read_text())["directory"]
    demo.kill(9)
    demo.wait()
    subprocess.run([sys.executable, tree / "deploy/demo/demo.py", "--stop"], check=True, timeout=90)
    until_none_is_left(directory)
    assert not Path(directory).exists()
