"""What goes along with a prompt: data, figures, images, files, exceptions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.attach import attached, traceback_text
from warp_magics.frames import trimmed
from warp_magics.grammar import UsageError

DATA = {"city": ["Paris", "Rome", None], "people": [2.1, 2.8, 3.5], "when": pd.to_datetime(["2020-01-01"] * 3)}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_a_frame_is_told_by_its_columns_figures_and_rows(make):
    one = attached("df", make(DATA))
    assert (one.kind, one.name, one.media_type) == ("text", "df", "text/plain")
    head, *lines = one.text.splitlines()
    assert head == f"{make.__module__.partition('.')[0]} DataFrame: 3 rows, 3 columns"
    people = next(line for line in lines if line.startswith("- people"))
    for fact in ("loat64", "min 2.1", "mean 2.8", "max 3.5"):
        assert fact in people
    city = next(line for line in lines if line.startswith("- city"))
    assert "1 missing" in city
    assert "distinct" in city
    assert "2020-01-01" in next(line for line in lines if line.startswith("- when"))
    assert "All rows:" in lines
    assert any("Paris" in line and "2.1" in line for line in lines)


@pytest.mark.parametrize("make", [pd.Series, pl.Series], ids=["pandas", "polars"])
def test_a_series_is_a_frame_of_one_column(make):
    text = attached("s", make([1, 2, 3])).text
    assert "Series: 3 rows, 1 columns" in text
    assert "min 1, mean 2, max 3" in text


def test_other_frames_and_arrays():
    indexed = pd.DataFrame({"a": [[1], [2]]}, index=pd.Index(["x", "y"], name="key"))
    text = attached("df", indexed).text
    assert "index Index (key)" in text
    assert "x,[1]" in text
    lazy = attached("lf", pl.DataFrame({"a": [1]}).lazy()).text
    assert "1 columns, not collected" in lazy
    assert "- a (Int64)" in lazy
    array = attached("a", np.arange(12.0).reshape(3, 4)).text
    assert "shape (3, 4), dtype float64, min 0, mean 5.5, max 11" in array
    same = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert attached("same", same).text.count("- a (int64)") == 2
    assert "0 rows" in attached("none", pd.DataFrame({"a": []})).text


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame(np.zeros((5, 3000))),
        pd.DataFrame({"text": ["x" * 5000] * 500}),
        pl.DataFrame({"text": ["x" * 5000] * 500}),
        np.zeros((900, 900)),
        "word " * 100_000,
    ],
    ids=["wide", "long cells", "polars", "array", "text"],
)
def test_everything_fits_its_budget_and_says_what_is_left_out(value):
    one = attached("big", value, 500)
    assert len(one.text) <= 500 * 4 + 100
    assert any(word in one.text for word in ("left out", "more columns", "The first", "..."))


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (pd.Index([1, 2]), "pandas Index: 2 rows, 1 columns\n- values (int64): min 1, mean 1.5, max 2"),
        (pd.DatetimeIndex(["2020-01-01"], name="day"), "pandas DatetimeIndex: 1 rows, 1 columns\n- day"),
        (pd.MultiIndex.from_tuples([(1, "a")], names=["n", "k"]), "pandas MultiIndex: 1 rows, 2 columns\n- n"),
    ],
)
def test_an_index_is_a_frame_of_its_levels(index, said):
    assert attached("i", index).text.startswith(said)


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        (pd.Series([1, float("inf"), 3, None]), "1 missing, 1 infinite, min 1, mean 2, max 3"),
        (pd.Series([1, float("-inf"), None], dtype="Float64"), "1 missing, 1 infinite, min 1, mean 1, max 1"),
        (pd.Series([float("inf"), None]), "1 missing, 1 infinite\n"),
        (pl.Series([1.0, float("inf"), float("nan"), 3, None]), "1 missing, 1 NaN, 1 infinite, min 1, mean 2, max 3"),
        (np.array([1, np.nan, -np.inf, 3]), "dtype float64, 1 NaN, 1 infinite, min 1, mean 2, max 3\n"),
        (np.array([[np.nan]]), "dtype float64, 1 NaN\n"),
        (np.array(5.0), "dtype float64, min 5, mean 5, max 5\n"),
    ],
)
def test_figures_are_of_what_is_finite_and_the_rest_is_counted(values, facts):
    assert facts in attached("v", values).text


@given(st.lists(st.floats(-1e9, 1e9) | st.sampled_from([float("nan"), float("inf")]), min_size=1))
def test_the_figures_of_an_array_are_never_nan(values):
    head = attached("a", np.array(values)).text.splitlines()[0]
    finite = [value for value in values if np.isfinite(value)]
    assert ("mean" in head) == bool(finite)
    assert "nan" not in head
    assert f"{sum(np.isnan(values))} NaN" in head or not np.isnan(values).any()


def test_many_rows_are_not_all_counted():
    text = attached("df", pd.DataFrame({"a": range(1_500_000)})).text
    assert "1500000 rows" in text
    assert "about min 0" in text


@given(st.text(), st.integers(1, 50))
def test_what_is_cut_begins_as_it_was(text, size):
    cut = trimmed(text, size)
    assert cut == text if len(text) <= size else cut.startswith(text[:size].rstrip())


def test_files(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeffa,b\n1,2\n", "utf-8")
    one = attached("x", tmp_path / "a.csv")
    assert (one.kind, one.name, one.text) == ("text", "a.csv", "a,b\n1,2\n")


def test_halves_of_characters_are_sent_as_none(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.py")
    path.write_text("x")
    for one in (attached("\udcff", "a\ud800b"), attached("x", path)):
        assert "\N{REPLACEMENT CHARACTER}" in one.name
        assert f"{one.name} {one.text}".encode()


def pdf(text):
    """The smallest file that is one page with `text`."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj" % number + one + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(places) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1) + table + end


def test_the_text_of_a_pdf(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf("Annual report"))
    one = attached("x", tmp_path / "a.pdf")
    assert (one.name, one.text) == ("a.pdf", "[page 1]\nAnnual report")
    (tmp_path / "empty.pdf").write_bytes(pdf(""))
    with pytest.raises(UsageError, match=r"empty\.pdf: the PDF has no text"):
        attached("x", tmp_path / "empty.pdf")
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4\nnothing")
    with pytest.raises(UsageError, match=r"bad\.pdf: the PDF cannot be read"):
        attached("x", tmp_path / "bad.pdf")


def test_what_is_no_file_or_cannot_be_read_says_so(tmp_path):
    (tmp_path / "b.bin").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "e.txt").write_text("\n")
    for path, said in [
        (tmp_path / "none.csv", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "b.bin", "neither text in UTF-8"),
        (tmp_path / "e.txt", "empty"),
        (Path("~no-such-user/x"), "--attach ~no-such-user/x: Could not determine home directory"),
        (Path("a\0b"), "null byte"),
    ]:
        with pytest.raises(UsageError, match=said):
            attached("x", path)


def test_an_object_that_says_how_a_model_reads_it():
    class Own:
        def _repr_llm_(self):
            return "as I want it"

    assert attached("o", Own()).text == "as I want it"
    with pytest.raises(UsageError, match=r"--attach o: a object is nothing") as caught:
        attached("o", object())
    assert "_repr_llm_" in str(caught.value)


class Failing:
    def _repr_llm_(self):
        raise LookupError("boom")


class FailingToo:
    @property
    def figure(self):
        raise ArithmeticError("boom")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Failing(), "reading it raised LookupError: boom."),
        (FailingToo(), "reading it raised ArithmeticError: boom."),
        (pl.scan_csv("/no/such.csv"), "FileNotFoundError"),
    ],
)
def test_what_fails_while_it_is_read_is_named_with_its_error(value, said):
    with pytest.raises(UsageError) as caught:
        attached("thing", value)
    assert str(caught.value).startswith("--attach thing: ")
    assert said in str(caught.value)


def failing(depth=0):
    if depth:
        failing(depth - 1)
    try:
        pd.DataFrame({"a": [1]})["b"]
    except KeyError as error:
        raise ValueError("no such column") from error


def test_an_exception_has_its_cause_and_few_frames_of_libraries():
    with pytest.raises(ValueError, match="no such column") as caught:
        failing(2)
    text = attached("e", caught.value).text
    assert "KeyError: 'b'" in text
    assert text.rstrip().endswith("ValueError: no such column")
    assert text.index("KeyError") < text.index("ValueError: no")
    assert 'pd.DataFrame({"a": [1]})["b"]' in text
    assert 0 < text.count('File "pandas/') <= 3
    short = traceback_text(caught.value, 200)
    assert short.startswith("[the beginning was left out]")
    assert short.rstrip().endswith("ValueError: no such column")
    assert Path(__file__).name in text


def caught_in(call):
    try:
        call()
    except ZeroDivisionError as error:
        return error


def test_an_exception_in_a_group_has_few_frames_of_libraries_too():
    within = [caught_in(lambda: pd.DataFrame({"a": [1]}).apply(lambda _: 1 / 0)) for _ in range(2)]
    with pytest.raises(ExceptionGroup) as caught:
        raise ExceptionGroup("two of them", within)
    text = attached("e", caught.value).text
    assert text.count("ZeroDivisionError: ") == 2
    assert text.count("in caught_in") == 2
    assert 0 < text.count('File "pandas/') <= 4


def test_a_folder_of_the_users_is_no_library_whatever_its_name(tmp_path):
    steps = [f"def step{n}():\n    step{n + 1}()\n" for n in range(6)]
    end = "try:\n    step0()\nexcept ValueError as error:\n    print(warp_magics.attach.traceback_text(error))\n"
    code = "".join(["import json, warp_magics.attach\n", *steps, "def step6():\n    json.loads('{')\n", end])
    (tmp_path / "python3-course").mkdir()
    (tmp_path / "python3-course" / "own.py").write_text(code)
    run = [sys.executable, tmp_path / "python3-course" / "own.py"]
    text = subprocess.run(
        run, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True
    ).stdout
    assert text.count(", in step") == 7
    assert "JSONDecodeError" in text
