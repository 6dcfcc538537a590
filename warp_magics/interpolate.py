r"""{name} in a prompt: replaced from the notebook in one pass; all other braces stay as they are. Pure.

What is replaced is never read again. LaTeX keeps its braces: those in ``$…$``, ``$$…$$``, ``\(…\)``, ``\[…\]`` (a dollar
sign opens and closes mathematics as in Pandoc's Markdown, so that prices do not), and those right after ``\command``,
``_``, ``^`` or another such group.
"""

from __future__ import annotations

import difflib
import keyword
import re
import traceback
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
    rf"""(?P<opens>\$\$|\\\(|\\\[)
      | (?P<maths>(?<![\\$])\$(?![\s$])(?:(?!\n\s*\n)[^$])*(?<![\s\\])\$(?![\d$]))
      | (?P<command>(?:\\[A-Za-z]+\*?|[_^])(?=\{{))
      | \{{(?P<doubled>\{{(?P<kept>{REFERENCE.pattern})\}})\}}
      | \{{(?P<asked>{REFERENCE.pattern})\}}
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSES: Final = {"$$": re.compile(r"\$\$"), r"\(": re.compile(r"\\\)"), r"\[": re.compile(r"\\\]")}
_BLANK_LINE: Final = re.compile(r"\n\s*\n")
_BRACE: Final = re.compile(r"[{}]")
_SHELLS: Final = frozenset({"In", "Out", "exit", "quit", "open", "get_ipython"})
"""What IPython puts among a notebook's names."""
_LONGEST: Final = 40
_QUOTED: Final = 200


def interpolate(text: str, names: Mapping[str, Any]) -> str:
    """Return ``text`` with each ``{name}`` replaced by what it is in ``names``, and ``{{name}}`` by ``{name}``.

    Raises UsageError, which names it, for a name, attribute or index that does not exist.
    """
    told: list[str] = []
    at = 0
    ends = _Ends(text)
    while found := _PART.search(text, at):
        told.append(text[at : found.start()])
        at = found.end()
        reference = found["asked"] or found["kept"]
        if found["opens"]:
            at = ends.behind_maths(found.start())
        elif found["command"]:
            at = ends.behind_groups(at)
        if reference is None or keyword.iskeyword(reference):
            told.append(text[found.start() : at])
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
        value = _taken(value, step, names, reference[:at])
        at = step.end()
    return value


def text_of(value: Any) -> str:
    """Return ``value`` as a prompt says it: its ``_repr_llm_()`` where it has one, else as ``print`` would.

    Raises UsageError where the object's own code fails at that.
    """
    own = getattr(type(value), "_repr_llm_", None)
    try:
        return str(value if own is None else own(value))
    except Exception as error:
        what = "str()" if own is None else "_repr_llm_()"
        raise UsageError(f"{what} of a {type(value).__name__} raised {raised(error)}.") from error


def raised(error: BaseException) -> str:
    """Return an exception's type and the first line of its text, as a message of ours quotes them."""
    lines = "".join(traceback.format_exception_only(error)).splitlines()
    line = next(line for line in lines if not line.startswith(" "))  # a SyntaxError begins with its place
    told = f"{type(error).__name__}{''.join(line.partition(':')[1:])}".rstrip(".: ")
    return told if len(told) <= _QUOTED else f"{told[:_QUOTED]}…"


_WAY_OUT: Final = "Write {{…}} for braces that are to stay, or --raw to replace nothing."


def _named(name: str, names: Mapping[str, Any]) -> Any:
    try:
        return names[name]
    except KeyError:
        own = [one for one in names if not one.startswith("_") and one not in _SHELLS]
        near = difflib.get_close_matches(name, own, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"the notebook has no {name}.{hint}") from None


def _taken(value: Any, step: re.Match[str], names: Mapping[str, Any], so_far: str) -> Any:
    """Return the attribute or index of ``value`` that ``step`` says; ``so_far`` is what it is called."""
    attribute, index = step["attribute"], step["index"] and _index(step["index"], names)
    missing = (AttributeError,) if attribute else (LookupError, TypeError, ValueError)
    try:
        return getattr(value, attribute) if attribute else value[index]
    except missing as error:
        raise UsageError(f"{so_far} has no {step[0]} ({raised(error)}).") from None
    except Exception as error:
        raise UsageError(f"{so_far}{step[0]} raised {raised(error)}.") from error


def _index(said: str, names: Mapping[str, Any]) -> Any:
    if said[0] in "'\"":
        return said[1:-1]
    if not said.removeprefix("-").isdecimal():
        return _named(said, names)
    try:
        return int(said)
    except ValueError as error:  # thousands of digits
        raise UsageError(f"[{said[:_LONGEST]}…] is no index ({raised(error)}).") from None


class _Ends:
    """Where what opens in ``text`` ends; asked from its beginning on, it reads the text once, whatever stays open."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._groups: dict[int, int] = {}
        self._next: dict[re.Pattern[str], int] = {}
        opened: list[int] = []
        for brace in _BRACE.finditer(text):
            if brace[0] == "{":
                opened.append(brace.start())
            elif opened:
                self._groups[opened.pop()] = brace.end()

    def behind_groups(self, at: int) -> int:
        """Return where the ``{…}`` that follow one another from ``at`` on end; one that does not end is none."""
        while at in self._groups:
            at = self._groups[at]
        return at

    def behind_maths(self, at: int) -> int:
        """Return where the display that opens at ``at`` ends, before a blank line; behind its first sign for nowhere."""
        closes = _CLOSES[self._text[at : at + 2]]
        end = self._first(closes, at + 3)  # what it holds is not nothing
        return end + 2 if end < self._first(_BLANK_LINE, at + 2) else at + 1

    def _first(self, what: re.Pattern[str], at: int) -> int:
        if self._next.get(what, -1) < at:
            found = what.search(self._text, at)
            self._next[what] = found.start() if found else len(self._text)
        return self._next[what]
