"""Rewind, fork, ask again, go on: which turns go where. Decisions only; a store applies them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .errors import InvalidRequest, TurnNotFound
from .stores.base import Graft, Limb
from .types import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .stores.base import Tree
    from .types import ChatRequest, Source, Turn

OTHERS_WENT_ON: Final = "asked as a new turn: others have gone on in this session since this cell was last asked"
_GO_ON: Final = (
    "Your last answer broke off. Go on exactly where it stopped, without a word of what you have said already."
)
_SESSION_MOVED_ON: Final = "The turn {!r} is not the session's last one: rewind to it first, or ask anew."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn belongs: behind the oldest ``keep`` turns (None: all), or in the place of ``before``, to go on with it."""

    keep: int | None = None
    before: Turn | None = None
    warnings: tuple[str, ...] = ()


def placed(request: ChatRequest, turns: Sequence[Turn]) -> Place:
    """Return where the turn that ``request`` asks for belongs among its session's ``turns``, oldest first.

    Raises TurnNotFound, and InvalidRequest for a turn that cannot be gone on with.
    """
    if request.continues is not None:
        return Place(before=_unfinished(request.continues, turns))
    if request.replaces == "source":
        return _again(request.source, turns)
    if request.replaces is None:
        return Place()
    return Place(_index(request.replaces, turns))


def asked_on(request: ChatRequest, turns: Sequence[Turn], place: Place) -> tuple[ChatRequest, tuple[Turn, ...]]:
    """Return what a model is asked, and the turns before it, for a turn at ``place``."""
    before = place.before
    if before is None:
        stay = tuple(turns if place.keep is None else turns[: place.keep])
    elif before.response:
        return replace(request, prompt=_GO_ON, cache=False), tuple(turns)
    else:
        stay = tuple(turns[:-1])
        asked = before.prompt, before.attachments, before.tool_results
        request = replace(request, prompt=asked[0], attachments=asked[1], tool_results=asked[2])
    new = place.before is None and place.keep is None
    return request if new or request.cache is not None else replace(request, cache=False), stay


def _again(source: Source, turns: Sequence[Turn]) -> Place:
    """Return the place of this source's turn; one that was answered rather than one that failed."""
    of_source = [at for at, turn in enumerate(turns) if turn.source == source] if source.cell else []
    answered = [at for at in of_source if turns[at].status != "failed"]
    if not of_source:
        return Place()
    at = (answered or of_source)[-1]
    if any(_is_elsewhere(turn.source, source) for turn in turns[at + 1 :] if turn.status != "failed"):
        return Place(warnings=(OTHERS_WENT_ON,))
    return Place(at)


def _is_elsewhere(source: Source, here: Source) -> bool:
    return source.kind not in ("cell", "python") or source.notebook != here.notebook


def _unfinished(turn_id: str, turns: Sequence[Turn]) -> Turn:
    turn = turns[_index(turn_id, turns)]
    if turn is not turns[-1]:
        raise InvalidRequest(_SESSION_MOVED_ON.format(turn_id))
    if turn.status == "complete" and turn.result is not Result.MAX_TOKENS:
        raise InvalidRequest("The session's last turn is whole: there is nothing to go on with.")
    return turn


def _index(turn_id: str, turns: Sequence[Turn]) -> int:
    for at, turn in enumerate(turns):
        if turn.id == turn_id:
            return at
    raise TurnNotFound(f"There is no turn {turn_id!r} among those of this session, branches apart.")


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
