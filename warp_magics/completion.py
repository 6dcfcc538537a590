"""What Tab completes in a ``%%warp`` or ``%warp`` line: options, sub-commands, models, sessions, variables, files."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .connect import SERVER_SECONDS, connection
from .grammar import COMMANDS, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from IPython.core.completer import CompletionContext, MatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from .connect import Connection
    from .grammar import Option, Verb

    _Offers: TypeAlias = Mapping[str, Callable[[], Iterable[str]]]
    _Names: TypeAlias = Callable[[Connection], Awaitable[list[str]]]

MATCHER: Final = "warp_magics"
WAIT_SECONDS: Final = 0.5
"""How long a key press may wait for the gateway."""
AGAIN_SECONDS: Final = 5.0
"""How long a gateway that failed, or has not answered yet, is not asked again."""
_SESSIONS: Final = 200
_BY_NAME: Final = {name: option for option in OPTIONS for name in option.names}
_ATTACH: Final = _BY_NAME["--attach"]
_CELL: Final = re.compile(r"\s*(%%warp)(?:\s|$)")
_LINE: Final = re.compile(r"\s*(%%?warp)\s")
_WORD: Final = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*\\?(?:"|$)|'[^']*(?:'|$)|[^\s"'\\]|\\$)+""")
"""A word as ``shlex`` reads it; the last one of a line may lack its closing quotation mark."""
_IN_BRACES: Final = re.compile(r"\{(\w*)$")
"""A name that is being typed in a prompt."""
_THEIRS: Final = re.compile(r"\{[^\W\d]\w*[.\[](?!\s)[^{}]*$|\\\w*$")
r"""What IPython completes in a prompt as in code: an attribute or a key of a name, and a letter like ``\alpha``."""


def completions(line: str, offers: _Offers) -> list[str]:
    """Return what may stand in the place of the last word of ``line``, which ends at the cursor.

    ``offers`` gives ``models``, ``sessions``, ``variables`` and ``settings`` when they are asked for.
    """
    magic, *words = _words(line)
    if not words:
        return []
    *words, word = words
    found = _option(words, word, offers) if magic == "%%warp" else _command(words, word, offers)
    return sorted({one for one in found if one.startswith(word)})


def paths(word: str) -> list[str]:
    """Return the paths that ``word`` begins, spelt as it is: with its ``~``, its quotation mark, its backslashes."""
    mark = word[:1] if word[:1] in ("'", '"') else ""
    typed = _read(word)
    folder, slash, begun = typed.rpartition("/")
    if typed == "~" or begun == "..":
        return [f"{word}/"]
    return [
        _spelt(folder + slash + name, mark) + ("/" if is_folder else mark)
        for name, is_folder in _names_in(folder + slash)
        if name.startswith(begun) and (begun or not name.startswith("."))
    ]


def _names_in(folder: str) -> list[tuple[str, bool]]:
    """Return the names in ``folder`` that a line can hold, and of each whether it is a folder."""
    try:
        with os.scandir(Path(folder).expanduser()) as entries:
            return [(one.name, one.is_dir()) for one in entries if one.name.isprintable()]
    except (OSError, RuntimeError):  # there is no such folder, or no such user: running the line will say it
        return []


def _words(line: str) -> list[str]:
    """Return the words of ``line`` as they are written, the one at its end last: empty behind a blank."""
    found = list(_WORD.finditer(line))
    return [one[0] for one in found] + ([] if found and found[-1].end() == len(line) else [""])


def _read(word: str) -> str:
    """Return what ``shlex`` makes of ``word``, whose quotation mark may still be open."""
    for end in ("", '"', "'"):
        with contextlib.suppress(ValueError):
            return "".join(shlex.split(word + end))
    return word


def _spelt(path: str, mark: str) -> str:
    """Return ``path`` so that ``shlex`` reads it, behind the quotation mark ``mark``, which stays open."""
    if mark == "'":
        return mark + path.replace("'", r"'\''")
    return mark + re.sub(r'(["\\])' if mark else r"""([\s"'\\])""", r"\\\1", path)


def _option(words: list[str], word: str, offers: _Offers) -> Iterable[str]:
    before = _BY_NAME.get(words[-1]) if words else None
    if before is not None and before.value:
        return _values(before, word, offers)
    name, equals, part = word.partition("=")
    if equals and name in _BY_NAME:
        return [f"{name}={value}" for value in _values(_BY_NAME[name], part, offers)]
    # The long names say what they are; the short ones are offered to who has typed one.
    return [*(option.names[-1] for option in OPTIONS), *(["-" + word[1:2]] if word in _BY_NAME else [])]


def _values(of: Option | Verb, word: str, offers: _Offers) -> Iterable[str]:
    if isinstance(of.offers, tuple):
        return of.offers
    values = offers[of.offers.removeprefix("@")]()
    if of.offers.startswith("@"):
        return [f"@{value}" for value in values]
    return [*values, *paths(word)] if of is _ATTACH else values


def _command(words: list[str], word: str, offers: _Offers) -> Iterable[str]:
    if not words:
        return [name for name in COMMANDS if name]
    name, *others = words
    verb = COMMANDS.get(name)
    if verb is None:
        return []
    if word.startswith("-"):
        return verb.options
    given = sum(not one.startswith("-") for one in others)
    if not given:
        return _values(verb, word, offers)
    return paths(word) if name in ("export", "tape") and given == 1 else []


class Inquiries:
    """Asks the gateway in the background, so that a key press waits for WAIT_SECONDS at most.

    What takes longer goes on, is not started twice, and is there for a later key press. ``clock`` is monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asking: set[_Names] = set()
        self._known: dict[_Names, list[str]] = {}
        self._not_before = float("-inf")

    def names(self, ask: _Names) -> list[str]:
        """Return what ``ask`` finds; where it is not there in time, what was found last, if anything."""
        begun = self._begin(ask)
        if begun is not None:
            begun.wait(WAIT_SECONDS)
        return self._known.get(ask, [])

    def _begin(self, ask: _Names) -> threading.Event | None:
        with self._lock:
            now = self._clock()
            if ask in self._asking or now < self._not_before:
                return None
            self._not_before = now + AGAIN_SECONDS  # until it has answered
            self._asking.add(ask)
        done = threading.Event()
        threading.Thread(target=self._run, args=(ask, done), name="warp-tab", daemon=True).start()
        return done

    def _run(self, ask: _Names, done: threading.Event) -> None:
        from .gateway import errors

        try:
            self._known[ask] = _asked(ask)
            self._not_before = float("-inf")
        except (errors.WarpError, TimeoutError):  # running the line will say it
            self._known.pop(ask, None)
            self._not_before = self._clock() + AGAIN_SECONDS
        finally:
            self._asking.remove(ask)
            done.set()


def _asked(ask: _Names) -> list[str]:
    import asyncio

    at = connection(ask=False)

    async def bounded() -> list[str]:
        async with asyncio.timeout(SERVER_SECONDS):
            return await at.portal.acall(lambda: ask(at))

    # A loop of its own is left in time even when the portal is closed meanwhile, and with it whoever would answer.
    with asyncio.Runner() as runner:
        return runner.run(bounded())


async def _models(at: Connection) -> list[str]:
    return [name for one in await at.gateway.models() for name in (one.model, one.alias) if name]


async def _sessions(at: Connection) -> list[str]:
    page = await at.gateway.sessions(at.owner, limit=_SESSIONS)
    return [one.key.id for one in page.sessions]


class Completer:
    """Completes in ``shell``, whose kernel has ``settings``; ``inquiries`` ask its gateway."""

    def __init__(self, shell: InteractiveShell, settings: Sequence[str], inquiries: Inquiries | None = None) -> None:
        asked = inquiries or Inquiries()
        self._offers: _Offers = {
            "models": lambda: asked.names(_models),
            "sessions": lambda: asked.names(_sessions),
            "variables": lambda: [name for name in shell.user_ns if not name.startswith("_")],
            "settings": lambda: settings,
        }

    def matcher(self) -> Callable[[CompletionContext], MatcherResult]:
        """Return what IPython asks; in our lines it silences the others, who see Python there."""
        from IPython.core.completer import context_matcher

        @context_matcher(identifier=MATCHER)  # type: ignore[untyped-decorator]
        def complete(context: CompletionContext) -> MatcherResult:
            before = context.text_until_cursor
            cell = _CELL.match(context.full_text)
            if cell and context.cursor_line > context.full_text.count("\n", 0, cell.start(1)):
                return self._in_prompt(before)
            line = _LINE.match(before)
            if line and (cell or line[1] == "%warp"):
                return _only(completions(before, self._offers), _words(before)[-1], _kind_of)
            return {"completions": [], "suppress": False}

        return complete  # type: ignore[no-any-return]

    def _in_prompt(self, before: str) -> MatcherResult:
        if _THEIRS.search(before):
            return {"completions": [], "suppress": False}
        asked = _IN_BRACES.search(before)
        if asked is None:
            return _only([], "", _variable)
        word = asked[1]
        return _only([name for name in sorted(self._offers["variables"]()) if name.startswith(word)], word, _variable)


def _kind_of(found: str) -> str:
    """Return what an offered word of a line is, in a word."""
    if found.startswith("-"):
        return "option"
    if found in COMMANDS:
        return "command"
    return "path" if found.endswith("/") else "value"


def _variable(_: str) -> str:
    return "variable"


class _Nothing:
    """No completions that silence the others all the same: IPython allows that only to who seems to have some."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def _only(found: list[str], word: str, kind: Callable[[str], str]) -> MatcherResult:
    """Return ``found`` in the place of ``word``, each with the ``kind`` a front end shows beside it, and no others."""
    from IPython.core.completer import SimpleCompletion

    told: Any = [SimpleCompletion(one, type=kind(one)) for one in found] or _Nothing()
    return {"completions": told, "suppress": True, "ordered": True, "matched_fragment": word}


def install(shell: InteractiveShell, settings: Sequence[str]) -> None:
    """Have ``shell`` complete our lines; twice is once."""
    remove(shell)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(Completer(shell, settings).matcher())


def remove(shell: InteractiveShell) -> None:
    """Undo ``install``."""
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", None) != MATCHER]
