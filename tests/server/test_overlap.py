"""What of a client's messages its session has already: decided from messages and turns alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_server_ext.rest.overlap import news
from warp_magics.gateway import Call, Message, Result, ToolResult, Turn, errors

WORDS = st.text(min_size=1, max_size=8).filter(str.strip)
NEW = Message("user", "What is new?")


def turn(n, prompt, response, status="complete", *, calls=(), results=()):
    told = {"tool_calls": tuple(calls), "tool_results": tuple(results)}
    return Turn(f"t{n}", n, prompt, response, status, Result.COMPLETE, "lab:ok", 0.0, 0.0, **told)


def spoken(one):
    asked = Message("user", one.prompt, tool_results=one.tool_results)
    return [asked, Message("assistant", one.response, tool_calls=one.tool_calls)]


TURNS = st.lists(st.tuples(WORDS, WORDS), max_size=5).map(
    lambda pairs: [turn(n, *pair) for n, pair in enumerate(pairs, 1)]
)


@given(TURNS, st.integers(0, 5), st.lists(WORDS, max_size=2))
def test_the_sessions_last_messages_are_passed_over_however_many_are_sent(turns, at, systems):
    before = [message for one in turns[at:] for message in spoken(one)]
    context, asked = news([*(Message("system", text) for text in systems), *before, NEW], turns, "x")
    assert (context, asked) == ("\n\n".join(systems) or None, NEW)


@given(TURNS, WORDS, st.data())
def test_other_words_than_the_sessions_are_refused(turns, word, data):
    assume(turns)
    before = [message for one in turns for message in spoken(one)]
    at = data.draw(st.integers(0, len(before) - 1))
    assume(before[at].text.strip() != word.strip())
    before[at] = replace(before[at], text=word)
    with pytest.raises(errors.InvalidRequest, match="x-conversation"):
        news([*before, NEW], turns, "x-conversation")


@given(TURNS)
def test_more_than_the_session_has_and_less_than_a_turn_are_refused(turns):
    before = [message for one in turns for message in spoken(one)]
    for sent in ([Message("user", "Earlier"), Message("assistant", "Yes"), *before], before[1:] or [NEW]):
        with pytest.raises(errors.InvalidRequest):
            news([*sent, NEW], turns, "x")
    with pytest.raises(errors.InvalidRequest, match="last message"):
        news(before, turns, "x")


def test_turns_that_no_model_is_told_of_are_no_part_of_it():
    turns = [turn(1, "One", "Yes"), turn(2, "Two", "", "failed"), turn(3, "Three", "", "stopped")]
    assert news([*spoken(turns[0]), NEW], turns, "x")[1] == NEW


def test_calls_and_their_results_are_known_by_their_ids():
    call, result = Call("c1", "weather", "{}"), ToolResult("c1", "Sunny.")
    turns = [turn(1, "One", "", calls=[call]), turn(2, "", "Fine.", results=[replace(result, name="weather")])]
    asked = Message("user", "", tool_results=(result,))
    assert news([*spoken(turns[0]), asked], turns[:1], "x")[1] == asked
    assert news([*spoken(turns[0]), *spoken(turns[1]), NEW], turns, "x")[1] == NEW
    other = Message("assistant", "", tool_calls=(replace(call, id="c2"),))
    with pytest.raises(errors.InvalidRequest):
        news([Message("user", "One"), other, asked], turns[:1], "x")
