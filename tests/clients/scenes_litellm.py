"""LiteLLM as a client, unmodified: `python scenes_litellm.py BASE_URL TOKEN` prints what each scene saw, as JSON."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch one
import litellm

BASE, TOKEN = sys.argv[1:3]
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def ask(model="auto", **more):
    given = {"messages": HELLO, "api_base": BASE, "api_key": TOKEN, "max_retries": 0, **more}
    return litellm.completion(model=f"openai/{model}", **given)


def whole():
    said = ask(temperature=0)
    return {"text": said.choices[0].message.content, "usage": said.usage.prompt_tokens}


def streamed():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    return {"text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)}


def tools():
    (call,) = ask("lab:tool", tools=[TOOL]).choices[0].message.tool_calls
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments)}


def session():
    headers = {"x-session-id": "of-litellm"}
    ask(extra_headers=headers)
    return {"text": ask(extra_headers=headers).choices[0].message.content}


def errors():
    found = {}
    for name, model, key in (
        ("limit", "lab:fail-429", TOKEN),
        ("model", "nobody:knows", TOKEN),
        ("key", "auto", "wrong"),
    ):
        try:
            ask(model, api_key=key)
        except Exception as error:  # noqa: BLE001 - its type is what is looked at
            found[name] = type(error).__name__
    return found


SCENES = [whole, streamed, tools, session, errors]
print(json.dumps({scene.__name__: scene() for scene in SCENES}))
