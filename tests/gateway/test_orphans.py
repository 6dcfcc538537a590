"""Producers that die, sleep or lose their store in mid-answer: the part is kept once, and everybody learns the end."""

import asyncio
import contextlib
import time

import pytest

from tests.fakes.provider import Fault, Reply
from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import elsewhere, ends, events_of, instances, opened, read, said, text_of, until, valkey, words
from warp_magics.gateway.errors import Interrupted, SessionNotFound, StoreUnavailable
from warp_magics.gateway.orphans import GRACE_SECONDS
from warp_magics.gateway.turns import LEASE_SECONDS
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Failed, SessionKey, Source

BINARY = server_binaries().get("valkey") or next(iter(server_binaries().values()), None)
pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="this machine has no server to start"),
]
ME = "local"
S1 = SessionKey(ME, "s1")
PART = "You said 'dead'"
FAR = Source("cell", "far.ipynb", "c1")
PROMISE = 10.0
GENEROUS = 100.0


@pytest.fixture
def server():
    with running_server(BINARY) as running:
        yield running


def ask(prompt="a", **fields):
    return Ask(prompt, session_id="s1", **{"create_session": True, **fields})


async def turns(gateway):
    return [(one.prompt, one.response, one.status) for one in await gateway.history(ME, "s1")]


async def settled(gateway):
    with contextlib.suppress(StoreUnavailable, SessionNotFound):
        return await gateway.history(ME, "s1")


@pytest.mark.asyncio
async def test_readers_elsewhere_see_all_that_was_logged_and_then_the_end(fake, config, server):
    """Two other instances notice at the same time; the turn is kept once, and told to the model by the next one."""
    settings = config("silent-3", "ok")
    async with elsewhere(settings, server.url, "dead") as far, instances(settings, server.url) as gateways:
        await far.words(3)
        following = [asyncio.create_task(read(one.follow(ME, "s1~1"), within=GENEROUS)) for one in gateways]
        for one in gateways:
            assert len(await read(one.follow(ME, "s1~1"), 4)) == 4
        killed = time.monotonic()
        await far.kill()
        told = await asyncio.gather(*following)
        took = time.monotonic() - killed
        assert took < PROMISE, f"readers knew after {took:.2f} s"
        for events in told:
            end = ends(events)
            assert [event.id for event in events] == [one["id"] for one in far.told[:4]] + ["1-5"]
            assert isinstance(end, Failed)
            assert isinstance(end.error, Interrupted)
            assert (end.response.text, end.response.stream_id, end.response.model) == (PART, "s1~1", "lab:silent-3")
        for one in gateways:
            (kept,) = await one.history(ME, "s1")
            assert (kept.prompt, kept.response, kept.status, kept.source) == ("dead", PART, "interrupted", FAR)
            assert kept.error["code"] == "INTERRUPTED"
            late = await read(one.follow(ME, "s1~1", "1-4"))
            assert [(type(event), event.id) for event in late] == [(Failed, "1-5")]
            # A reader of the dead one may have seen more than was logged.
            beyond = await read(one.follow(ME, "s1~1", "1-9"))
            assert [(type(event), event.id) for event in beyond] == [(Failed, "1-5")]
        answer = await gateways[1].ask(ask("next", models=("lab:ok",)))
        assert answer.stream_id == "s1~2"
    assert said(fake.requests[-1].messages) == [("user", "dead"), ("assistant", PART), ("user", "next")]


@pytest.mark.asyncio
async def test_nobody_follows_and_the_history_shows_it_after_a_while(fake, config, server):
    settings = config("silent-3")
    async with elsewhere(settings, server.url, "dead") as far, opened(settings, valkey(server.url)) as gateway:
        await far.words(3)
        assert await turns(gateway) == []
        await far.kill()
        await until(lambda: turns(gateway), within=GENEROUS)
        assert await turns(gateway) == [("dead", PART, "interrupted")]
        found = await gateway.session(ME, "s1")
        assert (found.turns, found.live_stream_id) == (1, None)


@pytest.mark.asyncio
async def test_the_next_prompt_waits_for_the_dead_one_to_be_settled(fake, config, server):
    fake.script("m", Reply.broken(Fault.SILENT, at=3), Reply())
    settings = config("m")
    async with elsewhere(settings, server.url, "dead", turn_id="t") as far, instances(settings, server.url) as gateways:
        await far.words(3)
        asking = [asyncio.create_task(one.ask(ask(name))) for one, name in zip(gateways, "bc", strict=True)]
        # Whoever asks for the dead turn itself gets what is left of it.
        again = asyncio.create_task(events_of(gateways[1], ask("dead", turn_id="t")))
        killed = time.monotonic()
        await far.kill()
        async with asyncio.timeout(GENEROUS):
            answers = await asyncio.gather(*asking)
            assert time.monotonic() - killed < PROMISE + 2
            end = ends(await again)
        assert isinstance(end.error, Interrupted)
        assert {answer.stream_id for answer in answers} == {"s1~2", "s1~3"}
        assert (await turns(gateways[0]))[0] == ("dead", PART, "interrupted")
        assert len(await turns(gateways[0])) == 3
    assert all(said(call.messages)[:2] == [("user", "dead"), ("assistant", PART)] for call in fake.requests[1:])
    assert len(fake.requests) == 3


@pytest.mark.asyncio
async def test_a_dead_one_that_had_said_nothing_is_shown_and_not_told(fake, config, server):
    settings = config("hang", "ok")
    async with elsewhere(settings, server.url, "dead") as far, opened(settings, valkey(server.url)) as gateway:
        await until(lambda: fake.requests)
        await far.kill()
        async with asyncio.timeout(GENEROUS):
            await gateway.ask(ask("next", models=("lab:ok",)))
        assert [one.status for one in await gateway.history(ME, "s1")] == ["failed", "complete"]
        (end,) = await read(gateway.follow(ME, "s1~1"))
        assert isinstance(end.error, Interrupted)
    assert said(fake.requests[-1].messages) == [("user", "next")]


@pytest.mark.asyncio
async def test_a_producer_that_slept_and_comes_back_in_time_goes_on(fake, config, server):
    """Longer than its lease, and nobody has noticed."""
    settings = config("silent-3")
    async with elsewhere(settings, server.url, "dead") as far, opened(settings, valkey(server.url)) as gateway:
        await far.words(3)
        look = valkey(server.url)
        far.freeze()
        await until(lambda: look.orphan(S1), within=GENEROUS)
        far.thaw()
        fake.release()
        told = await far.end()
        assert (told[-1]["kind"], told[-1]["text"]) == ("Ended", "You said 'dead' in message 1.")
        assert await turns(gateway) == [("dead", told[-1]["text"], "complete")]
        seen = await read(gateway.follow(ME, "s1~1"))
        assert [event.id for event in seen] == [one["id"] for one in told]
        await look.aclose()


@pytest.mark.asyncio
async def test_a_producer_that_slept_too_long_changes_nothing_any_more(fake, config, server):
    """Its own reader still gets the answer; everybody else has been told of its end."""
    settings = config("silent-3", "ok")
    async with elsewhere(settings, server.url, "dead") as far, opened(settings, valkey(server.url)) as gateway:
        await far.words(3)
        far.freeze()
        seen = await read(gateway.follow(ME, "s1~1"), within=GENEROUS)
        assert isinstance(ends(seen).error, Interrupted)
        next_one = await gateway.ask(ask("next", models=("lab:ok",)))
        far.thaw()
        fake.release()
        told = await far.end()
        assert told[-1]["text"] == "You said 'dead' in message 1."
        assert await turns(gateway) == [("dead", PART, "interrupted"), ("next", next_one.text, "complete")]
        assert [event.id for event in await read(gateway.follow(ME, "s1~1"))] == [event.id for event in seen]


@pytest.mark.asyncio
@pytest.mark.parametrize("ends_meanwhile", [False, True], ids=["answers on", "ends meanwhile"])
async def test_a_store_that_is_frozen_longer_than_the_lease_loses_and_doubles_nothing(
    fake, config, server, ends_meanwhile
):
    """Another instance follows and looks for orphans all the time."""
    settings = config("silent-3", "ok")
    with StoreProxy(server.url) as proxy:
        async with opened(settings, valkey(proxy.url)) as one, opened(settings, valkey(proxy.url)) as other:
            answering = one.stream(ask("long"))
            seen = await words(answering, 3)
            follower = other.follow(ME, "s1~1")
            assert await read(follower, len(seen)) == seen
            following = asyncio.create_task(read(follower, within=GENEROUS))
            looking = asyncio.create_task(_look(other))
            proxy.freeze()
            if ends_meanwhile:
                fake.release()
                seen += await read(answering)
            async with opened(settings, valkey(server.url)) as third:
                await until(lambda: third._store.orphan(S1), within=GENEROUS)
            proxy.back()
            if not ends_meanwhile:
                await until(lambda: _live(one), within=GENEROUS)
                fake.release()
                seen += await read(answering)
            assert ends(seen).response.text == "You said 'long' in message 1."
            followed = [*seen[:4], *await following]
            assert text_of(followed) == text_of(seen)
            assert [event.id for event in followed] == [event.id for event in seen]
            looking.cancel()
            assert await turns(other) == [("long", text_of(seen), "complete")]
            await other.ask(ask("next", models=("lab:ok",)))
            assert [prompt for prompt, _, _ in await turns(one)] == ["long", "next"]
    assert len(fake.requests) == 2


async def _look(gateway):
    while True:
        await settled(gateway)
        await asyncio.sleep(0.05)


async def _live(gateway):
    with contextlib.suppress(StoreUnavailable):
        return (await gateway.session(ME, "s1")).live_stream_id


def test_the_lease_and_the_grace_keep_the_promise():
    look = 1.2  # a follower's read, and its next look
    assert LEASE_SECONDS + GRACE_SECONDS + look < PROMISE
