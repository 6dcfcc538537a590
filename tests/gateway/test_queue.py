"""One turn at a time, over many processes: none lost, none doubled, first come, first served."""

import asyncio
import itertools
import time

import pytest

from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import elsewhere, events_of, instances, opened, read, said, until, valkey, words
from warp_magics.gateway.errors import SessionBusy
from warp_magics.gateway.stores.base import TICKET_SECONDS
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.turns import LEASE_SECONDS
from warp_magics.gateway.types import ChatRequest as Ask

BINARY = server_binaries().get("valkey") or next(iter(server_binaries().values()), None)
pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="this machine has no server to start"),
]
ME = "local"
PROCESSES, TURNS = 20, 10
UNLIMITED = {"rate": {"max": 10_000, "time_window": "1m"}}


@pytest.fixture
def server():
    with running_server(BINARY) as running:
        yield running


def ask(prompt="a", **fields):
    return Ask(prompt, session_id="s1", **{"create_session": True, **fields})


async def queued(server):
    async with client_of(server.url) as client:
        return await client.hlen("warp:1:{local/s1}:queue")


async def prompts(gateway):
    return [turn.prompt for turn in await gateway.history(ME, "s1")]


@pytest.mark.asyncio
async def test_twenty_processes_share_one_conversation(fake, config, server):
    """Each of 200 turns was asked once, with exactly those before it."""
    settings = config("ok", limits=UNLIMITED)
    each = [f"p{n}" for n in range(TURNS)]
    async with elsewhere(settings, server.url, *each, copies=PROCESSES) as far:
        told = await far.end()
    assert {one["kind"] for one in told} == {"Ended"}
    async with opened(settings, valkey(server.url)) as gateway:
        kept = await gateway.history(ME, "s1")
        found = await gateway.session(ME, "s1")
    asked = [f"{prompt} of {copy}" for prompt, copy in itertools.product(each, range(PROCESSES))]
    assert sorted(turn.prompt for turn in kept) == sorted(asked)
    assert [turn.n for turn in kept] == list(range(1, PROCESSES * TURNS + 1))
    assert {(turn.prompt, turn.response) for turn in kept} == {(one["prompt"], one["text"]) for one in told}
    for copy in range(PROCESSES):
        mine = [turn.prompt for turn in kept if turn.prompt.endswith(f" of {copy}")]
        assert mine == [f"{prompt} of {copy}" for prompt in each]
    assert sorted(call.messages[-1]["content"] for call in fake.requests) == sorted(asked)
    calls = {call.messages[-1]["content"]: said(call.messages) for call in fake.requests}
    before = []
    for turn in kept:
        assert calls[turn.prompt] == [*before, ("user", turn.prompt)]
        before += [("user", turn.prompt), ("assistant", turn.response)]
    assert (found.turns, found.live_stream_id) == (len(asked), None)
    assert not await queued(server)


@pytest.mark.asyncio
async def test_first_come_first_served_whichever_instance_is_asked(fake, config, server):
    async with instances(config("silent-2", "ok"), server.url, 3) as gateways:
        holding = gateways[0].stream(ask("first"))
        await words(holding, 2)
        waiting, order = [], [2, 0, 1, 1, 0, 2, 2, 1]
        for place, instance in enumerate(order, 1):
            request = ask(f"p{place}", models=("lab:ok",))
            waiting.append(asyncio.create_task(gateways[instance].ask(request)))
            await until(lambda place=place: _reached(server, place))
        fake.release()
        await read(holding)
        answers = await asyncio.gather(*waiting)
        assert [answer.stream_id for answer in answers] == [f"s1~{n}" for n in range(2, len(order) + 2)]
        assert await prompts(gateways[0]) == ["first", *(f"p{place}" for place in range(1, len(order) + 1))]


async def _reached(server, place):
    return await queued(server) == place


@pytest.mark.asyncio
async def test_a_waiting_prompt_whose_asker_leaves_makes_room(fake, config, server):
    async with instances(config("silent-2", "ok"), server.url) as (one, other):
        holding = one.stream(ask("first"))
        await words(holding, 2)
        leaving = asyncio.create_task(other.ask(ask("gone", on_disconnect="cancel")))
        await until(lambda: _reached(server, 1))
        staying = asyncio.create_task(one.ask(ask("second", models=("lab:ok",))))
        await until(lambda: _reached(server, 2))
        leaving.cancel()
        await until(lambda: _reached(server, 1), within=TICKET_SECONDS / 2)
        fake.release()
        await read(holding)
        async with asyncio.timeout(TICKET_SECONDS / 2):
            assert (await staying).stream_id == "s1~2"
        assert await prompts(other) == ["first", "second"]
    assert len(fake.requests) == 2


@pytest.mark.asyncio
async def test_a_queue_does_not_outlive_its_session(fake, config, server):
    async with instances(config("silent-2"), server.url) as (one, other):
        holding = one.stream(ask("first"))
        await words(holding, 2)
        waiting = asyncio.create_task(other.ask(ask("second", on_disconnect="cancel")))
        await until(lambda: _reached(server, 1))
        async with client_of(server.url) as client:
            lives = [await client.pttl(f"warp:1:{{local/s1}}:{what}") for what in ("meta", "queue")]
        assert 0 < lives[1] <= lives[0] + 1
        waiting.cancel()
        await one.stop(ME, "s1~1")


@pytest.mark.asyncio
async def test_a_waiting_prompt_that_is_to_be_finished_is_asked_though_its_asker_has_left(fake, config, server):
    async with instances(config("silent-2", "ok"), server.url) as (one, other):
        holding = one.stream(ask("first"))
        await words(holding, 2)
        leaving = asyncio.create_task(other.ask(ask("second", models=("lab:ok",))))
        await until(lambda: _reached(server, 1))
        leaving.cancel()
        fake.release()
        await read(holding)
        await until(lambda: _told(one, ["first", "second"]))


async def _told(gateway, wanted):
    return await prompts(gateway) == wanted


@pytest.mark.asyncio
async def test_a_waiting_prompt_whose_process_is_killed_loses_its_place_within_seconds(fake, config, server):
    settings = config("silent-2", "ok")
    async with opened(settings, valkey(server.url)) as gateway:
        holding = gateway.stream(ask("first"))
        await words(holding, 2)
        async with elsewhere(settings, server.url, "dead") as far:
            await until(lambda: _reached(server, 1), within=20)
            staying = asyncio.create_task(gateway.ask(ask("second", models=("lab:ok",))))
            await until(lambda: _reached(server, 2))
            await far.kill()
            killed = time.monotonic()
            fake.release()
            await read(holding)
            assert (await staying).stream_id == "s1~2"
            assert time.monotonic() - killed < TICKET_SECONDS + 1.5
        assert await prompts(gateway) == ["first", "second"]
    assert len(fake.requests) == 2


@pytest.mark.asyncio
async def test_who_waits_too_long_is_told_that_the_session_is_busy(fake, config, server):
    settings = config("silent-2", "ok", limits={"session_wait": "300ms"})
    async with instances(settings, server.url) as (one, other):
        holding = one.stream(ask("first"))
        await words(holding, 2)
        for gateway in (one, other):
            began = time.monotonic()
            with pytest.raises(SessionBusy, match=r"'s1' for longer than 0.3 s \(limits.session_wait\)") as caught:
                await events_of(gateway, ask("second", models=("lab:ok",)))
            assert 0.25 < time.monotonic() - began < 3
            assert (caught.value.http_status, caught.value.code) == (409, "SESSION_BUSY")
            assert caught.value.retry_after == LEASE_SECONDS
        await until(lambda: _reached(server, 0))
        assert (await other.ask(Ask("free", session_id="s2", create_session=True, models=("lab:ok",)))).text
        fake.release()
        await read(holding)
        assert (await other.ask(ask("third", models=("lab:ok",)))).stream_id == "s1~2"
    assert len(fake.requests) == 3


@pytest.mark.asyncio
async def test_an_answer_longer_than_its_lease_keeps_its_session(fake, config, server):
    async with instances(config("silent-2", "ok"), server.url) as (one, other):
        holding = one.stream(ask("long"))
        await words(holding, 2)
        waiting = asyncio.create_task(other.ask(ask("next", models=("lab:ok",))))
        done, _ = await asyncio.wait({waiting}, timeout=LEASE_SECONDS + 1)
        assert not done
        assert await one._store.orphan((await one.session(ME, "s1")).key) is None
        fake.release()
        await read(holding)
        assert (await waiting).stream_id == "s1~2"
    assert said(fake.requests[1].messages)[0] == ("user", "long")
