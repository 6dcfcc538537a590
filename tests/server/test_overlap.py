"""What of a client's messages its session has already: decided from messages and turns alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_server_ext.rest.overlap import News, news
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
    found = news([*(Message("system", text) for text in systems), *before, NEW], turns, "x")
    assert found == News("\n\n".join(systems) or None, NEW)


@given(TURNS, TURNS)
def test_what_is_older_than_the_session_comes_before_it(older, turns):
    before = [message for one in (*older, *turns) for message in spoken(one)]
    found = news([*before, NEW], turns, "x")
    assert [(one.prompt, one.response) for one in found.before] == [(one.prompt, one.response) for one in older]
    assert (found.asked, found.replaced) == (NEW, None)


@given(TURNS, WORDS, st.data())
def test_other_words_than_the_sessions_are_refused(turns, word, data):
    assume(turns)
    before = [message for one in turns for message in spoken(one)]
    at = data.draw(st.integers(0, len(before) - 1))
    last = at == len(before) - 1
    assume(before[at].text.strip() != word.strip())
    assume(not (last and before[at].text.startswith(word.rstrip())))
    before[at] = replace(before[at], text=word)
    with pytest.raises(errors.InvalidRequest, match="x-conversation"):
        news([*before, NEW], turns, "x-conversation")


@given(TURNS)
def test_less_than_a_turn_is_refused_and_so_is_a_last_word_of_the_model(turns):
    before = [message for one in turns for message in spoken(one)]
    with pytest.raises(errors.InvalidRequest):
        news([*(before[1:] or [NEW]), NEW], turns, "x")
    with pytest.raises(errors.InvalidRequest, match="last message"):
        news(before, turns, "x")


@given(TURNS, WORDS, st.sampled_from(["failed", "interrupted"]), st.booleans())
def test_who_was_told_of_an_error_asks_in_the_place_of_what_broke_off(turns, part, status, seen):
    broken = turn(9, "Broken?", part if status == "interrupted" else "", status)
    before = [message for one in turns for message in spoken(one)]
    assume(before)
    if seen and status == "interrupted":
        assert news([*before, *spoken(broken), NEW], [*turns, broken], "x").replaced is None
    else:
        found = news([*before, NEW], [*turns, broken], "x")
        assert found.replaced == (broken if status == "interrupted" else None)


def test_turns_that_no_model_is_told_of_are_no_part_of_it():
    turns = [turn(1, "One", "Yes"), turn(2, "Two", "", "failed"), turn(3, "Three", "", "stopped")]
    assert news([*spoken(turns[0]), NEW], turns, "x").asked == NEW


def test_calls_and_their_results_are_known_by_their_ids():
    call, result = Call("c1", "weather", "{}"), ToolResult("c1", "Sunny.")
    turns = [turn(1, "One", "", calls=[call]), turn(2, "", "Fine.", results=[replace(result, name="weather")])]
    asked = Message("user", "", tool_results=(result,))
    assert news([*spoken(turns[0]), asked], turns[:1], "x").asked == asked
    assert news([*spoken(turns[0]), *spoken(turns[1]), NEW], turns, "x").asked == NEW
    other = Message("assistant", "", tool_calls=(replace(call, id="c2"),))
    with pytest.raises(errors.InvalidRequest):
        news([Message("user", "One"), other, asked], turns[:1], "x")
