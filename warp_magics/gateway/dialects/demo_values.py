"""The demo provider's answer to a JSON Schema: the smallest value that it allows, as far as it is a plain one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

WORD: Final = "demo"
_DEPTH: Final = 20
"""How deep a schema that holds itself is followed."""


def smallest(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """Return a small value of ``schema``, whose references are into ``root``; None where it is too odd to tell."""
    root = schema if root is None else root
    if depth > _DEPTH:
        return None
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return smallest(_found(root, schema["$ref"]), root, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            nothing = (one for one in schema[name] if one.get("type") == "null")  # which ends what holds itself
            return smallest(next(nothing, schema[name][0]), root, depth + 1)
    kind = schema.get("type")
    return _of_kind(kind[0] if isinstance(kind, list) else kind, schema, root, depth)


def _of_kind(kind: object, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    match kind:
        case "object":
            wanted = schema.get("required", ())
            fields = schema.get("properties", {})
            return {name: smallest(fields.get(name, {}), root, depth + 1) for name in wanted}
        case "array":
            return [smallest(schema.get("items", {}), root, depth + 1)] * int(schema.get("minItems", 0))
        case "string":
            return (WORD * int(schema.get("minLength", 1)))[: max(len(WORD), int(schema.get("minLength", 0)))]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
    return None


def _number(schema: Mapping[str, Any]) -> Any:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    number = least + 1 if "exclusiveMinimum" in schema else max(least, 0)
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    return number if most is None or number <= most else most - ("exclusiveMaximum" in schema)


def _found(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    place: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        place = place.get(part.replace("~1", "/").replace("~0", "~"), {}) if part else place
    return place if isinstance(place, dict) else {}
