"""JSON and server-sent events back to our types, for who reads a gateway that is elsewhere.

What is no wire format of ours raises ValueError; fields of a newer gateway are passed over.
"""

from __future__ import annotations

from datetime import datetime
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import orjson

from ..errors import BodyTooLarge, GatewayRefused, GatewayUnreachable, NotFound, WarpError, told
from ..types import (
    Attachment,
    Attempt,
    Begun,
    Branch,
    Call,
    ChatResponse,
    Ended,
    Failed,
    Page,
    Reasoning,
    Restarted,
    Result,
    Session,
    SessionEvent,
    SessionKey,
    Source,
    Started,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..sse import ServerSentEvent
    from ..types import Event

_P = ParamSpec("_P")
_T = TypeVar("_T")

_HAPPENINGS: Final = frozenset({"turn-started", "turn-ended", "rewound", "updated", "deleted"})


def reader(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let ``read`` index at will: what is missing or of another kind is one ValueError."""

    @wraps(read)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"no JSON of a gateway ({type(error).__name__} in {read.__name__})") from None

    return checked


@reader
def json_of(body: bytes) -> Any:
    """Return what the JSON text ``body`` says."""
    return orjson.loads(body)


# -- answers and events ----------------------------------------------------------------------------


@reader
def response_of(body: dict[str, Any]) -> ChatResponse:
    """Return the answer that ``response_json`` wrote."""
    return ChatResponse(
        text=body["text"],
        result=Result(body["result"]),
        model=body["model"],
        session_id=body["sessionId"],
        turn_id=body["turnId"],
        stream_id=body["streamId"],
        session_status=body.get("sessionStatus"),
        usage=usage_from(body["usage"]),
        cost=body["cost"],
        route=_route(body["route"]),
        warnings=tuple(body["warnings"]),
        tool_calls=tuple(map(_call, body.get("toolCalls", ()))),
        first_token=body.get("firstToken"),
        value=body.get("value"),
    )


@reader
def begun_of(body: dict[str, Any]) -> Begun:
    """Return what ``begun_json`` wrote."""
    return Begun(body["sessionId"], body["turnId"], body["streamId"])


@reader
def event_of(sse: ServerSentEvent) -> Event | None:
    """Return the event that ``event_bytes`` wrote; None for one of a kind that is not known here."""
    read = _EVENTS.get(sse.event)
    return None if read is None else read(orjson.loads(sse.data), sse.id)


def _start(data: dict[str, Any], id: str) -> Started:  # noqa: A002 - the field's name in the standard
    return Started(
        model=data["model"],
        session_id=data["sessionId"],
        stream_id=data["streamId"],
        turn_id=data["turnId"],
        warnings=tuple(data.get("warnings", ())),
        session_status=data.get("sessionStatus"),
        id=id,
    )


def _failed(data: dict[str, Any], id: str) -> Failed:  # noqa: A002
    """Return the end of a broken answer; of the part that came only the text is on the wire."""
    partial = data.get("partial")
    part = None if partial is None else ChatResponse(text=partial, result=Result.UNKNOWN, model="")
    return Failed(_error(data), part, id)


_EVENTS: Final[dict[str, Callable[[dict[str, Any], str], Event]]] = {
    "start": _start,
    "content": lambda data, id: Text(data["response"], id),  # noqa: A006
    "reasoning": lambda data, id: Reasoning(data["text"], id),  # noqa: A006
    "tool_call": lambda data, id: ToolCall(_call(data), id),  # noqa: A006
    "restart": lambda data, id: Restarted(data["reason"], data["from"], data["to"], id),  # noqa: A006
    "end": lambda data, id: Ended(response_of(data["response"]), id),  # noqa: A006
    "error": _failed,
}


@reader
def stopped_of(body: dict[str, Any]) -> bool:
    """Return whether ``stop`` found an answer to stop."""
    return {"stopped": True, "ended": False}[body["status"]]


def error_of(status: int, body: bytes) -> WarpError:
    """Return the error that an answer of HTTP ``status`` tells, whoever wrote ``body``: us, Jupyter, or a proxy."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict):
        return _by_status(status)
    try:
        return _error(data)
    except (AttributeError, LookupError, TypeError, ValueError):
        return _by_status(status, data.get("message"))


def _by_status(status: int, message: object = None) -> WarpError:
    kinds: dict[int, type[WarpError]] = {
        401: GatewayRefused,
        403: GatewayRefused,
        404: NotFound,
        413: BodyTooLarge,
        502: GatewayUnreachable,
        503: GatewayUnreachable,
        504: GatewayUnreachable,
    }
    what = "There is no gateway at this address" if status == HTTPStatus.NOT_FOUND else "The gateway did not answer"
    said = f": {message}" if isinstance(message, str) and message else ""
    return kinds.get(status, WarpError)(f"{what} (HTTP {status}{said}).", details={"status": status})


def _error(data: dict[str, Any]) -> WarpError:
    code, message, wait = data["code"], data["message"], data.get("retryAfter")
    given = data.get("details")
    details = dict(given) if isinstance(given, dict) else {}
    if not (isinstance(code, str) and isinstance(message, str) and isinstance(wait, int | float | None)):
        raise TypeError("an error has a code, a message, and perhaps seconds to wait")
    if isinstance(details.get("route"), list):
        details["route"] = _route(details["route"])
    return told(code, message, retry_after=wait, details=details)


# -- turns and sessions ----------------------------------------------------------------------------


@reader
def turn_of(body: dict[str, Any]) -> Turn:
    """Return the turn that ``turn_json`` wrote; its times are exact to the millisecond."""
    return Turn(
        id=body["turnId"],
        n=body["n"],
        prompt=body["prompt"],
        response=body["response"],
        status=body["status"],
        result=Result(body["result"]),
        model=body["model"],
        started_at=_time(body["startedAt"]),
        ended_at=_time(body["endedAt"]),
        route=_route(body["route"]),
        usage=usage_from(body["usage"]),
        cost=body["cost"],
        first_token=body["firstToken"],
        tool_calls=tuple(map(_call, body["toolCalls"])),
        source=Source(body["source"]["kind"], body["source"]["notebook"], body["source"]["cell"]),
        error=body.get("error"),
        attachments=tuple(map(_attachment, body.get("attachments", ()))),
        tool_results=tuple(map(_tool_result, body.get("toolResults", ()))),
    )


@reader
def turns_of(body: dict[str, Any]) -> tuple[Turn, ...]:
    """Return the turns that ``history`` lists."""
    return tuple(map(turn_of, body["turns"]))


@reader
def session_of(body: dict[str, Any], owner: str) -> Session:
    """Return the session of ``owner`` that ``session_json`` wrote; its times are exact to the millisecond."""
    return Session(
        key=SessionKey(owner, body["sessionId"]),
        turns=body["turns"],
        created_at=_time(body["createdAt"]),
        updated_at=_time(body["updatedAt"]),
        expires_at=None if body["expiresAt"] is None else _time(body["expiresAt"]),
        title=body["title"],
        models=tuple(body["models"]),
        usage=usage_from(body["usage"]),
        cost=body["cost"],
        ttl=body["ttl"],
        metadata=dict(body["metadata"]),
        live_stream_id=body.get("liveStreamId"),
        live_turn_id=body.get("liveTurnId"),
        live_prompt=body.get("livePrompt"),
        branches=tuple(
            Branch(one["branch"], one["after"], one["turns"], _time(one["createdAt"]))
            for one in body.get("branches", ())
        ),
        unpriced=body.get("unpriced", 0),
    )


@reader
def page_of(body: dict[str, Any], owner: str) -> Page:
    """Return the sessions that ``page_json`` wrote."""
    return Page(tuple(session_of(one, owner) for one in body["sessions"]), body["nextCursor"])


@reader
def session_event_of(sse: ServerSentEvent) -> SessionEvent | None:
    """Return what ``session_event_bytes`` wrote; None for an event of a kind that is not known here."""
    if sse.event not in _HAPPENINGS:
        return None
    data = orjson.loads(sse.data)
    return SessionEvent(
        kind=sse.event,  # type: ignore[arg-type]  # looked up above
        session_id=data["sessionId"],
        id=sse.id,
        stream_id=data.get("streamId"),
        turn_id=data.get("turnId"),
        status=data.get("status"),
    )


def usage_from(body: dict[str, Any]) -> Usage:
    """Return the tokens that ``usage_json`` wrote."""
    return Usage(body["inputTokens"], body["outputTokens"], body["cachedTokens"], body["reasoningTokens"])


def _route(body: list[dict[str, Any]]) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            one["model"], one["outcome"], one["seconds"], one.get("status"), one.get("reason"), one.get("restoresIn")
        )
        for one in body
    )


def _call(body: dict[str, Any]) -> Call:
    return Call(body["id"], body["name"], body["arguments"], dict(body.get("extra") or {}))


def _attachment(body: dict[str, Any]) -> Attachment:
    return Attachment(body["kind"], body["name"], body["mediaType"], body.get("text", ""), body.get("data", ""))


def _tool_result(body: dict[str, Any]) -> ToolResult:
    return ToolResult(body["id"], body["content"], body["isError"])


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
