"""The contract of `stores.base.Store`, verb by verb, over every back end: models and windows."""

import math

import pytest

from tests.gateway.kit import Clock
from tests.stores.backends import A, B, C
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.stores.shared import Room
from warp_magics.gateway.types import Cooldown, Model, Window


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def memory_store(clock):
    return MemoryStore(clock)


@pytest.mark.asyncio
async def test_of_two_deadlines_the_later_one_holds(backend):
    assert await backend.store.cooling([A, B]) == {}
    assert await backend.store.cooling([]) == {}
    for seconds, reason in ((10.0, "429"), (60.0, "503"), (5.0, "500")):
        await backend.store.cool(A, Cooldown(seconds, reason, named=seconds == 60.0))
    found = await backend.store.cooling([A, B, C])
    assert list(found) == [A]
    assert found[A] == Cooldown(pytest.approx(60.0, abs=2), "503", named=True)
    await backend.store.cool(A, Cooldown(90.0, "500"))
    assert (await backend.store.cooling([A]))[A].named is False
    await backend.store.restore(A)
    await backend.store.restore(B)
    assert await backend.store.cooling([A]) == {}


@pytest.mark.asyncio
async def test_once_its_time_has_come_one_probes_a_model_until_it_is_known_how_it_is(backend):
    store = backend.store
    assert await store.probe(A, "one", 30.0)  # it has not failed
    await store.cool(A, Cooldown(0.05, "503"))
    await store.cool(B, Cooldown(0.0, "503"))
    assert list(await store.cooling([A, B])) == [A]
    assert not await store.probe(A, "one", 30.0)

    async def due():
        return (await store.cooling([A]))[A].seconds == 0

    await backend.when(due, 0.05)
    assert (await store.cooling([A]))[A] == Cooldown(0.0, "503")
    assert [await store.probe(A, holder, 30.0) for holder in ("one", "two", "one")] == [True, False, True]
    assert (await store.cooling([A]))[A].probing
    await store.leave(A, "two")
    assert not await store.probe(A, "two", 30.0)
    await store.leave(A, "one")
    assert not (await store.cooling([A]))[A].probing
    assert await store.probe(A, "two", 30.0)
    await store.restore(A)
    assert await store.cooling([A]) == {}
    assert [await store.probe(A, holder, 30.0) for holder in ("one", "two")] == [True, True]


@pytest.mark.asyncio
async def test_a_probe_whose_holder_died_is_anothers_once_its_lease_has_ended(backend):
    store = backend.store
    await store.cool(A, Cooldown(0.01, "503"))

    async def probed():
        return await store.probe(A, "one", 0.3)

    await backend.when(probed, 0.01)
    assert not await store.probe(A, "two", 30.0)

    async def taken_over():
        return await store.probe(A, "two", 30.0)

    await backend.when(taken_over, 0.3)


@pytest.mark.asyncio
async def test_a_failed_probe_ends_and_cools_anew(backend):
    store = backend.store
    await store.cool(A, Cooldown(0.01, "503"))

    async def probed():
        return await store.probe(A, "one", 30.0)

    await backend.when(probed, 0.01)
    assert await store.cool(A, Cooldown(60.0, "500")) == pytest.approx(60.0, abs=1)
    assert (await store.cooling([A]))[A] == Cooldown(pytest.approx(60.0, abs=2), "500")


@pytest.mark.asyncio
async def test_a_cooldown_that_nobody_set_grows_from_failure_to_failure(memory_store, clock):
    store, lengths = memory_store, []
    for _ in range(5):
        lengths += [await store.cool(A, Cooldown(60.0, "503"), grows=True) for _ in range(2)]
        clock.now += lengths[-1]
    assert lengths == [5.0, 5.0, 10.0, 10.0, 20.0, 20.0, 40.0, 40.0, 60.0, 60.0]
    await store.restore(A)
    assert await store.cool(A, Cooldown(60.0, "503"), grows=True) == 5.0


@pytest.mark.asyncio
async def test_a_cooldown_begins_small_and_failures_during_it_are_of_the_same_outage(backend):
    lengths = [await backend.store.cool(A, Cooldown(60.0, "503"), grows=True) for _ in range(4)]
    assert lengths == [pytest.approx(5.0, abs=1)] * 4


@pytest.mark.asyncio
async def test_a_measured_pace_is_a_mean_that_forgets(backend):
    assert await backend.store.paces([A, B]) == {}
    for seconds in (1.0, 2.0):
        await backend.store.pace(A, seconds)
    (pace,) = (await backend.store.paces([A, B])).values()
    assert (pace.first_token, pace.age) == (pytest.approx(1.3), pytest.approx(0, abs=2))


@pytest.mark.asyncio
async def test_a_counter_counts_for_all_who_ask(backend):
    assert [await backend.store.tick(name) for name in ("x", "x", "y", "x")] == [0, 1, 0, 2]


@pytest.mark.asyncio
async def test_exactly_as_many_requests_pass_as_the_window_has(backend):
    windows = {"model": Window(3, 60.0)}
    assert await backend.store.room(A, windows) == await backend.store.room(A, windows)
    assert [(await backend.store.take(A, windows, f"h{n}")).left for n in range(3)] == [2, 1, 0]
    for refused in (await backend.store.take(A, windows, "h4"), await backend.store.room(A, windows)):
        assert (refused.left, refused.wait) == (0, pytest.approx(60.0, abs=2))
    assert (await backend.store.take(A, {}, "h5")).wait == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("order", [("model", "provider"), ("provider", "model")])
async def test_a_request_is_taken_from_both_windows_or_from_neither(backend, order):
    both = {"model": Window(2, 60.0), "provider": Window(3, 60.0)}
    windows = {name: both[name] for name in order}
    assert [(await backend.store.take(A, windows, f"a{n}")).wait > 0 for n in range(5)] == [0, 0, 1, 1, 1]
    assert (await backend.store.room(B, windows)).left == 1
    assert [(await backend.store.take(B, windows, f"b{n}")).wait > 0 for n in range(3)] == [0, 1, 1]
    assert (await backend.store.room(B, {"model": both["model"]})).left == 1


@pytest.mark.asyncio
async def test_tokens_are_reserved_and_what_was_not_used_is_given_back(backend):
    store, windows = backend.store, {"model": Window(9, 60.0), "model_tokens": Window(100, 60.0)}
    assert (await store.take(A, windows, "h1", 70)) == Room(8, 0.0, 30)
    assert (await store.take(A, windows, "h1", 70)).tokens_left == 30  # told twice is taken once
    refused = await store.take(A, windows, "h2", 31)
    assert (refused.left, refused.tokens_left, refused.wait) == (8, 30, pytest.approx(60.0, abs=2))
    await store.spent(A, windows, "h1", 20)
    assert (await store.take(A, windows, "h2", 80)) == Room(7, 0.0, 0)
    await store.spent(A, windows, "h2", 90)  # more than was thought
    assert (await store.room(A, windows)).tokens_left == 0
    assert (await store.take(A, windows, "h3", 101)).wait == math.inf
    await store.spent(A, windows, "nobody", 5)
    await store.spent(A, {"model": windows["model"]}, "h1", 5)
    assert (await store.room(A, windows)).left == 7


@pytest.mark.asyncio
async def test_a_providers_tokens_are_all_its_models(backend):
    windows = {"provider_tokens": Window(100, 60.0)}
    assert (await backend.store.take(A, windows, "h1", 60)).tokens_left == 40
    assert (await backend.store.take(B, windows, "h2", 60)).wait > 0
    assert (await backend.store.take(C, windows, "h3", 60)).tokens_left == 40


@pytest.mark.asyncio
async def test_it_is_said_when_so_many_tokens_will_be_free(memory_store, clock):
    windows = {"model_tokens": Window(100, 60.0)}
    for holder, tokens in (("h1", 30), ("h2", 30), ("h3", 40)):
        await memory_store.take(A, windows, holder, tokens)
        clock.now += 10
    waits = [(await memory_store.take(A, windows, "h4", tokens)).wait for tokens in (30, 31, 61)]
    assert waits == [30.0, 40.0, 50.0]


@pytest.mark.asyncio
async def test_namesakes_of_two_providers_share_nothing(backend):
    windows = {"model": Window(1, 60.0), "provider": Window(1, 60.0)}
    assert [(await backend.store.take(model, windows, "h")).wait for model in (A, C)] == [0, 0]
    colons = [Model("lab", "x:y"), Model("lab:x", "y")]
    assert [(await backend.store.take(model, windows, "h")).wait > 0 for model in colons] == [True, False]
    await backend.store.cool(A, Cooldown(60.0, "503"))
    assert list(await backend.store.cooling([A, B, C])) == [A]


@pytest.mark.asyncio
async def test_a_window_slides(backend):
    """Two bursts on either side of an edge do not make twice the limit."""
    windows = {"model": Window(2, 0.4)}
    await backend.store.take(A, windows, "h1")
    await backend.pass_by(0.2)
    await backend.store.take(A, windows, "h2")
    first = await backend.store.take(A, windows, "h3")
    assert 0 < first.wait <= 0.21

    async def taken():
        found = await backend.store.take(A, windows, "h4")
        return None if found.wait else found

    await backend.when(taken, first.wait + 0.01)
    assert (await backend.store.take(A, windows, "h5")).wait > 0


@pytest.mark.asyncio
async def test_a_store_says_what_it_is(backend, place):
    kind, _ = place
    told = await backend.store.describe()
    assert (told["type"], told["reachable"]) == (backend.store.kind, True)
    if kind != "memory":
        name, version = told["server"].split()
        assert name == ("redis" if kind == "redis" else name)
        assert int(version.split(".")[0]) >= 7
