"""What a fake provider answers: replies, the faults in them, scripts, and the names of models that stand for scripts."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fault(enum.Enum):
    """What can go wrong at a place in an answer."""

    END = "the body ends here, cleanly, with no finish and no [DONE]"
    CUT = "the connection is closed in mid-body"
    RESET = "the connection is reset"
    SILENT = "nothing more is sent until `release()`"


Wait = float | asyncio.Event | threading.Event
"""Seconds, or an event somebody sets: an asyncio one in the fake's own loop, a threading one from anywhere."""
Item = str | dict[str, Any] | bytes | Wait | Fault
"""A part of an answer: text, an event's whole JSON, raw bytes, a wait or a fault."""


class Wire(Protocol):
    """How requests are read and answers look on one provider's wire; a class without instances."""

    path: str
    """Where it is asked, as an aiohttp route."""

    @staticmethod
    def model(call: Call) -> str: ...

    @staticmethod
    def key(call: Call) -> str: ...

    @staticmethod
    def messages(call: Call) -> list[dict[str, Any]]:
        """Roles and texts in OpenAI's simple shape, a system text first."""

    @staticmethod
    def streamed(call: Call) -> bool: ...

    @classmethod
    def stream(cls, call: Call, reply: Reply) -> Iterator[bytes | Wait | Fault]: ...

    @classmethod
    def whole(cls, call: Call, reply: Reply) -> dict[str, Any]: ...

    @staticmethod
    def error(call: Call, reply: Reply) -> dict[str, Any]: ...


def text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@dataclass
class Call:
    """One request as it came, and what became of it. Times are `time.monotonic()`, the same in all processes."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    wire: type[Wire]
    port: int | None = None
    """The caller's: calls that have it in common came over one connection."""
    at: float = field(default_factory=time.monotonic)
    sent: int = 0
    ended_at: float | None = None
    disconnected_at: float | None = None
    hung_up: bool = False
    released: int = 0
    """How many releases came before it, or have ended a silence of its own."""

    @property
    def model(self) -> str:
        return self.wire.model(self)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.wire.messages(self)

    @property
    def key(self) -> str:
        return self.wire.key(self)

    def echo(self) -> str:
        """The default answer: shows what the model saw."""
        asked = [text_of(message) for message in self.messages if message.get("role") == "user"]
        return f"You said {asked[-1] if asked else ''!r} in message {len(self.messages)}."

    def words(self) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", self.echo())


@dataclass(frozen=True)
class Reply:
    """One answer of the provider; a good one unless told otherwise."""

    chunks: Sequence[Item] | None = None  # None: the echo, word by word
    delay: Wait = 0.0  # before each text
    before: Sequence[Wait | Fault] = ()  # ahead of the headers
    opening: Sequence[Wait | Fault | bytes] = ()  # between the headers and the first event
    insert: Sequence[Item] = ()  # among the chunks ...
    at: int | None = None  # ... after this many of them; None: after the last
    reasoning: Sequence[str] = ()
    tools: Sequence[tuple[str, dict[str, Any]]] = ()  # (name, arguments)
    refusal: str = ""
    finish: str = ""  # "": stop, or tool_calls
    done: bool = True  # whether [DONE] is sent
    usage: Mapping[str, Any] | None = None  # None: words counted
    usage_in: str = "chunk"  # its own chunk with `choices: []`; "finish": the finishing chunk; "nowhere"
    cached: int = 0
    newline: str = "\n"
    split: int = 0  # bytes a write; a big number: all in one write
    status: int = 200
    error: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def failing(
        cls, status: int, message: str = "", *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> Self:
        """An error status; `fields` are type, code and param; {model}, {key} and {masked} in the message are filled in."""
        kind, code, default = ERRORS.get(status, ERRORS[500])
        error = {"message": message or default, "type": kind, "code": code, "param": None, **fields}
        return cls(status=status, error=error, headers=headers or {})

    @classmethod
    def broken(cls, *insert: Item, at: int, **fields: Any) -> Self:
        """Something inserted after `at` chunks, as in `Reply.broken(Fault.CUT, at=3)`."""
        return cls(insert=insert, at=at, **fields)

    def items(self, call: Call) -> list[Item]:
        chunks = call.words() if self.chunks is None else list(self.chunks)
        at = len(chunks) if self.at is None else self.at
        return [*chunks[:at], *self.insert, *chunks[at:]]


Entry = Reply | Callable[[Call], Reply]


class Script:
    """The replies of one model, in order; the last repeats, or all do."""

    def __init__(self, *entries: Entry, cycle: bool = False) -> None:
        self.entries, self.cycle, self.used = entries or (Reply(),), cycle, 0

    def next(self, call: Call) -> Reply:
        index = self.used % len(self.entries) if self.cycle else min(self.used, len(self.entries) - 1)
        self.used += 1
        entry = self.entries[index]
        return entry if isinstance(entry, Reply) else entry(call)


ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "Invalid value in the request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: {masked} (you sent {key})."),
    403: ("invalid_request_error", "permission_denied", "The key {key} has no access to this resource."),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    413: ("invalid_request_error", None, "Request too large."),
    422: ("invalid_request_error", None, "Unprocessable request."),
    429: (
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3.",
    ),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
TOO_LONG = "This model's maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens."
FILTERED = "The response was filtered due to the prompt triggering our content management policy."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."
OVERLOADED = "The server is overloaded."


def _fail(status: str, *rest: str) -> Script:
    headers = {"Retry-After": rest[rest.index("after") + 1]} if "after" in rest else {}
    failure = Reply.failing(int(status), headers=headers)
    return Script(failure, Reply()) if "once" in rest else Script(failure)


def _flap(times: str = "1") -> Script:
    return Script(*[Reply.failing(503)] * int(times), *[Reply()] * int(times), cycle=True)


def _no_prefill(call: Call) -> Reply:
    return Reply.failing(400, PREFILL) if call.messages[-1]["role"] == "assistant" else Reply()


def _filtered(call: Call) -> Reply:
    if call.wire.__name__ == "Gemini":  # no error there: an answer without candidates
        return Reply(chunks=[{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}])
    status = 498 if call.wire.__name__ == "Cohere" else 400  # a status of its own stands there for the code
    return Reply.failing(status, FILTERED, code="content_filter", param="prompt")


def _error_after(at: int) -> Entry:
    """An error in mid-stream: on each wire it looks as its errors do."""
    trouble = Reply.failing(503, OVERLOADED, code="overloaded")
    return lambda call: Reply.broken(call.wire.error(call, trouble), Fault.END, at=at)


def _cut_short(at: int, finish: str) -> Entry:
    return lambda call: Reply(chunks=call.words()[:at], finish=finish)


NAMED: dict[str, Callable[..., Script | Entry]] = {
    "ok": lambda *_: Reply(),
    "other": lambda *_: Reply(chunks=["Something", " else."]),
    "slow": lambda seconds="0.1": Reply(delay=float(seconds)),
    "late": lambda seconds="1": Reply(opening=(float(seconds),)),
    "fail": _fail,
    "flap": _flap,
    "quota": lambda: Reply.failing(429, QUOTA, type="insufficient_quota", code="insufficient_quota"),
    "context-too-long": lambda: Reply.failing(400, TOO_LONG, code="context_length_exceeded", param="messages"),
    "filtered": lambda: _filtered,
    "filtered-after": lambda at="2": _cut_short(int(at), "content_filter"),
    "refuse": lambda: Reply(chunks=[], refusal="I cannot help with that."),
    "no-prefill": lambda: _no_prefill,
    "hang": lambda: Reply(before=[Fault.SILENT]),
    "stall-first": lambda: Reply(opening=[Fault.SILENT]),
    "silent": lambda at: Reply.broken(Fault.SILENT, at=int(at)),
    "cut": lambda at: Reply.broken(Fault.CUT, at=int(at)),
    "end": lambda at: Reply.broken(Fault.END, at=int(at)),
    "reset": lambda at="": Reply.broken(Fault.RESET, at=int(at)) if at else Reply(before=[Fault.RESET]),
    "error": lambda at="2": _error_after(int(at)),
    "malformed": lambda at="2": Reply.broken(b'data: {"id": "x", "choices": [{"del\n\n', at=int(at)),
    "no-done": lambda: Reply(done=False),
    "empty": lambda: Reply(chunks=[]),
    "length": lambda at="2": _cut_short(int(at), "length"),
    "tools": lambda: Reply(chunks=[], tools=[("get_weather", {"city": "Paris"})]),
    "reasoning": lambda: Reply(reasoning=["Let me ", "think."]),
}


def named(model: str) -> Script:
    """What a model's name says of it; a good model when it says nothing."""
    name = model.partition("@")[0]
    for verb in sorted(NAMED, key=len, reverse=True):
        if name == verb or name.startswith(f"{verb}-"):
            with contextlib.suppress(TypeError, ValueError):
                made = NAMED[verb](*name[len(verb) + 1 :].split("-") if name != verb else ())
                return made if isinstance(made, Script) else Script(made)
    return Script()
