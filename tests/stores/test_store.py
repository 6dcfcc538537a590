"""The contract of `stores.base.Store`, verb by verb, over every back end: sessions."""

import asyncio
from dataclasses import replace

import pytest

from tests.gateway.kit import turn
from tests.stores.backends import KEY
from warp_magics.gateway.errors import FenceLost, SessionNotFound
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.types import Attempt, Call, Session, SessionKey, Source, Usage

# -- sessions --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_session_begins_goes_on_and_keeps_its_turns_in_order(backend):
    first = await backend.begin("h1")
    assert (first.n, first.status, first.turns) == (1, "created", ())
    await backend.store.append(KEY, turn(1, "a"), "h1", ttl=3600.0)
    second = await backend.begin("h2", create=False)
    assert (second.n, second.status, [one.prompt for one in second.turns]) == (2, "known", ["a"])
    await backend.store.append(KEY, turn(2, "b"), "h2", ttl=3600.0)
    assert [(one.n, one.prompt) for one in await backend.store.turns(KEY)] == [(1, "a"), (2, "b")]
    assert first.now <= second.now


@pytest.mark.asyncio
async def test_a_turn_comes_back_as_it_was_given(backend):
    whole = turn(
        1,
        'Grüße "🌍"\n\0',
        "é" * 1000,
        status="interrupted",
        model=None,
        route=(Attempt("lab:a", "PROVIDER_RESPONSE_ERROR", 0.25, 503, "busy", 60.0), Attempt("lab:b", "ok", 1.5)),
        usage=Usage(1, 2, 3, 4),
        cost=0.25,
        first_token=0.125,
        tool_calls=(Call("c", "f", "{}"),),
        source=Source("cell", "a.ipynb", "c1"),
        error={"code": "X", "message": "y"},
    )
    await backend.begin("h")
    await backend.store.append(KEY, whole, "h", ttl=60.0)
    assert await backend.store.turns(KEY) == (whole,)


@pytest.mark.asyncio
async def test_a_session_that_never_was_is_missing_unless_it_may_be_made(backend):
    for ask in (
        lambda: backend.begin("h", create=False),
        lambda: backend.store.turns(KEY),
        lambda: backend.store.session(KEY),
    ):
        with pytest.raises(SessionNotFound):
            await ask()
    assert (await backend.begin("h")).status == "created"


@pytest.mark.asyncio
async def test_one_turn_at_a_time(backend):
    assert (await backend.begin("h1")).n == 1
    assert await backend.begin("h2") is None
    await backend.store.append(KEY, turn(1), "h1", ttl=60.0)
    assert (await backend.begin("h2")).n == 2


@pytest.mark.asyncio
async def test_the_same_holder_asking_again_is_told_the_same(backend):
    await backend.say(1)
    first = await backend.begin("h")
    again = await backend.begin("h")
    assert (again.n, again.turns) == (first.n, first.turns) == (2, first.turns)
    await backend.store.append(KEY, turn(2), "h", ttl=60.0)
    assert (await backend.begin("h3")).n == 3


@pytest.mark.asyncio
@pytest.mark.parametrize(("limit", "read"), [(None, [1, 2, 3]), (0, []), (1, [3]), (2, [2, 3]), (9, [1, 2, 3])])
async def test_as_many_of_the_newest_turns_are_read_as_asked_for(backend, limit, read):
    for n in (1, 2, 3):
        await backend.say(n)
    assert [one.n for one in (await backend.begin("h", limit=limit)).turns] == read


@pytest.mark.asyncio
async def test_a_turn_is_stored_once_however_often_it_is_appended(backend):
    await backend.begin("h1")
    for _ in range(3):
        await backend.store.append(KEY, turn(1, usage=Usage(5)), "h1", ttl=60.0)
    assert len(await backend.store.turns(KEY)) == 1
    assert (await backend.store.session(KEY)).usage == Usage(5)
    await backend.say(2)
    await backend.store.append(KEY, turn(1), "h1", ttl=60.0)
    assert [one.n for one in await backend.store.turns(KEY)] == [1, 2]


@pytest.mark.asyncio
async def test_an_append_again_does_not_let_the_next_turns_hold_go(backend):
    await backend.begin("h1")
    await backend.store.append(KEY, turn(1), "h1", ttl=60.0)
    await backend.begin("h2")
    await backend.store.append(KEY, turn(1), "h1", ttl=60.0)
    assert await backend.begin("h3") is None


@pytest.mark.asyncio
async def test_who_lost_the_session_writes_nothing(backend):
    await backend.begin("slow", lease=0.03)
    begun = await backend.when(lambda: backend.begin("next"), 0.03)
    assert begun.n == 2
    with pytest.raises(FenceLost):
        await backend.store.append(KEY, turn(1, "late"), "slow", ttl=60.0)
    await backend.store.append(KEY, turn(2, "in time"), "next", ttl=60.0)
    with pytest.raises(FenceLost):
        await backend.store.append(KEY, turn(1, "late"), "slow", ttl=60.0)
    assert [one.prompt for one in await backend.store.turns(KEY)] == ["in time"]


@pytest.mark.asyncio
async def test_a_lease_that_ran_out_unnoticed_still_stores_its_turn(backend):
    await backend.begin("slow", lease=0.02)
    await backend.pass_by(0.03)
    await backend.store.append(KEY, turn(1), "slow", ttl=60.0)
    assert len(await backend.store.turns(KEY)) == 1


@pytest.mark.asyncio
async def test_a_lease_is_renewed_by_who_holds_it_and_nobody_else(backend):
    assert not await backend.store.renew(KEY, "h1", 30.0)
    await backend.begin("h1", lease=0.2)
    assert await backend.store.renew(KEY, "h1", 30.0)
    assert not await backend.store.renew(KEY, "h2", 30.0)
    await backend.pass_by(0.25)
    assert await backend.begin("h2") is None
    await backend.store.append(KEY, turn(1), "h1", ttl=60.0)
    assert not await backend.store.renew(KEY, "h1", 30.0)
    assert (await backend.begin("h2", lease=0.02)).n == 2
    await backend.when(lambda: backend.begin("h3"), 0.02)
    assert not await backend.store.renew(KEY, "h2", 30.0)


@pytest.mark.asyncio
async def test_an_expired_session_begins_anew_and_its_numbers_go_on(backend):
    await backend.say(1)
    await backend.begin("h2")
    await backend.store.append(KEY, turn(2), "h2", ttl=0.05)

    async def gone():
        try:
            await backend.store.turns(KEY)
        except SessionNotFound:
            return True
        return False

    await backend.when(gone, 0.06)
    with pytest.raises(SessionNotFound):
        await backend.store.session(KEY)
    with pytest.raises(FenceLost):
        await backend.store.append(KEY, turn(2, id="late"), "late", ttl=60.0)
    begun = await backend.begin("h3", create=False)
    assert (begun.n, begun.status, begun.turns) == (3, "restarted", ())
    await backend.store.append(KEY, turn(3, "anew"), "h3", ttl=60.0)
    assert [one.prompt for one in await backend.store.turns(KEY)] == ["anew"]
    assert (await backend.store.session(KEY)).turns == 1


@pytest.mark.asyncio
async def test_whoever_comes_together_gets_numbers_of_his_own_one_after_the_other(backend):
    async def one(holder):
        begun = await until_begun(holder)
        await backend.store.append(KEY, turn(begun.n, id=holder), holder, ttl=60.0)
        return begun.n, len(begun.turns)

    async def until_begun(holder):
        while (begun := await backend.begin(holder)) is None:  # noqa: ASYNC110  # no store tells when it is free
            await asyncio.sleep(0)
        return begun

    numbers = await asyncio.gather(*(one(f"h{n}") for n in range(20)))
    assert sorted(numbers) == [(n, n - 1) for n in range(1, 21)]


# -- descriptions ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_session_is_described(backend):
    await backend.say(1, usage=Usage(1, 2, 3, 4), model="lab:b")
    await backend.pass_by(0.01)
    await backend.say(2, usage=Usage(10, 20, 30, 40), model="lab:a")
    await backend.say(3, model=None, status="failed")
    found = await backend.store.session(KEY)
    assert replace(found, created_at=0, updated_at=0, expires_at=None) == Session(
        KEY, 3, 0, 0, None, "ask 1", ("lab:a", "lab:b"), Usage(11, 22, 33, 44)
    )
    assert found.created_at < found.updated_at < found.expires_at
    assert found.expires_at - found.updated_at == pytest.approx(3600, abs=1)


@pytest.mark.asyncio
async def test_sessions_are_listed_last_used_first(backend):
    keys = [SessionKey("local", f"s{n}") for n in range(5)]
    for at, key in enumerate([*keys, keys[1]]):
        await backend.say(at, key, ended_at=1000.0 + at)
        await backend.pass_by(0.002)
    listed = [one.key.id for one in await backend.store.sessions("local", 10)]
    assert listed == ["s1", "s4", "s3", "s2", "s0"]
    assert [one.key.id for one in await backend.store.sessions("local", 2)] == ["s1", "s4"]
    assert await backend.store.sessions("nobody", 10) == []


@pytest.mark.asyncio
async def test_what_has_expired_leaves_the_list_and_does_not_shorten_it(backend):
    for n in range(6):
        key = SessionKey("local", f"s{n}")
        await backend.begin("h", key)
        await backend.store.append(key, turn(1, ended_at=1000.0 + n), "h", ttl=0.03 if n % 2 else 60.0)
        await backend.pass_by(0.002)

    async def listed():
        found = [one.key.id for one in await backend.store.sessions("local", 3)]
        return found if found == ["s4", "s2", "s0"] else None

    await backend.when(listed, 0.04)
    if backend.url:
        async with client_of(backend.url) as client:
            assert await client.zcard("warp:1:sessions:{local}") == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("others", [("a/b", "a:b", "ü", "{x}", "a%2Fb", "", "a b", "a}{b", "*"), ("local", "LOCAL")])
async def test_to_another_owner_a_session_does_not_exist(backend, others):
    keys = [SessionKey(owner, "s1") for owner in others]
    for n, key in enumerate(keys):
        for other in keys[n:]:
            with pytest.raises(SessionNotFound):
                await backend.store.turns(other)
        await backend.begin(f"h{n}", key)
        await backend.store.append(key, turn(1, f"of {key.owner}", id=f"t{n}"), f"h{n}", ttl=60.0)
    for key in keys:
        assert [one.prompt for one in await backend.store.turns(key)] == [f"of {key.owner}"]
        (listed,) = await backend.store.sessions(key.owner, 10)
        assert (listed.key, listed.title) == (key, f"of {key.owner}".strip())
