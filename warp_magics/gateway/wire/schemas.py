"""The JSON Schemas of all that goes over the wire, for the API's description."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from . import answers, openai_answers, openai_requests, requests


def schemas(template: str) -> dict[str, dict[str, Any]]:
    """Return the schema of each model by its name; ``template`` makes a reference of a ``{model}``.

    What is answered may have more fields in a later version, and is described so.
    """
    asked, answered = _models(requests, openai_requests), _models(answers, openai_answers)
    _, whole = models_json_schema([(kind, "validation") for kind in asked + answered], ref_template=template)
    told = {name: _plain(schema) for name, schema in whole["$defs"].items()}
    for kind in answered:
        _open(told[kind.__name__])
    for kind in _models(openai_requests):
        for field in told[kind.__name__]["properties"].values():
            field.setdefault("description", "As in OpenAI's reference.")
    return told


def _models(*modules: Any) -> list[type[BaseModel]]:
    """Return the models that ``modules`` make, without what only others are made of."""
    kinds = [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, BaseModel)
    ]
    return [kind for kind in kinds if kind.model_fields and kind is not openai_requests.Asked]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a model's schema without pydantic's titles."""
    told = {name: value for name, value in schema.items() if name != "title"}
    if "properties" in told:
        told["properties"] = {
            name: {key: value for key, value in field.items() if key != "title"}
            for name, field in told["properties"].items()
        }
    return told


def _open(schema: dict[str, Any]) -> None:
    """Let an answer have more fields, and let those that may be left out have no value then."""
    schema.pop("additionalProperties", None)
    for field in schema["properties"].values():
        field.pop("default", None)
