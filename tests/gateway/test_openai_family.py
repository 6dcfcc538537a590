"""The OpenAI format as the servers that speak it write it; the samples' sources are in tests/wire/openai/SOURCES.md."""

import json

import pytest

from tests.wire.kit import read, read_anyhow, read_until_error, sample, samples
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.dialects.openai import OpenAI
from warp_magics.gateway.errors import ContextTooLong, ProviderFault, RateLimited
from warp_magics.gateway.types import (
    Call,
    Conversation,
    Ended,
    Message,
    Model,
    Reasoning,
    Result,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)

WEATHER, TIME = ("get_weather", '{"city":"Paris"}'), ("get_time", "{}")
GOOD = {
    "openai_text": ("", "Grüße, 🌍!", Usage(1200, 7, 1024, 3)),
    "deepseek_thinking": ("Two and two.", "Four", Usage(20, 9, 16, 6)),
    "mistral_thinking": ("Let me see.", "Four.", Usage(11, 14)),
    "groq_reasoning": ("We need four.", "Four", Usage(70, 12)),
    "together": ("", "Hello", Usage(38, 3)),
    "xai": ("First, count.", "303", Usage(37, 205, 8, 200)),
    "ollama": ("Okay", "Hi!", Usage(12, 4)),
    "lmstudio": ("", "Hello", Usage(9, 2)),
    "vllm": ("Hm. ", "Yes", Usage(15, 5)),
    "llamacpp": ("Ok.", "Hi", Usage(8, 3)),
}
CALLED = {
    "openai_tools": [("call_a", *WEATHER), ("call_b", *TIME)],
    "deepseek_tools": [("call_00_x", "get_date", "{}")],
    "mistral_tools": [("D681PevKs", "get_weather", '{"city": "Paris"}'), ("a1B2c3D4e", "get_time", '{"zone":"CET"}')],
    "openrouter_tools": [("toolu_1", "search", '{"q":1}')],
    "ollama_tools": [("call_1", *WEATHER), ("call_2", "get_weather", '{"city":"Rome"}')],
    "gemini_tools": [("f1", *WEATHER), ("f2", "get_weather", '{"city":"Rome"}')],
}
OTHER = {"openai_refusal": Result.FILTERED, "mistral_model_length": Result.MAX_TOKENS}
BROKEN = {
    "openrouter_error": (ProviderFault, 500, "Provider disconnected unexpectedly", "Half an"),
    "openrouter_rate_limit": (RateLimited, 429, "Provider returned error: openai/gpt-4o is temporarily", ""),
    "groq_stopped": (ProviderFault, 500, "over capacity", "Fo"),
    "lmstudio_error": (ContextTooLong, 500, "Trying to keep the first 6547 tokens", ""),
    "vllm_error": (ProviderFault, 500, "The engine is dead.", "Half"),
    "vllm_error_in_error": (ContextTooLong, 400, "This model's maximum context length", ""),
}


def wire(name):
    return sample(f"openai/{name}.sse")


def of(name):
    vendor = name.partition("_")[0]
    return dialect(vendor if vendor in ("deepseek", "mistral") else "openai")


def joined(events, kind):
    return "".join(event.text for event in events if isinstance(event, kind))


def test_each_sample_is_read_by_a_test():
    names = {name.removeprefix("openai/").removesuffix(".sse") for name in samples("openai", "sse")}
    assert names == {*GOOD, *CALLED, *OTHER, *BROKEN}


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_says_what_was_sent_wherever_it_is_cut(name):
    thought, said, usage = GOOD[name]
    *events, end = read_anyhow(of(name), wire(name))
    assert (joined(events, Reasoning), joined(events, Text)) == (thought, said)
    assert (end.response.result, end.response.usage) == (Result.COMPLETE, usage)
    assert end.response.warnings == ()


@pytest.mark.parametrize("name", CALLED)
def test_calls_are_whole_and_apart_wherever_they_are_cut(name):
    events = read_anyhow(of(name), wire(name))
    calls = [event.call for event in events if isinstance(event, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == CALLED[name]
    assert events[-1].response.result is Result.TOOL_CALLS
    assert events[-1].response.tool_calls == tuple(calls)


@pytest.mark.parametrize("name", OTHER)
def test_an_answer_that_is_not_whole_says_so(name):
    *said, end = read_anyhow(of(name), wire(name))
    assert joined(said, Text) in ("I'm sorry, I cannot help.", "All there was room for")
    assert end.response.result is OTHER[name]


@pytest.mark.parametrize("name", BROKEN)
def test_an_error_in_mid_stream_is_raised_after_what_came_before_it(name):
    kind, status, message, before = BROKEN[name]
    events, error = read_until_error(of(name), wire(name), Exception)
    assert type(error) is kind
    assert error.status == status
    assert error.message.startswith(message)
    assert joined(events, Text) == before


# -- what is sent back ------------------------------------------------------------------------------


def sent_back(name, **more):
    """The messages of the next request: the sample's calls, and their results."""
    calls = tuple(event.call for event in read(of(name), [wire(name)]) if isinstance(event, ToolCall))
    results = tuple(ToolResult(call.id, "12 degrees", name=call.name) for call in calls)
    messages = (Message("user", "?"), Message("assistant", "", tool_calls=calls), Message("user", "", (), (), results))
    request = of(name).encode(Conversation(Model("p", "m"), (*messages, *more.get("after", ()))), None)
    return json.loads(request.body)["messages"]


def test_deepseek_gets_its_thoughts_back_with_the_calls_they_led_to():
    _, asked, result = sent_back("deepseek_tools")
    assert asked["reasoning_content"] == "I should look it up."
    assert result == {"role": "tool", "tool_call_id": "call_00_x", "content": "12 degrees"}


def test_deepseek_refuses_answers_without_thoughts_among_calls_so_there_are_some():
    later = (Message("assistant", "12 degrees."), Message("user", "Thanks"))
    assert sent_back("deepseek_tools", after=later)[3] == {
        "role": "assistant",
        "content": "12 degrees.",
        "reasoning_content": " ",
    }
    plain = Conversation(Model("p", "m"), (Message("user", "a"), Message("assistant", "b"), Message("user", "c")))
    assert "reasoning_content" not in dialect("deepseek").encode(plain, None).body.decode()


def test_only_deepseek_is_sent_thoughts():
    calls = [event.call for event in read(dialect("openai"), [wire("deepseek_tools")]) if isinstance(event, ToolCall)]
    assert [call.extra for call in calls] == [{}]


def test_gemini_gets_its_signature_back_with_the_call_it_signed():
    _, asked, *_ = sent_back("gemini_tools")
    signed, unsigned = asked["tool_calls"]
    assert signed["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert "extra_content" not in unsigned


def test_openrouter_gets_its_reasoning_back_whole_and_unchanged():
    _, asked, _ = sent_back("openrouter_tools")
    known = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    assert asked["reasoning_details"] == [{**known, "text": "Look it up.", "signature": "c2ln"}]


def test_reasoning_of_two_kinds_is_kept_in_two():
    first, second = {"type": "reasoning.text", "text": "a"}, {"type": "reasoning.encrypted", "data": "b"}
    piece = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    delta = {"reasoning_details": [first, second], "tool_calls": [piece]}
    raw = b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": "tool_calls"}]}).encode() + b"\n\n"
    (called, _) = read(dialect("openai"), [raw])
    assert called.call == Call("c", "f", "{}", {"message": {"reasoning_details": [first, second]}})


# -- whole answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "thought", "said", "usage"),
    [
        ("openai_whole", "", "Hello!", Usage(19, 10, 0, 4)),
        ("deepseek_whole", "Two and two.", "Four", Usage(20, 9, 16)),
        ("mistral_whole", "Let me see.", "Four.", Usage(11, 14)),
    ],
)
def test_a_whole_answer_says_what_was_sent(name, thought, said, usage):
    *events, end = of(name).decode(sample(f"openai/{name}.json"))
    assert (joined(events, Reasoning), joined(events, Text)) == (thought, said)
    assert isinstance(end, Ended)
    assert (end.response.result, end.response.usage) == (Result.COMPLETE, usage)


def test_a_whole_answer_holds_its_calls():
    called, end = of("openai").decode(sample("openai/openai_tools_whole.json"))
    assert called == ToolCall(Call("call_a", "get_weather", '{"city": "Paris"}'))
    assert end.response.result is Result.TOOL_CALLS


def test_an_error_in_a_whole_answer_is_raised_with_its_cause():
    with pytest.raises(ProviderFault, match="Provider returned error: upstream went away") as caught:
        of("openrouter").decode(sample("openai/openrouter_whole_error.json"))
    assert caught.value.status == 502


class Developer(OpenAI):
    """A dialect of another package's, which calls the system's role by another name."""

    def message(self, message):
        for one in super().message(message):
            yield one | {"role": "developer"} if one["role"] == "system" else one


class Numbered(OpenAI):
    """Another, which looks at each message as it goes out."""

    def messages(self, conversation):
        for number, one in enumerate(super().messages(conversation)):
            yield one | {"number": number}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Developer, [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]),
        (
            Numbered,
            [
                {"role": "system", "content": "Be brief.", "number": 0},
                {"role": "user", "content": "Hi", "number": 1},
            ],
        ),
    ],
)
def test_a_dialect_of_another_package_has_its_say_in_every_message(kind, told):
    messages = (Message("system", "Be brief."), Message("user", "Hi"))
    dialect("openai").encode(Conversation(Model("lab", "m"), messages), None)  # they are remembered as they are there
    request = kind().encode(Conversation(Model("lab", "m"), messages), None)
    assert json.loads(request.body)["messages"] == told
