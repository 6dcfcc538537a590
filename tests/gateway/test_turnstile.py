"""Of what comes at one moment a few go on at a turn of the loop, first come, first served."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway.turnstile import MOST, Turnstile


async def let_in(count, leaving=()):
    """Have so many come at one moment, of whom some leave again; returns who went on at which turn of the loop."""
    turnstile, turns, went_on = Turnstile(), 0, []

    async def come(number):
        await turnstile.enter()
        went_on.append((turns, number))

    tasks = [asyncio.ensure_future(come(number)) for number in range(count)]
    await asyncio.sleep(0)
    for number in leaving:
        tasks[number].cancel()
    while not all(task.done() for task in tasks):
        turns += 1
        assert turns < 10 * count + 10
        await asyncio.sleep(0)
    return went_on


@given(st.data())
def test_a_few_go_on_at_a_turn_in_their_order_and_who_left_takes_nobodys_place(data):
    count = data.draw(st.integers(1, 40))
    leaving = data.draw(st.sets(st.integers(0, count - 1)))
    went_on = asyncio.run(let_in(count, leaving))
    numbers = [number for _, number in went_on]
    assert numbers == sorted(numbers)
    assert set(numbers) >= set(range(count)) - leaving
    by_turn = Counter(turn for turn, _ in went_on)
    assert all(many <= MOST for many in by_turn.values())
    assert len(by_turn) <= -(-len(numbers) // MOST) + 1


async def test_who_comes_alone_goes_on_at_once():
    turnstile = Turnstile()
    for _ in range(3):
        with pytest.raises(StopIteration):  # how a coroutine ends that waits for nothing
            turnstile.enter().send(None)
        for _ in range(3):
            await asyncio.sleep(0)
