"""What instances know together of the models: cooldowns that grow, one probe at a time, tokens, and what is told of it."""

import asyncio
import contextlib
import socket
import threading
import time

import aiohttp
import pytest

from tests.fakes.provider import Reply
from tests.fakes.replies import named
from tests.gateway.kit import instances, opened, route, until
from warp_magics.gateway.errors import (
    ConnectTimeout,
    ContentFiltered,
    ContextTooLong,
    ProviderFault,
    RequestRefused,
    TotalTimeout,
)
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.types import ChatRequest as Ask

HI = Ask("hi", store=False)


async def states(gateway):
    return {state.model.removeprefix("lab:"): state for state in await gateway.models()}


# -- cooldowns -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_length_that_nobody_set_doubles_from_outage_to_outage_up_to_the_default(fake, config, clock):
    lengths = []
    async with opened(config("fail-503", "ok"), clock=clock) as gateway:
        for _ in range(6):
            answer = await gateway.ask(HI)
            lengths.append(answer.route[0].restores_in)
            clock.now += lengths[-1]
    assert lengths == [5, 10, 20, 40, 60, 60]


@pytest.mark.asyncio
async def test_an_answer_between_two_outages_begins_them_anew(fake, config, clock):
    fake.script("m", Reply.failing(503), Reply.failing(503), Reply(), Reply.failing(503))
    lengths = []
    async with opened(config("m", "ok"), clock=clock) as gateway:
        for _ in range(4):
            answer = await gateway.ask(HI)
            lengths.append(answer.route[0].restores_in)
            clock.now += 30
    assert lengths == [5, 10, None, 5]


@pytest.mark.asyncio
async def test_a_length_that_somebody_set_is_the_length(fake, config, clock):
    own = [{"provider": "lab", "model": "fail-500", "restore": {"provider_error": "7s"}}]
    settings = config("fail-503", "fail-500", "ok", restore={"provider_error": "40s"}, model=own)
    async with opened(settings, clock=clock) as gateway:
        for _ in range(3):
            answer = await gateway.ask(HI)
            assert [attempt.restores_in for attempt in answer.route] == [40, 7, None]
            clock.now += 41


# -- probes ----------------------------------------------------------------------------------------


@pytest.fixture
def failed_once(fake):
    """A model that has failed; what it says next waits for the event."""
    held = asyncio.Event()
    fake.script("m", Reply.failing(503), Reply(before=[held]))
    return held


@pytest.mark.asyncio
async def test_one_probes_and_the_others_go_on_with_another_model(fake, config, clock, failed_once):
    store, settings = MemoryStore(clock), config("m", "ok")
    async with opened(settings, store, clock) as one, opened(settings, store, clock) as other:
        await one.ask(HI)
        clock.now += 5.1
        assert (await states(other))["m"].state == "probing"
        probing = asyncio.create_task(one.ask(HI))
        await fake.until(lambda: len(fake.calls("m")) == 2)
        for gateway in (one, other, other):
            passed = await gateway.ask(HI)
            assert route(passed.route) == [("m", "probing"), ("ok", "ok")]
        assert len(fake.calls("m")) == 2
        failed_once.set()
        assert (await probing).model == "lab:m"
        assert (await states(other))["m"].state == "ready"
        assert (await other.ask(HI)).model == "lab:m"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_of_many_at_once_over_two_instances_and_a_valkey_one_probes(fake, config, server, here):
    held = asyncio.Event()
    fake.script("m", Reply.failing(503), Reply(before=[held]))
    settings = config("m", "ok", restore={"provider_error": "300ms"})
    async with instances(settings, server.url, **here) as gateways:
        await gateways[0].ask(HI)

        async def due():
            return (await states(gateways[1]))["m"].state == "probing"

        await until(due)
        asking = [asyncio.create_task(gateways[at % 2].ask(HI)) for at in range(20)]
        await until(lambda: sum(task.done() for task in asking) == 19)
        held.set()
        answers = [await task for task in asking]
    assert sorted(answer.model for answer in answers) == ["lab:m"] + ["lab:ok"] * 19
    assert len(fake.calls("m")) == 2


@pytest.mark.asyncio
async def test_a_probe_that_is_stopped_is_the_next_ones(fake, config, clock):
    fake.script("m", Reply.failing(503), Reply(before=[asyncio.Event()]), Reply())
    async with opened(config("m", "ok"), clock=clock) as gateway:
        await gateway.ask(HI)
        clock.now += 5.1
        probing = asyncio.create_task(gateway.ask(HI))
        await fake.until(lambda: len(fake.calls("m")) == 2)
        probing.cancel()
        await asyncio.wait({probing})
        await fake.until(lambda: fake.disconnects)
        assert (await gateway.ask(HI)).model == "lab:m"


@pytest.mark.asyncio
@pytest.mark.parametrize("says", ["fail-400", "filtered"])
async def test_a_probe_that_says_nothing_of_the_models_health_is_the_next_ones(fake, config, clock, says):
    fake.script("m", Reply.failing(503), *named(says).entries, Reply())
    async with opened(config("m", "ok"), clock=clock) as gateway:
        await gateway.ask(HI)
        clock.now += 5.1
        with pytest.raises(Exception, match=r"Invalid value|filtered"):
            await gateway.ask(HI)
        assert (await gateway.ask(HI)).model == "lab:m"


@pytest.mark.asyncio
async def test_a_model_without_others_is_asked_whoever_probes_it(fake, config, clock, failed_once):
    async with opened(config("m"), clock=clock) as gateway:
        with pytest.raises(ProviderFault):
            await gateway.ask(HI)
        clock.now += 5.1
        asking = [asyncio.create_task(gateway.ask(HI)) for _ in range(3)]
        await fake.until(lambda: len(fake.calls("m")) == 4)
        failed_once.set()
        assert {(await task).model for task in asking} == {"lab:m"}


@pytest.mark.asyncio
async def test_when_all_others_have_failed_who_was_passed_over_is_asked_after_all(fake, config, clock):
    fake.script("a", Reply.failing(503), Reply())
    fake.script("b", Reply(), Reply.failing(503))
    async with opened(config("a", "b"), clock=clock) as gateway:
        assert (await gateway.ask(HI)).model == "lab:b"
        answer = await gateway.ask(HI)
    assert route(answer.route) == [("a", "cooling"), ("b", "PROVIDER_RESPONSE_ERROR"), ("a", "ok")]


# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "words"), [("fail-401", "Incorrect API key"), ("fail-403", "no access"), ("fail-404", "does not exist")]
)
async def test_what_only_a_person_can_mend_is_told(fake, config, clock, model, words):
    async with opened(config(model, "ok"), clock=clock) as gateway:
        (warning,) = (await gateway.ask(HI)).warnings
        assert (await states(gateway))[model].state == "cooling"
    assert warning.startswith(f"lab:{model}: ")
    assert words in warning
    assert warning.endswith("; it is passed over for 5 s")


@pytest.mark.asyncio
@pytest.mark.parametrize("model", ["fail-400", "fail-413", "fail-422", "filtered", "context-too-long"])
async def test_the_callers_fault_touches_no_models_health(fake, config, model):
    async with opened(config(model, "ok", limits={"retry": {"max": 3, "interval": "1ms"}})) as gateway:
        with contextlib.suppress(RequestRefused, ContentFiltered):
            assert (await gateway.ask(HI)).model == "lab:ok"
        assert {state.state for state in await gateway.models()} == {"ready"}
    assert len(fake.calls(model)) == 1


@pytest.mark.asyncio
async def test_a_refused_request_is_not_anothers(fake, config):
    async with opened(config("fail-400", "ok")) as gateway:
        with pytest.raises(RequestRefused):
            await gateway.ask(HI)
    assert not fake.calls("ok")


@pytest.mark.asyncio
async def test_a_time_out_of_the_whole_and_a_stop_leave_their_route(fake, config):
    async with opened(config("fail-503", "hang")) as gateway:
        with pytest.raises(TotalTimeout) as caught:
            await gateway.ask(Ask("hi", timeout=1, session_id="s1", create_session=True))
        stopping = asyncio.create_task(gateway.ask(Ask("hi", session_id="s1", turn_id="t2", models=("lab:hang",))))
        await fake.until(lambda: len(fake.calls("hang")) == 2)
        await gateway.stop("local", "t2")
        await stopping
        late, stopped = await gateway.history("local", "s1")
    outcomes = [("fail-503", "PROVIDER_RESPONSE_ERROR"), ("hang", TotalTimeout.code)]
    assert route(late.route) == route(caught.value.details["route"]) == outcomes
    assert route(stopped.route) == [("hang", "stopped")]


# -- conversations that are too long ---------------------------------------------------------------


def takes(most):
    """A model that takes so many messages."""

    def reply(call):
        return (
            Reply() if len(call.messages) <= most else Reply.failing(400, "Too long.", code="context_length_exceeded")
        )

    return reply


async def talk(gateway, prompts=4):
    for at in range(prompts):
        await gateway.ask(Ask(f"p{at}", session_id="s1", create_session=True, models=("lab:ok",)))


@pytest.mark.asyncio
async def test_a_conversation_too_long_for_one_model_is_the_next_ones(fake, config):
    fake.script("small", takes(3))
    async with opened(config("small", "ok", limits={"retry": {"max": 3}})) as gateway:
        await talk(gateway)
        answer = await gateway.ask(Ask("hi", session_id="s1"))
    assert route(answer.route) == [("small", "PROVIDER_CONTEXT_LENGTH_ERROR"), ("ok", "ok")]
    assert answer.warnings == ()


@pytest.mark.asyncio
async def test_where_no_other_is_left_the_older_half_is_left_out_once(fake, config):
    fake.script("small", takes(5))
    async with opened(config("small", "fail-503")) as gateway:
        await talk(gateway)
        answer = await gateway.ask(Ask("hi", session_id="s1"))
        kept = await gateway.history("local", "s1")
    assert [name for name, _ in route(answer.route)] == ["small", "fail-503", "small"]
    assert answer.warnings == ("the older half of the conversation was left out: lab:small finds it too long",)
    sent = [text["content"] for text in fake.calls("small")[-1].messages if text["role"] == "user"]
    assert (sent, len(kept)) == (["p2", "p3", "hi"], 5)


@pytest.mark.asyncio
@pytest.mark.parametrize(("turns", "calls"), [(0, 1), (1, 2), (4, 2)])
async def test_what_is_too_long_even_so_is_the_callers_error(fake, config, turns, calls):
    fake.script("small", takes(0))
    async with opened(config("small")) as gateway:
        await talk(gateway, turns)
        with pytest.raises(ContextTooLong) as caught:
            await gateway.ask(Ask("hi", session_id="s1", create_session=True))
        assert (await states(gateway))["small"].state == "ready"
    assert (caught.value.http_status, len(fake.calls("small"))) == (400, calls)


@pytest.mark.asyncio
async def test_of_what_was_sent_the_half_is_left_out_and_what_is_only_shown_counts_for_nothing(fake, config):
    fake.script("small", takes(1))
    small = [{"provider": "lab", "model": "small", "context_tokens": 1024 + 45}]
    async with opened(config("small", model=small)) as gateway:
        await talk(gateway)
        with pytest.raises(RequestRefused):
            await gateway.ask(Ask("x", session_id="s1", models=("lab:fail-400",)))
        with pytest.raises(ContextTooLong):
            await gateway.ask(Ask("hi", session_id="s1"))
        sent = [[text["content"] for text in call.messages[::2]] for call in fake.calls("small")]
        assert sent == [["p2", "p3", "hi"], ["p3", "hi"]]
        with pytest.raises(RequestRefused):
            await gateway.ask(Ask("x", session_id="s2", create_session=True, models=("lab:fail-400",)))
        fake.reset()
        fake.script("small", takes(0))
        with pytest.raises(ContextTooLong):
            await gateway.ask(Ask("hi", session_id="s2"))
    assert len(fake.calls("small")) == 1


@pytest.mark.asyncio
async def test_too_long_for_all_is_the_callers_error_too(fake, config):
    async with opened(config("context-too-long", "context-too-long@b")) as gateway:
        with pytest.raises(ContextTooLong):
            await gateway.ask(HI)


# -- time-outs -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_name_that_is_not_found_in_time_is_a_connection_not_made_in_time(fake, config, monkeypatch):
    found, known = threading.Event(), socket.getaddrinfo

    def look_up(host, *more, **named):
        if host == "slow.test":
            found.wait(30)
        return known("127.0.0.1" if host == "slow.test" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", aiohttp.ThreadedResolver)  # also where aiodns is installed
    away = {"away": {"dialect": "openai", "base_url": "http://slow.test:9/v1"}}
    try:
        async with opened(config("away:m", "ok", providers=away, limits={"timeout": {"connect": "300ms"}})) as gateway:
            began = time.monotonic()
            answer = await gateway.ask(HI)
            assert time.monotonic() - began < 3
    finally:
        found.set()
    assert route(answer.route) == [("away:m", ConnectTimeout.code), ("ok", "ok")]


@pytest.mark.asyncio
async def test_a_name_that_nobody_has_gives_way(fake, config):
    away = {"away": {"dialect": "openai", "base_url": "http://nosuch.invalid/v1"}}
    async with opened(config("away:m", "ok", providers=away)) as gateway:
        answer = await gateway.ask(HI)
        assert (await states(gateway))["away:m"].state == "cooling"
    assert route(answer.route) == [("away:m", "PROVIDER_UNREACHABLE_ERROR"), ("ok", "ok")]


@pytest.mark.asyncio
async def test_who_speaks_no_tls_gives_way(fake, config):
    away = {"away": {"dialect": "openai", "base_url": f"https://127.0.0.1:{fake.port}/v1"}}
    async with opened(config("away:m", "ok", providers=away)) as gateway:
        answer = await gateway.ask(HI)
        assert (await states(gateway))["away:m"].state == "cooling"
    assert route(answer.route) == [("away:m", "PROVIDER_UNREACHABLE_ERROR"), ("ok", "ok")]


@pytest.mark.asyncio
async def test_a_chains_model_without_a_key_is_passed_over_and_told(fake, config):
    settings = config("deepseek:deepseek-chat", "ok")
    assert "models: deepseek:deepseek-chat is passed over: deepseek has no key" in "\n".join(settings.warnings)
    async with opened(settings) as gateway:
        assert (await gateway.ask(HI)).model == "lab:ok"
