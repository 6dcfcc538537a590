"""A request chooses no URL, header or key: what a provider is sent is what the configuration says."""

from __future__ import annotations

import pytest

from tests.fakes.provider import FakeProvider, Reply
from tests.server.conftest import KEY
from tests.server.places import owners

SMUGGLED = "smuggled-3f9a"
FIELDS = (
    "baseUrl",
    "base_url",
    "url",
    "headers",
    "apiKey",
    "api_key",
    "proxy",
    "verify",
    "body",
    "provider",
    "dialect",
)
OURS = {"prompt": "Hello"}
OPENAI = {"model": "fake:ok", "messages": [{"role": "user", "content": "Hello"}]}
PATHS = (("api/v1/prompt", OURS), ("api/v1/stream", OURS), ("v1/chat/completions", OPENAI))


@pytest.fixture
def jp_server_config(configure):
    configure("ok")
    return owners()


@pytest.fixture
def evil():
    """Where nothing is to arrive."""
    with FakeProvider.in_thread() as provider:
        yield provider


def values(evil):
    return (
        evil.base_url,
        {"Authorization": SMUGGLED, "X-Smuggled": SMUGGLED},
        [{"name": "X-Smuggled", "value": SMUGGLED}],
        SMUGGLED,
    )


def names(evil):
    """What somebody may write for a model."""
    host = f"127.0.0.1:{evil.port}"
    yield from (evil.base_url, f"{evil.base_url}:ok", f"openai:{evil.base_url}", f"fake@{host}:ok", f"{host}:ok", "")
    yield from ("fake:ok\r\nX-Smuggled: 1", "fake:\x00ok", "fake:ok\n", "\nfake:ok", "../fake:ok", "fake/../x:ok")


def objects(evil):
    for field in FIELDS:
        if field != "provider":
            yield from ({"provider": "fake", "model": "ok", field: value} for value in values(evil))
    yield {"provider": {"baseUrl": evil.base_url}, "model": "ok"}
    yield {"provider": evil.base_url, "model": "ok"}
    yield {"provider": "fake", "model": {"name": "ok", "baseUrl": evil.base_url}}


def sent(call):
    """The headers that a provider got, but for those that say how long the body is."""
    return {name: value for name, value in call.headers.items() if name not in ("content-length", "accept")}


async def test_no_field_of_a_body_says_where_or_with_what_is_asked(open_place, fake, evil):
    place = await open_place("ok")
    for path, body in PATHS:
        for field in FIELDS:
            for value in values(evil):
                said = await place.ask("ada", "POST", path, {**body, field: value})
                if said.status_code == 200:  # OpenAI's clients send fields of their own, which are passed over
                    assert path.startswith("v1/"), (path, field)
                else:
                    assert said.status_code in (400, 422), (path, field, said.text)
    assert not evil.requests
    for call in fake.requests:
        assert SMUGGLED not in str(call.headers)
        assert evil.base_url not in str(call.body)
        assert (call.key, call.path) == (KEY, "/v1/chat/completions")


async def test_no_name_of_a_model_does(open_place, fake, evil):
    place = await open_place("ok")
    for one in [*names(evil), *objects(evil)]:
        said = await place.ask("ada", "POST", "api/v1/prompt", {**OURS, "models": [one]})
        assert said.status_code in (400, 422), (one, said.text)
    for one in names(evil):
        said = await place.ask("ada", "POST", "v1/chat/completions", {**OPENAI, "model": one})
        assert said.status_code in (400, 404, 422), (one, said.text)
        said = await place.ask("ada", "POST", "v1/chat/completions", {**OPENAI, "fallbacks": [one]})
        assert said.status_code in (400, 404, 422), (one, said.text)
    assert not evil.requests
    assert not fake.requests


async def test_no_header_of_a_request_reaches_a_provider(open_place, fake, evil):
    place = await open_place("ok")
    await place.ask("ada", "POST", "api/v1/prompt", OURS)
    usual = sent(fake.requests[0])
    smuggled = {
        "X-Smuggled": SMUGGLED,
        "X-Api-Key": SMUGGLED,
        "Api-Key": SMUGGLED,
        "X-Goog-Api-Key": SMUGGLED,
        "OpenAI-Organization": SMUGGLED,
        "Anthropic-Version": SMUGGLED,
        "X-Base-Url": evil.base_url,
        "X-Forwarded-Host": f"127.0.0.1:{evil.port}",
        "Forwarded": f"host=127.0.0.1:{evil.port}",
        "Cookie": SMUGGLED,
        "User-Agent": SMUGGLED,
        "Referer": SMUGGLED,
        "Traceparent": SMUGGLED,
    }
    for path, body in PATHS:
        said = await place.ask("ada", "POST", path, body, headers=smuggled)
        assert said.status_code == 200, said.text
        assert sent(fake.requests[-1]) == usual
    assert len(fake.requests) == 4
    assert not evil.requests


async def test_no_place_in_a_url_does(open_place, fake, evil):
    place = await open_place("ok")
    query = {"baseUrl": evil.base_url, "apiKey": SMUGGLED, "model": "openai:x", "url": evil.base_url}
    assert (await place.ask("ada", "POST", "api/v1/prompt", OURS, query=query)).status_code == 200
    (call,) = fake.requests
    assert (call.key, call.model) == (KEY, "ok")
    for path in (f"v1/models/{evil.base_url}", "v1/models/..%2F..%2Fx", f"http://127.0.0.1:{evil.port}/v1/models"):
        assert (await place.ask("ada", "GET", path)).status_code in (400, 404)
    assert not evil.requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_of_a_provider_is_followed(open_place, fake, evil, status):
    fake.script("moved", Reply.failing(status, headers={"Location": f"{evil.base_url}/chat/completions"}))
    place = await open_place("moved")
    said = await place.ask("ada", "POST", "api/v1/prompt", OURS)
    assert said.status_code in (502, 503), said.text
    assert fake.requests
    assert not evil.requests
