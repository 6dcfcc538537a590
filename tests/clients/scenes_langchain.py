"""LangChain's ChatOpenAI, unmodified: `python scenes_langchain.py BASE_URL TOKEN` prints what each scene saw, as JSON."""

import json
import sys

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

BASE, TOKEN = sys.argv[1:3]


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    unit: str


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"Sunny in {city}."


def model(name="auto", **more):
    return ChatOpenAI(model=name, base_url=BASE, api_key=TOKEN, max_retries=0, **more)


def whole():
    said = model(temperature=0).invoke([SystemMessage("Be brief."), HumanMessage("Hello")])
    return {
        "text": said.content,
        "usage": said.usage_metadata["input_tokens"],
        "model": said.response_metadata["model_name"],
    }


def streamed():
    pieces = list(model(stream_usage=True).stream("Hello"))
    whole = sum(pieces[1:], pieces[0])
    return {"text": whole.content, "pieces": len(pieces) > 2, "usage": whole.usage_metadata["input_tokens"]}


def tools():
    messages = [HumanMessage("Hello")]
    asked = model("lab:tool").bind_tools([weather]).invoke(messages)
    messages += [
        asked,
        *(ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls),
    ]
    return {
        "calls": asked.tool_calls[0]["args"],
        "after": model("lab:after-tool").bind_tools([weather]).invoke(messages).content,
    }


def structured():
    return model("lab:weather").with_structured_output(Weather).invoke("Hello").model_dump()


def session():
    """A loop of tools that sends the whole conversation each time, to a session that has it already."""
    ours = model("lab:tool-then-text", default_headers={"x-session-id": "of-langchain"}).bind_tools([weather])
    messages = [SystemMessage("Be brief."), HumanMessage("Hello")]
    while True:
        said = ours.invoke(messages)
        messages.append(said)
        if not said.tool_calls:
            return {"text": said.content}
        messages += [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in said.tool_calls]


def errors():
    import openai

    try:
        model("lab:fail-429").invoke("Hello")
    except openai.RateLimitError as error:
        return {"type": "RateLimitError", "code": error.code}


SCENES = [whole, streamed, tools, structured, session, errors]
print(json.dumps({scene.__name__: scene() for scene in SCENES}))
