"""What Tab completes in a ``%%warp`` or ``%warp`` line: options, sub-commands, models, sessions, variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from .connect import connection
from .grammar import COMMANDS, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from IPython.core.completer import CompletionContext, MatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from .connect import Connection

MATCHER: Final = "warp_magics"
_IN_BRACES: Final = re.compile(r"\{(\w*)$")
"""A name that is being typed in a prompt; IPython itself knows of attributes behind a dot."""
_SESSIONS: Final = 200
_BY_NAME: Final = {name: option for option in OPTIONS for name in option.names}


def completions(line: str, offers: Mapping[str, Callable[[], Iterable[str]]]) -> list[str]:
    """Return what may stand in the place of the last word of ``line``, which ends at the cursor.

    ``offers`` gives ``models``, ``sessions``, ``variables`` and ``settings`` when they are asked for.
    """
    magic, *words = line.split()
    if not words and not line[-1:].isspace():
        return []
    word = "" if line[-1:].isspace() else words.pop()
    found = _option(words, word, offers) if magic == "%%warp" else _command(words, word, offers)
    return sorted(one for one in found if one.startswith(word))


def _option(words: list[str], word: str, offers: Mapping[str, Callable[[], Iterable[str]]]) -> Iterable[str]:
    before = _BY_NAME.get(words[-1]) if words else None
    if before is not None and before.value:
        return _values(before.offers, offers)
    name, equals, _ = word.partition("=")
    if equals and name in _BY_NAME:
        return [f"{name}={value}" for value in _values(_BY_NAME[name].offers, offers)]
    # The long names say what they are; the short ones are offered to who has typed one.
    return [*(option.names[-1] for option in OPTIONS), *(["-" + word[1:2]] if word in _BY_NAME else [])]


def _values(said: str | tuple[str, ...], offers: Mapping[str, Callable[[], Iterable[str]]]) -> Iterable[str]:
    if isinstance(said, tuple):
        return said
    values = offers[said.removeprefix("@")]()
    return [f"@{value}" for value in values] if said.startswith("@") else values


def _command(words: list[str], word: str, offers: Mapping[str, Callable[[], Iterable[str]]]) -> Iterable[str]:
    if not words:
        return [name for name in COMMANDS if name]
    verb = COMMANDS.get(words[0])
    if verb is None:
        return []
    if word.startswith("-"):
        return {"fork": ["--at"], "export": ["--force"]}.get(words[0], [])
    return _values(verb.offers, offers) if len(words) == 1 else []


class Completer:
    """Completes in ``shell``, whose kernel has ``settings``."""

    def __init__(self, shell: InteractiveShell, settings: Sequence[str]) -> None:
        self._offers: Mapping[str, Callable[[], Iterable[str]]] = {
            "models": lambda: [name for one in self._models() for name in (one.model, one.alias) if name],
            "sessions": lambda: [one.key.id for one in self._sessions()],
            "variables": lambda: [name for name in shell.user_ns if not name.startswith("_")],
            "settings": lambda: settings,
        }

    def matcher(self) -> Callable[[CompletionContext], MatcherResult]:
        """Return what IPython asks; in our lines it silences the others, who see Python there."""
        from IPython.core.completer import SimpleCompletion, context_matcher

        @context_matcher(identifier=MATCHER)  # type: ignore[untyped-decorator]
        def complete(context: CompletionContext) -> MatcherResult:
            before = context.text_until_cursor
            word, found = "", []
            if before.startswith(("%%warp ", "%warp ")):
                word = "" if before[-1:].isspace() else before.split()[-1]
                found = completions(before, self._offers)
            elif context.full_text.startswith("%%warp") and (asked := _IN_BRACES.search(before)):
                word = asked[1]
                found = [name for name in sorted(self._offers["variables"]()) if name.startswith(word)]
            told = [SimpleCompletion(one) for one in found]
            return {"completions": told, "suppress": bool(told), "ordered": True, "matched_fragment": word}

        return complete  # type: ignore[no-any-return]

    @staticmethod
    def _models() -> Sequence[Any]:
        models: Sequence[Any] = _asked(lambda at: at.gateway.models())
        return models

    @staticmethod
    def _sessions() -> Sequence[Any]:
        page = _asked(lambda at: at.gateway.sessions(at.owner, limit=_SESSIONS))
        return page.sessions if page else ()


def _asked(verb: Callable[[Connection], Coroutine[Any, Any, Any]]) -> Any:
    """Return what a key press may ask the gateway; nothing where that cannot be asked."""
    from .gateway import errors

    try:
        at = connection()
        return at.portal.call(lambda: verb(at))
    except errors.WarpError:  # running the line will say it
        return ()
