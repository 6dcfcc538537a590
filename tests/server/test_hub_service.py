"""`jupyter warp` as a service that a Hub has started, where the Hub is whatever a test says it is."""

from __future__ import annotations

import http.server
import json
import re
import socket
import subprocess
import threading

import httpx
import pytest

from jupyter_server_ext.apart.hub import Service, service
from tests.server.alone_process import COMMAND, running_alone
from tests.server.test_alone import run
from warp_magics.gateway import errors

SCOPE = "access:services!service=warp"
USERS = {
    "of-ada": {"kind": "user", "name": "ada", "scopes": [SCOPE]},
    "of-admin": {"kind": "user", "name": "admin", "scopes": ["access:services"]},
    "of-robot": {"kind": "service", "name": "ada", "scopes": [SCOPE]},
    "of-less": {"kind": "user", "name": "ada", "scopes": ["access:servers!server=ada/", "access:services!service=x"]},
}


class FakeHub(http.server.ThreadingHTTPServer):
    """A Hub as far as it says whose a token is; `says` takes the place of that."""

    daemon_threads = True

    def __init__(self):
        self.asked, self.says = [], None
        super().__init__(("127.0.0.1", 0), WhoAmI)
        self.url = f"http://127.0.0.1:{self.server_port}/hub/api"

    @property
    def env(self):
        return {
            "JUPYTERHUB_SERVICE_NAME": "warp",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/warp/",
            "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9",
            "JUPYTERHUB_API_URL": self.url,
            "JUPYTERHUB_API_TOKEN": "the-services-own",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(["access:services", SCOPE]),
        }


class WhoAmI(http.server.BaseHTTPRequestHandler):
    server: FakeHub

    def do_GET(self):
        token = self.headers["Authorization"].removeprefix("token ")
        self.server.asked.append((self.path, token))
        known = USERS.get(token)
        status, body = self.server.says or (200 if known else 403, json.dumps(known or {"message": "Forbidden"}))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = FakeHub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def warp(hub, configure, tmp_path):
    configure("ok")
    with running_alone(tmp_path / "one", hub.env) as alone:
        yield alone


def client(alone, token):
    return httpx.Client(base_url=f"{alone.url}/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=60)


def ask(rest, prompt):
    said = rest.post("prompt", json={"prompt": prompt, "sessionId": "s", "createSession": True})
    assert said.status_code == 200, said.text
    return said.json()["text"]


slow = pytest.mark.slow


@slow
def test_each_token_has_its_users_sessions_and_a_service_is_no_user(warp):
    for token in ("of-ada", "of-admin", "of-robot"):
        with client(warp, token) as rest:
            assert "in message 1." in ask(rest, token)
            assert [turn["prompt"] for turn in rest.get("sessions/s/history").json()["turns"]] == [token]


@slow
def test_strangers_and_those_without_the_scope_are_told_apart(warp):
    with client(warp, "unknown") as rest:
        said = rest.get("models")
        assert (said.status_code, said.json()["code"], said.headers["www-authenticate"]) == (
            401,
            "UNAUTHORIZED",
            "Bearer",
        )
        assert f"holds the scope {SCOPE}." in said.json()["message"]
        assert "jupyter warp token" not in said.json()["message"]
    with client(warp, "of-less") as rest:
        said = rest.post("prompt", json={"prompt": "Hello"})
        assert (said.status_code, said.json()["code"]) == (403, "FORBIDDEN")
        assert f"lacks the scope {SCOPE}." in said.json()["message"]
        assert rest.get("health/ready").json() == {"status": "ok"}
    assert httpx.get(f"{warp.url}/api/v1/models").status_code == 401


@slow
def test_the_hub_is_asked_once_in_a_while_and_never_for_what_cannot_be_a_token(warp, hub):
    with client(warp, "of-ada") as rest:
        for _ in range(5):
            assert rest.get("models").status_code == 200
    assert hub.asked == [("/hub/api/user", "of-ada")]
    for wrong in (b"\xff\xfe", b"x" * 2000):
        assert httpx.get(f"{warp.url}/api/v1/models", headers={"Authorization": b"Bearer " + wrong}).status_code == 401
    assert len(hub.asked) == 1


@slow
@pytest.mark.parametrize("says", [(500, "{}"), (502, "<h1>"), (404, "{}"), (200, "not JSON"), (200, "[]"), (200, "{}")])
def test_a_hub_that_cannot_tell_is_told_as_that(warp, hub, says):
    hub.says = says
    with client(warp, "of-ada") as rest:
        said = rest.get("sessions")
        assert (said.status_code, said.json()["code"]) == (503, "HUB_UNAVAILABLE")
        assert "of-ada" not in said.text
        assert hub.url not in said.text
        assert rest.get("health/live").json() == {"status": "ok"}
        assert rest.get("health/ready").json() == {"status": "ok"}
        hub.says = None
        assert rest.get("sessions").status_code == 200


@slow
def test_a_hub_that_is_gone_is_told_as_that_and_nothing_is_in_the_log(warp, hub):
    hub.shutdown()
    hub.server_close()
    with client(warp, "of-ada") as rest:
        assert rest.get("sessions").json()["code"] == "HUB_UNAVAILABLE"
    assert warp.stop() == 0
    said = warp.printed()
    assert "hub_unavailable" in said
    assert "Traceback" not in said
    for secret in ("of-ada", "the-services-own"):
        assert secret not in said


@slow
def test_it_serves_below_the_services_prefix_and_nowhere_else(warp):
    top = warp.url.removesuffix("/services/warp")
    assert httpx.get(f"{top}/services/warp/api/v1/health/live").status_code == 200
    for path in ("/warp/api/v1/health/live", "/api/v1/health/live", "/services/warpx/api/v1/health/live"):
        assert httpx.get(f"{top}{path}").status_code == 404


@slow
def test_it_listens_where_the_hub_says_makes_no_token_and_says_so(hub, configure, tmp_path, monkeypatch):
    configure("ok")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name, value in (hub.env | {"JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}"}).items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen([COMMAND], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said = "".join(iter(lambda: line if (line := process.stdout.readline())[:5] != "stop " else "", ""))
        finally:
            process.terminate()
    assert f"listens  http://127.0.0.1:{port}/services/warp\n" in said
    assert f"token    JupyterHub's, with {SCOPE}\n" in said
    assert re.search(r'^try .*Bearer \$TOKEN"', said, re.MULTILINE)
    assert "token file" not in said
    assert not (tmp_path / "data").exists()


@slow
def test_a_configured_owner_is_everybodys_and_warned_of(hub, configure, tmp_path):
    configure("ok", storage='type = "memory"\nowner = "team"')
    with running_alone(tmp_path / "one", hub.env) as alone:
        for token, message in {"of-ada": 1, "of-robot": 3}.items():
            with client(alone, token) as rest:
                assert f"in message {message}." in ask(rest, token)
        with client(alone, "of-less") as rest:
            assert rest.get("sessions").status_code == 403
        assert "storage.owner makes all users of the Hub one: team" in alone.printed()
        assert "the token file has no effect" in alone.printed()


@slow
def test_a_file_for_servers_that_pass_on_is_no_gateways(config_file):
    path = config_file('[gateway]\nurl = "https://hub/services/warp"')
    said = run("--config", path, status=1)
    assert str(path) in said
    assert "--config FILE" in said


# -- what the Hub says

SAID = {
    "JUPYTERHUB_SERVICE_NAME": "warp",
    "JUPYTERHUB_SERVICE_PREFIX": "/jupyter/services/warp/",
    "JUPYTERHUB_SERVICE_URL": "http://[::1]:10101/",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_API_TOKEN": "t",
}


def test_host_port_and_prefix_are_the_hubs():
    assert service(SAID) == Service("::1", 10101, "/jupyter/services/warp/")


def test_a_users_server_is_no_service():
    assert service({name: value for name, value in SAID.items() if name != "JUPYTERHUB_SERVICE_NAME"}) is None
    assert service({}) is None


@pytest.mark.parametrize("missing", [name for name in SAID if name != "JUPYTERHUB_SERVICE_NAME"])
def test_what_is_missing_is_named(missing):
    with pytest.raises(errors.ConfigError, match=f"{missing} is not"):
        service(SAID | {missing: ""})


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1", "http://h:99999", "http://:1"]
)
def test_an_address_that_cannot_be_listened_at_is_refused(url):
    with pytest.raises(errors.ConfigError, match="JUPYTERHUB_SERVICE_URL"):
        service(SAID | {"JUPYTERHUB_SERVICE_URL": url})
