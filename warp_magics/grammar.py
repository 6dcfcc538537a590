"""The words of ``%%warp`` and ``%warp``: options, sub-commands, their help. A line in, a parsed command out."""

from __future__ import annotations

import argparse
import difflib
import keyword
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias

from .gateway import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class UsageError(errors.InvalidRequest, ValueError):
    """A line cannot be read; the message names the word at fault and the nearest that would do."""


Format: TypeAlias = Literal["markdown", "text", "code", "json", "html", "math"]
FORMATS: Final[tuple[Format, ...]] = ("markdown", "text", "code", "json", "html", "math")
ON_BREAK: Final = ("restart", "splice", "error")


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What the line of a ``%%warp`` cell says; None is "not said", ``timeout`` is in seconds."""

    session: str | None = None
    models: tuple[str, ...] = ()
    context: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    format: Format = "markdown"
    schema: str | None = None
    attach: tuple[str, ...] = ()
    out: str | None = None
    on_break: Literal["restart", "splice", "error"] = "restart"
    timeout: float | None = None
    stream: bool = True
    raw: bool = False
    append: bool = False
    cache: bool = False
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """An option of ``%%warp``; ``value`` is the word its help has for what follows it, empty for a switch.

    ``offers`` says what Tab completes it with: ``models``, ``sessions``, ``variables``, or the values themselves.
    """

    names: tuple[str, ...]
    value: str
    help: str
    offers: str | tuple[str, ...] = ()
    kind: type[str | int | float] = str
    many: bool = False


OPTIONS: Final = (
    Option(("-s", "--session"), "ID", "the conversation; created on first use", "sessions"),
    Option(("-m", "--model"), "SPEC", "provider:model or an alias; again for a fallback", "models", many=True),
    Option(("-c", "--context"), "TEXT", "system text; @NAME takes it from a variable", "@variables"),
    Option(("-a", "--attach"), "NAME", "data, figure, image, file, exception; repeatable", "variables", many=True),
    Option(("-o", "--out"), "NAME", "bind the reply: .text .value .model .usage .cost …", "variables"),
    Option(("-f", "--format"), "HOW", "markdown, text, code, json, html or math", FORMATS),
    Option(("--schema",), "NAME", "an answer of this type, as .value of the reply", "variables"),
    Option(("-t", "--temperature"), "N", "0 to 2; 0 is a value: the least random answer", kind=float),
    Option(("--max-tokens",), "N", "the most tokens an answer may have", kind=int),
    Option(("--top-p",), "N", "more than 0, up to 1", kind=float),
    Option(("--seed",), "N", "the same seed asks for the same answer", kind=int),
    Option(("--stop",), "TEXT", "end the answer before this text; repeatable", many=True),
    Option(("--timeout",), "S", "seconds that the whole answer may take", kind=float),
    Option(("--on-break",), "HOW", "when a model breaks off: restart, splice or error", ON_BREAK),
    Option(("--raw",), "", "replace no {name} in the prompt"),
    Option(("--append",), "", "ask as a new turn, also when this cell runs again"),
    Option(("--cache",), "", "take the answer from the cache, if it is there"),
    Option(("--no-stream",), "", "show the answer once, when it is whole"),
    Option(("--dry",), "", "show what would be sent and its cost; send nothing"),
)


@dataclass(frozen=True, slots=True)
class Verb:
    """A sub-command of ``%warp``: the words after it, what it does, how many words it needs and takes (None: any)."""

    words: str
    help: str
    least: int = 0
    most: int | None = 0
    offers: str | tuple[str, ...] = ()
    """What Tab completes its first word with."""
    options: tuple[str, ...] = ()


TAPE: Final = ("record", "replay", "auto", "off", "status", "prune")
COMMANDS: Final = {
    "": Verb("", "the gateway and why, session, models, storage"),
    "use": Verb("ID", "make ID the session of cells that name none", 1, 1, "sessions"),
    "new": Verb("[ID]", "begin a session, and use it", 0, 1),
    "sessions": Verb("[TEXT]", "the sessions, or those with TEXT in id or title", 0, 1),
    "history": Verb("[ID]", "a session's turns; without ID the current one's", 0, 1, "sessions"),
    "tree": Verb("[ID]", "its turns with the branches beside them", 0, 1, "sessions"),
    "fork": Verb("ID [NEW] [--at N]", "a new session with ID's turns, up to turn N", 1, 2, "sessions", ("--at",)),
    "rewind": Verb("N", "end with turn N; those behind become a branch", 1, 1),
    "rename": Verb("ID TITLE", "give a session a title", 2, None, "sessions"),
    "delete": Verb("ID", "remove a session, its turns and branches", 1, 1, "sessions"),
    "export": Verb("ID FILE", "to .json, .md or .ipynb; --force overwrites", 2, 2, "sessions", ("--force",)),
    "resume": Verb("[ID]", "show the last answer, also one being made", 0, 1, "sessions"),
    "continue": Verb("[ID]", "go on with a turn that was stopped or broke off", 0, 1, "sessions"),
    "stop": Verb("[ID]", "stop the answer being made in a session", 0, 1, "sessions"),
    "models": Verb("", "the configured models and their state"),
    "usage": Verb("[BY]", "tokens and cost by model, session or day", 0, 1, ("model", "session", "day")),
    "chat": Verb("[ID]", "a panel to chat in a session", 0, 1, "sessions"),
    "fix": Verb("", "explain the last exception, mend its cell"),
    "connect": Verb("URL [URL…]", "use the gateway at URL, or any of its URLs", 1, None),
    "tape": Verb("[WHAT [DIR]]", "record, replay or auto; off, status, prune", 0, 2, TAPE, ("--realtime", "--all")),
    "config": Verb("[NAME VALUE]", "this kernel's settings; change one", 0, 2, "settings"),
    "help": Verb("", "this page; %%warp? shows the options of a cell"),
}
_NEEDS: Final = {"connect": "the URL of a gateway, http://HOST:PORT/warp", "rewind": "the number N of a turn"}
_WAY_OUT: Final = "%%warp? shows the options."


@dataclass(frozen=True, slots=True)
class Command:
    """A ``%warp`` line: its sub-command (empty: the overview), the words after it, and its options."""

    name: str
    words: tuple[str, ...]
    at: int | None = None
    force: bool = False
    realtime: bool = False
    everything: bool = False


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process, and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. {_WAY_OUT}")


def _number_of(kind: type[int | float], what: str) -> Callable[[str], int | float]:
    def read(text: str) -> int | float:
        try:
            return kind(text)
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"takes {what}, not {text!r}") from None

    return read


_KINDS: Final = {str: str, float: _number_of(float, "a number"), int: _number_of(int, "a whole number")}


def _cell_parser() -> _Parser:
    parser = _Parser(prog="%%warp", add_help=False, allow_abbrev=False, exit_on_error=False)
    for one in OPTIONS:
        given: dict[str, Any] = {"action": "store_true"}
        if one.value:
            given = {"metavar": one.value, "type": _KINDS[one.kind], "action": "append" if one.many else "store"}
            given |= {"default": []} if one.many else {}
        parser.add_argument(*one.names, **given)
    return parser


def cell_options(line: str) -> CellOptions:
    """Return what the line of a ``%%warp`` cell says; raises UsageError."""
    try:
        said, rest = _cell_parser().parse_known_args(_words(line))
    except argparse.ArgumentError as error:
        name = (error.argument_name or "").split("/")[-1]
        raise UsageError(f"{name} {error.message}. {_WAY_OUT}".strip()) from None
    if rest:
        raise UsageError(_stray(rest[0]))
    _check(said)
    return CellOptions(
        session=said.session,
        models=tuple(said.model),
        context=said.context,
        temperature=said.temperature,
        max_tokens=said.max_tokens,
        top_p=said.top_p,
        seed=said.seed,
        stop=tuple(said.stop),
        format=said.format or "markdown",
        schema=said.schema,
        attach=tuple(said.attach),
        out=said.out,
        on_break=said.on_break or "restart",
        timeout=said.timeout,
        stream=not said.no_stream,
        raw=said.raw,
        append=said.append,
        cache=said.cache,
        dry=said.dry,
    )


def _stray(word: str) -> str:
    if word in ("-h", "--help"):
        return f"{word} is no option here. {_WAY_OUT}"
    if not word.startswith("-"):
        return f"{word!r} is no option: the prompt goes below the line of %%warp. {_WAY_OUT}"
    return _unknown(word, [name for one in OPTIONS for name in one.names], "option", _WAY_OUT)


def _check(said: argparse.Namespace) -> None:
    for name, value, known in (("--format", said.format, FORMATS), ("--on-break", said.on_break, ON_BREAK)):
        if value is not None and value not in known:
            raise UsageError(_unknown(value, known, name))
    if "" in said.stop:
        raise UsageError("--stop '' is no text that an answer could come to.")
    if said.out is not None and (not said.out.isidentifier() or keyword.iskeyword(said.out)):
        raise UsageError(f"--out {said.out!r} is not a name a variable can have.")
    if said.temperature is not None and not 0 <= said.temperature <= 2:  # noqa: PLR2004 - the field's range
        raise UsageError(f"--temperature {said.temperature:g} is outside of 0 to 2.")
    if said.top_p is not None and not 0 < said.top_p <= 1:
        raise UsageError(f"--top-p {said.top_p:g} is outside of 0 to 1.")
    if said.max_tokens is not None and said.max_tokens < 1:
        raise UsageError(f"--max-tokens {said.max_tokens} is less than 1.")
    if said.timeout is not None and not said.timeout > 0:
        raise UsageError(f"--timeout {said.timeout:g} is no time: it is in seconds, and more than 0.")
    if said.schema is not None and said.format not in (None, "json"):
        raise UsageError(f"--schema asks for JSON, so it does not go with --format {said.format}.")


def command(line: str) -> Command:
    """Return the command of a ``%warp`` line; raises UsageError."""
    name, *words = _words(line) or [""]
    if name not in COMMANDS:
        raise UsageError(_unknown(name, [known for known in COMMANDS if known], "sub-command"))
    verb, usage = COMMANDS[name], f"%warp {name} {COMMANDS[name].words}".strip()
    at = _turn_number(words, usage) if "--at" in verb.options else None
    force, realtime, everything = (_switch(option, verb, words) for option in ("--force", "--realtime", "--all"))
    if stray := next((word for word in words if word.startswith("--")), None):
        raise UsageError(f"{usage}: there is no option {stray!r} here.")
    if verb.most is not None and len(words) > verb.most:
        raise UsageError(f"{usage}: {words[verb.most]!r} is one word too many.")
    if len(words) < verb.least:
        needs = verb.words.split(" [")[0]
        needs = _NEEDS.get(name, "the ID of a session" if needs == "ID" else needs)
        raise UsageError(f"%warp {name} needs {needs}.")
    if name == "rewind":
        _number(words[0], usage)
    if name == "tape" and words and words[0] not in TAPE:
        raise UsageError(_unknown(words[0], TAPE, "%warp tape"))
    return Command(name, tuple(words), at, force, realtime, everything)


def _switch(option: str, verb: Verb, words: list[str]) -> bool:
    """Take ``option`` out of ``words``, where the verb has it."""
    if option not in verb.options or option not in words:
        return False
    words.remove(option)
    return True


def _turn_number(words: list[str], usage: str) -> int | None:
    """Take ``--at N`` out of ``words``."""
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == "--at":
            given = [value] if equals else words[at + 1 : at + 2]
            del words[at : at + (1 if equals else 2)]
            return _number(next(iter(given), ""), usage)
    return None


def _number(word: str, usage: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise UsageError(f"{usage}: {word!r} is no number of a turn; %warp history shows them.")
    return int(word)


def cell_help() -> str:
    """Return the options of ``%%warp``, as many lines as fit a screen."""
    lines = _columns([(", ".join(one.names) + (f" {one.value}" if one.value else ""), one.help) for one in OPTIONS])
    return "\n".join(
        ["%%warp [options]", "prompt, as many lines as you like; {name} is replaced from the notebook", *lines]
    )


def line_help() -> str:
    """Return the sub-commands of ``%warp``, as many lines as fit a screen."""
    lines = _columns([(f"%warp {name} {verb.words}".strip(), verb.help) for name, verb in COMMANDS.items()])
    return "\n".join(["Look and choose; %%warp? shows the options of a cell that asks.", *lines])


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {text}" for name, text in rows]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be read: {str(error).lower()}. Put text with spaces into quotes.") from None


def _unknown(word: str, known: Sequence[str], what: str, otherwise: str | None = None) -> str:
    name = word.partition("=")[0]
    cutoff = 0.5 if len(name) > 2 else 1.0  # noqa: PLR2004 - of one letter all others are near
    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    hint = (
        f"; did you mean {near[0]}?" if near else f". {otherwise}" if otherwise else f"; there are {', '.join(known)}."
    )
    return f"There is no {what} {word!r}{hint}"
