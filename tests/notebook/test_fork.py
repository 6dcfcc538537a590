"""A process that has asked may fork: children ask by gateways of their own, and the parent goes on by its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")]
SECONDS = 40
PRELUDE = """
import json, multiprocessing, os, sys
from warp_magics import Warp

def tell(*what):
    os.write(1, (json.dumps(what) + "\\n").encode())

def ask(prompt, **options):
    reply = Warp().ask(prompt, **options)
    return [prompt in reply.text, reply.model]

def waited(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""
GOOD = [True, "demo:ok"]


@pytest.fixture(params=["memory", "embedded"])
def script(request, monkeypatch):
    """Runs a script, with the demo provider and folders of its own; what still runs at the end is killed."""
    root = Path(tempfile.mkdtemp(prefix="w-", dir="/tmp"))
    (root / "warp.toml").write_text(f'[storage]\ntype = "{request.param}"\n')
    ours = {"WARP_CONFIG": root / "warp.toml", "WARP_DATA_DIR": root / "data", "WARP_RUN_DIR": root / "run"}
    for name, path in ours.items():
        monkeypatch.setenv(name, str(path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))

    def run(code):
        (root / "script.py").write_text(PRELUDE + textwrap.dedent(code))
        command = [sys.executable, str(root / "script.py")]
        with (root / "err").open("w+") as err:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, start_new_session=True)
            try:
                out, _ = process.communicate(timeout=SECONDS)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            said = (root / "err").read_text()
            assert process.returncode == 0, said
            assert "Traceback" not in said, said
        return [json.loads(line) for line in out.splitlines()]

    yield run
    if request.param == "embedded":
        from warp_magics.gateway.stores.embedded import EmbeddedServer

        EmbeddedServer().stop()
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
def test_a_forked_child_asks_and_ends_and_the_parent_goes_on(script, end):
    told = script(
        f"""
        tell("before", *ask("one"))
        if (pid := os.fork()) == 0:
            tell("child", *ask("two"))
            if (grandchild := os.fork()) == 0:
                tell("grandchild", *ask("three"))
                {end}
            tell("grandchild ended", waited(grandchild))
            tell("child", *ask("four"))
            {end}
        tell("child ended", waited(pid))
        tell("after", *ask("five"))
        """
    )
    assert told == [
        ["before", *GOOD],
        ["child", *GOOD],
        ["grandchild", *GOOD],
        ["grandchild ended", 0],
        ["child", *GOOD],
        ["child ended", 0],
        ["after", *GOOD],
    ]


def test_a_pool_of_forked_children_asks_beside_the_parent(script):
    told = script(
        """
        if __name__ == "__main__":
            tell("before", *ask("one"))
            with multiprocessing.get_context("fork").Pool(3) as pool:
                asking = pool.map_async(ask, [f"p{n}" for n in range(6)])
                tell("beside", *ask("two"))
                tell("pool", asking.get(30))
                pool.close()
                pool.join()
            tell("after", *ask("three"))
        """
    )
    assert told == [["before", *GOOD], ["beside", *GOOD], ["pool", [GOOD] * 6], ["after", *GOOD]]


def test_a_fork_in_mid_answer_leaves_the_answer_to_the_parent(script):
    told = script(
        """
        answer = Warp().stream("one", model="demo:slow")
        first = next(answer)
        if (pid := os.fork()) == 0:
            tell("child", *ask("two"))
            os._exit(0)
        tell("child ended", waited(pid))
        tell("one" in first + "".join(answer))
        """
    )
    assert told == [["child", *GOOD], ["child ended", 0], [True]]
