"""Entries: what is written of an answer is what is read, in a form that people can read and merge."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway.errors import RateLimited, StreamBroken
from warp_magics.gateway.tape.entries import VERSION, Damaged, Entry, dump, load
from warp_magics.gateway.types import (
    Attempt,
    Call,
    ChatResponse,
    Ended,
    Failed,
    Reasoning,
    Restarted,
    Result,
    Started,
    Text,
    ToolCall,
    Usage,
)

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda x: st.lists(x) | st.dictionaries(TEXT, x), max_leaves=4
)
PIECES = st.one_of(
    st.builds(Text, TEXT.filter(bool)),
    st.builds(Reasoning, TEXT.filter(bool)),
    st.builds(ToolCall, st.builds(Call, TEXT, TEXT, TEXT)),
    st.builds(Restarted, TEXT, TEXT, TEXT),
)
ATTEMPTS = st.builds(Attempt, TEXT, TEXT, st.just(0.0), st.none() | st.integers(100, 599), st.none() | TEXT)
RESPONSES = st.builds(
    ChatResponse,
    text=st.just(""),
    result=st.sampled_from(Result),
    model=TEXT,
    usage=st.builds(Usage, *[st.integers(0, 10**6)] * 4),
    cost=st.none() | st.floats(0, 10),
    route=st.lists(ATTEMPTS, max_size=3).map(tuple),
    warnings=st.lists(TEXT, max_size=2).map(tuple),
    value=JSON,
)


def since_restart(events):
    begun = max((at for at, one in enumerate(events) if isinstance(one, Restarted)), default=-1)
    return events[begun + 1 :]


@st.composite
def entries(draw):
    before = [
        Started(draw(TEXT), warnings=tuple(draw(st.lists(TEXT, max_size=2)))),
        *draw(st.lists(PIECES, max_size=12)),
    ]
    response = draw(RESPONSES)
    told = since_restart(before)
    response = replace(
        response,
        text="".join(one.text for one in told if isinstance(one, Text)),
        tool_calls=tuple(one.call for one in told if isinstance(one, ToolCall)),
    )
    seconds = draw(
        st.lists(st.integers(0, 5000).map(lambda n: n / 1000), min_size=len(before) + 1, max_size=len(before) + 1)
    )
    return Entry(
        draw(st.dictionaries(TEXT, JSON, max_size=3)),
        (*before, Ended(response)),
        tuple(seconds),
        draw(st.lists(TEXT, max_size=2).map(tuple)),
    )


@given(entries())
def test_what_is_written_is_what_is_read(entry):
    text = dump(entry)
    assert load(text) == entry
    assert dump(load(text)) == text
    assert text.endswith("}\n")
    assert list(json.loads(text)) == sorted(json.loads(text))


def entry(*events, seconds=None):
    return Entry({"prompt": "hi", "models": "default"}, events, seconds or (0.0,) * len(events))


def said(**fields):
    return Ended(ChatResponse(**{"text": "", "result": Result.COMPLETE, "model": "a:b", **fields}))


def test_a_failed_answer_has_its_error_and_its_part():
    error = StreamBroken("cut", status=200)
    error.details["route"] = (Attempt("a:b", "X", 0.0),)
    part = ChatResponse("one", Result.UNKNOWN, "a:b", route=(Attempt("a:b", "X", 0.0),))
    back = load(dump(entry(Started("a:b"), Text("one"), Failed(error, part)))).events[-1]
    assert (type(back.error), back.error.message, back.error.status) == (StreamBroken, "cut", 200)
    assert back.error.details == error.details
    assert back.response == part
    refused = load(dump(entry(Failed(RateLimited("wait", retry_after=7.0))))).events[0]
    assert (type(refused.error), refused.error.retry_after, refused.response) == (RateLimited, 7.0, None)


def test_lines_are_lines_and_pieces_stand_beside_them():
    told = json.loads(
        dump(entry(Started("a:b"), Text("one\ntw"), Text("o\n"), said(text="one\ntwo\n"), seconds=(0.1, 0.2, 0.3, 0)))
    )
    assert told["events"][1] == {"kind": "text", "lines": ["one\n", "two\n"], "pieces": "6 2", "seconds": "0.2 0.3"}
    assert told["tape"] == VERSION


def test_a_text_that_was_edited_by_hand_is_one_piece():
    raw = json.loads(dump(entry(Started("a:b"), Text("one"), Text("two"), said(text="onetwo"))))
    raw["events"][1]["lines"] = ["another text"]
    assert load(json.dumps(raw)).events[1:] == (Text("another text"), said(text="another text"))


WRONG = (
    {"asked": None},
    {"asked": []},
    {"asked": {"prompt": 5}},
    {"asked": {"turns": 5}},
    {"asked": {"turns": ["x"]}},
    {"asked": {"parameters": 1}},
    {"notebooks": "a"},
    {"cost": "abc"},
    {"cost": -1},
    {"warnings": "abc"},
    {"usage": {"input_tokens": "x"}},
    {"seconds": "nan"},
)


def told(**changed):
    """A whole entry as text, some of its fields changed."""
    raw = json.loads(dump(entry(Started("a:b"), Text("one"), said(text="one"))))
    for name, value in changed.items():
        (raw if name in ("asked", "notebooks") else raw["events"][-1])[name] = value
    return json.dumps(raw)


def test_fields_called_lines_are_no_text_of_ours():
    asked = {"prompt": "a poem", "schema": {"required": ["lines", "title"], "lines": ["a", "b"]}}
    one = Entry(asked, (Started("a:b"), Text("x"), said(text="x", value={"lines": [1, "two", "three"]})), (0.0,) * 3)
    assert load(dump(one)) == one


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[]", "not JSON of a tape"),
        ("{}", "not JSON of a tape"),
        ('{"tape": 99, "asked": {}, "events": []}', "version 99"),
        ('{"tape": 1, "asked": {}, "events": []}', "cannot be read"),
        ('{"tape": 1, "asked": {}, "events": [{"kind": "started", "model": "a", "warnings": []}]}', "no end"),
        ('{"tape": 1, "asked": {}, "events": [{"kind": "sung"}]}', "sung"),
        ("<<<<<<< HEAD\n{}", "merge conflict"),
        ("[" * 100_000, "not JSON of a tape"),
        *((told(**wrong), "cannot be read") for wrong in WRONG),
    ],
)
def test_what_is_no_entry_says_why(text, why):
    with pytest.raises(Damaged) as caught:
        load(text)
    assert why in str(caught.value)


@given(st.text())
def test_whatever_a_file_holds_it_is_read_or_damaged(text):
    with contextlib.suppress(Damaged):
        load(text)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "kept").glob("*.json")), ids=lambda path: path.stem)
def test_tapes_of_every_version_are_read(path):
    found = load(path.read_text("utf-8"))
    told = json.loads((path.parent / "TOLD.txt").read_text("utf-8"))[path.name]
    last = found.events[-1]
    assert [type(one).__name__ for one in found.events] == told["events"]
    assert (found.asked["prompt"], last.response.text if last.response else str(last.error)) == (
        told["prompt"],
        told["says"],
    )


def test_there_are_kept_tapes():
    assert len(list((Path(__file__).parent / "kept").glob("*.json"))) >= 3
