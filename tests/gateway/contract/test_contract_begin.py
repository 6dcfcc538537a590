"""A prompt that is begun and not read: it has its turn, is answered to the end, and is followed by whoever cares."""

import asyncio

import pytest

from tests.gateway.contract.world import OWNER, PATIENCE, asking, new_id
from tests.gateway.kit import ends, read, until
from warp_magics.gateway.errors import InvalidRequest, SessionBusy, SessionNotFound, WarpError
from warp_magics.gateway.types import Begun, Ended, Failed

pytestmark = pytest.mark.asyncio


async def statuses(gateway, session):
    return [turn.status for turn in await gateway.history(OWNER, session)]


async def whole(gateway, begun):
    """The events of an answer that was begun."""
    return await read(gateway.follow(OWNER, begun.stream_id))


@pytest.mark.parametrize("leaving", ["finish", "cancel", None])
async def test_it_has_its_turn_and_is_answered_without_a_reader(gateway, there, sid, leaving):
    (model, go), turn = there.held(None), new_id("turn")
    begun = await gateway.begin(asking("hello", sid, model, turn_id=turn, on_disconnect=leaving))
    assert begun == Begun(sid, turn, f"{sid}~1")
    live = await gateway.session(OWNER, sid)
    assert (live.live_stream_id, live.live_turn_id, live.live_prompt) == (begun.stream_id, turn, "hello")
    go.set()
    events = await whole(gateway, begun)
    assert ends(events).response.text == "You said 'hello' in message 1."
    assert (events[0].session_id, events[0].turn_id, events[0].stream_id) == (sid, turn, begun.stream_id)
    assert await statuses(gateway, sid) == ["complete"]
    assert (await gateway.session(OWNER, sid)).live_prompt is None


async def test_without_a_session_it_tells_the_new_ones_id(gateway, there):
    begun = await gateway.begin(asking("hello", None, there.name(), create_session=False))
    assert begun.stream_id == f"{begun.session_id}~1"
    assert isinstance((await whole(gateway, begun))[-1], Ended)
    assert [turn.id for turn in await gateway.history(OWNER, begun.session_id)] == [begun.turn_id]


async def test_it_waits_for_its_turn_and_no_longer(gateway, there, sid):
    first, go = there.held(2)
    await gateway.begin(asking("first", sid, first))
    waiting = asyncio.create_task(gateway.begin(asking("second", sid, there.name())))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    go.set()
    async with asyncio.timeout(PATIENCE):
        begun = await waiting
    assert begun.stream_id == f"{sid}~2"
    await whole(gateway, begun)
    assert [turn.prompt for turn in await gateway.history(OWNER, sid)] == ["first", "second"]


# -- again


async def test_begun_again_it_is_the_same_and_asked_once(gateway, there, sid):
    model, go = there.held(2)
    request = asking("hello", sid, model, turn_id=new_id("turn"))
    begun, meanwhile = await asyncio.gather(gateway.begin(request), gateway.begin(request))
    assert begun == meanwhile == await gateway.begin(request)
    go.set()
    events = await whole(gateway, begun)
    assert await gateway.begin(request) == begun
    assert await whole(gateway, begun) == events == await read(gateway.stream(request))
    assert len(there.calls(model)) == len(await gateway.history(OWNER, sid)) == 1


async def test_gone_on_with_it_is_the_turn_that_there_was(gateway, there, sid):
    broken, turn = there.name("cut-2"), new_id("turn")
    with pytest.raises(WarpError):
        await gateway.ask(asking("hello", sid, broken, turn_id=turn, on_break="error"))
    model, go = there.held(None)
    request = asking("", sid, model, continues=turn, turn_id=new_id("turn"))
    begun = await gateway.begin(request)
    assert begun == Begun(sid, turn, f"{sid}~2")
    assert (await gateway.session(OWNER, sid)).live_prompt == ""
    go.set()
    assert ends(await whole(gateway, begun)).response.text.startswith("You said")
    assert await gateway.begin(request) == begun
    assert await statuses(gateway, sid) == ["complete"]


# -- what goes wrong


async def test_what_is_wrong_before_its_turn_is_raised(gateway, there, sid):
    with pytest.raises(SessionNotFound):
        await gateway.begin(asking("hello", sid, there.name(), create_session=False))
    with pytest.raises(InvalidRequest):
        await gateway.begin(asking("", sid, there.name()))
    with pytest.raises(InvalidRequest, match="not kept"):
        await gateway.begin(asking("hello", None, there.name(), create_session=False, store=False))
    with pytest.raises(SessionNotFound):
        await gateway.session(OWNER, sid)


async def test_a_model_that_nobody_has_costs_no_turn(gateway, there, sid):
    if there.timeless:  # who may answer is not known where a tape is
        return
    with pytest.raises(WarpError, match="nobody"):
        await gateway.begin(asking("hello", sid, "nobody:at-all"))
    with pytest.raises(SessionNotFound):
        await gateway.session(OWNER, sid)


async def test_a_session_that_others_keep_too_long_is_busy(gateway, there, sid):
    model, go = there.held(2)
    await gateway.begin(asking("first", sid, model))
    with pytest.raises(SessionBusy):
        await gateway.begin(asking("second", sid, there.name()))
    go.set()


async def test_what_fails_later_is_told_to_those_who_follow_and_watch(gateway, there, sid):
    await gateway.create(OWNER, sid)
    feed = gateway.watch(OWNER, sid, "0-0")
    begun = await gateway.begin(asking("hello", sid, there.name("fail-503")))
    (last,) = await whole(gateway, begun)
    assert isinstance(last, Failed)
    assert await statuses(gateway, sid) == ["failed"]
    told = await read(feed, 2)
    assert [(one.kind, one.stream_id, one.status) for one in told] == [
        ("turn-started", begun.stream_id, None),
        ("turn-ended", begun.stream_id, "failed"),
    ]
    await feed.aclose()


# -- who leaves


async def test_who_is_cancelled_in_line_gives_up_the_place(gateway, there, sid):
    (first, go), never = there.held(2), there.name()
    await gateway.begin(asking("first", sid, first))
    leaving = asyncio.create_task(gateway.begin(asking("gone", sid, never)))
    await asyncio.sleep(0.2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    staying = asyncio.create_task(gateway.begin(asking("second", sid, there.name())))
    await asyncio.sleep(0.2)
    go.set()
    async with asyncio.timeout(PATIENCE):
        begun = await staying
    assert begun.stream_id == f"{sid}~2"
    await whole(gateway, begun)
    assert [turn.prompt for turn in await gateway.history(OWNER, sid)] == ["first", "second"]
    assert there.calls(never) == []


async def test_a_reader_who_wants_no_more_does_not_end_what_was_begun(gateway, there, sid):
    (model, go), turn = there.held(2), new_id("turn")
    begun = await gateway.begin(asking("hello", sid, model, turn_id=turn))
    reading = gateway.stream(asking("hello", sid, model, turn_id=turn))
    await read(reading, 3)
    await reading.aclose()
    go.set()
    assert isinstance((await whole(gateway, begun))[-1], Ended)


async def test_it_is_stopped_as_every_answer_is(gateway, there, sid):
    model, _ = there.held(None)
    begun = await gateway.begin(asking("hello", sid, model))
    assert await gateway.stop(OWNER, begun.stream_id) is True
    await until(lambda: not there.calls(model) or there.calls(model)[0].disconnected_at)
    assert await statuses(gateway, sid) == ["stopped"]
