"""A stream's events as stored JSON (snake_case); what is read back is equal to what was written, errors included."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import ProviderError, WarpError, told
from ..types import (
    Attempt,
    Call,
    ChatResponse,
    Ended,
    Failed,
    Reasoning,
    Restarted,
    Result,
    Started,
    Text,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..types import Event


def dump_event(event: Event) -> bytes:
    """Return ``event`` as JSON, without its id: its place in the log says it."""
    if isinstance(event, Text):  # most are
        return orjson.dumps({"kind": "text", "text": event.text})
    return orjson.dumps(_fields(event), default=str)


def load_events(batch: bytes, n: int, last: int) -> list[Event]:
    """Return the events of one batch, the last of which has the id ``n-last``."""
    raw = orjson.loads(batch)
    first = last - len(raw) + 1
    return [_MAKERS[one.pop("kind")](one | {"id": f"{n}-{first + at}"}) for at, one in enumerate(raw)]


def _fields(event: Event) -> dict[str, Any]:
    match event:
        case Reasoning(text=text):
            return {"kind": "reasoning", "text": text}
        case ToolCall(call=call):
            return {"kind": "tool_call", "call": call}
        case Ended(response=response):
            return {"kind": "ended", "response": response}
        case Failed(error=error, response=response):
            return {"kind": "failed", "error": error_fields(error), "response": response}
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__ if name != "id"}
    return {"kind": "started" if isinstance(event, Started) else "restarted", **fields}


def error_fields(error: Exception) -> dict[str, Any]:
    """Return ``error`` as ``error_from`` reads it."""
    if not isinstance(error, WarpError):
        return {"code": WarpError.code, "message": "The gateway failed.", "details": {}}
    details = dict(error.details)
    route = details.pop("route", None)
    return {
        "code": error.code,
        "message": error.message,
        "retry_after": error.retry_after,
        "status": error.status if isinstance(error, ProviderError) else None,
        "details": details,
        "route": [asdict(one) for one in route] if isinstance(route, tuple) else None,
    }


def error_from(raw: dict[str, Any]) -> WarpError:
    """Return the error that ``error_fields`` wrote."""
    details: dict[str, object] = dict(raw["details"])
    if raw.get("route") is not None:
        details["route"] = tuple(Attempt(**one) for one in raw["route"])
    error = told(raw["code"], raw["message"], retry_after=raw.get("retry_after"), details=details)
    if isinstance(error, ProviderError):
        error.status = raw.get("status")
    return error


def _failed(fields: dict[str, Any]) -> Failed:
    response = fields["response"]
    return Failed(error_from(fields["error"]), _response(response) if response else None, fields["id"])


def _response(raw: dict[str, Any]) -> ChatResponse:
    return ChatResponse(
        **raw
        | {
            "result": Result(raw["result"]),
            "usage": Usage(**raw["usage"]),
            "route": tuple(Attempt(**one) for one in raw["route"]),
            "warnings": tuple(raw["warnings"]),
            "tool_calls": tuple(Call(**one) for one in raw["tool_calls"]),
        }
    )


_MAKERS: Final[dict[str, Callable[[dict[str, Any]], Event]]] = {
    "text": lambda fields: Text(**fields),
    "reasoning": lambda fields: Reasoning(**fields),
    "tool_call": lambda fields: ToolCall(Call(**fields["call"]), fields["id"]),
    "started": lambda fields: Started(**fields | {"warnings": tuple(fields["warnings"])}),
    "restarted": lambda fields: Restarted(**fields),
    "ended": lambda fields: Ended(_response(fields["response"]), fields["id"]),
    "failed": _failed,
}
