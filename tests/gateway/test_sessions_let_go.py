"""A session that was begun for nobody is given back: the next prompt does not wait out the lease of ten seconds."""

import asyncio
import contextlib
import time

import pytest

from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import opened, said, until, valkey
from warp_magics.gateway.turns import LEASE_SECONDS
from warp_magics.gateway.types import ChatRequest as Ask

BINARY = next(iter(server_binaries().values()), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="this machine has no server to start"),
]
PROMPTLY = 3.0
ON_ITS_WAY, ON_ITS_WAY_BACK = 0.1, 0.4
DELAY = 0.25  # to the store, and as long again from it
assert PROMPTLY < LEASE_SECONDS / 1.5


def ask(prompt, **fields):
    return Ask(prompt, session_id="s1", **{"create_session": True, **fields})


@pytest.fixture(scope="module")
def shared():
    with running_server(BINARY) as server, StoreProxy(server.url) as proxy:
        proxy.direct = server.url
        yield proxy


@pytest.fixture
def proxy(shared):
    shared.back()
    shared.drop()
    yield shared
    shared.delay = 0.0
    shared.back()


async def leave(asking):
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


async def promptly_with_history(gateway, fake, since):
    """The session answers again, with the turn before the trouble, and nobody has waited for a lease."""

    async def told():
        answer = await gateway.ask(ask("after"))
        return answer if answer.session_status is None else None

    answer = await until(told, within=PROMPTLY)
    assert time.monotonic() - since < PROMPTLY
    assert answer.warnings == ()
    # Nobody may have been answered with history in vain: the first turn with history is the second.
    assert said(fake.requests[-1].messages)[::2] == [("user", "before"), ("user", "after")]
    return answer


@pytest.mark.asyncio
@pytest.mark.parametrize("after", [ON_ITS_WAY, ON_ITS_WAY_BACK])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_left_while_begin_is_on_its_way(fake, config, proxy, after, known):
    """Whoever left got nothing, the session is as before, and the next prompt is answered with history at once."""
    async with opened(config("ok"), valkey(proxy.url, prefix=f"left {after} {known}")) as gateway:
        # The connection and the store's clock are known: begin is the next and only call.
        await gateway.ask(ask("before") if known else Ask("x", session_id="other", create_session=True))
        asked = len(fake.requests)
        proxy.delay = DELAY
        asking = asyncio.create_task(gateway.ask(ask("left", on_disconnect="cancel")))
        await asyncio.sleep(after)
        left = time.monotonic()
        await leave(asking)
        assert len(fake.requests) == asked
        proxy.delay = 0.0
        await asyncio.sleep(max(0.0, DELAY + 0.05 - after))  # until begin has come to the store, for nobody
        async with asyncio.timeout(PROMPTLY):
            answer = await gateway.ask(ask("after"))
        assert time.monotonic() - left < PROMPTLY
        assert (answer.session_status, answer.warnings) == (None, ())
        kept = [turn.prompt for turn in await gateway.history("local", "s1")]
    assert kept == [*["before"] * known, "after"]
    assert len(fake.requests[-1].messages) == (3 if known else 1)


@pytest.mark.asyncio
async def test_left_while_the_stores_answers_are_lost(fake, config, proxy):
    async with opened(config("ok"), valkey(proxy.url, prefix="deaf")) as gateway:
        await gateway.ask(ask("before"))
        proxy.freeze(replies_only=True)
        asking = asyncio.create_task(gateway.ask(ask("left", on_disconnect="cancel")))
        await asyncio.sleep(ON_ITS_WAY)
        left = time.monotonic()
        await leave(asking)
        proxy.back()
        await promptly_with_history(gateway, fake, left)
        kept = [turn.prompt for turn in await gateway.history("local", "s1")]
    assert kept == ["before", "after"]


@pytest.mark.asyncio
async def test_answered_without_history_where_begins_answer_was_lost(fake, config, proxy):
    async with opened(config("ok"), valkey(proxy.url, prefix="lost")) as gateway:
        await gateway.ask(ask("before"))
        proxy.freeze(replies_only=True)
        since = time.monotonic()
        answer = await gateway.ask(ask("meanwhile"))
        assert answer.session_status == "stateless"
        proxy.back()
        await promptly_with_history(gateway, fake, since)
        kept = [turn.prompt for turn in await gateway.history("local", "s1")]
    assert kept == ["before", "after"]


@pytest.mark.asyncio
async def test_a_gateway_that_closes_while_begin_is_on_its_way_gives_the_session_back(fake, config, proxy):
    async with opened(config("ok"), valkey(proxy.direct, prefix="closing")) as other:
        async with opened(config("ok"), valkey(proxy.url, prefix="closing")) as gateway:
            await gateway.ask(ask("before"))
            proxy.delay = DELAY / 2
            asking = asyncio.create_task(gateway.ask(ask("left")))
            await asyncio.sleep(0.75 * DELAY)  # begin has come, its answer is on its way back
            closed = time.monotonic()
        assert await asyncio.wait({asking}, timeout=PROMPTLY) == ({asking}, set())
        assert asking.exception() is not None
        async with asyncio.timeout(PROMPTLY):
            answer = await other.ask(ask("after"))
        assert time.monotonic() - closed < PROMPTLY
        assert (answer.session_status, answer.warnings) == (None, ())
        assert [turn.prompt for turn in await other.history("local", "s1")] == ["before", "after"]
