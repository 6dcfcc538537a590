"""Requests, answers, events and descriptions to JSON and to server-sent events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeGuard

import orjson

from ..errors import InvalidRequest, WarpError
from ..sse import encode_line
from ..types import Attempt, Ended, Failed, Reasoning, Restarted, Source, Started, Text, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..types import (
        Attachment,
        Begun,
        Call,
        ChatRequest,
        ChatResponse,
        Event,
        Exchange,
        Page,
        Session,
        SessionEvent,
        Tool,
        ToolResult,
        Turn,
        Usage,
    )


def ask_bytes(request: ChatRequest, *, dry_run: bool = False) -> bytes:
    """Return the body of ``prompt`` and ``stream`` that asks ``request``, or with ``dry_run`` what it would send.

    What is left to the gateway is left out; the owner, ``on_disconnect`` and ``turn_id`` are no part of a body.
    Raises InvalidRequest for text that is none, and for what only the OpenAI paths take.
    """
    if request.messages or request.before or request.parameters.extra:
        raise InvalidRequest("Whole messages and OpenAI's own parameters go to a gateway's OpenAI paths.")
    body = _given(
        prompt=request.prompt,
        sessionId=request.session_id,
        createSession=request.create_session or None,
        store=None if request.store else False,
        context=request.context,
        temperature=request.parameters.temperature,
        maxTokens=request.parameters.max_tokens,
        topP=request.parameters.top_p,
        seed=request.parameters.seed,
        stop=list(request.parameters.stop) or None,
        models=list(request.models) or None,
        history=[_exchange(one) for one in request.history] or None,
        source=_source(request.source) if request.source != Source() else None,
        timeout=request.timeout,
        onBreak=request.on_break,
        cache=request.cache,
        replaces=request.replaces,
        dryRun=dry_run or None,
        **{"continue": request.continues},
        attachments=[attachment_json(one) for one in request.attachments] or None,
        toolResults=[_tool_result(one) for one in request.tool_results] or None,
        tools=[_tool(one) for one in request.form.tools] or None,
        toolChoice=request.form.tool_choice,
        responseSchema=None if request.form.schema is None else dict(request.form.schema),
    )
    return _asked(body)


def session_bytes(
    session_id: str | None = None,
    title: str | None = None,
    ttl: float | None = None,
    metadata: Mapping[str, object] | None = None,
) -> bytes:
    """Return the body that makes a session or changes one; what is None is left out."""
    described = None if metadata is None else dict(metadata)
    return _asked(_given(sessionId=session_id, title=title, ttl=ttl, metadata=described))


def fork_bytes(at: str | None, session_id: str | None) -> bytes:
    """Return the body of ``fork``."""
    return _asked(_given(at=at, sessionId=session_id))


def rewind_bytes(to: str) -> bytes:
    """Return the body of ``rewind``."""
    return _asked({"to": to})


def _exchange(one: Exchange) -> dict[str, object]:
    return {"prompt": one.prompt, "response": one.response} | _given(
        model=one.model,
        attachments=[attachment_json(file) for file in one.attachments] or None,
        toolCalls=[_call(call) for call in one.tool_calls] or None,
        toolResults=[_tool_result(result) for result in one.tool_results] or None,
    )


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _asked(body: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from None


# -- answers and events ----------------------------------------------------------------------------


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
        "route": route_json(said.route),
        "warnings": list(said.warnings),
    }
    calls = [_call(call) for call in said.tool_calls] or None
    told = _given(toolCalls=calls, sessionStatus=said.session_status, firstToken=said.first_token)
    return body | told | _given(value=said.value)


def begun_json(begun: Begun) -> dict[str, object]:
    """Return what is told of a prompt that has its turn."""
    return {"sessionId": begun.session_id, "turnId": begun.turn_id, "streamId": begun.stream_id}


def event_bytes(event: Event) -> bytes:
    """Return ``event`` as one server-sent event, one line of JSON in it."""
    name, data = event_parts(event)
    return encode_line(orjson.dumps(data), event=name, id=event.id)


def failure_bytes(error: WarpError) -> bytes:
    """Return an error that came before a model had begun, for a reader whose status has gone out already."""
    return event_bytes(Failed(error))


def event_parts(event: Event) -> tuple[str, dict[str, object]]:  # noqa: PLR0911 - a case an event
    """Return the name and the data under which ``event`` is told."""
    match event:
        case Text(text=text):
            return "content", {"response": text}
        case Reasoning(text=text):
            return "reasoning", {"text": text}
        case Started():
            return "start", _start(event)
        case ToolCall(call=call):
            return "tool_call", _call(call)
        case Restarted():
            return "restart", {"reason": event.reason, "from": event.from_model, "to": event.to_model}
        case Ended(response=said):
            return "end", {"response": response_json(said)}
        case Failed(error=error, response=said):
            return "error", error_json(error, partial=said.text if said else None)


def _start(event: Started) -> dict[str, object]:
    ids = {"sessionId": event.session_id, "streamId": event.stream_id, "turnId": event.turn_id}
    told = _given(warnings=list(event.warnings) or None, sessionStatus=event.session_status)
    return {**ids, "model": event.model, **told}


def error_json(error: Exception, partial: str | None = None) -> dict[str, object]:
    """Return an error's body; foreign exceptions tell nothing of themselves."""
    if not isinstance(error, WarpError):
        error = WarpError("The gateway failed.")
    details = {name: route_json(value) if _is_route(value) else value for name, value in error.details.items()}
    # A code that this version does not know is handed on as it was told.
    code = details.pop("code", error.code) if type(error) is WarpError else error.code
    body: dict[str, object] = {"code": code, "message": error.message}
    if details:
        body["details"] = details
    if error.retry_after is not None:
        body["retryAfter"] = round(error.retry_after, 3)
    if partial is not None:
        body["partial"] = partial
    return body


def _is_route(value: object) -> TypeGuard[tuple[Attempt, ...]]:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Attempt)


# -- turns and sessions ----------------------------------------------------------------------------


def turn_json(turn: Turn) -> dict[str, object]:
    """Return a turn as ``history`` lists it."""
    body: dict[str, object] = {
        "turnId": turn.id,
        "n": turn.n,
        "prompt": turn.prompt,
        "attachments": [attachment_json(one) for one in turn.attachments],
        "toolResults": [_tool_result(one) for one in turn.tool_results],
        "response": turn.response,
        "toolCalls": [_call(call) for call in turn.tool_calls],
        "status": turn.status,
        "result": turn.result,
        "model": turn.model,
        "route": route_json(turn.route),
        "usage": usage_json(turn.usage),
        "cost": turn.cost,
        "firstToken": turn.first_token,
        "startedAt": time_json(turn.started_at),
        "endedAt": time_json(turn.ended_at),
        "source": _source(turn.source),
    }
    return {**body, "error": dict(turn.error)} if turn.error else body


def session_json(session: Session) -> dict[str, object]:
    """Return a session's description."""
    branches = [
        {"branch": one.number, "after": one.after, "turns": one.turns, "createdAt": time_json(one.created_at)}
        for one in session.branches
    ]
    live = {
        "liveStreamId": session.live_stream_id,
        "liveTurnId": session.live_turn_id,
        "livePrompt": session.live_prompt,
    }
    return {**_listed(session), **live, "branches": branches}


def page_json(page: Page) -> dict[str, object]:
    """Return sessions as ``sessions`` lists them: without live streams and branches."""
    return {"sessions": [_listed(one) for one in page.sessions], "nextCursor": page.cursor}


def _listed(session: Session) -> dict[str, object]:
    return {
        "sessionId": session.key.id,
        "title": session.title,
        "turns": session.turns,
        "createdAt": time_json(session.created_at),
        "updatedAt": time_json(session.updated_at),
        "expiresAt": None if session.expires_at is None else time_json(session.expires_at),
        "ttl": session.ttl,
        "metadata": dict(session.metadata),
        "models": list(session.models),
        "usage": usage_json(session.usage),
        "cost": session.cost,
        "unpriced": session.unpriced,
    }


def session_event_bytes(event: SessionEvent) -> bytes:
    """Return what happened to a session as one server-sent event."""
    return encode_line(orjson.dumps(session_event_json(event)), event=event.kind, id=event.id)


def session_event_json(event: SessionEvent) -> dict[str, object]:
    """Return the data of what happened to a session."""
    told = _given(streamId=event.stream_id, turnId=event.turn_id, status=event.status)
    return {"sessionId": event.session_id, **told}


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


def route_json(route: Iterable[Attempt]) -> list[dict[str, object]]:
    """Return the tries of an answer, in their order."""
    return [_attempt(one) for one in route]


def _attempt(one: Attempt) -> dict[str, object]:
    body: dict[str, object] = {"model": one.model, "outcome": one.outcome, "seconds": round(one.seconds, 4)}
    return body | _given(status=one.status, reason=one.reason, restoresIn=one.restores_in)


def _source(source: Source) -> dict[str, object]:
    return {"kind": source.kind, "notebook": source.notebook, "cell": source.cell}


def _call(call: Call) -> dict[str, object]:
    body: dict[str, object] = {"id": call.id, "name": call.name, "arguments": call.arguments}
    return {**body, "extra": dict(call.extra)} if call.extra else body


def attachment_json(one: Attachment) -> dict[str, object]:
    """Return what goes along with a prompt as an ask takes it."""
    body = {"kind": one.kind, "name": one.name, "mediaType": one.media_type}
    return {**body, "text": one.text} if one.kind == "text" else {**body, "data": one.data}


def _tool_result(one: ToolResult) -> dict[str, object]:
    return {"id": one.id, "content": one.content, "isError": one.is_error}


def _tool(one: Tool) -> dict[str, object]:
    return _given(name=one.name, description=one.description, parameters=dict(one.parameters), strict=one.strict)
