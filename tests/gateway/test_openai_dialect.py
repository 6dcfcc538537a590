import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.errors import (
    ContentFiltered,
    ProviderError,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    StreamBroken,
)
from warp_magics.gateway.sse import Decoder
from warp_magics.gateway.types import (
    Call,
    Conversation,
    Ended,
    Message,
    Model,
    Parameters,
    Reasoning,
    Result,
    Text,
    ToolCall,
    Usage,
)

OPENAI = dialect("openai")
MESSAGES = (Message("system", "Be brief."), Message("user", "grüß"), Message("assistant", "dich"), Message("user", "?"))


def encoded(name="gpt-4o", key="sk-1", **parameters):
    conversation = Conversation(Model("openai", name), MESSAGES, Parameters(**parameters))
    request = OPENAI.encode(conversation, key)
    return request, json.loads(request.body)


def chunk(finish=None, /, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def stream(*items):
    return "".join(f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n" for one in items).encode()


def decoded(raw, cut=None):
    lines, answer = Decoder(), OPENAI.decoder()
    pieces = [raw] if cut is None else [raw[:cut], raw[cut:]]
    events = [event for piece in pieces for one in lines.feed(piece) for event in answer.feed(one)]
    return [*events, *answer.end()]


def spoken(*items):
    """The events of a stream, which are the same wherever it is cut."""
    raw = stream(*items)
    whole = decoded(raw)
    assert all(decoded(raw, cut) == whole for cut in range(len(raw)))
    return whole


# -- requests --------------------------------------------------------------------------------------


def test_a_request_holds_the_conversation_and_asks_for_a_stream_with_its_usage():
    request, body = encoded()
    assert request.path == "/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert "sk-1" not in repr(request)
    assert body == {
        "model": "gpt-4o",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "grüß"},
            {"role": "assistant", "content": "dich"},
            {"role": "user", "content": "?"},
        ],
    }


def test_without_a_key_no_authorization_is_sent():
    assert "authorization" not in encoded(key=None)[0].headers


def test_zero_is_a_value_and_none_is_not_sent():
    _, body = encoded(temperature=0, top_p=0.5, seed=0, stop=("a", "b"), max_tokens=7)
    assert {name: body[name] for name in ("temperature", "top_p", "seed", "stop", "max_tokens")} == {
        "temperature": 0,
        "top_p": 0.5,
        "seed": 0,
        "stop": ["a", "b"],
        "max_tokens": 7,
    }
    assert not {"temperature", "top_p", "seed", "stop", "max_tokens"} & set(encoded()[1])


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("o1", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5-nano", "max_completion_tokens"),
        ("ft:o4-mini:acme", "max_completion_tokens"),
        ("gpt-4o", "max_tokens"),
        ("deepseek-chat", "max_tokens"),
        ("olmo-2", "max_tokens"),
    ],
)
def test_reasoning_models_are_given_their_limit_by_its_new_name(name, field):
    _, body = encoded(name, max_tokens=7)
    assert body[field] == 7
    assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1


def test_a_dialect_nobody_wrote_is_named():
    with pytest.raises(LookupError, match="klingon"):
        dialect("klingon")


# -- answers ---------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("finish", "result"),
    [
        ("stop", Result.COMPLETE),
        ("length", Result.MAX_TOKENS),
        ("content_filter", Result.FILTERED),
        ("function_call", Result.TOOL_CALLS),
        ("eos", Result.UNKNOWN),
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


KEYS = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "content",
        "reasoning_content",
        "tool_calls",
        "function",
        "index",
        "id",
        "name",
        "arguments",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "error",
        "code",
        "refusal",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 500) | st.floats(-1, 1) | st.sampled_from(["", "stop", "x"])
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
DELTA = st.fixed_dictionaries({}, optional=dict.fromkeys(["content", "refusal", "tool_calls", "reasoning"], JSON))
CHOICES = st.lists(
    JSON | st.fixed_dictionaries({"delta": DELTA, "message": DELTA}, optional={"index": JSON}), max_size=2
)
CHUNK = st.dictionaries(KEYS, JSON, max_size=4) | st.fixed_dictionaries({"choices": CHOICES, "usage": JSON})


@given(CHUNK)
def test_no_json_whatever_makes_anything_but_events_or_a_provider_error(value):
    for decode in (
        lambda: decoded(stream(value, chunk("stop"), "[DONE]")),
        lambda: OPENAI.decode(json.dumps(value).encode()),
    ):
        try:
            events = decode()
        except ProviderError:
            continue
        assert all(isinstance(event.text, str) for event in events if isinstance(event, (Text, Reasoning)))
        used = events[-1].response.usage
        assert all(
            type(n) is int for n in (used.input_tokens, used.output_tokens, used.cached_tokens, used.reasoning_tokens)
        )


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
