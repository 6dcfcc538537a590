from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.kit import turn
from warp_magics.gateway.branches import forked, rewound
from warp_magics.gateway.errors import TurnNotFound
from warp_magics.gateway.stores.base import Limb, Tree

NOW = 1000.0


def applied(tree, change):
    """What a store does with a change."""
    branches = {limb.number: limb for limb in tree.branches} | {limb.number: limb for limb in change.branches}
    return Tree(
        tree.version + 1,
        tree.turns[: change.keep] + change.add,
        tuple(limb for limb in branches.values() if limb.turns),
        max([tree.next_branch, *(number + 1 for number in branches)]),
    )


def to(tree, turn_id):
    change = rewound(tree, turn_id, NOW)
    return tree if change is None else applied(tree, change)


def asked(tree, n):
    return replace(tree, version=tree.version + 1, turns=(*tree.turns, turn(n)))


def line(*numbers):
    return tuple(turn(n) for n in numbers)


def drawn(tree):
    """The main line, and of each branch its number, where it hangs and its turns."""
    branches = [(limb.number, limb.after, [one.id for one in limb.turns]) for limb in tree.branches]
    return [one.id for one in tree.turns], branches


THREE = Tree(1, line(1, 2, 3))
FORKED = Tree(7, line(1, 5), (Limb(1, "t1", 10.0, line(2, 3, 4)), Limb(2, "t3", 20.0, line(6, 7))), 3)
"""Main line 1, 5; behind 1 hangs 2, 3, 4; behind 3 hangs 6, 7."""


@pytest.mark.parametrize(
    ("tree", "turn_id", "main", "branches"),
    [
        (THREE, "t1", ["t1"], [(1, "t1", ["t2", "t3"])]),
        (THREE, None, [], [(1, None, ["t1", "t2", "t3"])]),
        (FORKED, "t1", ["t1"], [(1, "t1", ["t2", "t3", "t4"]), (2, "t3", ["t6", "t7"]), (3, "t1", ["t5"])]),
        (FORKED, "t4", ["t1", "t2", "t3", "t4"], [(2, "t3", ["t6", "t7"]), (3, "t1", ["t5"])]),
        (FORKED, "t2", ["t1", "t2"], [(1, "t2", ["t3", "t4"]), (2, "t3", ["t6", "t7"]), (3, "t1", ["t5"])]),
        (FORKED, "t7", ["t1", "t2", "t3", "t6", "t7"], [(1, "t3", ["t4"]), (3, "t1", ["t5"])]),
        (FORKED, "t6", ["t1", "t2", "t3", "t6"], [(1, "t3", ["t4"]), (2, "t6", ["t7"]), (3, "t1", ["t5"])]),
    ],
)
def test_what_a_rewind_makes_of_a_tree(tree, turn_id, main, branches):
    assert drawn(to(tree, turn_id)) == (main, branches)


def test_a_branch_from_the_beginning_comes_back_whole():
    emptied = to(THREE, None)
    assert drawn(to(emptied, "t3")) == (["t1", "t2", "t3"], [])
    assert drawn(to(asked(emptied, 4), "t2")) == (["t1", "t2"], [(1, "t2", ["t3"]), (2, None, ["t4"])])


def test_nothing_is_said_of_a_branch_that_neither_is_nor_was():
    back = rewound(to(THREE, "t1"), "t3", NOW)
    assert [(limb.number, limb.turns) for limb in back.branches] == [(1, ())]


def test_a_branch_that_stays_keeps_its_age_and_a_new_one_has_the_time_of_the_rewind():
    ages = {limb.number: limb.created_at for limb in to(FORKED, "t2").branches}
    assert ages == {1: 10.0, 2: 20.0, 3: NOW}


@pytest.mark.parametrize(("tree", "turn_id"), [(THREE, "t3"), (FORKED, "t5"), (Tree(1, ()), None)])
def test_to_where_one_is_changes_nothing(tree, turn_id):
    assert rewound(tree, turn_id, NOW) is None


@pytest.mark.parametrize("decide", [lambda at: rewound(FORKED, at, NOW), lambda at: forked(FORKED, at)])
def test_a_turn_that_is_not_there_is_named(decide):
    with pytest.raises(TurnNotFound, match="'t99'"):
        decide("t99")


@pytest.mark.parametrize(
    ("at", "numbers"),
    [(None, [1, 5]), ("t1", [1]), ("t5", [1, 5]), ("t3", [1, 2, 3]), ("t4", [1, 2, 3, 4]), ("t6", [1, 2, 3, 6])],
)
def test_a_fork_is_the_way_to_its_turn_with_the_numbers_it_had(at, numbers):
    assert [one.n for one in forked(FORKED, at)] == numbers


def test_a_fork_of_an_empty_session_is_empty():
    assert forked(Tree(1, ()), None) == ()


# -- whatever is done, in whatever order -----------------------------------------------------------

STEPS = st.lists(st.one_of(st.just("ask"), st.integers(0, 40)), max_size=40)
"""Ask, or rewind to the turn of that place among those there are; to before all where there is none."""


def lived(steps):
    """The tree after each step, where the step was to lead (0: nowhere), and of each turn what it was asked behind."""
    tree, parents = Tree(1, ()), {}
    for step in steps:
        if step == "ask":
            n = len(parents) + 1
            parents[f"t{n}"] = tree.turns[-1].id if tree.turns else None
            tree = asked(tree, n)
            aim = f"t{n}"
        else:
            place = step % (len(parents) + 1)
            aim = f"t{place}" if place else None
            tree = to(tree, aim)
        yield tree, aim, dict(parents)


def lineage(turn_id, parents):
    found = []
    while turn_id is not None:
        found.insert(0, turn_id)
        turn_id = parents[turn_id]
    return found


@given(STEPS)
def test_a_turn_is_always_there_once_and_what_it_was_asked_behind_stays_before_it(steps):
    for tree, aim, parents in lived(steps):
        everywhere = [*tree.turns, *(one for limb in tree.branches for one in limb.turns)]
        assert sorted(one.id for one in everywhere) == sorted(parents)
        assert [one.id for one in tree.turns] == lineage(aim, parents)
        for turn_id in parents:
            path = forked(tree, turn_id)
            assert [one.id for one in path] == lineage(turn_id, parents)
            assert [one.n for one in path] == sorted(one.n for one in path)


@given(STEPS)
def test_branches_hang_somewhere_hold_something_and_are_each_another(steps):
    for tree, _, parents in lived(steps):
        assert all(limb.after is None or limb.after in parents for limb in tree.branches)
        assert all(limb.turns for limb in tree.branches)
        numbers = [limb.number for limb in tree.branches]
        assert len(numbers) == len(set(numbers))
        assert all(number < tree.next_branch for number in numbers)


@given(STEPS, st.integers(0, 40))
def test_there_and_back_is_the_same_main_line_and_going_on_and_on_piles_nothing_up(steps, place):
    *_, (tree, here, parents) = [(Tree(1, ()), None, {}), *lived(steps)]
    there = ([None, *parents])[place % (len(parents) + 1)]
    away = to(tree, there)
    back = to(away, here)
    assert back.turns == tree.turns
    assert to(back, there).turns == away.turns
    assert len(to(to(back, there), here).branches) == len(back.branches)
