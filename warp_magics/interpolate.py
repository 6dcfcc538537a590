r"""{name} in a prompt: replaced from the notebook in one pass; all other braces stay as they are. Pure.

What is replaced is never read again. LaTeX keeps its braces: those in ``$…$``, ``$$…$$``, ``\(…\)``, ``\[…\]`` (a dollar
sign opens and closes mathematics as in Pandoc's Markdown, so that prices do not), and those right after ``\command``,
``_``, ``^`` or another such group.
"""

from __future__ import annotations

import difflib
import keyword
import re
from typing import TYPE_CHECKING, Any, Final

from .grammar import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = r"[^\W\d]\w*"
_INDEX: Final = rf"""(?:-?\d+|'[^'\\\n]*'|"[^"\\\n]*"|{_NAME})"""
REFERENCE: Final = re.compile(rf"{_NAME}(?:\.{_NAME}|\[{_INDEX}\])*")
"""A name, its attributes and indexes: ``df.shape``, ``rows[0]``, ``Out[3]["a"]``."""
_STEP: Final = re.compile(rf"\.(?P<attribute>{_NAME})|\[(?P<index>{_INDEX})\]")
_PART: Final = re.compile(
    rf"""(?P<maths>
            \$\$(?:(?!\n\s*\n).)+?\$\$
          | (?<![\\$])\$(?![\s$])(?:(?!\n\s*\n)[^$])*(?<![\s\\])\$(?![\d$])
          | \\\((?:(?!\n\s*\n).)+?\\\)
          | \\\[(?:(?!\n\s*\n).)+?\\\]
        )
      | (?P<command>(?:\\[A-Za-z]+\*?|[_^])(?=\{{))
      | \{{(?P<doubled>\{{(?P<kept>{REFERENCE.pattern})\}})\}}
      | \{{(?P<asked>{REFERENCE.pattern})\}}
    """,
    re.VERBOSE | re.DOTALL,
)
_LONGEST: Final = 40


def interpolate(text: str, names: Mapping[str, Any]) -> str:
    """Return ``text`` with each ``{name}`` replaced by what it is in ``names``, and ``{{name}}`` by ``{name}``.

    Raises UsageError, which names it, for a name, attribute or index that does not exist.
    """
    told: list[str] = []
    at = 0
    while found := _PART.search(text, at):
        told.append(text[at : found.start()])
        at = found.end()
        reference = found["asked"] or found["kept"]
        if found["command"]:
            at = _behind_groups(text, at)
            told.append(text[found.start() : at])
        elif reference is None or keyword.iskeyword(reference):
            told.append(found[0])
        else:
            told.append(found["doubled"] or _replaced(reference, names))
    return "".join([*told, text[at:]])


def _replaced(reference: str, names: Mapping[str, Any]) -> str:
    try:
        return text_of(lookup(reference, names))
    except UsageError as error:
        shown = reference if len(reference) <= _LONGEST else f"{reference[:_LONGEST]}…"
        raise UsageError(f"{{{shown}}}: {error} {_WAY_OUT}") from None


def lookup(reference: str, names: Mapping[str, Any]) -> Any:
    """Return what ``reference`` is in ``names``; raises UsageError where it is nothing."""
    head = re.match(_NAME, reference)
    if head is None:
        raise UsageError(f"{reference!r} is no name of a variable.")
    value = _named(head[0], names)
    at = head.end()
    while step := _STEP.match(reference, at):
        so_far = reference[:at]
        at = step.end()
        index = None if step["attribute"] else _index(step["index"], names)
        try:
            value = getattr(value, step["attribute"]) if step["attribute"] else value[index]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UsageError(f"{so_far} has no {reference[len(so_far) : at]} ({type(error).__name__}).") from None
    return value


def text_of(value: Any) -> str:
    """Return ``value`` as a prompt says it: its ``_repr_llm_()`` where it has one, else as ``print`` would."""
    own = getattr(type(value), "_repr_llm_", None)
    return str(value if own is None else own(value))


_WAY_OUT: Final = "Write {{…}} for braces that are to stay, or --raw to replace nothing."


def _named(name: str, names: Mapping[str, Any]) -> Any:
    try:
        return names[name]
    except KeyError:
        near = difflib.get_close_matches(name, [one for one in names if not one.startswith("_")], n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"the notebook has no {name}.{hint}") from None


def _index(said: str, names: Mapping[str, Any]) -> Any:
    if said[0] in "'\"":
        return said[1:-1]
    return int(said) if said.lstrip("-").isdigit() else _named(said, names)


def _behind_groups(text: str, at: int) -> int:
    """Return where the ``{…}`` that follow one another from ``at`` on end; one that does not end is none."""
    while text.startswith("{", at):
        depth, end = 0, at
        for end in range(at, len(text)):
            depth += (text[end] == "{") - (text[end] == "}")
            if not depth:
                break
        if depth:
            return at
        at = end + 1
    return at
