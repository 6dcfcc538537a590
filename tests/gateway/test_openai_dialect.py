"""What an answer on OpenAI's wire says, however oddly it is written."""

import json

import pytest

from tests.gateway.openai_kit import OPENAI, chunk, decoded, spoken, stream
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.errors import (
    ContentFiltered,
    ContextTooLong,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    StreamBroken,
)
from warp_magics.gateway.sse import Decoder
from warp_magics.gateway.types import (
    Call,
    Ended,
    Reasoning,
    Result,
    Text,
    ToolCall,
    Usage,
)


def test_a_dialect_nobody_wrote_is_named():
    with pytest.raises(LookupError, match="klingon"):
        dialect("klingon")


def test_a_streamed_answer_is_its_texts_and_an_end_at_every_cut():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    *texts, end = spoken(
        chunk(role="assistant", content=""),
        chunk(content="Grüße "),
        chunk(content="🌍"),
        chunk("stop"),
        {"choices": [], "usage": usage},
        "[DONE]",
    )
    assert texts == [Text("Grüße "), Text("🌍")]
    assert end.response.result is Result.COMPLETE
    assert end.response.usage == Usage(9, 8, 3, 2)
    assert end.response.warnings == ()


def test_comments_event_names_and_data_in_lines_change_nothing():
    one, two = json.dumps(chunk(content="a"), indent=1).splitlines(), json.dumps(chunk("stop"))
    lines = "".join(f"data: {line}\n" for line in one)
    raw = f": OPENROUTER PROCESSING\n\nid: 1\nevent: message\n{lines}\n:\n\ndata:{two}\n\n: bye\n\n".encode()
    text, end = decoded(raw)
    assert (text, end.response.result) == (Text("a"), Result.COMPLETE)


def test_empty_deltas_and_chunks_without_choices_say_nothing():
    filters = {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    empty = {"choices": [{"index": 0, "delta": None, "finish_reason": None}]}
    said = spoken(
        filters, {}, empty, chunk(), chunk(content=None), chunk(content=""), chunk(content="a"), chunk("stop")
    )
    assert said[:-1] == [Text("a")]
    assert said[-1].response.warnings == ()


def test_what_comes_after_the_finish_is_read_too():
    late = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    first, second, end = spoken(chunk(content="a"), chunk("stop"), chunk(content="b"), late)
    assert (first, second) == (Text("a"), Text("b"))
    assert (end.response.result, end.response.usage) == (Result.COMPLETE, Usage(3, 1))


def test_an_error_after_the_finish_is_an_error():
    with pytest.raises(ProviderFault):
        decoded(stream(chunk(content="a"), chunk("stop"), {"error": {"message": "late"}}))


def test_what_was_cut_once_is_not_made_whole_by_another_finish():
    with pytest.raises(StreamBroken):
        decoded(stream(chunk(content="a"), chunk("error"), chunk("stop"), "[DONE]"))


@pytest.mark.parametrize("details", [5, "x", {}, [5], [{"type": 5}, {"type": 5, "text": 5}]])
def test_no_word_is_lost_to_odd_reasoning_details(details):
    text, end = spoken(chunk(content="a", reasoning_details=details), chunk("stop"))
    assert (text, end.response.warnings) == (Text("a"), ())


def test_a_choice_without_its_number_is_the_first():
    text, end = spoken({"choices": [{"index": None, "delta": {"content": "a"}, "finish_reason": "stop"}]})
    assert (text, end.response.result) == (Text("a"), Result.COMPLETE)


def test_deepseek_names_its_thoughts_and_cache_hits_otherwise():
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "prompt_cache_hit_tokens": 2}
    *said, end = spoken(
        chunk(reasoning_content="Let me ", content=None),
        chunk(reasoning_content="think."),
        chunk(content="Yes."),
        {**chunk("stop", content=""), "usage": usage},
        "[DONE]",
    )
    assert said == [Reasoning("Let me "), Reasoning("think."), Text("Yes.")]
    assert end.response.usage == Usage(5, 4, 2, 0)


def test_tool_calls_come_in_pieces_and_go_on_whole():
    def piece(index, arguments="", **fields):
        return {"index": index, "function": {"arguments": arguments, **fields.pop("function", {})}, **fields}

    *calls, end = spoken(
        chunk(tool_calls=[piece(0, id="c0", type="function", function={"name": "weather"})]),
        chunk(tool_calls=[piece(1, id="c1", function={"name": "time"}), piece(0, '{"city": ')]),
        chunk(tool_calls=[piece(0, '"Paris"}'), piece(1, "{}")]),
        chunk("tool_calls"),
        "[DONE]",
    )
    wanted = (Call("c0", "weather", '{"city": "Paris"}'), Call("c1", "time", "{}"))
    assert calls == [ToolCall(call) for call in wanted]
    assert end.response.tool_calls == wanted
    assert end.response.result is Result.TOOL_CALLS


def called(*pieces, finish="tool_calls"):
    return spoken(*(chunk(tool_calls=[piece]) for piece in pieces), chunk(finish), "[DONE]")[-1].response


def piece(arguments="", name=None, /, **fields):
    return {**fields, "function": {"arguments": arguments, **({"name": name} if name else {})}}


def test_a_name_and_an_id_said_with_each_piece_are_said_once():
    pieces = piece('{"a"', "weather", index=0, id="c"), piece(": 1}", "weather", index=0, id="c")
    assert called(*pieces).tool_calls == (Call("c", "weather", '{"a": 1}'),)


def test_whole_calls_of_one_index_are_several():
    pieces = [piece(str(n), "weather", index=0, id=f"c{n}") for n in range(3)]
    assert [one.arguments for one in called(*pieces).tool_calls] == ["0", "1", "2"]


def test_pieces_go_to_the_last_call_of_their_index():
    pieces = piece("", "a", index=0, id="c0"), piece("", "b", index=0, id="c1"), piece("[]", index=0)
    assert called(*pieces).tool_calls == (Call("c0", "a", "{}"), Call("c1", "b", "[]"))


def test_a_fresh_id_with_each_piece_makes_no_call_of_its_own():
    (one,) = called(piece('{"a"', "weather", index=0, id="c0"), piece(": 1}", index=0, id="c1")).tool_calls
    assert (one.name, one.arguments) == ("weather", '{"a": 1}')


def test_a_call_without_an_id_is_given_one():
    assert called(piece("{}", "weather")).tool_calls == (Call("call_0", "weather", "{}"),)


def test_a_call_that_the_limit_cut_is_left_out_and_told():
    response = called(piece("{}", "a", index=0, id="c0"), piece('{"ci', "b", index=1, id="c1"), finish="length")
    assert response.tool_calls == (Call("c0", "a", "{}"),)
    assert response.warnings == ("a call of the tool b was cut and left out",)


@pytest.mark.parametrize(
    ("finish", "result"),
    [
        ("stop", Result.COMPLETE),
        ("length", Result.MAX_TOKENS),
        ("content_filter", Result.FILTERED),
        ("function_call", Result.TOOL_CALLS),
        ("eos", Result.COMPLETE),
        ("weary", Result.UNKNOWN),
    ],
)
def test_each_finish_reason_has_its_result(finish, result):
    assert spoken(chunk(content="a"), chunk(finish), "[DONE]")[-1].response.result is result


def test_a_refusal_is_shown_and_is_no_complete_answer():
    *said, end = spoken(chunk(refusal="I cannot "), chunk(refusal="do that."), chunk("stop"), "[DONE]")
    assert said == [Text("I cannot "), Text("do that.")]
    assert end.response.result is Result.FILTERED


def test_choices_but_the_first_are_left_out():
    second = {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}]}
    text, end = spoken(chunk(content="a"), second, chunk("stop"), "[DONE]")
    assert (text, end.response.result) == (Text("a"), Result.COMPLETE)


@pytest.mark.parametrize(
    "bad",
    [
        '{"choices": [{"del',
        "[1]",
        "null",
        '{"choices": [null]}',
        '{"choices": "x"}',
        '{"choices": [{"delta": {"content": 5}}]}',
        '{"choices": [{"delta": [1]}]}',
        '{"choices": [{"delta": {"tool_calls": [1]}}]}',
        '{"choices": [{"delta": {}, "finish_reason": ["stop"]}]}',
        '{"choices": [], "usage": {"prompt_tokens_details": 3}}',
    ],
)
def test_a_malformed_chunk_is_passed_over_counted_and_told(bad):
    first, second, end = spoken(chunk(content="a"), bad, chunk(content="b"), chunk("stop"), "[DONE]")
    assert (first, second) == (Text("a"), Text("b"))
    assert end.response.warnings == ("1 malformed chunks of the answer were skipped",)


@pytest.mark.parametrize("marked", [[chunk("stop")], ["[DONE]"]])
def test_either_a_finish_or_done_makes_an_answer_whole(marked):
    assert isinstance(spoken(chunk(content="a"), *marked)[-1], Ended)


def test_a_stream_cut_before_its_finish_is_broken_not_complete():
    raw = stream(chunk(content="a"), chunk(content="b"), chunk("stop"), "[DONE]")
    finished = raw.index(b"\n\n", raw.index(b'"stop"')) + 2
    for cut in range(finished):
        lines, answer = Decoder(), OPENAI.decoder()
        for one in lines.feed(raw[:cut]):
            answer.feed(one)
        with pytest.raises(StreamBroken):
            answer.end()


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "overloaded", "code": "overloaded"}, ProviderFault, 500),
        ({"message": "slow down", "code": 429}, RateLimited, 429),
        ({"message": "broke", "code": "insufficient_quota"}, QuotaExceeded, 500),
        ({"message": "no", "code": "content_filter"}, ContentFiltered, 500),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, RateLimited, 429),
        ({"message": "slow down", "type": "rate_limit_error"}, RateLimited, 429),
        ({"message": "This model's maximum context length is 9 tokens."}, ContextTooLong, 500),
        ({"message": "This model's maximum context length is 9 tokens.", "code": 503}, ProviderFault, 503),
        ("it broke", ProviderFault, 500),
    ],
)
def test_an_error_in_the_stream_is_raised_with_its_words(error, kind, status):
    with pytest.raises(kind) as caught:
        decoded(stream(chunk(content="a"), {"error": error}))
    assert caught.value.status == status
    assert caught.value.message == (error if isinstance(error, str) else error["message"])


def test_a_whole_json_body_says_the_same_as_a_stream():
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "tool_calls": None}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 2}}
    thought, text, end = OPENAI.decode(json.dumps(body).encode())
    assert (thought, text) == (Reasoning("Hm"), Text("Hi"))
    assert (end.response.result, end.response.usage) == (Result.COMPLETE, Usage(2))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", ProviderFault),
        (b'{"error": {"message": "no", "code": 429}}', RateLimited),
        (b"{}", StreamBroken),
    ],
)
def test_a_whole_body_that_is_no_answer_is_an_error(body, kind):
    with pytest.raises(kind):
        OPENAI.decode(body)
