"""What browsers are told: each answer is what its type says, in no cache and no frame; pages of elsewhere read nothing."""

from __future__ import annotations

import pytest
from traitlets.config import Config

from jupyter_server_ext.apart.cors import Cors
from jupyter_server_ext.rest.routes import ROUTES
from tests.server.places import owners

PAGE = "https://app.example"
ASKING = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


@pytest.fixture
def jp_server_config(configure):
    configure("ok")
    return owners()


def told(said):
    return {name: value for name, value in said.headers.items() if name.startswith("access-control")}


async def answers(place):
    """One of each kind."""
    body = {"prompt": "Hello", "sessionId": "s", "createSession": True}
    yield "an answer", await place.ask("ada", "POST", "api/v1/prompt", body)
    yield "a stream", await place.ask("ada", "POST", "api/v1/stream", body)
    yield "a list", await place.ask("ada", "GET", "api/v1/sessions")
    for form in ("json", "md", "ipynb"):
        yield form, await place.ask("ada", "GET", f"api/v1/sessions/s/export?format={form}")
    yield "a 422", await place.ask("ada", "POST", "api/v1/prompt", {"zzz": 1})
    yield "a 404", await place.ask("ada", "GET", "api/v1/sessions/none")
    yield "no such path", await place.ask("ada", "GET", "nowhere")
    yield "no such verb", await place.ask("ada", "DELETE", "api/v1/prompt")
    yield "a stranger", await place.ask(None, "GET", "api/v1/models")
    yield "health", await place.ask(None, "GET", "api/v1/health/live")
    yield "a 413", await place.ask("ada", "POST", "api/v1/prompt", b"x" * 20_000_000)
    yield "a deletion", await place.ask("ada", "DELETE", "api/v1/sessions/s")


async def test_no_answer_is_taken_for_what_it_is_not(open_place):
    place = await open_place("ok")
    async for what, said in answers(place):
        assert said.headers["x-content-type-options"] == "nosniff", what
        policy = said.headers["content-security-policy"]
        assert "default-src 'none'" in policy, what
        assert "frame-ancestors 'none'" in policy or "frame-ancestors 'self'" in policy, what


async def test_no_cache_keeps_what_was_said(open_place):
    place = await open_place("ok")
    async for what, said in answers(place):
        kept = "no-cache" if what == "a stream" else "no-store"
        assert kept in said.headers["cache-control"], what


@pytest.mark.parametrize("kind", ["alone"])
async def test_a_stranger_page_is_told_nothing_that_lets_it_ask_or_read(open_place):
    place = await open_place("ok")
    before = await place.ask(None, "OPTIONS", "api/v1/prompt", headers=ASKING)
    assert "access-control-allow-origin" not in told(before)
    for headers in ({"Origin": PAGE}, {"Origin": "null"}):
        for verb, path in (("GET", "api/v1/health/live"), ("GET", "api/v1/models"), ("GET", "nowhere")):
            said = await place.ask(None, verb, path, headers=headers)
            assert not told(said), (path, told(said))


@pytest.mark.parametrize("kind", ["alone"])
async def test_a_name_that_is_rebound_gets_no_further_than_a_stranger(open_place):
    place = await open_place("ok")
    rebound = {"Host": "rebound.example", "Origin": "http://rebound.example"}
    assert (await place.ask(None, "GET", "api/v1/health/live", headers=rebound)).json() == {"status": "ok"}
    for verb, path in (("GET", "api/v1/sessions"), ("POST", "api/v1/prompt"), ("GET", "v1/models")):
        said = await place.ask(None, verb, path, {"prompt": "x"} if verb == "POST" else None, headers=rebound)
        assert said.status_code == 401


class TestJupytersOwn:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        return Config({"ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True}}})

    async def test_a_stranger_page_is_told_nothing_that_lets_it_ask_or_read(self, rest):
        for method, path in (("OPTIONS", "prompt"), ("GET", "health/live"), ("GET", "models"), ("GET", "nowhere")):
            said = await rest(path, method=method, headers=ASKING)
            assert "Access-Control-Allow-Origin" not in said.headers, path

    async def test_whom_jupyter_lets_in_is_let_in_here(self, rest, jp_serverapp):
        jp_serverapp.web_app.settings["allow_origin"] = PAGE
        assert (await rest("models", method="OPTIONS", headers=ASKING)).headers["Access-Control-Allow-Origin"] == PAGE
        assert (await rest("models")).headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize("kind", ["alone"])
class TestConfigured:
    """In Jupyter it is Jupyter's own `allow_origin` that holds."""

    async def test_a_page_that_is_let_in_may_ask_with_what_the_path_has(self, open_place):
        place = await open_place("ok", cors=Cors([PAGE], "x-my-session"))
        asked = {**ASKING, "Access-Control-Request-Headers": "authorization,x-stainless-os,x-evil"}
        before = await place.ask(None, "OPTIONS", "api/v1/sessions/s", headers=asked)
        assert before.status_code == 204
        assert before.headers["access-control-allow-origin"] == PAGE
        assert before.headers["access-control-allow-methods"] == "GET, PATCH, DELETE"
        allowed = before.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "last-event-id", "idempotency-key", "prefer", "x-my-session"} < set(
            allowed
        )
        assert {"user-agent", "openai-organization", "openai-project"} < set(allowed), (
            "OpenAI's own client asks for them"
        )
        assert "x-stainless-os" in allowed
        assert "x-evil" not in allowed
        assert before.headers["vary"] == "Origin"
        assert before.headers["x-content-type-options"] == "nosniff"

    async def test_it_may_read_each_answer_and_what_its_headers_say(self, open_place):
        place = await open_place("ok", cors=Cors([PAGE], "x-session-id"))
        place.client.headers["Origin"] = PAGE
        async for what, said in answers(place):
            assert said.headers["access-control-allow-origin"] == PAGE, what
            exposed = said.headers["access-control-expose-headers"].split(", ")
            assert exposed == ["x-session-id", "retry-after", "x-session-status", "x-stream-id"], what
            assert said.headers["vary"] == "Origin", what
            assert "access-control-allow-credentials" not in said.headers, what

    async def test_another_page_is_not_let_in_and_no_cache_mixes_the_two_up(self, open_place):
        place = await open_place("ok", cors=Cors([PAGE]))
        others = ("https://app.example.evil", "http://app.example", "https://app.example:444", "null", "")
        for origin in others:
            before = await place.ask(None, "OPTIONS", "api/v1/prompt", headers={**ASKING, "Origin": origin})
            said = await place.ask("ada", "GET", "api/v1/models", headers={"Origin": origin})
            assert not told(before), origin
            assert not told(said), origin
            assert said.headers["vary"] == "Origin"

    async def test_any_page_is_let_in_by_a_star_and_without_cookies(self, open_place):
        place = await open_place("ok", cors=Cors(["*"]))
        before = await place.ask(None, "OPTIONS", "api/v1/prompt", headers=ASKING)
        said = await place.ask("ada", "GET", "api/v1/models", headers={"Origin": PAGE})
        for answer in (before, said):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers
            assert "vary" not in answer.headers

    async def test_each_path_says_its_own_verbs(self, open_place):
        place = await open_place("ok", cors=Cors(["*"]))
        paths = {route.pattern: route.pattern.replace("\\", "") for route in ROUTES if "(" not in route.pattern}
        for pattern, path in paths.items():
            before = await place.ask(None, "OPTIONS", path, headers=ASKING)
            verbs = [route.verb for route in ROUTES if route.pattern == pattern]
            assert before.headers["access-control-allow-methods"] == ", ".join(verbs)
        assert (await place.ask(None, "OPTIONS", "nowhere", headers=ASKING)).status_code == 404
        assert (await place.ask(None, "OPTIONS", "api/v1/prompt", headers={"Origin": PAGE})).status_code == 405
