"""What of a notebook is offered to go along with a prompt, and which prompts are suggested."""

from __future__ import annotations

import dataclasses
import enum
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from warp_magics.nearby import MOST, Nearby, nearby
from warp_magics.suggestions import suggestions


@dataclasses.dataclass
class City:
    name: str


class Own:
    """An object whose every answer would take long."""

    def _repr_llm_(self):
        raise AssertionError("it was asked")

    __len__ = __repr__ = __str__ = __getattr__ = _repr_llm_


class Loud(dict):
    def __len__(self):
        raise AssertionError("it was asked")

    __repr__ = __str__ = __len__


class Lazy:
    """A proxy that computes what it stands for where its class is asked for."""

    @property
    def __class__(self):
        raise AssertionError("it was computed")


class Odd(type):
    def __getattr__(cls, name):
        raise RuntimeError("no class to ask")


class OfOdd(metaclass=Odd):
    pass


def only(value):
    (found,) = nearby({"it": value})
    return found.kind, found.detail, found.group


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (pd.DataFrame({"a": range(1200), "b": 1}), ("DataFrame", "1,200 × 2", "table")),  # noqa: RUF001
        (pl.DataFrame({"a": [1]}), ("DataFrame", "1 × 1", "table")),  # noqa: RUF001
        (pl.LazyFrame({"a": [1]}), ("LazyFrame", "", "table")),
        (pd.Series([1, 2]), ("Series", "2", "series")),
        (pl.Series([1, 2]), ("Series", "2", "series")),
        (np.zeros((3, 4)), ("ndarray", "3 × 4", "array")),  # noqa: RUF001
        (np.array(1), ("ndarray", "", "array")),
        (Figure(), ("Figure", "", "figure")),
        (Figure().subplots(), ("Axes", "", "figure")),
        (go.Figure(), ("Figure", "", "figure")),
        (Image.new("RGB", (4, 2)), ("Image", "4 × 2", "image")),  # noqa: RUF001
        (ValueError("x"), ("ValueError", "", "error")),
        ({"a": 1}, ("dict", "1", "data")),
        ("text", ("str", "4", "data")),
        (12, ("int", "12", "data")),
        (10**400, ("int", "1329 bits", "data")),
        (True, ("bool", "True", "data")),
        (Path("notes.md"), ("PosixPath", "", "data")),
        (City("Bonn"), ("City", "", "data")),
        (Own(), ("Own", "", "data")),
        (Loud(), ("Loud", "", "data")),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_what_can_be_attached_is_told_without_asking_it(value, told):
    assert only(value) == told


@pytest.mark.parametrize("value", [math, math.sqrt, len, City, object(), None, lambda: 1, [].append, enum.Enum, mpl])
def test_what_cannot_is_not_named(value):
    assert nearby({"it": value}) == ()


@pytest.mark.parametrize("odd", ["Lazy", "OfOdd"])
def test_one_odd_variable_hides_no_other(odd):
    assert [one.name for one in nearby({"rows": [1], "odd": globals()[odd](), "more": (1,)})] == ["more", "rows"]


def test_only_the_users_own_are_named():
    names = {"_": [1], "__builtin__": [1], "_i1": "x", "In": [""], "Out": {1: 1}, "Err": {}, "exit": [1], "mine": [1]}
    assert [one.name for one in nearby(names)] == ["mine"]


def test_tables_come_first_and_the_newest_of_each():
    names = {"a": [1], "t": pd.DataFrame(), "x": ValueError(), "f": Figure(), "u": pd.DataFrame(), "b": (1,)}
    assert [one.name for one in nearby(names)] == ["u", "t", "f", "x", "b", "a"]


def test_there_is_an_end_to_them():
    found = nearby({f"v{n}": n for n in range(1000)})
    assert (len(found), found[0].name) == (MOST, "v999")


# -- suggestions -----------------------------------------------------------------------------------

TABLE, FIGURE = Nearby("sales", "DataFrame", "3 × 4", "table"), Nearby("fig", "Figure", "", "figure")  # noqa: RUF001
NUMBER, ROWS = Nearby("n", "int", "3", "data"), Nearby("rows", "list", "3", "data")


def attached(*given, failure=None):
    found = suggestions(given, failure)
    assert len({one.text for one in found}) == 3
    assert all(name in one.text for one in found for name in one.attach if name != failure)
    return [one.attach for one in found]


def test_a_notebook_with_nothing_in_it_has_general_ones():
    assert attached() == attached(NUMBER) == [(), (), ()]


def test_a_table_is_what_one_asks_of():
    assert attached(TABLE) == [("sales",)] * 3
    assert attached(TABLE, ROWS) == [("sales",), ("rows",), ("sales",)]
    assert attached(TABLE, FIGURE, ROWS, NUMBER) == [("sales",), ("fig",), ("rows",)]


def test_a_failure_comes_first():
    assert attached(failure="Err[3]") == [("Err[3]",), (), ()]
    assert attached(TABLE, failure="Err[3]") == [("Err[3]",), ("sales",), ("sales",)]


def test_of_what_is_there_only_one_thing_of_each_kind():
    tables = [Nearby(f"t{n}", "DataFrame", "", "table") for n in range(5)]
    assert attached(*tables, FIGURE) == [("t0",), ("fig",), ("t0",)]
