"""Rewind and fork: which turns go where. Decisions only; a store applies them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .errors import TurnNotFound
from .stores.base import Graft, Limb

if TYPE_CHECKING:
    from .stores.base import Tree
    from .types import Turn


def rewound(tree: Tree, to: str | None, now: float) -> Graft | None:
    """Return the change after which the turn ``to`` is the last one (None: there is none); None where it is already.

    What stood behind it is kept as branches, made at ``now`` (Unix seconds). Where ``to`` is a turn of a branch,
    the branches on the way to it come back; what they hold behind the way stays in them, or they go.
    Raises TurnNotFound.
    """
    way = _way(tree, to)
    tail = tree.turns[way.keep :]
    if not tail and not way.add:
        return None
    put_aside = (Limb(tree.next_branch, way.joint, now, tail),) if tail else ()
    return Graft(way.keep, way.add, (*way.passed, *put_aside))


def forked(tree: Tree, at: str | None) -> tuple[Turn, ...]:
    """Return the turns up to and with ``at``, oldest first, also of a branch; None: the whole main line.

    Raises TurnNotFound.
    """
    if at is None:
        return tree.turns
    way = _way(tree, at)
    return tree.turns[: way.keep] + way.add


@dataclass(frozen=True, slots=True)
class _Way:
    """How one gets to a turn: the oldest ``keep`` turns of the main line, the last of them ``joint``, then ``add``.

    ``passed`` are the branches it leads through, as they are without it.
    """

    keep: int
    joint: str | None
    add: tuple[Turn, ...]
    passed: tuple[Limb, ...]


def _way(tree: Tree, to: str | None) -> _Way:
    main = {turn.id: count for count, turn in enumerate(tree.turns, 1)}
    hung = {turn.id: (limb, count) for limb in tree.branches for count, turn in enumerate(limb.turns, 1)}
    add: tuple[Turn, ...] = ()
    passed: tuple[Limb, ...] = ()
    while to is not None and to not in main:
        if to not in hung:
            raise TurnNotFound(f"There is no turn {to!r} in this session, in no branch either.")
        limb, count = hung[to]
        add = limb.turns[:count] + add
        passed += (replace(limb, after=to, turns=limb.turns[count:]),)
        to = limb.after
    return _Way(0 if to is None else main[to], to, add, passed)
