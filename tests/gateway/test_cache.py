"""An answer given before is given again: as it was heard, to whom it was given, and made once for all who ask at a time."""

import contextlib
from dataclasses import replace

import pytest

from tests.fakes.provider import Fault, Reply
from tests.gateway.kit import ends, events_of, opened, read, route, text_of, words
from warp_magics.gateway.errors import ProviderError
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.types import (
    Attachment,
    Ended,
    Exchange,
    Form,
    Parameters,
    Reasoning,
    Restarted,
    Result,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from warp_magics.gateway.types import ChatRequest as Ask

ME = "local"
HI = Ask("hi", store=False)
SAID = "You said 'hi' in message 1."
ON = {"enabled": True, "ttl": "1h"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
TOOL = Tool("get_weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


# -- what a hit is ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_same_prompt_again_is_answered_without_asking_anybody(fake, config):
    rate = {"rate": {"max": 1, "time_window": "1m"}}
    async with opened(config("ok", cache=ON, limits=rate)) as gateway:
        first = await gateway.ask(HI)
        again = [await gateway.ask(HI) for _ in range(3)]
        (state,) = await gateway.models()
    assert route(first.route) == [("ok", "ok")]
    assert first.usage != Usage()
    for answer in again:
        assert (answer.text, answer.result, answer.model) == (SAID, Result.COMPLETE, "lab:ok")
        assert route(answer.route) == [("ok", "cache")]
        assert (answer.cost, answer.usage) == (0.0, Usage())
        assert answer.warnings == ()
        assert answer.first_token >= 0
    assert (len(fake.requests), state.left) == (1, 0)


@pytest.mark.asyncio
async def test_a_hit_is_streamed_in_the_same_pieces(fake, config):
    fake.script("m", Reply(reasoning=["Let me ", "think."], chunks=["a", "b c", "\n", "é"]))
    async with opened(config("m", cache=ON)) as gateway:
        first, again = await events_of(gateway, HI), await events_of(gateway, HI)
    told = [
        [(type(event), event.text) for event in events if isinstance(event, Text | Reasoning)]
        for events in (first, again)
    ]
    assert told[0] == told[1]
    assert [text for kind, text in told[1] if kind is Text] == ["a", "b c", "\n", "é"]
    assert isinstance(ends(again), Ended)
    assert len({event.id for event in again}) == len(again)
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_tool_calls_are_told_and_kept_again(fake, config):
    asked = Ask("hi", form=Form(tools=(TOOL,)))
    async with opened(config("tools", cache=ON)) as gateway:
        first, again = await events_of(gateway, asked), await events_of(gateway, asked)
        kept = [await gateway.history(ME, events[-1].response.session_id) for events in (first, again)]
    calls = [[event.call for event in events if isinstance(event, ToolCall)] for events in (first, again)]
    assert calls[0] == calls[1] == list(again[-1].response.tool_calls)
    assert [call.name for call in calls[1]] == ["get_weather"]
    assert again[-1].response.result is Result.TOOL_CALLS
    assert [turn.tool_calls for turns in kept for turn in turns] == [tuple(calls[0])] * 2
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_what_was_read_out_of_an_answer_is_there_again(fake, config):
    fake.script("m", Reply(chunks=['{"a"', ": 1}"]))
    asked = replace(HI, form=Form(schema=SCHEMA))
    async with opened(config("m", cache=ON)) as gateway:
        answers = [await gateway.ask(asked) for _ in range(2)]
    assert [answer.value for answer in answers] == [{"a": 1}] * 2
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_a_hit_is_a_turn_of_its_session_with_a_stream_of_its_own(fake, config):
    async with opened(config("ok", cache=ON)) as gateway:
        await gateway.ask(HI)
        events = await events_of(gateway, Ask("hi", session_id="s1", create_session=True))
        (turn,) = await gateway.history(ME, "s1")
        followed = await read(gateway.follow(ME, "s1~1"))
        after = await gateway.ask(Ask("and?", session_id="s1"))
    assert (turn.prompt, turn.response, turn.status, turn.model) == ("hi", SAID, "complete", "lab:ok")
    assert (turn.usage, turn.cost, route(turn.route)) == (Usage(), 0.0, [("ok", "cache")])
    assert (events[-1].response.session_id, events[-1].response.turn_id) == ("s1", turn.id)
    assert followed == events
    assert after.text == "You said 'and?' in message 3."
    assert len(fake.requests) == 2


@pytest.mark.asyncio
async def test_an_answer_that_another_model_had_to_give_is_a_hit_too(fake, config):
    async with opened(config("fail-503", "ok", cache=ON)) as gateway:
        answers = [await gateway.ask(HI) for _ in range(2)]
    assert [answer.model for answer in answers] == ["lab:ok"] * 2
    assert route(answers[1].route) == [("ok", "cache")]
    assert len(fake.requests) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("on_break", ["splice", "restart"])
async def test_of_an_answer_that_broke_and_went_on_only_the_whole_is_told_again(fake, config, on_break):
    fake.script("other", Reply(chunks=["Something ", "else."]))
    models = ("cut-3", "ok") if on_break == "splice" else ("cut-3", "other")
    asked = replace(HI, on_break=on_break)
    async with opened(config(*models, cache=ON)) as gateway:
        first, again = await events_of(gateway, asked), await events_of(gateway, asked)
    assert any(isinstance(event, Restarted) for event in first) == (on_break == "restart")
    assert not any(isinstance(event, Restarted) for event in again)
    assert text_of(again) == first[-1].response.text == ends(again).response.text
    assert again[-1].response.model == f"lab:{models[1]}"
    assert len(fake.requests) == 2


# -- when it is read -------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("table", "said", "asked"),
    [({}, None, 2), ({}, True, 1), (ON, None, 1), (ON, False, 2), (ON, True, 1)],
)
async def test_a_request_says_whether_and_else_the_configuration(fake, config, table, said, asked):
    async with opened(config("ok", cache=table)) as gateway:
        for _ in range(2):
            await gateway.ask(replace(HI, cache=said))
    assert len(fake.requests) == asked


@pytest.mark.asyncio
async def test_what_was_asked_without_the_cache_is_not_in_it(fake, config):
    async with opened(config("ok", cache=ON)) as gateway:
        asked = [route((await gateway.ask(replace(HI, cache=said))).route)[0][1] for said in (False, None, False, None)]
    assert asked == ["ok", "ok", "ok", "cache"]


@pytest.mark.asyncio
async def test_after_its_time_it_is_asked_anew(fake, config, clock):
    async with opened(config("ok", cache={"enabled": True, "ttl": "90s"}), clock=clock) as gateway:
        outcomes = []
        for passes in (0, 89, 2, 89, 2):
            clock.now += passes
            outcomes.append(route((await gateway.ask(HI)).route)[0][1])
    assert outcomes == ["ok", "cache", "ok", "cache", "ok"]


@pytest.mark.asyncio
async def test_another_owner_never_hears_it(fake, config):
    async with opened(config("ok", cache=ON)) as gateway:
        for owner in ("ann", "bob", "ann", "bob", "an"):
            await gateway.ask(replace(HI, owner=owner))
    assert len(fake.requests) == 3


# -- what makes another answer ---------------------------------------------------------------------

OTHERS = {
    "prompt": {"prompt": "hi "},
    "context": {"context": "Be brief."},
    "history": {"history": (Exchange("a", "b"),)},
    "temperature": {"parameters": Parameters(temperature=0)},
    "max_tokens": {"parameters": Parameters(max_tokens=100)},
    "top_p": {"parameters": Parameters(top_p=0.5)},
    "seed": {"parameters": Parameters(seed=0)},
    "stop": {"parameters": Parameters(stop=("x",))},
    "tools": {"form": Form(tools=(TOOL,))},
    "a tool's words": {"form": Form(tools=(replace(TOOL, description="Weather."),))},
    "a tool's parameters": {"form": Form(tools=(replace(TOOL, parameters={}),))},
    "tool_choice": {"form": Form(tools=(TOOL,), tool_choice="none")},
    "schema": {"form": Form(schema=SCHEMA)},
    "another schema": {"form": Form(schema={"type": "object"})},
    "a longer chain": {"models": ("lab:ok", "lab:b")},
    "the other way round": {"models": ("lab:b", "lab:ok")},
    "another model": {"models": ("lab:b",)},
    "a text": {"attachments": (Attachment("text", "a.txt", text="x"),)},
    "its name": {"attachments": (Attachment("text", "b.txt", text="x"),)},
    "an image": {"attachments": (Attachment("image", "a.png", "image/png", data=PIXEL),)},
}


@pytest.mark.asyncio
async def test_whatever_shapes_an_answer_makes_another(fake, config):
    fake.script("ok", Reply(chunks=['{"a": 1}']))
    async with opened(config("ok", cache=ON)) as gateway:
        await gateway.ask(HI)
        for number, (name, fields) in enumerate(OTHERS.items(), start=2):
            outcomes = [route((await gateway.ask(replace(HI, **fields))).route)[0][1] for _ in range(2)]
            assert (name, outcomes, len(fake.requests)) == (name, ["ok", "cache"], number)
        assert route((await gateway.ask(HI)).route) == [("ok", "cache")]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fields", [{"models": ("lab:ok",)}, {"timeout": 5}, {"on_break": "error"}, {"turn_id": "t9"}, {"store": True}]
)
async def test_what_does_not_shape_it_makes_no_other(fake, config, fields):
    async with opened(config("ok", cache=ON)) as gateway:
        await gateway.ask(HI)
        assert route((await gateway.ask(replace(HI, **fields))).route) == [("ok", "cache")]


@pytest.mark.asyncio
async def test_the_turns_before_it_belong_to_a_prompt(fake, config):
    async with opened(config("ok", cache=ON)) as gateway:
        outcomes = []
        for session, prompt in (("s1", "a"), ("s1", "a"), ("s2", "a"), ("s2", "a"), ("s3", "b"), ("s3", "a")):
            answer = await gateway.ask(Ask(prompt, session_id=session, create_session=True))
            outcomes.append((route(answer.route)[0][1], answer.text[-2:]))
    assert outcomes == [("ok", "1."), ("ok", "3."), ("cache", "1."), ("cache", "3."), ("ok", "1."), ("ok", "3.")]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "settings", [{"body": {"top_k": 1}}, {"body": {"x": {"y": [2]}}}, {"limits": {"max_tokens": 7}}]
)
async def test_what_the_configuration_has_a_model_sent_makes_another(fake, config, clock, settings):
    store, plain = MemoryStore(clock), config("ok", cache=ON)
    other = config("ok", cache=ON, model=[{"provider": "lab", "model": "ok", **settings}])
    outcomes = []
    for configured in (plain, other, plain, other):
        async with opened(configured, store, clock) as gateway:
            outcomes.append(route((await gateway.ask(HI)).route)[0][1])
    assert outcomes == ["ok", "ok", "cache", "cache"]


# -- what is not kept ------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "model", ["fail-503", "fail-400", "empty", "cut-3", "end-2", "filtered", "filtered-after-2", "length-2"]
)
async def test_only_a_whole_answer_is_kept(fake, config, model):
    async with opened(config(model, cache=ON)) as gateway:
        for _ in range(2):
            with contextlib.suppress(ProviderError):
                await events_of(gateway, replace(HI, on_break="error"))
        fake.script(model, Reply())
        assert route((await gateway.ask(HI)).route) == [(model, "ok")]
        assert route((await gateway.ask(HI)).route) == [(model, "cache")]
    assert len(fake.requests) == 3


@pytest.mark.asyncio
async def test_a_stopped_answer_is_not_kept(fake, config):
    fake.script("m", Reply.broken(Fault.SILENT, at=2), Reply())
    async with opened(config("m", cache=ON)) as gateway:
        events = gateway.stream(Ask("hi", turn_id="t1"))
        seen = await words(events, 2)
        assert await gateway.stop(ME, "t1")
        seen += await read(events)
        assert ends(seen).response.result is Result.STOPPED
        answer = await gateway.ask(HI)
    assert (answer.text, route(answer.route)) == (SAID, [("m", "ok")])
    assert len(fake.requests) == 2
