"""What is sent on Gemini's wire."""

from itertools import pairwise

import pytest
from hypothesis import given

from tests.gateway.dialect_kit import CLOSED, MESSAGES, PNG, WEATHER, Sender, asked
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.types import Call, Message, Tool, ToolResult

SENDER = Sender("gemini", dialect("gemini"))


def test_a_request():
    history = (Message("user", "grüß"), Message("assistant", "dich"), Message("user", "?"))
    conversation = asked(
        Message("system", "Be brief."),
        *history,
        model="gemini-2.5-flash",
        temperature=0.0,
        top_p=0.9,
        seed=7,
        max_tokens=9,
        stop=("x",),
    )
    request = SENDER.request(conversation)
    assert request.path == "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert request.headers["x-goog-api-key"] == "key-123"
    assert "key-123" not in request.path + repr(request)
    assert SENDER.body(conversation) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "grüß"}]},
            {"role": "model", "parts": [{"text": "dich"}]},
            {"role": "user", "parts": [{"text": "?"}]},
        ],
        "generationConfig": {"temperature": 0.0, "topP": 0.9, "seed": 7, "maxOutputTokens": 9, "stopSequences": ["x"]},
    }
    assert "x-goog-api-key" not in SENDER.dialect.encode(asked(), None).headers


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine-1", "tunedModels/mine-1"),
        ("../files", "models/..%2Ffiles"),
        ("m:countTokens?key=x", "models/m%3AcountTokens%3Fkey%3Dx"),
        ("models/../x", "models/..%2Fx"),
    ],
)
def test_a_models_name_keeps_its_place_in_the_path(name, place):
    assert SENDER.request(asked(model=name)).path == f"/{place}:streamGenerateContent?alt=sse"
    assert SENDER.request(asked(model=name, stream=False)).path == f"/{place}:generateContent"


def test_more_than_five_stops_are_told():
    request = SENDER.request(asked(stop=tuple("abcdefg")))
    assert request.warnings == ("only the first 5 stop sequences were sent: gemini takes no more",)


def test_settings_of_its_own():
    body = SENDER.body(asked(max_tokens=9, body={"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}))
    assert body["generationConfig"] == {"maxOutputTokens": 9, "thinkingConfig": {"includeThoughts": True}}


def test_images_tools_calls_and_results():
    mine = Call("fc-1", "get_weather", '{"city": "Wien"}', {"thoughtSignature": "RXFv", "id": "fc-1"})
    calls = (mine, Call("call_1", "get_time", "{"))
    results = (ToolResult("fc-1", "21 °C", name="get_weather"), ToolResult("call_1", "no clock", True, "get_time"))  # noqa: FBT003 - is_error
    body = SENDER.body(
        asked(
            Message("user", "Look.", images=(PNG,)),
            Message("assistant", "I will.", tool_calls=calls),
            Message("user", "And now?", tool_results=results),
            tools=(WEATHER, Tool("get_time")),
            tool_choice="get_weather",
        )
    )
    first, second, third = (content["parts"] for content in body["contents"])
    assert first == [{"text": "Look."}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]
    assert second == [
        {"text": "I will."},
        {"functionCall": {"id": "fc-1", "name": "get_weather", "args": {"city": "Wien"}}, "thoughtSignature": "RXFv"},
        {"functionCall": {"name": "get_time", "args": {}}},
    ]
    assert third == [
        {"functionResponse": {"id": "fc-1", "name": "get_weather", "response": {"result": "21 °C"}}},
        {"functionResponse": {"name": "get_time", "response": {"error": "no clock"}}},
        {"text": "And now?"},
    ]
    weather = {"name": "get_weather", "description": "The weather in a city."}
    time = {"name": "get_time", "description": "get_time"}
    assert body["tools"] == [{"functionDeclarations": [{**weather, "parametersJsonSchema": WEATHER.parameters}, time]}]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}}


@pytest.mark.parametrize(
    ("model", "signature"),
    [("gemini-2.5-flash", None), ("gemini-3-pro-preview", "skip_thought_signature_validator")],
)
def test_a_call_of_another_model_is_signed_for_those_that_insist(model, signature):
    calls = (Call("a", "t", "{}"), Call("b", "t", "{}"))
    body = SENDER.body(asked(Message("user", "hi"), Message("assistant", "", tool_calls=calls), model=model))
    first, second = body["contents"][1]["parts"]
    assert first.get("thoughtSignature") == signature
    assert "thoughtSignature" not in second


@pytest.mark.parametrize(("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")])
def test_each_choice_among_tools(choice, mode):
    body = SENDER.body(asked(tools=(WEATHER,), tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": mode}}
    assert "toolConfig" not in SENDER.body(asked(tools=(WEATHER,)))


def test_a_schema_is_held_but_not_beside_tools():
    held = SENDER.request(asked(schema=CLOSED))
    assert SENDER.body(asked(schema=CLOSED))["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": CLOSED,
    }
    told = SENDER.request(asked(schema=CLOSED, tools=(WEATHER,)))
    assert (held.warnings, b"responseJsonSchema" in told.body, b"JSON Schema" in told.body) == ((), False, True)
    assert told.warnings == ("the schema was told in words alone: gemini takes none beside tools",)


@given(MESSAGES)
def test_any_conversation_is_one_the_wire_takes(messages):
    roles = [content["role"] for content in SENDER.body(asked(*messages))["contents"]]
    assert all(a != b for a, b in pairwise(roles))
