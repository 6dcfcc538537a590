"""No prompt, answer or key is in a log at the level info: whole processes of both servers, whatever goes well or wrong."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager

import httpx
import pytest

from tests.fakes.provider import Reply
from tests.server.alone_process import running_alone
from tests.server.process import running_jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

KEY = "sk-planted-55aa0c1d9e"
PROMPT, ANSWER, TITLE, NOTE = "Sesame-asked", "Barley-answered", "Millet-title", "Rye-note"
PASSWORD = "stolen-token-91c2"
TOML = """
models = ["fake:good"]
[providers.fake]
dialect = "openai"
base_url = "{base_url}"
api_key = "${{FAKE_KEY}}"
[providers.nobody]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "${{FAKE_KEY}}"
[storage]
type = "memory"
[limits]
body_size = "1MB"
retry = {{ max = 0 }}
"""
AT_INFO = "import logging\nlogging.basicConfig(level=logging.INFO, format='%(levelname)s %(name)s %(message)s')\n"
ECHO = f"You said {PROMPT} with {{key}} and {ANSWER}"


@pytest.fixture(params=["jupyter", "alone"])
def server(request, fake, tmp_path):
    """A process whose every logger speaks at info: its client, and what it has logged in the end."""
    (tmp_path / "warp.toml").write_text(TOML.format(base_url=fake.base_url))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(AT_INFO)
    env = {"WARP_CONFIG": str(tmp_path / "warp.toml"), "FAKE_KEY": KEY, "PYTHONPATH": path_with(tmp_path / "site")}
    return {"jupyter": jupyter, "alone": alone}[request.param](tmp_path / "one", env)


def path_with(folder):
    import os

    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@contextmanager
def jupyter(folder, env):
    with running_jupyter(folder, env) as process, process.client() as client:
        yield client, process.log.read_text
        process.stop()


@contextmanager
def alone(folder, env):
    with running_alone(folder, env) as process, process.client() as client:
        yield client, process.printed
        process.stop(signal.SIGTERM)


def script(fake):
    fake.script("good", Reply(chunks=[ANSWER, " ", PROMPT]))
    fake.script("refusing", Reply.failing(400, ECHO))
    fake.script("forbidding", Reply.failing(401, ECHO))
    fake.script("failing", Reply.failing(500, ECHO))
    fake.script("limiting", Reply.failing(429, ECHO))
    fake.script("breaking", Reply(chunks=[ANSWER, {"error": {"message": ECHO, "code": ANSWER}}]))
    fake.script("malformed", Reply(chunks=[ANSWER, f'data: {{"{PROMPT} {ANSWER}\n\n'.encode()]))


def use(client, fake):
    """Whatever can be said of a conversation, in good and in bad."""
    body = {"prompt": PROMPT, "context": NOTE, "sessionId": "s", "createSession": True}
    for path in ("prompt", "stream"):
        assert client.post(path, json=body).status_code == 200
    for model in ("refusing", "forbidding", "failing", "limiting", "breaking", "malformed"):
        for path in ("prompt", "stream"):
            client.post(path, json={**body, "models": [f"fake:{model}"]})
    client.post("prompt", json={**body, "models": ["nobody:x"]})
    client.post("prompt", json={**body, "models": [PROMPT]})
    client.post("prompt", json={**body, PROMPT: ANSWER})
    client.post("prompt", content=json.dumps(body)[:-1] + PROMPT)
    client.post("prompt", content=json.dumps(body).encode() + b" " * 2_000_000)
    client.post("prompt", json={**body, "attachments": [{"kind": "text", "name": NOTE, "text": PROMPT}]})
    client.post("prompt", json={**body, "sessionId": f"{PROMPT} no id"})
    client.patch("sessions/s", json={"title": TITLE, "metadata": {"note": NOTE}})
    client.get("sessions", params={"search": "s"})
    client.get("sessions/s/export", params={"format": "md"})
    client.get("models", headers={"Authorization": f"Bearer {PASSWORD}"})
    with client.stream("POST", "stream", json={**body, "models": ["fake:silent-3"]}) as live:
        stream_id = live.headers["x-stream-id"]
        assert client.post(f"streams/{stream_id}/stop").json()["status"] == "stopped"
        live.read()
    with client.stream("POST", "stream", json={**body, "models": ["fake:silent-2"], "store": False, "sessionId": None}):
        fake.wait_until(lambda: fake.calls("silent-2"))
    fake.wait_until(lambda: len(fake.disconnects) > 1)
    openai = {"model": "fake:good", "messages": [{"role": "user", "content": PROMPT}]}
    client.post(f"{str(client.base_url).partition('/api/v1')[0]}/v1/chat/completions", json=openai)


def test_what_is_said_and_who_may_say_it_is_in_no_log(server, fake):
    script(fake)
    with server as (client, logged):
        use(client, fake)
        with pytest.raises(httpx.ReadTimeout):
            client.post("prompt", json={"prompt": PROMPT, "models": ["fake:hang"]}, timeout=1)
    log = logged()
    assert "INFO warp_magics" in log, "it was to speak at info"
    for secret in (KEY, PROMPT, ANSWER, TITLE, NOTE, PASSWORD):
        assert secret not in log, [line for line in log.splitlines() if secret in line]
