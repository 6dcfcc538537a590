"""What to say where a configuration is wrong: the path of the fault and what is allowed, and never a secret."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from .schema import File, Table, check
from .values import HIDDEN, Fault, Wrong, to_camel, to_snake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .values import Loc

_SECRET: Final = frozenset({"api_key", "password", "headers", "url", "base_url", "proxy", "username"})
_REFERENCES: Final = frozenset({"models", "model", "providers"})
_TELLING: Final = 8
_USERINFO: Final = re.compile(r"://[^:/]*:(.+)@")
_PLAIN: Final = re.compile(r"[$A-Za-z0-9_-]+")
_TEXTS: Final = {
    "missing": "is missing",
    "tuple_type": "is not a list",
    "dict_type": "is not a table",
    "model_type": "is not a table",
    "too_short": "is empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def validate(data: Mapping[str, Any], shown: Mapping[str, Any], *, camel: bool) -> tuple[File, list[Fault], bool]:
    """The file's tables, what is wrong with their shape, and whether the references between them can be judged.

    Where there are faults, the tables are those without what is at fault. ``shown`` is the same document as it
    was written: what a message may quote.
    """
    details = check(data, camel=camel)
    if isinstance(details, File):
        return details, [], True
    faults = [Fault(_loc(detail), _text(detail, shown, camel=camel)) for detail in details]
    whole = all(detail["loc"][0] not in _REFERENCES for detail in details)
    rest = check(_without(data, details), camel=camel) if whole else None
    return (rest, faults, True) if isinstance(rest, File) else (File(), faults, False)


def _without(data: Mapping[str, Any], details: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The document without the unknown keys, and without the sections that have other faults."""
    rest = dict(data)
    for detail in details:
        if detail["type"] == "extra_forbidden":
            rest = _pruned(rest, detail["loc"])
        else:
            rest.pop(str(detail["loc"][0]), None)
    return rest


def _pruned(value: Any, loc: Loc) -> Any:
    head, *tail = loc
    if isinstance(value, dict):
        kept = {key: _pruned(item, tuple(tail)) if key == head and tail else item for key, item in value.items()}
        return kept if tail else {key: item for key, item in kept.items() if key != head}
    return value


def _loc(detail: Mapping[str, Any]) -> Loc:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _text(detail: Mapping[str, Any], shown: Any, *, camel: bool) -> str:
    kind, loc, context = detail["type"], _loc(detail), detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(loc, camel=camel)
    if kind == "literal_error":
        allowed = str(context["expected"]).replace("'", '"')
        return f"{_quoted(loc, shown)}is not allowed; write {allowed}"
    wrong = context.get("error")
    if isinstance(wrong, Wrong):
        return f"{_quoted(loc, shown) if wrong.echo else ''}{wrong.text}"
    return _TEXTS.get(kind, "has a wrong value").format_map(context)


def _quoted(loc: Loc, shown: Any) -> str:
    """The value at ``loc`` as it was written, where it is short, simple and no secret."""
    if any(to_snake(part) in _SECRET for part in loc if isinstance(part, str)):
        return ""
    for part in loc:
        try:
            shown = shown[part]
        except (KeyError, IndexError, TypeError):
            return ""
    if not isinstance(shown, str | int | float):
        return ""
    text = json.dumps(shown, ensure_ascii=False) if isinstance(shown, str | bool) else f"{shown:.12g}"
    return f"{text} " if len(text) <= 60 else ""  # noqa: PLR2004  a line of a message


def _unknown(loc: Loc, *, camel: bool) -> str:
    key = str(loc[-1])
    names = sorted(to_camel(name) if camel else name for name in _table(loc[:-1]).model_fields)
    twin = to_camel(key) if camel else to_snake(key)
    if twin in names:
        return f'unknown key; did you mean "{twin}"? Keys are {"camelCase in JSON" if camel else "snake_case in TOML"}'
    near = get_close_matches(key.lower(), names, n=1)
    return f'unknown key; did you mean "{near[0]}"?' if near else f"unknown key; known are {', '.join(names)}"


def _table(loc: Loc) -> type[Table]:
    """The table whose keys stand at ``loc``."""
    table: type[Table] = File
    parts = iter(loc)
    for part in parts:
        annotation = table.model_fields[to_snake(str(part))].annotation
        table = _inner(annotation) or table
        if get_origin(annotation) in {dict, tuple}:
            next(parts, None)
    return table


def _inner(annotation: Any) -> type[Table] | None:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _inner(arg))), None)


def written(loc: Loc) -> str:
    """A path as people write it: ``model[1].limits.rate``."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if _PLAIN.fullmatch(part) else f".{json.dumps(part, ensure_ascii=False)}"
    return text.removeprefix(".")


def redacted(text: str, secrets: Iterable[str]) -> str:
    """``text`` without any of ``secrets``, should one have come in by a way nobody thought of."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def secrets(value: Any, *, inside: bool = False) -> set[str]:
    """The texts at the secret places of a document, and a URL's password; those long enough not to be parts of words."""
    if isinstance(value, dict):
        return set().union(
            *(secrets(item, inside=inside or to_snake(str(key)) in _SECRET) for key, item in value.items())
        )
    if isinstance(value, list):
        return set().union(*(secrets(item, inside=inside) for item in value))
    if not (inside and isinstance(value, str)):
        return set()
    return {text for text in (value, *_USERINFO.findall(value)) if len(text) >= _TELLING}
