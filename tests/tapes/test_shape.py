"""What makes a prompt another one on a tape, and what does not; and how a miss is explained."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway.tape.misses import differences, words_of
from warp_magics.gateway.tape.shape import key_of, shape
from warp_magics.gateway.types import (
    Attachment,
    Call,
    ChatRequest,
    Form,
    Parameters,
    Result,
    Source,
    Tool,
    ToolResult,
    Turn,
)


def turn(prompt, response, **fields):
    return Turn(**{"id": "t", "n": 1, "prompt": prompt, "response": response, "status": "complete", "result": Result.COMPLETE,
                   "model": "a:b", "started_at": 1.0, "ended_at": 2.0, **fields})  # fmt: skip


ASKED = ChatRequest(
    "What is the capital of France?",
    "s1",
    context="Be brief.",
    models=("a:b",),
    parameters=Parameters(temperature=0.0, seed=7),
    attachments=(Attachment("text", "notes", "text/plain", text="one"),),
)
TURNS = (turn("Hello there", "Hello."), turn("And Italy?", "Rome."))
OTHERS = {
    "prompt: …the capital of [-France-]{+Spain+}?": (replace(ASKED, prompt="What is the capital of Spain?"), TURNS),
    "context: Be [-brief-]{+long+}.": (replace(ASKED, context="Be long."), TURNS),
    'models: [-["a:b"]-]{+["c:d"]+}': (replace(ASKED, models=("c:d",)), TURNS),
    'models: [-["a:b"]-]{+"default"+}': (replace(ASKED, models=()), TURNS),
    "temperature: [-0.0-]{+0.5+}": (replace(ASKED, parameters=Parameters(temperature=0.5, seed=7)), TURNS),
    "temperature: [-0.0-]": (replace(ASKED, parameters=Parameters(seed=7)), TURNS),
    "max_tokens: {+9+}": (replace(ASKED, parameters=Parameters(temperature=0.0, seed=7, max_tokens=9)), TURNS),
    "attachment notes: its content has changed": (
        replace(ASKED, attachments=(Attachment("text", "notes", "text/plain", text="two"),)), TURNS),
    "attachment notes: [-notes-], the cell has none": (replace(ASKED, attachments=()), TURNS),
    "attachment more: {+more+}": (
        replace(ASKED, attachments=(*ASKED.attachments, Attachment("image", "more", "image/png", data="AA=="))), TURNS),
    "the prompt of turn 1 before it: Hello [-there-]{+you+}": (ASKED, (turn("Hello you", "Hello."), TURNS[1])),
    "the answer of turn 2 before it: [-Rome-]{+Milan+}.": (ASKED, (TURNS[0], turn("And Italy?", "Milan."))),
    "turns before it: [-2-]{+1+}": (ASKED, TURNS[:1]),
    "schema: {+": (replace(ASKED, form=Form(schema={"type": "object"})), TURNS),
    "tools: {+": (replace(ASKED, form=Form(tools=(Tool("look"),))), TURNS),
    "tool_results: {+": (replace(ASKED, tool_results=(ToolResult("c", "found"),)), TURNS),
    "calls of turn 2": (ASKED, (TURNS[0], replace(TURNS[1], tool_calls=(Call("id", "look", "{}"),)))),
}  # fmt: skip


@pytest.mark.parametrize("told", OTHERS)
def test_what_shapes_an_answer_makes_another_key_and_is_told(told):
    on_tape, other = shape(ASKED, TURNS), shape(*OTHERS[told])
    assert key_of(on_tape) != key_of(other)
    first, *lines = differences(
        other, [("far-1", shape(ChatRequest("Write a poem on the sea"), ())), ("near-1", on_tape)]
    )
    assert "near-1.json" in first
    assert any(line.strip().startswith(told) for line in lines), lines


@pytest.mark.parametrize(
    ("request_", "turns"),
    [
        (replace(ASKED, session_id="other", turn_id="x", owner="eve", create_session=True), TURNS),
        (replace(ASKED, source=Source("cell", "n", "c"), replaces="source", on_disconnect="cancel"), TURNS),
        (replace(ASKED, timeout=3.0, cache=False, on_break="error"), TURNS),
        (ASKED, tuple(replace(one, id="other", n=9, model="c:d", started_at=5.0, cost=1.0) for one in TURNS)),
        (ASKED, (TURNS[0], turn("Failed", "", status="failed"), TURNS[1])),
        (ASKED, (*TURNS[:1], replace(TURNS[1], source=Source("python")))),
    ],
)
def test_times_ids_and_names_make_none(request_, turns):
    assert key_of(shape(request_, turns)) == key_of(shape(ASKED, TURNS))


def test_a_tape_with_nothing_near_says_so():
    assert differences(shape(ASKED, ()), []) == ["The tape is empty."]
    (line,) = differences(shape(ASKED, ()), [("x-1", shape(ChatRequest("zzz 9999 xxx"), ()))])
    assert line == "No prompt on the tape is like it."


FEW = st.text("ab c", max_size=6)  # no more words than are shown around a change


@given(FEW, FEW)
def test_a_change_of_words_is_told_and_can_be_read_back(was, now):
    told = words_of(was, now)
    for kept, left_out, text in ((r"\[-(.*?)-\]", r"\{\+.*?\+\}", was), (r"\{\+(.*?)\+\}", r"\[-.*?-\]", now)):
        assert re.sub(kept, r"\1", re.sub(left_out, "", told)) == text


@given(st.text(), st.text())
def test_whatever_has_changed_is_told_shortly(was, now):
    assert len(words_of(was, now)) <= 601


def test_far_from_a_change_a_text_is_left_out():
    text = "word " * 500
    told = words_of(f"{text}red{text}", f"{text}blue{text}")
    assert "[-red-]{+blue+}" in told.replace("[-redword-]{+blueword+}", "[-red-]{+blue+}")
    assert len(told) < 100
    assert words_of("a\nb", "a\nc") == "a⏎[-b-]{+c+}"


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("a b " * 3000 + "X", "a b " * 3000 + "Y", "…b a b [-X-]{+Y+}"),
        ("日本の首都は?", "中国の首都は?", "[-日本-]{+中国+}の首都は?"),
    ],
)
def test_the_change_is_shown_however_long_the_text_and_in_every_script(was, now, told):
    assert words_of(was, now).endswith(told)


def test_two_long_texts_that_differ_everywhere_are_compared_in_no_time():
    one, other = ("".join(f"row {n * k % 97} of {n}\n" for n in range(6000)) for k in (3, 5))
    assert len(words_of(f"x{one}y", f"z{other}w")) <= 601


def test_attachments_in_another_order_are_told_in_a_fixed_one():
    files = tuple(Attachment("text", name, text=name) for name in "abc")
    asked = [shape(ChatRequest("x", attachments=each), ()) for each in (files, files[::-1], files[:1])]
    assert differences(asked[1], [("n-1", asked[0])])[1:] == ["  attachments: in another order"]
    assert [line.split(":")[0].split()[-1] for line in differences(asked[2], [("n-1", asked[0])])[1:]] == ["b", "c"]


def test_long_texts_are_compared_line_by_line():
    lines = [f"line {n} of a long text\n" for n in range(3000)]
    other = [*lines]
    other[1500] = "changed\n"
    told = words_of("".join(lines), "".join(other))
    assert "[-line 1500 of a long text-]{+changed+}" in told
