"""An answer that outlives its reader: followed, stopped and asked for again, here and from another instance."""

import asyncio
import contextlib
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.provider import FakeProvider, Fault, Reply
from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import server_binaries
from tests.gateway.kit import configured, ends, events_of, instances, opened, read, text_of, turn, until, valkey, words
from warp_magics.gateway import live, streams, wire
from warp_magics.gateway.errors import InvalidRequest, SessionBusy, SessionNotFound, StoreUnavailable, StreamNotFound
from warp_magics.gateway.live import NOT_LOGGED, Shown
from warp_magics.gateway.orphans import rest_of
from warp_magics.gateway.stores.base import Draft, Hold, Lives
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import (
    ChatResponse,
    Ended,
    Failed,
    Restarted,
    Result,
    SessionKey,
    Started,
    Text,
)

BINARY = server_binaries().get("valkey") or next(iter(server_binaries().values()), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="this machine has no server to start"),
]
ME = "local"
S1 = SessionKey(ME, "s1")
WHOLE = "You said 'a' in message 1."


@pytest.fixture(scope="module")
def shared(server):
    with StoreProxy(server.url) as proxy:
        proxy.direct = server.url
        yield proxy


@pytest.fixture
def proxy(shared):
    shared.delay = 0.0
    shared.back()
    shared.drop()
    yield shared
    shared.delay = 0.0
    shared.back()


def ask(prompt="a", session_id="s1", **fields):
    return Ask(prompt, session_id=session_id, **{"create_session": True, **fields})


def sent(events):
    return [wire.event_bytes(event) for event in events]


async def commands(server, *names):
    """How often the server was asked for these, in all."""
    async with client_of(server.url) as client:
        stats = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)


async def blocked(server):
    """How many connections wait for news of a stream."""
    async with client_of(server.url) as client:
        return sum(one["cmd"] == "xread" and "b" in one["flags"] for one in await client.client_list())


# -- following -------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("model", ["ok", "cut-3", "reasoning", "length-3", "tools"])
async def test_late_followers_see_the_same_events_from_any_place(fake, config, server, here, model):
    async with instances(config(model), server.url, **here) as (one, other):
        told = await events_of(one, ask())
        assert isinstance(told[-1], Failed if model == "cut-3" else Ended)
        for gateway in (one, other):
            for at in range(len(told)):
                after = told[at - 1].id if at else None
                seen = await read(gateway.follow(ME, "s1~1", after))
                assert sent(seen) == sent(told[at:])
                assert [event.id for event in seen] == [event.id for event in told[at:]]
                if model != "cut-3":
                    assert seen == told[at:]
            assert await read(gateway.follow(ME, "s1~1", told[-1].id)) == []
    assert len(fake.requests) == (2 if model == "cut-3" else 1)


@pytest.mark.asyncio
async def test_followers_of_a_running_answer_see_all_of_it_from_any_place(fake, config, server, here):
    async with instances(config("silent-3"), server.url, 3, **here) as gateways:
        told = gateways[0].stream(ask())
        first = await words(told, 3)
        # Behind what is there and behind what is yet to come; a reader that saw more than was logged may come.
        places = [None, *(f"1-{k}" for k in range(1, 8))]
        reading = [asyncio.create_task(read(gateway.follow(ME, "s1~1", at))) for at in places for gateway in gateways]
        caught_up = [asyncio.create_task(read(gateway.follow(ME, "s1~1"), len(first))) for gateway in gateways]
        for one in caught_up:
            assert await one == first
        fake.release()
        told = [*first, *await read(told)]
        for at, seen in enumerate(await asyncio.gather(*reading)):
            assert sent(seen) == sent(told[at // len(gateways) :])
    assert ends(told).response.text == WHOLE
    assert ends(told).response.warnings == ()
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_a_hundred_readers_of_one_instance_are_one_reader_of_the_store(fake, config, server, here):
    """A reader that does not read slows nobody, and what is shown is kept once, for all of them."""
    fake.script("m", Reply(chunks=["x", Fault.SILENT, *["y"] * 500, Fault.SILENT, "z"]))
    async with instances(config("m"), server.url, **here) as (one, other):
        answering = one.stream(ask())
        await words(answering, 1)
        idle, *readers = [other.follow(ME, "s1~1") for _ in range(101)]
        seen = [await read(reader, 2) for reader in (idle, *readers)]
        rest = [asyncio.create_task(read(reader)) for reader in readers]
        await until(lambda: blocked(server))
        assert await blocked(server) == 1
        before = await commands(server, "xread", "xrange")
        fake.release()
        await words(answering, 500)
        fake.release()
        whole = [*seen[0], *await rest[0]]
        for one_seen, one_rest in zip(seen[1:], rest, strict=True):
            assert [*one_seen, *await one_rest] == whole
        # A hundred readers of 500 events: as often as batches were logged, not as often as there are readers or events.
        assert await commands(server, "xread", "xrange") - before < 60
        (tail,) = other._tails._tails.values()
        assert tail.readers == 1
        assert await read(idle) == whole[2:]
        await until(lambda: not other._tails._tails)
        await read(answering)
    assert text_of(whole) == "x" + "y" * 500 + "z"


@pytest.mark.asyncio
async def test_nobody_reads_on_when_all_followers_have_left(fake, config, server, here):
    async with instances(config("silent-2"), server.url, **here) as (one, other):
        answering = one.stream(ask())
        await words(answering, 2)
        readers = [asyncio.create_task(read(other.follow(ME, "s1~1"))) for _ in range(3)]
        await until(lambda: blocked(server))
        for reader in readers:
            reader.cancel()
        await until(lambda: _not(blocked(server)))
        assert not other._tails._tails
        fake.release()
        assert text_of(await read(answering)) == " 'a' in message 1."


async def _not(found):
    return not await found


@pytest.mark.asyncio
async def test_what_cannot_be_followed(fake, config, server, here):
    async with instances(config("silent-2", "ok"), server.url, **here) as gateways:
        answering = gateways[0].stream(ask())
        await words(answering, 2)
        for gateway in gateways:
            for owner, stream in (
                ("eve", "s1~1"),
                (ME, "s1~2"),
                (ME, "s2~1"),
                (ME, "s1"),
                (ME, "s1~"),
                (ME, "~1"),
                (ME, "s1~-1"),
                (ME, "s1~1x"),
                (ME, "s1~²"),
                (ME, "s1~" + "9" * 30),
                (ME, ""),
            ):
                with pytest.raises(StreamNotFound):
                    await read(gateway.follow(owner, stream))
                with pytest.raises(StreamNotFound):
                    await gateway.stop(owner, stream)
            for after in ("2-1", "1", "1-", "-1", "1-x", "1--1", "x", "", "1-²", "1-" + "9" * 30):
                with pytest.raises(InvalidRequest, match="1-1, 1-2"):
                    await read(gateway.follow(ME, "s1~1", after))
        fake.release()
        assert isinstance((await read(answering))[-1], Ended)


@pytest.mark.asyncio
async def test_an_owner_whose_name_is_like_anothers_session_reads_nothing_of_it(fake, config, server, here):
    async with instances(config("silent-2"), server.url, **here) as gateways:
        answering = gateways[0].stream(ask(session_id="b", owner="team/ann"))
        await words(answering, 2)
        for gateway in gateways:
            with pytest.raises(StreamNotFound):
                await read(gateway.follow("team", "ann/b~1"), 1)
            with pytest.raises(StreamNotFound):
                await gateway.stop("team", "ann/b~1")
        fake.release()
        assert ends([*await read(gateways[1].follow("team/ann", "b~1"))]).response.result is Result.COMPLETE


@pytest.mark.asyncio
async def test_a_log_lives_as_long_as_the_configuration_says(fake, config, server, here):
    storage = {"type": "valkey", "url": server.url, "stream_expiration": "300ms"}
    async with instances(config("ok", storage=storage), server.url, **here) as (one, other):
        await events_of(one, ask())
        await until(lambda: _expired(other))
        assert [turn.response for turn in await other.history(ME, "s1")] == [WHOLE]


async def _expired(gateway):
    try:
        await read(gateway.follow(ME, "s1~1"))
    except StreamNotFound:
        return True


# -- stop ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("talking", [False, True], ids=["silent", "talking"])
async def test_an_answer_is_stopped_from_another_instance(fake, config, server, here, talking):
    fake.script("m", Reply(chunks=["x"] * 10_000, delay=0.02) if talking else Reply.broken(Fault.SILENT, at=3))
    async with instances(config("m"), server.url, 3, **here) as (one, other, third):
        answering = one.stream(ask())
        first = await words(answering, 3)
        following = [asyncio.create_task(read(gateway.follow(ME, "s1~1"))) for gateway in (one, other, third)]
        async with asyncio.timeout(1 if talking else 5):
            assert await other.stop(ME, "s1~1") is True
        (kept,) = await third.history(ME, "s1")
        told = [*first, *await read(answering)]
        for seen in await asyncio.gather(*following):
            assert seen == told
        end = ends(told)
        assert isinstance(end, Ended)
        assert (end.response.result, kept.status, kept.response) == (Result.STOPPED, "stopped", text_of(told))
        await fake.until(lambda: fake.disconnects)
        for gateway in (one, other, third):
            assert await gateway.stop(ME, "s1~1") is False
        assert [turn.status for turn in await one.history(ME, "s1")] == ["stopped"]


@pytest.mark.asyncio
async def test_a_prompt_that_waits_in_line_is_stopped_by_its_turns_id(fake, config, server, here):
    async with instances(config("silent-2"), server.url, **here) as (one, other):
        answering = one.stream(ask())
        await words(answering, 2)
        waiting = asyncio.create_task(events_of(other, ask("b", turn_id="mine")))
        await until(lambda: _queued(server, here))
        assert await other.stop(ME, "mine") is True
        with pytest.raises(InvalidRequest, match="before it was sent"):
            await waiting
        await until(lambda: _not(_queued(server, here)))
        fake.release()
        await read(answering)
        assert [turn.prompt for turn in await one.history(ME, "s1")] == ["a"]
    assert len(fake.requests) == 1


async def _queued(server, here):
    async with client_of(server.url) as client:
        return await client.hlen(f"{here['prefix']}:1:{{local/s1}}:queue")


@pytest.mark.asyncio
async def test_the_turns_id_stops_a_running_answer_and_an_unknown_one_is_no_stream(fake, config, server, here):
    async with instances(config("silent-2"), server.url, **here) as (one, _):
        answering = one.stream(ask(turn_id="mine"))
        await words(answering, 2)
        with pytest.raises(StreamNotFound):
            await one.stop(ME, "another")
        with pytest.raises(StreamNotFound):
            await one.stop("eve", "mine")
        assert await one.stop(ME, "mine") is True
        assert (await read(answering))[-1].response.result is Result.STOPPED


@pytest.mark.asyncio
async def test_a_stop_that_nobody_hears_is_no_success(fake, config, server, here, monkeypatch):
    """Its producer lives, and does nothing; the session can still be deleted."""
    monkeypatch.setattr(streams, "_STOP_SECONDS", 0.3)
    async with instances(config("ok"), server.url, **here) as (one, other):
        await one._store.begin(S1, "deaf", Draft("t", "p"), Lives(60.0, 600.0, 600.0), create=True)
        with pytest.raises(SessionBusy, match="'s1~1' was told to stop"):
            await other.stop(ME, "s1~1")
        await other.delete(ME, "s1")
        with pytest.raises(SessionNotFound):
            await one.session(ME, "s1")


# -- asked again with the same turn's id -----------------------------------------------------------


@pytest.mark.asyncio
async def test_asked_again_while_it_is_answered_it_is_the_same_answer(fake, config, server, here):
    async with instances(config("silent-3"), server.url, **here) as (one, other):
        first = one.stream(ask(turn_id="mine"))
        seen = await words(first, 3)
        again = [asyncio.create_task(events_of(gateway, ask(turn_id="mine"))) for gateway in (one, other, other)]
        assert await read(other.stream(ask(turn_id="mine")), len(seen)) == seen
        fake.release()
        seen += await read(first)
        assert await asyncio.gather(*again) == [seen] * 3
        assert ends(seen).response.turn_id == "mine"
        assert [turn.id for turn in await other.history(ME, "s1")] == ["mine"]
    assert len(fake.requests) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("model", ["ok", "cut-3"])
async def test_asked_again_after_its_end_it_is_the_same_answer(fake, config, server, here, model):
    async with instances(config(model), server.url, **here) as (one, other):
        told = await events_of(one, ask(turn_id="mine"))
        for gateway in (one, other):
            assert sent(await events_of(gateway, ask(turn_id="mine"))) == sent(told)
        assert len(await other.history(ME, "s1")) == 1
        # The next turn is a turn of its own, and the one before is still known.
        await events_of(other, ask("b", turn_id="next"))
        assert sent(await events_of(one, ask(turn_id="mine"))) == sent(told)
    assert len(fake.requests) == (4 if model == "cut-3" else 2)


@pytest.mark.asyncio
async def test_a_turn_that_failed_before_a_word_fails_again_unasked(fake, config, server, here):
    async with instances(config("fail-400"), server.url, **here) as (one, other):
        said = []
        for gateway in (one, one, other):
            with pytest.raises(Exception, match="Invalid value") as caught:
                await events_of(gateway, ask(turn_id="mine"))
            said.append((type(caught.value).__name__, caught.value.message))
        assert len(set(said)) == 1
        assert len(await other.history(ME, "s1")) == 1
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_asked_again_when_its_log_has_expired_it_is_told_from_its_turn(fake, config, server, here):
    storage = {"type": "valkey", "url": server.url, "stream_expiration": "50ms"}
    async with instances(config("ok", storage=storage), server.url, **here) as (one, other):
        first = ends(await events_of(one, ask(turn_id="mine"))).response
        await until(lambda: _expired(other))
        for gateway in (one, other):
            again = await events_of(gateway, ask(turn_id="mine"))
            end = ends(again).response
            assert [event.id for event in again] == ["1-1", "1-2", "1-3"]
            assert (end.text, end.turn_id, end.stream_id, end.usage) == (WHOLE, "mine", "s1~1", first.usage)
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_asked_at_once_everywhere_it_is_asked_once(fake, config, server, here):
    async with instances(config("ok"), server.url, 3, **here) as gateways:
        asked = [asyncio.create_task(events_of(one, ask(turn_id="mine"))) for one in gateways for _ in range(3)]
        told = await asyncio.gather(*asked)
        assert [sent(one) for one in told] == [sent(told[0])] * 9
        # Who was in line for a turn that was there already is in line no more.
        assert not await _queued(server, here)
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_one_id_in_two_sessions_is_two_turns(fake, config, server, here):
    async with instances(config("silent-2"), server.url, **here) as (one, _):
        asking = [asyncio.create_task(events_of(one, ask(session_id=name, turn_id="1"))) for name in ("s1", "s2")]
        await until(lambda: len(fake.requests) == 2)
        await until(lambda: all(call.sent >= 2 for call in fake.requests))
        fake.release()
        told = await asyncio.gather(*asking)
        assert [ends(events).response.session_id for events in told] == ["s1", "s2"]


@pytest.mark.asyncio
async def test_who_asked_again_and_is_cut_off_by_its_own_instance_is_told(fake, config, server, here):
    """Its instance closes while it shows an answer made elsewhere; that answer goes on."""
    async with instances(config("silent-3"), server.url, **here) as (one, other):
        answering = one.stream(ask(turn_id="mine"))
        first = await words(answering, 3)
        again = other.stream(ask(turn_id="mine"))
        await words(again, 3)
        async with asyncio.timeout(5):
            await other.aclose()
        with pytest.raises(Exception, match=r"shutting down|stopped"):
            await read(again)
        fake.release()
        assert ends([*first, *await read(answering)]).response.result is Result.COMPLETE


@pytest.mark.asyncio
async def test_a_turn_asked_again_elsewhere_is_stopped_there_too(fake, config, server, here):
    async with instances(config("silent-3"), server.url, **here) as (one, other):
        answering = one.stream(ask(turn_id="mine"))
        first = await words(answering, 3)
        again = other.stream(ask(turn_id="mine"))
        seen = await words(again, 3)
        async with asyncio.timeout(8):
            assert await other.stop(ME, "mine") is True
        told = [*first, *await read(answering)]
        assert ends(told).response.result is Result.STOPPED
        assert [*seen, *await read(again)] == told


@pytest.mark.asyncio
async def test_a_reader_that_asked_again_keeps_the_answer_when_the_first_one_leaves(fake, config, server, here):
    """Its line broke, it asked again with the same id, and only then the loss of the first line was noticed."""
    async with instances(config("silent-2"), server.url, **here) as (one, _):
        first = one.stream(ask(turn_id="mine", on_disconnect="cancel"))
        await words(first, 2)
        again = one.stream(ask(turn_id="mine", on_disconnect="cancel"))
        seen = await words(again, 2)
        await first.aclose()
        fake.release()
        assert ends([*seen, *await read(again)]).response.result is Result.COMPLETE


# -- durable before visible ------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_no_event_is_seen_before_the_store_has_it(fake, config, server, proxy, here):
    """Its answers take 100 ms: what is read is in the log already, whenever one looks."""
    fake.script("m", Reply(chunks=list("abcdefghij"), delay=0.03))
    look = valkey(server.url, **here)
    async with opened(config("m"), valkey(proxy.url, **here)) as gateway:
        await gateway.ask(ask("x", session_id="warm"))
        proxy.delay = 0.05
        seen = []
        async for event in gateway.stream(ask()):
            seen.append(event)
            logged = (await look.logged(S1, 1, 0)).events
            assert list(logged[: len(seen)]) == seen
        assert ends(seen).response.warnings == ()
        assert [turn.response for turn in await look.turns(S1)] == ["abcdefghij"]
    await look.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("replies_only", [False, True], ids=["frozen", "deaf"])
async def test_a_store_that_is_too_slow_is_not_waited_for_and_gets_the_log_after_all(
    fake, config, proxy, here, replies_only
):
    fake.script("m", Reply(chunks=["a", "b", Fault.SILENT, "c", "d", Fault.SILENT, "e", "f"]))
    async with opened(config("m"), valkey(proxy.direct, **here)) as other:
        async with opened(config("m"), valkey(proxy.url, **here)) as gateway:
            answering = gateway.stream(ask())
            seen = await words(answering, 2)
            follower = other.follow(ME, "s1~1")
            assert await read(follower, 3) == seen
            proxy.freeze(replies_only=replies_only)
            began = time.monotonic()
            fake.release()
            seen += await words(answering, 2)
            assert 0.2 < time.monotonic() - began < 2
            proxy.back()
            assert [*seen[:3], *await read(follower, 2)] == seen  # the store has been told in the meantime
            fake.release()
            seen += await read(answering)
            end = ends(seen).response
            assert (end.text, end.warnings) == ("abcdef", (NOT_LOGGED,))
            assert [*seen[:5], *await read(follower)] == seen
        assert await read(other.follow(ME, "s1~1")) == seen
        assert [turn.response for turn in await other.history(ME, "s1")] == ["abcdef"]


@pytest.mark.asyncio
async def test_a_store_that_is_frozen_over_the_end_gets_the_log_with_the_turn(fake, config, server, proxy, here):
    fake.script("m", Reply(chunks=["a", "b", Fault.SILENT, "c", "d"]))
    async with opened(config("m"), valkey(server.url, **here)) as other:
        async with opened(config("m"), valkey(proxy.url, **here)) as gateway:
            answering = gateway.stream(ask())
            seen = await words(answering, 2)
            proxy.freeze()
            fake.release()
            seen += await read(answering)
            end = ends(seen).response
            assert end.text == "abcd"
            assert any("could not be stored" in warning for warning in end.warnings)
            proxy.back()
            await until(lambda: _stored(other))
        told = await read(other.follow(ME, "s1~1"))
        assert told[:-1] == seen[:-1]
        assert (told[-1].id, told[-1].response.text) == (seen[-1].id, "abcd")


async def _stored(gateway):
    with contextlib.suppress(StoreUnavailable, SessionNotFound):
        return await gateway.history(ME, "s1")


@pytest.mark.asyncio
async def test_what_comes_at_once_is_logged_together(fake, config, server, here):
    fake.script("m", Reply(chunks=["x"] * 200))
    async with instances(config("m"), server.url, **here) as (one, other):
        await one.ask(ask("warm", session_id="other"))
        before = await commands(server, "xadd")
        told = await events_of(one, ask())
        assert text_of(told) == "x" * 200
        assert await commands(server, "xadd") - before <= 24  # two of them tell the session's feed
        assert await read(other.follow(ME, "s1~1")) == told


@pytest.mark.asyncio
async def test_a_very_long_answer_is_logged_whole(tmp_path, server, here, monkeypatch):
    monkeypatch.setattr(live, "LOG_SECONDS", 10.0)  # a busy machine is no slow store
    with FakeProvider.in_thread() as fake:  # else it would have the loop for itself all the time
        fake.script("m", Reply(chunks=["x"] * 9_000))
        async with instances(configured(tmp_path, fake.base_url, "m"), server.url, **here) as (one, other):
            told = await events_of(one, ask())
            assert len(told) == 9_002
            assert ends(told).response.warnings == ()
            assert await read(other.follow(ME, "s1~1")) == told


# -- readers that leave, gateways that close -------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["finish", "cancel"])
async def test_an_asker_leaves_and_others_still_follow(fake, config, server, here, how):
    async with instances(config("silent-3"), server.url, **here) as (one, other):
        answering = one.stream(ask(on_disconnect=how))
        first = await words(answering, 3)
        following = [asyncio.create_task(read(gateway.follow(ME, "s1~1"))) for gateway in (one, other)]
        await until(lambda: blocked(server))
        leaving = asyncio.create_task(answering.aclose())
        if how == "finish":
            await leaving
            fake.release()
        told = await following[0]
        assert await following[1] == told
        await leaving
        assert told[: len(first)] == first
        (kept,) = await other.history(ME, "s1")
    assert kept.status == ("complete" if how == "finish" else "stopped")
    assert kept.response == (WHOLE if how == "finish" else "You said 'a'")
    assert len(fake.disconnects) == (how == "cancel")


@pytest.mark.asyncio
async def test_a_gateway_that_closes_in_mid_answer_keeps_the_part(fake, config, server, here):
    async with instances(config("silent-3"), server.url, **here) as (one, other):
        answering = one.stream(ask())
        first = await words(answering, 3)
        following = asyncio.create_task(read(other.follow(ME, "s1~1")))
        theirs = one.follow(ME, "s1~1")
        await read(theirs, 1)
        async with asyncio.timeout(5):
            await one.aclose()
        told = [*first, *await read(answering)]
        assert await following == told == [told[0], *await read(theirs)]
        assert ends(told).response.result is Result.STOPPED
        assert [(turn.status, turn.response) for turn in await other.history(ME, "s1")] == [("stopped", "You said 'a'")]
        await fake.until(lambda: fake.disconnects)


@pytest.mark.asyncio
async def test_a_follower_outlives_a_short_outage_of_the_store(fake, config, server, proxy, here):
    fake.script("m", Reply(chunks=["a", Fault.SILENT, "b", "c"]))
    async with (
        opened(config("m"), valkey(server.url, **here)) as one,
        opened(config("m"), valkey(proxy.url, **here)) as two,
    ):
        answering = one.stream(ask())
        first = await words(answering, 1)
        following = asyncio.create_task(read(two.follow(ME, "s1~1")))
        await until(lambda: blocked(server))
        proxy.refuse()
        fake.release()
        told = [*first, *await read(answering)]
        proxy.back()
        assert await following == told


@pytest.mark.asyncio
async def test_a_follower_whose_store_is_away_is_told_so(fake, config, server, proxy, here):
    async with (
        opened(config("ok"), valkey(server.url, **here)) as one,
        opened(config("ok"), valkey(proxy.url, **here)) as two,
    ):
        await events_of(one, ask())
        proxy.refuse()
        with pytest.raises(StoreUnavailable):
            await read(two.follow(ME, "s1~1"))
        proxy.back()
        await until(lambda: _followed(two))


async def _followed(gateway):
    with contextlib.suppress(StoreUnavailable):
        return await read(gateway.follow(ME, "s1~1"))


@pytest.mark.asyncio
async def test_a_followers_session_is_deleted(fake, config, server, here):
    """Its answer is stopped first, and nobody hangs."""
    async with instances(config("silent-3"), server.url, 3, **here) as (one, other, third):
        answering = one.stream(ask())
        first = await words(answering, 3)
        following = asyncio.create_task(read(third.follow(ME, "s1~1")))
        await until(lambda: blocked(server))
        await other.delete(ME, "s1")
        told = [*first, *await read(answering)]
        assert ends(told).response.result is Result.STOPPED
        assert await following == told
        for gateway in (one, other, third):
            with pytest.raises(StreamNotFound):
                await read(gateway.follow(ME, "s1~1"))


# -- any log, cut anywhere -------------------------------------------------------------------------

CAREFUL = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = st.lists(st.text(max_size=6), min_size=1, max_size=30)


def logged(texts):
    """A log of stream 1 with these texts."""
    events = [Started("lab:ok", "s1", "s1~1", "t"), *map(Text, texts)]
    events.append(Ended(ChatResponse("".join(texts), Result.COMPLETE, "lab:ok", "s1", "t", "s1~1")))
    return [
        type(one)(**{**{name: getattr(one, name) for name in one.__slots__}, "id": f"1-{k}"})
        for k, one in enumerate(events, 1)
    ]


@CAREFUL
@given(TEXTS, st.data())
def test_however_a_log_is_cut_into_batches_each_reader_sees_its_rest(server, texts, data):
    events = logged(texts)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(events) - 1))))
    places = data.draw(st.lists(st.integers(0, len(events)), min_size=1, max_size=5))
    again = data.draw(st.integers(0, 3))
    batches = [events[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]

    async def told():
        store, lives = valkey(server.url, prefix=f"cut{time.monotonic_ns()}"), Lives(30.0, 60.0, 60.0)
        other = valkey(server.url, prefix=store._keys._prefix.partition(":")[0])
        begun = await store.begin(S1, "h", Draft("t", "p"), lives, create=True)
        hold = Hold(S1, begun.n, "h")

        async def follow(after):
            seen = []
            while not seen or not isinstance(seen[-1], Ended):
                found = await other.logged(S1, 1, after + len(seen), 5.0)
                if not found.events and not found.live:
                    break
                seen += found.events
            return seen

        reading = [asyncio.create_task(follow(place)) for place in places]
        for at, batch in enumerate(batches):
            overlap = batches[at - 1][-again:] if at and again else []
            if batch is batches[-1]:
                await store.append(hold, turn(1, id="t"), [*overlap, *batch], lives)
            else:
                assert (await store.log(hold, [*overlap, *batch], lives)).last == int(batch[-1].id[2:])
        try:
            async with asyncio.timeout(10):
                return await asyncio.gather(*reading)
        finally:
            await store.aclose()
            await other.aclose()

    assert asyncio.run(told()) == [events[place:] for place in places]


@CAREFUL
@given(TEXTS, st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=6))
def test_however_they_come_and_wherever_they_begin_readers_see_what_is_shown(texts, readers):
    events = logged(texts)

    async def told():
        shown = Shown()

        async def follow(after):
            return [event async for event in shown.read(after)]

        reading = []
        for at, event in enumerate(events):
            reading += [(after, asyncio.create_task(follow(after))) for when, after in readers if when == at]
            shown.add([event])
            await asyncio.sleep(0)
        reading += [(after, asyncio.create_task(follow(after))) for when, after in readers if when >= len(events)]
        async with asyncio.timeout(5):
            return [(after, await one) for after, one in reading]

    assert all(seen == events[after:] for after, seen in asyncio.run(told()))


def test_what_is_told_of_a_turn_without_its_log_joins_on_to_what_was_seen():
    begun = [Started("lab:a", id="1-1"), Text("wrong", id="1-2"), Restarted("503", "lab:a", "lab:ok", id="1-3")]
    for seen in ([], begun[:1], [*begun, Text("You ", id="1-4")], [*begun, Text("You said", id="1-4")]):
        rest = rest_of(turn(1, "a", "You said"), S1, seen)
        assert [event.id for event in rest] == [f"1-{k}" for k in range(len(seen) + 1, len(seen) + len(rest) + 1)]
        since = [event for event in [*seen, *rest] if event not in begun[1:2]]
        assert text_of(since) == rest[-1].response.text == "You said"


@pytest.mark.asyncio
async def test_a_log_that_was_lost_in_mid_answer_is_written_anew_with_the_next_word(config, fake, server, here):
    """As where a replica takes over that did not have it yet: who reads elsewhere waits for no word more than that."""
    go_on, end = threading.Event(), threading.Event()
    fake.script("ok", Reply(chunks=["One ", go_on, "two ", end, "three"]))
    async with instances(config("ok"), server.url, **here) as (one, other):
        answering = one.stream(Ask("go", session_id="s", create_session=True))
        await read(answering, 2)
        async with client_of(server.url) as client:
            [lost] = [key async for key in client.scan_iter(f"{here['prefix']}*:stream:1")]
            await client.delete(lost)
        go_on.set()
        following = other.follow("local", "s~1")
        told = await read(following, 3)
        end.set()
        rest = await read(following)
        await answering.aclose()
        await following.aclose()
    assert [event.id for event in told] == ["1-1", "1-2", "1-3"]
    assert text_of(told + rest) == "One two three"
