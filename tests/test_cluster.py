"""Three gateways over a cluster of Valkeys, and nothing that ties a conversation to one of them."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos.measure import interrupted
from tests.chaos.run import history
from tests.chaos.talk import Asked, Conversation, Gateways, Seen, follow, read
from tests.chaos.verdict import judge
from tests.chaos.world import CALM, running_world
from tests.fakes.valkey_cluster import BINARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.world import World

pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="there is no Valkey that can be a cluster"),
]

ROUND = 6  # turns, each through the next gateway
NOTICED = 15.0  # seconds within which a dead gateway's readers are told: lease, grace, a look, and a busy machine
WITHIN = 30.0


class OneAfterTheOther(Gateways):
    """Each request goes to the next instance."""

    def __init__(self, world: World) -> None:
        super().__init__([place.url for place in world.gateways], world.token, random.Random(0))
        self.next = itertools.cycle(self.urls)

    def any(self) -> str:
        return next(self.next)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("cluster")) as world:
        yield world


@pytest.mark.asyncio
async def test_a_conversation_moves_from_gateway_to_gateway_and_outlives_a_gateway_and_a_primary(world: World) -> None:
    gateways = OneAfterTheOther(world)
    talk = Conversation("moving", gateways, 0)
    try:
        for _ in range(ROUND):
            await turn_in_pieces(talk)
        await gateway_killed_in_mid_answer(world, talk)
        await turn_in_pieces(talk)
        await primary_killed_in_mid_answer(world, talk)
        await turn_in_pieces(talk)

        turns = await history(gateways, talk.name)
    finally:
        await gateways.http.close()
    verdict = judge([talk], {talk.name: turns}, [call.messages for call in world.fake.requests])
    assert verdict.clean, verdict.faults
    assert [turn["turnId"] for turn in turns] == [asked.turn_id for asked in talk.asked]
    assert [turn["status"] for turn in turns] == [*["complete"] * ROUND, "interrupted", *["complete"] * 3]
    assert [asked.acknowledged for asked in talk.asked[:ROUND]] == [True] * ROUND


def next_turn(talk: Conversation) -> Asked:
    number = len(talk.asked) + 1
    talk.asked.append(Asked(talk.name, f"{talk.name} says {number}", f"{talk.name}-{number}"))
    return talk.asked[-1]


async def begun(talk: Conversation, *, events: int) -> Asked:
    """Ask, and leave after so many events of the answer."""
    asked = next_turn(talk)
    async with asyncio.timeout(WITHIN), talk.gateways.asking(asked) as response:
        assert response.status == 200, await response.text()
        await read(response, asked.seen, events)
    assert asked.seen.end is None, "it ended too soon"
    return asked


async def turn_in_pieces(talk: Conversation) -> None:
    """A turn whose reader is cut off twice and goes on elsewhere, and one who reads it all at the third instance."""
    asked, whole = await begun(talk, events=4), Seen()
    whole.stream = asked.seen.stream
    async with asyncio.timeout(WITHIN):
        reading = asyncio.create_task(follow(talk.gateways, whole))
        async with talk.gateways.following(asked.seen) as response:
            await read(response, asked.seen, 4)
        await follow(talk.gateways, asked.seen)
        await reading
    talk.followers.append(whole)
    assert asked.acknowledged, asked.seen.end
    assert list(asked.seen.events.items()) == list(whole.events.items())


async def gateway_killed_in_mid_answer(world: World, talk: Conversation) -> None:
    """Readers elsewhere are told, what had come is kept, and the next turn goes on from it."""
    asked = await begun(talk, events=5)
    number = next(n for n, place in enumerate(world.gateways) if place.url == asked.sent_to[-1])
    world.gateways[number].process.kill()
    async with asyncio.timeout(NOTICED):
        await follow(talk.gateways, asked.seen)
    assert interrupted(asked.seen), asked.seen.end
    assert asked.seen.end is not None
    assert asked.seen.end[1]["partial"].startswith(asked.seen.text)
    port = world.gateways[number].process.port
    world.gateways[number].running.close()
    world.gateways[number] = world.start(number, port)


async def primary_killed_in_mid_answer(world: World, talk: Conversation) -> None:
    """Both its asker and a reader elsewhere get it whole, and it is stored once there is a primary again."""
    asked, elsewhere = await begun(talk, events=5), Seen()
    elsewhere.stream = asked.seen.stream
    talk.followers.append(elsewhere)
    primary = world.cluster.primary_of(f"warp:1:{{local/{talk.name}}}:meta")
    primary.kill()
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(follow(talk.gateways, asked.seen), follow(talk.gateways, elsewhere))
    assert asked.seen.end is not None
    assert asked.seen.end[0] == "end", asked.seen.end
    assert elsewhere.text == asked.seen.text == asked.seen.end[1]["response"]["text"]
    primary.start()
    await asyncio.to_thread(world.cluster.wait_until_ok, CALM)
