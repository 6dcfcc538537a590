"""Plain data, and the instances of dataclasses and Pydantic's models, as texts."""

import datetime as dt
import enum
import pprint
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from warp_magics.attach import attached
from warp_magics.grammar import UsageError
from warp_magics.plain import plain_text


@dataclass
class Point:
    x: float
    tags: list


class City(BaseModel):
    name: str
    people: int


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, 2], "a": None}, "{'a': None, 'b': [1, 2]}"),
        ("some text", "some text"),
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (np.int64(3), "3"),
        (np.bool_(1), "True"),
        (np.datetime64("2020-01-31"), "2020-01-31"),
        (dt.date(2020, 1, 31), "2020-01-31"),
        (dt.datetime(2020, 1, 31, 12, tzinfo=dt.UTC), "2020-01-31 12:00:00+00:00"),
        (dt.timedelta(hours=1), "1:00:00"),
        (Decimal("1.50"), "1.50"),
        (Fraction(1, 3), "1/3"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "Colour.RED"),
        (range(3), "range(0, 3)"),
        (deque([1]), "deque([1])"),
        (SimpleNamespace(a=1), "namespace(a=1)"),
        (Point(1.5, ["a"]), "Point(x=1.5, tags=['a'])"),
        ([Point(1.5, [])], "[Point(x=1.5, tags=[])]"),
        (City(name="Köln", people=1), '{\n  "name": "Köln",\n  "people": 1\n}'),
    ],
)
def test_plain_data_is_told_as_python_writes_it(value, text):
    assert attached("v", value).text == text


@pytest.mark.parametrize("value", [Point, City, object(), "", "  \n"])
def test_what_is_no_data_or_none_at_all_is_refused_by_its_name(value):
    with pytest.raises(UsageError, match="--attach thing: "):
        attached("thing", value)


def bush(depth):
    """Ten times ten times ten … of one list."""
    grown = [1]
    for _ in range(depth):
        grown = [grown] * 10
    return grown


MILLION = {number: number for number in range(1_000_000)}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("value", "begins", "ends"),
    [
        (MILLION, "{0: 0,\n 1: 1,", "[the rest of this dict, whose length is 1000000, was left out here]"),
        ([MILLION] * 9, "[{0: 0,\n  1: 1,", "[the rest of this list, whose length is 9, was left out here]"),
        (Point(1.0, list(MILLION)), "Point(x=1.0,\n      tags=[0, 1,", "[the rest of this Point was left out here]"),
        (bush(40), "[[[[", "[the rest of this list, whose length is 10, was left out here]"),
        (["x" * 50_000_000], "['xxx", "[the rest of this list, whose length is 1, was left out here]"),
        ({"a": "x" * 10_000}, "{'a': 'xxx", "was left out here]"),
        ("word " * 10_000, "word word", "[49000 of 50000 characters were left out here]"),
        (City(name="x" * 10_000, people=1), "{", "were left out here]"),
    ],
)
def test_of_much_the_beginning_is_written_and_nothing_else(value, begins, ends):
    text = attached("v", value, 250).text
    assert text.startswith(begins)
    assert text.endswith(ends)
    assert len(text) <= 1000 + 100


def test_data_that_holds_itself_ends():
    circle = [1]
    circle.append(circle)
    assert attached("v", circle).text.startswith("[1, <Recursion on list")


DATA = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers(), inner) | st.tuples(inner) | st.frozensets(st.text()),
)


@given(DATA.filter(lambda value: not isinstance(value, str)), st.integers(1, 60))
def test_what_fits_is_whole_and_what_does_not_says_so(value, size):
    text, whole = plain_text(value, size), pprint.pformat(value, width=100, compact=True)
    if len(whole) <= size:
        assert text == whole
    else:
        assert "left out here]" in text
        assert len(text) <= size + 100
