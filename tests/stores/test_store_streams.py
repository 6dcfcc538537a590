"""The contract of `stores.base.Store`, verb by verb, over every back end: the logs of streams."""

import asyncio
from dataclasses import replace

import pytest

from tests.stores.backends import KEY, ended, lasting, texts, turn_of
from warp_magics.gateway.errors import FenceLost, ProviderFault, RateLimited, StreamNotFound
from warp_magics.gateway.stores.base import Hold, Log, Logged
from warp_magics.gateway.types import (
    Attempt,
    Call,
    ChatResponse,
    Ended,
    Failed,
    Reasoning,
    Restarted,
    Result,
    SessionKey,
    Started,
    Text,
    ToolCall,
    Usage,
)

WHOLE = ChatResponse(
    'Grüße "🌍"\n\0',
    Result.MAX_TOKENS,
    "lab:ok",
    session_id="s1",
    turn_id="t1",
    stream_id="s1~1",
    session_status="restarted",
    usage=Usage(1, 2, 3, 4),
    cost=0.25,
    route=(Attempt("lab:a", "PROVIDER_RESPONSE_ERROR", 0.25, 503, "busy", 60.0), Attempt("lab:ok", "ok", 1.5)),
    warnings=("careful",),
    tool_calls=(Call("c", "f", "{}"),),
    first_token=0.125,
)
EVENTS = (
    Started("lab:a", "s1", "s1~1", "t1", ("careful",), "restarted", id="1-1"),
    Text("é\n\0", id="1-2"),
    Reasoning("hm", id="1-3"),
    Restarted("503", "lab:a", "lab:ok", id="1-4"),
    ToolCall(Call("c", "f", '{"a": 1}'), id="1-5"),
)


async def stays(task):
    """Does it wait?"""
    done, _ = await asyncio.wait({task}, timeout=0.05)
    return not done


async def lost(backend, n=1, key=KEY):
    """Is there no such stream?"""
    try:
        await backend.store.logged(key, n, 0)
    except StreamNotFound:
        return True
    return False


# -- what is written -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_events_come_back_as_they_were_given_behind_any_of_them(backend):
    hold = await backend.hold()
    assert await backend.store.log(hold, EVENTS[:2], lasting()) == Logged(2)
    assert await backend.store.log(hold, EVENTS[2:], lasting()) == Logged(5)
    end = Ended(WHOLE, id="1-6")
    assert await backend.store.logged(KEY, 1, 0) == Log(EVENTS, live=True)
    await backend.append(hold, events=[end])
    for after in range(8):
        assert await backend.store.logged(KEY, 1, after) == Log((*EVENTS, end)[after:], live=False)


@pytest.mark.asyncio
@pytest.mark.parametrize("response", [None, WHOLE], ids=["nothing", "a part"])
async def test_a_failure_comes_back_with_its_reasons_and_its_part(backend, response):
    error = RateLimited("Slow down.", retry_after=7.5, details={"provider": {"code": 1}})
    hold = await backend.hold()
    await backend.append(hold, turn_of(hold, status="failed"), [Failed(error, response, id="1-1")])
    (found,) = (await backend.store.logged(KEY, 1, 0)).events
    assert replace(found, error=error) == Failed(error, response, id="1-1")
    assert (found.error.code, found.error.message) == (error.code, error.message)
    assert (found.error.retry_after, found.error.details) == (7.5, {"provider": {"code": 1}})


@pytest.mark.asyncio
async def test_a_batch_sent_again_is_logged_once(backend):
    hold = await backend.hold()
    for _ in range(2):
        assert await backend.store.log(hold, texts(1, 1, 2, 3), lasting()) == Logged(3)
        assert await backend.store.log(hold, texts(1, 2, 3), lasting()) == Logged(3)
    assert await backend.store.log(hold, texts(1, 3, 4, 5), lasting()) == Logged(5)
    assert (await backend.store.logged(KEY, 1, 0)).events == tuple(texts(1, 1, 2, 3, 4, 5))
    assert (await backend.store.logged(KEY, 1, 3)).events == tuple(texts(1, 4, 5))


@pytest.mark.asyncio
async def test_events_whose_predecessors_are_missing_are_not_logged(backend):
    hold = await backend.hold()
    assert await backend.store.log(hold, texts(1, 2), lasting()) == Logged(0)
    await backend.store.log(hold, texts(1, 1, 2), lasting())
    assert await backend.store.log(hold, texts(1, 4, 5), lasting()) == Logged(2)
    assert await backend.append(hold, events=[*texts(1, 4), ended(1, 5)]) is True
    assert await backend.store.logged(KEY, 1, 0) == Log(tuple(texts(1, 1, 2)), live=False)
    assert len(await backend.store.turns(KEY)) == 1


@pytest.mark.asyncio
async def test_the_last_events_that_are_logged_already_are_not_logged_again(backend):
    hold = await backend.hold()
    await backend.store.log(hold, texts(1, 1, 2), lasting())
    await backend.append(hold, events=[*texts(1, 2, 3), ended(1, 4)])
    assert (await backend.store.logged(KEY, 1, 0)).events == (*texts(1, 1, 2, 3), ended(1, 4))


@pytest.mark.asyncio
async def test_only_who_holds_the_session_logs(backend):
    with pytest.raises(FenceLost):
        await backend.store.log(Hold(KEY, 1, "h1"), texts(1, 1), lasting())
    hold = await backend.hold("h1")
    await backend.begin("h2")
    for other in (Hold(KEY, 1, "h2"), Hold(KEY, 2, "h1"), Hold(SessionKey("local", "s2"), 1, "h1")):
        with pytest.raises(FenceLost):
            await backend.store.log(other, texts(other.n, 1), lasting())
    await backend.append(hold)
    for _ in range(2):
        with pytest.raises(FenceLost):
            await backend.store.log(hold, texts(1, 1), lasting())
        await backend.begin("h2")
    assert await lost(backend)


@pytest.mark.asyncio
async def test_a_lease_that_ran_out_unnoticed_still_logs(backend):
    hold = await backend.die()
    assert await backend.store.log(hold, texts(1, 1), lasting()) == Logged(1)
    assert await backend.store.logged(KEY, 1, 0) == Log(tuple(texts(1, 1)), live=False)


@pytest.mark.asyncio
async def test_each_turn_has_a_log_of_its_own(backend):
    for n in (1, 2):
        hold = await backend.hold()
        await backend.append(hold, events=[*texts(n, 1), ended(n, 2)])
    for n in (1, 2):
        assert (await backend.store.logged(KEY, n, 0)).events == (*texts(n, 1), ended(n, 2))


# -- how long there is a log -----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_stream_that_never_was_is_not_found(backend):
    assert await lost(backend)
    await backend.say()
    assert await lost(backend)
    await backend.hold()
    assert [await lost(backend, n) for n in (1, 2, 3)] == [True, False, True]
    assert await lost(backend, 2, SessionKey("another", "s1"))
    assert await backend.store.logged(KEY, 2, 0) == Log((), live=True)


@pytest.mark.asyncio
async def test_of_a_turn_given_back_before_a_word_there_is_no_stream(backend):
    hold = await backend.hold()
    await backend.store.release(KEY, hold.holder)
    assert await lost(backend)


@pytest.mark.asyncio
async def test_of_a_turn_whose_holder_died_before_a_word_there_is_a_stream_until_it_is_settled(backend):
    hold = await backend.die()
    assert await backend.store.logged(KEY, 1, 0, wait=20) == Log((), live=False)
    await backend.append(hold)
    assert await lost(backend)


@pytest.mark.asyncio
async def test_a_log_lives_for_its_time_after_its_last_write(backend):
    hold = await backend.hold()
    await backend.store.log(hold, texts(1, 1), lasting(stream=0.2))
    await backend.store.log(hold, texts(1, 2), lasting())
    await backend.pass_by(0.25)
    assert not await lost(backend)
    await backend.append(hold, events=[ended(1, 3)], stream=0.05)
    await backend.when(lambda: lost(backend), 0.05)
    assert len(await backend.store.turns(KEY)) == 1


@pytest.mark.asyncio
async def test_a_log_outlives_its_session(backend):
    await backend.append(await backend.hold(), events=[ended(1, 1)], session=0.03)
    await backend.when(backend.missing, 0.03)
    assert await backend.store.logged(KEY, 1, 0) == Log((ended(1, 1),), live=False)


@pytest.mark.asyncio
async def test_a_stream_is_live_until_its_last_event_or_its_producers_death(backend):
    hold = await backend.hold()
    await backend.store.log(hold, texts(1, 1), lasting())
    assert (await backend.store.logged(KEY, 1, 1)).live
    await backend.store.log(hold, [Failed(ProviderFault("x"), id="1-2")], lasting())
    assert [(await backend.store.logged(KEY, 1, after)).live for after in (0, 1, 2)] == [False] * 3
    await backend.append(hold)
    hold = await backend.die()
    await backend.store.log(hold, texts(2, 1), lasting())
    assert [(await backend.store.logged(KEY, 2, after)).live for after in (0, 1)] == [False] * 2
    await backend.store.renew(hold, lasting())
    assert (await backend.store.logged(KEY, 2, 0)).live


@pytest.mark.asyncio
async def test_the_session_tells_of_the_answer_being_made(backend):
    async def live():
        told = await backend.store.session(KEY)
        return told.live_stream_id, told.live_turn_id, told.live_prompt

    none = (None, None, None)
    hold = await backend.hold(turn_id="one", prompt="Größe?\n☃")
    assert await live() == ("s1~1", "one", "Größe?\n☃")
    await backend.append(hold)
    assert await live() == none
    hold = await backend.hold(turn_id="two", prompt="")
    assert await live() == ("s1~2", "two", "")
    await backend.store.release(KEY, hold.holder)
    assert await live() == none
    await backend.die(turn_id="three")
    assert await live() == none, "nobody answers it any more"


# -- waiting for more ------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_who_waits_for_events_gets_them_when_they_come(backend):
    hold = await backend.hold()
    for n in (1, 2):
        waiting = asyncio.create_task(backend.store.logged(KEY, 1, n - 1, wait=20))
        assert await stays(waiting)
        await backend.store.log(hold, texts(1, n), lasting())
        async with asyncio.timeout(10):
            assert await waiting == Log(tuple(texts(1, n)), live=True)
    waiting = [asyncio.create_task(backend.store.logged(KEY, 1, 2, wait=20)) for _ in range(3)]
    assert all([await stays(one) for one in waiting])
    await backend.append(hold, events=[ended(1, 3)])
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [Log((ended(1, 3),), live=False)] * 3


@pytest.mark.asyncio
async def test_who_waits_for_events_gets_those_there_are_at_once(backend):
    hold = await backend.hold()
    await backend.store.log(hold, texts(1, 1, 2), lasting())
    async with asyncio.timeout(10):
        assert (await backend.store.logged(KEY, 1, 1, wait=20)).events == tuple(texts(1, 2))
        await backend.append(hold, events=[ended(1, 3)])
        assert await backend.store.logged(KEY, 1, 3, wait=20) == Log((), live=False)


@pytest.mark.asyncio
async def test_who_waits_for_events_waits_no_longer_than_he_said(backend):
    await backend.hold()
    async with asyncio.timeout(10):
        assert await backend.store.logged(KEY, 1, 0, wait=0.05) == Log((), live=True)


@pytest.mark.asyncio
async def test_what_is_awaited_is_awaited_of_one_stream(backend):
    hold = await backend.hold()
    other = await backend.hold(key=SessionKey("local", "s2"))
    waiting = asyncio.create_task(backend.store.logged(KEY, 1, 0, wait=20))
    await backend.store.log(other, texts(1, 1), lasting())
    await backend.store.renew(hold, lasting())
    assert await stays(waiting)
    await backend.store.log(hold, texts(1, 1, 2), lasting())
    async with asyncio.timeout(10):
        assert (await waiting).events == tuple(texts(1, 1, 2))


# -- stop ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_producer_is_told_that_somebody_wants_the_end(backend):
    assert not await backend.store.ask_to_stop(KEY, 1)
    hold = await backend.hold()
    assert not await backend.store.ask_to_stop(KEY, 2)
    assert await backend.store.log(hold, texts(1, 1), lasting()) == Logged(1)
    assert await backend.store.ask_to_stop(KEY, 1)
    assert await backend.store.ask_to_stop(KEY, 1)
    assert await backend.store.renew(hold, lasting()) == "stop"
    assert await backend.store.log(hold, texts(1, 2), lasting()) == Logged(2, stop=True)
    await backend.append(hold)
    assert not await backend.store.ask_to_stop(KEY, 1)


@pytest.mark.asyncio
async def test_the_next_turn_is_not_stopped_with_the_one_before(backend):
    for end in (backend.append, lambda hold: backend.store.release(KEY, hold.holder)):
        hold = await backend.hold()
        assert await backend.store.ask_to_stop(KEY, hold.n)
        await end(hold)
        hold = await backend.hold()
        assert await backend.store.renew(hold, lasting()) == "held"
        assert await backend.store.log(hold, texts(hold.n, 1), lasting()) == Logged(1)
        await backend.append(hold)
