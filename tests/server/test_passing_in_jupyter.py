"""A Jupyter Server whose `[gateway]` names another: what it passes on, what not, and what its readers see."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from jupyter_server.auth import Authorizer, IdentityProvider, User
from traitlets.config import Config

from jupyter_server_ext.inside import passing
from tests.fakes.raw_upstream import HOLD, STREAM, RawUpstream, chunk, head, whole

pytestmark = pytest.mark.timeout(120)

TOKEN = "hub-token-0123456789-uvwxyz"
EVENT = b'event: content\nid: 1-1\ndata: {"response": "a"}\n\n'


@pytest.fixture
def upstream(jp_asyncio_loop):
    fake = RawUpstream()
    jp_asyncio_loop.run_until_complete(fake.__aenter__())
    yield fake
    jp_asyncio_loop.run_until_complete(fake.__aexit__())


@pytest.fixture
def named(upstream, config_file, monkeypatch):
    """Writes the file that names the upstream, and the token for it."""

    def write(*, url=None, auth='auth = "hub"', more="", token=TOKEN):
        path = config_file(f'{more}\n[gateway]\nurl = "{url or upstream.url}"\n{auth}\n')
        monkeypatch.setenv("WARP_CONFIG", str(path))
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", token)

    return write


def server_config(**server):
    return Config({"ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}, **server}})


@pytest.fixture
def jp_server_config(named):
    named()
    return server_config()


@pytest.fixture
def mine(jp_serverapp):
    return {"Authorization": f"token {jp_serverapp.identity_provider.token}"}


@pytest.fixture
def raw(jp_serverapp, http_server, http_server_client, jp_base_url):
    """`reader, writer = await raw("GET", "api/v1/models")`: what comes is read when it is asked for."""
    token = jp_serverapp.identity_provider.token

    async def call(method, path, body=b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", http_server_client.get_http_port())
        lines = [f"{method} {jp_base_url}warp/{path} HTTP/1.1", "Host: localhost", f"Authorization: token {token}"]
        writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        return reader, writer

    return call


# -- there


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "api/v1/sessions?search=a%20b&search=%2F&limit=1&x"),
        ("GET", "api/v1/sessions/a%2Fb%C3%A4/history?branch=1"),
        ("PATCH", "api/v1/sessions/s"),
        ("DELETE", "api/v1/sessions/s"),
        ("POST", "api/v1/stream?a=+&b=%2B"),
        ("GET", "what/there/is/only/there?x=1"),
        ("POST", "v1/some/thing"),
    ],
)
async def test_what_is_asked_goes_on_to_the_byte(rest, upstream, method, path):
    body = '{"prompt":  "Grüße \\u2028"}'.encode() if method in ("POST", "PATCH") else None
    assert (await rest(path, body, method=method, below="warp/")).status == 200
    (seen,) = upstream.seen
    assert seen.line == f"{method} /services/warp/{path} HTTP/1.1"
    assert seen.body == (body or b"")


async def test_the_headers_that_matter_go_on_and_the_callers_secrets_do_not(rest, upstream, mine):
    kept = {
        "Accept": "text/event-stream",
        "Content-Type": "application/json; charset=utf-8",
        "Last-Event-ID": "3-7",
        "Idempotency-Key": "key-1",
        "Prefer": "respond-async",
        "X-Session-Id": "s",
        "X-Own": "1",
        "User-Agent": "me/1",
        "Accept-Language": "eo",
    }
    dropped = {
        "Cookie": "a=secret",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "Keep-Alive": "5",
        "TE": "trailers",
        "Proxy-Authorization": "Basic c2VjcmV0",
        "X-XSRFToken": "secret",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-User": "ada",
        "Forwarded": "for=1.2.3.4",
        "Referer": "http://localhost/",
    }
    await rest("stream", b"{}", headers={**kept, **dropped, **mine})
    (seen,) = upstream.seen
    assert {name: seen.header(name) for name in kept} == kept
    assert not [name for name in dropped if seen.header(name) not in (None, "keep-alive")]
    assert seen.header("Authorization") == f"Bearer {TOKEN}"
    assert [name for name, _ in seen.headers].count("Authorization") == 1
    assert mine["Authorization"].split()[1] not in str(seen.headers)
    assert seen.header("Host") in upstream.url


async def test_the_token_is_read_anew_and_never_shown(rest, upstream, monkeypatch, caplog):
    first = await rest("models")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "another-token")
    second = await rest("models")
    assert [seen.header("Authorization") for seen in upstream.seen] == [f"Bearer {TOKEN}", "Bearer another-token"]
    assert TOKEN not in first.whole() + second.whole() + caplog.text


@pytest.mark.parametrize(
    "path",
    ["../api/status", "api/v1/../../../hub/api/users", "api/v1/sessions/%2e%2E/history", "a/..%2F..%2Fhub", "a\\..\\b"],
)
async def test_no_path_leads_out_of_the_gateways_own(raw, upstream, path):
    reader, writer = await raw("GET", path)
    assert int((await reader.readuntil(b"\r\n")).split()[1]) in (400, 404)
    writer.close()
    assert not upstream.seen


async def test_a_body_over_the_limit_stays_here(rest, upstream, named):
    named(more="limits.body_size = 100")
    said = await rest("prompt", b"x" * 101)
    assert (said.status, said.json["code"]) == (413, "BODY_TOO_LARGE")
    assert not upstream.seen
    assert (await rest("prompt", b"x" * 100)).status == 200


async def test_nothing_is_opened_or_kept_here(rest, upstream, isolated, jp_serverapp):
    await rest("prompt", {"prompt": "Hello", "sessionId": "s", "createSession": True})
    extension = jp_serverapp.extension_manager.extension_apps["jupyter_server_ext"].copy().pop()
    assert extension._gateway is None
    assert extension._endpoints is None


# -- and back


async def test_an_answer_comes_back_to_the_byte(rest, upstream):
    body = b'{"code":  "SESSION_NOT_FOUND", "message": "x"}'
    upstream.will(
        whole(404, body, "application/json; charset=utf-8", "X-Session-Id: s", "Retry-After: 7", "X-Two: 1", "X-Two: 2")
    )
    said = await rest("sessions/s/history")
    assert (said.status, said.body) == (404, body)
    assert said.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (said.headers["X-Session-Id"], said.headers["Retry-After"]) == ("s", "7")
    assert said.headers.get_list("X-Two") == ["1", "2"]


async def test_neither_cookies_nor_grants_of_elsewhere_come_back(rest, upstream):
    lines = ("Set-Cookie: a=b", "Access-Control-Allow-Origin: *", "Connection: close", "Keep-Alive: 5")
    upstream.will(whole(200, {}, "application/json", *lines))
    said = await rest("models")
    assert said.headers.get("Access-Control-Allow-Origin") != "*"
    assert "a=b" not in said.headers.get("Set-Cookie", "")
    assert said.headers.get("Keep-Alive") is None


async def test_an_empty_answer_is_empty(rest, upstream):
    upstream.will(head(204))
    said = await rest("sessions/s", method="DELETE")
    assert (said.status, said.body, said.headers.get("Content-Type")) == (204, b"", None)


async def test_what_is_packed_stays_packed(raw, upstream):
    packed = gzip.compress(b'{"models": []}')
    upstream.will(whole(200, packed, "application/json", "Content-Encoding: gzip"))
    reader, writer = await raw("GET", "api/v1/models")
    assert b"Content-Encoding: gzip" in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(len(packed)) == packed
    writer.close()


async def test_an_event_is_passed_on_before_the_next_one_is_there(raw, upstream):
    upstream.will(STREAM, chunk(EVENT), HOLD, chunk(b": ping\n\n"), chunk(b""))
    reader, writer = await raw("POST", "api/v1/stream", b'{"prompt": "Hello"}')
    async with asyncio.timeout(10):
        headers = await reader.readuntil(b"\r\n\r\n")
        assert b"200" in headers.split(b"\r\n")[0]
        assert b"Content-Type: text/event-stream; charset=utf-8" in headers
        assert EVENT in await reader.readuntil(b"\n\n")
        upstream.release()
        assert b": ping\n\n" in await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("path", ["api/v1/stream", "v1/of/a/newer/gateway"])
async def test_an_answer_takes_as_long_as_it_takes(raw, upstream, monkeypatch, path):
    """Only the body of what is asked has to come in time."""
    monkeypatch.setattr("jupyter_server_ext.inside.bodies.BODY_SECONDS", 0.2)
    upstream.will(STREAM, chunk(EVENT), HOLD, chunk(b": ping\n\n"), chunk(b""))
    reader, writer = await raw("POST", path, b'{"prompt": "Hello"}')
    async with asyncio.timeout(10):
        await reader.readuntil(EVENT)
        await asyncio.sleep(0.5)
        upstream.release()
        assert b": ping\n\n" in await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("parts", [(STREAM, chunk(EVENT), HOLD), (HOLD,)], ids=["in a stream", "before any answer"])
async def test_a_reader_that_leaves_closes_the_way_to_the_gateway(raw, upstream, parts):
    upstream.will(*parts)
    reader, writer = await raw("POST", "api/v1/stream", b'{"prompt": "Hello"}')
    async with asyncio.timeout(10):
        if len(parts) > 1:
            await reader.readuntil(b"\n\n")
        else:
            await upstream.came.wait()
        writer.transport.abort()
        await upstream.left.wait()


@pytest.mark.parametrize("start", [STREAM + chunk(EVENT), whole(200, b"x" * 99)[:-50]], ids=["events", "a body"])
async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(raw, upstream, start):
    upstream.will(start)
    reader, writer = await raw("POST", "api/v1/stream", b"{}")
    async with asyncio.timeout(10):
        said = await reader.read()
    assert said.startswith(b"HTTP/1.1 200")
    assert not said.endswith(b"0\r\n\r\n")
    writer.close()


# -- who is there is no gateway, or does not let this server in


async def test_where_nobody_answers_the_error_names_the_gateway(rest, upstream, jp_asyncio_loop):
    await upstream.__aexit__()
    for path, body in {"models": None, "stream": {"prompt": "Hello"}}.items():
        said = await rest(path, body)
        assert (said.status, said.json["code"]) == (503, "GATEWAY_UNREACHABLE")
        assert upstream.url in said.json["message"]


async def test_on_openais_paths_what_goes_wrong_on_the_way_has_openais_shape(rest, upstream):
    upstream.will(b"")
    said = await rest("v1/chat/completions", {"model": "auto", "messages": []}, below="warp/")
    assert (said.status, said.json["error"]["code"]) == (503, "GATEWAY_UNREACHABLE")
    assert upstream.url in said.json["error"]["message"]


async def test_where_no_answer_comes_in_time_the_error_says_so(rest, upstream, monkeypatch):
    monkeypatch.setattr(passing, "ANSWER_SECONDS", 0.2)
    upstream.will(HOLD)
    said = await rest("models")
    assert (said.status, said.json["code"]) == (503, "GATEWAY_UNREACHABLE")
    assert f"{upstream.url} cannot be reached: no answer in time" in said.json["message"]


async def test_where_it_hangs_up_without_a_word_the_error_says_so(rest, upstream):
    upstream.will(b"")
    said = await rest("stream", {"prompt": "Hello"})
    assert (said.status, said.json["code"]) == (503, "GATEWAY_UNREACHABLE")
    assert "the connection was lost" in said.json["message"]


@pytest.mark.parametrize(
    "answer",
    [
        head(302, "Location: /hub/login", "Content-Length: 0"),
        whole(404, b"<h1>404</h1>", "text/html"),
        whole(503, b"<h1>Service is down</h1>", "text/html"),
    ],
    ids=["redirects", "has no such page", "is down"],
)
async def test_a_proxy_without_a_gateway_behind_it_is_told_as_that(rest, upstream, answer):
    upstream.will(answer)
    said = await rest("models")
    assert (said.status, said.json["code"]) == (503, "GATEWAY_UNREACHABLE")
    assert "not as a gateway does" in said.json["message"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_not_the_callers_fault(rest, upstream, status):
    upstream.will(whole(status, {"code": "FORBIDDEN", "message": "It lacks the scope access:services!service=warp."}))
    said = await rest("models")
    assert (said.status, said.json["code"]) == (502, "GATEWAY_REFUSED_SERVER")
    assert "this server's token, not yours" in said.json["message"]
    assert "access:services!service=warp" in said.json["message"]
    assert TOKEN not in said.whole()


async def test_without_a_token_it_says_which_variable_it_lacks(rest, upstream, monkeypatch, named):
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN")
    said = await rest("models")
    assert "JUPYTERHUB_API_TOKEN" in said.json["message"]
    named(auth="")
    said = await rest("models")
    assert "WARP_GATEWAY_TOKEN" in said.json["message"]
    assert not upstream.seen
    monkeypatch.setenv("WARP_GATEWAY_TOKEN", "of-its-own")
    assert (await rest("models")).status == 200
    assert upstream.seen[-1].header("Authorization") == "Bearer of-its-own"


# -- who may


async def test_strangers_are_let_in_to_nothing(rest, upstream):
    for path, body in {"models": None, "prompt": {"prompt": "x"}, "never/heard/of": None}.items():
        assert (await rest(path, body, headers={})).status == 403, path
    assert not upstream.seen


async def test_live_is_this_servers_own_and_ready_the_gateways(rest, upstream):
    ready = {"status": "ok", "gatewayId": "g", "version": "9", "configured": True, "reasons": [], "storage": {}}
    upstream.will(whole(200, ready))
    assert (await rest("health/live")).json == {"status": "ok"}
    assert not upstream.seen
    assert (await rest("health/ready")).json == ready
    assert upstream.seen[-1].header("Authorization") == f"Bearer {TOKEN}"
    assert (await rest("health/ready", headers={})).json == {"status": "ok"}
    assert upstream.seen[-1].header("Authorization") is None


async def test_a_stranger_learns_nothing_of_a_gateway_that_is_away(rest, upstream):
    await upstream.__aexit__()
    said = await rest("health/ready", headers={})
    assert (said.status, said.json) == (503, {"status": "error"})


class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "warp" or action == "read"


class TestAnAuthorizer:
    @pytest.fixture
    def jp_server_config(self, named):
        named()
        return server_config(authorizer_class=ReadOnly)

    async def test_it_still_decides(self, rest, upstream):
        for path in ("prompt", "never/heard/of"):
            assert (await rest(path, {"prompt": "x"})).status == 403
        assert not upstream.seen
        for path in ("models", "never/heard/of"):
            assert (await rest(path)).status == 200


class ByHeader(IdentityProvider):
    def get_user(self, handler):
        name = handler.request.headers.get("X-User")
        return User(name) if name else None

    def is_token_authenticated(self, handler):
        return True


class TestAServerThatOthersAreLetInTo:
    @pytest.fixture
    def jp_server_config(self, named, monkeypatch):
        named()
        monkeypatch.setenv("JUPYTERHUB_USER", "ada")
        return server_config(identity_provider_class=ByHeader)

    async def test_its_token_is_its_own_users_alone(self, rest, upstream):
        assert (await rest("models", headers={"X-User": "ada"})).status == 200
        passed = len(upstream.seen)
        for path, body in {"models": None, "prompt": {"prompt": "x"}, "never/heard/of": None}.items():
            said = await rest(path, body, headers={"X-User": "bob"})
            assert (said.status, said.json["code"]) == (403, "FORBIDDEN")
            assert "not yours" in said.json["message"]
        assert len(upstream.seen) == passed

    async def test_another_user_sees_of_its_health_what_strangers_see(self, rest, upstream):
        upstream.will(whole(200, {"status": "degraded", "reasons": ["x"]}))
        assert (await rest("health/ready", headers={"X-User": "bob"})).json == {"status": "degraded"}


async def test_a_file_that_is_wrong_is_told_and_read_again_once_it_is_right(rest, upstream, named):
    named(auth="auth = 7")
    said = await rest("models")
    assert "gateway.auth" in said.json["message"]
    assert (await rest("never/heard/of")).status == 404
    named()
    assert (await rest("models")).status == 200
