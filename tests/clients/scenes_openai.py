"""OpenAI's Python SDK, unmodified: `python scenes_openai.py BASE_URL TOKEN` prints what each scene saw, as JSON."""

import asyncio
import json
import sys
from typing import Literal

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

BASE, TOKEN = sys.argv[1:3]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HELLO = [{"role": "user", "content": "Hello"}]
client = OpenAI(base_url=BASE, api_key=TOKEN, max_retries=0)
scenes = {}


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    unit: Literal["C", "F"]


def scene(function):
    scenes[function.__name__] = function
    return function


def chat(model="auto", messages=HELLO, of=client, **more):
    return of.chat.completions.create(model=model, messages=messages, **more)


def raised(call):
    try:
        call()
    except openai.APIError as error:
        status = getattr(error, "status_code", None)
        return {"type": type(error).__name__, "status": status, "code": error.code, "message": error.message}
    return None


@scene
def whole():
    said = chat(temperature=0, seed=1)
    usage = said.usage.model_dump()
    return {"text": said.choices[0].message.content, "model": said.model, "usage": usage, "id": said.id}


@scene
def streamed():
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    return {
        "text": text,
        "reason": reasons[-1],
        "usage": chunks[-1].usage.prompt_tokens,
        "choices": len(chunks[-1].choices),
    }


@scene
def streamed_by_the_helper():
    with client.chat.completions.stream(model="auto", messages=HELLO) as events:
        kinds = [event.type for event in events]
        return {"kinds": sorted(set(kinds)), "text": events.get_final_completion().choices[0].message.content}


@scene
def asynchronous():
    async def both():
        async with AsyncOpenAI(base_url=BASE, api_key=TOKEN, max_retries=0) as one:
            said = await one.chat.completions.create(model="auto", messages=HELLO)
            pieces = [
                chunk.choices[0].delta.content or ""
                async for chunk in await one.chat.completions.create(model="auto", messages=HELLO, stream=True)
            ]
        return {"whole": said.choices[0].message.content, "streamed": "".join(pieces)}

    return asyncio.run(both())


@scene
def tools():
    tool = openai.pydantic_function_tool(Weather, name="weather")
    messages = list(HELLO)
    said = client.chat.completions.parse(model="lab:tool", messages=messages, tools=[tool]).choices[0].message
    (call,) = said.tool_calls
    asked = call.function.parsed_arguments
    messages += [said, {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}]
    after = chat("lab:after-tool", messages, tools=[tool])
    return {"city": asked.city, "unit": asked.unit, "after": after.choices[0].message.content}


@scene
def tools_streamed():
    tool = openai.pydantic_function_tool(Weather, name="weather")
    with client.chat.completions.stream(model="lab:tool", messages=HELLO, tools=[tool]) as events:
        (call,) = events.until_done().get_final_completion().choices[0].message.tool_calls
    return {"city": call.function.parsed_arguments.city, "name": call.function.name}


@scene
def structured():
    said = client.chat.completions.parse(model="lab:weather", messages=HELLO, response_format=Weather)
    return said.choices[0].message.parsed.model_dump()


@scene
def image():
    url = {"url": f"data:image/png;base64,{PIXEL}"}
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": url}]
    return {"text": chat(messages=[{"role": "user", "content": content}]).choices[0].message.content}


@scene
def models():
    found = [one.id for one in client.models.list()]
    return {"ids": found, "one": client.models.retrieve("lab:ok").id}


@scene
def errors():
    stranger = OpenAI(base_url=BASE, api_key="wrong", max_retries=0)

    def broken():
        for _ in chat("lab:broken", stream=True):
            pass

    return {
        "key": raised(lambda: chat(of=stranger)),
        "model": raised(lambda: chat("nobody:knows")),
        "parameter": raised(lambda: chat(temperature=2, n=2)),
        "limit": raised(lambda: chat("lab:fail-429")),
        "fault": raised(lambda: chat("lab:fail-503")),
        "path": raised(lambda: client.embeddings.create(model="auto", input="x")),
        "stream": raised(broken),
    }


@scene
def asks_again_by_itself():
    return {"text": chat("lab:second-time", of=client.with_options(max_retries=2)).choices[0].message.content}


@scene
def session():
    ours = client.with_options(default_headers={"x-session-id": "of-the-sdk"})
    first = ours.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    pieces = chat(of=ours, messages=[{"role": "user", "content": "Again"}], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    return {"header": first.headers["x-session-id"], "text": text}


@scene
def session_and_a_time_out():
    """The SDK's patience ends before the answer comes, and it asks again by itself."""
    ours = client.with_options(default_headers={"x-session-id": "impatient"}, max_retries=4, timeout=1.0)
    return {"text": chat("lab:late", of=ours).choices[0].message.content}


print(json.dumps({name: function() for name, function in scenes.items()}))
