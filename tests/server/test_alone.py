"""`jupyter warp` as a process: what it serves, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from jupyter_server_ext.apart.serve import listen
from jupyter_server_ext.apart.token_file import make_token, read_token
from tests.fakes.valkey_server import running_server, server_binaries
from tests.server.alone_process import COMMAND, running_alone
from tests.server.conftest import KEY, event_of
from warp_magics.gateway import errors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SERVERS = server_binaries()


def run(*args, status=0, **env):
    """A command that ends by itself: what it printed, on its error output where it failed."""
    command = [COMMAND, *map(str, args)]
    ran = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == status, f"{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr
    return ran.stdout if status == 0 else ran.stderr


def events_of(lines):
    """The events of a stream as they come."""
    block = []
    for line in lines:
        if line:
            block.append(line)
        else:
            event = event_of("\n".join(block))
            block = []
            if event.name:
                yield event


def test_an_answer_does_not_wait_for_an_acknowledgement():
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()) as client:
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert client.getpeername()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# -- serving


def test_it_prompts_streams_keeps_and_tells(configure, tmp_path):
    configure("ok")
    with running_alone(tmp_path / "one", {}) as alone, alone.client() as rest:
        asked = rest.post("prompt", json={"prompt": "One"})
        session = asked.json()["sessionId"]
        assert (asked.status_code, asked.headers["x-session-id"]) == (200, session)
        with rest.stream("POST", "stream", json={"prompt": "Two", "sessionId": session}) as streamed:
            events = list(events_of(streamed.iter_lines()))
        assert (events[0].name, events[-1].name) == ("start", "end")
        assert "in message 3." in events[-1].data["response"]["text"]
        turns = rest.get(f"sessions/{session}/history").json()["turns"]
        assert [(turn["prompt"], turn["status"]) for turn in turns] == [("One", "complete"), ("Two", "complete")]
        assert httpx.get(f"{alone.url}/api/v1/sessions/{session}/history").status_code == 401
        assert httpx.get(f"{alone.url}/api/v1/health/ready").json() == {"status": "ok"}
        assert alone.stop() == 0
    said = alone.printed()
    assert alone.token not in said
    assert KEY not in said
    assert "Traceback" not in said
    assert str(alone.token_file) in said
    assert str(tmp_path / "warp.toml") in said


def test_what_it_says_to_try_works(configure, tmp_path):
    configure("ok")
    with running_alone(tmp_path / "a folder", {}) as alone:
        (command,) = [line[9:] for line in alone.printed().splitlines() if line.startswith("try ")]
        path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            ["bash", "-c", f"{command} --silent --fail"],
            env=os.environ | {"PATH": path},
            capture_output=True,
            timeout=60,
            check=True,
        )
    assert json.loads(ran.stdout)["result"] == "COMPLETE"


@pytest.mark.parametrize(("level", "told"), [("info", ["complete"]), ("warning", [])])
def test_what_it_logs_is_asked_for_and_holds_no_words_of_a_conversation(configure, tmp_path, level, told):
    configure("ok")
    with running_alone(tmp_path / "one", {}, "--log-level", level) as alone, alone.client() as rest:
        assert "a-secret" in rest.post("prompt", json={"prompt": "a-secret"}).json()["text"]
        assert alone.stop() == 0
    said = alone.printed()
    ended = [line for line in said.splitlines() if "answer_ended" in line]
    assert [line.partition("status=")[2].split()[0] for line in ended] == told
    assert "a-secret" not in said
    assert KEY not in said


def test_without_a_model_it_serves_and_says_how_to_get_one(tmp_path, config_file, monkeypatch):
    monkeypatch.setenv("WARP_CONFIG", str(config_file('[storage]\ntype = "memory"')))
    with running_alone(tmp_path / "one", {}) as alone, alone.client() as rest:
        said = rest.post("prompt", json={"prompt": "Hello"})
        assert (said.status_code, said.json()["code"]) == (503, "NO_MODEL_CONFIGURED")
        assert "jupyter warp init" in said.json()["message"]
        assert rest.get("health/ready").json()["status"] == "degraded"


@pytest.mark.skipif(not SERVERS, reason="no Valkey or Redis on this machine")
def test_two_share_a_session_over_one_store_and_a_notebooks_owner(configure, tmp_path):
    with running_server(next(iter(SERVERS.values()))) as store:
        configure("ok", storage=f'type = "valkey"\nurl = "{store.url}"')
        with running_alone(tmp_path / "one", {}) as one, running_alone(tmp_path / "two", {}) as two:
            with one.client() as here, two.client() as there:
                here.post("prompt", json={"prompt": "One", "sessionId": "shared", "createSession": True})
                assert (
                    "in message 3."
                    in there.post("prompt", json={"prompt": "Two", "sessionId": "shared"}).json()["text"]
                )
                assert here.get("sessions/shared/history").json() == there.get("sessions/shared/history").json()
            one.kill()
            with two.client() as there:
                assert there.post("prompt", json={"prompt": "Three", "sessionId": "shared"}).status_code == 200
            with running_alone(tmp_path / "one", {}, port=one.port) as again, again.client() as here:
                assert (again.url, again.token) == (one.url, one.token)
                assert len(here.get("sessions/shared/history").json()["turns"]) == 3


# -- ending


@pytest.mark.skipif(not SERVERS, reason="no Valkey or Redis on this machine")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_answer_keeps_the_part_as_a_turn(configure, tmp_path, number):
    with running_server(next(iter(SERVERS.values()))) as store:
        configure("silent-2", storage=f'type = "valkey"\nurl = "{store.url}"')
        with running_alone(tmp_path / "one", {}) as alone, alone.client() as rest:
            body = {"prompt": "One", "sessionId": "s", "createSession": True}
            with rest.stream("POST", "stream", json=body) as streamed:
                events = events_of(streamed.iter_lines())
                assert any(event.data.get("response") == " said" for event in events)
                began = time.monotonic()
                alone.process.send_signal(number)
                last = list(events)[-1]
            assert (last.name, last.data["response"]["result"]) == ("end", "INCOMPLETE_STOPPED")
            assert alone.stop() == 0
            assert time.monotonic() - began < 10
            assert "Traceback" not in alone.printed()
        with running_alone(tmp_path / "one", {}) as alone, alone.client() as rest:
            (turn,) = rest.get("sessions/s/history").json()["turns"]
            assert (turn["status"], turn["response"]) == ("stopped", "You said")


def test_a_reader_who_waits_for_ever_keeps_nothing_alive(configure, tmp_path):
    configure("ok")
    with running_alone(tmp_path / "one", {}) as alone, alone.client() as rest:
        rest.post("sessions", json={"sessionId": "s"})
        with rest.stream("GET", "sessions/s/events") as feed:
            assert feed.status_code == 200
            alone.process.send_signal(signal.SIGTERM)
            assert alone.process.wait(10) == 0
    assert "ERROR" not in alone.printed()
    assert "Traceback" not in alone.printed()


# -- what is wrong


def test_a_port_in_use_is_one_sentence(configure, tmp_path):
    configure("ok")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("--port", port, "--token-file", tmp_path / "token", status=1)
    assert len(said.strip().splitlines()) == 1
    assert f"127.0.0.1:{port}: Address already in use" in said
    assert not (tmp_path / "token").exists()


def test_a_host_that_is_nowhere_is_one_sentence(configure):
    configure("ok")
    for host, why in (("192.0.2.1", "Cannot assign"), ("no-such-host.invalid", "not known|resolution")):
        said = run("--host", host, "--port", "0", status=1)
        assert len(said.strip().splitlines()) == 1
        assert re.search(rf"^Cannot listen at {host}:0: .*({why})", said)


def test_a_wrong_configuration_ends_it_readably(config_file, tmp_path):
    path = config_file("models = 3")
    said = run("--config", path, "--token-file", tmp_path / "token", status=1)
    assert str(path) in said
    assert "models" in said


def test_a_host_for_others_is_warned_of(configure, tmp_path):
    configure("ok", more='[server]\nhost = "0.0.0.0"')
    with running_alone(tmp_path / "one", {}) as alone, alone.client() as rest:
        assert rest.get("models").status_code == 200
        assert "TLS" in alone.printed()
        assert alone.url.startswith("http://127.0.0.1:")
    with running_alone(tmp_path / "one", {}, "--host", "127.0.0.1") as alone:
        assert "TLS" not in alone.printed()


@pytest.mark.parametrize("port", ["-1", "65536", "http", "²"])
def test_what_is_no_port_is_refused(port):
    assert "not a port" in run(f"--port={port}", status=2)


# -- the token


def test_the_token_is_made_once_for_its_user_alone(configure, tmp_path):
    path = configure("ok")
    home = tmp_path / "data"
    env = {"JUPYTER_DATA_DIR": str(home)}
    assert "first start" in run("token", status=1, **env)
    # By the default place, as a user starts it.
    alone = subprocess.Popen([COMMAND, "--port", "0"], env=os.environ | env, stdout=subprocess.PIPE, text=True)
    try:
        said = [alone.stdout.readline() for _ in range(6)]
        file = home / "warp" / "token"
        assert (mode(file), mode(file.parent)) == (0o600, 0o700)
        assert str(file) in "".join(said)
        token = run("token", **env).strip()
        assert token == file.read_text().strip()
        assert len(token) > 40
        assert run("--config", path, "token", **env).strip() == token
        assert run("token", "--token-file", file).strip() == token
        assert [path.name for path in file.parent.iterdir()] == ["token"]
    finally:
        alone.terminate()
        assert alone.wait(20) == 0
        alone.stdout.close()


def test_the_configuration_says_where_the_token_is(configure, tmp_path):
    configure("ok", more='[server]\ntoken_file = "keys/token"')
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "token").write_text("mine\n")
    (tmp_path / "keys" / "token").chmod(0o600)
    assert run("token") == "mine\n"


def test_who_asks_for_the_token_needs_no_key_that_the_file_names(configure, tmp_path):
    configure("ok", more='[providers.other]\ndialect = "openai"\nbase_url = "http://h"\napi_key = "${NOT_SET_HERE}"')
    make_token(tmp_path / "data" / "warp" / "token")
    env = {"JUPYTER_DATA_DIR": str(tmp_path / "data")}
    assert run("token", **env).strip() == read_token(tmp_path / "data" / "warp" / "token")
    assert "NOT_SET_HERE" in run("--port", "0", status=1, **env)


def test_a_token_that_others_read_is_refused(configure, tmp_path):
    configure("ok")
    file = tmp_path / "token"
    file.write_text("known-to-all")
    for shown in (0o644, 0o640, 0o604):
        file.chmod(shown)
        for args in (("token",), ("--port", "0")):
            said = run("--token-file", file, *args, status=1)
            assert f"chmod 600 {file}" in said
            assert "known-to-all" not in said


@pytest.mark.parametrize("text", ["", "\n", "two words", "two\nlines", "schlüssel"])
def test_what_is_no_token_is_refused(tmp_path, text):
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(errors.ConfigError, match="holds no token"):
        read_token(file)


def test_starts_at_the_same_moment_agree_on_one_token(tmp_path):
    file = tmp_path / "folder" / "token"
    together = threading.Barrier(8)

    def start(_):
        together.wait()
        make_token(file)
        return read_token(file)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1
    assert [path.name for path in file.parent.iterdir()] == ["token"]
    assert mode(file) == 0o600
