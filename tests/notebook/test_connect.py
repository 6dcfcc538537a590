"""Which gateway a process uses: what is said of one elsewhere, and which way is taken."""

from __future__ import annotations

import contextlib
import getpass
import http.server
import json
import os
import sys
import threading
import time

import pytest

from warp_magics import connect, opening, ways
from warp_magics.api import Warp
from warp_magics.gateway import Announcement, announce, errors

TOKEN = "scoped-0123456789-uvwxyz"
PASSWORD = "hunter2-uvwxyz"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners say nothing there")
READY = {
    "status": "ok",
    "reasons": [],
    "gatewayId": "g-1",
    "version": "9.9",
    "configured": True,
    "storage": {"type": "memory", "server": None, "reachable": True},
}


class Elsewhere(http.server.ThreadingHTTPServer):
    """A gateway as far as its health: `said` to who has the token, the status alone to a stranger."""

    daemon_threads = True

    def __init__(self, **said):
        self.said = {name: value for name, value in (READY | said).items() if value is not ...}
        self.asked, self.hold = [], threading.Event()
        self.hold.set()
        super().__init__(("127.0.0.1", 0), Health)
        self.url = f"http://127.0.0.1:{self.server_port}/warp"


class Health(http.server.BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.server.hold.wait(30)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        body = json.dumps(self.server.said if known else {"status": "ok"}).encode()
        with contextlib.suppress(OSError):
            self.send_response(200 if self.path == "/warp/api/v1/health/ready" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere():
    """Starts gateways; all are stopped."""
    with contextlib.ExitStack() as undo:

        def start(**said):
            server = Elsewhere(**said)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            undo.callback(server.server_close)
            undo.callback(server.shutdown)
            undo.callback(server.hold.set)
            return server

        yield start


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Nothing chosen yet, nothing chosen left, and a runtime folder of this test's own."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    connect.disconnect()
    yield
    connect.disconnect()


@pytest.fixture
def kernel_of(monkeypatch, tmp_path):
    """Makes this process the kernel of a server that announces a gateway."""

    def kernel(url, *, pid=None, server_id="id-1", env_id=None, token=TOKEN):
        pid = os.getpid() if pid is None else pid
        monkeypatch.setenv("JPY_PARENT_PID", str(pid))
        monkeypatch.setenv("WARP_SERVER_ID", env_id or server_id)
        return announce(tmp_path / "runtime", Announcement(url, token, pid, server_id, "1"))

    return kernel


def nobody(_prompt):
    raise AssertionError("asked for a token")


# -- URLs and tokens -------------------------------------------------------------------------------

URLS = {
    "http://127.0.0.1:8888/warp": ("http://127.0.0.1:8888/warp",),
    "https://h/warp/": ("https://h/warp",),
    "HTTPS://Hub.Example/User/Ada/warp": ("https://hub.example/User/Ada/warp",),
    "http://a/warp http://b/warp": ("http://a/warp", "http://b/warp"),
    " http://a/warp,http://b/warp , http://a/warp/ ": ("http://a/warp", "http://b/warp"),
    "http://[::1]:3042/warp": ("http://[::1]:3042/warp",),
}
WRONG = {
    "": "no URL",
    " , ": "no URL",
    "ftp://h/warp": "'ftp://h/warp' is not http:// or https://",
    "file:///etc/passwd": "not http://",
    "127.0.0.1:8888/warp": "lacks its http://",
    "http://": "no host",
    "http:///warp": "no host",
    "http://h:0/warp": "no host and port",
    "http://h:99999/warp": "cannot be read",
    "http://[::1/warp": "cannot be read",
    "http://h\x07/warp": "no host",
}
SECRETS = (
    f"http://ada:{PASSWORD}@h/warp",
    f"http://{PASSWORD}@h/warp",
    f"https://h/warp?token={PASSWORD}",
    f"http://h:8888/lab?token={PASSWORD}",
    f"http://h/warp#{PASSWORD}",
    f"ftp://ada:{PASSWORD}@h/",
    f"ada:{PASSWORD}@h/warp",
    f"http://ada:{PASSWORD}@h:99999/",
    f"http://[ada:{PASSWORD}@h/",
    PASSWORD,
    f"http:ada:{PASSWORD}@h",
)


@pytest.mark.parametrize("said", URLS)
def test_urls_that_can_be_a_gateways(said):
    assert ways.checked([said], "me") == URLS[said]
    assert ways.checked(said.split(), "me") == URLS[said]


@pytest.mark.parametrize("said", WRONG)
def test_urls_that_cannot(said):
    with pytest.raises(errors.ConfigError) as caught:
        ways.checked([said], "WARP_GATEWAY_URL")
    assert WRONG[said] in caught.value.message
    assert caught.value.message.startswith("WARP_GATEWAY_URL: ")
    assert "http://HOST:PORT/warp" in caught.value.message


@pytest.mark.parametrize("said", SECRETS)
def test_a_secret_in_a_url_is_refused_and_never_shown(said, monkeypatch):
    monkeypatch.setenv("WARP_GATEWAY_URL", said)
    for ask in (connect.connection, lambda: connect.connect([said]), lambda: Warp(url=said)):
        with pytest.raises(errors.ConfigError) as caught:
            ask()
        assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__} {caught.value.details}"
        assert "http://HOST:PORT/warp" in caught.value.message


def test_a_token_is_the_one_given_then_the_variables_then_the_files_then_asked_for(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN}\n")
    file.chmod(0o600)

    def taken(token, ask=nobody, **env):
        found = ways.place(["http://localhost/warp"], token, {f"WARP_GATEWAY_{k}": v for k, v in env.items()}, "x", ask)
        assert TOKEN not in repr(found)
        return (found.token() if callable(found.token) else found.token), found.warnings

    assert taken("mine", TOKEN="theirs", TOKEN_FILE=str(file)) == ("mine", ())
    assert taken(None, TOKEN="theirs", TOKEN_FILE=str(file)) == ("theirs", ())
    assert taken(None, TOKEN_FILE=str(file)) == (TOKEN, ())
    asked = []
    assert taken(None, lambda prompt: asked.append(prompt) or "typed ", TOKEN="") == ("typed", ())
    assert asked == ["Token for http://localhost/warp: "]


def test_a_token_file_is_read_anew_when_it_was_renewed(tmp_path):
    (tmp_path / "token").write_text("one")
    found = ways.place(["http://localhost/warp"], None, {"WARP_GATEWAY_TOKEN_FILE": str(tmp_path / "token")}, "x")
    (tmp_path / "token").write_text("two")
    assert found.token() == "two"


@POSIX
def test_a_token_file_that_others_can_read_is_a_warning(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    for mode, warned in ((0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)):
        file.chmod(mode)
        found = ways.place(["http://localhost/warp"], None, {"WARP_GATEWAY_TOKEN_FILE": str(file)}, "x")
        assert len(found.warnings) == warned
        assert all("read by others" in one and TOKEN not in one for one in found.warnings)


@pytest.mark.parametrize("token", ["", "  ", "two words", "größe", "a\nb", "a\x00b"])
def test_what_is_no_token_is_refused_and_not_shown(token, tmp_path):
    (tmp_path / "token").write_text(token, "utf-8")
    tries = {"given": (token, {}), "file": (None, {"WARP_GATEWAY_TOKEN_FILE": str(tmp_path / "token")})}
    if token.strip():
        tries["variable"] = (None, {"WARP_GATEWAY_TOKEN": token})
    for given, env in tries.values():
        with pytest.raises(errors.ConfigError) as caught:
            ways.place(["http://localhost/warp"], given, env, "x", nobody)
        assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize("path", ["gone", "."])
def test_a_token_file_that_cannot_be_read_is_named(path, tmp_path):
    with pytest.raises(errors.ConfigError, match=r"WARP_GATEWAY_TOKEN_FILE: .* cannot be read"):
        ways.place(["http://h/warp"], None, {"WARP_GATEWAY_TOKEN_FILE": str(tmp_path / path)}, "x", nobody)


@pytest.mark.parametrize(
    "host", ["h", "10.0.0.1", "[2001:db8::1]:80", "127.0.0.1.example.org", "localhost.example.org"]
)
def test_a_token_in_the_clear_is_a_warning(host):
    (said,) = ways.place([f"http://{host}/warp"], TOKEN, {}, "x").warnings
    assert "in the clear" in said
    assert ways.place([f"https://{host}/warp"], TOKEN, {}, "x").warnings == ()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8888", "127.9.9.9", "[::1]:80", "warp.localhost"])
def test_this_machine_hears_it_alone(host):
    assert ways.place([f"http://{host}/warp"], TOKEN, {}, "x").warnings == ()


def test_where_nobody_can_be_asked_the_error_names_the_variables(monkeypatch):
    def no_front_end(_prompt):
        raise NotImplementedError("getpass was called, but this frontend does not support input requests.")

    with pytest.raises(errors.ConfigError, match=r"WARP_GATEWAY_TOKEN, or WARP_GATEWAY_TOKEN_FILE"):
        ways.asked("Token: ")  # a test has no terminal
    monkeypatch.setattr(getpass, "getpass", no_front_end)
    with pytest.raises(errors.ConfigError, match="WARP_GATEWAY_TOKEN"):
        ways.asked("Token: ")


# -- the way taken ---------------------------------------------------------------------------------


def test_the_environments_gateway_is_used_and_no_other_asked(elsewhere, kernel_of, monkeypatch):
    server, mine = elsewhere(), elsewhere(configured=False)
    kernel_of(server.url)
    monkeypatch.setenv("WARP_GATEWAY_URL", mine.url + "/")
    monkeypatch.setenv("WARP_GATEWAY_TOKEN", TOKEN)
    at = connect.connection()
    assert (at.urls, at.why) == ((mine.url,), f"{mine.url}, as WARP_GATEWAY_URL says")
    assert mine.asked == [("/warp/api/v1/health/ready", f"Bearer {TOKEN}")]
    assert server.asked == []
    assert TOKEN not in repr(at)


def test_it_is_decided_once_until_it_is_left(elsewhere, monkeypatch):
    first, second = elsewhere(), elsewhere()
    monkeypatch.setenv("WARP_GATEWAY_TOKEN", TOKEN)
    monkeypatch.setenv("WARP_GATEWAY_URL", first.url)
    at = connect.connection()
    monkeypatch.setenv("WARP_GATEWAY_URL", second.url)
    assert connect.connection() is at
    assert connect.connect([first.url, second.url]).urls == (first.url, second.url)
    connect.disconnect()
    assert connect.connection().urls == (second.url,)


def test_the_servers_gateway_is_used_where_it_has_a_configured_model(elsewhere, kernel_of):
    server = elsewhere()
    kernel_of(server.url)
    at = connect.connection()
    assert at.urls == (server.url,)
    assert "this kernel's Jupyter Server" in at.why
    assert server.asked == [("/warp/api/v1/health/ready", f"Bearer {TOKEN}")]


def test_a_server_without_a_model_is_passed_over(elsewhere, kernel_of):
    kernel_of(elsewhere(configured=False).url)
    why = connect.connection().why
    assert why.startswith("in this process")
    assert why.endswith("This kernel's Jupyter Server was passed over: No model is configured there.")


def test_a_server_that_refuses_or_is_gone_or_hangs_is_passed_over(elsewhere, kernel_of, monkeypatch):
    server = elsewhere()
    kernel_of(server.url, token="not-the-one")
    assert "refuses the token" in connect.connection().why
    connect.disconnect()
    kernel_of("http://127.0.0.1:9/warp")
    assert "passed over: The gateway at http://127.0.0.1:9/warp" in connect.connection().why
    connect.disconnect()
    server.hold.clear()
    monkeypatch.setattr(opening, "SERVER_SECONDS", 0.3)
    kernel_of(server.url)
    began = time.monotonic()
    assert "did not answer within 0.3 s" in connect.connection().why
    assert time.monotonic() - began < 5


def test_another_servers_file_is_not_even_asked(elsewhere, kernel_of):
    server = elsewhere()
    kernel_of(server.url, env_id="another")
    assert connect.connection().why.startswith("in this process")
    assert "passed over" not in connect.connection().why
    assert server.asked == []


@pytest.fixture
def configured(config_file, monkeypatch):
    """Writes the file that names a gateway elsewhere, which is reached with the Hub's token."""

    def write(url, token=TOKEN, auth='auth = "hub"'):
        monkeypatch.setenv("WARP_CONFIG", str(config_file(f'[gateway]\nurl = "{url}"\n{auth}\n')))
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", token)

    return write


def test_without_a_server_the_configured_gateway_is_asked_itself(elsewhere, kernel_of, configured):
    server = elsewhere()
    configured(server.url)
    at = connect.connection()
    assert at.urls == (server.url,)
    assert f"{server.url}, as [gateway] says in " in at.why
    assert TOKEN not in repr(at)
    connect.disconnect()
    kernel_of("http://127.0.0.1:9/warp")
    at = connect.connection()
    assert at.urls == (server.url,)
    assert "This kernel's Jupyter Server was passed over: The gateway at http://127.0.0.1:9/warp" in at.why


def test_where_the_configured_gateway_fails_nothing_is_opened_instead(elsewhere, configured, monkeypatch):
    configured("http://127.0.0.1:9/warp")
    with pytest.raises(errors.GatewayUnreachable, match=r"http://127\.0\.0\.1:9/warp"):
        connect.connection()
    configured(elsewhere().url, token="revoked")
    with pytest.raises(errors.GatewayRefused, match="refuses the token"):
        connect.connection()
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN")
    with pytest.raises(errors.ConfigError, match="JUPYTERHUB_API_TOKEN"):
        connect.connection()
    configured(elsewhere().url, auth="")
    with pytest.raises(errors.ConfigError, match="WARP_GATEWAY_TOKEN"):
        connect.connection()


def test_a_token_that_the_hub_renews_is_taken_at_its_next_use(elsewhere, configured, monkeypatch):
    server = elsewhere()
    configured(server.url)
    at = connect.connection()
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "renewed")
    with pytest.raises(errors.GatewayRefused):
        at.portal.call(at.gateway.status)
    assert server.asked[-1][1] == "Bearer renewed"


REFUSALS = {
    "refused": ({}, "wrong-token", errors.GatewayRefused, "refuses the token"),
    "nobody": (None, TOKEN, errors.GatewayUnreachable, "cannot be used"),
    "no gateway": ("/elsewhere", TOKEN, errors.GatewayUnreachable, "cannot be used"),
    "other JSON": ({"gatewayId": ...}, TOKEN, errors.GatewayUnreachable, "cannot be used"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_where_it_fails_the_connection_there_was_stays(case, elsewhere, monkeypatch):
    more, token, kind, words = REFUSALS[case]
    before = connect.connection()
    url = elsewhere(**more).url if isinstance(more, dict) else "http://127.0.0.1:9/warp"
    url = elsewhere().url.replace("/warp", more) if isinstance(more, str) else url
    monkeypatch.setenv("WARP_GATEWAY_TOKEN", token)
    with pytest.raises(kind) as caught:
        connect.connect([url])
    assert url in str(caught.value)
    assert words in str(caught.value)
    assert token not in str(caught.value)
    assert connect.connection() is before


def test_a_warp_of_its_own_leaves_the_process_where_it_is(elsewhere, monkeypatch):
    server = elsewhere()
    other = Warp(url=server.url, token=TOKEN)
    assert server.asked == [], "it is opened when first used"
    at = other._connection()
    assert at.urls == (server.url,)
    assert other._connection() is at
    assert connect.connection().urls == ()
    with pytest.raises(TypeError, match="url="):
        Warp(token=TOKEN)
    at.close()
