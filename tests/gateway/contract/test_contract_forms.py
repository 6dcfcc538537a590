"""Attachments, tools and schemas: the same from a gateway in this process and from one elsewhere."""

import pytest

from tests.fakes.provider import Reply
from tests.gateway.contract.world import OWNER, asking
from tests.gateway.kit import events_of
from warp_magics.gateway.errors import InvalidRequest
from warp_magics.gateway.types import Attachment, Ended, Form, Result, Tool, ToolCall, ToolResult

pytestmark = pytest.mark.asyncio

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PNG = Attachment("image", "dot.png", "image/png", data=DOT)
NOTES = Attachment("text", "notes.txt", "text/plain", text="Line one.\nZweite Zeile.")
WEATHER = Tool("get_weather", "The weather in a city.", {"type": "object", "properties": {"city": {"type": "string"}}})
ANSWER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


async def test_attachments_go_along_now_and_with_every_later_prompt(gateway, there, sid):
    model = there.name()
    await gateway.ask(asking("Look.", sid, model, attachments=(NOTES, PNG)))
    await gateway.ask(asking("And?", sid, model))
    text = '<attachment name="notes.txt">\nLine one.\nZweite Zeile.\n</attachment>\n\nLook.'
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}"}}
    for call in there.calls(model):
        assert call.body["messages"][0] == {"role": "user", "content": [{"type": "text", "text": text}, image]}
    one, two = await gateway.history(OWNER, sid)
    assert (one.prompt, one.attachments) == ("Look.", (NOTES, PNG))
    assert two.attachments == ()


async def test_a_tool_is_called_and_its_result_becomes_the_next_turn(gateway, there, sid):
    model = there.name("tools")
    there.lab.script(
        model, Reply(chunks=[], tools=[("get_weather", {"city": "Paris"})]), Reply(chunks=["It is 21 °C."])
    )
    form = Form((WEATHER,), "required")
    called = await gateway.ask(asking("How warm is it?", sid, model, form=form))
    (call,) = called.tool_calls
    assert (called.result, call.name, call.arguments) == (Result.TOOL_CALLS, "get_weather", '{"city": "Paris"}')
    results = (ToolResult(call.id, "21 °C"),)
    answer = await gateway.ask(asking("", sid, model, tool_results=results, form=Form((WEATHER,))))
    assert answer.text == "It is 21 °C."
    first, second = there.calls(model)
    assert first.body["tools"][0]["function"]["name"] == "get_weather"
    assert (first.body["tool_choice"], "tool_choice" in second.body) == ("required", False)
    assert [message["role"] for message in second.body["messages"]] == ["user", "assistant", "tool"]
    assert second.body["messages"][2] == {"role": "tool", "tool_call_id": call.id, "content": "21 °C"}
    asked, told = await gateway.history(OWNER, sid)
    assert (asked.tool_calls, told.prompt, told.tool_results) == ((call,), "", results)


async def test_a_call_that_nobody_answers_spoils_nothing(gateway, there, sid):
    model = there.name("tools")
    there.lab.script(model, Reply(chunks=[], tools=[("get_weather", {"city": "Paris"})]), Reply())
    await gateway.ask(asking("How warm is it?", sid, model, form=Form((WEATHER,))))
    answer = await gateway.ask(asking("Never mind.", sid, model))
    assert answer.result is Result.COMPLETE
    roles = [message["role"] for message in there.calls(model)[1].body["messages"]]
    assert roles == ["user", "assistant", "tool", "user"]


async def test_a_streamed_call_is_an_event_and_in_the_end(gateway, there, sid):
    model = there.name("tools")
    events = await events_of(gateway, asking("How warm?", sid, model, form=Form((WEATHER,))))
    (call,) = [event.call for event in events if isinstance(event, ToolCall)]
    last = events[-1]
    assert isinstance(last, Ended)
    assert last.response.tool_calls == (call,)


@pytest.mark.parametrize(("text", "value"), [('{"n": 3}', {"n": 3}), ('```json\n{"n": 3}\n```', {"n": 3})])
async def test_an_answer_of_a_schema_has_a_value(gateway, there, sid, text, value):
    model = there.says(text)
    answer = await gateway.ask(asking("Three.", sid, model, form=Form(schema=ANSWER)))
    assert (answer.text, answer.value, answer.warnings) == (text, value, ())
    wanted = {"name": "answer", "schema": ANSWER, "strict": True}
    assert there.calls(model)[0].body["response_format"] == {"type": "json_schema", "json_schema": wanted}


async def test_an_answer_that_is_not_of_the_schemas_kind_says_so(gateway, there, sid):
    answer = await gateway.ask(asking("Three.", sid, there.says("Three!"), form=Form(schema=ANSWER)))
    assert (answer.value, answer.warnings) == (None, ("the answer is not the JSON that was asked for",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"form": Form((Tool("get weather"),))}, "'get weather' is no tool's name"),
        ({"form": Form((WEATHER, WEATHER))}, "Two tools are called 'get_weather'"),
        (
            {"form": Form((WEATHER,), "get_time")},
            "toolChoice 'get_time' is not one of auto, none, required, get_weather",
        ),
        ({"form": Form((), "auto")}, "toolChoice 'auto' is of no use without tools"),
        ({"attachments": (Attachment("image", "a.tiff", "image/tiff", data=DOT),)}, "'a.tiff' has the media type"),
        ({"attachments": (Attachment("image", "a.png", "image/png", data="%%"),)}, "its data is the file in base64"),
        ({"attachments": (Attachment("text", "a.txt"),)}, "'a.txt' is a text"),
        ({"tool_results": (ToolResult("call_1", "x"),)}, "made no call 'call_1'"),
    ],
)
async def test_what_nobody_can_be_sent_is_refused_by_its_name(gateway, there, sid, fields, words):
    model = there.name()
    with pytest.raises(InvalidRequest, match=words):
        await gateway.ask(asking("hi", sid, model, **fields))
    assert not there.calls(model)


async def test_results_need_a_session(gateway, there):
    with pytest.raises(InvalidRequest, match="need its sessionId"):
        await gateway.ask(asking("", None, there.name(), tool_results=(ToolResult("c", "x"),)))
