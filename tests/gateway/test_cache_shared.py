"""An answer made once for all who ask for it at a time, over several instances, and without a store."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from tests.fakes.provider import Fault, Reply
from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import server_binaries
from tests.gateway.kit import elsewhere, ends, events_of, instances, opened, read, route, text_of, until, valkey, words
from warp_magics.gateway import cache
from warp_magics.gateway.cache import LEASE_SECONDS
from warp_magics.gateway.errors import ProviderError, TotalTimeout
from warp_magics.gateway.signals import observe
from warp_magics.gateway.stores.valkey import link
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import (
    Reasoning,
    Result,
    Text,
)

BINARY = next(iter(server_binaries().values()), None)
ME = "local"
HI = Ask("hi", store=False)
SAID = "You said 'hi' in message 1."
ON = {"enabled": True, "ttl": "1h"}


def on_a_server(test):
    skipped = pytest.mark.skipif(BINARY is None, reason="this machine has no server to start")
    return pytest.mark.slow(skipped(test))


@pytest.fixture(scope="module")
def shared(server):
    with StoreProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared):
    shared.back()
    shared.drop()
    yield shared
    shared.back()


@contextlib.contextmanager
def told(name):
    """The events of that name, as they are told."""
    seen = []
    end = observe(lambda event, fields: seen.append(fields) if event == name else None)
    try:
        yield seen
    finally:
        end()


# -- many at once ----------------------------------------------------------------------------------


def held(fake, model, *rest):
    """The first answer of `model` waits for the event that is returned, and then says `rest`, or the echo."""
    gate = asyncio.Event()
    fake.script(model, *(replace(reply, before=[gate]) for reply in rest[:1] or [Reply()]), *rest[1:])
    return gate


async def asked_at_once(gateways, *requests):
    """Prompts under way, one after the other in turn; all of them have begun."""
    with told("answer_started") as started:
        tasks = [asyncio.create_task(gateways[n % len(gateways)].ask(one)) for n, one in enumerate(requests)]
        await until(lambda: len(started) >= len(tasks))
    return tasks


@pytest.mark.asyncio
async def test_many_who_ask_at_once_wait_for_one(fake, config):
    gate = held(fake, "m")
    async with opened(config("m", cache=ON)) as gateway:
        tasks = await asked_at_once([gateway], *[HI] * 10)
        await fake.until(lambda: fake.requests)
        gate.set()
        answers = await asyncio.gather(*tasks)
    assert {answer.text for answer in answers} == {SAID}
    assert sorted(route(answer.route)[0][1] for answer in answers) == ["cache"] * 9 + ["ok"]
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_those_who_ask_something_else_do_not_wait(fake, config):
    gate = held(fake, "m", Reply(), Reply())
    async with opened(config("m", cache=ON)) as gateway:
        (task,) = await asked_at_once([gateway], HI)
        await fake.until(lambda: fake.requests)
        others = (replace(HI, prompt="else"), replace(HI, owner="bob"), replace(HI, cache=False))
        assert [route((await gateway.ask(one)).route) for one in others] == [[("m", "ok")]] * 3
        assert not task.done()
        gate.set()
        await task


@pytest.mark.asyncio
async def test_who_waits_for_one_that_fails_tries_for_himself(fake, config):
    gate = held(fake, "m", Reply.failing(503), Reply.failing(400), Reply())
    async with opened(config("m", cache=ON)) as gateway:
        tasks = await asked_at_once([gateway], *[HI] * 5)
        await fake.until(lambda: fake.requests)
        gate.set()
        said = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [one.status for one in said if isinstance(one, ProviderError)]
    answers = [one for one in said if not isinstance(one, ProviderError)]
    assert sorted(errors) == [400, 503]
    assert [answer.text for answer in answers] == [SAID] * 3
    assert sorted(route(answer.route)[0][1] for answer in answers) == ["cache", "cache", "ok"]
    assert len(fake.requests) == 3


@pytest.mark.asyncio
async def test_one_who_waits_can_be_stopped_and_disturbs_nobody(fake, config):
    gate = held(fake, "m")
    async with opened(config("m", cache=ON)) as gateway:
        (leader,) = await asked_at_once([gateway], HI)
        await fake.until(lambda: fake.requests)
        waiting = await asked_at_once([gateway], Ask("hi", turn_id="t2"), HI)
        assert await gateway.stop(ME, "t2")
        stopped = await asyncio.gather(waiting[0], return_exceptions=True)
        assert not leader.done()
        gate.set()
        answers = await asyncio.gather(leader, waiting[1])
    assert getattr(stopped[0], "result", Result.STOPPED) is Result.STOPPED
    assert [answer.text for answer in answers] == [SAID] * 2
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_waiting_for_another_counts_as_time(fake, config):
    gate = held(fake, "m")
    async with opened(config("m", cache=ON)) as gateway:
        (leader,) = await asked_at_once([gateway], HI)
        await fake.until(lambda: fake.requests)
        with pytest.raises(TotalTimeout):
            await gateway.ask(replace(HI, timeout=0.2))
        gate.set()
        assert (await leader).text == SAID
    assert len(fake.requests) == 1


# -- several instances on one store ----------------------------------------------------------------


@pytest.mark.asyncio
@on_a_server
async def test_what_one_instance_was_told_another_tells(fake, config, server, here):
    async with instances(config("reasoning", cache=ON), server.url, **here) as (one, other):
        first, again = await events_of(one, HI), await events_of(other, HI)
    pieces = [
        [replace(event, id="") for event in events if isinstance(event, Text | Reasoning)] for events in (first, again)
    ]
    assert pieces[0] == pieces[1]
    assert route(ends(again).response.route) == [("reasoning", "cache")]
    assert len(fake.requests) == 1


@pytest.mark.asyncio
@on_a_server
async def test_a_server_forgets_it_after_its_time(fake, config, server, here):
    async with instances(config("ok", cache={"enabled": True, "ttl": "1s"}), server.url, **here) as (one, other):

        async def asked_anew():
            return route((await other.ask(HI)).route) == [("ok", "ok")]

        await one.ask(HI)
        assert not await asked_anew()
        await until(asked_anew)
    assert len(fake.requests) == 2


@pytest.mark.asyncio
@on_a_server
async def test_one_is_asked_for_all_of_all_instances(fake, config, server, here):
    gate = held(fake, "m")
    async with instances(config("m", cache=ON), server.url, **here) as gateways:
        tasks = await asked_at_once(gateways, *[HI] * 20)
        await fake.until(lambda: fake.requests)
        gate.set()
        answers = await asyncio.gather(*tasks)
    assert {answer.text for answer in answers} == {SAID}
    assert sorted(route(answer.route)[0][1] for answer in answers) == ["cache"] * 19 + ["ok"]
    assert len(fake.requests) == 1


@pytest.mark.asyncio
@on_a_server
async def test_one_that_is_stopped_in_mid_answer_leaves_it_to_another(fake, config, server, here):
    fake.script("m", Reply.broken(Fault.SILENT, at=2), Reply())
    async with instances(config("m", cache=ON), server.url, **here) as (one, other):
        leading = one.stream(Ask("hi", turn_id="t1"))
        seen = await words(leading, 2)
        tasks = await asked_at_once([one, other], *[HI] * 6)
        assert await one.stop(ME, "t1")
        seen += await read(leading)
        answers = await asyncio.gather(*tasks)
    assert ends(seen).response.result is Result.STOPPED
    assert text_of(seen) == "You said"
    assert [answer.text for answer in answers] == [SAID] * 6
    assert sorted(route(answer.route)[0][1] for answer in answers) == ["cache"] * 5 + ["ok"]
    assert len(fake.requests) == 2


@pytest.mark.asyncio
@on_a_server
async def test_an_instance_that_goes_away_in_mid_answer_leaves_it_to_another(fake, config, server, here):
    fake.script("m", Reply.broken(Fault.SILENT, at=2), Reply())
    async with instances(config("m", cache=ON), server.url, **here) as (one, other):
        await words(one.stream(HI), 2)
        tasks = await asked_at_once([other], *[HI] * 3)
        await one.aclose()
        answers = await asyncio.gather(*tasks)
    assert [answer.text for answer in answers] == [SAID] * 3
    assert len(fake.requests) == 2


@pytest.mark.asyncio
@on_a_server
async def test_one_that_is_killed_in_mid_answer_is_noticed(fake, config, server):
    fake.script("m", Reply.broken(Fault.SILENT, at=2), Reply())
    settings = config("m", cache=ON)
    async with (
        instances(settings, server.url) as gateways,
        elsewhere(settings, server.url, "hi", create_session=True) as far,
    ):
        await far.words(2)
        tasks = await asked_at_once(gateways, *[HI] * 4)
        await far.kill()
        async with asyncio.timeout(LEASE_SECONDS + 10):
            answers = await asyncio.gather(*tasks)
    assert [answer.text for answer in answers] == [SAID] * 4
    assert sorted(route(answer.route)[0][1] for answer in answers) == ["cache"] * 3 + ["ok"]


@pytest.mark.asyncio
@on_a_server
async def test_one_that_takes_longer_than_a_lease_stays_the_one(fake, config, server, here, monkeypatch):
    monkeypatch.setattr(cache, "LEASE_SECONDS", 1.0)
    gate = held(fake, "m")
    async with instances(config("m", cache=ON), server.url, **here) as gateways:
        tasks = await asked_at_once(gateways, *[HI] * 4)
        await fake.until(lambda: fake.requests)
        done, _ = await asyncio.wait(tasks, timeout=2.5)
        assert not done
        gate.set()
        answers = await asyncio.gather(*tasks)
    assert {answer.text for answer in answers} == {SAID}
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_no_word_waits_for_the_answer_to_be_kept(fake, config, proxy, monkeypatch):
    monkeypatch.setattr(link, "CALL_SECONDS", 60.0)
    gate = held(fake, "m")
    whole = [{"provider": "lab", "model": "m", "stream": False}]  # all of its answer comes at a time
    async with opened(config("m", cache=ON, model=whole), valkey(proxy.url)) as gateway:
        events = gateway.stream(HI)
        reading = asyncio.create_task(read(events, 2))
        await fake.until(lambda: fake.requests)
        proxy.freeze()
        gate.set()
        async with asyncio.timeout(10):
            assert text_of(await reading) == SAID
        proxy.back()
        await read(events)


# -- a store that is down --------------------------------------------------------------------------

AWAY = {"refuses": lambda proxy: proxy.refuse(), "is frozen": lambda proxy: proxy.freeze()}


@pytest.mark.asyncio
@on_a_server
@pytest.mark.parametrize("how", AWAY)
async def test_without_a_store_prompts_are_answered_without_a_cache(fake, config, proxy, how):
    async with opened(config("ok", cache=ON), valkey(proxy.url, prefix=f"down {how}")) as gateway:
        AWAY[how](proxy)
        for _ in range(2):
            answer = await gateway.ask(HI)
            assert (answer.text, answer.warnings, route(answer.route)) == (SAID, (), [("ok", "ok")])
        proxy.back()

        async def hit():
            return route((await gateway.ask(HI)).route) == [("ok", "cache")]

        await until(hit)


@pytest.mark.asyncio
@on_a_server
@pytest.mark.parametrize("how", AWAY)
async def test_a_store_that_goes_in_mid_answer_costs_the_cache_alone(fake, config, proxy, how):
    gate = held(fake, "m")
    async with opened(config("m", cache=ON), valkey(proxy.url, prefix=f"mid {how}")) as gateway:
        tasks = await asked_at_once([gateway], *[HI] * 3)
        await fake.until(lambda: fake.requests)
        AWAY[how](proxy)
        with told("answer_not_cached") as lost:
            gate.set()
            answers = await asyncio.gather(*tasks)
    assert [(answer.text, answer.warnings) for answer in answers] == [(SAID, ())] * 3
    assert len(lost) == 1
    assert len(fake.requests) == 3
