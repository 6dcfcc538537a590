"""What Anthropic's wire says, at every cut."""

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.kit import read, read_anyhow, read_until_error, sample
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.errors import ProviderError, ProviderFault, StreamBroken
from warp_magics.gateway.types import Call, Reasoning, Result, Text, ToolCall, Usage

ANTHROPIC = dialect("anthropic")


def event(kind, **fields):
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def delta(text, index=0):
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def stopped(reason="end_turn", **usage):
    return event("message_delta", delta={"stop_reason": reason}, usage=usage) + event("message_stop")


def test_a_text_and_its_tokens():
    *texts, end = read_anyhow(ANTHROPIC, sample("anthropic/text.sse"))
    assert texts == [Text("Grüße"), Text(" aus 🌍")]
    assert end.response.result is Result.COMPLETE
    assert end.response.usage == Usage(2112, 9, 2000, 0)
    assert end.response.warnings == ()


def test_thoughts_and_calls_in_pieces():
    *said, end = read_anyhow(ANTHROPIC, sample("anthropic/tools.sse"))
    kept = [
        {"type": "thinking", "thinking": "Two cities, two calls.", "signature": "RXFv"},
        {"type": "redacted_thinking", "data": "RW1x"},
    ]
    calls = (
        Call("toolu_01", "get_weather", '{"city": "Paris"}', {"thinking": kept}),
        Call("toolu_02", "get_time", "{}"),
    )
    thoughts = [Reasoning("Two cities, "), Reasoning("two calls.")]
    assert said == [*thoughts, Text("I look both up."), *map(ToolCall, calls)]
    assert (end.response.result, end.response.tool_calls) == (Result.TOOL_CALLS, calls)


def test_what_the_server_does_by_itself_is_passed_over():
    text, end = read_anyhow(ANTHROPIC, sample("anthropic/search.sse"))
    assert text == Text("In March.")
    assert (end.response.result, end.response.tool_calls, end.response.warnings) == (Result.COMPLETE, (), ())
    assert end.response.usage == Usage(8000, 14, 0, 0)


def test_an_error_in_mid_answer():
    raw = sample("anthropic/overloaded.sse")
    events, error = read_until_error(ANTHROPIC, raw, ProviderFault)
    assert events == [Text("Half an")]
    assert (error.message, error.status) == ("Overloaded", 529)


def test_a_whole_answer():
    *said, end = ANTHROPIC.decode(sample("anthropic/whole.json"))
    call = end.response.tool_calls[0]
    assert said == [Reasoning("One call."), Text("I look it up. "), Text("A moment."), ToolCall(call)]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Wien"})
    assert call.extra["thinking"][0]["signature"] == "RXFv"
    assert end.response.usage == Usage(15, 30, 5, 0)


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("end_turn", Result.COMPLETE),
        ("stop_sequence", Result.COMPLETE),
        ("max_tokens", Result.MAX_TOKENS),
        ("model_context_window_exceeded", Result.MAX_TOKENS),
        ("refusal", Result.FILTERED),
        ("pause_turn", Result.UNKNOWN),
        ("a_reason_of_next_year", Result.UNKNOWN),
    ],
)
def test_each_stop_reason_has_its_result(reason, result):
    assert read(ANTHROPIC, [delta("a") + stopped(reason)])[-1].response.result is result


def test_thinking_tokens_are_told_apart_where_the_wire_does():
    end = read(ANTHROPIC, [delta("a") + stopped(output_tokens=50, output_tokens_details={"thinking_tokens": 30})])[-1]
    assert end.response.usage == Usage(0, 50, 0, 30)


def test_an_answer_of_a_schema_that_was_a_call_is_text():
    block = {"type": "tool_use", "id": "toolu_9", "name": "_warp_answer", "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in ("", '{"n"', ": 3}")]
    raw = event("content_block_start", index=0, content_block=block)
    raw += b"".join(event("content_block_delta", index=0, delta=piece) for piece in pieces)
    one, two, end = read_anyhow(ANTHROPIC, raw + stopped("tool_use"))
    assert (one.text + two.text, end.response.result, end.response.tool_calls) == ('{"n": 3}', Result.COMPLETE, ())
    whole = {"type": "message", "content": [{**block, "input": {"n": 3}}], "stop_reason": "tool_use", "usage": {}}
    assert ANTHROPIC.decode(json.dumps(whole).encode())[0] == Text('{"n":3}')


def test_a_call_that_was_cut_is_left_out():
    block = {"type": "tool_use", "id": "toolu_9", "name": "search", "input": {}}
    raw = delta("Let me see.") + event("content_block_start", index=1, content_block=block)
    raw += event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"q": "a'})
    *_, end = read(ANTHROPIC, [raw + stopped("max_tokens")])
    assert (end.response.tool_calls, end.response.result) == ((), Result.MAX_TOKENS)
    assert end.response.warnings == ("a call of the tool search was cut and left out",)


@pytest.mark.parametrize("raw", [b"", delta("Half"), delta("Half") + event("content_block_stop", index=0)])
def test_an_answer_without_its_end_is_broken(raw):
    with pytest.raises(StreamBroken):
        read(ANTHROPIC, [raw])


def test_an_end_without_its_marker_is_one():
    assert read(ANTHROPIC, [delta("All.") + stopped().removesuffix(event("message_stop"))])[-1].response.result is (
        Result.COMPLETE
    )


@pytest.mark.parametrize(
    "bad",
    [
        b'event: content_block_delta\ndata: {"type": "content_block_del\n\n',
        event("content_block_delta", index=0),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": 3}),
        event("message_start"),
        b"data: []\n\n",
    ],
)
def test_a_malformed_event_is_skipped_counted_and_told(bad):
    *texts, end = read(ANTHROPIC, [delta("a") + bad + delta("b") + stopped()])
    assert texts == [Text("a"), Text("b")]
    assert end.response.warnings == ("1 malformed chunks of the answer were skipped",)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type": "message"}', b'{"type": "message", "content": 3}'])
def test_a_whole_answer_that_is_none(body):
    with pytest.raises((ProviderFault, StreamBroken)):
        ANTHROPIC.decode(body)


@given(st.text(), st.lists(st.integers(0, 400), max_size=6))
def test_any_text_comes_through(text, cuts):
    raw = b"".join(delta(text[at : at + 3]) for at in range(0, len(text), 3)) + stopped()
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    events = read(ANTHROPIC, [raw[a:b] for a, b in itertools.pairwise(edges)])
    assert "".join(event.text for event in events[:-1]) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=9), below, max_size=3),
    max_leaves=8,
)
KINDS = ("message_start", "content_block_start", "content_block_delta", "message_delta", "message", "error", "x")


@given(st.sampled_from(KINDS), JSON, JSON)
def test_nothing_in_place_of_an_event_crashes(kind, one, two):
    fields = {
        "index": one,
        "delta": two,
        "content_block": two,
        "message": two,
        "content": two,
        "error": two,
        "usage": one,
    }
    with contextlib.suppress(ProviderError):
        read(ANTHROPIC, [delta("a") + event(kind, **fields) + delta("b") + stopped()])
