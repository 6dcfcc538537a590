"""What Cohere is asked. The samples are in `tests/wire/cohere`."""

import json
from itertools import pairwise

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.kit import sample
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.types import (
    Attachment,
    Call,
    Conversation,
    Form,
    Message,
    Model,
    Parameters,
    Tool,
    ToolResult,
)

COHERE = dialect("cohere")
SCHEMA = jsonschema.Draft202012Validator(json.loads(sample("cohere/request.schema.json")))
MODEL = Model("cohere", "command-a-03-2025")
WEATHER = Tool(
    "get_weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
NOW = Tool("now")
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PLAN = "I will look it up."
CALLS = (
    Call("get_weather_a1", "get_weather", '{"city": "Köln"}', extra={"tool_plan": PLAN}),
    Call("now_b2", "now", "{}"),
)


def asked(*messages, **fields):
    """The request, and its body, which the published schema allows."""
    conversation = Conversation(MODEL, messages, **fields)
    request = COHERE.encode(conversation, "key-1")
    body = json.loads(request.body)
    SCHEMA.validate(body)
    return request, body


def user(text="Hi", **fields):
    return Message("user", text, **fields)


def test_a_request_holds_the_conversation_and_its_parameters_by_the_wires_names():
    request, body = asked(
        Message("system", "Be brief."),
        user("grüß"),
        Message("assistant", "dich"),
        user("?"),
        parameters=Parameters(temperature=0, max_tokens=7, top_p=0.5, seed=0, stop=("a", "b")),
    )
    assert body == json.loads(sample("cohere/request_plain.json"))
    assert request.path == "/v2/chat"
    assert request.headers["authorization"] == "Bearer key-1"
    assert request.headers["accept"] == "text/event-stream"
    assert "key-1" not in repr(request)
    assert request.warnings == ()


def test_without_a_key_no_authorization_is_sent():
    assert "authorization" not in COHERE.encode(Conversation(MODEL, (user(),)), None).headers


def test_calls_carry_their_plan_and_have_their_results_behind_them():
    results = (
        ToolResult("get_weather_a1", "20°C", name="get_weather"),
        ToolResult("now_b2", "no clock", is_error=True, name="now"),
    )
    _, body = asked(
        user("The weather in Köln, and the time?"),
        Message("assistant", "", tool_calls=CALLS),
        user("Well?", tool_results=results),
        form=Form((WEATHER, NOW)),
    )
    assert body == json.loads(sample("cohere/request_tools.json"))


def test_images_go_along_as_data():
    image = Attachment("image", media_type="image/png", data="iVBORw0KGgo=")
    conversation = Conversation(Model("cohere", "command-a-vision-07-2025"), (user("What is this?", images=(image,)),))
    body = json.loads(COHERE.encode(conversation, None).body)
    SCHEMA.validate(body)
    assert body == json.loads(sample("cohere/request_images.json"))


def test_a_schema_holds_the_answer_and_is_told_in_words_too():
    request, body = asked(Message("system", "Be brief."), user("Who?"), form=Form(schema=PERSON), stream=False)
    assert body == json.loads(sample("cohere/request_schema.json"))
    assert request.headers["accept"] == "application/json"
    assert request.warnings == ()


@pytest.mark.parametrize(
    "form",
    [
        Form((WEATHER,), schema=PERSON),
        Form(schema={"type": "array", "items": PERSON}),
        Form(schema={"type": "object", "properties": {"name": {"type": "string"}}}),
        Form(schema={**PERSON, "properties": {"name": {"type": "object"}}}),
        Form(schema={**PERSON, "properties": {"name": {"type": "integer", "minimum": 1}}}),
        Form(schema={**PERSON, "properties": {"name": {"type": "string", "pattern": "^a"}}}),
        Form(schema={**PERSON, "properties": {"name": {"type": "string", "format": "email"}}}),
        Form(schema={**PERSON, "$defs": {"one": {"oneOf": [PERSON]}}}),
        Form(schema={**PERSON, "properties": {"name": {"type": "array", "items": {"not": {}}}}}),
        Form(schema={**PERSON, "properties": [1]}),
    ],
)
def test_a_schema_that_the_wire_does_not_take_is_told_in_words_and_warned_of(form):
    request, body = asked(user("Who?"), form=form)
    assert "response_format" not in body
    assert json.dumps(form.schema, separators=(",", ":")) in body["messages"][0]["content"]
    assert [warning for warning in request.warnings if "words alone" in warning]


def test_nested_schemas_that_the_wire_takes_hold_the_answer():
    nested = {
        "type": "object",
        "properties": {
            "people": {"type": "array", "items": {"$ref": "#/$defs/person"}},
            "day": {"type": ["string", "null"], "format": "date"},
            "kind": {"anyOf": [{"const": 1}, {"enum": ["a"]}]},
        },
        "required": ["people"],
        "additionalProperties": False,
        "$defs": {"person": PERSON},
    }
    _, body = asked(user(), form=Form(schema=nested))
    assert body["response_format"] == {"type": "json_object", "json_schema": nested}


@pytest.mark.parametrize(
    ("choice", "sent", "names"),
    [
        (None, None, ["get_weather", "now"]),
        ("auto", None, ["get_weather", "now"]),
        ("none", "NONE", ["get_weather", "now"]),
        ("required", "REQUIRED", ["get_weather", "now"]),
        ("now", "REQUIRED", ["now"]),
    ],
)
def test_a_tool_that_is_chosen_by_name_is_the_only_one_sent(choice, sent, names):
    _, body = asked(user(), form=Form((WEATHER, NOW), tool_choice=choice))
    assert body.get("tool_choice") == sent
    assert [tool["function"]["name"] for tool in body["tools"]] == names


def test_parameters_are_kept_within_what_the_wire_takes_and_told():
    request, body = asked(user(), parameters=Parameters(temperature=1.5, top_p=1.0, stop=tuple("abcdef")))
    assert (body["temperature"], body["p"], body["stop_sequences"]) == (1.0, 0.99, list("abcde"))
    assert request.warnings == (
        "only the first 5 stop sequences were sent: cohere takes no more",
        "temperature was sent as 1.0: cohere takes 0.0 to 1.0",
        "top_p was sent as 0.99: cohere takes 0.01 to 0.99",
    )
    assert asked(user(), parameters=Parameters(top_p=0.0))[1]["p"] == 0.01


def test_a_configured_body_is_merged_in():
    thinking = {"type": "enabled", "token_budget": 500}
    assert asked(user(), body={"thinking": thinking, "safety_mode": "OFF"})[1]["thinking"] == thinking


def test_all_system_texts_stand_in_one_at_the_head():
    _, body = asked(
        user("a"), Message("system", "One."), Message("assistant", "b"), Message("system", "Two."), user("c")
    )
    assert [one["role"] for one in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][0]["content"] == "One.\n\nTwo."


def test_empty_messages_are_left_out_and_neighbours_of_one_role_are_one():
    _, body = asked(
        user("a"), Message("assistant", ""), user("b"), Message("assistant", "c"), Message("assistant", "d")
    )
    assert body["messages"] == [
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "c\n\nd"},
    ]


def test_a_prompt_without_a_word_is_still_a_turn():
    _, body = asked(user("a"), Message("assistant", "b"), user(" "))
    assert body["messages"][-1] == {"role": "user", "content": "(nothing)"}
    assert asked(Message("system", "Be brief."), user(""))[1]["messages"][-1]["content"] == "(nothing)"


def test_ids_that_come_twice_are_told_apart_with_their_results():
    again = (Call("call_0", "now", ""),)
    _, body = asked(
        user("a"),
        Message("assistant", "", tool_calls=again),
        user("", tool_results=(ToolResult("call_0", "one"),)),
        Message("assistant", "", tool_calls=again),
        user("", tool_results=(ToolResult("call_0", "two"),)),
    )
    ids = [call["id"] for one in body["messages"] for call in one.get("tool_calls", [])]
    results = {one["tool_call_id"]: one["content"] for one in body["messages"] if one["role"] == "tool"}
    assert results == dict(zip(ids, ["one", "two"], strict=True))


def test_results_without_a_call_are_told_in_words_and_calls_without_a_result_get_one():
    _, body = asked(
        user("a", tool_results=(ToolResult("gone", "20°C", name="get_weather"),)),
        Message("assistant", "", tool_calls=CALLS[1:]),
        user("b"),
    )
    assert body["messages"] == [
        {"role": "user", "content": "The result of the tool get_weather:\n20°C\n\na"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "now_b2", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "now_b2", "content": "The tool was not run."},
        {"role": "user", "content": "b"},
    ]


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "null", "{} "])
def test_arguments_that_are_no_object_go_back_as_an_empty_one(arguments):
    _, body = asked(user(), Message("assistant", "", tool_calls=(Call("a", "now", arguments),)))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"


TEXTS = st.sampled_from(["", " ", "a", "grüß\n"]) | st.text(max_size=5)
IDS = st.sampled_from(["", "a", "b", "a_2"])
CALL = st.builds(Call, IDS, st.sampled_from(["now", "get_weather"]), st.sampled_from(["", "{", "{}", '{"city": 1}']))
RESULT = st.builds(ToolResult, IDS, TEXTS, st.booleans(), st.sampled_from(["", "now"]))
IMAGE = st.just(Attachment("image", media_type="image/png", data="AA=="))
MESSAGE = (
    st.builds(Message, st.just("system"), TEXTS)
    | st.builds(
        Message,
        st.just("user"),
        TEXTS,
        images=st.lists(IMAGE, max_size=1).map(tuple),
        tool_results=st.lists(RESULT, max_size=3).map(tuple),
    )
    | st.builds(Message, st.just("assistant"), TEXTS, tool_calls=st.lists(CALL, max_size=3).map(tuple))
)
FORM = st.builds(
    Form,
    st.sampled_from([(), (NOW,), (WEATHER, NOW)]),
    st.sampled_from([None, "auto", "none", "required", "now"]),
    st.none() | st.just(PERSON),
)


@given(st.lists(MESSAGE, max_size=8), FORM)
def test_any_conversation_makes_a_request_that_the_wire_takes(messages, form):
    _, body = asked(*messages, form=form)
    turns = [one for one in body["messages"] if one["role"] != "system"]
    assert all(one["role"] != "system" for one in body["messages"][1:])
    for before, after in pairwise(turns):
        assert before["role"] != after["role"] or after["role"] == "tool"
    ids = [call["id"] for one in turns for call in one.get("tool_calls", [])]
    assert len(ids) == len(set(ids))
    waiting: set[str] = set()
    for one in turns:
        if one["role"] == "tool":
            waiting.remove(one["tool_call_id"])
        else:
            assert not waiting
            waiting = {call["id"] for call in one.get("tool_calls", [])}
    assert not waiting
    said = [text for message in messages for text in [message.text, *(r.content for r in message.tool_results)]]
    sent = json.dumps(body, ensure_ascii=False)
    assert all(json.dumps(text, ensure_ascii=False)[1:-1] in sent for text in said if text.strip())
