"""Reads a configuration file into a document: parsed, in our words, placeholders replaced."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..finding import is_camel, parsed
from .camel import Translation
from .values import Expander

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .values import Fault


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """What a file says: as it was written (``shown``) and with its placeholders replaced (``data``)."""

    source: Path | None
    shown: Mapping[str, Any]
    data: Mapping[str, Any]
    faults: tuple[Fault, ...]
    translation: Translation
    camel: bool

    @property
    def folder(self) -> Path:
        """Where the file's relative paths begin."""
        return self.source.parent if self.source else Path.cwd()


def read(source: Path | None, env: Mapping[str, str]) -> Document:
    """The document at ``source``, an empty one for None; raises ConfigError where it cannot be read."""
    camel = is_camel(source)
    raw = _parsed(source, camel=camel) if source else {}
    translation = Translation(raw if camel else {})
    shown = translation.data if camel else raw
    expander = Expander(env, braces=camel)
    data = expander.expand(shown)
    faults = translation.forgive(data, expander.faults)
    return Document(source, shown, data, tuple(faults), translation, camel)


def _parsed(source: Path, *, camel: bool) -> dict[str, Any]:
    try:
        text = source.read_bytes().decode("utf-8-sig")
        said = parsed(text, camel=camel)
        trouble = "" if isinstance(said, dict) else "does not hold a JSON object"
    except (OSError, ValueError, RecursionError) as error:
        trouble = _trouble(error)
    if trouble:  # raised out here, so that no foreign error with the file's text in it is its context
        raise ConfigError(f"{source}: {trouble}", details={"file": str(source)})
    return dict(said)


def _trouble(error: OSError | ValueError | RecursionError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or 'input/output error'}"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: byte {error.start}"
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"is not TOML: {error}"
    return "cannot be read: a number is too long or tables are nested too deep"
