"""AI Warp's wire format: JSON bodies and events to our types and back. camelCase lives here and nowhere else."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from .errors import InvalidRequest, UnprocessableRequest, WarpError
from .sse import encode
from .types import (
    Attempt,
    ChatRequest,
    Ended,
    Failed,
    Parameters,
    Reasoning,
    Restarted,
    Source,
    Started,
    Text,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .types import Call, ChatResponse, Event, GatewayStatus, ModelState, Turn, Usage


_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)")


def _seconds(value: object) -> object:
    """Return a duration with a unit in seconds, anything else as it is."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else value


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class ModelName(_Body):
    """A model as AI Warp's client may write it."""

    provider: str
    model: str


class Exchange(_Body):
    """One entry of ``history``."""

    prompt: str
    response: str


class Origin(_Body):
    """Where a prompt came from."""

    kind: Literal["cell", "panel", "python", "rest"] = "rest"
    notebook: str | None = None
    cell: str | None = None


class Ask(_Body):
    """The body of ``prompt`` and ``stream``."""

    prompt: str
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
    history: list[Exchange] = []
    source: Origin = Origin()
    timeout: Annotated[float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    # AI Warp's client always sends these two; the path says whether to stream, a Last-Event-ID what to resume.
    stream: bool | None = None
    resume: bool | None = None

    @field_validator("models", "history", mode="before")
    @classmethod
    def _null_is_none_given(cls, value: object) -> object:
        return [] if value is None else value


def read_ask(body: bytes, owner: str) -> ChatRequest:
    """Return the request that ``body`` holds.

    Raises InvalidRequest for a body that is not a JSON object or has no prompt, UnprocessableRequest for
    fields that are unknown or wrong, with their names.
    """
    ask = _parsed(body)
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
        history=tuple((one.prompt, one.response) for one in ask.history),
        source=Source(ask.source.kind, ask.source.notebook, ask.source.cell),
        timeout=ask.timeout,
    )


def _parsed(body: bytes) -> Ask:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(raw, dict):
        raise InvalidRequest('The body is to be a JSON object such as {"prompt": "…"}.')
    if not raw.get("prompt"):
        raise InvalidRequest("The prompt is missing or empty.")
    try:
        return Ask.model_validate(raw)
    except ValidationError as error:
        faults = _faults(error)
        told = "; ".join(f"{name}: {what}" for name, what in faults.items())
        raise UnprocessableRequest(f"The body has faults: {told}.", details={"fields": faults}) from None


# What pydantic puts into a fault's path where several types were tried.
_TRIED = ("str", "list[", "dict[", ModelName.__name__)


def _faults(error: ValidationError) -> dict[str, str]:
    """Return what is wrong with each field, by its path."""
    faults: dict[str, str] = {}
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        path = ".".join(str(part) for part in one["loc"] if not str(part).startswith(_TRIED))
        what = "unknown field" if one["type"] == "extra_forbidden" else one["msg"]
        faults[path] = f"{faults[path]}; or: {what}" if path in faults else what
    return faults


def _context(context: str | dict[str, Any] | list[Any] | None) -> str | None:
    if isinstance(context, str) or context is None:
        return context
    try:
        return orjson.dumps(context).decode()
    except TypeError:
        fault = "is nested too deeply"
        raise UnprocessableRequest(f"context {fault}.", details={"fields": {"context": fault}}) from None


# -- out -------------------------------------------------------------------------------------------


def response_json(said: ChatResponse) -> dict[str, object]:
    """Return an answer as ``prompt`` gives it and ``end`` carries it."""
    body: dict[str, object] = {
        "text": said.text,
        "result": said.result,
        "sessionId": said.session_id,
        "turnId": said.turn_id,
        "streamId": said.stream_id,
        "model": said.model,
        "usage": usage_json(said.usage),
        "cost": said.cost,
        "route": _route(said.route),
        "warnings": list(said.warnings),
    }
    if said.tool_calls:
        body["toolCalls"] = [_call(call) for call in said.tool_calls]
    return body


def event_bytes(event: Event) -> bytes:
    """Return ``event`` as one server-sent event, one line of JSON in it."""
    name, data = _event(event)
    return encode(orjson.dumps(data).decode(), event=name, id=event.id)


def failure_bytes(error: WarpError) -> bytes:
    """Return an error that came before a model had begun, for a reader whose status has gone out already."""
    return event_bytes(Failed(error))


def _event(event: Event) -> tuple[str, dict[str, object]]:  # noqa: PLR0911 - a case an event
    match event:
        case Text(text=text):
            return "content", {"response": text}
        case Reasoning(text=text):
            return "reasoning", {"text": text}
        case Started():
            ids = {"sessionId": event.session_id, "streamId": event.stream_id, "turnId": event.turn_id}
            return "start", {**ids, "model": event.model}
        case ToolCall(call=call):
            return "tool_call", _call(call)
        case Restarted():
            return "restart", {"reason": event.reason, "from": event.from_model, "to": event.to_model}
        case Ended(response=said):
            return "end", {"response": response_json(said)}
        case Failed(error=error, response=said):
            return "error", error_json(error, partial=said.text if said else None)


def error_json(error: Exception, partial: str | None = None) -> dict[str, object]:
    """Return an error's body; foreign exceptions tell nothing of themselves."""
    if not isinstance(error, WarpError):
        error = WarpError("The gateway failed.")
    body: dict[str, object] = {"code": error.code, "message": error.message}
    details = {name: _plain(value) for name, value in error.details.items()}
    if details:
        body["details"] = details
    if error.retry_after is not None:
        body["retryAfter"] = round(error.retry_after, 3)
    if partial is not None:
        body["partial"] = partial
    return body


def _plain(value: object) -> object:
    if isinstance(value, tuple) and value and isinstance(value[0], Attempt):
        return _route(value)
    return value


def turn_json(turn: Turn) -> dict[str, object]:
    """Return a turn as ``history`` lists it."""
    body: dict[str, object] = {
        "turnId": turn.id,
        "n": turn.n,
        "prompt": turn.prompt,
        "attachments": [],
        "toolResults": [],
        "response": turn.response,
        "toolCalls": [_call(call) for call in turn.tool_calls],
        "status": turn.status,
        "result": turn.result,
        "model": turn.model,
        "route": _route(turn.route),
        "usage": usage_json(turn.usage),
        "cost": turn.cost,
        "firstToken": turn.first_token,
        "startedAt": time_json(turn.started_at),
        "endedAt": time_json(turn.ended_at),
        "source": {"kind": turn.source.kind, "notebook": turn.source.notebook, "cell": turn.source.cell},
    }
    return {**body, "error": dict(turn.error)} if turn.error else body


def model_json(state: ModelState) -> dict[str, object]:
    """Return a configured model as ``models`` lists it; durations in seconds."""
    window = state.window
    limits = {"rate": {"max": window.max, "timeWindow": window.seconds, "left": state.left}} if window else {}
    body: dict[str, object] = {
        "model": state.model,
        "provider": state.model.partition(":")[0],
        "alias": state.alias,
        "inChain": state.in_chain,
        "state": state.state,
        "limits": limits,
        "price": None,
    }
    if state.state == "cooling":
        body |= {"reason": state.reason, "restoresIn": state.restores_in}
    return body


def status_json(status: GatewayStatus) -> dict[str, object]:
    """Return what ``health/ready`` tells a user."""
    return {
        "status": "ok" if status.ok else "degraded",
        "reasons": list(status.reasons),
        "gatewayId": status.gateway_id,
        "version": status.version,
        "storage": dict(status.storage),
    }


def usage_json(usage: Usage) -> dict[str, int]:
    """Return tokens."""
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "cachedTokens": usage.cached_tokens,
        "reasoningTokens": usage.reasoning_tokens,
    }


def time_json(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_bytes(body: object) -> bytes:
    """Return ``body`` as JSON text."""
    return orjson.dumps(body)


def _route(route: Iterable[Attempt]) -> list[dict[str, object]]:
    return [_attempt(one) for one in route]


def _attempt(one: Attempt) -> dict[str, object]:
    body: dict[str, object] = {"model": one.model, "outcome": one.outcome, "seconds": round(one.seconds, 4)}
    told = {"status": one.status, "reason": one.reason, "restoresIn": one.restores_in}
    return body | {name: value for name, value in told.items() if value is not None}


def _call(call: Call) -> dict[str, object]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}
