"""The contract of `stores.base.Store`, verb by verb, over every back end: branches and feeds."""

import asyncio
from dataclasses import replace

import pytest

from tests.gateway.kit import turn
from tests.stores.backends import KEY, ended, lasting, turn_of
from warp_magics.gateway.errors import (
    BranchNotFound,
    InvalidRequest,
    SessionNotFound,
)
from warp_magics.gateway.stores.base import Graft, Hold, Limb, Tree
from warp_magics.gateway.types import Branch, SessionEvent, SessionKey, Usage


async def told(backend, after, key=KEY):
    """What the feed tells behind an id, without the ids."""
    events, _ = await backend.store.feed(key, after)
    return [replace(event, id="") for event in events]


# -- branches --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_turns_are_put_aside_into_a_branch_and_brought_back(backend):
    a, b, c = [await backend.say(prompt, usage=Usage(1), cost=0.25) for prompt in "abc"]
    tree = await backend.store.tree(KEY)
    assert tree == Tree(tree.version, (a, b, c))
    limb = Limb(1, a.id, 7.5, (b, c))
    assert await backend.store.graft(KEY, tree.version, Graft(1, (), (limb,)), lasting())
    assert await backend.prompts() == ["a"]
    assert await backend.prompts(branch=1) == ["b", "c"]
    for branch in (0, 2):
        with pytest.raises(BranchNotFound):
            await backend.store.turns(KEY, branch)
    session = await backend.store.session(KEY)
    assert (session.turns, session.branches) == (1, (Branch(1, a.id, 2, 7.5),))
    assert (session.usage, session.cost) == (Usage(3), 0.75)
    assert (await backend.store.sessions("local", 1)).sessions == (replace(session, branches=()),)
    d = await backend.say("d")
    assert d.n == 4
    tree = await backend.store.tree(KEY)
    assert tree == Tree(tree.version, (a, d), (limb,), 2)
    back = Graft(1, (b, c), (replace(limb, turns=()), Limb(2, a.id, 8.5, (d,))))
    assert await backend.store.graft(KEY, tree.version, back, lasting())
    tree = await backend.store.tree(KEY)
    assert tree == Tree(tree.version, (a, b, c), (Limb(2, a.id, 8.5, (d,)),), 3)
    assert (await backend.begin("h")).turns == (a, b, c)
    assert (await backend.store.session(KEY)).usage == Usage(3)


@pytest.mark.asyncio
async def test_the_newest_turns_are_had_alone(backend):
    said = tuple([await backend.say(prompt) for prompt in "abcd"])
    for last in range(1, 6):
        assert await backend.store.turns(KEY, last=last) == said[-last:]
    tree = await backend.store.tree(KEY)
    assert await backend.store.graft(KEY, tree.version, Graft(1, (), (Limb(1, said[0].id, 7.5, said[1:]),)), lasting())
    assert await backend.store.turns(KEY, last=2) == said[:1]
    assert await backend.store.turns(KEY, 1, last=2) == said[2:]
    with pytest.raises(BranchNotFound):
        await backend.store.turns(KEY, 2, last=2)


@pytest.mark.asyncio
async def test_a_session_can_be_taken_back_to_its_beginning(backend):
    said = [await backend.say(prompt) for prompt in "ab"]
    tree = await backend.store.tree(KEY)
    limb = Limb(1, None, 7.5, tuple(said))
    assert await backend.store.graft(KEY, tree.version, Graft(0, (), (limb,)), lasting())
    assert await backend.prompts() == []
    assert (await backend.store.tree(KEY)).branches == (limb,)
    assert (await backend.store.session(KEY)).branches == (Branch(1, None, 2, 7.5),)
    begun = await backend.begin("h")
    assert (begun.n, begun.turns) == (3, ())


@pytest.mark.asyncio
async def test_a_branch_that_went_does_not_give_its_number_to_another(backend):
    (said,) = [await backend.say()]
    for number in (1, 2, 3):
        tree = await backend.store.tree(KEY)
        assert (tree.next_branch, tree.branches) == (number, ())
        away = Graft(0, (), (Limb(number, None, 7.5, (said,)),))
        assert await backend.store.graft(KEY, tree.version, away, lasting())
        tree = await backend.store.tree(KEY)
        back = Graft(0, (said,), (Limb(number, None, 7.5, ()),))
        assert await backend.store.graft(KEY, tree.version, back, lasting())


@pytest.mark.asyncio
async def test_a_tree_that_has_changed_since_is_left_as_it_is(backend):
    await backend.say("a")
    old = await backend.store.tree(KEY)
    await backend.say("b")
    assert not await backend.store.graft(KEY, old.version, Graft(0), lasting())
    tree = await backend.store.tree(KEY)
    assert [await backend.store.graft(KEY, tree.version, Graft(1), lasting()) for _ in range(2)] == [True, False]
    assert await backend.prompts() == ["a"]
    assert not await backend.store.graft(SessionKey("local", "s2"), 0, Graft(0), lasting())


@pytest.mark.asyncio
async def test_a_tree_is_left_as_it_is_while_a_turn_is_answered(backend):
    await backend.say("a")
    tree = await backend.store.tree(KEY)
    hold = await backend.hold()
    assert not await backend.store.graft(KEY, tree.version, Graft(0), lasting())
    await backend.store.release(KEY, hold.holder)
    assert await backend.store.graft(KEY, tree.version, Graft(0), lasting())


@pytest.mark.asyncio
async def test_a_turn_put_aside_was_answered_all_the_same(backend):
    said = await backend.say()
    tree = await backend.store.tree(KEY)
    assert await backend.store.graft(KEY, tree.version, Graft(0, (), (Limb(1, None, 7.5, (said,)),)), lasting())
    hold = Hold(KEY, said.n, said.id.removeprefix("turn-of-"))
    assert await backend.append(hold, said) is True
    assert await backend.prompts() == []


# -- the feed --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_happens_to_a_session_is_told(backend):
    await backend.store.create(KEY, lasting())
    _, start = await backend.store.feed(KEY, None)
    assert await backend.store.feed(KEY, start) == ((), start)
    hold = await backend.hold(turn_id="t1")
    await backend.append(hold, turn(1, id="t1", status="stopped"))
    hold = await backend.die(turn_id="t2")
    await backend.store.settle(KEY, turn(2, id="t2", status="interrupted"), ended(2, 1), lasting())
    await backend.store.update(KEY, lasting(), title="x")
    tree = await backend.store.tree(KEY)
    await backend.store.graft(KEY, tree.version, Graft(1), lasting())
    events, end = await backend.store.feed(KEY, start)
    assert [replace(event, id="") for event in events] == [
        SessionEvent("turn-started", "s1", "", "s1~1", "t1"),
        SessionEvent("turn-ended", "s1", "", "s1~1", "t1", "stopped"),
        SessionEvent("turn-started", "s1", "", "s1~2", "t2"),
        SessionEvent("turn-ended", "s1", "", "s1~2", "t2", "interrupted"),
        SessionEvent("updated", "s1"),
        SessionEvent("rewound", "s1"),
    ]
    assert len({event.id for event in events}) == len(events)
    assert await backend.store.feed(KEY, None) == ((), end) == ((), events[-1].id)
    for at, event in enumerate(events):
        assert await backend.store.feed(KEY, event.id) == (events[at + 1 :], end)


@pytest.mark.asyncio
async def test_what_was_done_once_is_told_once(backend):
    hold = await backend.hold("h")
    _, start = await backend.store.feed(KEY, None)
    await backend.begin("h")
    await backend.begin("waiting")
    await backend.store.renew(hold, lasting())
    assert await told(backend, start) == []
    for _ in range(2):
        await backend.append(hold)
    assert [event.kind for event in await told(backend, start)] == ["turn-ended"]


@pytest.mark.asyncio
async def test_a_turn_that_is_given_back_has_ended_for_who_watches(backend):
    await backend.hold("h", turn_id="t")
    _, start = await backend.store.feed(KEY, None)
    await backend.store.release(KEY, "h")
    assert await told(backend, start) == [SessionEvent("turn-ended", "s1", "", "s1~1", "t", "failed")]


@pytest.mark.asyncio
async def test_who_watches_is_told_when_it_happens(backend):
    await backend.store.create(KEY, lasting())
    _, start = await backend.store.feed(KEY, None)
    for verb in (lambda: backend.store.update(KEY, lasting(), title="x"), lambda: backend.store.delete(KEY)):
        watching = [asyncio.create_task(backend.store.feed(KEY, start, wait=20)) for _ in range(2)]
        done, _ = await asyncio.wait(watching, timeout=0.05)
        assert not done
        await verb()
        async with asyncio.timeout(10):
            one, other = await asyncio.gather(*watching)
        (event,), start = one
        assert other == one
    assert event.kind == "deleted"


@pytest.mark.asyncio
async def test_who_watches_waits_no_longer_than_he_said(backend):
    await backend.store.create(KEY, lasting())
    _, start = await backend.store.feed(KEY, None)
    async with asyncio.timeout(10):
        assert await backend.store.feed(KEY, start, wait=0.05) == ((), start)
        assert await backend.store.feed(KEY, None, wait=20) == ((), start)


@pytest.mark.asyncio
async def test_the_end_of_a_session_is_told_for_a_minute(backend):
    await backend.say()
    _, start = await backend.store.feed(KEY, None)
    await backend.store.delete(KEY)
    assert await told(backend, start) == [SessionEvent("deleted", "s1")]
    (event,), _ = await backend.store.feed(KEY, start)
    with pytest.raises(SessionNotFound):
        await backend.store.feed(KEY, event.id)
    if backend.clock:
        await backend.pass_by(60)
        with pytest.raises(SessionNotFound):
            await backend.store.feed(KEY, start)


@pytest.mark.asyncio
async def test_who_watched_a_deleted_session_goes_on_with_the_next_of_its_name(backend):
    await backend.say()
    _, start = await backend.store.feed(KEY, None)
    await backend.store.delete(KEY)
    hold = await backend.hold()
    assert [event.kind for event in await told(backend, start)] == ["deleted", "turn-started"]
    await backend.append(hold, turn_of(hold))


@pytest.mark.asyncio
@pytest.mark.parametrize("after", ["", "x", "1", "-", "1-", "-1", "+", "$", "1-1-1", "(1-1"])
async def test_what_is_no_id_of_a_feed_is_refused(backend, after):
    await backend.say()
    with pytest.raises(InvalidRequest):
        await backend.store.feed(KEY, after)
