"""A kernel of a real Jupyter Server asks by that server's gateway: no key in the kernel, and the sessions are one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.notebook.kernel import KEY, Kernel
from tests.notebook.served import NO_KEY, TOML, ServedKernel
from tests.server.process import JupyterProcess, running_jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def configured(lab, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("config")
    (folder / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    return {"WARP_CONFIG": str(folder / "warp.toml"), "LAB_API_KEY": KEY}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server") / "one"


@pytest.fixture(scope="module")
def server(configured, folder) -> Iterator[JupyterProcess]:
    with running_jupyter(folder, configured) as process:
        yield process


@pytest.fixture
def script(server, tmp_path):
    """Runs a script with no way to a gateway but what `env` says, and returns the lines it printed."""

    def run(code, **env):
        bare = {k: v for k, v in os.environ.items() if not k.startswith(("WARP_", "JPY_"))}
        bare |= {"WARP_RUN_DIR": str(tmp_path / "run"), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        bare |= {"WARP_CONFIG": str(tmp_path / "warp.toml")}
        (tmp_path / "warp.toml").write_text('[storage]\ntype = "memory"\n')
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, env=bare | env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert server.token not in done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def shown(kernel: Kernel, line: str) -> str:
    """What a line shows, as one line: sentences are wrapped."""
    return " ".join(kernel.run(line).shown[0]["data"]["text/plain"].split())


def test_a_cell_asks_by_the_servers_gateway_and_without_a_key(server, folder, lab):
    before = len(lab.calls("ok@served"))
    with ServedKernel(server, folder, NO_KEY) as kernel:
        told = kernel.run("%%warp -s shared -o reply\nfrom the kernel").everything
        assert kernel.value("(reply.text, reply.model)") == (
            "You said 'from the kernel' in message 1.",
            "lab:ok@served",
        )
        overview = shown(kernel, "%warp")
        assert f"this kernel's Jupyter Server at {server.url}warp" in overview
        assert "has a configured model" in overview
        with server.client() as rest:
            assert rest.get("health/ready").json()["gatewayId"][:8] in overview
            (turn,) = rest.get("sessions/shared/history").json()["turns"]
            assert (turn["prompt"], turn["source"]["kind"]) == ("from the kernel", "cell")
            rest.post("prompt", json={"prompt": "from REST", "sessionId": "shared"}).raise_for_status()
        kernel.run("%%warp -s shared\nfrom the kernel again")
        history = shown(kernel, "%warp history shared")
        assert [words in history for words in ("from REST", "from the kernel again")] == [True, True]
        assert "shared" in shown(kernel, "%warp sessions")
        assert "lab:ok@served" in shown(kernel, "%warp models")
        (announced,) = (folder / "runtime").glob("warp-*.json")
        token = json.loads(announced.read_text())["token"]
        assert token not in told + overview
        assert not kernel.value(f"[name for name, value in os.environ.items() if {token!r} in value]")
        assert not kernel.value(f"{server.token!r} in open({str(announced)!r}).read()")
    assert len(lab.calls("ok@served")) == before + 3


def test_a_process_of_the_kernel_and_a_forked_child_of_it_ask_there_too(server, folder):
    with ServedKernel(server, folder, NO_KEY) as kernel:
        told = kernel.run(
            "import subprocess, sys\n"
            "code = '''\nimport os\nfrom warp_magics import Warp\nWarp().ask(\"x\")\n"
            'if (pid := os.fork()) == 0:\n    print(Warp().ask("y").model, flush=True)\n    os._exit(0)\n'
            "os.waitpid(pid, 0)'''\n"
            "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60))"
        ).stream()
    assert "returncode=0" in told
    assert "lab:ok@served" in told


def test_a_server_that_keeps_its_keys_and_has_no_model_says_so(tmp_path):
    (tmp_path / "warp.toml").write_text('[storage]\ntype = "memory"\n')
    with (
        running_jupyter(tmp_path / "bare", {"WARP_CONFIG": str(tmp_path / "warp.toml")}) as bare,
        ServedKernel(bare, tmp_path / "bare", "%load_ext warp_magics") as kernel,
    ):
        said = kernel.run("%%warp\nhello", ok=False).error["evalue"]
    assert "cannot be asked: No model is configured there." in said
    assert "hide_keys = false" in said


def test_a_server_without_a_model_lets_the_kernel_answer_itself_where_it_hides_no_key(lab, tmp_path):
    (tmp_path / "warp.toml").write_text('[storage]\ntype = "memory"\n[server]\nhide_keys = false\n')
    (tmp_path / "mine.toml").write_text(TOML.format(base_url=lab.base_url).replace("@served", "@mine"))
    env = {"WARP_CONFIG": str(tmp_path / "warp.toml")}
    mine = f"import os\nos.environ |= {{'WARP_CONFIG': {str(tmp_path / 'mine.toml')!r}, 'LAB_API_KEY': {KEY!r}}}\n"
    with running_jupyter(tmp_path / "bare", env) as bare:
        with ServedKernel(bare, tmp_path / "bare", "%load_ext warp_magics") as kernel:
            kernel.run("%%warp -o reply\nhello")
            assert kernel.value("reply.model") == "demo:ok"
            overview = shown(kernel, "%warp")
            assert "in this process" in overview
            assert "passed over: No model is configured there." in overview
        with ServedKernel(bare, tmp_path / "bare", mine + "%load_ext warp_magics") as kernel:
            kernel.run("%%warp -o reply\nhello")
            assert kernel.value("reply.model") == "lab:ok@mine"


def test_connecting_asks_the_front_end_for_the_token_and_shows_it_to_nobody(server, folder):
    with ServedKernel(server, folder, NO_KEY) as kernel:
        refused = kernel.run(f"%warp connect {server.warp}", ok=False)  # this front end takes no input
        assert "WARP_GATEWAY_TOKEN" in refused.error["evalue"]
        before = shown(kernel, "%warp")
        for typed, status in (("wrong", "error"), (server.token, "ok")):
            content = {"code": f"%warp connect {server.warp}", "silent": False, "store_history": True}
            asking = kernel.send("execute_request", content | {"user_expressions": {}, "allow_stdin": True})
            question = kernel.client.get_stdin_msg(timeout=30)["content"]
            assert (question["password"], server.warp in question["prompt"]) == (True, True)
            kernel.client.input(typed)
            ran = kernel.wait(asking)
            assert (ran.status, typed in ran.everything) == (status, False)
            if status == "error":
                assert "refuses the token" in ran.error["evalue"]
                assert shown(kernel, "%warp") == before, "the connection there was stays"
        assert f"{server.warp}, as %warp connect says" in ran.shown[0]["data"]["text/plain"]
        kernel.run("%%warp -o reply\nhello")
        assert kernel.value("reply.model") == "lab:ok@served"


def test_a_script_asks_at_a_url_and_so_does_its_forked_child(server, script):
    code = f"""
    import json, os
    from warp_magics import Warp
    from warp_magics.connect import connection
    def tell(*what): os.write(1, (json.dumps(what) + "\\n").encode())
    warp = Warp(url="{server.warp}", token=os.environ.pop("T"), session="script")
    tell(warp.ask("one").text)
    if (pid := os.fork()) == 0:
        tell(warp.ask("two").text)
        os._exit(0)
    os.waitpid(pid, 0)
    tell("".join(warp.stream("three")), connection().why.split(";")[0])
    """
    told = script(code, T=server.token)
    said = [f"You said '{word}' in message {n}." for word, n in (("one", 1), ("two", 3), ("three", 5))]
    assert told == [[said[0]], [said[1]], [said[2], "in this process"]]


def test_a_server_that_ended_leaves_nothing_and_a_killed_one_a_file_that_is_passed_over(configured, tmp_path, script):
    runtime = tmp_path / "two" / "runtime"
    code = "import json\nfrom warp_magics.connect import connection\nprint(json.dumps(connection().why))"
    with running_jupyter(tmp_path / "two", configured) as two:
        (announced,) = runtime.glob("warp-*.json")
        facts = json.loads(announced.read_text())
        env = {"JUPYTER_RUNTIME_DIR": str(runtime), "JPY_PARENT_PID": str(facts["pid"])}
        env["WARP_SERVER_ID"] = facts["server_id"]
        assert script(code, **env)[0].startswith("this kernel's Jupyter Server")
        assert script(code, **env | {"WARP_SERVER_ID": "another"})[0].startswith("in this process")
        two.process.send_signal(signal.SIGKILL)
        two.process.wait()
        assert announced.exists()
        assert script(code, **env)[0].startswith("in this process")
    with running_jupyter(tmp_path / "three", configured) as three:
        (announced,) = (tmp_path / "three" / "runtime").glob("warp-*.json")
        assert three.stop() == 0
        assert not announced.exists()
        assert json.loads(json.dumps(facts["token"])) not in three.log.read_text()
