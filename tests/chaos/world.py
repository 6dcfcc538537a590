"""Three gateways over a cluster of six nodes, a provider, and what befalls them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.provider import FakeProvider, Reply
from tests.fakes.valkey_cluster import running_cluster
from tests.server.alone_process import running_alone

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.fakes.replies import Call
    from tests.fakes.valkey_cluster import Cluster, Node
    from tests.server.alone_process import AloneProcess

KEY = "sk-chaos-0123456789-uvwxyz"
CALM = 40.0  # seconds within which a cluster is whole again after one fault


@dataclass
class Place:
    """One gateway's folder and port, which outlive its processes."""

    folder: Path
    running: contextlib.ExitStack
    process: AloneProcess

    @property
    def url(self) -> str:
        return self.process.url


@dataclass(frozen=True)
class Fault:
    """What befell them from when until when (monotonic): a gateway by its URL, or a node by its slots."""

    kind: str
    began: float
    over: float
    url: str = ""
    slots: range = range(0)


@dataclass
class World:
    """All of it; `healed` holds the seconds that each fail-over took."""

    folder: Path
    fake: FakeProvider
    cluster: Cluster
    token: str
    env: dict[str, str]
    gateways: list[Place] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    healed: list[float] = field(default_factory=list)
    struck: range = range(0)
    """The slots of the node that was struck last."""

    def start(self, number: int, port: int = 0) -> Place:
        """Start a gateway; with a port, where one was before."""
        folder, running = self.folder / f"gateway{number}", contextlib.ExitStack()
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(self.token)
        (folder / "token").chmod(0o600)
        return Place(folder, running, running.enter_context(running_alone(folder, self.env, port=port)))

    def close(self) -> None:
        for place in self.gateways:
            place.running.close()

    # -- what befalls them -------------------------------------------------------------------------

    async def kill_a_gateway(self, chance: random.Random) -> str:
        number = chance.randrange(len(self.gateways))
        place = self.gateways[number]
        await asyncio.to_thread(place.process.kill)
        await asyncio.sleep(chance.uniform(0.5, 3))
        await asyncio.to_thread(place.running.close)
        self.gateways[number] = await asyncio.to_thread(self.start, number, place.process.port)
        return place.url

    async def kill_a_primary(self, chance: random.Random) -> None:
        node, began = self._a_primary(chance), time.monotonic()
        await asyncio.to_thread(node.kill)
        await self._taken_over(node)
        self.healed.append(time.monotonic() - began)
        await asyncio.to_thread(node.start)

    async def stop_a_replica(self, chance: random.Random) -> None:
        node = self.cluster.replica_of(self._a_primary(chance))
        await asyncio.to_thread(node.stop)
        await asyncio.sleep(chance.uniform(1, 3))
        await asyncio.to_thread(node.start)

    async def freeze_a_primary(self, chance: random.Random) -> None:
        """For longer than the others have patience: its replica takes over, and it wakes up as one of the past."""
        node = self._a_primary(chance)
        node.freeze()
        try:
            await asyncio.sleep(chance.uniform(3, 8))
        finally:
            node.thaw()

    async def freeze_a_primary_shortly(self, chance: random.Random) -> None:
        node = self._a_primary(chance)
        node.freeze()
        try:
            await asyncio.sleep(chance.uniform(0.3, 1.2))
        finally:
            node.thaw()

    def _a_primary(self, chance: random.Random) -> Node:
        node = chance.choice([node for node in self.cluster.nodes if node.role() == "master"])
        shares = node.ask("CLUSTER", "SLOTS")
        self.struck = next(range(first, last + 1) for first, last, primary, *_ in shares if primary[1] == node.port)
        return node

    async def _taken_over(self, node: Node) -> None:
        async with asyncio.timeout(CALM):
            while not await asyncio.to_thread(self._whole_without, node):  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.1)

    def _whole_without(self, node: Node) -> bool:
        masters = [one for one in self.cluster.nodes if one is not node and one.role() == "master"]
        return len(masters) == len(self.cluster.nodes) // 2 and all(
            "cluster_state:ok" in one.ask("CLUSTER", "INFO") for one in masters
        )

    async def havoc(self, chance: random.Random, until: float, rest: float) -> None:
        """One fault after the other until that time; the cluster is whole again before the next."""
        kinds: list[Callable[[random.Random], Awaitable[str | None]]] = [
            self.kill_a_gateway,
            self.kill_a_primary,
            self.freeze_a_primary_shortly,
            self.kill_a_gateway,
            self.freeze_a_primary,
            self.stop_a_replica,
        ]
        for befall in itertools.cycle(kinds):
            began = time.monotonic()
            if began >= until:
                return
            self.struck = range(0)
            url = await befall(chance) or ""
            await asyncio.to_thread(self.cluster.wait_until_ok, CALM)
            self.faults.append(Fault(befall.__name__.replace("_", " "), began, time.monotonic(), url, self.struck))
            await asyncio.sleep(chance.uniform(0, rest))


def answer(call: Call) -> Reply:
    """Words that name the prompt and how many messages came with it, slowly enough to be broken off."""
    prompt = call.messages[-1]["content"]
    words = [f"{prompt} ", "of ", f"{len(call.messages)} ", *(f"{n} " for n in range(12)), "end."]
    return Reply(chunks=words, delay=0.08)


@contextlib.contextmanager
def running_world(folder: Path, gateways: int = 3) -> Iterator[World]:
    """Start everything; all ends with this."""
    with FakeProvider.in_thread() as fake, running_cluster() as cluster:
        fake.script("talk", answer)
        config = folder / "warp.toml"
        config.write_text(
            f'models = ["lab:talk"]\n[providers.lab]\ndialect = "openai"\nbase_url = "{fake.base_url}"\n'
            f'api_key = "{KEY}"\n[limits]\nrate = {{ max = 100000, time_window = "1s" }}\n'
            f'[storage]\nurl = "{cluster.urls[0]}"\ncluster = true\nwait_replicas = 1\n'
        )
        env = {"WARP_CONFIG": str(config), "JUPYTER_CONFIG_DIR": str(folder / "jupyter")}
        world = World(folder, fake, cluster, "chaos-token-0123456789abcdef", env)
        try:
            for number in range(gateways):
                world.gateways.append(world.start(number))
            yield world
        finally:
            world.close()
