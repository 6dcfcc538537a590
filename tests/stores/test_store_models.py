"""The contract of `stores.base.Store`, verb by verb, over every back end: models and windows."""

import pytest

from tests.stores.backends import A, B, C
from warp_magics.gateway.types import Cooldown, Model, Window


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
async def test_a_cooldown_ends_by_itself(backend):
    await backend.store.cool(A, Cooldown(0.05, "503"))
    await backend.store.cool(B, Cooldown(0.0, "503"))
    assert list(await backend.store.cooling([A, B])) == [A]

    async def restored():
        return not await backend.store.cooling([A])

    await backend.when(restored, 0.05)


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
