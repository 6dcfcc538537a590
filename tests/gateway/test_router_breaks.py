"""Answers that break off after their first word, over real HTTP: spliced, begun anew, or ended with their part."""

import pytest

from tests.fakes.provider import Fault, Reply
from tests.gateway.kit import ends, events_of, opened, route, text_of
from warp_magics.gateway.errors import RequestRefused, StreamBroken
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Ended, Failed, Reasoning, Restarted, Text, ToolCall

WHOLE = "You said 'hi' in message 1."
END, STALL = "PROVIDER_REQUEST_END_ERROR", "PROVIDER_REQUEST_STREAM_TIMEOUT_ERROR"
QUICK = {"timeout": {"stall": "1s"}}


def hi(**given):
    return Ask("hi", **{"on_break": "splice", "session_id": "s1", "create_session": True, **given})


def asked(fake):
    return [call.model for call in fake.requests]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "code"),
    [("cut-3", END), ("end-3", END), ("reset-3", END), ("silent-3", STALL), ("error-3", "PROVIDER_RESPONSE_ERROR")],
)
async def test_the_next_model_goes_on_and_the_reader_notices_nothing(fake, config, model, code):
    async with opened(config(model, "ok", limits=QUICK)) as gateway:
        events = await events_of(gateway, hi())
        (kept,) = await gateway.history("local", "s1")
        states = {state.model: state.state for state in await gateway.models()}
    answer = ends(events).response
    assert [event.text for event in events if isinstance(event, Text)] == [
        "You",
        " said",
        " 'hi'",
        " in",
        " message",
        " 1.",
    ]
    assert (answer.text, answer.model, route(answer.route)) == (WHOLE, "lab:ok", [(model, code), ("ok", "ok")])
    assert (kept.status, kept.response, kept.model) == ("complete", WHOLE, "lab:ok")
    assert states == {f"lab:{model}": "cooling", "lab:ok": "ready"}
    assert asked(fake) == [model, "ok"]
    assert [message["role"] for message in fake.requests[1].messages] == ["user"]  # nobody is sent the part


@pytest.mark.asyncio
async def test_where_no_other_is_left_the_same_is_asked_once_more(fake, config):
    fake.script("m", Reply.broken(Fault.CUT, at=3), Reply())
    async with opened(config("m")) as gateway:
        events = await events_of(gateway, hi())
    assert ends(events).response.text == WHOLE
    assert route(ends(events).response.route) == [("m", END), ("m", "ok")]


@pytest.mark.asyncio
async def test_models_that_break_off_one_after_the_other_are_each_gone_on_from(fake, config):
    async with opened(config("cut-2", "cut-4", "ok")) as gateway:
        events = await events_of(gateway, hi())
    assert ends(events).response.text == WHOLE
    assert asked(fake) == ["cut-2", "cut-4", "ok"]


@pytest.mark.asyncio
async def test_attempts_are_bounded_where_all_break_off(fake, config):
    async with opened(config("cut-3", "cut-2", limits={"retry": {"max": 3}})) as gateway:
        events = await events_of(gateway, hi())
        (kept,) = await gateway.history("local", "s1")
    failed = ends(events)
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.response.text) == (END, "You said 'hi'")
    assert asked(fake) == ["cut-3", "cut-2", "cut-3"]
    assert (kept.status, kept.response) == ("interrupted", "You said 'hi'")
    assert route(kept.route) == [("cut-3", END), ("cut-2", END), ("cut-3", END)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "other",
    [
        Reply(chunks=["You", " say", " 'hi'."]),
        Reply(chunks=["You said"]),
        Reply(tools=[("f", {})], chunks=[]),
        Reply(tools=[("f", {})], chunks=["You"]),
    ],
    ids=["else", "less", "call", "less-and-call"],
)
async def test_an_answer_that_says_something_else_is_not_joined_to_the_part(fake, config, other):
    fake.script("other", other)
    async with opened(config("cut-3", "other", "ok")) as gateway:
        events = await events_of(gateway, hi())
        states = {state.model: state.state for state in await gateway.models()}
    failed = ends(events)
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.response.text) == (END, "You said 'hi'")
    assert route(failed.response.route) == [("cut-3", END), ("other", "diverged")]
    assert (asked(fake), states["lab:other"]) == (["cut-3", "other"], "ready")


@pytest.mark.asyncio
async def test_begun_anew_the_reader_is_told_to_forget_the_text(fake, config):
    fake.script("other", Reply(chunks=["Some", " other."], reasoning=["Hm."]))
    async with opened(config("cut-3", "other")) as gateway:
        events = await events_of(gateway, hi(on_break="restart"))
        (kept,) = await gateway.history("local", "s1")
        again = [event async for event in gateway.follow("local", "s1~1")]
    at = next(at for at, event in enumerate(events) if isinstance(event, Restarted))
    assert events[at] == Restarted(END, "lab:cut-3", "lab:other", events[at].id)
    assert text_of(events[:at]) == "You said 'hi'"
    assert text_of(events[at:]) == events[-1].response.text == kept.response == "Some other."
    assert again == events
    assert isinstance(events[at + 1], Reasoning)


@pytest.mark.asyncio
async def test_it_is_begun_anew_only_once_another_model_has_begun(fake, config):
    async with opened(config("cut-3", "fail-503")) as gateway:
        events = await events_of(gateway, hi(on_break="restart", models=("lab:cut-3", "lab:fail-503")))
    kinds = [type(event) for event in events]
    assert kinds.index(Restarted) > 3  # for the same model, once more
    assert asked(fake) == ["cut-3", "fail-503", "cut-3"]
    assert events[-1].response.text == "You said 'hi'"


@pytest.mark.asyncio
async def test_a_whole_ask_begins_anew_since_nobody_has_read_along(fake, config):
    fake.script("other", Reply(chunks=["Some", " other."]))
    async with opened(config("cut-3", "other")) as gateway:
        assert (await gateway.ask(Ask("hi"))).text == "Some other."
        with pytest.raises(StreamBroken) as caught:
            await gateway.ask(Ask("hi", on_break="error", models=("lab:cut-3@b", "lab:other")))
    assert caught.value.details["partial"] == "You said 'hi'"


@pytest.mark.asyncio
async def test_thoughts_are_no_words_and_are_not_told_twice_while_it_catches_up(fake, config):
    fake.script("thinks", Reply(reasoning=["Hm."], insert=[Fault.CUT], at=3))
    fake.script("only-thinks", Reply(reasoning=["Hm."], insert=[Fault.CUT], at=0))
    fake.script("good", Reply(reasoning=["So."]))
    async with opened(config("thinks", "good")) as gateway:
        events = await events_of(gateway, hi())
        assert [event.text for event in events if isinstance(event, Reasoning)] == ["Hm."]
        assert ends(events).response.text == WHOLE
        events = await events_of(gateway, hi(session_id="s2", on_break="error", models=("lab:only-thinks", "lab:good")))
        assert [event.text for event in events if isinstance(event, Reasoning)] == ["Hm.", "So."]
        assert isinstance(ends(events), Ended)


@pytest.mark.asyncio
async def test_calls_that_were_told_are_not_told_twice(fake, config):
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    delta = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    fake.script("m", Reply(chunks=[delta]), Reply(tools=[("f", {})], chunks=[]))
    async with opened(config("m")) as gateway:
        events = await events_of(gateway, hi())
    assert len([event for event in events if isinstance(event, ToolCall)]) == 1


@pytest.mark.asyncio
async def test_the_error_of_a_model_that_refuses_to_go_on_is_not_the_answers(fake, config):
    async with opened(config("cut-3", "fail-400")) as gateway:
        events = await events_of(gateway, hi())
    failed = ends(events)
    assert (failed.error.code, failed.response.text) == (END, "You said 'hi'")
    assert not isinstance(failed.error, RequestRefused)
    assert route(failed.response.route)[1][1] == "PROVIDER_REQUEST_ERROR"
