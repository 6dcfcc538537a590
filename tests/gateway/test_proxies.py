"""Which way a provider is asked: a proxy of its own, the environment's, or straight."""

import pytest

from tests.gateway.kit import configured, opened
from warp_magics.gateway.errors import ProviderError
from warp_magics.gateway.types import ChatRequest as Ask

ELSEWHERE = "http://models.example/v1"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def place(fake):
    """Host and port of a server that takes requests for elsewhere, as a proxy does."""
    return fake.base_url.removeprefix("http://").partition("/")[0]


async def asked(tmp_path, url, **tables):
    async with opened(configured(tmp_path, url, "ok", **tables)) as gateway:
        return (await gateway.ask(Ask("hi", store=False))).text


@pytest.mark.asyncio
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("form", ["http://{}", "HTTP://{}", "{}", "http://ada:secret@{}"])
async def test_the_environments_proxy_is_asked_however_it_is_written(tmp_path, place, monkeypatch, variable, form):
    monkeypatch.setenv(variable, form.format(place))
    assert await asked(tmp_path, ELSEWHERE) == "You said 'hi' in message 1."


@pytest.mark.asyncio
@pytest.mark.parametrize("spared", ["127.0.0.1", "{}", "*", "example.org,127.0.0.1"])
async def test_what_is_spared_is_asked_straight(tmp_path, fake, place, monkeypatch, spared):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", spared.format(place))
    assert await asked(tmp_path, fake.base_url) == "You said 'hi' in message 1."


@pytest.mark.asyncio
async def test_a_proxy_that_cannot_be_used_is_no_silent_way_round_it(tmp_path, fake, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://ada:secret@127.0.0.1:1080")
    with pytest.raises(ProviderError, match="socks5 proxy") as raised:
        await asked(tmp_path, fake.base_url)
    assert "secret" not in str(raised.value)
    assert not fake.requests
