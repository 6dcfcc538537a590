"""Several real Valkeys that know of each other: a cluster, and a primary with a replica that a sentinel watches.

`with running_cluster() as cluster: cluster.urls`, `with running_sentinel() as watched: watched.primary.kill()`.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.fakes.valkey_server import Server, _free_port, server_binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BINARY = server_binaries().get("valkey")
SLOTS = 16384
NODE_TIMEOUT = 2000  # milliseconds after which a silent node is thought dead
DOWN_AFTER = 1000  # the same of a sentinel


class Node(Server):
    """A server with more settings; one more process than `Server` knows is nothing to it."""

    def __init__(self, folder: str, *settings: str) -> None:
        Path(folder).mkdir()
        super().__init__(BINARY, folder, None, durable=True)
        self.settings = settings

    def start(self, within: float = 20) -> None:
        command = [self.binary, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder, "--save", ""]
        command += ["--appendonly", "yes", "--repl-diskless-sync-delay", "0", *self.settings]
        self._run(command, within)

    def _run(self, command: list[str], within: float) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self.answers, within, f"{command} did not start")

    def ask(self, *command: Any) -> Any:
        """The reply to a command, within a second."""
        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=self.port, socket_timeout=1, retry=once, protocol=2, decode_responses=True) as client:
            return client.execute_command(*command)

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError):  # a sentinel knows no QUIT, so ours is not the other way
            return bool(self.ask("PING"))
        return False

    def role(self) -> str:
        """`master`, `slave`, or nothing where it does not answer."""
        try:
            return self.ask("ROLE")[0]
        except (redis.RedisError, OSError):
            return ""

    def follows(self) -> bool:
        """Whether it is a replica that has what its primary has."""
        return self.role() == "slave" and self.ask("ROLE")[3] == "connected"


class Cluster:
    """Its nodes: the primaries of the start first, then their replicas."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.urls = [node.url for node in nodes]

    def primary_of(self, key: str) -> Node:
        """The node that answers for `key` now, as the others see it."""
        slot = key_slot(key.encode())
        for first, last, primary, *_ in self._slots():
            if first <= slot <= last:
                return self.at(primary[1])
        raise LookupError(key)

    def replica_of(self, node: Node) -> Node:
        for _, _, primary, *replicas in self._slots():
            if primary[1] == node.port and replicas:
                return self.at(replicas[0][1])
        raise LookupError(node.port)

    def at(self, port: int) -> Node:
        return next(node for node in self.nodes if node.port == port)

    def keys(self, name: str = "key") -> Iterator[str]:
        """Keys whose tag is on the first of the primaries, on the second, and so on."""
        for first, last, *_ in sorted(self._slots()):
            yield next(f"{{{n}}}:{name}" for n in range(SLOTS) if first <= key_slot(b"%d" % n) <= last)

    def wait_until_ok(self, within: float = 30) -> None:
        """Until all that run agree that all is well, each replica that runs follows, and each knows of all."""
        until(lambda: all(self._fine(node) for node in self.nodes if node._process), within, "no cluster came about")

    def failover(self, key: str) -> Node:
        """As an operator does it: the replica takes over; return it when all know."""
        replica = self.replica_of(self.primary_of(key))
        replica.ask("CLUSTER", "FAILOVER")
        until(lambda: self.primary_of(key) is replica and replica.role() == "master", 30, "no failover")
        self.wait_until_ok()
        return replica

    def _slots(self) -> list[Any]:
        for node in self.nodes:
            with contextlib.suppress(redis.RedisError, OSError):
                found = node.ask("CLUSTER", "SLOTS")
                if "cluster_state:ok" in node.ask("CLUSTER", "INFO"):
                    return found
        raise RuntimeError("no node says that all is well")

    def _fine(self, node: Node) -> bool:
        try:
            said = ("cluster_state:ok", f"cluster_known_nodes:{len(self.nodes)}", f"cluster_slots_ok:{SLOTS}")
            fine = set(said) <= set(node.ask("CLUSTER", "INFO").split())
            known = {one[1] for _, _, *ones in node.ask("CLUSTER", "SLOTS") for one in ones}
            whole = known >= {one.port for one in self.nodes if one._process}
            return fine and whole and (node.role() == "master" or node.follows())
        except (redis.RedisError, OSError):
            return False


@contextlib.contextmanager
def running_cluster(primaries: int = 3, replicas: int = 1, *, whole: bool = False) -> Iterator[Cluster]:
    """A cluster of new nodes; `whole`: none answers while some slots have no node, which is a Valkey's default."""
    with tempfile.TemporaryDirectory(prefix="warp-cluster-") as top, contextlib.ExitStack() as running:
        nodes = []
        for n in range(primaries * (1 + replicas)):
            bus = ("--cluster-enabled", "yes", "--cluster-port", str(_free_port()), "--appendfsync", "everysec")
            coverage = ("--cluster-require-full-coverage", "yes" if whole else "no")
            node = Node(f"{top}/{n}", *bus, *coverage, "--cluster-node-timeout", str(NODE_TIMEOUT))
            running.callback(node.kill)
            node.start()
            nodes.append(node)
        cluster = Cluster(nodes)
        _join(nodes, primaries)
        cluster.wait_until_ok()
        yield cluster


def _join(nodes: list[Node], primaries: int) -> None:
    share = SLOTS / primaries
    for n, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)  # else they quarrel about it first
        if n < primaries:
            node.ask("CLUSTER", "ADDSLOTSRANGE", round(n * share), round((n + 1) * share) - 1)
        if n:
            bus = nodes[0].settings[nodes[0].settings.index("--cluster-port") + 1]
            node.ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus)
    ids = [node.ask("CLUSTER", "MYID") for node in nodes]
    for n, node in enumerate(nodes[primaries:]):
        primary = ids[n % primaries]
        until(lambda node=node, primary=primary: _replicates(node, primary), 20, "the nodes did not meet")


def _replicates(node: Node, primary: str) -> bool:
    try:
        return bool(node.ask("CLUSTER", "REPLICATE", primary))
    except redis.ResponseError:  # it does not know that one yet
        return False


class Sentinel(Node):
    """A sentinel; only its port and its conf file make it one."""

    def start(self, within: float = 20) -> None:
        self._run([self.binary, f"{self.folder}/sentinel.conf", "--sentinel"], within)


class Watched:
    """A primary called `name`, a replica and the sentinels that watch them."""

    def __init__(self, name: str, servers: list[Node], sentinels: list[Sentinel]) -> None:
        self.name, self.servers, self.sentinels = name, servers, sentinels
        self.hosts = [f"127.0.0.1:{sentinel.port}" for sentinel in sentinels]

    @property
    def primary(self) -> Node:
        """Whom the first sentinel that answers names, once that one is indeed a primary."""
        found: list[Node] = []

        def named() -> bool:
            for sentinel in self.sentinels:
                with contextlib.suppress(redis.RedisError, OSError):
                    _, port = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
                    found[:] = [node for node in self.servers if node.port == int(port)]
                    return found[0].role() == "master"
            return False

        until(named, 30, "no sentinel names a primary")
        return found[0]

    def failover(self, old: Node) -> Node:
        """Wait until another is the primary, and return it."""
        until(lambda: self.primary is not old, 40, "no failover")
        return self.primary


@contextlib.contextmanager
def running_sentinel(sentinels: int = 1) -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="warp-sentinel-") as top, contextlib.ExitStack() as running:
        servers = [Node(f"{top}/{n}", "--appendfsync", "everysec") for n in range(2)]
        watchers = [Sentinel(f"{top}/sentinel{n}") for n in range(sentinels)]
        watched = Watched("main", servers, watchers)
        for server in servers:
            running.callback(server.kill)
            server.start()
        servers[1].ask("REPLICAOF", "127.0.0.1", servers[0].port)
        until(servers[1].follows, 20, "the replica does not follow")
        for sentinel in watchers:  # now, for they look for replicas only every ten seconds
            running.callback(sentinel.kill)
            _write_conf(sentinel, watched, servers[0].port)
            sentinel.start()
        for sentinel in watchers:
            until(lambda it=sentinel: _knows_replica(it, watched.name), 30, "the sentinel knows of no replica")
        yield watched


def _write_conf(sentinel: Sentinel, watched: Watched, primary: int) -> None:
    quorum = len(watched.sentinels) // 2 + 1
    lines = (
        f"port {sentinel.port}",
        "bind 127.0.0.1",
        f"dir {sentinel.folder}",
        f"sentinel monitor {watched.name} 127.0.0.1 {primary} {quorum}",
        f"sentinel down-after-milliseconds {watched.name} {DOWN_AFTER}",
        f"sentinel failover-timeout {watched.name} 3000",
    )
    Path(sentinel.folder, "sentinel.conf").write_text("\n".join(lines) + "\n")


def _knows_replica(sentinel: Sentinel, name: str) -> bool:
    replicas = sentinel.ask("SENTINEL", "REPLICAS", name)
    return bool(replicas) and "ok" in str(replicas)


def until(seen: Callable[[], bool], within: float, otherwise: str) -> None:
    """Look again and again; raise AssertionError after `within` seconds."""
    end = time.monotonic() + within
    while not seen():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)
