"""The contract of `stores.base.Store`, verb by verb, over every back end: turns in the place of others."""

from dataclasses import replace

import pytest

from tests.stores.backends import KEY, ended, lasting, texts, turn_of
from warp_magics.gateway.errors import FenceLost
from warp_magics.gateway.stores.base import Asked, GoingOn, Limb, Waiting
from warp_magics.gateway.types import Reasoning, Result, Source, Started, Usage

pytestmark = pytest.mark.asyncio


async def test_turns_are_put_aside_with_the_first_word_and_once(backend):
    a, b, c = [await backend.say(prompt) for prompt in "abc"]
    hold = replace(await backend.hold("h"), keep=1)
    start = [Started("lab:ok", id=f"{hold.n}-1"), Reasoning("hm", id=f"{hold.n}-2")]
    assert (await backend.store.log(hold, start, lasting())).last == 2
    assert await backend.prompts() == ["a", "b", "c"]
    for _ in range(2):
        assert (await backend.store.log(hold, texts(hold.n, 3), lasting())).last == 3
    assert await backend.prompts() == ["a"]
    assert await backend.prompts(branch=1) == ["b", "c"]
    said = turn_of(hold, "d")
    for _ in range(2):
        assert await backend.store.append(hold, said, [ended(hold.n, 4)], lasting())
    tree = await backend.store.tree(KEY)
    (limb,) = tree.branches
    assert (tree.turns, tree.next_branch) == ((a, said), 2)
    assert limb == Limb(1, a.id, limb.created_at, (b, c))


async def test_or_with_the_turn_itself_where_nothing_was_logged(backend):
    a, b = [await backend.say(prompt) for prompt in "ab"]
    hold = replace(await backend.hold("h"), keep=0)
    said = turn_of(hold, "d")
    assert await backend.store.append(hold, said, [], lasting())
    tree = await backend.store.tree(KEY)
    assert (tree.turns, [(one.after, one.turns) for one in tree.branches]) == ((said,), [(None, (a, b))])


async def test_a_batch_that_does_not_join_on_puts_nothing_aside(backend):
    await backend.say("a")
    hold = replace(await backend.hold("h"), keep=0)
    assert (await backend.store.log(hold, texts(hold.n, 2), lasting())).last == 0
    assert await backend.prompts() == ["a"]
    with pytest.raises(FenceLost):
        await backend.store.log(replace(hold, holder="other"), texts(hold.n, 1), lasting())
    assert await backend.prompts() == ["a"]


async def test_a_turn_goes_on_in_the_place_of_the_last(backend):
    a = await backend.say("a")
    part = await backend.say("b", usage=Usage(5, 2), cost=0.5, response="one", result=Result.STOPPED)
    begun = await backend.hold("h", turn_id="asked-to-go-on")
    hold = replace(begun, going_on=GoingOn(part, "asked-to-go-on"))
    whole = turn_of(hold, "b", id=part.id, response="one two", usage=Usage(8, 4), cost=0.75)
    for _ in range(2):
        assert await backend.store.append(hold, whole, [ended(hold.n, 1)], lasting())
    assert await backend.store.turns(KEY) == (a, whole)
    session = await backend.store.session(KEY)
    assert (session.usage, session.cost, session.branches) == (Usage(8, 4), 0.75, ())
    assert await backend.begin("h2", turn_id="asked-to-go-on") == Asked(hold.n)


async def test_an_orphan_that_went_on_is_settled_in_the_place_of_the_last(backend):
    part = await backend.say("b", response="one")
    hold = await backend.die(turn_id="on")
    turn = turn_of(hold, "b", id=part.id, response="one two")
    for _ in range(2):
        assert await backend.store.settle(KEY, turn, ended(hold.n, 1), lasting(), GoingOn(part, "on"))
    assert await backend.store.turns(KEY) == (turn,)


async def test_who_waits_is_told_for_which_turn_and_may_ask_whose_it_is(backend):
    assert await backend.store.live(KEY) is None
    hold = await backend.hold("h1", turn_id="t1")
    waiting = await backend.begin("h2")
    assert isinstance(waiting, Waiting)
    assert waiting.n == hold.n
    n, draft = await backend.store.live(KEY)
    assert (n, draft.turn_id, draft.source) == (hold.n, "t1", Source("cell", "a.ipynb", "c1"))
    await backend.append(hold, turn_of(hold))
    assert await backend.store.live(KEY) is None
