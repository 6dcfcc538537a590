"""Following an answer, stopping it, asking for it again and leaving it: three verbs and a choice."""

import asyncio

import pytest

from tests.gateway.contract.world import OWNER, PATIENCE, asking, new_id
from tests.gateway.kit import ends, events_of, read, text_of, until
from warp_magics.gateway.errors import InvalidRequest, StreamNotFound
from warp_magics.gateway.types import Ended, Result, Started

pytestmark = pytest.mark.asyncio


async def statuses(gateway, session):
    return [turn.status for turn in await gateway.history(OWNER, session)]


# -- follow


async def test_a_follower_sees_the_same_from_wherever_he_begins(gateway, there, sid):
    events = await events_of(gateway, asking("hello there", sid, there.name()))
    assert await read(gateway.follow(OWNER, f"{sid}~1")) == events
    for k, event in enumerate(events, 1):
        assert await read(gateway.follow(OWNER, f"{sid}~1", event.id)) == events[k:]


async def test_any_number_follow_an_answer_that_is_being_made(gateway, there, sid):
    model, go = there.held(2)
    events = gateway.stream(asking("hello there", sid, model))
    begun = await read(events, 3)
    followers = [gateway.follow(OWNER, f"{sid}~1", after) for after in (None, None, "1-2")]
    seen = [await read(one, count) for one, count in zip(followers, (3, 3, 1), strict=True)]
    assert seen == [begun, begun, begun[2:]]
    go.set()
    rest = await read(events)
    assert isinstance(rest[-1], Ended)
    for one in followers:
        assert await read(one) == rest


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1", "2-1", "1-x", "1-1-1", "1-٣"])
async def test_what_is_no_event_of_the_stream_is_refused(gateway, there, sid, after):
    await gateway.ask(asking("hello", sid, there.name()))
    with pytest.raises(InvalidRequest, match=r"no event of this stream|no header can hold"):
        await read(gateway.follow(OWNER, f"{sid}~1", after))


@pytest.mark.parametrize("reference", ["{}~2", "{}~0", "{}", "{}~", "{}~x", "nobody~1", "~1", "a/b~1", "a b"])
async def test_a_stream_that_never_was_is_not_found(gateway, there, sid, reference):
    await gateway.ask(asking("hello", sid, there.name()))
    with pytest.raises(StreamNotFound):
        await read(gateway.follow(OWNER, reference.format(sid)))
    with pytest.raises(StreamNotFound):
        await gateway.stop(OWNER, reference.format(sid))


# -- stop


async def test_a_stopped_answer_ends_for_all_and_keeps_its_part(gateway, there, sid):
    model, _ = there.held(2)
    events = gateway.stream(asking("hello", sid, model))
    begun = await read(events, 3)
    follower = gateway.follow(OWNER, f"{sid}~1")
    await read(follower, 3)
    assert await gateway.stop(OWNER, f"{sid}~1") is True
    (last,) = await read(events)
    assert (last.response.result, last.response.text) == (Result.STOPPED, "You said")
    assert (last.response.stream_id, last.response.turn_id) == (f"{sid}~1", begun[0].turn_id)
    assert await read(follower) == [last]
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.status, turn.result, turn.response) == ("stopped", Result.STOPPED, "You said")
    await until(lambda: there.calls(model)[0].disconnected_at)
    assert await gateway.stop(OWNER, f"{sid}~1") is False
    ended = await gateway.session(OWNER, sid)
    assert (ended.live_stream_id, ended.live_turn_id) == (None, None)


async def test_an_answer_that_has_ended_is_not_stopped(gateway, there, sid):
    answer = await gateway.ask(asking("hello", sid, there.name()))
    assert await gateway.stop(OWNER, answer.stream_id) is False
    assert await statuses(gateway, sid) == ["complete"]


@pytest.mark.parametrize("kept", [True, False])
async def test_before_its_first_word_an_answer_is_stopped_by_its_turn(gateway, there, sid, kept):
    (model, _), turn = there.held(None), new_id("turn")
    request = asking("hello", sid if kept else None, model, store=kept, turn_id=turn)
    reading = asyncio.create_task(gateway.ask(request))
    await until(lambda: there.calls(model))
    assert await gateway.stop(OWNER, turn) is True
    async with asyncio.timeout(PATIENCE):
        answer = await reading
    assert (answer.text, answer.result, answer.turn_id) == ("", Result.STOPPED, turn)
    assert answer.session_id == (sid if kept else None)
    await until(lambda: there.calls(model)[0].disconnected_at)
    if kept:
        (stopped,) = await gateway.history(OWNER, sid)
        assert (stopped.id, stopped.status, stopped.response, stopped.model) == (turn, "stopped", "", None)
    else:
        with pytest.raises(StreamNotFound):
            await gateway.stop(OWNER, turn)


async def test_a_prompt_in_the_queue_is_stopped_by_its_turn_and_never_sent(gateway, there, sid):
    (model, go), other, turn = there.held(2), there.name(), new_id("turn")
    first = gateway.stream(asking("first", sid, model))
    begun = await read(first, 3)
    waiting = asyncio.create_task(gateway.ask(asking("second", sid, other, turn_id=turn)))

    async def stopped():
        try:
            return await gateway.stop(OWNER, turn)
        except StreamNotFound:  # it has not arrived yet
            return False

    assert await until(stopped)
    with pytest.raises(InvalidRequest, match="stopped before it was sent"):
        await waiting
    go.set()
    assert text_of([*begun, *await read(first)]) == "You said 'first' in message 1."
    assert there.calls(other) == []
    assert await statuses(gateway, sid) == ["complete"]


# -- asked again


async def test_a_turn_that_is_asked_again_is_answered_once(gateway, there, sid):
    model, turn = there.name(), new_id("turn")
    request = asking("hello", sid, model, turn_id=turn)
    first = await events_of(gateway, request)
    assert ends(first).response.turn_id == turn
    assert await events_of(gateway, request) == first
    assert len(there.calls(model)) == len(await gateway.history(OWNER, sid)) == 1


async def test_a_turn_that_is_asked_again_while_it_is_answered_is_followed(gateway, there, sid):
    (model, go), turn = there.held(2), new_id("turn")
    request = asking("hello", sid, model, turn_id=turn)
    one, two = gateway.stream(request), gateway.stream(request)
    begun = await read(one, 3)
    assert await read(two, 3) == begun
    await one.aclose()
    go.set()
    assert text_of([*begun, *await read(two)]) == "You said 'hello' in message 1."
    assert len(there.calls(model)) == 1
    assert await statuses(gateway, sid) == ["complete"]


async def test_one_turns_id_in_two_sessions_is_two_turns(gateway, there, sid):
    model, turn, other = there.name(), new_id("turn"), new_id()
    answers = [await gateway.ask(asking("hello", one, model, turn_id=turn)) for one in (sid, other)]
    assert [answer.session_id for answer in answers] == [sid, other]
    assert len(there.calls(model)) == 2


# -- who leaves


async def test_who_leaves_an_answer_to_be_finished_finds_it_whole(gateway, there, sid):
    model, go = there.held(2)
    events = gateway.stream(asking("hello", sid, model, on_disconnect="finish"))
    begun = await read(events, 3)
    await events.aclose()
    assert (await gateway.session(OWNER, sid)).live_stream_id == f"{sid}~1"
    go.set()
    seen = await read(gateway.follow(OWNER, f"{sid}~1"))
    assert seen[:3] == begun
    assert ends(seen).response.text == "You said 'hello' in message 1."
    assert await statuses(gateway, sid) == ["complete"]


async def test_who_leaves_and_wants_no_more_stops_the_answer(gateway, there, sid):
    model, _ = there.held(2)
    events = gateway.stream(asking("hello", sid, model, on_disconnect="cancel"))
    assert isinstance((await read(events, 3))[0], Started)
    async with asyncio.timeout(PATIENCE):
        await events.aclose()
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.status, turn.response) == ("stopped", "You said")
    await until(lambda: there.calls(model)[0].disconnected_at)


async def test_who_leaves_before_the_first_word_and_wants_no_more_stops_it_too(gateway, there, sid):
    model, _ = there.held(None)
    reading = asyncio.create_task(gateway.ask(asking("hello", sid, model, on_disconnect="cancel")))
    await until(lambda: there.calls(model))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: there.calls(model)[0].disconnected_at)
    assert await statuses(gateway, sid) == ["stopped"]


async def test_an_answer_that_is_kept_nowhere_ends_with_its_reader(gateway, there):
    model, _ = there.held(2)
    events = gateway.stream(asking("hello", None, model, store=False))
    await read(events, 3)
    await events.aclose()
    await until(lambda: there.calls(model)[0].disconnected_at)
