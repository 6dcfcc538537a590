"""Retries, cooldowns, own limits and time-outs."""

import contextlib
import socket
import time

import pytest

from tests.fakes.provider import Reply
from tests.gateway.kit import Clock, ends, events_of, opened, route
from warp_magics.gateway.errors import (
    AccessRefused,
    ConnectTimeout,
    FirstTokenTimeout,
    NoModelsAvailable,
    OwnLimit,
    ProviderError,
    ProviderFault,
    RateLimited,
    StreamStalled,
    TotalTimeout,
)
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.types import ChatRequest as Ask

HI = Ask("hi", store=False)


def retries(most, interval="1s", **more):
    return {"retry": {"max": most, "interval": interval}, **more}


# -- retries ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "most", "pauses"),
    [
        ("fail-503", 0, []),
        ("fail-503", 1, [0.5]),
        ("fail-503", 3, [0.5, 1.0, 2.0]),
        ("empty", 1, [0.5]),
        ("reset", 1, [0.5]),
        ("cut-0", 1, [0.5]),
        ("fail-429-retry-after-3", 2, [3.0, 3.0]),
        ("fail-429-retry-after-5", 1, [5.0]),
        ("fail-429-retry-after-6", 9, []),
        ("fail-503-retry-after-120", 9, []),
        ("fail-401", 9, []),
        ("fail-404", 9, []),
        ("quota", 9, []),
    ],
)
async def test_how_often_and_after_what_pause_a_model_is_asked_again(fake, config, clock, model, most, pauses):  # noqa: PLR0917
    async with opened(config(model, "ok", limits=retries(most)), clock=clock) as gateway:
        answer = await gateway.ask(HI)
    tries = len(pauses) + 1
    assert (answer.model, len(fake.calls(model)), clock.slept) == ("lab:ok", tries, pauses)
    assert [name for name, _ in route(answer.route)] == [model] * tries + ["ok"]


@pytest.mark.asyncio
async def test_a_retry_that_answers_leaves_the_model_in_health(fake, config, clock):
    async with opened(config("fail-503-once", "ok", limits=retries(1)), clock=clock) as gateway:
        answer = await gateway.ask(HI)
        states = await gateway.models()
    assert route(answer.route) == [("fail-503-once", "PROVIDER_RESPONSE_ERROR"), ("fail-503-once", "ok")]
    assert {state.state for state in states} == {"ready"}


@pytest.mark.asyncio
async def test_a_date_to_try_again_is_read_by_the_answers_own_date(fake, config, clock):
    dates = {"Date": "Mon, 23 Nov 2026 20:00:00 GMT", "Retry-After": "Mon, 23 Nov 2026 20:02:00 GMT"}
    fake.script("m", Reply.failing(429, headers=dates))
    async with opened(config("m", limits=retries(1)), clock=clock) as gateway:
        with pytest.raises(RateLimited) as caught:
            await gateway.ask(HI)
        (state,) = await gateway.models()
    assert caught.value.retry_after == 120
    assert (state.restores_in, len(fake.requests)) == (pytest.approx(120), 1)


# -- cooldown --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_failed_model_is_passed_over_by_all_who_share_the_store_until_it_is_restored(fake, config, clock):
    settings, store = config("flap", "ok", restore={"provider_error": "30s"}), MemoryStore(clock)
    async with opened(settings, store, clock) as one, opened(settings, store, clock) as other:
        assert (await one.ask(HI)).model == "lab:ok"
        clock.now += 29.9
        passed = await other.ask(HI)
        assert route(passed.route) == [("flap", "cooling"), ("ok", "ok")]
        assert (passed.route[0].reason, passed.route[0].restores_in) == ("503", pytest.approx(0.1))
        assert not (await other.status()).ok
        clock.now += 0.2
        assert route((await other.ask(HI)).route) == [("flap", "ok")]
        assert (await one.status()).ok
    assert len(fake.calls("flap")) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "seconds"),
    [("fail-429", 11), ("fail-503", 12), ("quota", 13), ("hang", 14), ("fail-503-retry-after-90", 90)],
)
async def test_each_failure_has_its_own_restore(fake, config, clock, model, seconds):
    restore = {"rate_limit": 11, "provider_error": 12, "quota": 13, "timeout": 14}
    limits = {"timeout": {"first_token": "500ms"}}
    async with opened(config(model, "ok", limits=limits, restore=restore), clock=clock) as gateway:
        await gateway.ask(HI)
        states = {state.model: state.restores_in for state in await gateway.models()}
    assert states == {f"lab:{model}": pytest.approx(seconds), "lab:ok": None}


@pytest.mark.asyncio
async def test_the_last_hope_is_asked_although_it_rests_and_an_answer_restores_it(fake, config, clock):
    fake.script("a", Reply.failing(503), Reply.failing(503), Reply())
    fake.script("b", Reply.failing(503))
    async with opened(config("a", "b", restore={"provider_error": 30}), clock=clock) as gateway:
        with pytest.raises(NoModelsAvailable):
            await gateway.ask(HI)
        clock.now += 1
        with pytest.raises(NoModelsAvailable) as caught:
            await gateway.ask(HI)
        assert route(caught.value.details["route"]) == [("b", "cooling"), ("a", "PROVIDER_RESPONSE_ERROR")]
        fake.script("b", Reply())
        assert (await gateway.ask(HI)).model == "lab:b"
        states = {state.model: state.state for state in await gateway.models()}
        assert states == {"lab:a": "cooling", "lab:b": "ready"}


@pytest.mark.asyncio
async def test_before_the_time_a_provider_named_nobody_is_asked(fake, config, clock):
    async with opened(config("fail-429-retry-after-90"), clock=clock) as gateway:
        with pytest.raises(RateLimited):
            await gateway.ask(HI)
        clock.now += 30
        with pytest.raises(NoModelsAvailable) as caught:
            await gateway.ask(HI)
        assert (caught.value.http_status, caught.value.retry_after) == (503, pytest.approx(60))
        assert len(fake.requests) == 1
        clock.now += 60.1
        with pytest.raises(RateLimited):
            await gateway.ask(HI)


@pytest.mark.asyncio
async def test_a_model_with_a_wrong_key_rests_too(fake, config, clock):
    async with opened(config("fail-401"), clock=clock) as gateway:
        with pytest.raises(AccessRefused):
            await gateway.ask(HI)
        assert (await gateway.models())[0].state == "cooling"


# -- own limits ------------------------------------------------------------------------------------


def rate(most, seconds):
    return {"rate": {"max": most, "time_window": seconds}}


@pytest.mark.asyncio
async def test_a_full_window_means_the_next_model_and_cools_nobody(fake, config, clock):
    limited = [{"provider": "lab", "model": "a", "limits": rate(2, 60)}]
    async with opened(config("a", "ok", model=limited), clock=clock) as gateway:
        answers = [await gateway.ask(HI) for _ in range(3)]
        state, _ = await gateway.models()
        assert [answer.model for answer in answers] == ["lab:a", "lab:a", "lab:ok"]
        assert route(answers[2].route) == [("a", "RATE_LIMIT_EXCEEDED"), ("ok", "ok")]
        assert (state.state, state.left) == ("ready", 0)
        clock.now += 60
        assert (await gateway.ask(HI)).model == "lab:a"
    assert clock.slept == []


@pytest.mark.asyncio
async def test_a_lone_model_with_a_full_window_is_429_with_the_time_to_wait(fake, config, clock):
    async with opened(config("ok", limits={**rate(1, 60), **retries(5)}), clock=clock) as gateway:
        await gateway.ask(HI)
        clock.now += 20
        with pytest.raises(OwnLimit) as caught:
            await gateway.ask(HI)
        assert (caught.value.http_status, caught.value.retry_after) == (429, pytest.approx(40))
        clock.now += caught.value.retry_after + 0.01
        await gateway.ask(HI)
    assert len(fake.requests) == 2


@pytest.mark.asyncio
async def test_a_providers_window_is_over_all_its_models(fake, config, clock):
    providers = {"lab": {"dialect": "openai", "base_url": fake.base_url, "limits": rate(2, 60)}}
    async with opened(config("a", "b", providers=providers), clock=clock) as gateway:
        await gateway.ask(HI)
        await gateway.ask(Ask("hi", models=("lab:b",)))
        with pytest.raises(OwnLimit) as caught:
            await gateway.ask(HI)
    assert caught.value.retry_after == pytest.approx(60, abs=1)
    assert [call.model for call in fake.requests] == ["a", "b"]


# -- time-outs -------------------------------------------------------------------------------------


@contextlib.contextmanager
def full_backlog():
    """The address of one who listens and lets nobody in: its queue is full, and the kernel drops who knocks."""
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            knocking = stack.enter_context(socket.socket())
            knocking.settimeout(0)
            knocking.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


@pytest.mark.asyncio
@pytest.mark.parametrize(("given", "error"), [({"connect": "200ms"}, ConnectTimeout)])
async def test_a_connection_that_is_not_accepted(fake, config, given, error):
    with full_backlog() as url:
        away = {"away": {"dialect": "openai", "base_url": url}}
        began = time.monotonic()
        async with opened(config("away:m", "ok", providers=away, limits={"timeout": given})) as gateway:
            answer = await gateway.ask(HI)
        assert route(answer.route) == [("away:m", error.code), ("ok", "ok")]
        assert 0.2 <= time.monotonic() - began < 2


TIMEOUTS = {"connect": "5s", "first_token": "10s", "stall": "10s", "total": "10s"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("chain", "named", "error"),
    [
        (("hang", "fail-400"), "first_token", FirstTokenTimeout),
        (("stall-first", "fail-400"), "first_token", FirstTokenTimeout),
        (("silent-0", "fail-400"), "first_token", FirstTokenTimeout),
        (("late-9", "fail-400"), "first_token", FirstTokenTimeout),
        (("silent-1",), "stall", StreamStalled),
        (("hang",), "total", TotalTimeout),
        (("silent-1",), "total", TotalTimeout),
        (("slow-0.05",), "total", TotalTimeout),
    ],
)
async def test_each_time_out_fires_in_time_and_cancels_the_call(fake, config, chain, named, error):
    async with opened(config(*chain, limits={"timeout": {**TIMEOUTS, named: "200ms"}})) as gateway:
        await gateway.ask(Ask("hi", store=False, models=("lab:ok",)))  # who is warm is in time for the fake to see
        began = time.monotonic()
        try:
            last = (await events_of(gateway, Ask("hi", store=False, on_break="error")))[-1].error
        except ProviderError as raised:
            last = raised
        assert 0.19 <= time.monotonic() - began < 3
        await fake.until(lambda: [call.model for call in fake.disconnects] == [chain[0]])
    tried = [one.outcome for one in last.details.get("route", ())] or [last.code]
    assert tried[0] == error.code


@pytest.mark.asyncio
async def test_the_askers_own_time_holds_where_it_is_shorter(fake, config):
    async with opened(config("hang", limits={"timeout": TIMEOUTS})) as gateway:
        with pytest.raises(TotalTimeout, match="longer than") as caught:
            await gateway.ask(Ask("hi", timeout=0.1))
        assert caught.value.http_status == 504
        assert {state.state for state in await gateway.models()} == {"ready"}


@pytest.mark.asyncio
async def test_words_and_thoughts_are_life_and_a_slow_answer_is_no_dead_one(fake, config):
    fake.script("m", Reply(reasoning=["a", "b"], chunks=[0.2, "x", 0.2, "y", 0.2, "z"]))
    limits = {"timeout": {**TIMEOUTS, "first_token": "350ms", "stall": "350ms"}}
    async with opened(config("m", limits=limits)) as gateway:
        assert (await gateway.ask(HI)).text == "xyz"


@pytest.mark.asyncio
async def test_pings_are_not_life(fake, config):
    fake.script("m", Reply(chunks=["x", *[b": ping\n\n", 0.05] * 100]))
    async with opened(config("m", limits={"timeout": {**TIMEOUTS, "stall": "150ms"}})) as gateway:
        failed = ends(await events_of(gateway, HI))
    assert isinstance(failed.error, StreamStalled)


@pytest.mark.asyncio
async def test_a_time_out_of_the_first_token_counts_from_when_it_was_asked(fake, config):
    """Headers in time do not give a second term."""
    fake.script("m", Reply(before=[0.2], opening=[0.2]))
    limits = {"timeout": {**TIMEOUTS, "first_token": "300ms"}}
    async with opened(config("m", "ok", limits=limits), clock=Clock()) as gateway:
        assert route((await gateway.ask(HI)).route) == [("m", "PROVIDER_REQUEST_TIMEOUT_ERROR"), ("ok", "ok")]


@pytest.mark.asyncio
async def test_an_error_whose_body_breaks_off_is_known_by_its_status(config):
    import asyncio

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 400 Bad Request\r\ncontent-length: 500\r\n\r\n{"err')
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        away = {"away": {"dialect": "openai", "base_url": f"http://127.0.0.1:{port}/v1"}}
        async with opened(config("away:m", "ok", providers=away)) as gateway:
            with pytest.raises(Exception, match="err") as caught:
                await gateway.ask(HI)
    assert (caught.value.code, caught.value.status) == ("PROVIDER_REQUEST_ERROR", 400)


@pytest.mark.asyncio
async def test_a_provider_that_speaks_no_event_stream_gives_way(fake, config):
    fake.script("m", Reply(opening=[b"<html>" * 10 + b"\n\n"], chunks=[], finish="", done=False, insert=[b""]))
    async with opened(config("fail-503", "m", "ok")) as gateway:
        with pytest.raises(ProviderFault):
            await gateway.ask(Ask("hi", models=("lab:fail-503",)))
        assert (await gateway.ask(HI)).model == "lab:ok"
