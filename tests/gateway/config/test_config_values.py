"""Durations and sizes."""

import json
import math
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warp_magics.gateway.config import load_config
from warp_magics.gateway.config.values import Expanded, Wrong, seconds, size
from warp_magics.gateway.errors import ConfigError

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@given(st.integers(0, 3650), st.sampled_from(sorted(UNITS)))
def test_every_unit_is_itself(count, unit):
    assert math.isclose(seconds(f"{count}{unit}"), count * UNITS[unit])
    assert math.isclose(seconds(f" {count} {unit} ", milliseconds=True), count * UNITS[unit])


@given(st.integers(0, 10**8) | st.floats(0, 10**8))
def test_a_bare_number_is_seconds_or_milliseconds(count):
    assert seconds(count) == count
    assert math.isclose(seconds(count, milliseconds=True), count / 1000)
    if isinstance(count, int):
        assert seconds(Expanded(count)) == count


GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.from_regex(r"-?\d+ ?[a-z]+", fullmatch=True),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
NUMBER_AND_UNIT = re.compile(r"\s*[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)\s*")


@settings(deadline=None)
@given(GARBAGE)
def test_garbage_is_refused_and_never_crashes(value):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "warp.json")
        path.write_text(json.dumps({"limits": {"sessionWait": value}}), "utf-8")
        try:
            told = load_config(path=path, env={}).limits.session_wait
        except ConfigError as error:
            fault = error.message
            assert "limits.sessionWait: " in fault
        else:
            assert 0 <= told <= 3650 * 86400
            number = isinstance(value, int | float) and not isinstance(value, bool)
            assert number or (isinstance(value, str) and NUMBER_AND_UNIT.fullmatch(value))


@settings(deadline=None)
@given(st.text())
def test_garbage_in_toml_never_crashes(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "warp.toml")
        path.write_text(text, "utf-8")
        try:
            load_config(path=path, env={})
        except ConfigError as error:
            fault = error.message
            assert fault.startswith(str(path))


@pytest.mark.parametrize(
    ("text", "expected"), [(7, 7), ("7B", 7), ("10MB", 10**7), ("1 kB", 1000), ("2MiB", 2 * 2**20), (Expanded("9"), 9)]
)
def test_sizes(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "1.5MB", "10 XB", "-1B", True, 1.0, None, "9"])
def test_what_is_no_size(text):
    with pytest.raises(Wrong):
        size(text)
