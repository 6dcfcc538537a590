"""What a conversation looks like on OpenAI's wire, and on those of its kin that differ."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

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

OPENAI, MISTRAL, DEEPSEEK = (dialect(name) for name in ("openai", "mistral", "deepseek"))
CHECK = Draft202012Validator(json.loads(sample("openai/request.schema.json")))
HELLO = (Message("system", "Be brief."), Message("user", "grüß"), Message("assistant", "dich"), Message("user", "?"))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", "The weather now", CITY)
PARIS = Call("call_a", "get_weather", '{"city": "Paris"}')


def sent(*messages, to=OPENAI, model="gpt-4o", valid=True, **fields):
    """The body of a request; valid where OpenAI is asked."""
    request = to.encode(Conversation(Model("p", model), messages or HELLO, **fields), "sk-1")
    body = json.loads(request.body)
    if to is OPENAI and valid:
        CHECK.validate(body)
    return body


def test_a_request_holds_the_conversation_and_asks_for_a_stream_with_its_usage():
    request = OPENAI.encode(Conversation(Model("openai", "gpt-4o"), HELLO), "sk-1")
    assert request.path == "/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["accept"] == "text/event-stream"
    assert "sk-1" not in repr(request)
    assert request.warnings == ()
    body = json.loads(request.body)
    CHECK.validate(body)
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


def test_an_answer_in_one_piece_is_asked_for_without_a_word_of_streams():
    request = OPENAI.encode(Conversation(Model("p", "m"), HELLO, stream=False), None)
    assert set(json.loads(request.body)) == {"model", "messages"}
    assert request.headers["accept"] == "application/json"


def test_without_a_key_no_authorization_is_sent():
    assert "authorization" not in OPENAI.encode(Conversation(Model("p", "m"), HELLO), None).headers


def test_zero_is_a_value_and_none_is_not_sent():
    given_ = {"temperature": 0, "top_p": 0.5, "seed": 0, "stop": ["a", "b"], "max_tokens": 7}
    body = sent(parameters=Parameters(**{**given_, "stop": ("a", "b")}))
    assert {name: body[name] for name in given_} == given_
    assert not set(given_) & set(sent())


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("o1", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5-nano", "max_completion_tokens"),
        ("openai/o4-mini", "max_completion_tokens"),
        ("ft:o4-mini:acme", "max_completion_tokens"),
        ("gpt-4o", "max_tokens"),
        ("openai/gpt-oss-20b", "max_tokens"),
        ("deepseek-chat", "max_tokens"),
        ("olmo-2", "max_tokens"),
    ],
)
def test_reasoning_models_are_given_their_limit_by_its_new_name(model, field):
    body = sent(model=model, parameters=Parameters(max_tokens=7))
    assert body[field] == 7
    assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1


def test_the_configured_body_is_merged_in_and_goes_before_ours():
    more = {"reasoning_effort": "low", "temperature": 1.5, "stream_options": {"include_obfuscation": False}}
    body = sent(parameters=Parameters(temperature=0.5), body=more)
    assert (body["reasoning_effort"], body["temperature"]) == ("low", 1.5)
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


# -- images, tools and their results -----------------------------------------------------------------


def test_images_stand_after_the_text_and_alone_where_there_is_none():
    cat = Attachment("image", "cat.png", "image/png", data="aGk=")
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    both, alone = sent(Message("user", "What is it?", (cat,)), Message("user", "", (cat,)))["messages"]
    assert both["content"] == [{"type": "text", "text": "What is it?"}, part]
    assert alone["content"] == [part]


def test_tools_are_functions_and_one_without_parameters_is_given_an_empty_object():
    first, second, third = sent(form=Form((WEATHER, Tool("now"), Tool("odd", "", {"properties": {}}))))["tools"]
    assert first == {
        "type": "function",
        "function": {"name": "get_weather", "description": "The weather now", "parameters": CITY},
    }
    assert second["function"] == {"name": "now", "parameters": {"type": "object", "properties": {}}}
    assert third["function"]["parameters"]["type"] == "object"


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
    ],
)
def test_a_choice_of_tools_is_a_word_or_a_name(choice, wire):
    assert sent(form=Form((WEATHER,), choice))["tool_choice"] == wire
    assert "tool_choice" not in sent(form=Form((WEATHER,)))
    assert "tool_choice" not in sent(form=Form((), choice))


def test_calls_and_their_results_are_sent_in_order_and_errors_are_marked():
    results = (ToolResult("call_a", "12"), ToolResult("call_b", "no such city", is_error=True))
    asked = Message("assistant", "", tool_calls=(PARIS, Call("call_b", "get_weather", "{")))
    body = sent(Message("user", "?"), asked, Message("user", "Well?", (), (), results))
    _, said, first, second, user = body["messages"]
    assert said["content"] is None
    assert [call["id"] for call in said["tool_calls"]] == ["call_a", "call_b"]
    assert said["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert first == {"role": "tool", "tool_call_id": "call_a", "content": "12"}
    assert second == {"role": "tool", "tool_call_id": "call_b", "content": "Error: no such city"}
    assert user == {"role": "user", "content": "Well?"}


def test_results_alone_bring_no_empty_message_of_the_user():
    asked = Message("assistant", "Let me see.", tool_calls=(PARIS,))
    messages = sent(Message("user", "?"), asked, Message("user", "", (), (), (ToolResult("call_a", "12"),)))["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant", "tool"]
    assert messages[1]["content"] == "Let me see."


# -- structured output -------------------------------------------------------------------------------


def closed(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


STRING = {"type": "string"}
NODE = {**closed(next={"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]})}


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(a=STRING, b={"type": "array", "items": closed(c={"type": "integer", "minimum": 0})}),
        {**closed(n={"$ref": "#/$defs/n"}), "$defs": {"n": NODE}},
        closed(type=STRING, properties=STRING, required={"enum": ["x"], "type": "string"}),
        closed(a={**closed(), "type": ["object", "null"]}),
    ],
)
def test_what_openai_would_hold_to_is_strict(schema):
    wanted = sent(form=Form(schema=schema))["response_format"]
    assert wanted == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
        {**closed(a=STRING), "required": []},
        {**closed(a=STRING), "anyOf": [closed()]},
        {**closed(a=STRING), "minProperties": 1},
        closed(a={"type": "object", "additionalProperties": STRING}),
        closed(a={"type": ["object", "null"]}),
        closed(a={"type": "array"}),
        closed(a={"type": "string", "minLength": 1}),
        closed(a={"allOf": [STRING]}),
        closed(a={}),
        closed(a=True),
        {**closed(a={"$ref": "#/$defs/n"}), "$defs": {"n": {"type": "object"}}},
        {**closed(), "properties": 5},
        {**closed(), "anyOf": 5},
    ],
)
def test_a_schema_openai_would_refuse_as_strict_is_not(schema):
    wanted = sent(form=Form(schema=schema))["response_format"]["json_schema"]
    assert (wanted["strict"], wanted["schema"]) == (False, schema)


def test_any_object_is_asked_for_by_the_name_it_has_there():
    body = sent(form=Form(schema={"type": "object"}))
    assert body["response_format"] == {"type": "json_object"}
    assert "JSON" in body["messages"][0]["content"]  # it refuses the wish where no message speaks of JSON


@pytest.mark.parametrize("schema", [{"type": "array", "items": STRING}, {"anyOf": [closed()]}, {}])
def test_a_schema_whose_root_is_no_object_is_told_in_words(schema):
    request = OPENAI.encode(Conversation(Model("p", "m"), HELLO, form=Form(schema=schema)), None)
    body = json.loads(request.body)
    CHECK.validate(body)
    assert "response_format" not in body
    assert body["messages"][0]["content"].startswith("Be brief.\n\n")
    assert body["messages"][0]["content"].endswith(json.dumps(schema, separators=(",", ":")))
    assert "in words" in request.warnings[0]


def test_deepseek_is_asked_for_json_and_told_the_schema_in_words():
    late = Message("system", "In French.")
    body = sent(*HELLO, late, to=DEEPSEEK, form=Form(schema=closed(a=STRING)))
    assert body["response_format"] == {"type": "json_object"}
    first, *rest = body["messages"]
    assert first["role"] == "system"
    assert first["content"].startswith("Be brief.\n\nIn French.\n\n")
    assert "JSON" in first["content"]  # or it refuses
    assert '"additionalProperties":false' in first["content"]
    assert "system" not in [one["role"] for one in rest]


# -- Mistral -----------------------------------------------------------------------------------------


def test_mistral_is_sent_no_field_it_does_not_know():
    body = sent(to=MISTRAL, parameters=Parameters(seed=0, max_tokens=5))
    assert body["random_seed"] == 0
    assert set(body) == {"model", "messages", "stream", "random_seed", "max_tokens"}
    assert "random_seed" not in sent(to=MISTRAL)


def test_mistral_is_sent_ids_of_nine_letters_that_still_belong_together():
    calls = (PARIS, Call("D681PevKs", "get_weather", "{}"))
    results = tuple(ToolResult(call.id, "12") for call in calls)
    asked = Message("assistant", "", tool_calls=calls)
    _, said, *told = sent(Message("user", "?"), asked, Message("user", "", (), (), results), to=MISTRAL)["messages"]
    ids = [call["id"] for call in said["tool_calls"]]
    assert ids == [one["tool_call_id"] for one in told]
    assert ids[1] == "D681PevKs"
    assert all(len(one) == 9 and one.isalnum() for one in ids)
    assert len(set(ids)) == 2


ASKED = Message("assistant", "", tool_calls=(PARIS,))
RESULT = (ToolResult("call_a", "12"),)


@pytest.mark.parametrize(
    "messages",
    [
        (Message("user", "?"), ASKED, Message("user", "Well?", (), (), RESULT)),
        (Message("user", "?"), ASKED, Message("user", "", (), (), RESULT), Message("user", "Well?")),
        (Message("user", "?"), ASKED, Message("user", "", (), (), RESULT), Message("assistant", ""), HELLO[1]),
    ],
)
def test_mistrals_model_speaks_between_a_result_and_the_user(messages):
    roles = [one["role"] for one in sent(*messages, to=MISTRAL)["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_mistrals_system_texts_stand_at_the_head():
    messages = sent(*HELLO, Message("system", "In French."), to=MISTRAL)["messages"]
    assert messages[0] == {"role": "system", "content": "Be brief.\n\nIn French."}
    assert [one["role"] for one in messages[1:]] == ["user", "assistant", "user"]


# -- any conversation --------------------------------------------------------------------------------

TEXT = st.text(max_size=8)
IDS = st.text(st.characters(codec="ascii", categories=["L", "Nd"]), min_size=1, max_size=12)
CALLS = st.lists(st.builds(Call, IDS, st.just("get_weather"), TEXT), max_size=2).map(tuple)
RESULTS = st.lists(st.builds(ToolResult, IDS, TEXT, st.booleans()), max_size=2).map(tuple)
IMAGES = st.lists(st.builds(Attachment, st.just("image"), TEXT, st.just("image/png"), TEXT), max_size=2).map(tuple)
MESSAGE = st.one_of(
    st.builds(Message, st.just("system"), TEXT),
    st.builds(Message, st.just("user"), TEXT, IMAGES, st.just(()), RESULTS),
    st.builds(Message, st.just("assistant"), TEXT, st.just(()), CALLS),
)


@given(st.lists(MESSAGE, min_size=1, max_size=6))
def test_any_conversation_is_one_that_openai_accepts(messages):
    body = sent(*messages)
    told = [one["content"] for one in body["messages"] if one["role"] == "tool"]
    assert len(told) == sum(len(message.tool_results) for message in messages)


@given(st.lists(MESSAGE, min_size=1, max_size=6))
def test_any_conversation_is_in_an_order_that_mistral_accepts(messages):
    roles = [one["role"] for one in sent(*messages, to=MISTRAL)["messages"]]
    assert "system" not in roles[1:]
    assert ("tool", "user") not in pairwise(roles)
