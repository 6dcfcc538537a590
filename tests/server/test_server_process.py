"""The extension in real `jupyter server` processes with the embedded store: enabled, shared, and gone without a trace."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.server.conftest import KEY, event_of
from tests.server.process import poll, running_jupyter
from warp_magics.gateway import EmbeddedServer
from warp_magics.gateway.stores.places import places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

GONE_SECONDS = 15.0


@pytest.fixture
def env(configure):
    """A configuration, and an embedded store of this test's own; nothing of it may be left at the end."""
    top = Path(tempfile.mkdtemp(prefix="warp-"))  # short: a socket lies in it
    env = {"WARP_RUN_DIR": str(top / "run"), "WARP_DATA_DIR": str(top / "data")}
    yield env | {"WARP_CONFIG": str(configure("ok", storage='type = "embedded"'))}
    store = EmbeddedServer(places(env))
    try:
        assert not store.status().running, "an embedded server was left behind"
    finally:
        store.stop()
        shutil.rmtree(top, ignore_errors=True)


def test_it_is_enabled_by_being_installed_and_leaves_nothing_behind(env, tmp_path):
    store = EmbeddedServer(places(env))
    with running_jupyter(tmp_path / "one", env) as server, server.client() as rest:
        assert not store.status().running, "what nobody has used needs no store"
        asked = rest.post("prompt", json={"prompt": "One"})
        session = asked.json()["sessionId"]
        assert (asked.status_code, asked.headers["x-session-id"]) == (200, session)
        with rest.stream("POST", "stream", json={"prompt": "Two", "sessionId": session}) as streamed:
            events = [event_of(block) for block in "".join(streamed.iter_text()).split("\n\n")[:-1]]
        assert (events[0].name, events[-1].name, events[0].id) == ("start", "end", "2-1")
        assert "in message 3." in events[-1].data["response"]["text"]
        turns = rest.get(f"sessions/{session}/history").json()["turns"]
        assert [(turn["prompt"], turn["status"]) for turn in turns] == [("One", "complete"), ("Two", "complete")]
        ready = rest.get("health/ready").json()
        assert (ready["status"], ready["storage"]["type"], ready["storage"]["reachable"]) == ("ok", "embedded", True)

        left = [store.status().pid, int(Path(store.places.keeper).read_text().split()[0])]
        assert all(map(alive, left))
        assert server.stop() == 0
        poll(lambda: not any(map(alive, left)), GONE_SECONDS)
    log = server.log.read_text()
    assert KEY not in log
    assert "Traceback" not in log
    assert "not recognized" not in log, "--no-browser is said to every application"


def test_two_servers_share_a_session_and_one_may_end_in_mid_answer(env, tmp_path, fake):
    with running_jupyter(tmp_path / "one", env) as one, running_jupyter(tmp_path / "two", env) as two:
        with one.client() as here, two.client() as there:
            here.post("prompt", json={"prompt": "One", "sessionId": "shared", "createSession": True})
            said = there.post("prompt", json={"prompt": "Two", "sessionId": "shared"})
            assert "in message 3." in said.json()["text"]
            history = here.get("sessions/shared/history").json()
            assert history == there.get("sessions/shared/history").json()
            assert [turn["n"] for turn in history["turns"]] == [1, 2]

            body = {"prompt": "Three", "sessionId": "shared", "models": ["fake:silent-2"]}
            with here.stream("POST", "stream", json=body) as streamed:
                lines = streamed.iter_lines()
                assert any('"response":" said"' in line for line in lines)
                began = time.monotonic()
                one.process.terminate()
                last = [json.loads(line[6:]) for line in lines if line.startswith("data: ")][-1]
            assert last["response"]["result"] == "INCOMPLETE_STOPPED"
            assert one.stop() == 0
            assert time.monotonic() - began < 15
            turn = there.get("sessions/shared/history").json()["turns"][2]
            assert (turn["status"], turn["response"]) == ("stopped", "You said")
            assert there.post("prompt", json={"prompt": "Four", "sessionId": "shared"}).status_code == 200
        pid = EmbeddedServer(places(env)).status().pid
        assert pid, "the other server still needs the store"
        assert two.stop() == 0
    poll(lambda: not alive(pid), GONE_SECONDS)


def alive(pid):
    """Whether it runs; one that nobody has buried yet does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
