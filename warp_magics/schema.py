"""An answer of a type: what of the notebook says which, its JSON Schema, and the value that an answer is."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import operator
import re
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from .grammar import UsageError
from .interpolate import raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .gateway import ChatRequest, ChatResponse

_FAULTS: Final = 8
_UNIONS: Final = (typing.Union, types.UnionType)
_NO_TYPE: Final = (
    "--schema {}: that is no type of JSON values ({}). A Pydantic model, a dataclass, a TypedDict or a JSON Schema is."
)
_OLD_DICT: Final = (
    "--schema {}: before Python 3.12, {} of typing cannot be read here: import TypedDict from typing_extensions for it."
)
_LIFTED: Final = ("$schema", "$defs", "definitions")
_BESIDE: Final = frozenset({"$ref", "$id", *_LIFTED, "$comment", "title", "description"})
"""Keywords of a root that is nothing but what its ``$ref`` finds."""
_TABLES: Final = frozenset(
    {"$defs", "definitions", "properties", "patternProperties", "dependentSchemas", "dependencies"}
)
_DATA: Final = frozenset({"const", "enum", "default", "examples"})
_OWN: Final = re.compile(r"^#(?=$|/(?!(?:\$defs|definitions)/))")
"""What begins a reference to a part of the schema that is not lifted."""
_AGAIN: Final = (
    "Your last answer to this prompt was:\n{text}\n\nIt does not fit the JSON Schema it was asked for: {faults}\n"
    "Answer again, with JSON that fits."
)


class Misfit(ValueError):
    """An answer does not fit the type it was asked for; the message names the fields at fault."""


class Wanted:
    """The type an answer is to have. ``schema`` is what a model is sent: always of an object, as providers want it."""

    def __init__(self, schema: Mapping[str, Any], read: Callable[[Any], Any], *, wrapped: bool) -> None:
        self.schema = schema
        self._read = read
        self._wrapped = wrapped

    def value(self, response: ChatResponse) -> Any:
        """Return what ``response`` says, as an instance; raises Misfit."""
        said = response.value
        if said is None and response.text.strip() != "null":
            cut = f" ({response.result})" if response.result != "COMPLETE" else ""
            raise Misfit(f"it is not one whole JSON value{cut}.")
        if self._wrapped:
            if not (isinstance(said, dict) and said.keys() == {"value"}):
                raise Misfit('it is to be an object whose one field is "value".')
            said = said["value"]
        try:
            return self._read(said)
        except Misfit:
            raise
        except Exception as error:  # a validator of the user's; the answer is paid for, and may be repaired
            raise Misfit(f"reading it raised {raised(error)}.") from error

    def again(self, request: ChatRequest, response: ChatResponse, misfit: Misfit) -> ChatRequest:
        """Return ``request`` asked once more, in the place of the turn whose answer is no such value."""
        told = _AGAIN.format(text=response.text, faults=misfit)
        context = f"{request.context}\n\n{told}" if request.context else told
        own = "source" if request.source.cell else response.turn_id
        return dataclasses.replace(
            request, context=context, cache=False, replaces=own if response.session_id else None, turn_id=None
        )


def wanted(name: str, given: Any) -> Wanted:
    """Return the type that ``given`` says: a Pydantic model, a dataclass, a TypedDict, any other type, or a JSON Schema.

    Raises UsageError, which calls it by its ``name``.
    """
    schema, read = _of_schema(name, given) if isinstance(given, dict) else _of_type(name, given)
    schema = _with_its_root(schema)
    wraps = schema.get("type") != "object" or "$ref" in schema
    return Wanted(_wrapped(schema) if wraps else schema, read, wrapped=wraps)


# -- types of the notebook -------------------------------------------------------------------------


def _of_type(name: str, given: Any) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    if inspect.isroutine(given):  # Pydantic would take it for what it is called with
        raise UsageError(_NO_TYPE.format(name, "a function"))
    if isinstance(given, str):  # and this for the source of a type
        raise UsageError(_NO_TYPE.format(name, "a text; json.loads() makes a JSON Schema of one"))
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        raise UsageError(_NO_TYPE.format(name, f"an instance of {type(given).__name__}"))
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_readable(name, given, {}))
        schema = adapter.json_schema()
    except UsageError:
        raise
    except Exception as error:
        if isinstance(error, PydanticUserError) and error.code == "typed-dict-version":
            raise UsageError(_OLD_DICT.format(name, _old_dict_in(given, set()) or "a TypedDict")) from None
        raise UsageError(_NO_TYPE.format(name, raised(error))) from error

    def read(value: Any) -> Any:
        try:
            return adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            faults = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_url=False)]
            raise Misfit(_told(faults)) from None

    return schema, read


def _readable(name: str, given: Any, twins: dict[Any, Any]) -> Any:
    """Return ``given`` with each TypedDict of ``typing`` in it as one that Pydantic reads; from Python 3.12 on it does.

    ``twins`` are those of before, None for one whose fields are being read.
    https://docs.pydantic.dev/latest/errors/usage_errors/#typed-dict-version
    """
    if sys.version_info >= (3, 12):
        return given
    if typing.is_typeddict(given):
        if given not in twins:
            twins[given] = None
            twins[given] = _twin(name, given, twins)
        if twins[given] is None:
            raise UsageError(_OLD_DICT.format(name, f"the TypedDict {given.__name__}"))
        return twins[given]
    arguments = typing.get_args(given)
    readable = tuple(_readable(name, one, twins) for one in arguments)
    if all(one is other for one, other in zip(arguments, readable, strict=True)):
        return given
    origin: Any = typing.get_origin(given)
    if origin in _UNIONS:
        return functools.reduce(operator.or_, readable)
    return origin[readable if len(readable) > 1 else readable[0]]


def _twin(name: str, given: Any, twins: dict[Any, Any]) -> Any:
    import typing_extensions  # Pydantic's own

    hints = typing.get_type_hints(given, include_extras=True)
    fields = {field: _readable(name, hint, twins) for field, hint in hints.items()}
    optional = given.__optional_keys__
    make: Any = typing_extensions.TypedDict
    return make(
        given.__name__,
        {field: typing.NotRequired[kind] if field in optional else kind for field, kind in fields.items()},
    )


def _old_dict_in(given: Any, seen: set[int]) -> str | None:
    """Return what to call a TypedDict of ``typing`` that ``given`` holds, however deep."""
    if typing.is_typeddict(given):
        return f"the TypedDict {given.__name__}"
    if id(given) in seen:
        return None
    seen.add(id(given))
    hints: dict[str, Any] = {}
    with contextlib.suppress(NameError, SyntaxError, TypeError):  # a hint that is for people or type checkers alone
        hints = typing.get_type_hints(given) if isinstance(given, type) else {}
    below = (typing.get_origin(given), *typing.get_args(given), *hints.values())
    return next(filter(None, (_old_dict_in(one, seen) for one in below)), None)


# -- JSON Schemas ----------------------------------------------------------------------------------


def _of_schema(name: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    from jsonschema import SchemaError, validators

    try:
        schema = json.loads(json.dumps(given))  # ours: what the notebook does to its own later changes nothing
        checks = validators.validator_for(schema)
        checks.check_schema(schema)
    except SchemaError as error:
        raise UsageError(f"--schema {name} is no JSON Schema: {error.message}.") from None
    except Exception as error:
        raise UsageError(f"--schema {name} is no JSON Schema: {raised(error)}.") from error
    lost = next(_lost(*_resource(schema), set()), None)
    if lost is not None:
        raise UsageError(f"--schema {name}: it has no {lost}, to which a $ref of it points.")

    def read(value: Any) -> Any:
        faults = [(".".join(map(str, one.absolute_path)), one.message) for one in checks(schema).iter_errors(value)]
        if faults:
            raise Misfit(_told(faults))
        return value

    return schema, read


def _resource(schema: Any) -> tuple[Any, Any]:
    """Return ``schema`` as ``referencing``, jsonschema's own, knows it, and what finds its references, fetching none."""
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    resource: Resource[Any] = Resource.from_contents(schema, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry()
    return resource, registry.resolver_with_root(resource)


def _lost(part: Any, resolver: Any, seen: set[int]) -> Iterator[str]:
    """Yield the references below ``part`` that find nothing."""
    from referencing.exceptions import Unresolvable

    if id(part.contents) in seen:
        return
    seen.add(id(part.contents))
    for one in part.subresources():
        yield from _lost(one, resolver.in_subresource(one), seen)
    if isinstance(part.contents, dict) and "$ref" in part.contents:
        try:
            found = resolver.lookup(part.contents["$ref"])
        except Unresolvable:
            yield part.contents["$ref"]
        else:
            yield from _lost(_resource(found.contents)[0], found.resolver, seen)


def _with_its_root(schema: dict[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with what its root only refers to as its root, since OpenAI wants an object there."""
    for _ in schema.get("$defs", schema.get("definitions", ())):  # no more steps than definitions
        where = schema.get("$ref", "")
        if not where.startswith("#/") or not schema.keys() <= _BESIDE:
            break
        found = _resource(schema)[1].lookup(where).contents
        if not isinstance(found, dict) or "$id" in found:
            break
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """Return ``schema`` as that of the one field of an object; its references find what they found."""
    base = schema.get("$id", "").rstrip("#")
    inner = _moved({key: value for key, value in schema.items() if key != "$id"}, base)
    return {
        **{key: inner.pop(key) for key in _LIFTED if key in inner},
        "type": "object",
        "properties": {"value": inner},
        "required": ["value"],
        "additionalProperties": False,
    }


def _moved(part: Any, base: str, *, table: bool = False) -> Any:
    """Return ``part`` with its references as they are below ``value``; the keys of a ``table`` are no keywords."""
    if isinstance(part, list):
        return [_moved(one, base) for one in part]
    if not isinstance(part, dict):
        return part
    if table:
        return {key: _moved(value, base) for key, value in part.items()}
    if not str(part.get("$id", "#")).startswith("#"):  # what is in it is relative to itself
        return part
    moved = {key: value if key in _DATA else _moved(value, base, table=key in _TABLES) for key, value in part.items()}
    if isinstance(part.get("$ref"), str):
        moved["$ref"] = _below_value(part["$ref"], base)
    return moved


def _below_value(reference: str, base: str) -> str:
    place, _, fragment = urljoin(base, reference).partition("#")
    return _OWN.sub("#/properties/value", f"#{fragment}") if place in ("", base) else reference


def _told(faults: list[tuple[str, str]]) -> str:
    told = [f"{where}: {what}" if where else what for where, what in faults[:_FAULTS]]
    more = [f"and {len(faults) - _FAULTS} more"] if len(faults) > _FAULTS else []
    return "; ".join([*told, *more]) + "."
