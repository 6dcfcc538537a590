"""The contract of `stores.base.Store`, verb by verb, over every back end: descriptions, lists, ends."""

from dataclasses import replace

import pytest

from tests.gateway.kit import turn
from tests.stores.backends import KEY, ended, lasting, on_a_server, texts
from warp_magics.gateway.errors import (
    FenceLost,
    InvalidRequest,
    SessionExists,
    SessionNotFound,
    StreamNotFound,
)
from warp_magics.gateway.stores.base import Graft, Hold, Limb
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.types import Session, SessionKey, Usage


def ids(page):
    return [one.key.id for one in page.sessions]


# -- descriptions ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_session_is_described(backend):
    await backend.say("ask 1", usage=Usage(1, 2, 3, 4), model="lab:b")
    assert (await backend.store.session(KEY)).cost is None
    await backend.pass_by(0.01)
    await backend.say("ask 2", usage=Usage(10, 20, 30, 40), model="lab:a", cost=0.25)
    await backend.say("ask 3", model=None, status="failed", cost=0.5)
    found = await backend.store.session(KEY)
    assert replace(found, created_at=0, updated_at=0, expires_at=None) == Session(
        KEY, 3, 0, 0, None, "ask 1", ("lab:a", "lab:b"), Usage(11, 22, 33, 44), 0.75, unpriced=1
    )
    assert found.created_at < found.updated_at < found.expires_at
    assert found.expires_at - found.updated_at == pytest.approx(3600, abs=1)


@pytest.mark.asyncio
async def test_a_price_of_nothing_is_a_price(backend):
    await backend.say(cost=0.0)
    assert (await backend.store.session(KEY)).cost == 0.0


@pytest.mark.asyncio
async def test_a_session_has_its_title_from_the_first_prompt_while_that_is_answered(backend):
    await backend.hold(prompt="  Why\nis it so? " + "x" * 100)
    title = (await backend.store.session(KEY)).title
    assert title.startswith("Why is it so? xxx")
    assert len(title) == 60


@pytest.mark.asyncio
async def test_a_session_is_made_as_it_was_asked_for(backend):
    told = {"a": [1, None, "ü"], "b": {"c": 0.5}}
    made = await backend.store.create(KEY, lasting(), title="Mine", ttl=7.5, metadata=told)
    assert replace(made, created_at=0, updated_at=0, expires_at=None) == Session(
        KEY, 0, 0, 0, title="Mine", ttl=7.5, metadata=told
    )
    assert made.expires_at - made.updated_at == pytest.approx(7.5, abs=1)
    assert await backend.store.session(KEY) == made
    assert ids(await backend.store.sessions("local", 10)) == ["s1"]
    await backend.say("ask")
    assert (await backend.store.session(KEY)).title == "Mine"
    with pytest.raises(SessionExists):
        await backend.store.create(KEY, lasting())
    assert await backend.prompts() == ["ask"]


@pytest.mark.asyncio
async def test_a_session_made_without_a_title_has_that_of_its_first_prompt(backend):
    assert (await backend.store.create(KEY, lasting())).title == ""
    begun = await backend.begin("h", prompt="first", create=False)
    assert (begun.n, begun.status) == (1, "known")
    await backend.append(Hold(KEY, 1, "h"))
    await backend.say("second")
    assert (await backend.store.session(KEY)).title == "first"


@pytest.mark.asyncio
async def test_a_session_made_with_turns_goes_on_from_them(backend):
    turns = [turn(1, "a", usage=Usage(1), cost=0.25), turn(4, "b", model="lab:b", usage=Usage(2))]
    made = await backend.store.create(KEY, lasting(), title="Fork", turns=turns)
    assert (made.turns, made.title, made.usage, made.cost) == (2, "Fork", Usage(3), 0.25)
    assert made.models == ("lab:b", "lab:ok")
    assert await backend.store.turns(KEY) == tuple(turns)
    begun = await backend.begin("h")
    assert (begun.n, begun.turns) == (5, tuple(turns))


@pytest.mark.asyncio
async def test_what_is_changed_is_changed_and_the_rest_stays(backend):
    await backend.store.create(KEY, lasting(), title="Old", ttl=100.0, metadata={"a": 1})
    await backend.pass_by(0.01)
    found = await backend.store.update(KEY, lasting(), title="New")
    assert (found.title, found.ttl, found.metadata) == ("New", 100.0, {"a": 1})
    assert found.updated_at > found.created_at
    found = await backend.store.update(KEY, lasting(), ttl=50.0)
    assert (found.title, found.ttl, found.metadata) == ("New", 50.0, {"a": 1})
    assert found.expires_at - found.updated_at == pytest.approx(50, abs=1)
    found = await backend.store.update(KEY, lasting(), title="", metadata={})
    assert (found.title, found.ttl, found.metadata) == ("", 50.0, {})
    assert await backend.store.session(KEY) == found


@pytest.mark.asyncio
@pytest.mark.parametrize(("own", "given"), [(0.05, 3600.0), (3600.0, 0.05)])
async def test_a_sessions_own_time_to_live_wins(backend, own, given):
    await backend.store.create(KEY, lasting(session=given), ttl=own)
    await backend.say(lives={"session": given})
    if own < 1:
        await backend.when(backend.missing, own)
    else:
        await backend.pass_by(given)
        assert await backend.prompts() == ["ask"]


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_sessions_are_listed_last_used_first(backend):
    keys = [SessionKey("local", f"s{n}") for n in range(5)]
    for key in [*keys, keys[1]]:
        await backend.say(key=key)
        await backend.pass_by(0.002)
    listed = await backend.store.sessions("local", 10)
    assert ids(listed) == ["s1", "s4", "s3", "s2", "s0"]
    assert listed.cursor is None
    assert listed.sessions[0] == await backend.store.session(keys[1])
    assert ids(await backend.store.sessions("local", 2)) == ["s1", "s4"]
    assert (await backend.store.sessions("nobody", 10)).sessions == ()


@pytest.mark.asyncio
async def test_an_answer_that_took_long_was_a_use_at_its_end(backend):
    long, short = SessionKey("local", "long"), SessionKey("local", "short")
    await backend.say(key=long)
    await backend.pass_by(0.002)
    hold = await backend.hold(key=long)
    began = (await backend.store.session(long)).updated_at
    await backend.pass_by(0.002)
    await backend.say(key=short)
    assert ids(await backend.store.sessions("local", 10)) == ["short", "long"]
    await backend.pass_by(0.002)
    await backend.append(hold, turn(hold.n, started_at=began, ended_at=began + 5))
    assert ids(await backend.store.sessions("local", 10)) == ["long", "short"]


@pytest.mark.asyncio
async def test_a_change_of_any_kind_is_a_use(backend):
    keys = [SessionKey("local", f"s{n}") for n in range(4)]
    for key in keys:
        await backend.store.create(key, lasting())
        await backend.pass_by(0.002)
    assert ids(await backend.store.sessions("local", 10)) == ["s3", "s2", "s1", "s0"]
    await backend.store.update(keys[1], lasting(), title="x")
    await backend.pass_by(0.002)
    await backend.hold(key=keys[0])
    assert ids(await backend.store.sessions("local", 10)) == ["s0", "s1", "s3", "s2"]


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_show_each_session_once_also_while_sessions_are_used(backend, limit):
    keys = [SessionKey("local", f"s{n}") for n in range(7)]
    for key in keys:
        await backend.store.create(key, lasting())
        await backend.pass_by(0.002)
    page = await backend.store.sessions("local", limit)
    seen = ids(page)
    while page.cursor is not None and len(seen) < 8:
        # Two that were shown are used again: the next page begins where it did.
        await backend.say(key=SessionKey("local", seen[0]))
        await backend.say(key=SessionKey("local", seen[-1]))
        page = await backend.store.sessions("local", limit, page.cursor)
        assert len(page.sessions) <= limit
        seen += ids(page)
    assert seen == [f"s{n}" for n in range(6, -1, -1)]


@pytest.mark.asyncio
async def test_a_page_behind_sessions_that_are_gone_begins_where_it_did(backend):
    for n in range(5):
        await backend.store.create(SessionKey("local", f"s{n}"), lasting())
        await backend.pass_by(0.002)
    page = await backend.store.sessions("local", 2)
    await backend.store.delete(SessionKey("local", "s3"))
    await backend.store.delete(SessionKey("local", "s2"))
    page = await backend.store.sessions("local", 2, page.cursor)
    assert (ids(page), page.cursor) == (["s1", "s0"], None)


@pytest.mark.asyncio
async def test_a_cursor_that_no_list_gave_is_refused(backend):
    for cursor in ("", "x", "~"):
        with pytest.raises(InvalidRequest):
            await backend.store.sessions("local", 2, cursor)


@pytest.mark.asyncio
async def test_what_has_expired_leaves_the_list_and_does_not_shorten_it(backend):
    for n in range(6):
        key = SessionKey("local", f"s{n}")
        await backend.say(key=key, lives={"session": 0.03 if n % 2 else 60.0})
        await backend.pass_by(0.002)

    async def listed():
        return ids(await backend.store.sessions("local", 3)) == ["s4", "s2", "s0"]

    await backend.when(listed, 0.04)
    if backend.url:
        async with client_of(backend.url) as client:
            assert await client.zcard("warp:1:sessions:{local}") == 3


@pytest.mark.asyncio
@on_a_server
async def test_a_session_that_was_struck_off_while_it_was_made_anew_is_listed_by_its_first_turn(backend):
    """By a reader who found it expired just before; the next one then sees it, however short its turn was."""
    hold = await backend.hold()
    await backend.store._all_noted()
    async with client_of(backend.url) as client:
        assert await client.zrem("warp:1:sessions:{local}", KEY.id)
    now = (await backend.store.session(KEY)).updated_at
    await backend.append(hold, turn(hold.n, started_at=now, ended_at=now))
    assert ids(await backend.store.sessions("local", 10)) == [KEY.id]


@pytest.mark.asyncio
@on_a_server
async def test_new_sessions_clear_the_list_of_those_that_have_expired(backend):
    """Also where nobody looks at it: else it grew for ever."""
    for n in range(20):
        await backend.say(key=SessionKey("local", f"old{n}"), lives={"session": 0.03})
    await backend.pass_by(0.04)
    for n in range(40):
        await backend.say(key=SessionKey("local", f"new{n}"))
    await backend.store._all_noted()
    async with client_of(backend.url) as client:
        assert {
            name for name in await client.zrange("warp:1:sessions:{local}", 0, -1) if name.startswith(b"old")
        } == set()


@pytest.mark.asyncio
@pytest.mark.parametrize("others", [("a/b", "a:b", "ü", "{x}", "a%2Fb", "", "a b", "a}{b", "*"), ("local", "LOCAL")])
async def test_to_another_owner_a_session_does_not_exist(backend, others):
    keys = [SessionKey(owner, "s1") for owner in others]
    for n, key in enumerate(keys):
        for other in keys[n:]:
            with pytest.raises(SessionNotFound):
                await backend.store.turns(other)
        await backend.say(f"of {key.owner}", key)
    for key in keys:
        assert await backend.prompts(key) == [f"of {key.owner}"]
        (listed,) = (await backend.store.sessions(key.owner, 10)).sessions
        assert (listed.key, listed.title) == (key, f"of {key.owner}".strip())


# -- the end of a session --------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_deleted_session_is_gone_with_all_that_was_its(backend):
    first = await backend.hold()
    await backend.append(first, events=[ended(1, 1)])
    second = await backend.say()
    tree = await backend.store.tree(KEY)
    limb = Limb(1, first_id := tree.turns[0].id, 7.5, (second,))
    assert await backend.store.graft(KEY, tree.version, Graft(1, (), (limb,)), lasting())
    hold = await backend.hold()
    await backend.store.log(hold, texts(3, 1), lasting())
    await backend.begin("waiting")
    await backend.store.delete(KEY)
    for ask in (
        lambda: backend.store.turns(KEY),
        lambda: backend.store.turns(KEY, 1),
        lambda: backend.store.session(KEY),
        lambda: backend.store.tree(KEY),
        lambda: backend.store.delete(KEY),
        lambda: backend.store.feed(KEY, None),
        lambda: backend.begin("waiting", create=False),
    ):
        with pytest.raises(SessionNotFound):
            await ask()
    for n in (1, 3):
        with pytest.raises(StreamNotFound):
            await backend.store.logged(KEY, n, 0)
    assert ids(await backend.store.sessions("local", 10)) == []
    assert await backend.store.renew(hold, lasting()) == "lost"
    for write in (backend.append(hold), backend.store.log(hold, texts(3, 2), lasting())):
        with pytest.raises(FenceLost):
            await write
    begun = await backend.begin("waiting", turn_id=first_id)
    assert (begun.n, begun.status, begun.turns) == (4, "created", ())
    assert (await backend.store.tree(KEY)).branches == ()
    assert (await backend.store.session(KEY)).usage == Usage()


@pytest.mark.asyncio
async def test_a_session_made_again_after_its_end_gives_new_numbers(backend):
    await backend.say()
    await backend.store.delete(KEY)
    await backend.store.create(KEY, lasting(), turns=[turn(1, "kept")])
    assert (await backend.begin("h")).n == 2
    await backend.store.delete(KEY)
    await backend.store.create(KEY, lasting())
    assert (await backend.begin("h")).n == 3


@pytest.mark.asyncio
async def test_a_session_made_again_after_its_expiry_gives_new_numbers(backend):
    await backend.say(lives={"session": 0.03})
    await backend.when(backend.missing, 0.03)
    assert (await backend.store.create(KEY, lasting())).turns == 0
    assert (await backend.begin("h")).n == 2
