"""LocalGateway over the store its configuration names, and the long way of an answer that holds its session."""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import events_of, opened, said, until, valkey
from warp_magics.gateway import turns
from warp_magics.gateway.errors import InvalidRequest, StoreUnavailable
from warp_magics.gateway.local import open_store
from warp_magics.gateway.stores.embedded import EmbeddedServer
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Result, SessionKey

SERVERS = server_binaries()
needs_server = pytest.mark.skipif(not SERVERS, reason="this machine has no server to start")


def ask(prompt, **fields):
    return Ask(prompt, session_id="s1", **{"create_session": True, **fields})


@pytest.fixture
def top(monkeypatch):
    top = Path(tempfile.mkdtemp(prefix="w", dir="/tmp")).resolve()
    monkeypatch.setenv("WARP_RUN_DIR", str(top / "run"))
    monkeypatch.setenv("WARP_DATA_DIR", str(top / "data"))
    yield top
    with contextlib.suppress(StoreUnavailable):  # where a test has spoilt the places
        EmbeddedServer().stop()
    shutil.rmtree(top, ignore_errors=True)


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no embedded server on Windows")
async def test_two_gateways_share_the_embedded_store_out_of_the_box(fake, config, top):
    settings = config("ok", storage={})
    async with opened(settings, open_store(settings.storage)) as one:
        async with opened(settings, open_store(settings.storage)) as other:
            await one.ask(ask("a"))
            assert (await other.ask(ask("b", create_session=False))).stream_id == "s1~2"
            status = await other.status()
            assert (status.ok, status.storage["type"], status.config_file) == (True, "embedded", str(settings.source))
        assert [turn.prompt for turn in await one.history("local", "s1")] == ["a", "b"]
    assert [content for _, content in said(fake.requests[1].messages)][::2] == ["a", "b"]


@pytest.mark.asyncio
@pytest.mark.slow
@needs_server
async def test_a_store_by_url_is_the_one_the_configuration_names(fake, config):
    with running_server(next(iter(SERVERS.values())), password="sesame") as server:
        url = server.url.replace("redis://", "valkey://")
        settings = config("ok", storage={"type": "valkey", "url": url, "prefix": "lab"})
        async with opened(settings, open_store(settings.storage)) as gateway:
            await gateway.ask(ask("a"))
        store = valkey(server.url, prefix="lab")
        assert len(await store.turns(SessionKey("local", "s1"))) == 1
        await store.aclose()


@pytest.mark.asyncio
async def test_memory_is_a_store_too_and_a_limit_is_at_least_one(config):
    settings = config("ok")
    store = open_store(settings.storage)
    assert isinstance(store, MemoryStore)
    async with opened(settings, store) as gateway:
        with pytest.raises(InvalidRequest):
            await gateway.sessions("local", limit=0)


# -- a session is held as long as its answer takes -------------------------------------------------


class Counting(MemoryStore):
    """A store that remembers what became of each renewal, and whose clock moves on by most of a lease at each."""

    def __init__(self):
        self.now = 1_000_000.0
        super().__init__(lambda: self.now)
        self.renewed = []

    async def renew(self, hold, lives):
        self.renewed.append(await super().renew(hold, lives))
        self.now += 0.9 * lives.lease
        return self.renewed[-1]


@pytest.mark.asyncio
async def test_a_long_answer_keeps_its_session_over_many_leases(fake, config, monkeypatch):
    monkeypatch.setattr(turns, "LEASE_SECONDS", 0.15)
    store = Counting()
    async with opened(config("silent-2", "ok"), store) as gateway:
        first = asyncio.create_task(gateway.ask(ask("a")))
        await until(lambda: fake.requests)
        second = asyncio.create_task(gateway.ask(ask("b", models=("lab:ok",))))
        await until(lambda: len(store.renewed) >= 8)
        assert len(fake.requests) == 1
        fake.release()
        assert [(await one).stream_id for one in (first, second)] == ["s1~1", "s1~2"]
    assert set(store.renewed) == {"held"}
    assert len(fake.requests[1].messages) == 3


@pytest.mark.asyncio
@pytest.mark.slow
@needs_server
async def test_a_lease_that_another_took_meanwhile_is_said_at_the_end(fake, config, monkeypatch, caplog):
    monkeypatch.setattr(turns, "LEASE_SECONDS", 0.3)
    with running_server(next(iter(SERVERS.values()))) as server:
        store = valkey(server.url)
        async with opened(config("silent-2"), store) as gateway:
            answering = asyncio.create_task(gateway.ask(ask("a")))
            await until(lambda: fake.requests)
            async with client_of(server.url) as client:  # as if all its renewals had been lost
                await until(lambda: client.exists("warp:1:{local/s1}:stream:1"))  # its first words are logged
                await client.hset("warp:1:{local/s1}:draft", "holder", "somebody else")
                await client.delete("warp:1:{local/s1}:lock")
            async with opened(config("ok"), valkey(server.url)) as other:
                assert (await other.ask(ask("b"))).stream_id == "s1~2"
            await until(lambda: "lease_lost" in caplog.text)
            fake.release()
            answer = await answering
            kept = await gateway.history("local", "s1")
    assert [(one.prompt, one.status) for one in kept] == [("a", "interrupted"), ("b", "complete")]
    assert (answer.text, answer.result) == ("You said 'a' in message 1.", Result.COMPLETE)
    assert answer.warnings == ("the turn could not be stored: The session 's1' went on without this turn.",)


class Unsound(MemoryStore):
    """A store with a bug of its own: no StoreUnavailable, but whatever Python says."""

    async def append(self, *_, **__):
        raise RuntimeError("sk-secret")

    async def begin(self, key, *given, **fields):
        if key.id == "broken":
            raise RuntimeError("sk-secret")
        return await super().begin(key, *given, **fields)


@pytest.mark.asyncio
@pytest.mark.parametrize("session_id", ["broken", "s1"])
async def test_a_fault_of_ours_is_an_error_and_hangs_nobody(fake, config, session_id):
    async with opened(config("ok"), Unsound()) as gateway, asyncio.timeout(5):
        with pytest.raises(Exception, match="The gateway failed") as caught:
            await events_of(gateway, Ask("hi", session_id=session_id, create_session=True))
    assert "sk-secret" not in str(caught.value)
    assert not isinstance(caught.value, StoreUnavailable)
