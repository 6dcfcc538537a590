"""What the demo provider answers to a JSON Schema."""

from typing import Annotated, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from warp_magics.gateway.config import load_config
from warp_magics.gateway.dialects.demo_values import smallest
from warp_magics.gateway.local import LocalGateway
from warp_magics.gateway.types import ChatRequest, Form


class Leaf(BaseModel):
    name: Annotated[str, Field(min_length=7)]
    size: Annotated[float, Field(gt=0, le=1)]
    kind: Literal["a", "b"]


class Tree(BaseModel):
    leaves: Annotated[list[Leaf], Field(min_length=2)]
    count: Annotated[int, Field(ge=3)]
    below: "Tree | None"
    done: bool = True


@pytest.mark.parametrize("kind", [Leaf, Tree, list[Leaf], dict[str, int], int, bool, str, Literal["x"], int | None])
def test_it_is_an_instance(kind):
    adapter = TypeAdapter(kind)
    adapter.validate_python(smallest(adapter.json_schema()))


NUMBERS = st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": st.integers(-9, 9)})
TEXTS = st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": st.integers(0, 9)})
PLAIN = st.one_of(NUMBERS, TEXTS, st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": [3, "x"]}]))
SCHEMAS = st.recursive(
    PLAIN,
    lambda inner: (
        st.builds(lambda one, n: {"type": "array", "items": one, "minItems": n}, inner, st.integers(0, 2))
        | st.dictionaries(st.text("ab", min_size=1), inner, max_size=3).map(
            lambda fields: {"type": "object", "properties": fields, "required": list(fields)}
        )
    ),
)


@given(SCHEMAS)
def test_it_is_valid(schema):
    jsonschema.validate(smallest(schema), schema)


@pytest.mark.asyncio
async def test_demo_answers_a_schema():
    gateway = LocalGateway(load_config(env={}).with_demo())
    try:
        said = await gateway.ask(
            ChatRequest("?", store=False, models=("demo:ok",), form=Form(schema=Leaf.model_json_schema()))
        )
    finally:
        await gateway.aclose()
    assert Leaf.model_validate(said.value)
    assert said.model == "demo:ok"
