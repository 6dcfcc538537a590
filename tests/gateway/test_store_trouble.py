"""A store that is away, freezes, dies and comes back: every prompt is answered, in time, and says what it lacks.

A dead store may cost a prompt one call at its start and a second at its end; the tests allow ten times that.
"""

import asyncio
import contextlib
import logging

import pytest

from tests.fakes.provider import Reply
from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import ends, events_of, opened, route, said, until, valkey, words
from warp_magics.gateway.errors import StoreUnavailable
from warp_magics.gateway.local import open_store
from warp_magics.gateway.stores.valkey.link import CALL_SECONDS
from warp_magics.gateway.turns import STORE_SECONDS
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Ended, Text

BINARY = next(iter(server_binaries().values()), None)
pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="this machine has no server to start"),
]
WITHOUT = "storage unavailable, answered without history"
PROMISE = CALL_SECONDS + STORE_SECONDS


def ask(prompt, **fields):
    return Ask(prompt, session_id="s1", **{"create_session": True, **fields})


async def in_time(doing):
    async with asyncio.timeout(10 * PROMISE):
        return await doing


async def stateless(gateway, prompt="hi"):
    """Ask and see that it is answered without history, and that this is said."""
    events = await in_time(events_of(gateway, ask(prompt)))
    start, end = events[0], ends(events)
    assert isinstance(end, Ended)
    assert end.response.text == f"You said {prompt!r} in message 1."
    assert end.response.warnings == start.warnings == (WITHOUT,)
    assert end.response.session_status == start.session_status == "stateless"
    assert (end.response.session_id, end.response.stream_id) == ("s1", None)


async def with_history(gateway, prompt="back"):
    """Ask until history is there again, which it is by itself."""

    async def told():
        answer = await in_time(gateway.ask(ask(prompt, models=("lab:ok",))))
        return answer if answer.session_status is None else None

    answer = await until(told, within=5)
    assert answer.warnings == ()
    return answer


@contextlib.contextmanager
def proxied():
    with running_server(BINARY, password="sesame") as server, StoreProxy(server.url) as proxy:
        proxy.url = proxy.url.replace("//", "//:sesame@")
        yield proxy


@pytest.fixture(scope="module")
def shared():
    with proxied() as proxy:
        yield proxy


@pytest.fixture
def proxy(shared):
    shared.back()
    shared.drop()
    yield shared
    shared.back()


AWAY = {
    "refuses": lambda proxy: proxy.refuse(),
    "is frozen": lambda proxy: proxy.freeze(),
    "is deaf": lambda proxy: proxy.freeze(replies_only=True),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("how", AWAY)
async def test_away_from_the_start_and_back_by_itself(fake, config, proxy, how, caplog):
    caplog.set_level(logging.DEBUG)
    AWAY[how](proxy)
    async with opened(config("ok"), valkey(proxy.url, prefix=how)) as gateway:
        await stateless(gateway)
        status = await in_time(gateway.status())
        assert not status.ok
        assert status.reasons[0].startswith("storage: The store ")
        assert (status.storage["reachable"], status.storage["type"]) == (False, "valkey")
        with pytest.raises(StoreUnavailable):
            await in_time(gateway.history("local", "s1"))
        await stateless(gateway, "again")
        proxy.back()
        await with_history(gateway, "a")
        answer = await with_history(gateway, "b")
        assert said(fake.requests[-1].messages)[0] == ("user", "a")
        assert answer.text == "You said 'b' in message 3."
        assert (await gateway.status()).ok
    assert "sesame" not in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize("how", AWAY)
async def test_away_between_two_turns(fake, config, proxy, how):
    """Where only the answer was lost, the store holds the session for that turn until it is given back."""
    async with opened(config("ok"), valkey(proxy.url, prefix=f"between {how}")) as gateway:
        first = await gateway.ask(ask("a"))
        AWAY[how](proxy)
        await stateless(gateway, "b")
        proxy.back()
        await with_history(gateway, "c")
        kept = [turn.prompt for turn in await gateway.history("local", "s1")]
    assert (kept[0], kept[-1]) == ("a", "c")
    assert "b" not in kept
    assert said(fake.requests[-1].messages)[:2] == [("user", "a"), ("assistant", first.text)]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", AWAY)
async def test_away_in_mid_answer(fake, config, proxy, how):
    """The answer is not lost; whether its turn is, is said; a turn that gets through late is there once."""
    async with opened(config("silent-2", "ok"), valkey(proxy.url, prefix=f"mid {how}")) as gateway:
        events = gateway.stream(ask("a"))
        seen = [await anext(events), await anext(events)]
        AWAY[how](proxy)
        fake.release()
        seen += await in_time(_rest(events))
        end = ends(seen)
        assert end.response.text == "You said 'a' in message 1."
        assert [warning for warning in end.response.warnings if "the turn could not be stored" in warning]
        proxy.back()
        kept = await until(lambda: _history(gateway))
        assert [turn.response for turn in kept] == [end.response.text]
        await with_history(gateway, "b")
        assert [turn.prompt for turn in await gateway.history("local", "s1")] == ["a", "b"]


async def _rest(events):
    return [event async for event in events]


async def _history(gateway):
    with contextlib.suppress(StoreUnavailable):
        return await gateway.history("local", "s1")


@pytest.mark.asyncio
async def test_a_dead_store_costs_the_prompts_after_the_first_nothing(fake, config, proxy):
    proxy.freeze()
    async with opened(config("ok"), valkey(proxy.url, clock=lambda: 0.0)) as gateway:
        await stateless(gateway)
        async with asyncio.timeout(CALL_SECONDS):
            await asyncio.gather(*(stateless(gateway, f"p{n}") for n in range(10)))


@pytest.mark.asyncio
async def test_cooldowns_and_windows_hold_while_the_store_is_away(fake, config, proxy):
    proxy.refuse()
    limited = [{"provider": "lab", "model": "b", "limits": {"rate": {"max": 1, "time_window": "1m"}}}]
    async with opened(config("fail-503", "b", "ok", model=limited), valkey(proxy.url)) as gateway:
        answers = [await gateway.ask(Ask("hi")) for _ in range(2)]
        assert {state.model: state.state for state in await gateway.models()}["lab:fail-503"] == "cooling"
    assert route(answers[0].route) == [("fail-503", "PROVIDER_RESPONSE_ERROR"), ("b", "ok")]
    assert route(answers[1].route) == [("fail-503", "cooling"), ("b", "RATE_LIMIT_EXCEEDED"), ("ok", "ok")]
    assert [answer.session_id for answer in answers] == [None, None]


@pytest.mark.asyncio
async def test_a_server_that_is_stopped_by_a_signal_wakes_up_again(fake, config):
    with running_server(BINARY) as server:
        async with opened(config("ok"), valkey(server.url)) as gateway:
            await gateway.ask(ask("a"))
            server.freeze()
            await stateless(gateway, "b")
            await asyncio.sleep(0.3)  # as long as it is frozen beyond what was waited for it
            server.thaw()  # and what it finds in its inbox came too late
            await with_history(gateway, "c")
            kept = [turn.prompt for turn in await gateway.history("local", "s1")]
    assert kept == ["a", "c"]


@pytest.mark.asyncio
async def test_a_durable_server_killed_in_mid_answer_and_restarted_has_the_turn(fake, config):
    with running_server(BINARY, durable=True) as server:
        async with opened(config("silent-2", "ok"), valkey(server.url)) as gateway:
            events = gateway.stream(ask("a"))
            seen = await words(events, 2)  # logged, then; what is on its way when it dies would be said to be not
            await asyncio.to_thread(server.restart)
            fake.release()
            end = ends(seen + await in_time(_rest(events)))
            assert end.response.text == "You said 'a' in message 1."
            assert end.response.warnings == ()
            await with_history(gateway, "b")
            assert [turn.prompt for turn in await gateway.history("local", "s1")] == ["a", "b"]


@pytest.mark.asyncio
async def test_a_server_that_lost_everything_starts_again(fake, config):
    with running_server(BINARY) as server:
        async with opened(config("silent-2", "ok"), valkey(server.url)) as gateway:
            events = gateway.stream(ask("a"))
            seen = await words(events, 2)  # logged, then; what is on its way when it dies would be said to be not
            await asyncio.to_thread(server.restart)
            fake.release()
            end = ends(seen + await in_time(_rest(events))).response
            assert end.text == "You said 'a' in message 1."
            assert end.warnings[-1] == "the turn could not be stored: The session 's1' went on without this turn."
            answer = await with_history(gateway, "b")
            assert answer.stream_id == "s1~1"


@pytest.mark.asyncio
async def test_a_wrong_password_is_trouble_like_any_other(fake, config, caplog):
    caplog.set_level(logging.DEBUG)
    with running_server(BINARY, password="sesame") as server:
        storage = {"type": "valkey", "url": server.url.replace("sesame", "mumbling")}
        settings = config("ok", storage=storage)
        async with opened(settings, open_store(settings.storage)) as gateway:
            await stateless(gateway)
            status = await gateway.status()
    assert status.reasons == (
        "storage: The store refused the user name or password (storage.url in the configuration).",
    )
    assert "mumbling" not in caplog.text + repr(status) + repr(settings)


@pytest.mark.asyncio
async def test_a_slow_store_is_slow_and_no_more(fake, config, proxy):
    fake.script("m", Reply(chunks=["x"]))
    proxy.delay = 0.05
    try:
        async with opened(config("m"), valkey(proxy.url, prefix="slow")) as gateway:
            events = await in_time(events_of(gateway, ask("a")))
            assert ends(events).response.warnings == ()
            assert [event.text for event in events if isinstance(event, Text)] == ["x"]
            assert len(await gateway.history("local", "s1")) == 1
    finally:
        proxy.delay = 0.0
