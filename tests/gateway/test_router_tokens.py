"""Own limits of tokens: reserved by estimate, settled by what was used."""

import asyncio

import pytest

from tests.fakes.provider import Reply
from tests.gateway.kit import opened, route
from warp_magics.gateway.errors import (
    OwnLimit,
    ProviderFault,
    RequestRefused,
)
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Parameters

HI = Ask("hi", store=False)


async def states(gateway):
    return {state.model.removeprefix("lab:"): state for state in await gateway.models()}


# -- tokens ----------------------------------------------------------------------------------------


def tokens(most, **limits):
    return {
        "model": [{"provider": "lab", "model": "a", "limits": {"tokens": {"max": most, "time_window": 60}, **limits}}]
    }


@pytest.mark.asyncio
async def test_tokens_are_reserved_and_settled_by_what_was_used(fake, config, clock):
    fake.script("a", Reply(usage={"prompt_tokens": 100, "completion_tokens": 150}))
    async with opened(config("a", "ok", **tokens(500)), clock=clock) as gateway:
        asked = Ask("hi", store=False, parameters=Parameters(max_tokens=200))
        for left in (250, 0):
            assert (await gateway.ask(asked)).model == "lab:a"
            state = (await states(gateway))["a"]
            assert (state.tokens_left, state.token_window.max) == (left, 500)
        passed = await gateway.ask(HI)
        assert route(passed.route) == [("a", "RATE_LIMIT_EXCEEDED"), ("ok", "ok")]
        with pytest.raises(OwnLimit) as caught:
            await gateway.ask(Ask("hi", store=False, models=("lab:a",)))
        assert (caught.value.http_status, caught.value.retry_after) == (429, pytest.approx(60))
        assert (await states(gateway))["a"].state == "ready"
        clock.now += 60
        assert (await gateway.ask(HI)).model == "lab:a"


@pytest.mark.asyncio
async def test_what_failed_has_used_none(fake, config, clock):
    fake.script("a", Reply.failing(400), Reply.failing(503), Reply(usage={"prompt_tokens": 9, "completion_tokens": 1}))
    async with opened(config("a", **tokens(500)), clock=clock) as gateway:
        for _ in range(2):
            with pytest.raises((RequestRefused, ProviderFault)):
                await gateway.ask(HI)
            assert (await states(gateway))["a"].tokens_left == 500
        await gateway.ask(HI)
        assert (await states(gateway))["a"].tokens_left == 490


@pytest.mark.asyncio
async def test_two_at_once_do_not_both_get_the_last_tokens(fake, config):
    held = asyncio.Event()
    fake.script("a", Reply(before=[held]))
    async with opened(config("a", "ok", **tokens(1500))) as gateway:
        first = asyncio.create_task(gateway.ask(HI))  # thought to need over a thousand
        await fake.until(lambda: fake.calls("a"))
        assert (await gateway.ask(HI)).model == "lab:ok"
        held.set()
        assert (await first).model == "lab:a"
        assert (await gateway.ask(HI)).model == "lab:a"


@pytest.mark.asyncio
async def test_a_prompt_larger_than_the_window_is_told_so_and_not_to_wait(fake, config):
    async with opened(config("a", **tokens(50))) as gateway:
        with pytest.raises(OwnLimit, match=r"about 10.. tokens; lab:a is limited to 50") as caught:
            await gateway.ask(Ask("word " * 800, store=False))
        assert caught.value.retry_after is None
        assert (await gateway.ask(HI)).model == "lab:a"
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_the_requests_own_most_is_what_is_reserved(fake, config):
    fake.script("a", Reply(before=[asyncio.Event()]))
    async with opened(config("a", **tokens(1000))) as gateway:
        asking = asyncio.create_task(gateway.ask(Ask("hi", store=False, parameters=Parameters(max_tokens=100))))
        await fake.until(lambda: fake.calls("a"))
        assert (await states(gateway))["a"].tokens_left == 1000 - 100 - 4
        asking.cancel()
        await asyncio.wait({asking})
        assert (await states(gateway))["a"].tokens_left == 1000
