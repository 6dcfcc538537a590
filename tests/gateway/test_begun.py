"""A prompt that is begun and not read: at several instances, and over a store that is away."""

import asyncio

import pytest

from tests.fakes.provider import refused_url
from tests.gateway.kit import events_of, instances, opened, read, until, valkey, words
from warp_magics.gateway.errors import InvalidRequest, StoreUnavailable, StreamNotFound
from warp_magics.gateway.types import ChatRequest, Ended

pytestmark = pytest.mark.asyncio
ME = "local"


def ask(prompt="hello", **fields):
    return ChatRequest(prompt, **{"session_id": "s1", "create_session": True, **fields})


def away():
    return valkey(refused_url().replace("http", "redis").removesuffix("/v1"))


@pytest.mark.slow
async def test_at_another_instance_it_is_the_same(fake, config, server, here):
    async with instances(config("silent-2"), server.url, **here) as (one, other):
        begun = await one.begin(ask(turn_id="t1"))
        assert await other.begin(ask(turn_id="t1")) == begun
        following = other.follow(ME, begun.stream_id)
        await words(following, 2)
        fake.release()
        assert isinstance((await read(following))[-1], Ended)
        assert await other.begin(ask(turn_id="t1")) == begun
        assert [turn.id for turn in await other.history(ME, "s1")] == ["t1"]
    assert len(fake.requests) == 1


async def test_its_log_may_be_gone_and_it_is_the_same(fake, config):
    async with opened(config("ok", storage={"type": "memory", "stream_expiration": "100ms"})) as gateway:
        begun = await gateway.begin(ask(turn_id="t1"))

        async def gone():
            try:
                await read(gateway.follow(ME, begun.stream_id))
            except StreamNotFound:
                return True

        await until(gone)
        assert await gateway.begin(ask(turn_id="t1")) == begun
    assert len(fake.requests) == 1


async def test_where_the_store_is_away_nobody_is_asked(fake, config):
    async with opened(config("ok"), away()) as gateway:
        with pytest.raises(StoreUnavailable, match="answer that nobody reads has to be kept: The store "):
            await gateway.begin(ask())
        assert not fake.requests
        assert isinstance((await events_of(gateway, ask()))[-1], Ended), "who reads it is answered all the same"


async def test_what_somebody_reads_without_a_store_is_left_to_him(fake, config):
    async with opened(config("silent-2"), away()) as gateway:
        reading = gateway.stream(ask(turn_id="t1"))
        await words(reading, 2)
        with pytest.raises(StoreUnavailable, match="cannot be followed"):
            await gateway.begin(ask(turn_id="t1"))
        fake.release()
        assert isinstance((await read(reading))[-1], Ended)


async def test_a_gateway_that_ends_tells_those_in_line(config):
    async with opened(config("silent-2")) as gateway:
        await gateway.begin(ask("first"))
        waiting = asyncio.create_task(gateway.begin(ask("second")))
        await asyncio.sleep(0.05)
        await gateway.aclose()
        with pytest.raises(InvalidRequest, match="stopped before it was sent"):
            await waiting
