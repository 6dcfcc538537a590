"""A key of one session that somebody spoilt is that session's trouble, and nobody else's."""

import asyncio

import pytest
import redis

from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import opened, valkey
from warp_magics.gateway.stores.valkey.link import OPEN_SECONDS
from warp_magics.gateway.types import ChatRequest as Ask

SERVERS = server_binaries()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SERVERS, reason="this machine has no server to start")]
WITHOUT = "storage unavailable, answered without history"


def ask(prompt, session_id):
    return Ask(prompt, session_id=session_id, create_session=True)


def as_string(name):
    def spoil(store, tag):
        store.delete(f"{tag}:{name}")
        store.set(f"{tag}:{name}", "spoilt")

    return spoil


def number(store, tag):
    store.hset(f"{tag}:meta", "n", "spoilt")


SPOILT = {"turns": as_string("turns"), "meta": as_string("meta"), "n": number}


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    with running_server(SERVERS[request.param]) as server:
        yield server


@pytest.mark.asyncio
@pytest.mark.parametrize("key", SPOILT)
async def test_a_spoilt_key_is_one_sessions_trouble(fake, config, server, key):
    # Time stands still for the store: were it left alone after a failure, it would be so for good.
    async with opened(config("ok"), valkey(server.url, prefix=f"spoilt {key}", clock=lambda: 0.0)) as gateway:
        for session_id in ("bad", "good"):
            await gateway.ask(ask("a", session_id))
        with redis.Redis.from_url(server.url) as store:
            SPOILT[key](store, f"spoilt {key}:1:{{local/bad}}")
        for n in (2, 3):
            async with asyncio.timeout(OPEN_SECONDS):
                spoilt = await gateway.ask(ask("b", "bad"))
            assert (spoilt.text, spoilt.session_status) == ("You said 'b' in message 1.", "stateless")
            assert spoilt.warnings == (WITHOUT,)
            good = await gateway.ask(ask("b", "good"))
            assert good.text == f"You said 'b' in message {2 * n - 1}."
            assert (good.session_status, good.warnings, good.stream_id) == (None, (), f"good~{n}")
        assert (await gateway.status()).ok
