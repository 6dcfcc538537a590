"""Types that an answer is to have."""

from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field

from warp_magics.gateway import ChatRequest, ChatResponse, Result, Source
from warp_magics.grammar import UsageError
from warp_magics.schema import Misfit, wanted


class City(BaseModel):
    name: str
    people: Annotated[int, Field(ge=0)]
    tags: list[str] = []


@dataclass
class Point:
    x: float
    y: float = 0.0


class Pair(TypedDict):
    one: int
    two: NotRequired[str]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def said(value, text="…", result=Result.COMPLETE, **fields):
    return ChatResponse(text, result, "lab:ok", value=value, **fields)


@pytest.mark.parametrize(
    ("given", "value", "instance"),
    [
        (City, {"name": "Paris", "people": 2}, City(name="Paris", people=2)),
        (Point, {"x": 1}, Point(1.0)),
        (Pair, {"one": 1, "two": "b"}, {"one": 1, "two": "b"}),
        (Pair, {"one": 1}, {"one": 1}),
        (list[Pair], {"value": [{"one": 1}]}, [{"one": 1}]),
        (Pair | None, {"value": None}, None),
        (SCHEMA, {"a": 3}, {"a": 3}),
        (list[City], {"value": [{"name": "P", "people": 1}]}, [City(name="P", people=1)]),
        (int, {"value": 5}, 5),
        ({"type": "array", "items": {"type": "integer"}}, {"value": [1]}, [1]),
    ],
)
def test_an_answer_becomes_an_instance(given, value, instance):
    found = wanted("T", given)
    assert found.schema.get("type", "object") == "object"
    assert found.value(said(value)) == instance
    assert type(found.value(said(value))) is type(instance)


def test_definitions_stay_where_references_find_them():
    schema = wanted("T", list[City]).schema
    assert "City" in schema["$defs"]
    assert schema["properties"]["value"]["items"] == {"$ref": "#/$defs/City"}


@pytest.mark.parametrize(
    ("given", "value", "at_fault"),
    [
        (City, {"name": "Paris", "people": -1}, "people: "),
        (City, {"people": 1}, "name: Field required"),
        (City, [], "object"),
        (SCHEMA, {"a": "x"}, "a: 'x' is not of type 'integer'"),
        (int, {"value": "x"}, "integer"),
        (int, 5, '"value"'),
        (City, None, "not one whole JSON value"),
    ],
)
def test_what_does_not_fit_names_the_field(given, value, at_fault):
    with pytest.raises(Misfit) as caught:
        wanted("T", given).value(said(value))
    assert at_fault in str(caught.value)


def test_an_answer_that_was_cut_says_that():
    with pytest.raises(Misfit, match="INCOMPLETE_MAX_TOKENS"):
        wanted("T", City).value(said(None, result=Result.MAX_TOKENS))


@pytest.mark.parametrize("given", [{"type": "objekt"}, 5, "City", City(name="a", people=1), lambda: 0])
def test_what_is_no_type_is_refused_by_its_name(given):
    with pytest.raises(UsageError, match="--schema thing"):
        wanted("thing", given)


@pytest.mark.parametrize(
    ("cell", "session", "replaces"), [("c1", "s", "source"), (None, "s", "t1"), ("c1", None, None)]
)
def test_asked_again_it_takes_the_place_of_the_answer_that_did_not_fit(cell, session, replaces):
    request = ChatRequest("?", session, context="Be brief.", source=Source("cell", "n", cell), turn_id="own")
    again = wanted("T", City).again(request, said(None, "oops", session_id=session, turn_id="t1"), Misfit("people: no"))
    assert (again.prompt, again.replaces, again.turn_id, again.cache) == ("?", replaces, None, False)
    assert again.context.startswith("Be brief.")
    assert "oops" in again.context
    assert "people: no" in again.context
