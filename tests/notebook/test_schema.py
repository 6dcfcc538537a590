"""Types that an answer is to have."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

import pytest
from hypothesis import assume
from hypothesis import given as given_any
from hypothesis import strategies as st
from jsonschema import validators
from pydantic import BaseModel, Field, RootModel, field_validator

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


class Groups(TypedDict):
    pairs: list[dict[str, Pair]]
    first: NotRequired[list[Pair]]


class Loop(TypedDict):
    inner: list[Loop]


@dataclass
class Holder:
    pair: Pair


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Tree(RootModel[list["Tree"]]):
    pass


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def known(cls, number):
        return {2: 2}[number]


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
        (list[list[Pair]], {"value": [[{"one": 1}]]}, [[{"one": 1}]]),
        (list[dict[str, Pair]], {"value": [{"a": {"one": 1}}]}, [{"a": {"one": 1}}]),
        (Annotated[list[Pair], Field(max_length=1)], {"value": [{"one": 1}]}, [{"one": 1}]),
        (dict[Literal["a"], Pair | list[Pair]], {"a": [{"one": 1}]}, {"a": [{"one": 1}]}),
        (Groups, {"pairs": [{"a": {"one": 1}}]}, {"pairs": [{"a": {"one": 1}}]}),
        (Node, {"name": "a", "children": [{"name": "b"}]}, Node(name="a", children=[Node(name="b")])),
        (Tree, {"value": [[], [[]]]}, Tree([Tree([]), Tree([Tree([])])])),
        (SCHEMA, {"a": 3}, {"a": 3}),
        (list[City], {"value": [{"name": "P", "people": 1}]}, [City(name="P", people=1)]),
        (int, {"value": 5}, 5),
        (str, {"value": "a"}, "a"),
        (float, {"value": 1.5}, 1.5),
        (bool, {"value": True}, True),
        (list, {"value": [1, "a"]}, [1, "a"]),
        (dict, {"a": 1}, {"a": 1}),
        (dt.date, {"value": "2020-01-31"}, dt.date(2020, 1, 31)),
        ({"type": "array", "items": {"type": "integer"}}, {"value": [1]}, [1]),
    ],
)
def test_an_answer_becomes_an_instance(given, value, instance):
    found = wanted("T", given)
    assert found.schema["type"] == "object"
    assert "$ref" not in found.schema
    assert found.value(said(value)) == instance
    assert type(found.value(said(value))) is type(instance)


def test_definitions_stay_where_references_find_them():
    schema = wanted("T", list[City]).schema
    assert "City" in schema["$defs"]
    assert schema["properties"]["value"]["items"] == {"$ref": "#/$defs/City"}


def test_a_definition_that_is_the_root_keeps_those_it_refers_to():
    schema = wanted("T", Node).schema
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"].keys() == {"name", "children"}


ID = "https://example.org/own.json"
PARTS = st.sampled_from(
    [
        {"type": "integer"},
        {"type": "string", "const": "#"},
        {"enum": [{"$ref": "#"}, 1]},
        {"$ref": "#"},
        {"$ref": "#/definitions/a"},
        {"$ref": "#/$defs/a"},
        {"$ref": "#/definitions/loop"},
        {"$ref": "#there"},
        {"$ref": f"{ID}#/definitions/loop"},
    ]
)
ROOTS = st.sampled_from(["array", "object", ["object", "array"], None, "#/$defs/a", "#/definitions/loop"])
PLACES = st.sampled_from(
    [
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID},
        {"$schema": "http://json-schema.org/draft-07/schema#", "$id": f"{ID}#"},
    ]
)
VALUES = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["", "#"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["const", "x"]), inner, max_size=2),
)


@given_any(PLACES, ROOTS, PARTS | st.just({"$ref": "#/properties/const"}), PARTS, st.lists(VALUES, min_size=1))
def test_what_a_model_is_sent_means_what_was_given(place, root, one, other, values):
    """No reference loses what it pointed to, whatever the root is and however it is wrapped."""
    whole = not str(root).startswith("#")
    assume(whole or "properties" not in str(one))
    assume((whole and "$id" in place) or ID not in str((one, other)))
    anchor = {"$id": "#there"} if "draft-07" in place["$schema"] else {"$anchor": "there"}
    loop = {"type": "array", "items": {"$ref": "#/definitions/loop"}}
    given = {
        **place,
        "$defs": {"a": {"type": "array", "items": one}},
        "definitions": {"a": {"type": "object"}, "loop": loop, "there": {**anchor, "minItems": 1}},
    }
    if whole:
        given |= {"properties": {"const": other}, "items": one} | ({} if root is None else {"type": root})
    else:
        given["$ref"] = root
    found = wanted("T", given)
    assert found.schema["type"] == "object"
    before, after = (validators.validator_for(one)(one) for one in (given, found.schema))
    for value in values:
        sent = {"value": value} if "value" in found.schema.get("properties", {}) else value
        assert after.is_valid(sent) == before.is_valid(value)


@pytest.mark.parametrize(
    "refers",
    [
        {"$ref": "#/$defs/b"},
        {"$ref": "#b"},
        {"$ref": "https://example.org/b.json"},
        {"type": "object", "properties": {"a": {"items": {"$ref": "#/definitions/b"}}}},
        {"$ref": "#/x", "x": {"items": {"$ref": "#/x/items/b"}}},
    ],
)
def test_a_reference_to_nothing_is_refused_before_anything_is_sent(refers):
    with pytest.raises(UsageError, match=r"--schema thing: it has no \S*b\S*, to which a \$ref"):
        wanted("thing", {"$defs": {"a": {}}, **refers})


def test_a_schema_is_the_one_that_it_was_when_it_was_asked_for():
    schema = {"type": "object", "required": ["a"]}
    found = wanted("T", schema)
    schema["required"].append("b")
    assert found.value(said({"a": 1})) == {"a": 1}


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
        (Even, {"number": 3}, "reading it raised KeyError: 3."),
    ],
)
def test_what_does_not_fit_names_the_field(given, value, at_fault):
    with pytest.raises(Misfit) as caught:
        wanted("T", given).value(said(value))
    assert at_fault in str(caught.value)


def test_an_answer_that_was_cut_says_that():
    with pytest.raises(Misfit, match="INCOMPLETE_MAX_TOKENS"):
        wanted("T", City).value(said(None, result=Result.MAX_TOKENS))


@pytest.mark.parametrize(
    "given",
    [
        {"type": "objekt"},
        {"enum": {1, 2}},
        {"$schema": []},
        {"$schema": 5},
        '{"type": "object"}',
        5,
        "City",
        City(name="a", people=1),
        Point(1.0),
        [int],
        lambda: 0,
    ],
)
def test_what_is_no_type_is_refused_by_its_name(given):
    with pytest.raises(UsageError, match="--schema thing"):
        wanted("thing", given)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Pydantic reads them from Python 3.12 on")
@pytest.mark.parametrize(
    ("given", "named"), [(Loop, "Loop"), (list[Loop], "Loop"), (Holder, "Pair"), (list[Holder], "Pair")]
)
def test_a_typed_dict_that_cannot_be_read_is_named_with_the_way_out(given, named):
    with pytest.raises(UsageError, match=f"the TypedDict {named} .* from typing_extensions"):
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
