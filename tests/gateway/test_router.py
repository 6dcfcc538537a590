"""Many models, one answer: over real HTTP to a provider that misbehaves on request."""

import logging

import pytest

from tests.fakes.provider import Fault, Reply, refused_url
from tests.gateway.kit import KEY, ends, events_of, opened, route, said, text_of
from warp_magics.gateway.errors import (
    AccessRefused,
    ContentFiltered,
    NoContent,
    NoModelConfigured,
    NoModelsAvailable,
    ProviderFault,
    RequestRefused,
    UnknownModel,
    WarpError,
)
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Ended, Exchange, Failed, Parameters, Result, Text, ToolCall, Usage

QUICK = {"timeout": {"connect": "300ms", "first_token": "250ms", "stall": "250ms", "total": "20s"}}


def asked(fake):
    """Which models were asked, in order."""
    return [call.model for call in fake.requests]


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_answer_comes_whole(fake, config):
    async with opened(config("ok")) as gateway:
        answer = await gateway.ask(Ask("grüß dich", context="Be brief."))
    assert answer.text == "You said 'grüß dich' in message 2."
    assert (answer.model, answer.result) == ("lab:ok", Result.COMPLETE)
    assert answer.usage == Usage(4, 7, 0, 0)
    assert route(answer.route) == [("ok", "ok")]
    assert min(answer.first_token, answer.route[0].seconds) > 0
    (call,) = fake.requests
    assert said(call.messages) == [("system", "Be brief."), ("user", "grüß dich")]
    assert call.key == KEY


@pytest.mark.asyncio
@pytest.mark.parametrize("reply", [Reply(), Reply(split=1, newline="\r\n"), Reply(split=1 << 20, newline="\r")])
async def test_an_answer_comes_streamed_however_the_network_cuts_it(fake, config, reply):
    fake.script("m", reply)
    async with opened(config("m")) as gateway:
        events = await events_of(gateway, Ask("grüß"))
    assert text_of(events) == "You said 'grüß' in message 1."
    assert isinstance(ends(events), Ended)
    assert len([event for event in events if isinstance(event, Text)]) == 6


@pytest.mark.asyncio
async def test_parameters_go_to_the_model_and_reasoning_is_no_answer(fake, config):
    fake.script("m", Reply(reasoning=["Hm."], cached=2))
    async with opened(config("m")) as gateway:
        answer = await gateway.ask(Ask("a b c", parameters=Parameters(0.0, 9, 0.5, 0, ("x",))))
    body = fake.requests[0].body
    names = ("temperature", "max_tokens", "top_p", "seed", "stop")
    assert [body[name] for name in names] == [0, 9, 0.5, 0, ["x"]]
    assert "Hm." not in answer.text
    assert answer.usage == Usage(3, 8, 2, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "result"),
    [
        ("length", Result.MAX_TOKENS),
        ("filtered-after-2", Result.FILTERED),
        ("refuse", Result.FILTERED),
        ("no-done", Result.COMPLETE),
        ("tools", Result.TOOL_CALLS),
    ],
)
async def test_ways_an_answer_may_end_well(fake, config, model, result):
    async with opened(config(model, "ok")) as gateway:
        events = await events_of(gateway, Ask("hi"))
    assert ends(events).response.result is result
    assert asked(fake) == [model]
    calls = [event.call for event in events if isinstance(event, ToolCall)]
    assert ends(events).response.tool_calls == tuple(calls)
    assert bool(calls) == (model == "tools")


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.CUT, Fault.RESET])
async def test_what_happens_after_the_finish_does_not_spoil_a_whole_answer(fake, config, fault):
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    fake.script("m", Reply(chunks=["Hi."], insert=[finish, 0.01, fault]))
    async with opened(config("m", limits=QUICK)) as gateway:
        answer = await gateway.ask(Ask("hi"))
    assert (answer.text, answer.result) == ("Hi.", Result.COMPLETE)


@pytest.mark.asyncio
async def test_a_server_that_does_not_stream_is_understood(fake, config):
    async with opened(config("ok")) as gateway:
        fake.script("m", lambda call: call.body.update(stream=False) or Reply())
        answer = await gateway.ask(Ask("hi", models=("lab:m",)))
    assert answer.text == "You said 'hi' in message 1."


@pytest.mark.asyncio
async def test_malformed_chunks_are_passed_over_and_told(fake, config):
    async with opened(config("malformed-2")) as gateway:
        answer = await gateway.ask(Ask("hi"))
    assert answer.text == "You said 'hi' in message 1."
    assert answer.warnings == ("1 malformed chunks of the answer were skipped",)


# -- fallback --------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "outcome", "status"),
    [
        ("fail-429", "PROVIDER_RATE_LIMIT_ERROR", 429),
        ("quota", "PROVIDER_EXCEEDED_QUOTA_ERROR", 429),
        ("fail-500", "PROVIDER_RESPONSE_ERROR", 500),
        ("fail-503", "PROVIDER_RESPONSE_ERROR", 503),
        ("fail-401", "PROVIDER_ACCESS_ERROR", 401),
        ("fail-404", "PROVIDER_MODEL_NOT_FOUND_ERROR", 404),
        ("reset", "PROVIDER_UNREACHABLE_ERROR", None),
        ("cut-0", "PROVIDER_REQUEST_END_ERROR", None),
        ("end-0", "PROVIDER_REQUEST_END_ERROR", None),
        ("empty", "PROVIDER_RESPONSE_NO_CONTENT", None),
        ("hang", "PROVIDER_REQUEST_TIMEOUT_ERROR", None),
        ("stall-first", "PROVIDER_REQUEST_TIMEOUT_ERROR", None),
        ("error-0", "PROVIDER_RESPONSE_ERROR", 500),
    ],
)
async def test_what_fails_before_its_first_word_gives_way_to_the_next(fake, config, model, outcome, status):
    quick = QUICK if outcome == "PROVIDER_REQUEST_TIMEOUT_ERROR" else {}
    async with opened(config(model, "ok", limits=quick)) as gateway:
        events = await events_of(gateway, Ask("hi"))
        states = {state.model: state.state for state in await gateway.models()}
    answer = ends(events).response
    assert (answer.text, answer.model) == ("You said 'hi' in message 1.", "lab:ok")
    assert route(answer.route) == [(model, outcome), ("ok", "ok")]
    assert (answer.route[0].status, answer.route[0].restores_in > 0) == (status, True)
    assert asked(fake) == [model, "ok"]
    assert states == {f"lab:{model}": "cooling", "lab:ok": "ready"}


@pytest.mark.asyncio
@pytest.mark.parametrize("url", [refused_url(), "http://no-such-host.invalid/v1"], ids=["refused", "dns"])
async def test_who_cannot_be_reached_gives_way_and_is_passed_over(fake, config, url):
    away = {"away": {"dialect": "openai", "base_url": url, "api_key": "sk-away-0123456789"}}
    async with opened(config("away:m", "ok", providers=away)) as gateway:
        for outcome in ("PROVIDER_UNREACHABLE_ERROR", "cooling"):
            answer = await gateway.ask(Ask("hi"))
            assert route(answer.route) == [("away:m", outcome), ("ok", "ok")]
            assert url.split("/")[2] not in (answer.route[0].reason or "")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "error"), [("fail-400", RequestRefused), ("fail-422", RequestRefused), ("filtered", ContentFiltered)]
)
async def test_the_requests_own_fault_is_the_requests(fake, config, model, error):
    async with opened(config(model, "ok", limits={"retry": {"max": 3}})) as gateway:
        with pytest.raises(error) as caught:
            await gateway.ask(Ask("hi"))
        states = await gateway.models()
    assert asked(fake) == [model]
    assert route(caught.value.details["route"]) == [(model, error.code)]
    assert {state.state for state in states} == {"ready"}


@pytest.mark.asyncio
async def test_a_conversation_too_long_for_one_model_is_another_models(fake, config, clock):
    async with opened(config("context-too-long", "ok", limits={"retry": {"max": 3}}), clock=clock) as gateway:
        answer = await gateway.ask(Ask("hi"))
        states = await gateway.models()
    assert route(answer.route) == [("context-too-long", "PROVIDER_CONTEXT_LENGTH_ERROR"), ("ok", "ok")]
    assert {state.state for state in states} == {"ready"}
    assert clock.slept == []


@pytest.mark.asyncio
async def test_a_lone_models_error_is_told_as_it_is(fake, config):
    async with opened(config("fail-503")) as gateway:
        with pytest.raises(ProviderFault, match="overloaded") as caught:
            await gateway.ask(Ask("hi"))
    assert route(caught.value.details["route"]) == [("fail-503", "PROVIDER_RESPONSE_ERROR")]


@pytest.mark.asyncio
async def test_where_all_fail_each_is_named(fake, config):
    async with opened(config("fail-503", "empty", "fail-401")) as gateway:
        with pytest.raises(NoModelsAvailable) as caught:
            await gateway.ask(Ask("hi"))
    assert (caught.value.http_status, caught.value.code) == (503, "PROVIDER_NO_MODELS_AVAILABLE_ERROR")
    assert asked(fake) == ["fail-503", "empty", "fail-401"]
    assert [model for model, _ in route(caught.value.details["route"])] == asked(fake)
    assert all(name in caught.value.message for name in asked(fake))
    assert caught.value.retry_after == 5


# -- after the first word --------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("cut-3", "PROVIDER_REQUEST_END_ERROR"),
        ("end-3", "PROVIDER_REQUEST_END_ERROR"),
        ("reset-3", "PROVIDER_REQUEST_END_ERROR"),
        ("silent-3", "PROVIDER_REQUEST_STREAM_TIMEOUT_ERROR"),
        ("error-3", "PROVIDER_RESPONSE_ERROR"),
    ],
)
async def test_an_answer_that_breaks_off_is_never_given_out_as_whole(fake, config, model, code):
    quick = {"timeout": {"stall": "1s"}} if model == "silent-3" else {}
    async with opened(config(model, "ok", limits=quick)) as gateway:
        events = await events_of(gateway, Ask("hi", session_id="s1", create_session=True, on_break="error"))
        (kept,) = await gateway.history("local", "s1")
        states = {state.model: state.state for state in await gateway.models()}
    failed = ends(events)
    assert isinstance(failed, Failed)
    assert (failed.error.code, text_of(events)) == (code, "You said 'hi'")
    assert route(failed.response.route) == [(model, code)]
    assert (kept.status, kept.response, kept.error["code"]) == ("interrupted", "You said 'hi'", code)
    assert (kept.result, kept.model) == (Result.UNKNOWN, f"lab:{model}")
    assert states == {f"lab:{model}": "cooling", "lab:ok": "ready"}
    assert asked(fake) == [model]


@pytest.mark.asyncio
async def test_an_error_in_the_same_read_as_words_does_not_take_them_away(fake, config):
    fake.script("m", Reply.broken({"error": {"message": "busy", "code": 503}}, Fault.END, at=3, split=1 << 20))
    async with opened(config("m", "ok")) as gateway:
        events = await events_of(gateway, Ask("hi", on_break="error"))
    assert (text_of(events), ends(events).error.status) == ("You said 'hi'", 503)


@pytest.mark.asyncio
async def test_a_whole_ask_that_breaks_off_raises_with_its_part(fake, config):
    async with opened(config("cut-3")) as gateway:
        with pytest.raises(WarpError) as caught:
            await gateway.ask(Ask("hi"))
    assert caught.value.details["partial"] == "You said 'hi'"


@pytest.mark.asyncio
async def test_an_answer_without_a_word_is_an_error(fake, config):
    async with opened(config("empty")) as gateway:
        with pytest.raises(NoContent):
            await gateway.ask(Ask("hi"))


# -- which models ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_asker_may_name_the_models(fake, config):
    async with opened(config("ok")) as gateway:
        answer = await gateway.ask(Ask("hi", models=("lab:fail-503", "lab:ok@mine")))
    assert answer.model == "lab:ok@mine"
    assert asked(fake) == ["fail-503", "ok@mine"]


@pytest.mark.asyncio
@pytest.mark.parametrize(("spec", "nearest"), [("lab:okk", None), ("lba:ok", "lab:ok"), ("ook", "lab:ok")])
async def test_a_model_nobody_has_is_named_with_the_nearest(fake, config, spec, nearest):
    async with opened(config("ok", allow=["lab:ok"])) as gateway:
        with pytest.raises(UnknownModel) as caught:
            await gateway.ask(Ask("hi", models=(spec,), session_id="s1", create_session=True))
        assert (await gateway.sessions("local")).sessions == ()
    assert fake.requests == []
    assert (nearest or "lab:ok") in caught.value.details["nearest"]


@pytest.mark.asyncio
async def test_with_no_model_at_all_advice_is_given(tmp_path):
    from warp_magics.gateway.config import load_config

    async with opened(load_config(env={})) as gateway:
        with pytest.raises(NoModelConfigured, match="OPENAI_API_KEY"):
            await gateway.ask(Ask("hi"))
        status = await gateway.status()
    assert (status.configured, status.ok) == (False, False)


@pytest.mark.asyncio
async def test_the_demo_provider_takes_the_same_steps(config):
    async with opened(config("demo:fail-503", "demo:ok")) as gateway:
        answer = await gateway.ask(Ask("hi"))
        assert route(answer.route) == [("demo:fail-503", "PROVIDER_RESPONSE_ERROR"), ("demo:ok", "ok")]
        assert answer.text.startswith("This is the demo provider, not a model. Prompt 1 ")
        events = await events_of(gateway, Ask("hi", models=("demo:cut",)))
        assert isinstance(ends(events), Failed)


# -- what a model is sent --------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(("wanted", "sent", "warned"), [(None, 50, 0), (20, 20, 0), (70, 50, 1)])
async def test_max_tokens_has_a_cap_and_capping_warns(fake, config, wanted, sent, warned):
    async with opened(config("ok", limits={"max_tokens": 50})) as gateway:
        answer = await gateway.ask(Ask("hi", parameters=Parameters(max_tokens=wanted)))
    assert fake.requests[0].body["max_tokens"] == sent
    assert len(answer.warnings) == warned
    assert all("max_tokens was lowered to 50" in warning for warning in answer.warnings)


@pytest.mark.asyncio
async def test_the_oldest_turns_are_left_out_of_a_small_context(fake, config, clock):
    small = [{"provider": "lab", "model": "small", "context_tokens": 130, "limits": {"max_tokens": 20}}]
    history = tuple(Exchange(f"{n}{'x' * 100}", "y" * 100) for n in range(5))
    async with opened(config("small", "ok", model=small), clock=clock) as gateway:
        answer = await gateway.ask(Ask("now?", history=history))
        whole = await gateway.ask(Ask("now?", history=history, models=("lab:ok",)))
    small_call, whole_call = fake.requests
    assert [message["content"][0] for message in small_call.messages] == ["4", "y", "n"]
    assert answer.warnings == ("the oldest 4 turns did not fit into what lab:small was sent",)
    assert len(whole_call.messages) == 11
    assert whole.warnings == ()


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("chain", [("fail-401",), ("fail-403",), ("fail-401", "fail-403"), ("fail-401", "ok")])
async def test_a_key_is_nowhere_even_where_the_provider_echoes_it(fake, config, caplog, chain):
    shown = []
    caplog.set_level(logging.DEBUG)
    async with opened(config(*chain)) as gateway:
        try:
            shown += await events_of(gateway, Ask("hi", session_id="s1", create_session=True))
        except AccessRefused as error:
            shown.append(error)
        except NoModelsAvailable as error:
            shown.append(error)
        shown += [*await gateway.history("local", "s1"), await gateway.models(), await gateway.status(), gateway.config]
    assert fake.requests[0].key == KEY
    whole = [f"{one!r} {one} {getattr(one, 'details', '')} {getattr(one, '__cause__', '')!r}" for one in shown]
    assert KEY not in "".join(whole) + caplog.text + "".join(map(str, caplog.records))
    assert "***" in "".join(whole)
