"""The connection that all share: whose reply is whose, who is told of trouble, and what trouble of one does to the others."""

import asyncio

import pytest
import uvloop

from tests.fakes.provider import FakeProvider
from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import Clock, configured, opened, until, valkey
from tests.stores.backends import linked
from warp_magics.gateway.errors import StoreUnavailable
from warp_magics.gateway.stores.valkey.link import CALL_SECONDS
from warp_magics.gateway.stores.valkey.place import OPEN_SECONDS
from warp_magics.gateway.types import ChatRequest as Ask


@pytest.fixture(scope="module")
def server():
    with running_server(next(iter(server_binaries().values()))) as running:
        yield running


@pytest.fixture
def proxy(server):
    with StoreProxy(server.url) as before:
        yield before


@pytest.mark.asyncio
async def test_each_of_many_gets_its_own_reply(server):
    async with linked(server.url) as link:
        await asyncio.gather(*(link.call("SET", f"own {n}", n) for n in range(300)))
        got = await asyncio.gather(*(link.call("GET", f"own {n}") for n in range(300)))
    assert got == [str(n).encode() for n in range(300)]


@pytest.mark.asyncio
async def test_who_leaves_leaves_his_reply_to_nobody(server):
    async with linked(server.url) as link:
        await link.call("SET", "a", "of a")
        await link.call("SET", "b", "of b")
        for ticks in range(8):
            leaving = asyncio.ensure_future(link.call("GET", "a"))
            staying = asyncio.ensure_future(link.call("GET", "b"))
            for _ in range(ticks):
                await asyncio.sleep(0)
            leaving.cancel()
            assert await staying == b"of b"
            assert await link.call("GET", "b") == b"of b"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "error"),
    [(("LRANGE", "text", 0, -1), StoreUnavailable), (("GET", "\ud800"), UnicodeEncodeError)],
    ids=["refused", "not to be sent"],
)
async def test_what_one_asks_wrongly_is_not_the_others_trouble(server, wrong, error):
    async with linked(server.url) as link:
        await link.call("SET", "text", "no list")
        failed, fine = await asyncio.gather(link.call(*wrong), link.call("GET", "text"), return_exceptions=True)
    assert isinstance(failed, error)
    assert fine == b"no list"


@pytest.mark.asyncio
async def test_a_connection_that_was_closed_meanwhile_is_opened_anew(proxy):
    async with linked(proxy.url) as link:
        await link.call("SET", "kept", "yes")
        proxy.drop()
        assert await asyncio.gather(*(link.call("GET", "kept") for _ in range(5))) == [b"yes"] * 5


def test_all_who_wait_for_a_frozen_server_are_told_on_uvloop_too(proxy):
    """Its timers ring a little early, and what it gives for one that is due cannot tell when."""

    async def asked(link, number):
        await asyncio.sleep(number * 0.0003)
        return await link.call("GET", "a")

    async def go():
        async with linked(proxy.url) as link:
            await link.call("SET", "a", "1")
            proxy.freeze()
            async with asyncio.timeout(10 * CALL_SECONDS):
                return await asyncio.gather(*(asked(link, n) for n in range(2000)), return_exceptions=True)

    assert {type(one) for one in uvloop.run(go())} == {StoreUnavailable}


@pytest.mark.asyncio
async def test_who_stood_still_himself_takes_the_answer_that_came_meanwhile(server, monkeypatch):
    loop = asyncio.get_running_loop()
    async with linked(server.url) as link:
        await link.call("SET", "kept", "yes")
        asked = [asyncio.ensure_future(link.call("GET", "kept")) for _ in range(3)]
        for _ in range(4):
            await asyncio.sleep(0)  # they are on their way
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + 2 * CALL_SECONDS)
        assert await asyncio.gather(*asked) == [b"yes"] * 3


@pytest.mark.asyncio
async def test_the_first_prompt_after_an_outage_has_its_history(tmp_path, proxy):
    clock = Clock()
    async with FakeProvider() as fake:
        config = configured(tmp_path, fake.base_url, "ok")
        async with opened(config, store=valkey(proxy.url, clock=clock)) as gateway:
            await gateway.ask(Ask("first", session_id="outage", create_session=True))
            proxy.refuse()
            assert not (await gateway.status()).storage["reachable"]
            proxy.back()
            clock.now += 2 * OPEN_SECONDS
            answer = await gateway.ask(Ask("second", session_id="outage"))
    assert answer.session_status is None
    assert answer.text == "You said 'second' in message 3."  # with both of the first turn before it


@pytest.mark.asyncio
async def test_late_trouble_of_an_old_connection_is_not_the_new_ones(proxy):
    """Who waits over a connection from before the outage is told, and nobody else."""
    clock = Clock()
    async with linked(proxy.url, clock=clock) as link:
        await link.call("SET", "fine", "yes")
        waiting = asyncio.ensure_future(link.call("XREAD", "BLOCK", 400, "STREAMS", "nothing", "$", wait=0.4))
        await until(lambda: proxy.connections >= 2)
        proxy.freeze()
        with pytest.raises(StoreUnavailable):
            await link.call("GET", "fine")
        proxy.back()
        clock.now += 2 * OPEN_SECONDS
        assert await link.call("GET", "fine") == b"yes"
        await asyncio.gather(waiting, return_exceptions=True)
        assert await link.call("GET", "fine") == b"yes"
