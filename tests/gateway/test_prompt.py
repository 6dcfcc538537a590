"""What a model is sent of a session: what fits, in order, and nothing that would be refused ever after."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.kit import turn
from warp_magics.gateway.errors import InvalidRequest
from warp_magics.gateway.prompt import conversation, newer_half, tokens
from warp_magics.gateway.types import Attachment, Call, ChatRequest, Message, Model, ToolResult

MODEL = Model("lab", "ok")
TURNS = [turn(n, f"ask {n}", f"reply {n}") for n in range(1, 5)]
PNG = Attachment("image", "dot.png", "image/png", data="iVBORw0KGgo=")


def sent(turns, budget=None, prompt="now?", model=MODEL, **fields):
    messages, _, left_out, _ = conversation(ChatRequest(prompt, session_id="s", **fields), turns, model, budget)
    return list(messages), left_out


def told(turns, context=None, budget=None):
    messages, left_out = sent(turns, budget, context=context)
    return [message.text for message in messages], left_out


def calling(n, *ids, results=(), response="", model="lab:ok"):
    calls = tuple(Call(one, f"tool_{one}", "{}", {"signed": n}) for one in ids)
    prompt = "" if results else f"ask {n}"
    return replace(turn(n, prompt, response), tool_calls=calls, tool_results=tuple(results), model=model)


def test_everything_goes_along_without_a_budget():
    assert told(TURNS[:2], "Be brief.") == (["Be brief.", "ask 1", "reply 1", "ask 2", "reply 2", "now?"], 0)
    assert sent([], context="") == ([Message("user", "now?")], 0)


def test_what_has_no_word_of_an_answer_is_not_told_to_a_model():
    shown = [
        turn(1, "a", "part", status="interrupted"),
        turn(2, "b", "", status="failed"),
        turn(3, "c", "part", status="stopped"),
        turn(4, "d", "", status="stopped"),
        turn(5, "e", ""),
    ]
    assert told(shown) == (["a", "part", "c", "part", "now?"], 0)


WORDS = st.text("ab ", min_size=1, max_size=60)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=8), st.none() | WORDS, st.integers(-50, 200))
def test_the_newest_turns_that_fit_go_along_in_order(pairs, context, budget):
    turns = [turn(n, prompt, reply) for n, (prompt, reply) in enumerate(pairs, start=1)]
    messages, left_out = sent(turns, budget, context=context)
    head = [Message("system", context)] if context else []
    kept = [message for one in turns[left_out:] for message in (one.prompt, one.response)]
    assert [message.text for message in messages[len(head) : -1]] == kept
    assert messages[: len(head)] == head
    assert messages[-1] == Message("user", "now?")
    needed = sum(tokens(message.text) for message in messages)
    assert needed <= budget or not kept
    if left_out:
        dropped = turns[left_out - 1]
        assert needed + tokens(dropped.prompt) + tokens(dropped.response) > budget


# -- attachments -----------------------------------------------------------------------------------


def test_a_text_stands_before_the_prompt_and_an_image_beside_it():
    notes = Attachment("text", "notes.txt", text="One.\nTwo.")
    (message,), _ = sent([], attachments=(notes, PNG))
    assert message.text == '<attachment name="notes.txt">\nOne.\nTwo.\n</attachment>\n\nnow?'
    assert message.images == (PNG,)


PIECES = st.sampled_from(["<", "/", ">", " ", "\n", "attachment", "ATTACHMENT", "</attachment>", '"', "&lt;", "a"])


@given(st.lists(PIECES).map("".join), st.lists(PIECES).map("".join) | st.text())
def test_nothing_that_is_attached_can_close_its_frame(text, name):
    (message,), _ = sent([], attachments=(Attachment("text", name, text=text),))
    opened, *lines = message.text.split("\n")
    assert re.fullmatch('<attachment name="[^"<>]*">', opened)
    assert opened.splitlines() == [opened]
    assert re.findall(r"<\s*/\s*attachment", message.text, re.IGNORECASE) == ["</attachment"]
    assert "\n".join(lines).endswith("\n</attachment>\n\nnow?")


@given(st.text())
def test_what_does_not_close_a_frame_stays_as_it_is(text):
    text = text.replace("attachment", "") + "<b>&amp;</b> </attach>"
    (message,), _ = sent([], attachments=(Attachment("text", "Ann's R&D.txt", text=text),))
    assert message.text == f'<attachment name="Ann\'s R&D.txt">\n{text}\n</attachment>\n\nnow?'


def test_a_turn_takes_its_attachments_along():
    messages, _ = sent([replace(TURNS[0], attachments=(PNG,))])
    assert messages[0] == Message("user", "ask 1", images=(PNG,))


def test_an_image_weighs_something():
    assert sent([replace(TURNS[0], attachments=(PNG,))], budget=500)[1] == 1
    assert sent([TURNS[0]], budget=500)[1] == 0


# -- tools -----------------------------------------------------------------------------------------


def test_results_follow_their_calls_under_the_tools_names():
    results = (ToolResult("b", "two"), ToolResult("a", "one", is_error=True))
    messages, _ = sent([calling(1, "a", "b")], prompt="", tool_results=results)
    assert [call.id for call in messages[1].tool_calls] == ["a", "b"]
    one, two = ToolResult("a", "one", is_error=True, name="tool_a"), ToolResult("b", "two", name="tool_b")
    assert messages[2] == Message("user", "", tool_results=(one, two))


def test_a_call_that_nobody_answered_is_answered_for_the_model():
    messages, _ = sent([calling(1, "a", "b"), TURNS[1]])
    assert [(one.id, one.is_error) for one in messages[2].tool_results] == [("a", True), ("b", True)]
    assert messages[2].text == "ask 2"
    *_, last = sent([calling(1, "a", "b")], tool_results=(ToolResult("b", "x"),))[0]
    assert [(one.id, one.is_error) for one in last.tool_results] == [("a", True), ("b", False)]


@pytest.mark.parametrize("turns", [[], TURNS, [calling(1, "a"), TURNS[1]]])
def test_results_of_calls_that_the_last_turn_did_not_make_are_refused(turns):
    with pytest.raises(InvalidRequest, match="made no call 'a'; it called none"):
        sent(turns, prompt="", tool_results=(ToolResult("a", "x"),))


def test_a_failed_turn_does_not_come_between_a_call_and_its_result():
    failed = replace(turn(2, "", "", status="failed"), tool_results=(ToolResult("a", "x"),))
    messages, _ = sent([calling(1, "a"), failed], prompt="", tool_results=(ToolResult("a", "x"),))
    assert len(messages) == 3


def test_what_a_provider_left_in_its_calls_goes_back_to_it_alone():
    turns = [calling(1, "a"), calling(2, "b", model="other:ok")]
    mine, others = (sent(turns)[0][at].tool_calls[0].extra for at in (1, 3))
    assert (mine, others) == ({"signed": 1}, {})


def test_calls_of_one_id_are_told_apart():
    turns = [calling(1, "a"), calling(2, "a", results=[ToolResult("a", "one")])]
    messages, _ = sent(turns, prompt="", tool_results=(ToolResult("a", "two"),))
    calls = [call.id for message in messages for call in message.tool_calls]
    results = [(result.id, result.content) for message in messages for result in message.tool_results]
    assert calls == ["a", "a_2"]
    assert results == [("a", "one"), ("a_2", "two")]


IDS = st.lists(st.sampled_from("abcd"), unique=True, max_size=3)


@given(st.lists(IDS, min_size=1, max_size=6), st.booleans(), st.integers(0, 120) | st.none())
def test_however_much_fits_no_call_is_without_a_result_and_no_result_without_a_call(steps, answered, budget):
    turns, before = [], []
    for n, ids in enumerate(steps, start=1):
        results = [ToolResult(one, "x" * 40) for one in before]
        turns.append(calling(n, *ids, results=results, response=f"reply {n}"))
        before = ids
    results = tuple(ToolResult(one, "x") for one in before) if answered else ()
    messages, left_out = sent(turns, budget, tool_results=results)
    calls, seen = [], []
    for message in messages:
        if message.role == "user":
            assert [result.id for result in message.tool_results] == calls
            assert message.text or message.tool_results
        calls = [call.id for call in message.tool_calls]
        seen += calls
    assert calls == []
    assert len(seen) == len(set(seen))
    assert (len(messages) - 1) // 2 == len(turns) - left_out
    if results:
        assert left_out < len(turns)


CALLED = turn(1, "a", tool_calls=(Call("c1", "f", "{}"),))
ANSWERED = turn(2, "", "b", tool_results=(ToolResult("c1", "x"),))
ONE, TWO, SHOWN = turn(3, "c", "d"), turn(4, "e", "f"), turn(5, "g", status="failed")


@pytest.mark.parametrize(
    ("turns", "sent", "at_least", "kept"),
    [
        ((ONE, TWO), 2, 0, (TWO,)),
        ((CALLED, ANSWERED, ONE, TWO), 4, 0, (TWO,)),
        ((CALLED, ANSWERED, ONE), 3, 0, (ONE,)),
        ((ONE, CALLED, ANSWERED), 3, 0, (CALLED, ANSWERED)),
        ((ONE, TWO), 1, 0, ()),
        ((ONE, TWO), 0, 0, None),
        ((ONE, CALLED), 1, 1, None),
        ((ONE, SHOWN), 1, 0, ()),
        ((SHOWN,), 0, 0, None),
    ],
)
def test_the_newer_half_of_what_was_sent(turns, sent, at_least, kept):
    """Results stay with their calls; what cannot be halved is not."""
    assert newer_half(turns, sent, at_least=at_least) == kept
