"""The token that kernels are given: it opens the gateway's paths and none else, and only while the server lives."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from jupyter_server.auth import IdentityProvider, User
from tornado.simple_httpclient import HTTPStreamClosedError
from traitlets.config import Config

from jupyter_server_ext.extension import kernel_url
from warp_magics.gateway import announcements

GOOD = {"warp/api/v1/models": 200, "warp/api/v1/sessions": 200, "warp/api/v1/sessions/never/history": 404}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
FILLINGS = ("x", "/x", "", "1", "3f2b8c1e-0000-4000-8000-000000000000", "lab", "/", "x.py")
GROUP = re.compile(r"\((?:\?P<\w+>|\?:)?([^()]*)\)[?*+]?")
WORDS = re.compile(r"[\w\\.|]+")
PARTS = {r"(?P<path>(?:(?:/[^/]+)+|/?))": "/x", r"\w+-\w+-\w+-\w+-\w+": "1-2-3-4-5", r"[\w-]+": "x"}


@pytest.fixture
def extension(jp_serverapp):
    return jp_serverapp.extension_manager.extension_apps["jupyter_server_ext"].copy().pop()


@pytest.fixture
def told(extension, jp_serverapp, jp_asyncio_loop):
    """What the server has told its kernels."""
    jp_asyncio_loop.run_until_complete(extension._start_jupyter_server_extension(jp_serverapp))
    (said,) = announcements(Path(jp_serverapp.runtime_dir), os.getpid())
    return said


@pytest.fixture
def file(told, jp_serverapp):
    (path,) = Path(jp_serverapp.runtime_dir).glob("warp-*.json")
    return path


@pytest.fixture
def kernels(told):
    return {"Authorization": f"Bearer {told.token}"}


async def test_it_opens_the_paths_of_the_gateway(rest, kernels, told):
    for path, status in GOOD.items():
        for headers in (kernels, {"Authorization": f"token {told.token}"}):
            assert (await rest(path, headers=headers, below="")).status == status, path
    said = await rest("prompt", {"prompt": "Hello", "sessionId": "s", "createSession": True}, headers=kernels)
    assert (said.status, said.json["sessionId"]) == (200, "s")
    assert (await rest("health/ready", headers=kernels)).json["configured"] is True


async def test_its_user_shares_the_sessions_of_local(rest, kernels):
    await rest("prompt", {"prompt": "One", "sessionId": "s", "createSession": True})
    assert "in message 3." in (await rest("prompt", {"prompt": "Two", "sessionId": "s"}, headers=kernels)).json["text"]


async def test_every_other_path_of_the_server_takes_who_has_it_for_a_stranger(rest, kernels, jp_serverapp, jp_base_url):
    differ, asked = [], paths(jp_serverapp, jp_base_url)
    assert len(asked) > 50
    assert {"api/contents/x", "api/kernels", "api/sessions", "api/me", "api/status", "api/shutdown", "files/x"} <= asked
    for path in sorted(asked):
        for method in METHODS:
            mine, strangers = [await outcome(rest, method, path, headers) for headers in (kernels, {})]
            if mine != strangers:
                differ.append((method, path, mine, strangers))
    assert not differ


async def outcome(rest, method, path, headers):
    """The status, and the body of what was let in."""
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    try:
        said = await rest(path, body, method=method, headers=headers, below="")
    except HTTPStreamClosedError:  # a handler of Jupyter's that is made wrong hangs up
        return None
    body = re.sub(rb"[0-9a-f]{8}\|[0-9a-f|]+", b"", said.body)  # each page's own against forged requests
    return said.status, body if said.status in (200, 201, 204) else b""


async def test_what_holds_files_and_runs_code_refuses_it(rest, kernels, jp_serverapp):
    own = {"Authorization": f"token {jp_serverapp.identity_provider.token}"}
    for path in ("contents", "kernels", "sessions", "status", "terminals", "kernelspecs", "config/x", "me"):
        assert (await rest(f"api/{path}", headers=kernels, below="")).status == 403, path
        assert (await rest(f"api/{path}", headers=own, below="")).status == 200, path
    for path in ("kernels", "terminals", "contents", "sessions", "shutdown"):
        assert (await rest(f"api/{path}", b"{}", headers=kernels, below="")).status == 403, path
    for path in ("files/x", "lab", "tree", "view/x", "nbconvert/html/x"):
        assert (await rest(path, headers=kernels, below="")).status in (302, 403, 404), path


def paths(jp_serverapp, base):
    """Paths for each handler of the server that is not the gateway's, the groups of its pattern filled in."""
    found, missed = set(), []
    for rule in jp_serverapp.web_app.wildcard_router.rules:
        pattern = rule.matcher.regex.pattern
        mine = {path for filling in FILLINGS if rule.matcher.regex.fullmatch(path := filled(pattern, filling))}
        if not mine:
            missed.append(pattern)
        found |= mine
    assert not missed
    below = {path.removeprefix(base).lstrip("/") for path in found}
    return {path for path in below if not path.startswith("warp/")}


def filled(pattern, filling):
    """Put `filling` in place of the groups; of words to choose from the first, and what several kinds share."""
    for part, text in PARTS.items():
        pattern = pattern.replace(part, text)
    while GROUP.search(pattern):
        pattern = GROUP.sub(lambda group: group[1].split("|")[0] if WORDS.fullmatch(group[1]) else filling, pattern)
    return re.sub(r"\\(.)", r"\1", pattern.removesuffix("$").replace(".*", filling).replace("/?", "/"))


async def test_it_is_no_token_in_a_url_nor_in_a_cookie(rest, told):
    assert (await rest(f"models?token={told.token}", headers={})).status == 403
    for headers in (
        {"Cookie": f"token={told.token}"},
        {"Authorization": f"Basic {told.token}"},
        {"X-Token": told.token},
    ):
        assert (await rest("models", headers=headers)).status == 403
    for wrong in (told.token[:-1], told.token + "x", "", " ", "\xff"):
        assert (await rest("models", headers={"Authorization": f"Bearer {wrong}"})).status == 403


async def test_no_answer_shows_it_and_it_is_no_ones_login(rest, kernels, told, caplog):
    said = await rest("models", headers=kernels)
    assert "Set-Cookie" not in said.headers or "username" not in said.headers["Set-Cookie"]
    assert told.token not in said.whole() + caplog.text + repr(told)


async def test_at_the_servers_end_it_is_good_for_nothing(rest, kernels, extension, jp_serverapp):
    assert os.environ["WARP_SERVER_ID"]
    assert (await rest("models", headers=kernels)).status == 200
    await extension.stop_extension()
    assert (await rest("models", headers=kernels)).status == 403
    assert announcements(Path(jp_serverapp.runtime_dir), os.getpid()) == []
    assert "WARP_SERVER_ID" not in os.environ


async def test_the_file_is_its_users_alone_and_says_where_the_gateway_is(told, file, jp_serverapp, jp_base_url):
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told.server_id == os.environ["WARP_SERVER_ID"]
    assert told.url.endswith(f":{jp_serverapp.port}{jp_base_url}warp")
    assert jp_serverapp.identity_provider.token not in file.read_text()


async def test_a_folder_that_cannot_be_written_is_a_warning(extension, jp_serverapp, tmp_path, caplog):
    before, jp_serverapp.runtime_dir = jp_serverapp.runtime_dir, str(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").touch()
    await extension._start_jupyter_server_extension(jp_serverapp)
    jp_serverapp.runtime_dir = before
    assert "kernels are not told" in caplog.text


@pytest.mark.parametrize(
    ("ip", "certificate", "url"),
    [
        ("", "", "http://127.0.0.1:8899/a%40b/warp"),
        ("0.0.0.0", "", "http://127.0.0.1:8899/a%40b/warp"),
        ("::", "", "http://[::1]:8899/a%40b/warp"),
        ("::1", "", "http://[::1]:8899/a%40b/warp"),
        ("localhost", "", "http://localhost:8899/a%40b/warp"),
        ("10.1.2.3", "cert.pem", "https://10.1.2.3:8899/a%40b/warp"),
    ],
)
def test_the_url_is_one_that_this_machine_reaches(jp_configurable_serverapp, ip, certificate, url):
    app = jp_configurable_serverapp()
    app.ip, app.port, app.base_url, app.certfile, app.sock = ip, 8899, "/a%40b/", certificate, ""
    assert kernel_url(app) == url
    app.sock = "/tmp/server.sock"
    assert kernel_url(app) is None


class ByHeader(IdentityProvider):
    """Knows its users by a header and nobody by a token."""

    def get_user(self, handler):
        name = handler.request.headers.get("X-User")
        return User(name) if name else None

    def is_token_authenticated(self, handler):
        return False


class TestAnotherIdentityProvider:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        server = {"jpserver_extensions": {"jupyter_server_ext": True}, "identity_provider_class": ByHeader}
        return Config({"ServerApp": server})

    async def test_the_kernels_user_is_its_own_and_nobody_can_take_its_name(self, rest, kernels, monkeypatch):
        monkeypatch.setenv("JUPYTERHUB_USER", "ada")
        body = {"prompt": "One", "sessionId": "s", "createSession": True}
        assert (await rest("prompt", body, headers=kernels)).status == 200
        assert (await rest("sessions/s/history", headers={"X-User": "ada"})).status == 200
        for stranger in ("warp-kernel", "bob"):
            assert (await rest("sessions/s/history", headers={"X-User": stranger})).status == 404
        assert (await rest("models", headers={})).status == 403

    async def test_the_configured_owner_is_the_kernels_too(self, rest, kernels, configure):
        configure("ok", storage='type = "memory"\nowner = "team"')
        assert (await rest("prompt", {"prompt": "One", "sessionId": "s", "createSession": True}, headers=kernels)).json
        assert (await rest("sessions/s/history", headers={"X-User": "bob"})).status == 200
