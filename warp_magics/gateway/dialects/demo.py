"""The demo provider: no model, no network, the same answer every time, and faults one can watch.

It answers in the OpenAI format, so that an answer takes every step a real one takes but the wire.
The model's name chooses the behaviour: see BEHAVIOURS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..sse import encode as sse
from .demo_values import smallest
from .openai import OpenAI

BEHAVIOURS: Final = {
    "ok": "answers at once, a JSON Schema with the smallest value of it",
    "slow": "answers a word every 100 ms",
    "silent": "accepts the prompt and never answers",
    "cut": "breaks off in mid-answer",
    "fail-401": "refuses the key",
    "fail-429": "says that its rate limit is reached",
    "fail-503": "says that it is overloaded",
}
_FAULTS: Final = {401: "Demo: the key is refused.", 429: "Demo: rate limit reached.", 503: "Demo: overloaded."}


class Demo(OpenAI):
    """The OpenAI format, spoken to ``respond`` instead of a server."""


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """A scripted HTTP answer: ``chunks`` come ``pause`` seconds apart; ``ends`` says what comes after them."""

    status: int
    chunks: tuple[bytes, ...]
    pause: float = 0.0
    ends: str = "close"
    """``close``, ``cut`` (the connection breaks) or ``hang`` (nothing ever comes)."""
    content_type: str = "text/event-stream"


def respond(body: bytes) -> DemoAnswer:
    """Return what the demo provider answers to a chat completions request."""
    request = orjson.loads(body)
    name, messages = request["model"], request["messages"]
    if name not in BEHAVIOURS:
        return _fault(404, f"Demo: there is no behaviour {name!r}; there are {', '.join(BEHAVIOURS)}.")
    if name.startswith("fail-"):
        status = int(name.removeprefix("fail-"))
        return _fault(status, _FAULTS[status])
    if name == "silent":
        return DemoAnswer(200, (), ends="hang")
    words = _value(request) or _words(messages)
    if name == "cut":
        return DemoAnswer(200, tuple(_delta(word) for word in words[:5]), ends="cut")
    usage = {"prompt_tokens": sum(len(_text(m).split()) for m in messages), "completion_tokens": len(words)}
    end = sse(orjson.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).decode())
    tail = sse(orjson.dumps({"choices": [], "usage": usage}).decode()) + sse("[DONE]")
    return DemoAnswer(200, (*map(_delta, words), end + tail), pause=0.1 if name == "slow" else 0.0)


def _text(message: dict[str, Any]) -> str:
    content = message["content"] or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "an image") for part in content)


def _value(request: dict[str, Any]) -> list[str]:
    """Return the pieces of an answer of the schema that was asked for; none where none was."""
    wanted = request.get("response_format", {})
    schema = wanted.get("json_schema", {}).get("schema")
    if wanted.get("type") == "json_object":
        schema = {"type": "object"}
    return [] if schema is None else re.findall(r".{1,12}", orjson.dumps(smallest(schema)).decode())


def _words(messages: list[dict[str, Any]]) -> list[str]:
    asked = sum(1 for message in messages if message["role"] == "user")
    said = " ".join(_text(messages[-1]).split())
    quoted = said if len(said) <= 60 else said[:59] + "…"  # noqa: PLR2004 - what fits on a line
    text = (
        f"This is the demo provider, not a model. Prompt {asked} of this conversation was: “{quoted}” "
        "For real answers set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or run `jupyter warp init`."
    )
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def _delta(text: str) -> bytes:
    return sse(orjson.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).decode())


def _fault(status: int, message: str) -> DemoAnswer:
    body = orjson.dumps({"error": {"message": message, "type": "demo", "code": None}})
    return DemoAnswer(status, (body,), content_type="application/json")
