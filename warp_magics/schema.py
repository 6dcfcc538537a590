"""An answer of a type: what of the notebook says which, its JSON Schema, and the value that an answer is."""

from __future__ import annotations

import functools
import inspect
import json
import operator
import sys
import types
import typing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .grammar import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .gateway import ChatRequest, ChatResponse

_FAULTS: Final = 8
_UNIONS: Final = (typing.Union, types.UnionType)
_NO_TYPE: Final = (
    "--schema {}: that is no type of JSON values ({}). A Pydantic model, a dataclass, a TypedDict or a JSON Schema is."
)
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
        return self._read(said)

    def again(self, request: ChatRequest, response: ChatResponse, misfit: Misfit) -> ChatRequest:
        """Return ``request`` asked once more, in the place of the turn whose answer is no such value."""
        told = _AGAIN.format(text=response.text, faults=misfit)
        context = f"{request.context}\n\n{told}" if request.context else told
        own = "source" if request.source.cell else response.turn_id
        return replace(
            request, context=context, cache=False, replaces=own if response.session_id else None, turn_id=None
        )


def wanted(name: str, given: Any) -> Wanted:
    """Return the type that ``given`` says: a Pydantic model, a dataclass, a TypedDict, any other type, or a JSON Schema.

    Raises UsageError, which calls it by its ``name``.
    """
    schema, read = _of_schema(name, given) if isinstance(given, dict) else _of_type(name, given)
    wraps = schema.get("type") != "object" and "$ref" not in schema
    if wraps:
        definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
        inner = {key: value for key, value in schema.items() if key != "$defs"}
        schema = {
            **definitions,
            "type": "object",
            "properties": {"value": inner},
            "required": ["value"],
            "additionalProperties": False,
        }
    return Wanted(schema, read, wrapped=wraps)


def _of_type(name: str, given: Any) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

    if inspect.isroutine(given):  # Pydantic would take it for what it is called with
        raise UsageError(_NO_TYPE.format(name, "a function"))
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_readable(given))
        schema = adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
        raise UsageError(_NO_TYPE.format(name, str(error).splitlines()[0])) from None

    def read(value: Any) -> Any:
        try:
            return adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            faults = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_url=False)]
            raise Misfit(_told(faults)) from None

    return schema, read


def _readable(given: Any) -> Any:
    """Return ``given`` with each TypedDict of ``typing`` in it as one that Pydantic reads; from Python 3.12 on it does.

    https://docs.pydantic.dev/latest/errors/usage_errors/#typed-dict-version
    """
    if sys.version_info >= (3, 12):
        return given
    if typing.is_typeddict(given):
        import typing_extensions  # Pydantic's own

        hints = typing.get_type_hints(given, include_extras=True)
        fields = {name: _readable(hint) for name, hint in hints.items()}
        optional = given.__optional_keys__
        make: Any = typing_extensions.TypedDict
        return make(
            given.__name__,
            {name: typing.NotRequired[kind] if name in optional else kind for name, kind in fields.items()},
        )
    arguments = typing.get_args(given)
    origin: Any = typing.get_origin(given)
    if not any(map(typing.is_typeddict, arguments)):
        return given
    readable = tuple(map(_readable, arguments))
    return functools.reduce(operator.or_, readable) if origin in _UNIONS else origin[readable]


def _of_schema(name: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    from jsonschema import SchemaError, validators

    checks = validators.validator_for(given)
    try:
        checks.check_schema(given)
    except SchemaError as error:
        raise UsageError(f"--schema {name} is no JSON Schema: {error.message}.") from None

    def read(value: Any) -> Any:
        faults = [(".".join(map(str, one.absolute_path)), one.message) for one in checks(given).iter_errors(value)]
        if faults:
            raise Misfit(_told(faults))
        return value

    return dict(given), read


def _told(faults: list[tuple[str, str]]) -> str:
    told = [f"{where}: {what}" if where else what for where, what in faults[:_FAULTS]]
    more = [f"and {len(faults) - _FAULTS} more"] if len(faults) > _FAULTS else []
    return "; ".join([*told, *more]) + "."
