"""A kernel's gateway and a server's are one in what counts: sessions, cooldowns, windows. And any key will do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fakes.provider import FakeProvider, Reply
from tests.notebook.kernel import Kernel, home
from tests.server.process import running_jupyter

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
