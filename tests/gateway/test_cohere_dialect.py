"""What Cohere answers, streamed and whole. The samples are in `tests/wire/cohere`."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.cohere_wire import Cohere as Wire
from tests.fakes.replies import Call as Asked
from tests.fakes.replies import Reply
from tests.wire.kit import read, read_anyhow, sample, samples
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.errors import ProviderError, ProviderFault, StreamBroken
from warp_magics.gateway.sse import Decoder
from warp_magics.gateway.types import Call, Ended, Reasoning, Result, Text, ToolCall, Usage

COHERE = dialect("cohere")
PLAN = "I will look it up."
CALLS = (
    Call("get_weather_a1", "get_weather", '{"city": "Köln"}', extra={"tool_plan": PLAN}),
    Call("now_b2", "now", "{}"),
)


def ended(result, usage=Usage(), warnings=(), calls=()):  # noqa: B008 - frozen
    return lambda end: (end.result, end.usage, end.warnings, end.tool_calls) == (result, usage, warnings, calls)


STREAMS = {
    "text": ([Text("Grüße "), Text("🌍\n"), Text("  bye")], ended(Result.COMPLETE, Usage(70, 8, 64))),
    "thinking": (
        [Reasoning("Let me "), Reasoning("think."), Text("Four.")],
        ended(Result.COMPLETE, Usage(38, 33, 0, 29)),
    ),
    "tools": (
        [
            Reasoning("I will look"),
            Reasoning(" it up."),
            ToolCall(replace(CALLS[0], arguments='{\n    "city": "Köln"\n}')),
            ToolCall(CALLS[1]),
        ],
        ended(
            Result.TOOL_CALLS,
            Usage(913, 83),
            calls=(replace(CALLS[0], arguments='{\n    "city": "Köln"\n}'), CALLS[1]),
        ),
    ),
    "citations": ([Text("20°C")], ended(Result.COMPLETE, Usage(9, 4))),
    "max_tokens": (
        [Text("One, t")],
        ended(Result.MAX_TOKENS, Usage(5, 2), ("a call of the tool get_weather was cut and left out",)),
    ),
    "toxic": ([Text("I ")], ended(Result.FILTERED)),
    "odd": (
        [Text("a"), Text("b"), Text("c")],
        ended(Result.COMPLETE, Usage(3, 2), ("2 malformed chunks of the answer were skipped",)),
    ),
}
BROKEN = {"timeout", "error_finish", "error_in_stream"}
"""Of which `test_cohere_errors` tells."""


def test_every_sample_of_a_stream_is_read():
    names = {name.partition("/")[2].partition(".")[0] for name in samples("cohere", "sse")}
    assert names == STREAMS.keys() | BROKEN


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_says_the_same_at_every_cut_and_with_every_line_end(name):
    said, is_right = STREAMS[name]
    *events, end = read_anyhow(COHERE, sample(f"cohere/{name}.sse"))
    assert events == said
    assert isinstance(end, Ended)
    assert is_right(end.response), end.response


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_before_its_end_is_broken(name):
    raw = sample(f"cohere/{name}.sse")
    finished = raw.index(b"\n\n", raw.index(b'"message-end"')) + 1
    for cut in range(finished):
        with pytest.raises(StreamBroken):
            read(COHERE, [raw[:cut]])


def test_the_end_of_the_message_makes_an_answer_whole_and_done_ends_the_reading():
    answer = COHERE.decoder()
    read_into(answer, sample("cohere/text.sse"))
    assert (answer.finished, answer.done) == (True, False)
    read_into(answer, b"data: [DONE]\n\n")
    assert answer.done


def read_into(answer, raw):
    for event in Decoder().feed(raw):
        answer.feed(event)


def stream(*events):
    return "".join(f"data: {json.dumps(one)}\n\n" for one in events).encode()


def piece(text, kind="text"):
    return {"type": "content-delta", "index": 0, "delta": {"message": {"content": {kind: text}}}}


def finish(reason="COMPLETE", **more):
    return {"type": "message-end", "delta": {"finish_reason": reason, **more}}


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("COMPLETE", Result.COMPLETE),
        ("STOP_SEQUENCE", Result.COMPLETE),
        ("MAX_TOKENS", Result.MAX_TOKENS),
        ("ERROR_LIMIT", Result.MAX_TOKENS),
        ("TOOL_CALL", Result.TOOL_CALLS),
        ("ERROR_TOXIC", Result.FILTERED),
        ("PAUSED", Result.UNKNOWN),
        (None, Result.UNKNOWN),
    ],
)
def test_each_finish_reason_has_its_result(reason, result):
    assert read(COHERE, [stream(piece("a"), finish(reason))])[-1].response.result is result


@given(st.lists(st.text(min_size=1), max_size=5), st.integers(1, 40))
@settings(max_examples=50)
def test_any_text_comes_through_unchanged_in_any_pieces(texts, size):
    raw = stream(*map(piece, texts), *(piece(text, "thinking") for text in texts), finish())
    *events, _ = read(COHERE, [raw[at : at + size] for at in range(0, len(raw), size)])
    assert [event.text for event in events if isinstance(event, Text)] == texts
    assert [event.text for event in events if isinstance(event, Reasoning)] == texts


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"tokens": {"input_tokens": 9.0, "output_tokens": 4.0}, "cached_tokens": 3.0}, Usage(9, 4, 3)),
        ({"tokens": None, "billed_units": {"input_tokens": 2, "output_tokens": 1}}, Usage(2, 1)),
        ({"tokens": {"input_tokens": -1, "output_tokens": True}}, Usage()),
        ({}, Usage()),
        (None, Usage()),
    ],
)
def test_the_models_own_tokens_are_counted_and_billed_ones_only_where_no_others_are(usage, counted):
    assert read(COHERE, [stream(piece("a"), finish(usage=usage))])[-1].response.usage == counted


@pytest.mark.parametrize(
    "bad",
    [
        [1],
        None,
        {"type": ["content-delta"], "delta": {}},
        {"type": "content-delta", "delta": {"message": {"content": 5}}},
        {"type": "content-delta", "delta": {"message": [1]}},
        {"type": "content-delta", "delta": "x"},
        {"type": "tool-call-start", "delta": {"message": {"tool_calls": {}}}},
        {"type": "tool-call-start", "index": "0", "delta": {"message": {"tool_calls": {}}}},
        {"type": "tool-call-delta", "index": 0, "delta": {"message": {}}},
        {
            "type": "tool-call-delta",
            "index": 0,
            "delta": {"message": {"tool_calls": {"function": {"arguments": {"a": 1}}}}},
        },
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": 1}}},
        {"type": "message-end", "delta": {"finish_reason": ["COMPLETE"]}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": 3}},
    ],
)
def test_a_malformed_chunk_is_passed_over_counted_and_told(bad):
    first, second, end = read(COHERE, [stream(piece("a"), bad, piece("b"), finish())])
    assert (first, second) == (Text("a"), Text("b"))
    expected = (
        ()
        if isinstance(bad, dict) and bad["type"] == ["content-delta"]
        else ("1 malformed chunks of the answer were skipped",)
    )
    assert end.response.warnings == expected


FIELDS = """type index delta message content text thinking tool_calls tool_plan function name arguments id finish_reason
usage tokens input_tokens cached_tokens error"""
KEYS = st.sampled_from(FIELDS.split())
LEAVES = st.none() | st.booleans() | st.integers(-5, 500) | st.floats(-1, 1) | st.sampled_from(["", "ERROR", "x"])
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
KINDS = [
    "content-start",
    "content-delta",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "message-end",
    "odd",
]
CHUNK = st.dictionaries(KEYS, JSON, max_size=4) | st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS), "index": JSON, "delta": st.fixed_dictionaries({"message": JSON}) | JSON}
)


@given(st.lists(CHUNK, max_size=3))
def test_no_json_whatever_makes_anything_but_events_or_a_provider_error(chunks):
    for decode in (
        lambda: read(COHERE, [stream(*chunks, finish())]),
        lambda: COHERE.decode(json.dumps(chunks[0] if chunks else {}).encode()),
    ):
        try:
            events = decode()
        except ProviderError:
            continue
        assert isinstance(events[-1], Ended)
        assert all(isinstance(event.text, str) for event in events if isinstance(event, (Text, Reasoning)))


# -- whole answers ---------------------------------------------------------------------------------


def test_a_whole_answer_says_the_same_as_a_stream():
    thought, text, end = COHERE.decode(sample("cohere/whole.json"))
    assert (thought, text) == (Reasoning("Let me think."), Text("Four."))
    assert (end.response.result, end.response.usage) == (Result.COMPLETE, Usage(38, 33, 16, 29))


def test_a_whole_answers_calls_have_their_plan():
    plan, first, second, end = COHERE.decode(sample("cohere/tools_whole.json"))
    calls = (replace(CALLS[0], arguments='{"city":"Köln"}'), CALLS[1])
    assert (plan, first, second) == (Reasoning(PLAN), *map(ToolCall, calls))
    assert (end.response.result, end.response.usage, end.response.tool_calls) == (
        Result.TOOL_CALLS,
        Usage(37, 28),
        calls,
    )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", ProviderFault),
        (b"{}", ProviderFault),
        (b'{"message": "it broke"}', ProviderFault),
        (b'{"message": {"content": [5]}, "finish_reason": "COMPLETE"}', ProviderFault),
        (b'{"message": {"content": []}, "finish_reason": "ERROR"}', StreamBroken),
    ],
)
def test_a_whole_body_that_is_no_answer_is_an_error(body, kind):
    with pytest.raises(kind):
        COHERE.decode(body)


# -- the fake --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(chunks=["a", "b"], reasoning=["Hm."], cached=1, newline="\r\n"),
        Reply(chunks=[], tools=[("now", {}), ("get_weather", {"city": "Köln"})]),
        Reply(chunks=["a"], finish="length", usage_in="nowhere", done=False),
        Reply(chunks=["a"], refusal=" No.", finish="content_filter", usage={"prompt_tokens": 4}),
    ],
)
def test_the_fake_says_the_same_streamed_and_whole(reply):
    body = {"model": "ok", "stream": True, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
    call = Asked(1, "POST", Wire.path, {"authorization": "Bearer key-1"}, body, Wire)
    assert (call.model, call.key, Wire.streamed(call)) == ("ok", "key-1", True)
    *streamed, end = read(COHERE, [b"".join(Wire.stream(call, reply))])
    *whole, whole_end = COHERE.decode(json.dumps(Wire.whole(call, reply)).encode())
    assert end == whole_end
    for kind in (Text, Reasoning):
        said = ["".join(one.text for one in events if isinstance(one, kind)) for events in (streamed, whole)]
        assert said[0] == said[1]
    if reply.chunks is None:
        assert "You said 'Hi' in message 1." in [one.text for one in whole]
