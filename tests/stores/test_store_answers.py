"""The contract of `stores.shared.Shared` over every back end: answers that are remembered, and what was used."""

import time
from datetime import UTC, datetime

import pytest

from tests.gateway.kit import turn
from warp_magics.gateway.types import Usage, UsageRow

NOW = time.time()
THEN = NOW - 40 * 86400  # in another month
TODAY, THAT_DAY = (datetime.fromtimestamp(when, UTC).date().isoformat() for when in (NOW, THEN))
USED = Usage(10, 5, 2, 1)


@pytest.mark.asyncio
async def test_one_makes_an_answer_and_the_others_get_it(backend):
    store = backend.store
    assert [await store.recall("ann", "d1", holder, 30.0) for holder in ("a", "b", "a")] == ["lead", "wait", "lead"]
    await store.remember("ann", "d1", "a", b"said", 60.0)
    assert [await store.recall("ann", "d1", holder, 30.0) for holder in ("a", "b")] == [b"said", b"said"]
    assert await store.recall("bob", "d1", "b", 30.0) == "lead"
    assert await store.recall("ann", "d2", "b", 30.0) == "lead"


@pytest.mark.asyncio
async def test_a_lead_is_passed_on_and_ends_by_itself(backend):
    store = backend.store
    await store.recall("ann", "d1", "a", 30.0)
    await store.pass_on("ann", "d1", "b")
    assert await store.recall("ann", "d1", "b", 30.0) == "wait"
    await store.pass_on("ann", "d1", "a")
    assert await store.recall("ann", "d1", "b", 0.3) == "lead"

    async def lead():
        return await store.recall("ann", "d1", "c", 30.0) == "lead"

    await backend.when(lead, 0.3)


@pytest.mark.asyncio
async def test_what_is_remembered_is_forgotten_in_time(backend):
    await backend.store.remember("ann", "d1", "a", b"said", 0.3)
    assert await backend.store.recall("ann", "d1", "b", 30.0) == b"said"

    async def forgotten():
        return await backend.store.recall("ann", "d1", "b", 30.0) == "lead"

    await backend.when(forgotten, 0.3)


@pytest.mark.asyncio
async def test_what_was_used_is_counted_by_model_and_by_day_and_each_turn_once(backend):
    months = [
        turn(1, model="lab:a b", usage=USED, cost=0.5, started_at=THEN),
        turn(2, model="lab:b", usage=USED, cost=0.25, started_at=THEN),
        turn(3, model="lab:b", usage=USED, started_at=NOW),
    ]
    for one in (*months, *months):
        await backend.store.count("ann", one)
    await backend.store.count("bob", months[0])
    twice = Usage(20, 10, 4, 2)
    assert list(await backend.store.counted("ann", "model")) == [
        UsageRow("lab:a b", 1, USED, pytest.approx(0.5)),
        UsageRow("lab:b", 2, twice, pytest.approx(0.25), 1),
    ]
    assert list(await backend.store.counted("ann", "day")) == [
        UsageRow(TODAY, 1, USED, None, 1),
        UsageRow(THAT_DAY, 2, twice, pytest.approx(0.75)),
    ]
    assert list(await backend.store.counted("eve", "day")) == []
