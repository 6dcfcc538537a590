"""What the OpenAI paths do, take and answer, like ``operations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .operations import EVENTS, JSON, KEY, Operation, Parameter, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

_GROUP: Final = "The OpenAI paths"
_ERROR: Final = "OpenAIError"
_TOLD: Final = ("x-session-id", "x-stream-id", "x-session-status")
_SESSION: Final = Parameter(
    "x-session-id",
    "header",
    "The session that supplies what was said before and keeps this turn; it is made where it is not there. "
    "`session_header` gives the header another name.",
    {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
)

OPENAI_OPERATIONS: Final[Mapping[str, Operation]] = {
    "POST v1/chat/completions": Operation(
        "chatCompletions",
        _GROUP,
        "Ask as OpenAI's clients do",
        {
            200: Reply(
                "The answer; with `stream`, its chunks and at last `[DONE]`.",
                {JSON: "Completion", EVENTS: ""},
                _TOLD,
                {"": "CompletionChunk|OpenAIError"},
            )
        },
        text="`model` is `auto` for the configured chain, a provider:name, or a configured name or alias. Without a "
        "session the messages are sent as they are, and nothing is kept. What breaks off after its first chunk ends "
        "with an error among the events, and no `[DONE]`.",
        body="ChatCompletion",
        parameters=(_SESSION, KEY),
        errors=(404, 408, 409, 413, 429, 502, 503, 504),
        sample={"model": "auto", "messages": [{"role": "user", "content": "Hello"}]},
        failure=_ERROR,
    ),
    "GET v1/models": Operation(
        "listModels",
        _GROUP,
        "List the names that `model` may have",
        {200: Reply("The names.", {JSON: "ModelList"})},
        failure=_ERROR,
    ),
    "GET v1/models/{name}": Operation(
        "describeModel",
        _GROUP,
        "Tell whether a name is one of them",
        {200: Reply("It is.", {JSON: "ListedModel"})},
        errors=(404,),
        failure=_ERROR,
    ),
}
