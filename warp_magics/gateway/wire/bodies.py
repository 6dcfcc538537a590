"""JSON bodies to requests: what a caller wrote, checked field by field."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from ..errors import InvalidRequest, UnprocessableRequest
from ..types import Attachment, Call, ChatRequest, Exchange, Form, Parameters, Source, Tool, ToolResult

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)")
_TURN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METADATA: Final = 16 * 1024
"""Bytes of JSON that a session's metadata may have."""
_TITLE: Final = 200
_CENTURY: Final = 36525 * 86400.0
_TOO_DEEP: Final = "is nested too deeply"


def _seconds(value: object) -> object:
    """Return a duration with a unit in seconds, anything else as it is."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else value


def _function(value: object) -> object:
    """Return a tool as OpenAI's clients write it (``{"type": "function", "function": {…}}``) as the function alone."""
    if isinstance(value, dict) and value.get("type") == "function" and value.keys() == {"type", "function"}:
        return value["function"]
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise ValueError(_TOO_DEEP) from None
    if size > _METADATA:
        raise ValueError("is over 16 KB of JSON")
    return value


_Title = Annotated[str, Field(max_length=_TITLE)]
_Metadata = Annotated[dict[str, Any], AfterValidator(_small)]
# A store keeps milliseconds, and cannot count to infinity.
_Ttl = Annotated[float, Field(ge=0.001, le=_CENTURY), BeforeValidator(_seconds)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class ModelName(_Body):
    """A model as AI Warp's client may write it."""

    provider: str
    model: str


class Origin(_Body):
    """Where a prompt came from."""

    kind: Literal["cell", "panel", "python", "rest"] = "rest"
    notebook: str | None = None
    cell: str | None = None


class File(_Body):
    """An attachment: a text, or an image as base64."""

    kind: Literal["text", "image"]
    name: str = ""
    media_type: str = ""
    text: str = ""
    data: str = ""


class Function(_Body):
    """A tool."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class Outcome(_Body):
    """What came of a tool call."""

    id: str
    content: str
    is_error: bool = False


class ToolCall(_Body):
    """A call that an answer of ``history`` has made."""

    id: str
    name: str
    arguments: str
    extra: dict[str, Any] = {}


class Past(_Body):
    """One entry of ``history``."""

    prompt: str
    response: str
    model: str | None = None
    attachments: list[File] = []
    tool_calls: list[ToolCall] = []
    tool_results: list[Outcome] = []


class Ask(_Body):
    """The body of ``prompt`` and ``stream``."""

    prompt: str = ""
    session_id: str | None = None
    create_session: bool = False
    store: bool = True
    context: str | dict[str, Any] | list[Any] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: list[str] | str | None = None
    models: list[str | ModelName] = []
    history: list[Past] = []
    source: Origin = Origin()
    timeout: Annotated[float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    on_break: Literal["splice", "restart", "error"] | None = None
    cache: bool | None = None
    replaces: str | None = None
    continues: str | None = Field(default=None, alias="continue")
    attachments: list[File] = []
    tools: list[Annotated[Function, BeforeValidator(_function)]] = []
    tool_choice: str | None = None
    tool_results: list[Outcome] = []
    response_schema: dict[str, Any] | None = None
    dry_run: bool = False  # the path asks for it: a request is the same, sent or not
    # AI Warp's client always sends these two; the path says whether to stream, a Last-Event-ID what to resume.
    stream: bool | None = None
    resume: bool | None = None

    @field_validator("models", "history", mode="before")
    @classmethod
    def _null_is_none_given(cls, value: object) -> object:
        return [] if value is None else value


class NewSession(_Body):
    """The body of ``POST sessions``; ``ttl`` in seconds without use."""

    session_id: str | None = None
    title: _Title = ""
    ttl: _Ttl | None = None
    metadata: _Metadata | None = None


class Changes(_Body):
    """The body of ``PATCH sessions/{id}``: what is None stays as it is."""

    title: _Title | None = None
    ttl: _Ttl | None = None
    metadata: _Metadata | None = None


class Fork(_Body):
    """The body of ``fork``: up to and with the turn ``at`` (None: all), under the id ``session_id`` (None: a fresh one)."""

    at: str | None = None
    session_id: str | None = None


class Rewind(_Body):
    """The body of ``rewind``: the turn that is to be the last."""

    to: str


def read_ask(body: bytes, owner: str, turn_id: str | None = None) -> ChatRequest:
    """Return the request that ``body`` holds; ``turn_id`` is the header ``Idempotency-Key``, where there is one.

    Raises InvalidRequest for a body that is not a JSON object or has no prompt and for a key that is no id,
    UnprocessableRequest for fields that are unknown or wrong, with their names.
    """
    raw = read_object(body, such_as='{"prompt": "…"}')
    if not raw.get("prompt") and not raw.get("toolResults") and raw.get("continue") is None:
        raise InvalidRequest("The prompt is missing or empty.")
    if turn_id is not None and not _TURN_ID.fullmatch(turn_id):
        raise InvalidRequest("An Idempotency-Key has 1 to 128 characters of A-Z a-z 0-9 . _ -.")
    ask = checked(Ask, raw)
    stop = [ask.stop] if isinstance(ask.stop, str) else ask.stop or []
    return ChatRequest(
        prompt=ask.prompt,
        session_id=ask.session_id,
        create_session=ask.create_session,
        store=ask.store,
        owner=owner,
        context=_context(ask.context),
        models=tuple(m if isinstance(m, str) else f"{m.provider}:{m.model}" for m in ask.models),
        parameters=Parameters(ask.temperature, ask.max_tokens, ask.top_p, ask.seed, tuple(stop)),
        history=tuple(map(_exchange, ask.history)),
        source=Source(ask.source.kind, ask.source.notebook, ask.source.cell),
        timeout=ask.timeout,
        on_break=ask.on_break,
        cache=ask.cache,
        turn_id=turn_id,
        replaces=ask.replaces,
        continues=ask.continues,
        attachments=tuple(map(_attachment, ask.attachments)),
        tool_results=tuple(map(_tool_result, ask.tool_results)),
        form=Form(
            tuple(Tool(one.name, one.description, one.parameters) for one in ask.tools),
            ask.tool_choice,
            ask.response_schema,
        ),
    )


def _exchange(one: Past) -> Exchange:
    return Exchange(
        one.prompt,
        one.response,
        tuple(map(_attachment, one.attachments)),
        tuple(Call(call.id, call.name, call.arguments, call.extra) for call in one.tool_calls),
        tuple(map(_tool_result, one.tool_results)),
        one.model,
    )


def _attachment(one: File) -> Attachment:
    return Attachment(one.kind, one.name, one.media_type, one.text, one.data)


def _tool_result(one: Outcome) -> ToolResult:
    return ToolResult(one.id, one.content, one.is_error)


def read_new_session(body: bytes) -> NewSession:
    """Return what a new session is to be; raises as ``read_ask`` does."""
    return checked(NewSession, read_object(body, such_as='{"title": "…"}'))


def read_changes(body: bytes) -> Changes:
    """Return what is to change of a session's description; raises as ``read_ask`` does."""
    return checked(Changes, read_object(body, such_as='{"title": "…"}'))


def read_fork(body: bytes) -> Fork:
    """Return where and under what id a session is to be forked; raises as ``read_ask`` does."""
    return checked(Fork, read_object(body, such_as='{"at": "…"}'))


def read_rewind(body: bytes) -> str:
    """Return the id of the turn to go back to; raises as ``read_ask`` does."""
    return checked(Rewind, read_object(body, such_as='{"to": "…"}')).to


def read_object(body: bytes, such_as: str) -> dict[str, Any]:
    """Return the JSON object that ``body`` is; raises InvalidRequest, which shows one ``such_as`` is wanted."""
    try:
        raw = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(raw, dict):
        raise InvalidRequest(f"The body is to be a JSON object such as {such_as}.")
    return raw


_B = TypeVar("_B", bound=BaseModel)


def checked(kind: type[_B], raw: dict[str, Any]) -> _B:
    """Return ``raw`` as a ``kind``; raises UnprocessableRequest with what is wrong with each field."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        faults = _faults(error)
        told = "; ".join(f"{name}: {what}" for name, what in faults.items())
        raise UnprocessableRequest(f"The body has faults: {told}.", details={"fields": faults}) from None


# What pydantic puts into a fault's path where several types were tried, or one was chosen by a word in it.
_TRIED: Final = re.compile(rf"str|{ModelName.__name__}|NamedChoice|(?:list|dict|literal)\[.*")
_CHOSEN: Final = frozenset({"system", "developer", "user", "assistant", "tool", "text", "image_url", "refusal"})


def _faults(error: ValidationError) -> dict[str, str]:
    """Return what is wrong with each field, by its path."""
    faults: dict[str, str] = {}
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        path = _path(one["loc"])
        what = "unknown field" if one["type"] == "extra_forbidden" else one["msg"].removeprefix("Value error, ")
        faults[path] = f"{faults[path]}; or: {what}" if path in faults else what
    # Where one of several types is wrong further down, that the others are wrong as a whole helps nobody.
    return {path: what for path, what in faults.items() if not any(one.startswith(f"{path}.") for one in faults)}


def _path(loc: tuple[str | int, ...]) -> str:
    parts = [
        part
        for before, part in zip((None, *loc), loc, strict=False)
        if not _TRIED.fullmatch(str(part)) and not (isinstance(before, int) and part in _CHOSEN)
    ]
    return ".".join(map(str, parts))


def _context(context: str | dict[str, Any] | list[Any] | None) -> str | None:
    if isinstance(context, str) or context is None:
        return context
    try:
        return orjson.dumps(context).decode()
    except TypeError:
        raise UnprocessableRequest(f"context {_TOO_DEEP}.", details={"fields": {"context": _TOO_DEEP}}) from None
