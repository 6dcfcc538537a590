"""Kernels and terminals of a real server hold no key where a warp.toml is found; their prompts are answered all the same."""

from __future__ import annotations

import json
import os

import httpx
import pytest

from tests.notebook.kernel import KEY
from tests.notebook.served import ServedKernel
from tests.server.process import poll, running_jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

PLANTED = "planted-key-71f0c2aa"
ROWS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "COHERE_API_KEY", "CO_API_KEY")
NAMED = ("LAB_API_KEY", "LAB_TEAM", "STORE_SECRET")
TOML = """
models = ["lab:ok@hidden"]
allow = ["lab:ok*"]
[providers.lab]
dialect = "openai"
base_url = "{base_url}"
api_key = "${{LAB_API_KEY}}"
headers = {{ "x-team" = "${{LAB_TEAM}}" }}
[storage]
type = "memory"
password = "${{STORE_SECRET}}"
{more}
"""
LOAD = "%load_ext warp_magics"
LEAKS = f"""
import json, os, subprocess, sys
show = "import json, os; print(json.dumps(dict(os.environ)))"
below = json.loads(subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout)
leaks = sorted({{name for env in (os.environ, below) for name, value in env.items() if {PLANTED!r} in value}})
"""


@pytest.fixture
def start(lab, tmp_path):
    """Starts a server to whose environment keys belong; `text` is its warp.toml, None: it has none."""
    env = dict.fromkeys((*ROWS, *NAMED), PLANTED) | {"MINE": "stays", "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    (tmp_path / "config").mkdir()
    terminal = {
        "shell_command": [
            "/bin/sh",
            "-c",
            f"env > {tmp_path}/terminal.draft; mv {tmp_path}/terminal.draft {tmp_path}/terminal; exec sleep 60",
        ]
    }
    settings = {"ServerApp": {"terminado_settings": terminal}}

    def run(more="", *, text=TOML, place="WARP_CONFIG"):
        path = tmp_path / ("config" if place == "folder" else "") / "warp.toml"
        if text is not None:
            path.write_text(text.format(base_url=lab.base_url, more=more))
        if place == "trait":
            settings["WarpExtension"] = {"config_file": str(path)}
        if place == "WARP_CONFIG" and text is not None:
            env["WARP_CONFIG"] = str(path)
        (tmp_path / "config" / "jupyter_server_config.json").write_text(json.dumps(settings))
        return running_jupyter(tmp_path / "one", env)

    return run


def terminal_of(server, tmp_path):
    """The environment of a terminal of the server."""
    httpx.post(f"{server.url}api/terminals", headers={"Authorization": f"token {server.token}"}).raise_for_status()
    poll((tmp_path / "terminal").exists, 30)
    return (tmp_path / "terminal").read_text()


@pytest.mark.parametrize("place", ["WARP_CONFIG", "folder", "trait"])
def test_no_key_is_in_a_kernel_a_process_of_it_or_a_terminal_and_cells_are_answered(start, tmp_path, lab, place):
    before = len(lab.calls("ok@hidden"))
    with start(place=place) as server, ServedKernel(server, tmp_path / "one", LOAD) as kernel:
        kernel.run(LEAKS)
        assert kernel.value("leaks") == []
        assert kernel.value("sorted(set(os.environ) & {'MINE', 'HOME', 'PATH'})") == ["HOME", "MINE", "PATH"]
        assert PLANTED not in terminal_of(server, tmp_path)
        told = kernel.run("%warp").everything
        assert all(name in told for name in (*ROWS, *NAMED))
        assert "hide_keys" in told
        kernel.run("%%warp -o reply\nhello")
        assert kernel.value("(reply.text, reply.model)") == ("You said 'hello' in message 1.", "lab:ok@hidden")
        assert "lab:other" in kernel.run("%%warp -m lab:other\nhello", ok=False).error["evalue"], "allow binds cells"
        log = server.log.read_text()
    assert PLANTED not in log
    (said,) = [line for line in log.splitlines() if "kept from kernels and terminals" in line]
    assert all(name in said for name in (*ROWS, *NAMED))
    (call,) = lab.calls("ok@hidden")[before:]
    assert (call.key, call.headers["x-team"]) == (PLANTED, PLANTED)


@pytest.mark.parametrize(("text", "more"), [(None, ""), (TOML, "[server]\nhide_keys = false")])
def test_without_a_file_and_where_it_says_so_they_stay(start, tmp_path, text, more):
    with start(more, text=text) as server, ServedKernel(server, tmp_path / "one", LOAD) as kernel:
        kernel.run(LEAKS)
        assert kernel.value("leaks") == sorted((*ROWS, *NAMED))
        told = terminal_of(server, tmp_path)
        assert all(f"{name}={PLANTED}" in told for name in (*ROWS, *NAMED))
        assert "kept from kernels" not in server.log.read_text()


@pytest.mark.parametrize(("more", "told"), [("[limits]\nzzz = 1", "limits.zzz"), ("[server", "is not TOML")])
def test_a_kernel_whose_server_cannot_answer_says_why_and_asks_nobody_else(start, tmp_path, more, told):
    """Not even where it has a key and a file of its own."""
    with start(more) as server, ServedKernel(server, tmp_path / "one", LOAD) as kernel:
        kernel.run(f"import os\nos.environ |= {{'OPENAI_API_KEY': {KEY!r}}}")
        said = kernel.run("%%warp\nhello", ok=False).error["evalue"]
        assert told in said
        assert "hide_keys" in said
        kernel.run(LEAKS)
        assert kernel.value("leaks") == []
        with server.client() as client:
            assert client.get("models").status_code == client.get("models").status_code == 500
        log = server.log.read_text()
        assert PLANTED not in log + said
        assert log.count(told) == 1, "what is wrong with a file is said once"


def test_a_configuration_that_is_put_right_is_read_with_the_keys_there_were(start, tmp_path, lab):
    with start("[limits]\nzzz = 1") as server, ServedKernel(server, tmp_path / "one", LOAD) as kernel:
        assert "limits.zzz" in kernel.run("%%warp\nhello", ok=False).error["evalue"]
        (tmp_path / "warp.toml").write_text(TOML.format(base_url=lab.base_url, more=""))
        kernel.run("%%warp -o reply\nhello")
        assert kernel.value("reply.model") == "lab:ok@hidden"


def test_keys_that_the_file_names_later_are_kept_too(start, tmp_path, lab):
    with start("[limits]\nzzz = 1") as server, ServedKernel(server, tmp_path / "one", LOAD):
        text = TOML.format(base_url=lab.base_url, more="").replace("STORE_SECRET", "MINE")
        (tmp_path / "warp.toml").write_text(text)
        with server.client() as client:
            assert client.get("models").is_success
        with ServedKernel(server, tmp_path / "one", LOAD) as later:
            assert later.value("'MINE' in __import__('os').environ") is False


def test_a_server_in_a_terminal_of_another_is_not_taken_for_one_that_hides(tmp_path):
    env = {"WARP_KEYS_HIDDEN": "1", "JUPYTER_CONFIG_DIR": str(tmp_path)}
    with running_jupyter(tmp_path / "one", env) as server, ServedKernel(server, tmp_path / "one", LOAD) as kernel:
        kernel.run("%%warp -o reply\nhello")
        assert kernel.value("reply.model") == "demo:ok"
    assert "WARP_KEYS_HIDDEN" not in os.environ
