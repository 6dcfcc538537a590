"""The words of ``%%warp`` and ``%warp``: options, sub-commands, their help. A line in, a parsed command out."""

from __future__ import annotations

import argparse
import difflib
import keyword
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


class UsageError(ValueError):
    """A line cannot be read; the message names the word at fault and the nearest that would do."""


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What the line of a ``%%warp`` cell says; None is "not said"."""

    session: str | None
    models: tuple[str, ...]
    context: str | None
    temperature: float | None
    max_tokens: int | None
    stream: bool
    out: str | None
    on_break: Literal["restart", "splice", "error"] = "restart"
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A ``%warp`` line: its sub-command (empty: the overview) and the words after it."""

    name: str
    words: tuple[str, ...]


COMMANDS: Final = {
    "": ("", "which gateway this is, the current session, the models and the storage"),
    "use": ("ID", "make ID the session of cells that name none"),
    "sessions": ("[TEXT]", "the sessions, last used first; with TEXT those whose id or title holds it"),
    "history": ("[ID]", "a session's turns; without ID those of the current session"),
    "models": ("", "the configured models and their state"),
    "connect": ("URL [URL…]", "use the gateway at URL, or at any of several URLs of one, from now on"),
    "help": ("", "this page"),
}
_HELP_WIDTH: Final = 80  # the terminal's own would make help differ from place to place
_MOST: Final[dict[str, int | None]] = {
    "": 0,
    "use": 1,
    "sessions": 1,
    "history": 1,
    "models": 0,
    "connect": None,
    "help": 0,
}
_NEEDS: Final = {"use": "the ID of a session", "connect": "the URL of a gateway, http://HOST:PORT/warp"}


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process, and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message[:1].upper() + message[1:] + ". %%warp? shows the options.")


def _cell_parser() -> _Parser:
    parser = _Parser(
        prog="%%warp",
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=_HELP_WIDTH),
    )
    add = parser.add_argument
    add("-s", "--session", metavar="ID", help="the conversation; created on first use")
    add("-m", "--model", metavar="SPEC", action="append", default=[], help="provider:model; again for a fallback")
    add("-c", "--context", metavar="TEXT", help="system text")
    add("-t", "--temperature", metavar="N", type=float, help="0 is a value: the least random answer")
    add("--max-tokens", metavar="N", type=int, help="the most tokens an answer may have")
    add("--no-stream", action="store_true", help="show the answer once, when it is whole")
    add(
        "--on-break",
        metavar="HOW",
        choices=("restart", "splice", "error"),
        default="restart",
        help="when a model breaks off in mid-answer: restart, splice or error",
    )
    add("--cache", action="store_true", help="take the answer from the cache, where it holds one")
    add("-o", "--out", metavar="NAME", help="bind the reply (.text .model .usage .cost .route .session .turn)")
    return parser


def cell_options(line: str) -> CellOptions:
    """Return what the line of a ``%%warp`` cell says; raises UsageError."""
    parser = _cell_parser()
    try:
        said, rest = parser.parse_known_args(_words(line))
    except argparse.ArgumentError as error:
        raise UsageError(f"{error}. %%warp? shows the options.") from None
    if rest:
        raise UsageError(_unknown(rest[0], [*parser._option_string_actions], "option"))  # noqa: SLF001
    if said.out is not None and (not said.out.isidentifier() or keyword.iskeyword(said.out)):
        raise UsageError(f"--out {said.out!r} is not a name a variable can have.")
    if said.temperature is not None and not 0 <= said.temperature <= 2:  # noqa: PLR2004 - the field's range
        raise UsageError(f"--temperature {said.temperature:g} is outside of 0 to 2.")
    if said.max_tokens is not None and said.max_tokens < 1:
        raise UsageError(f"--max-tokens {said.max_tokens} is less than 1.")
    return CellOptions(
        session=said.session,
        models=tuple(said.model),
        context=said.context,
        temperature=said.temperature,
        max_tokens=said.max_tokens,
        stream=not said.no_stream,
        out=said.out,
        on_break=said.on_break,
        cache=said.cache,
    )


def command(line: str) -> Command:
    """Return the command of a ``%warp`` line; raises UsageError."""
    name, *words = _words(line) or [""]
    if name not in COMMANDS:
        raise UsageError(_unknown(name, [known for known in COMMANDS if known], "sub-command"))
    most = _MOST[name]
    if most is not None and len(words) > most:
        raise UsageError(f"%warp {name} {COMMANDS[name][0]}".strip() + f": {words[most]!r} is one word too many.")
    if name in _NEEDS and not words:
        raise UsageError(f"%warp {name} needs {_NEEDS[name]}.")
    return Command(name, tuple(words))


def cell_help() -> str:
    """Return the options of ``%%warp``, as many lines as fit a screen."""
    return f"%%warp [options]\nprompt, as many lines as you like\n\n{_cell_parser().format_help().partition(chr(10) * 2)[2]}"


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be read: {str(error).lower()}. Put text with spaces into quotes.") from None


def _unknown(word: str, known: Sequence[str], what: str) -> str:
    near = difflib.get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}."
    return f"There is no {what} {word!r}{hint}"
