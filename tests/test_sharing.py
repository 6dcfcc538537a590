"""A kernel's gateway and a server's are one in what counts: sessions, cooldowns, windows. And any key will do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fakes.provider import FakeProvider, Reply
from tests.notebook.kernel import Kernel, home
from tests.server.process import poll, running_jupyter

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

LIMITED = '[[model]]\nprovider = "lab"\nmodel = "few"\nlimits = { rate = { max = 3, time_window = "1h" } }\n'


def test_a_kernel_and_a_server_share_sessions_cooldowns_and_windows(fake, tmp_path):
    with (
        home(fake, extra=LIMITED) as place,
        Kernel(place) as kernel,
        running_jupyter(tmp_path / "server", place.env) as server,
        server.client() as rest,
    ):
        assert kernel.run("%load_ext warp_magics").reply["status"] == "ok"

        # The program that keeps it all is named: PATH's goes before the wheel's.
        assert re.search(r"embedded \((redis|valkey) [\d.]+, /\S+-server\)", kernel.run("%warp").everything)

        # A model that fails in the kernel is not asked by the server.
        kernel.run("%%warp --session both -m lab:fail-503 -m lab:ok\nfirst")
        assert len(fake.calls("fail-503")) == 1
        body = {"prompt": "second", "sessionId": "both", "models": ["lab:fail-503", "lab:ok"]}
        answer = rest.post("prompt", json=body).json()
        assert len(fake.calls("fail-503")) == 1
        assert [(one["model"], one["outcome"]) for one in answer["route"]] == [
            ("lab:fail-503", "cooling"),
            ("lab:ok", "ok"),
        ]

        # And it is the same conversation: the model was sent both turns.
        assert len(fake.calls("ok")[-1].messages) == 3
        turns = rest.get("sessions/both/history").json()["turns"]
        assert [(turn["prompt"], turn["source"]["kind"]) for turn in turns] == [("first", "cell"), ("second", "rest")]

        # Three requests in the window are three, whoever makes them.
        for prompt in ("one", "two"):
            assert kernel.run(f"%%warp -m lab:few\n{prompt}").reply["status"] == "ok"
        assert rest.post("prompt", json={"prompt": "three", "models": ["lab:few"]}).status_code == 200
        assert kernel.run("%%warp -m lab:few\nfour", ok=False).reply["ename"] == "OwnLimit"
        refused = rest.post("prompt", json={"prompt": "five", "models": ["lab:few"]})
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 3600
        assert len(fake.calls("few")) == 3


TERMINAL = """
import sys
from warp_magics import Warp
print(Warp(session="all").ask(sys.argv[1]).text)
"""


def terminal(place, prompt):
    """A prompt from plain Python."""
    command = [sys.executable, "-c", TERMINAL, prompt]
    ran = subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def storage(place, what):
    """What `jupyter warp storage` says."""
    command = [Path(sys.executable).with_name("jupyter"), "warp", "storage", what]
    return subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=60, check=True).stdout


def process_of(place):
    found = re.search(r"^state +running, process (\d+)$", storage(place, "status"), re.MULTILINE)
    return int(found[1]) if found else None


def test_two_kernels_a_server_and_a_terminal_have_one_store_also_after_its_crash(fake, tmp_path):
    with home(fake) as place:
        assert "not running" in storage(place, "status")
        with (
            Kernel(place) as one,
            Kernel(place) as other,
            running_jupyter(tmp_path / "server", place.env) as server,
            server.client() as rest,
        ):

            def by_rest(prompt):
                body = {"prompt": prompt, "sessionId": "all", "createSession": True}
                return rest.post("prompt", json=body).json()["text"]

            def by(kernel):
                return lambda prompt: kernel.run(f"%%warp --session all\n{prompt}").everything

            asking = [by(one), lambda prompt: terminal(place, prompt), by_rest, by(other)]
            for n, ask in enumerate(asking):
                assert f"You said 'p{n}' in message {2 * n + 1}." in ask(f"p{n}")
            pid = process_of(place)
            assert pid
            assert storage(place, "path").strip() == str(place.root / "data")

            os.kill(pid, signal.SIGKILL)
            message = 2 * len(asking) + 1  # the next, by whomever it is asked: nothing is lost
            for ask in (by_rest, by(one), by(other), lambda prompt: terminal(place, prompt)):
                poll(lambda ask=ask, expected=f"in message {message}.": expected in ask("after"), within=20)
                message += 2
            again = process_of(place)
            assert again not in {None, pid}

            assert storage(place, "stop").strip() == "stopped"
            assert process_of(place) is None
            poll(lambda: f"in message {message}." in by_rest("after the stop"), within=20)
            assert process_of(place) not in {None, again}
        poll(lambda: process_of(place) is None, within=20)  # the last has left


@pytest.mark.parametrize(
    ("variables", "model"),
    [
        ({"OPENAI_API_KEY": "sk-openai-0123456789", "OPENAI_BASE_URL": "URL"}, "openai:gpt-4o-mini"),
        ({"DEEPSEEK_API_KEY": "sk-deepseek-0123456789", "DEEPSEEK_BASE_URL": "URL"}, "deepseek:deepseek-chat"),
    ],
)
def test_the_quickstart_runs_unchanged_with_a_key(fake: FakeProvider, monkeypatch, tmp_path, variables, model):
    fake.script(model.partition(":")[2], Reply(chunks=["The capital ", "is Paris."]))
    with home(fake) as place:
        place.config.unlink()
        for name, value in {**place.env, **variables}.items():
            monkeypatch.setenv(name, fake.base_url if value == "URL" else value)
        monkeypatch.delenv("WARP_CONFIG")
        notebook = nbformat.read(ROOT / "notebooks/01_quickstart.ipynb", as_version=4)
        NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = json.dumps(notebook, ensure_ascii=False)
    assert f"{model} · first token" in said
    assert "THE CAPITAL IS PARIS." in said
    assert not [value for value in variables.values() if value in said]
    assert {call.key for call in fake.requests} == {next(iter(variables.values()))}
