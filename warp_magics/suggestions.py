"""Prompts that make sense in a notebook as it stands, for who does not know yet what to ask. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .nearby import Nearby

COUNT: Final = 3
"""How many there always are."""
_OF_GROUP: Final = {
    "table": (
        "What stands out in {name}?",
        "Write code for the chart that shows {name} best.",
        "What in {name} should be cleaned before it is used?",
    ),
    "series": ("Describe how the values of {name} are distributed.",),
    "array": ("Describe the values of {name}, and what looks odd in them.",),
    "figure": ("What does {name} show, and what could it show better?",),
    "image": ("Describe {name}.",),
    "error": ("Why was {name} raised, and how do I put it right?",),
    "data": ("Sum up what {name} holds.",),
}
_GENERAL: Final = (
    "Write code that reads a CSV file and shows its first rows.",
    "Which public data would make a good example to explore, and how do I load it?",
    "Explain list comprehensions in Python with three examples.",
)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A prompt, and the names of what goes along with it."""

    text: str
    attach: tuple[str, ...] = ()


def suggestions(nearby: Sequence[Nearby], failure: str | None = None) -> tuple[Suggestion, ...]:
    """Return three prompts: of the cell that failed last (``failure`` names it), of what there is, else general ones."""
    found = [Suggestion("Why did the last cell fail, and how do I mend it?", (failure,))] if failure else []
    # One thing each, the first that ``nearby`` has of each group; then more of the first thing; then anything.
    firsts = list({one.group: one for one in reversed(nearby) if _worth(one)}.values())
    order = list(_OF_GROUP)
    firsts.sort(key=lambda one: order.index(one.group))
    found += [_about(one, 0) for one in firsts]
    found += [_about(one, at) for one in firsts for at in range(1, len(_OF_GROUP[one.group]))]
    return (*found, *map(Suggestion, _GENERAL))[:COUNT]


def _worth(one: Nearby) -> bool:
    """Return whether there is something to say of it: a number or a name is soon told."""
    return one.group != "data" or one.kind in ("list", "dict", "tuple", "set") or not one.detail


def _about(one: Nearby, at: int) -> Suggestion:
    return Suggestion(_OF_GROUP[one.group][at].format(name=one.name), (one.name,))
