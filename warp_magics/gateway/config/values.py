"""The values a configuration is made of: secrets, durations, sizes, placeholders. Pure, standard library only."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Loc: TypeAlias = tuple[str | int, ...]
"""Where in a document: keys and list indexes."""

HIDDEN: Final = "***"

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)")
_LONGEST: Final = 3650 * 86400.0
_SIZES: Final = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE: Final = re.compile(r"([0-9]{1,15}) ?([a-z]{1,3})", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_PORTS: Final = {"http": ":80", "https": ":443"}
_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}?")
_BRACES: Final = re.compile(r"\$\{([^}]*)\}?|\{([A-Z_][A-Z0-9_]*)\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def to_camel(name: str) -> str:
    """``first_token`` as JSON writes it."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def to_snake(name: str) -> str:
    """``firstToken`` as TOML writes it."""
    return re.sub(r"(?<!^)([A-Z])", lambda match: f"_{match[1].lower()}", name)


class Secret:
    """A text that shows itself only to who asks by ``reveal()``; not in a repr, a format, a copy or a pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, _spec: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Wrong(ValueError):
    """A value is not what it should be. ``echo``: the message may show the value in front of the text."""

    def __init__(self, text: str, *, echo: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.echo = echo


class Expanded(str):
    """A text that came from the environment: never shown, and read as a number where a number is wanted."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where."""

    loc: Loc
    text: str


def number(value: object) -> object:
    """``value``, or the number that a placeholder brought as text."""
    if isinstance(value, Expanded) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def seconds(value: object, *, milliseconds: bool = False) -> float:
    """A duration in seconds; a bare number counts seconds, or milliseconds where the document says so."""
    value = number(value)
    if isinstance(value, str):
        return _bounded(_duration(value, milliseconds=milliseconds))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _no_duration(milliseconds=milliseconds)
    return _bounded(min(value, _LONGEST * 10_000) * (0.001 if milliseconds else 1.0))


def _duration(text: str, *, milliseconds: bool) -> float:
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise _no_duration(milliseconds=milliseconds)
    return float(found[1]) * _UNITS[found[2]]


def _no_duration(*, milliseconds: bool) -> Wrong:
    bare = "30000" if milliseconds else "30"
    return Wrong(f'is not a duration; write {bare}, "30s", "5m", "1h" or "1d"', echo=True)


def _bounded(duration: float) -> float:
    if math.isnan(duration) or duration < 0:
        raise Wrong("is not a duration: it must be 0 or more", echo=True)
    if duration > _LONGEST:
        raise Wrong('is too long a duration; "3650d" is the most', echo=True)
    return float(duration)


def size(value: object) -> int:
    """A size in bytes: a whole number, or a text with its unit (MB is 10**6, MiB is 2**20)."""
    value = number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[2].lower() not in _SIZES:
        raise Wrong('is not a size; write a number of bytes, "500kB", "10MB" or "10MiB"', echo=True)
    return int(found[1]) * _SIZES[found[2].lower()]


def origin(text: str) -> str:
    """``text`` as browsers say where a page is from: in lower case, without the port that its scheme has anyway."""
    text = text.strip().lower()
    found = _ORIGIN.fullmatch(text)
    if text != "*" and (found is None or not 1 <= int(found["port"] or 1) <= 65535):  # noqa: PLR2004
        raise Wrong(
            'is not an origin; write "https://host" or "https://host:port" and no path, or "*" for any', echo=True
        )
    return text.removesuffix(_PORTS.get(found["scheme"], "/")) if found else text


class Expander:
    """Replaces ``${NAME}`` (and AI Warp's ``{NAME}`` where ``braces``) in every text of a document."""

    def __init__(self, env: Mapping[str, str], *, braces: bool) -> None:
        self._env = env
        self._pattern = _BRACES if braces else _PLACEHOLDER
        self.faults: list[Fault] = []

    def expand(self, value: Any, loc: Loc = ()) -> Any:
        """A copy of ``value``; what cannot be replaced stays as it is and is noted in ``faults``."""
        if isinstance(value, dict):
            return {key: self.expand(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, (*loc, index)) for index, item in enumerate(value)]
        return self._text(value, loc) if isinstance(value, str) else value

    def _text(self, text: str, loc: Loc) -> str:
        found = list(self._pattern.finditer(text))
        if not found:
            return text
        lacking = [fault for match in found if (fault := self._lacking(match))]
        if lacking:
            self.faults.append(Fault(loc, "; ".join(lacking)))
            return text
        return Expanded(self._pattern.sub(lambda match: self._env[_variable(match)], text))

    def _lacking(self, match: re.Match[str]) -> str | None:
        name = _variable(match)
        if not match[0].endswith("}") or not _VARIABLE.fullmatch(name):
            return 'holds "${" but no placeholder; write "${NAME}"'
        return None if self._env.get(name) else f"the environment variable {name} is not set"


def _variable(match: re.Match[str]) -> str:
    return str(next(group for group in match.groups() if group is not None))


def expanded(value: object) -> Iterator[str]:
    """Every text of a document that came from the environment."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from expanded(item)
    elif isinstance(value, Expanded):
        yield str(value)
