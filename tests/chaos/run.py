"""One run: talk, break things, calm down, judge."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .measure import measure
from .talk import Conversation, Gateways
from .verdict import judge
from .world import CALM, running_world

if TYPE_CHECKING:
    from pathlib import Path

    from .measure import Times
    from .verdict import Verdict
    from .world import World


@dataclass(frozen=True)
class Plan:
    """Seconds of trouble, how many conversations, the longest pause between two prompts, and between two faults."""

    seconds: float
    conversations: int
    pause: float = 1.0
    rest: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of it; `healed` holds the seconds that each fail-over took."""

    verdict: Verdict
    times: Times
    happened: Counter[str]
    healed: list[float]
    seconds: float


def run(plan: Plan, folder: Path) -> Outcome:
    """Do it all; about half a minute more than the plan's seconds."""
    with running_world(folder) as world:
        return asyncio.run(_run(plan, world))


async def _run(plan: Plan, world: World) -> Outcome:
    began, chance = time.monotonic(), random.Random(plan.seed)
    gateways = Gateways([place.url for place in world.gateways], world.token, chance)
    over = asyncio.Event()
    talks = [Conversation(f"c{n}", gateways, plan.pause) for n in range(plan.conversations)]
    talking = [asyncio.create_task(one.talk(over)) for one in talks]
    try:
        await world.havoc(chance, began + plan.seconds, plan.rest)
        await asyncio.to_thread(world.cluster.wait_until_ok, CALM)
        over.set()
        await asyncio.gather(*talking)
        histories = {one.name: await history(gateways, one.name) for one in talks}
    finally:
        for task in talking:
            task.cancel()
        await gateways.http.close()
    verdict = judge(talks, histories, [call.messages for call in world.fake.requests])
    seconds = time.monotonic() - began
    return Outcome(
        verdict, measure(talks, world.faults), Counter(fault.kind for fault in world.faults), world.healed, seconds
    )


async def history(gateways: Gateways, session: str) -> list[dict[str, object]]:
    """The session's turns once nothing is being made any more, the same from whichever gateway."""
    async with asyncio.timeout(CALM):
        while True:
            said = await gateways.json(f"sessions/{session}")
            if said.get("liveStreamId", "") is None:
                first, second = [await gateways.json(f"sessions/{session}/history") for _ in range(2)]
                if first == second and "turns" in first:
                    return first["turns"]
            elif said.get("status") == 404:  # never reached a store
                return []
            await asyncio.sleep(0.3)
