"""What an answer may cost, counted instead of timed: trips to the store, memory of the loop over chunks."""

import asyncio
import gc
import threading
import tracemalloc
from collections import Counter

import pytest

from tests.fakes.provider import Reply
from tests.fakes.store_proxy import StoreProxy
from tests.gateway.kit import events_of, opened, turn, until, valkey
from tests.stores.backends import lasting
from warp_magics.gateway.live import WHOLE_SECONDS
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import SessionKey, Text

DELAY = 0.01  # s a piece: what does not wait for the store is over before the store hears of it, and all within WHOLE_SECONDS


@pytest.fixture
def proxy(server):
    with StoreProxy(server.url) as before:
        yield before


async def trips(gateway, fake, proxy, *, after=10 * DELAY, **tables):
    """Ask in a session that is known: the trips before its provider is asked, and those after it has answered.

    It begins to do so `after` so many seconds.
    """
    await gateway.ask(Ask("first", session_id="s", create_session=True))
    go_on = threading.Event()
    fake.script("ok", Reply(chunks=["One", " two"], before=[go_on]))
    await asyncio.sleep(10 * DELAY)  # nothing of the first is left to be told
    asked, begun = len(fake.requests), proxy.trips
    answering = asyncio.ensure_future(gateway.ask(Ask("second", session_id="s", **tables)))
    await until(lambda: len(fake.requests) > asked, within=10)
    before = proxy.trips - begun
    await asyncio.sleep(after)
    held = proxy.trips
    go_on.set()
    await answering
    return before, proxy.trips - held


@pytest.mark.asyncio
async def test_a_prompt_goes_to_the_store_twice_before_its_model_is_asked_and_once_after(config, fake, proxy, here):
    async with opened(config("ok"), store=valkey(proxy.url, **here)) as gateway:
        await gateway.ask(Ask("warm", store=False))
        proxy.delay = DELAY
        assert await trips(gateway, fake, proxy) == (2, 1)


@pytest.mark.asyncio
async def test_an_answer_that_begins_late_is_no_more_trips(config, fake, proxy, here):
    async with opened(config("ok"), store=valkey(proxy.url, **here)) as gateway:
        await gateway.ask(Ask("warm", store=False))
        proxy.delay = DELAY
        assert await trips(gateway, fake, proxy, after=3 * WHOLE_SECONDS) == (2, 1)


@pytest.mark.asyncio
async def test_with_the_cache_on_it_goes_once_more_before_and_after(config, fake, proxy, here):
    async with opened(config("ok", cache={"enabled": True}), store=valkey(proxy.url, **here)) as gateway:
        await gateway.ask(Ask("warm", store=False))
        proxy.delay = DELAY
        assert await trips(gateway, fake, proxy) == (3, 2)


@pytest.mark.asyncio
async def test_what_many_ask_at_one_moment_is_noted_and_looked_for_together(config, server, here):
    async with opened(config("ok"), store=valkey(server.url, **here)) as gateway:
        await gateway.ask(Ask("warm"))
        before = await calls(server.url)
        await asyncio.gather(*(gateway.ask(Ask("go")) for _ in range(40)))
        after = await calls(server.url)
        assert len((await gateway.sessions("local")).sessions) == 41
    assert after["zadd"] - before["zadd"] <= 40 + 20  # each takes its place in its model's window
    assert after["exists"] - before["exists"] <= 3 * 40 + 20  # beginning and ending a turn asks three times


async def calls(url):
    """How often each command was carried out so far, those of scripts among them."""
    async with client_of(url) as client:
        stats = await client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): told["calls"] for name, told in stats.items()})


@pytest.mark.asyncio
async def test_tokens_that_are_limited_are_settled_in_a_trip_of_their_own(config, fake, proxy, here):
    limited = [{"provider": "lab", "model": "ok", "limits": {"tokens": {"max": 100_000, "time_window": "1m"}}}]
    async with opened(config("ok", model=limited), store=valkey(proxy.url, **here)) as gateway:
        await gateway.ask(Ask("warm", store=False))
        proxy.delay = DELAY
        assert await trips(gateway, fake, proxy) == (2, 2)


@pytest.mark.asyncio
async def test_what_many_ask_at_a_time_goes_together(config, proxy, here):
    """Sixteen prompts cost the store hardly more trips than one."""
    async with opened(config("ok"), store=valkey(proxy.url, **here)) as gateway:
        names = [f"s{n}" for n in range(16)]
        await asyncio.gather(*(gateway.ask(Ask("first", session_id=one, create_session=True)) for one in names))
        proxy.delay = DELAY
        begun = proxy.trips
        await asyncio.gather(*(gateway.ask(Ask("second", session_id=one)) for one in names))
        assert proxy.trips - begun < 16


@pytest.mark.asyncio
async def test_of_a_long_session_a_turn_reads_only_what_is_new(config, proxy, here):
    async with opened(config("ok"), store=valkey(proxy.url, **here)) as gateway:
        store = valkey(proxy.url, **here)
        long = [turn(n, "p" * 500, "r" * 500, id=f"turn-{n}") for n in range(1, 400)]
        await store.create(SessionKey("local", "s"), lasting(), turns=long)

        async def told(prompt):
            before = proxy.told
            answer = await gateway.ask(Ask(prompt, session_id="s"))
            return proxy.told - before, answer.text

        whole, _ = await told("first")
        assert whole > 400_000
        read, said = await told("second")
        assert read < 5_000
        assert said == "You said 'second' in message 801."
        await store.aclose()


@pytest.mark.asyncio
async def test_a_burst_of_chunks_is_logged_in_few_trips(config, fake, proxy, here):
    fake.script("ok", Reply(chunks=[f"w{n} " for n in range(500)], split=1_000_000), cycle=True)
    async with opened(config("ok"), store=valkey(proxy.url, **here)) as gateway:
        await events_of(gateway, Ask("first", session_id="s", create_session=True))
        proxy.delay = DELAY
        begun = proxy.trips
        events = await events_of(gateway, Ask("second", session_id="s"))
        assert sum(isinstance(event, Text) for event in events) == 500
        assert proxy.trips - begun <= 12


@pytest.mark.asyncio
async def test_chunks_leave_nothing_behind_but_their_texts(config, fake):
    """Memory after an answer of 5,000 chunks is given back with it."""
    fake.script("ok", Reply(chunks=["word "] * 5000, split=1_000_000), cycle=True)
    async with opened(config("ok")) as gateway:

        async def held():
            await events_of(gateway, Ask("go", store=False))
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            await held()
            before = await held()
            after = await held()
        finally:
            tracemalloc.stop()
    assert after - before < 100_000, "bytes that an answer has left behind"


@pytest.mark.asyncio
async def test_a_flood_that_is_asked_for_whole_can_be_followed_all_the_same(config, fake, server, here):
    """What comes together of it is one piece; its log holds all of them."""
    fake.script("ok", Reply(chunks=[f"w{n} " for n in range(6000)], split=1_000_000))
    async with opened(config("ok"), store=valkey(server.url, **here)) as gateway:
        answer = await gateway.ask(Ask("go", session_id="s", create_session=True))
        events = [event async for event in gateway.follow("local", answer.stream_id)]
    assert "".join(event.text for event in events if isinstance(event, Text)) == answer.text
    assert len(answer.text) > 6000
    assert sum(isinstance(event, Text) for event in events) < 100
