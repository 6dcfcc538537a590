"""What each verb of each path does, takes and answers: the words of the API's description."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS: Final = "text/event-stream"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that a request says besides its path and body; ``where`` is ``query`` or ``header``."""

    name: str
    where: str
    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a good answer holds: for each media type its schema (``A|B`` for one of two), or "" for text or bytes."""

    text: str
    content: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    events: Mapping[str, str] = field(default_factory=dict)
    """Of an event stream: by the name of each event, the schema of its data; "" where events have no names."""


@dataclass(frozen=True, slots=True)
class Operation:
    """``body`` names the schema of the request's, ``sample`` and ``query`` are of an example that works.

    ``errors`` are its own; those that every path has are not among them.
    """

    id: str
    group: str
    summary: str
    replies: Mapping[int, Reply]
    text: str = ""
    body: str = ""
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    sample: Mapping[str, Any] | None = None
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: str = "Error"
    """The schema of its failures."""


GROUPS: Final = {
    "Prompts": "Ask a question; the answer comes whole, or as it is made.",
    "Streams": "Follow an answer that is being made, from the start or from where a reader has left off; stop it.",
    "Sessions": "A session is one conversation: notebooks, this API and every other client share it.",
    "Feeds": "Be told what happens to sessions as it happens.",
    "The OpenAI paths": "The same gateway and sessions, as OpenAI's clients speak: their base URL is `$WARP/v1`.",
    "The gateway": "Its models, what was used, whether it is well, and this description.",
}

_ANSWER_EVENTS: Final = {
    "start": "StartEvent",
    "content": "ContentEvent",
    "reasoning": "ReasoningEvent",
    "tool_call": "ToolCall",
    "restart": "RestartEvent",
    "end": "EndEvent",
    "error": "ErrorEvent",
}
_SESSION_EVENTS: Final = {
    **dict.fromkeys(("turn-started", "turn-ended", "rewound", "updated", "deleted"), "SessionEvent"),
    "error": "ErrorEvent",
}
_ID_TEXT: Final = "1 to 128 characters of A-Z a-z 0-9 . _ -"
_ID: Final = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}
_ASKED: Final = (404, 408, 409, 413, 422, 429, 502, 503, 504)
_TOLD: Final = ("x-session-id", "x-stream-id", "x-session-status")
KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    f"The turn's id, {_ID_TEXT}. Sent again with it, a prompt is not asked anew: it gets the answer it has.",
    _ID,
)
_LAST: Final = Parameter("Last-Event-ID", "header", "The last event seen, as N-K: only what came after it is sent.")
_PREFER: Final = Parameter(
    "Prefer",
    "header",
    "`respond-async`: answered once the prompt has its turn; the answer's events are read elsewhere (RFC 7240).",
)
_AFTER: Final = Parameter("after", "query", "The same, for those who cannot send the header.")
_SESSION: Final = {JSON: "Session"}

PATH: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "sessionId": (f"The session: {_ID_TEXT}.", _ID),
    "streamId": ("The answer, as SESSION~N.", {"type": "string"}),
    "name": ("`auto`, a provider:name, or an alias.", {"type": "string"}),
}
"""What stands for a part of a path."""

OPERATIONS: Final[Mapping[str, Operation]] = {
    "POST api/v1/prompt": Operation(
        "prompt",
        "Prompts",
        "Ask, and get the whole answer",
        {200: Reply("The answer; what would be sent, where `dryRun` is true.", {JSON: "Answer|Preview"}, _TOLD)},
        text="Without `sessionId` a new session begins, and the answer tells its id. The models of the chain are asked in "
        "their order until one answers; `route` tells of each.",
        body="Ask",
        parameters=(KEY,),
        errors=_ASKED,
        sample={"prompt": "Hello", "sessionId": "talk", "createSession": True},
        headers={"Idempotency-Key": "hello-1"},
    ),
    "POST api/v1/stream": Operation(
        "stream",
        "Prompts",
        "Ask, and read the answer as it is made",
        {
            200: Reply(
                "The answer's events; what would be sent, where `dryRun` is true.",
                {EVENTS: "", JSON: "Preview"},
                _TOLD,
                _ANSWER_EVENTS,
            ),
            202: Reply(
                "With `Prefer: respond-async`: the prompt has its turn, and is answered whoever reads along.",
                {JSON: "Begun"},
                (*_TOLD[:2], "Location", "Preference-Applied"),
            ),
            204: Reply("With `resume` and `Last-Event-ID`: nothing is left of that answer."),
        },
        text="What fails before a model has begun, and within the first 15 seconds, has its HTTP status; later failures are "
        "`error` events. A reader that leaves does not stop an answer of a session.",
        body="Ask",
        parameters=(KEY, _LAST, _PREFER),
        errors=_ASKED,
        sample={"prompt": "And again", "sessionId": "talk", "createSession": True},
    ),
    "GET api/v1/streams/{streamId}": Operation(
        "follow",
        "Streams",
        "Follow an answer, from the start or from where it was left",
        {
            200: Reply("Its events, those that are past and those to come.", {EVENTS: ""}, _TOLD[:2], _ANSWER_EVENTS),
            204: Reply("Nothing is left of it: its reader has seen the last event."),
        },
        text="Any number of readers, at any instance, see the same events under the same ids.",
        parameters=(_LAST, _AFTER),
        errors=(404, 502),
    ),
    "POST api/v1/streams/{streamId}/stop": Operation(
        "stop",
        "Streams",
        "Stop an answer",
        {200: Reply("It is stopped, or had ended.", {JSON: "Stopped"})},
        text="The provider is told to stop; what has come of the answer is kept. The prompt's `Idempotency-Key` does for an "
        "answer that has not begun.",
        errors=(404, 408, 409, 413),
    ),
    "GET api/v1/sessions": Operation(
        "listSessions",
        "Sessions",
        "List sessions, last used first",
        {200: Reply("Some of them.", {JSON: "SessionPage"})},
        parameters=(
            Parameter("search", "query", "Only those with this in their title or id."),
            Parameter("limit", "query", "How many at most.", {"type": "integer", "minimum": 1, "default": 50}),
            Parameter("cursor", "query", "`nextCursor` of the page before."),
        ),
        query="?limit=5",
    ),
    "POST api/v1/sessions": Operation(
        "createSession",
        "Sessions",
        "Make a session",
        {201: Reply("It is made.", _SESSION)},
        body="NewSession",
        errors=(408, 409, 413, 422),
        sample={"title": "Plans", "ttl": "30d"},
    ),
    "GET api/v1/sessions/{sessionId}": Operation(
        "describeSession",
        "Sessions",
        "Describe a session",
        {200: Reply("Its description.", _SESSION)},
        errors=(404,),
    ),
    "PATCH api/v1/sessions/{sessionId}": Operation(
        "changeSession",
        "Sessions",
        "Change its title, its time to live, its metadata",
        {200: Reply("Its description now.", _SESSION)},
        body="Changes",
        errors=(404, 408, 413, 422),
        sample={"title": "A talk"},
    ),
    "DELETE api/v1/sessions/{sessionId}": Operation(
        "deleteSession",
        "Sessions",
        "Delete a session, its turns, branches and logs",
        {204: Reply("It is gone.")},
        text="An answer that is being made is stopped first.",
        errors=(404, 408, 409, 413),
    ),
    "GET api/v1/sessions/{sessionId}/history": Operation(
        "history",
        "Sessions",
        "Read its turns, oldest first",
        {200: Reply("Its turns.", {JSON: "History"})},
        parameters=(
            Parameter("branch", "query", "Those of this branch instead.", {"type": "integer", "minimum": 1}),
            Parameter("last", "query", "No more than so many, the newest.", {"type": "integer", "minimum": 1}),
        ),
        errors=(404,),
    ),
    "POST api/v1/sessions/{sessionId}/fork": Operation(
        "fork",
        "Sessions",
        "Begin a new session with its turns",
        {201: Reply("The new session.", _SESSION)},
        body="Fork",
        errors=(404, 408, 409, 413, 422),
        sample={},
    ),
    "POST api/v1/sessions/{sessionId}/rewind": Operation(
        "rewind",
        "Sessions",
        "Go back to a turn",
        {200: Reply("The session now.", _SESSION)},
        text="Later turns become a branch. To a turn of a branch: that branch comes back.",
        body="Rewind",
        errors=(404, 408, 409, 413, 422),
        sample={"to": "hello-1"},
    ),
    "GET api/v1/sessions/{sessionId}/export": Operation(
        "export",
        "Sessions",
        "Take a session home as a file",
        {
            200: Reply(
                "The file.",
                {JSON: "Export", "text/markdown": "", "application/x-ipynb+json": ""},
                ("Content-Disposition",),
            )
        },
        parameters=(
            Parameter("format", "query", "Of which kind.", {"enum": ["json", "md", "ipynb"], "default": "json"}),
        ),
        errors=(404,),
        query="?format=md",
    ),
    "GET api/v1/sessions/{sessionId}/events": Operation(
        "watch",
        "Feeds",
        "Watch a session",
        {200: Reply("What happens to it, until it is deleted.", {EVENTS: ""}, (), _SESSION_EVENTS)},
        parameters=(_LAST, _AFTER),
        errors=(404,),
    ),
    "GET api/v1/events": Operation(
        "watchAll",
        "Feeds",
        "Watch several sessions and their answers on one connection",
        {
            200: Reply(
                "What happens to them; each event tells its `sessionId`, and those of an answer its `streamId`.",
                {EVENTS: ""},
                (),
                {**_ANSWER_EVENTS, **_SESSION_EVENTS},
            )
        },
        parameters=(
            Parameter(
                "session",
                "query",
                "A session; given once for each, at most 100.",
                {"type": "array", "items": _ID, "minItems": 1, "maxItems": 100},
                required=True,
            ),
            Parameter(
                "after",
                "query",
                "SESSION:ID or STREAM:ID, given once for each: go on behind that event.",
                {"type": "array", "items": {"type": "string"}},
            ),
        ),
        query="?session=talk",
    ),
    "GET api/v1/models": Operation(
        "models",
        "The gateway",
        "List the configured models, their state and what is left of their limits",
        {200: Reply("The models.", {JSON: "Models"})},
    ),
    "GET api/v1/usage": Operation(
        "usage",
        "The gateway",
        "Tell tokens and cost of the last 13 months",
        {200: Reply("What the caller has used.", {JSON: "UsageTable"})},
        parameters=(
            Parameter("by", "query", "What each row is of.", {"enum": ["model", "session", "day"], "default": "model"}),
        ),
        query="?by=day",
    ),
    "GET api/v1/health/live": Operation(
        "live",
        "The gateway",
        "Tell that the process answers",
        {200: Reply("It does.", {JSON: "Live"})},
    ),
    "GET api/v1/health/ready": Operation(
        "ready",
        "The gateway",
        "Tell whether prompts are answered",
        {200: Reply("They are; `degraded` says that something is wrong all the same.", {JSON: "Ready"})},
        text="Open to strangers, who are told the status alone.",
    ),
    "GET metrics": Operation(
        "metrics",
        "The gateway",
        "Tell figures to Prometheus",
        {200: Reply("The figures.", {"text/plain": ""})},
        text="What each is: docs/events.md.",
    ),
    "GET openapi.json": Operation(
        "openapi",
        "The gateway",
        "Tell this description to programs",
        {200: Reply("An OpenAPI 3.1 document.", {JSON: ""})},
    ),
    "GET docs": Operation(
        "docs",
        "The gateway",
        "Tell this description to people",
        {200: Reply("A page.", {"text/html": ""})},
    ),
}
