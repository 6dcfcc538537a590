"""What was used is counted once for each answer, by model, day and session, wherever it was given."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from tests.fakes.provider import Fault, Reply
from tests.fakes.valkey_server import server_binaries
from tests.gateway.kit import KEY, instances, opened, read, until, words
from warp_magics.gateway.errors import ProviderError
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Usage

BINARY = next(iter(server_binaries().values()), None)
ME = "local"
HI = Ask("hi", store=False)
DAY = 86400
TOKENS = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 300},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
COUNTED = Usage(1000, 200, 300, 40)


def times(count):
    return Usage(1000 * count, 200 * count, 300 * count, 40 * count)


def on_a_server(test):
    skipped = pytest.mark.skipif(BINARY is None, reason="this machine has no server to start")
    return pytest.mark.slow(skipped(test))


@pytest.fixture
def counting(fake):
    """Models of the fake that say how many tokens they used."""
    for model in ("a", "b", "gpt-4o", "gpt-4o-mini"):
        fake.script(model, Reply(usage=TOKENS))
    return fake


@pytest.fixture
def openai(fake):
    return {"openai": {"base_url": fake.base_url, "api_key": KEY}}


def rows(found):
    return {row.key: (row.answers, row.usage, row.cost, row.unpriced) for row in found}


async def priced(gateway):
    """Wait until the prices are there: an answer does not wait for them for long."""

    async def known():
        return [state for state in await gateway.models() if state.price]

    await until(known, within=60)


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [True, False])
async def test_each_model_has_what_its_answers_used(counting, config, store):
    async with opened(config("a", "b")) as gateway:
        assert await gateway.usage(ME) == ()
        for models in (("lab:b",), ("lab:a",), ("lab:b",)):
            await gateway.ask(replace(HI, models=models, store=store))
        found = await gateway.usage(ME)
    assert [row.key for row in found] == ["lab:a", "lab:b"]
    assert rows(found) == {"lab:a": (1, times(1), None, 1), "lab:b": (2, times(2), None, 2)}


@pytest.mark.asyncio
async def test_days_come_newest_first(counting, config, clock):
    clock.now = 1_767_225_600 - 1.0  # the last second of 2025
    async with opened(config("a", "b"), clock=clock) as gateway:
        await gateway.ask(HI)
        clock.now += 2
        await gateway.ask(HI)
        await gateway.ask(replace(HI, models=("lab:b",)))
        clock.now += 9 * DAY
        await gateway.ask(HI)
        days, models = await gateway.usage(ME, "day"), await gateway.usage(ME, "model")
    assert [(row.key, row.answers, row.usage) for row in days] == [
        ("2026-01-10", 1, times(1)),
        ("2026-01-01", 2, times(2)),
        ("2025-12-31", 1, times(1)),
    ]
    assert [(row.key, row.answers) for row in models] == [("lab:a", 3), ("lab:b", 1)]


@pytest.mark.asyncio
async def test_sessions_have_what_their_turns_used(counting, config, clock):
    async with opened(config("a"), clock=clock) as gateway:
        for session in ("s1", "s2", "s2"):
            await gateway.ask(Ask("hi", session_id=session, create_session=True))
            clock.now += 1
        await gateway.ask(HI)
        found = await gateway.usage(ME, "session")
        await gateway.delete(ME, "s2")
        left, models = await gateway.usage(ME, "session"), await gateway.usage(ME)
    assert [(row.key, row.answers, row.usage, row.cost) for row in found] == [
        ("s2", 2, times(2), None),
        ("s1", 1, times(1), None),
    ]
    assert [row.key for row in left] == ["s1"]
    assert rows(models) == {"lab:a": (4, times(4), None, 4)}


@pytest.mark.asyncio
async def test_costs_are_those_of_the_answers(counting, config, openai):
    settings = config("openai:gpt-4o", "openai:gpt-4o-mini", "a", providers=openai)
    async with opened(settings) as gateway:
        await priced(gateway)
        asked = [("openai:gpt-4o",), ("openai:gpt-4o-mini",), ("openai:gpt-4o",), ("lab:a",)]
        answers = [
            await gateway.ask(Ask("hi", session_id=f"s{n}", create_session=True, models=models))
            for n, models in enumerate(asked)
        ]
        models, days = rows(await gateway.usage(ME)), await gateway.usage(ME, "day")
        sessions = {row.key: row.cost for row in await gateway.usage(ME, "session")}
    dear, cheap, _, unknown = [answer.cost for answer in answers]
    assert dear > cheap > 0
    assert unknown is None
    assert models == {
        "openai:gpt-4o": (2, times(2), pytest.approx(2 * dear), 0),
        "openai:gpt-4o-mini": (1, times(1), pytest.approx(cheap), 0),
        "lab:a": (1, times(1), None, 1),
    }
    assert sum(row.cost for row in days) == pytest.approx(2 * dear + cheap)
    assert (sum(row.answers for row in days), sum(row.unpriced for row in days)) == (4, 1)
    assert sessions == {name: pytest.approx(answer.cost) for name, answer in zip(sessions, answers[::-1], strict=True)}


@pytest.mark.asyncio
async def test_only_who_answered_is_counted(counting, config):
    async with opened(config("fail-503", "a", "fail-401")) as gateway:
        await gateway.ask(HI)
        with pytest.raises(ProviderError):
            await gateway.ask(replace(HI, models=("lab:fail-401",)))
        found = rows(await gateway.usage(ME))
    assert found == {"lab:a": (1, times(1), None, 1)}


@pytest.mark.asyncio
async def test_a_try_that_is_repeated_counts_once(counting, config, clock):
    counting.script("a", Reply.failing(503), Reply(usage=TOKENS))
    async with opened(config("a", limits={"retry": {"max": 1}}), clock=clock) as gateway:
        await gateway.ask(HI)
        assert rows(await gateway.usage(ME)) == {"lab:a": (1, times(1), None, 1)}


@pytest.mark.asyncio
async def test_an_answer_that_went_on_elsewhere_is_its_last_models(counting, config):
    async with opened(config("cut-3", "a")) as gateway:
        answer = await gateway.ask(replace(HI, on_break="splice"))
        assert answer.model == "lab:a"
        assert rows(await gateway.usage(ME)) == {"lab:a": (1, times(1), None, 1)}


@pytest.mark.asyncio
async def test_a_stopped_answer_is_counted_as_far_as_it_is_known(fake, config):
    async with opened(config("silent-2")) as gateway:
        events = gateway.stream(Ask("hi", turn_id="t1"))
        await words(events, 2)
        assert await gateway.stop(ME, "t1")
        await read(events)
        assert rows(await gateway.usage(ME)) == {"lab:silent-2": (1, Usage(), None, 1)}


@pytest.mark.asyncio
async def test_one_that_is_stopped_before_a_word_is_nobodys(fake, config):
    async with opened(config("hang")) as gateway:
        asking = asyncio.create_task(gateway.ask(Ask("hi", turn_id="t1")))
        await fake.until(lambda: fake.requests)
        assert await gateway.stop(ME, "t1")
        await asyncio.wait({asking}, timeout=10)
        assert await gateway.usage(ME) == ()


@pytest.mark.asyncio
async def test_others_see_nothing_of_it(counting, config):
    async with opened(config("a")) as gateway:
        for owner in ("ann", "ann:x", "ann"):
            await gateway.ask(Ask("hi", owner=owner))
        for by in ("model", "day", "session"):
            assert [await gateway.usage(owner, by) for owner in ("bob", "an", "x")] == [()] * 3
        counts = [rows(await gateway.usage(owner))["lab:a"][0] for owner in ("ann", "ann:x")]
    assert counts == [2, 1]


@pytest.mark.asyncio
async def test_a_turn_asked_twice_counts_once(counting, config):
    asked = Ask("hi", session_id="s1", create_session=True, turn_id="t1")
    async with opened(config("a")) as gateway:
        together = await asyncio.gather(*(gateway.ask(asked) for _ in range(3)))
        later = await gateway.ask(asked)
        found = rows(await gateway.usage(ME)), rows(await gateway.usage(ME, "session"))
    assert {answer.text for answer in (*together, later)} == {later.text}
    assert found[0] == {"lab:a": (1, times(1), None, 1)}
    assert found[1]["s1"][:2] == (1, times(1))


@pytest.mark.asyncio
async def test_a_hit_is_an_answer_that_used_nothing(counting, config, openai):
    settings = config("openai:gpt-4o-mini", providers=openai, cache={"enabled": True})
    async with opened(settings) as gateway:
        await priced(gateway)
        first, again = await gateway.ask(HI), await gateway.ask(HI)
        found = rows(await gateway.usage(ME))
    assert (first.cost > 0, again.cost) == (True, 0.0)
    assert found == {"openai:gpt-4o-mini": (2, times(1), pytest.approx(first.cost), 0)}


# -- over a server ---------------------------------------------------------------------------------


@pytest.mark.asyncio
@on_a_server
async def test_instances_count_together(counting, config, server, here, openai):
    settings = config("openai:gpt-4o-mini", "a", "fail-503", providers=openai)
    async with instances(settings, server.url, **here) as gateways:
        for gateway in gateways:
            await priced(gateway)
        asked = [(), ("lab:a",), ("lab:fail-503",)]
        said = await asyncio.gather(
            *(gateway.ask(replace(HI, models=models)) for gateway in gateways for models in asked for _ in range(5)),
            return_exceptions=True,
        )
        cost = sum(one.cost or 0 for one in said if not isinstance(one, ProviderError))
        seen = [rows(await gateway.usage(ME)) for gateway in gateways]
        days = await gateways[0].usage(ME, "day")
        strange = await gateways[1].usage("bob")
    assert cost > 0
    assert seen[0] == {
        "openai:gpt-4o-mini": (10, times(10), pytest.approx(cost), 0),
        "lab:a": (10, times(10), None, 10),
    }
    assert seen[1] == seen[0]
    assert sum(row.answers for row in days) == 20
    assert strange == ()


@pytest.mark.asyncio
@on_a_server
async def test_a_turn_asked_of_two_instances_counts_once(counting, config, server, here):
    gate = asyncio.Event()
    counting.script("a", Reply(usage=TOKENS, before=[gate]))
    asked = Ask("hi", session_id="s1", create_session=True, turn_id="t1")
    async with instances(config("a"), server.url, **here) as (one, other):
        tasks = [asyncio.create_task(gateway.ask(asked)) for gateway in (one, other, one)]
        await counting.until(lambda: counting.requests)
        gate.set()
        answers = await asyncio.gather(*tasks)
        later = await other.ask(asked)
        found = rows(await other.usage(ME)), rows(await one.usage(ME, "session"))
    assert {answer.text for answer in (*answers, later)} == {later.text}
    assert len(counting.requests) == 1
    assert found[0] == {"lab:a": (1, times(1), None, 1)}
    assert found[1]["s1"][:2] == (1, times(1))


@pytest.mark.asyncio
@on_a_server
async def test_a_server_counts_what_is_stopped_and_what_is_not_kept(counting, config, server, here):
    counting.script("m", Reply.broken(Fault.SILENT, at=2))
    async with instances(config("a", "m"), server.url, **here) as (one, other):
        await one.ask(HI)
        events = one.stream(Ask("hi", models=("lab:m",)))
        start = (await words(events, 2))[0]
        assert await other.stop(ME, start.stream_id)
        await read(events)
        with contextlib.suppress(ProviderError):
            await one.ask(replace(HI, models=("lab:fail-401",)))
        found = rows(await until(lambda: _counted(other, 2)))
    assert found == {"lab:a": (1, times(1), None, 1), "lab:m": (1, Usage(), None, 1)}


async def _counted(gateway, answers):
    found = await gateway.usage(ME)
    return found if sum(row.answers for row in found) >= answers else None
