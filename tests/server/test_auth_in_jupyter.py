"""Who may ask, and whose sessions are meant: Jupyter's own authentication and authorization before every path."""

import re

import pytest
from jupyter_server.auth import Authorizer, IdentityProvider, User
from tornado.web import HTTPError
from traitlets.config import Config

POSTS = {"prompt": {"prompt": "Hello"}, "stream": {"prompt": "Hello"}}
GETS = ("models", "sessions/s/history")
PATHS = {**POSTS, **dict.fromkeys(GETS)}


class NothingOfWarp(Authorizer):
    """Lets everybody do everything but use the gateway."""

    def is_authorized(self, handler, user, action, resource):
        return resource != "warp"


class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read"


class ByHeader(IdentityProvider):
    """Knows its users by a header, as a proxy's would."""

    def get_user(self, handler):
        name = handler.request.headers.get("X-User")
        if name == "banned":
            raise HTTPError(403, "banned")
        return User(name) if name else None

    def is_token_authenticated(self, handler):
        return True


def config(**server):
    return Config({"ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}, **server}})


async def test_without_a_token_every_path_is_refused_in_json(rest, fake):
    for headers in ({}, {"Authorization": "token wrong"}, {"Authorization": "Bearer wrong"}, {"Cookie": "username=x"}):
        for path, body in PATHS.items():
            said = await rest(path, body, headers=headers)
            assert (said.status, said.json["code"]) == (403, "FORBIDDEN"), (path, headers)
            assert "Authorization: Bearer TOKEN" in said.json["message"]
    assert not fake.requests


async def test_a_token_may_be_said_in_three_ways(rest, jp_serverapp):
    token = jp_serverapp.identity_provider.token
    for word in ("token", "Bearer"):
        said = await rest("prompt", POSTS["prompt"], headers={"Authorization": f"{word} {token}"})
        assert said.status == 200
    assert (await rest(f"models?token={token}", headers={})).status == 200
    assert (await rest("models?token=wrong", headers={})).status == 403


async def test_a_browser_that_enters_by_a_token_is_signed_in_and_a_client_is_given_no_cookie(rest, jp_serverapp):
    token = jp_serverapp.identity_provider.token
    entered = await rest(f"models?token={token}", headers={})
    [cookie] = [one for one in entered.headers.get_list("Set-Cookie") if one.startswith("username-")]
    assert (await rest("models", headers={"Cookie": cookie.split(";")[0]})).status == 200
    for said_in in ({"Authorization": f"token {token}"}, {"Authorization": f"bearer {token}"}):
        said = await rest("models", headers=said_in)
        assert said.status == 200
        assert not said.headers.get_list("Set-Cookie")
    behind_a_proxy = await rest(f"models?token={token}", headers={"Authorization": "Basic eDp5"})
    assert any(one.startswith("username-") for one in behind_a_proxy.headers.get_list("Set-Cookie"))


async def test_a_token_post_needs_no_xsrf_and_a_cookie_post_does(rest, fake):
    cookies, token = await sign_in(rest)
    refused = await rest("prompt", POSTS["prompt"], headers={"Cookie": cookies})
    assert (refused.status, refused.json["code"]) == (403, "FORBIDDEN")
    assert "_xsrf" in refused.json["message"]
    assert "Not signed in" not in refused.json["message"]
    assert not fake.requests
    said = await rest("prompt", POSTS["prompt"], headers={"Cookie": cookies, "X-XSRFToken": token})
    assert said.status == 200


async def test_a_page_of_elsewhere_gets_nothing_by_cookie(rest, fake):
    cookies, token = await sign_in(rest)
    elsewhere = {"Cookie": cookies, "Origin": "https://evil.example"}
    for path, body in PATHS.items():
        assert (await rest(path, body, headers=elsewhere)).status in (403, 404), path
        assert (await rest(path, body, headers=elsewhere | {"X-XSRFToken": token})).status in (403, 404), path
    for path, body in POSTS.items():
        assert (await rest(path, body, headers={"Cookie": cookies, "Referer": "https://evil.example/"})).status == 403
    assert not fake.requests


async def test_tokens_and_cookies_share_the_sessions_of_local(rest):
    await rest("prompt", {"prompt": "One", "sessionId": "s", "createSession": True})
    cookies, token = await sign_in(rest)
    headers = {"Cookie": cookies, "X-XSRFToken": token}
    said = await rest("prompt", {"prompt": "Two", "sessionId": "s"}, headers=headers)
    assert "in message 3." in said.json["text"]
    assert len((await rest("sessions/s/history")).json["turns"]) == 2


class TestAnAuthorizerThatDenies:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        return config(authorizer_class=NothingOfWarp)

    async def test_warp_is_403(self, rest, fake):
        for path, body in PATHS.items():
            said = await rest(path, body)
            assert (said.status, said.json["code"]) == (403, "FORBIDDEN"), path
            assert "warp" in said.json["message"]
        assert not fake.requests
        assert (await rest("api/status", below="")).status == 200


class TestAnAuthorizerOfReaders:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        return config(authorizer_class=ReadOnly)

    async def test_asking_is_writing(self, rest):
        statuses = {path: (await rest(path, body)).status for path, body in PATHS.items()}
        assert statuses == {"prompt": 403, "stream": 403, "models": 200, "sessions/s/history": 404}


class TestAnotherIdentityProvider:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        return config(identity_provider_class=ByHeader)

    async def test_its_users_own_their_sessions(self, rest):
        ada, bob = {"X-User": "ada"}, {"X-User": "bob"}
        session = (await rest("prompt", {"prompt": "Secret"}, headers=ada)).json["sessionId"]
        assert (await rest(f"sessions/{session}/history", headers=ada)).status == 200
        read = await rest(f"sessions/{session}/history", headers=bob)
        assert (read.status, read.json["code"]) == (404, "SESSION_NOT_FOUND")
        asked = await rest("prompt", {"prompt": "What?", "sessionId": session}, headers=bob)
        assert (asked.status, asked.json["code"]) == (404, "SESSION_NOT_FOUND")
        never = await rest("sessions/never-was/history", headers=bob)
        assert read.json["message"].replace(session, "X") == never.json["message"].replace("never-was", "X")

    async def test_the_same_id_is_two_sessions_of_two_users(self, rest):
        for user in ("ada", "bob"):
            body = {"prompt": f"I am {user}", "sessionId": "s", "createSession": True}
            assert "message 1." in (await rest("prompt", body, headers={"X-User": user})).json["text"]
        (turn,) = (await rest("sessions/s/history", headers={"X-User": "bob"})).json["turns"]
        assert turn["prompt"] == "I am bob"

    async def test_a_refusal_of_its_own_is_json(self, rest):
        said = await rest("models", headers={"X-User": "banned"})
        assert (said.status, said.json["code"]) == (403, "FORBIDDEN")

    async def test_a_set_owner_is_everybody_from_the_first_request_on(self, rest, configure):
        configure("ok", storage='type = "memory"\nowner = "team"')
        body = {"prompt": "One", "sessionId": "s", "createSession": True}
        assert (await rest("prompt", body, headers={"X-User": "ada"})).status == 200
        assert len((await rest("sessions/s/history", headers={"X-User": "bob"})).json["turns"]) == 1


class TestAServerThatNeedsUsersEverywhere:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        return config(allow_unauthenticated_access=False)

    async def test_health_stays_open_and_the_rest_shut(self, rest):
        for path in ("health/live", "health/ready"):
            assert (await rest(path, headers={})).json == {"status": "ok"}
        for path, body in PATHS.items():
            assert (await rest(path, body, headers={})).status == 403
            assert (await rest(path, body)).status != 403


async def sign_in(rest):
    """Log in as a browser does; the cookies and the XSRF token."""
    login = await rest("login", headers={}, below="")
    entered = await rest("api/status", below="")
    pairs = [cookie.split(";")[0] for said in (login, entered) for cookie in said.headers.get_list("Set-Cookie")]
    (token,) = re.findall(r"_xsrf=([^;]+)", ";".join(pairs))
    return "; ".join(pairs), token
