"""Misses: why a prompt is not on the tape, told by what differs from the entry that is nearest to it. Pure."""

from __future__ import annotations

import difflib
import json
import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_WORDS: Final = re.compile(r"\s+|[0-9A-Za-z_\u00c0-\u024f]+|[^\s]")
"""Words of Latin letters; other scripts letter by letter, for they may have no blanks."""
_AROUND: Final = 6  # words and spaces that are shown on each side of a change
_LONG: Final = 4000  # characters of a text that are compared to find the nearest entry
_MANY: Final = 400  # words up to which what is between the first and the last change is compared word by word
_SHOWN: Final = 600  # characters of one difference
_PROMPT: Final = 4.0
"""How much more another prompt matters than anything else that is another one."""
_LEAST: Final = 0.3
"""How like an entry's prompt must be to the one asked, from 0 to 1, for the two to be compared."""
_NOTHING: Final[Mapping[str, Any]] = {}


def differences(asked: Mapping[str, Any], entries: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return lines that say how ``asked`` differs from the nearest of ``entries`` (name, what it asked).

    The first names that entry. Where none is near there is one line, which says so.
    """
    best = min(
        ((_distance(asked, other), name, other) for name, other in entries), default=None, key=lambda one: one[:2]
    )
    if best is None:
        return ["The tape is empty."]
    _, name, other = best
    if _likeness(other.get("prompt", ""), asked.get("prompt", "")) < _LEAST:
        return ["No prompt on the tape is like it."]
    return [
        f"The nearest is {name}.json; where they differ, [-it says this-]{{+and the cell that+}}:",
        *_told(other, asked),
    ]


def _told(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    yield from _turns(was.get("turns", ()), now.get("turns", ()))
    for name in ("prompt", "context"):
        if was.get(name, "") != now.get(name, ""):
            yield f"  {name}: {words_of(was.get(name, ''), now.get(name, ''))}"
    yield from _attachments("attachment", was.get("attachments", ()), now.get("attachments", ()))
    before, after = was.get("parameters", _NOTHING), now.get("parameters", _NOTHING)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"  {name}: {_change(before.get(name), after.get(name))}"
    for name in ("models", "tool_choice", "tools", "tool_results", "schema"):
        if was.get(name) != now.get(name):
            yield f"  {name}: {_change(was.get(name), now.get(name))}"


def _turns(was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of the first turn before the prompt that is another one: those after it follow from it."""
    if len(was) != len(now):
        yield f"  turns before it: {_change(len(was), len(now))}"
    for number, (before, after) in enumerate(zip(was, now, strict=False), start=1):
        if before == after:
            continue
        for name, what in (("prompt", "prompt"), ("response", "answer")):
            if before.get(name, "") != after.get(name, ""):
                yield f"  the {what} of turn {number} before it: {words_of(before.get(name, ''), after.get(name, ''))}"
        yield from _attachments(
            f"attachment of turn {number}", before.get("attachments", ()), after.get("attachments", ())
        )
        for name in ("calls", "tool_results"):
            if before.get(name) != after.get(name):
                yield f"  {name} of turn {number}: {_change(before.get(name), after.get(name))}"
        return


def _attachments(what: str, was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if was == now:
        return
    before, after = [one.get("name", "") for one in was], [one.get("name", "") for one in now]
    if before == after:
        for name, one, other in zip(before, was, now, strict=True):
            if one != other:
                yield f"  {what} {name}: its content has changed"
    elif sorted(before) == sorted(after):
        yield f"  {what}s: in another order"
    else:
        yield from (
            f"  {what} {name}: [-{name}-], the cell has none of that name" for name in before if name not in after
        )
        yield from (
            f"  {what} {name}: {{+{name}+}}, the tape has none of that name" for name in after if name not in before
        )


def _change(was: object, now: object) -> str:
    told = [json.dumps(one, ensure_ascii=False, sort_keys=True) for one in (was, now)]
    old, new = ("" if one is None else text for one, text in zip((was, now), told, strict=True))
    if max(len(old), len(new)) > 2 * _AROUND * 4:
        return words_of(old, new)
    return (f"[-{old}-]" if old else "") + (f"{{+{new}+}}" if new else "")


def words_of(was: str, now: str) -> str:
    """Return how ``was`` became ``now``: ``[-gone-]{+come+}`` as git's word diff writes it, with a few words around."""
    old, new = _WORDS.findall(was), _WORDS.findall(now)
    head = _same(old, new)
    tail = _same(old[head:][::-1], new[head:][::-1])
    same = _stretch(old[:head], first=True, last=False), _stretch(old[len(old) - tail :], first=False, last=True)
    between = "".join(_changed(old[head : len(old) - tail], new[head : len(new) - tail]))
    text = f"{same[0]}{between}{same[1]}".replace("\n", "⏎")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _changed(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Yield what has changed, of which the first words and the last ones are not the same."""
    if max(len(old), len(new)) > _MANY:  # then only where it begins, for to compare all takes long
        old, new = [*old[:_AROUND], "…"], [*new[:_AROUND], "…"]
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for kind, a, b, c, d in steps:
        if kind == "equal":
            yield _stretch(old[a:b], first=False, last=False)
        else:
            gone, come = "".join(old[a:b]), "".join(new[c:d])
            yield (f"[-{gone}-]" if gone else "") + (f"{{+{come}+}}" if come else "")


def _stretch(words: Sequence[str], *, first: bool, last: bool) -> str:
    """Return what is the same, cut where it is far from any change."""
    head = 0 if first else _AROUND
    tail = 0 if last else _AROUND
    if len(words) <= head + tail:
        return "".join(words)
    return "".join(words[:head]) + "…" + "".join(words[len(words) - tail :])


def _distance(asked: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return how far the two are apart: a point for each field that differs, less for a text that is nearly the same."""
    apart = _PROMPT * (1.0 - _likeness(asked.get("prompt", ""), other.get("prompt", "")))
    apart += 1.0 - _likeness(asked.get("context", ""), other.get("context", ""))
    apart += abs(len(asked.get("turns", ())) - len(other.get("turns", ())))
    apart += sum(a != b for a, b in zip(asked.get("turns", ()), other.get("turns", ()), strict=False)) / 2
    for name in ("models", "attachments", "parameters", "tools", "tool_choice", "tool_results", "schema"):
        apart += asked.get(name) != other.get(name)
    return float(apart)


def _likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    words, others = ([word for word in _WORDS.findall(text[:_LONG]) if not word.isspace()] for text in (one, other))
    return float(difflib.SequenceMatcher(None, words, others, autojunk=False).quick_ratio())
