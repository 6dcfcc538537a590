"""Whole answers and streams: the same from a gateway in this process and from one elsewhere."""

import asyncio
import json

import pytest

from tests.gateway.contract.world import COOLING, OWNER, PATIENCE, asking, new_id
from tests.gateway.kit import ends, events_of, read, route, said, text_of, until
from warp_magics.gateway.errors import ProviderError, SessionNotFound, TotalTimeout
from warp_magics.gateway.types import (
    Call,
    Ended,
    Exchange,
    Failed,
    Parameters,
    Reasoning,
    Result,
    Source,
    Started,
    Text,
    ToolCall,
    Usage,
    Window,
)

pytestmark = pytest.mark.asyncio

SOURCES = (Source("cell", "maps/a b.ipynb", "c-1"), Source("panel"), Source("python"), Source())
ODD = (
    "na\u00efve e\u0301 \U0001f469\u200d\U0001f467 \U0010ffff \u2028\u2029\x85 \x00\x7f\ufeff \u202e\u05e2\u05d1"
    " a\r\nb\rc\n\n\tdata: x\n\nevent: end\nid: 9\n\n"
)


async def test_an_answer_is_whole_and_says_where_it_comes_from(gateway, there, sid):
    model = there.name()
    answer = await gateway.ask(asking("hello there", sid, model))
    assert answer.text == "You said 'hello there' in message 1."
    assert (answer.result, answer.model) == (Result.COMPLETE, f"lab:{model}")
    assert (answer.session_id, answer.stream_id, answer.session_status) == (sid, f"{sid}~1", None)
    assert (answer.warnings, answer.tool_calls, answer.cost) == ((), (), None)
    assert route(answer.route) == [(model, "ok")]
    if there.timeless:
        assert (answer.route[0].seconds, answer.first_token) == (0, None)
    else:
        assert 0 < answer.route[0].seconds < PATIENCE
        assert 0 < answer.first_token < PATIENCE
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.id, turn.usage, turn.response) == (answer.turn_id, answer.usage, answer.text)
    assert isinstance(answer.usage, Usage)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 7)


async def test_a_session_goes_on_and_a_new_one_has_an_id_of_its_own(gateway, there, sid):
    model = there.name()
    one = await gateway.ask(asking("one", None, model))
    two = await gateway.ask(asking("two", one.session_id, model, create_session=False))
    assert two.text == "You said 'two' in message 3."
    assert (one.stream_id, two.stream_id) == (f"{one.session_id}~1", f"{one.session_id}~2")
    assert len({one.turn_id, two.turn_id, one.session_id}) == 3
    assert said(there.calls(model)[1].messages) == [("user", "one"), ("assistant", one.text), ("user", "two")]


async def test_a_stream_is_the_answer_piece_by_piece_and_numbered(gateway, there, sid):
    events = await events_of(gateway, asking("hello there", sid, there.name()))
    last = ends(events)
    assert text_of(events) == "You said 'hello there' in message 1."
    assert [event.id for event in events] == [f"1-{k}" for k in range(1, len(events) + 1)]
    first = events[0]
    assert (first.session_id, first.stream_id, first.turn_id) == (sid, f"{sid}~1", last.response.turn_id)
    assert (first.model, first.warnings, first.session_status) == (last.response.model, (), None)
    assert sum(isinstance(event, Text) for event in events) > 1
    again = await events_of(gateway, asking("more", sid, there.name()))
    assert [event.id for event in again] == [f"2-{k}" for k in range(1, len(again) + 1)]


async def test_words_come_while_the_model_still_speaks(gateway, there, sid):
    model, go = there.held(2)
    events = gateway.stream(asking("hello", sid, model))
    begun = await read(events, 3)
    assert [type(event) for event in begun] == [Started, Text, Text]
    assert text_of(begun) == "You said"
    live = await gateway.session(OWNER, sid)
    assert (live.live_stream_id, live.live_turn_id) == (f"{sid}~1", begun[0].turn_id)
    go.set()
    assert text_of([*begun, *await read(events)]) == "You said 'hello' in message 1."


async def test_thoughts_and_tool_calls_are_events_of_their_own(gateway, there, sid):
    thinking = await events_of(gateway, asking("why", sid, there.name("reasoning")))
    assert "".join(event.text for event in thinking if isinstance(event, Reasoning)) == "Let me think."
    assert ends(thinking).response.text == "You said 'why' in message 1."
    calling = await events_of(gateway, asking("weather", new_id(), there.name("tools")))
    (call,) = [event.call for event in calling if isinstance(event, ToolCall)]
    assert isinstance(call, Call)
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    answer = ends(calling).response
    assert (answer.result, answer.tool_calls) == (Result.TOOL_CALLS, (call,))


@pytest.mark.parametrize(
    ("behaviour", "result"), [("length-2", Result.MAX_TOKENS), ("filtered-after-2", Result.FILTERED)]
)
async def test_an_answer_that_was_cut_short_says_why(gateway, there, sid, behaviour, result):
    answer = await gateway.ask(asking("hello", sid, there.name(behaviour)))
    assert (answer.text, answer.result) == ("You said", result)


async def test_the_next_model_answers_and_the_route_tells_of_the_first(gateway, there, sid):
    broken, slow, good = there.name("fail-429-retry-after-7"), there.name("hang"), there.name()
    answer = await gateway.ask(asking("hello", sid, broken, slow, good))
    assert answer.model == f"lab:{good}"
    assert route(answer.route) == [
        (broken, "PROVIDER_RATE_LIMIT_ERROR"),
        (slow, "PROVIDER_REQUEST_TIMEOUT_ERROR"),
        (good, "ok"),
    ]
    first = answer.route[0]
    assert (first.status, first.restores_in) == (429, None if there.timeless else 7.0)
    assert "Rate limit reached" in first.reason
    (turn,) = await gateway.history(OWNER, sid)
    assert turn.route == answer.route


async def test_context_parameters_and_the_source_arrive(gateway, there, sid):
    model = there.name()
    parameters = Parameters(temperature=0.0, max_tokens=7, top_p=0.5, seed=0, stop=("END", "."))
    await gateway.ask(asking("hello", sid, model, context="Be brief.", parameters=parameters, source=SOURCES[0]))
    (call,) = there.calls(model)
    assert said(call.messages) == [("system", "Be brief."), ("user", "hello")]
    sent = {name: call.body.get(name) for name in ("temperature", "top_p", "seed", "stop")}
    assert sent == {"temperature": 0.0, "top_p": 0.5, "seed": 0, "stop": ["END", "."]}
    assert 7 in (call.body.get("max_tokens"), call.body.get("max_completion_tokens"))
    for source in SOURCES[1:]:
        await gateway.ask(asking("hello", sid, there.name(), source=source))
    assert [turn.source for turn in await gateway.history(OWNER, sid)] == list(SOURCES)


async def test_an_answer_that_is_not_kept_has_turns_it_is_told_and_no_session(gateway, there):
    model = there.name()
    history = (Exchange("a", "b"), Exchange("c", "d"))
    events = await events_of(gateway, asking("e", None, model, create_session=False, store=False, history=history))
    answer = ends(events).response
    assert (answer.session_id, answer.stream_id) == (None, None)
    assert (events[0].session_id, events[0].stream_id) == (None, None)
    assert answer.text == "You said 'e' in message 5."
    assert [text for _, text in said(there.calls(model)[0].messages)] == ["a", "b", "c", "d", "e"]


async def test_a_session_that_has_expired_begins_anew_and_says_so(gateway, there, sid):
    if there.timeless:
        await gateway.create(OWNER, sid, ttl=0.01)
        await asyncio.sleep(0.05)
        assert (await gateway.session(OWNER, sid)).ttl == 0.01  # nothing expires in a run
        return
    await gateway.create(OWNER, sid, ttl=1.0)
    await gateway.ask(asking("one", sid, there.name()))

    async def gone():
        try:
            return not await gateway.session(OWNER, sid)
        except SessionNotFound:
            return True

    await until(gone)
    events = await events_of(gateway, asking("two", sid, there.name(), create_session=False))
    answer = ends(events).response
    assert (events[0].session_status, events[0].warnings) == ("restarted", ("session expired, started again",))
    assert (answer.session_status, answer.warnings) == (events[0].session_status, events[0].warnings)
    assert answer.text == "You said 'two' in message 1."


async def test_an_answer_has_the_time_its_asker_gives_it(gateway, there, sid):
    model = there.name("silent-2")
    events = await events_of(gateway, asking("hello", sid, model, timeout=2.0))
    last = ends(events)
    assert isinstance(last, Failed)
    assert isinstance(last.error, TotalTimeout)
    assert "2 s" in last.error.message
    assert last.response.text == "You said"
    with pytest.raises(TotalTimeout) as caught:
        await gateway.ask(asking("hello", sid, there.name("hang"), timeout=0.2))
    assert "partial" not in caught.value.details
    await until(lambda: there.calls(model)[0].disconnected_at)


async def test_any_text_arrives_as_it_was(gateway, there, sid):
    model = there.says(*ODD, ODD)
    answer = await gateway.ask(asking(ODD, sid, model, context=ODD))
    assert answer.text == ODD + ODD
    assert said(there.calls(model)[0].messages) == [("system", ODD), ("user", ODD)]
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.prompt, turn.response) == (ODD, ODD + ODD)


async def test_a_megabyte_of_text_arrives_whole(gateway, there, sid):
    prompt = "ab😀 \n" * 150_000
    model = there.says(*["line of sixteen\n" * 64] * 1024, "x" * 1_000_000)
    expected = "line of sixteen\n" * 65_536 + "x" * 1_000_000
    answer = await gateway.ask(asking(prompt, sid, model))
    assert answer.text == expected
    assert there.calls(model)[0].messages[-1]["content"] == prompt
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.prompt, turn.response) == (prompt, expected)
    assert text_of(await read(gateway.follow(OWNER, answer.stream_id))) == expected


async def test_fifty_sessions_at_once_do_not_mix(gateway, there):
    model, sessions = there.name(), [new_id() for _ in range(50)]
    answers = await asyncio.gather(*(gateway.ask(asking(f"I am {one}", one, model)) for one in sessions))
    assert [answer.text for answer in answers] == [f"You said 'I am {one}' in message 1." for one in sessions]
    assert [answer.session_id for answer in answers] == sessions
    kept = await asyncio.gather(*(gateway.history(OWNER, one) for one in sessions))
    assert [[turn.prompt for turn in turns] for turns in kept] == [[f"I am {one}"] for one in sessions]


async def test_ten_at_once_on_one_session_are_ten_turns_in_a_row(gateway, there, sid):
    model = there.name()
    answers = await asyncio.gather(*(gateway.ask(asking(f"this is {n}", sid, model)) for n in range(10)))
    assert {answer.stream_id for answer in answers} == {f"{sid}~{n}" for n in range(1, 11)}
    turns = await gateway.history(OWNER, sid)
    assert [turn.n for turn in turns] == list(range(1, 11))
    assert {turn.prompt for turn in turns} == {f"this is {n}" for n in range(10)}
    for turn in turns:
        assert turn.response == f"You said {turn.prompt!r} in message {2 * turn.n - 1}."


async def test_the_models_and_the_state_of_each(gateway, there):
    if there.timeless:
        model = there.name()
        await gateway.ask(asking("hello", None, model))
        assert [(one.model, one.state) for one in await gateway.models()] == [(f"lab:{model}", "ready")]
        return
    with pytest.raises(ProviderError):
        await gateway.ask(asking("hello", models=("broken",)))
    good, bad = sorted(await gateway.models(), key=lambda one: not one.in_chain)
    assert (good.model, good.alias, good.in_chain, good.state) == ("lab:ok", None, True, "ready")
    assert (good.reason, good.restores_in) == (None, None)
    assert (bad.model, bad.alias, bad.in_chain, bad.state) == (f"lab:{COOLING}", "broken", False, "cooling")
    assert bad.reason == "503"
    assert 0 < bad.restores_in <= 60
    assert good.window == bad.window == Window(100_000, 3600.0)
    assert bad.left < bad.window.max


async def test_the_gateway_says_how_it_is(gateway, there):
    one, two = await gateway.status(), await gateway.status()
    assert (one.ok, one.configured, one.reasons) == (True, True, ())
    assert one.gateway_id
    assert one.gateway_id == two.gateway_id
    assert one.version or there.timeless
    assert one.storage["reachable"] is True
    assert one.storage["type"] in ("memory", "valkey")


async def test_a_whole_answer_is_what_its_stream_ends_with(gateway, there, sid):
    turn = new_id("turn")
    request = asking("hello", sid, there.name(), turn_id=turn)
    *_, last = await events_of(gateway, request)
    assert isinstance(last, Ended)
    assert await gateway.ask(request) == last.response
