"""The contract of `stores.base.Store`, verb by verb, over every back end: one turn at a time."""

import asyncio

import pytest

from tests.gateway.kit import turn
from tests.stores.backends import KEY, ended, lasting, texts, turn_of
from warp_magics.gateway.errors import FenceLost, SessionNotFound
from warp_magics.gateway.stores.base import TICKET_SECONDS, Asked, Begun, Draft, Hold, Log, Orphan, Waiting
from warp_magics.gateway.types import Attempt, Call, SessionKey, Source, Usage

OTHER = SessionKey("local", "s2")


# -- begin and append ------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_session_begins_goes_on_and_keeps_its_turns_in_order(backend):
    first = await backend.begin("h1")
    assert (first.n, first.status, first.turns) == (1, "created", ())
    assert await backend.append(Hold(KEY, 1, "h1"), turn(1, "a", id="turn-of-h1")) is True
    second = await backend.begin("h2", create=False)
    assert (second.n, second.status, [one.prompt for one in second.turns]) == (2, "known", ["a"])
    await backend.append(Hold(KEY, 2, "h2"), turn(2, "b", id="turn-of-h2"))
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
    await backend.append(await backend.hold(turn_id=whole.id), whole)
    assert await backend.store.turns(KEY) == (whole,)
    assert (await backend.begin("h2")).turns == (whole,)


@pytest.mark.asyncio
async def test_a_session_that_never_was_is_missing_unless_it_may_be_made(backend):
    for ask in (
        lambda: backend.begin("h", create=False),
        lambda: backend.store.turns(KEY),
        lambda: backend.store.session(KEY),
        lambda: backend.store.orphan(KEY),
        lambda: backend.store.tree(KEY),
        lambda: backend.store.update(KEY, lasting(), title="x"),
        lambda: backend.store.delete(KEY),
        lambda: backend.store.feed(KEY, None),
        lambda: backend.store.feed(KEY, "0-0"),
    ):
        with pytest.raises(SessionNotFound):
            await ask()
    assert (await backend.begin("h")).status == "created"


@pytest.mark.asyncio
async def test_one_turn_at_a_time(backend):
    hold = await backend.hold("h1")
    assert await backend.begin("h2") == Waiting(1)
    assert (await backend.begin("other", OTHER)).n == 1
    await backend.append(hold)
    assert (await backend.begin("h2")).n == 2


@pytest.mark.asyncio
async def test_the_same_holder_asking_again_is_told_the_same(backend):
    await backend.say()
    first = await backend.begin("h")
    again = await backend.begin("h")
    assert (again.n, again.turns) == (first.n, first.turns) == (2, first.turns)
    await backend.append(Hold(KEY, 2, "h"))
    assert (await backend.begin("h3")).n == 3


@pytest.mark.asyncio
async def test_that_a_session_was_made_is_told_also_where_the_first_answer_was_lost(backend):
    assert [(await backend.begin("h")).status for _ in range(2)] == ["created", "created"]


@pytest.mark.asyncio
async def test_a_turn_is_given_all_those_before_it_oldest_first(backend):
    for n in range(1, 40):
        assert [one.n for one in (await backend.begin(f"h{n}")).turns] == list(range(1, n))
        await backend.append(Hold(KEY, n, f"h{n}"))


@pytest.mark.asyncio
async def test_a_turn_is_stored_once_however_often_it_is_appended(backend):
    hold = await backend.hold("h1")
    whole = turn_of(hold, usage=Usage(5), cost=0.5)
    assert {await backend.append(hold, whole, [ended(1, 1)]) for _ in range(3)} == {True}
    assert len(await backend.store.turns(KEY)) == 1
    session = await backend.store.session(KEY)
    assert (session.usage, session.cost) == (Usage(5), 0.5)
    await backend.say()
    assert await backend.append(hold, whole, [ended(1, 1)]) is True
    assert [one.n for one in await backend.store.turns(KEY)] == [1, 2]
    assert await backend.store.logged(KEY, 1, 0) == Log((ended(1, 1),), live=False)


@pytest.mark.asyncio
async def test_an_append_again_does_not_let_the_next_turns_hold_go(backend):
    hold = await backend.hold("h1")
    await backend.append(hold)
    await backend.hold("h2")
    await backend.append(hold)
    assert await backend.begin("h3") == Waiting(1)


@pytest.mark.asyncio
async def test_an_expired_session_begins_anew_and_its_numbers_go_on(backend):
    await backend.say()
    late = await backend.hold("h2")
    await backend.append(late, session=0.05)
    await backend.when(backend.missing, 0.06)
    with pytest.raises(SessionNotFound):
        await backend.store.turns(KEY)
    with pytest.raises(FenceLost):
        await backend.append(late, turn_of(late, id="late"))
    begun = await backend.begin("h3", create=False)
    assert (begun.n, begun.status, begun.turns) == (3, "restarted", ())
    await backend.append(Hold(KEY, 3, "h3"), turn(3, "anew", id="turn-of-h3"))
    assert await backend.prompts() == ["anew"]
    assert (await backend.store.session(KEY)).turns == 1


@pytest.mark.asyncio
async def test_a_held_session_does_not_expire_and_ends_after_its_own_time_otherwise(backend):
    hold = await backend.hold("h", session=0.05)
    await backend.pass_by(0.06)
    assert await backend.begin("h2") == Waiting(1)
    assert await backend.store.renew(hold, lasting(session=0.05)) == "held"
    await backend.pass_by(0.06)
    await backend.append(hold, session=0.05)
    await backend.when(backend.missing, 0.06)


@pytest.mark.asyncio
async def test_whoever_comes_together_gets_numbers_of_his_own_one_after_the_other(backend):
    async def one(holder):
        begun = await until_begun(holder)
        await backend.append(Hold(KEY, begun.n, holder))
        return begun.n, len(begun.turns)

    async def until_begun(holder):
        while not isinstance(begun := await backend.begin(holder), Begun):  # noqa: ASYNC110  # no store tells when
            await asyncio.sleep(0)
        return begun

    numbers = await asyncio.gather(*(one(f"h{n}") for n in range(20)))
    assert sorted(numbers) == [(n, n - 1) for n in range(1, 21)]
    assert [one.id for one in await backend.store.turns(KEY)] == [
        f"turn-of-h{who}" for who in sorted(range(20), key=lambda who: numbers[who])
    ]


# -- the queue -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_who_came_first_is_served_first(backend):
    hold = await backend.hold("h0")
    assert [await backend.begin(f"h{n}") for n in (1, 2, 3)] == [Waiting(1), Waiting(2), Waiting(3)]
    assert await backend.begin("h2") == Waiting(2)
    await backend.append(hold)
    assert await backend.begin("h3") == Waiting(3)
    assert await backend.begin("h4") == Waiting(4)
    assert await backend.begin("h2") == Waiting(2)
    assert (await backend.begin("h1")).n == 2
    assert await backend.begin("h2") == Waiting(1)
    await backend.append(Hold(KEY, 2, "h1"))
    assert (await backend.begin("h2")).n == 3


@pytest.mark.asyncio
async def test_who_gives_up_his_place_is_waited_for_no_more(backend):
    hold = await backend.hold("h0")
    for n in (1, 2):
        await backend.begin(f"h{n}")
    await backend.store.release(KEY, "h1")
    assert await backend.begin("h2") == Waiting(1)
    await backend.append(hold)
    assert (await backend.begin("h2")).n == 2


@pytest.mark.asyncio
async def test_who_does_not_ask_any_more_loses_his_place(backend):
    async def begun_by(holder):
        found = await backend.begin(holder)
        return found if isinstance(found, Begun) else None

    hold = await backend.hold("h0")
    assert [await backend.begin(f"h{n}") for n in (1, 2)] == [Waiting(1), Waiting(2)]
    await backend.pass_by(TICKET_SECONDS / 2)
    assert await backend.begin("h2") == Waiting(2)
    await backend.append(hold)
    assert await backend.begin("h2") == Waiting(2)
    begun = await backend.when(lambda: begun_by("h2"), TICKET_SECONDS / 2 + 0.01)
    assert begun.n == 2
    assert await backend.begin("h1") == Waiting(1)


@pytest.mark.asyncio
async def test_a_session_with_nothing_said_in_it_is_given_back_by_who_holds_it(backend):
    hold = await backend.hold("h1")
    await backend.store.release(KEY, "h2")
    await backend.store.release(OTHER, "h1")
    assert await backend.begin("h2") == Waiting(1)
    await backend.store.release(KEY, "h1")
    assert await backend.store.turns(KEY) == ()
    assert await backend.store.orphan(KEY) is None
    assert (await backend.begin("h2")).n == 2
    await backend.store.release(KEY, "h1")
    with pytest.raises(FenceLost):
        await backend.append(hold)
    assert await backend.begin("h3") == Waiting(1)


# -- the same turn asked twice ---------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_turn_that_is_being_answered_for_another_is_followed(backend):
    hold = await backend.hold("h1", turn_id="t")
    assert await backend.begin("h2", turn_id="t") == Asked(1)
    assert await backend.begin("h3", turn_id="u") == Waiting(1)
    await backend.append(hold, turn(1, id="t"))
    assert await backend.begin("h2", turn_id="t") == Asked(1)
    assert (await backend.begin("h3", turn_id="u")).n == 2
    assert await backend.begin("h2", turn_id="t") == Asked(1)


@pytest.mark.asyncio
async def test_a_turn_that_was_answered_long_ago_is_not_asked_anew(backend):
    turns = [await backend.say() for _ in range(15)]
    assert [await backend.begin("h", turn_id=one.id) for one in turns] == [Asked(one.n) for one in turns]
    assert (await backend.begin("h", turn_id="new")).n == 16


@pytest.mark.asyncio
async def test_a_turn_that_was_given_back_is_asked_anew(backend):
    await backend.hold("h1", turn_id="t")
    await backend.store.release(KEY, "h1")
    assert (await backend.begin("h2", turn_id="t")).n == 2


# -- leases and orphans ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_lease_is_renewed_by_who_holds_it_and_nobody_else(backend):
    assert await backend.store.renew(Hold(KEY, 1, "h1"), lasting()) == "lost"
    hold = await backend.hold("h1", lease=0.2)
    assert await backend.store.renew(hold, lasting()) == "held"
    assert await backend.store.renew(Hold(KEY, 1, "h2"), lasting()) == "lost"
    assert await backend.store.renew(Hold(KEY, 2, "h1"), lasting()) == "lost"
    await backend.pass_by(0.25)
    assert await backend.begin("h2") == Waiting(1)
    await backend.append(hold)
    assert await backend.store.renew(hold, lasting()) == "lost"
    assert (await backend.begin("h2")).n == 2
    assert await backend.store.renew(hold, lasting()) == "lost"


@pytest.mark.asyncio
async def test_a_lease_that_ran_out_unnoticed_is_taken_up_again(backend):
    hold = await backend.die()
    assert await backend.store.renew(hold, lasting()) == "held"
    assert await backend.store.orphan(KEY) is None
    assert await backend.begin("next") == Waiting(1)


@pytest.mark.asyncio
async def test_a_lease_that_ran_out_unnoticed_still_stores_its_turn(backend):
    hold = await backend.die()
    await backend.begin("next")
    assert await backend.append(hold) is True
    assert len(await backend.store.turns(KEY)) == 1
    assert (await backend.begin("next")).n == 2


@pytest.mark.asyncio
async def test_a_turn_whose_holder_died_is_told_as_it_was_begun(backend):
    hold = await backend.hold(turn_id="t", prompt="why?", lease=0.2)
    assert await backend.store.orphan(KEY) is None
    orphan = await backend.when(lambda: backend.store.orphan(KEY), 0.2)
    assert (orphan.n, orphan.draft) == (1, Draft("t", "why?", Source("cell", "a.ipynb", "c1")))
    for holder in ("next", hold.holder):
        assert await backend.begin(holder, turn_id="t") == orphan
        assert await backend.begin(holder, turn_id="u") == orphan
    assert (await backend.store.session(KEY)).live_stream_id is None


@pytest.mark.asyncio
async def test_an_orphan_is_settled_by_whoever_finds_it_and_the_next_turn_begins(backend):
    hold = await backend.die(turn_id="t")
    await backend.store.log(hold, texts(1, 1), lasting())
    assert await backend.begin("next") == await backend.store.orphan(KEY)
    cut = turn(1, "ask", "<1>", id="t", status="interrupted", usage=Usage(1))
    assert await backend.store.settle(KEY, cut, ended(1, 2), lasting()) is True
    assert await backend.store.logged(KEY, 1, 0) == Log((*texts(1, 1), ended(1, 2)), live=False)
    assert await backend.store.orphan(KEY) is None
    begun = await backend.begin("next")
    assert (begun.n, begun.turns) == (2, (cut,))
    assert (await backend.store.session(KEY)).usage == Usage(1)


@pytest.mark.asyncio
async def test_an_orphan_is_first_come_first_served_too(backend):
    await backend.die(turn_id="t")
    assert [isinstance(await backend.begin(f"h{n}"), Orphan) for n in (1, 2)] == [True, True]
    assert await backend.store.settle(KEY, turn(1, id="t"), ended(1, 1), lasting())
    assert await backend.begin("h2") == Waiting(2)
    assert (await backend.begin("h1")).n == 2


@pytest.mark.asyncio
async def test_what_is_no_orphan_is_not_settled(backend):
    assert not await backend.store.settle(KEY, turn(1, id="t"), ended(1, 1), lasting())
    hold = await backend.hold("h")
    cut = turn_of(hold, status="interrupted")
    assert not await backend.store.settle(KEY, cut, ended(1, 1), lasting())
    await backend.append(hold, turn_of(hold, "whole"))
    assert not await backend.store.settle(KEY, cut, ended(1, 1), lasting())
    hold = await backend.die()
    assert not await backend.store.settle(KEY, turn(1, id="t"), ended(1, 1), lasting())
    assert await backend.store.settle(KEY, turn_of(hold, "cut"), ended(2, 1), lasting())
    assert await backend.prompts() == ["whole", "cut"]


@pytest.mark.asyncio
async def test_an_orphan_is_settled_once_however_often_somebody_tries(backend):
    hold = await backend.die()
    _, start = await backend.store.feed(KEY, None)
    for event in (ended(1, 1), ended(1, 1), ended(1, 2)):
        assert await backend.store.settle(KEY, turn_of(hold, usage=Usage(1)), event, lasting())
    assert len(await backend.store.turns(KEY)) == 1
    assert (await backend.store.session(KEY)).usage == Usage(1)
    assert (await backend.store.logged(KEY, 1, 0)).events == (ended(1, 1),)
    events, _ = await backend.store.feed(KEY, start)
    assert [event.kind for event in events] == ["turn-ended"]
    assert (await backend.begin("next")).n == 2


@pytest.mark.asyncio
async def test_an_orphan_that_has_said_more_since_is_not_settled(backend):
    hold = await backend.die()
    await backend.store.log(hold, texts(1, 1, 2), lasting())
    assert not await backend.store.settle(KEY, turn_of(hold), ended(1, 2), lasting())
    assert await backend.store.settle(KEY, turn_of(hold), ended(1, 3), lasting())


@pytest.mark.asyncio
async def test_who_lost_the_session_writes_nothing(backend):
    slow = await backend.die()
    await backend.store.settle(KEY, turn_of(slow, "cut"), ended(1, 1), lasting())
    for _ in range(2):
        assert await backend.store.renew(slow, lasting()) == "lost"
        with pytest.raises(FenceLost):
            await backend.store.log(slow, texts(1, 1, 2), lasting())
        with pytest.raises(FenceLost):
            await backend.append(slow, turn_of(slow, "late"), [ended(1, 2)])
        await backend.say("in time")
    assert await backend.prompts() == ["cut", "in time", "in time"]
    assert (await backend.store.logged(KEY, 1, 0)).events == (ended(1, 1),)
