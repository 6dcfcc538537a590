"""What Gemini's wire says, at every cut."""

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.kit import read, read_anyhow, read_until_error, sample
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.errors import ContentFiltered, ProviderError, ProviderFault, StreamBroken
from warp_magics.gateway.types import Call, Reasoning, Result, Text, ToolCall, Usage

GEMINI = dialect("gemini")


def chunk(*parts, finish=None, **fields):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    candidate |= {"finishReason": finish} if finish else {}
    return f"data: {json.dumps({'candidates': [candidate], **fields}, ensure_ascii=False)}\n\n".encode()


def said(text):
    return chunk({"text": text})


STOP = chunk({"text": ""}, finish="STOP")


def test_a_text_its_thoughts_and_its_tokens():
    thought, *texts, end = read_anyhow(GEMINI, sample("gemini/text.sse"))
    assert thought == Reasoning("Weighing it up.")
    assert texts == [Text("Grüße"), Text(" aus"), Text(" 🌍")]
    assert (end.response.result, end.response.warnings) == (Result.COMPLETE, ())
    assert end.response.usage == Usage(15, 33, 4, 28)


def test_calls_and_what_goes_back_with_them():
    *calls, end = read_anyhow(GEMINI, sample("gemini/tools.sse"))
    wanted = (
        Call("fc-1", "get_weather", '{"city":"Paris"}', {"thoughtSignature": "RXFv", "id": "fc-1"}),
        Call("call_1", "get_time", "{}"),
    )
    assert calls == list(map(ToolCall, wanted))
    assert (end.response.result, end.response.tool_calls) == (Result.TOOL_CALLS, wanted)


def test_code_and_its_output_are_text_and_a_file_is_told_of():
    *texts, end = read_anyhow(GEMINI, sample("gemini/code.sse"))
    code, output = "\n```python\nprint(6 * 7)\n```\n", "\n```\n42\n```\n"
    assert [text.text for text in texts] == ["I compute it.", code, output, "It is 42."]
    assert end.response.warnings == ("a file in the answer was left out: only text is kept",)
    assert (end.response.result, end.response.usage) == (Result.COMPLETE, Usage(8, 41, 0, 0))


def test_a_refusal_after_the_first_word_keeps_the_part():
    text, end = read_anyhow(GEMINI, sample("gemini/safety.sse"))
    assert (text, end.response.result) == (Text("It begins"), Result.FILTERED)


def test_a_refusal_before_the_first_word_is_no_answer():
    with pytest.raises(ContentFiltered, match="PROHIBITED_CONTENT") as caught:
        read(GEMINI, [sample("gemini/blocked.sse")])
    assert caught.value.details["provider"] == "PROHIBITED_CONTENT"
    with pytest.raises(ContentFiltered, match="SAFETY"):
        read(GEMINI, [chunk(finish="SAFETY")])


def test_an_error_in_mid_answer():
    events, error = read_until_error(GEMINI, sample("gemini/error.sse"), ProviderFault)
    assert events == [Text("Half")]
    assert (error.status, error.message) == (503, "The model is overloaded. Please try again later.")


def test_a_whole_answer_and_one_in_an_array():
    whole = sample("gemini/whole.json")
    *told, end = GEMINI.decode(whole)
    (call,) = end.response.tool_calls
    assert told == [Reasoning("One call."), Text("I look "), Text("it up."), ToolCall(call)]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Wien"})
    assert end.response.usage == Usage(10, 15, 0, 3)
    assert GEMINI.decode(b"[" + whole + b"]") == [*told, end]
    assert GEMINI.decode(b"[3, " + whole + b"]")[-1].response.warnings == (
        "1 malformed chunks of the answer were skipped",
    )


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("STOP", Result.COMPLETE),
        ("MAX_TOKENS", Result.MAX_TOKENS),
        ("SAFETY", Result.FILTERED),
        ("RECITATION", Result.FILTERED),
        ("BLOCKLIST", Result.FILTERED),
        ("SPII", Result.FILTERED),
        ("OTHER", Result.UNKNOWN),
        ("A_REASON_OF_NEXT_YEAR", Result.UNKNOWN),
    ],
)
def test_each_finish_reason_has_its_result(reason, result):
    assert read(GEMINI, [said("a") + chunk(finish=reason)])[-1].response.result is result


@pytest.mark.parametrize("raw", [b"", said("Half"), said("Half") + chunk(finish="MALFORMED_FUNCTION_CALL")])
def test_an_answer_without_its_end_is_broken(raw):
    with pytest.raises(StreamBroken):
        read(GEMINI, [raw])


def test_what_comes_after_the_finish_is_read():
    *texts, end = read(GEMINI, [said("a") + STOP + said("b") + b'data: {"usageMetadata": {"promptTokenCount": 3}}\n\n'])
    assert [text.text for text in texts] == ["a", "b"]
    assert end.response.usage.input_tokens == 3


@pytest.mark.parametrize(
    "bad",
    [
        b'data: {"candidates": [{"conte\n\n',
        chunk({"text": 3}),
        b'data: {"candidates": [3]}\n\n',
        chunk({"functionCall": 3}),
        b"data: 7\n\n",
    ],
)
def test_a_malformed_chunk_is_skipped_counted_and_told(bad):
    *texts, end = read(GEMINI, [said("a") + bad + said("b") + STOP])
    assert texts == [Text("a"), Text("b")]
    assert end.response.warnings == ("1 malformed chunks of the answer were skipped",)


@pytest.mark.parametrize("body", [b"", b"3", b"[", b"{}", b"[]", b'{"candidates": 3}'])
def test_a_whole_answer_that_is_none(body):
    with pytest.raises((ProviderFault, StreamBroken)):
        GEMINI.decode(body)


@given(st.text(), st.lists(st.integers(0, 400), max_size=6))
def test_any_text_comes_through(text, cuts):
    raw = b"".join(said(text[at : at + 3]) for at in range(0, len(text), 3)) + STOP
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    events = read(GEMINI, [raw[a:b] for a, b in itertools.pairwise(edges)])
    assert "".join(event.text for event in events[:-1]) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=9), below, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["candidates", "promptFeedback", "usageMetadata", "error", "parts"]), JSON)
def test_nothing_in_place_of_a_chunk_crashes(name, value):
    odd = chunk(value) if name == "parts" else f"data: {json.dumps({name: value})}\n\n".encode()
    with contextlib.suppress(ProviderError):
        read(GEMINI, [said("a") + odd + said("b") + STOP])
