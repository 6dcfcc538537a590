"""JSON bodies to requests: what a caller wrote, checked field by field."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from ..errors import InvalidRequest, UnprocessableRequest
from ..types import Attachment, Call, ChatRequest, Exchange, Form, Parameters, Source, Tool, ToolResult
from .requests import TOO_DEEP, Ask, Changes, File, Fork, ModelName, NewSession, Outcome, Past, Rewind

_TURN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


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
            tuple(Tool(one.name, one.description, one.parameters, one.strict) for one in ask.tools),
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
        raise UnprocessableRequest(f"context {TOO_DEEP}.", details={"fields": {"context": TOO_DEEP}}) from None
