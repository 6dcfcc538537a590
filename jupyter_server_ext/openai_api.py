"""The OpenAI paths as plain async functions, on the same gateway and sessions as all others.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from warp_magics.gateway import Source, Started, check_session_id, errors, wire

from .chunks import Pump
from .endpoints import Response
from .overlap import news

if TYPE_CHECKING:
    from warp_magics.gateway import ChatRequest, Gateway, Turn

    from .endpoints import Endpoints, EventStream, Request

BELOW: Final = "v1/"
"""Where these paths begin, below ``warp/``."""
_RETRY: Final = "x-stainless-retry-count"
"""The header in which OpenAI's clients say how often they have asked already, by themselves."""
_ANSWERED: Final = ("complete", "stopped")


async def chat_completions(endpoints: Endpoints, request: Request) -> Response | EventStream:
    """``POST v1/chat/completions``: without a session's header no session keeps it, and the messages are sent as they are."""
    body = endpoints.body(request)
    asked = wire.read_completion(body)
    wanted = asked.request(request.known_owner())
    session_id = request.headers.get(endpoints.session_header)
    if session_id:
        wanted = await _in_session(endpoints, request, wanted, check_session_id(session_id))
    elif key := request.headers.get("idempotency-key"):
        wanted = replace(wanted, turn_id=key)
    created = int(time.time())
    if not asked.stream:
        said = await endpoints.gateway.ask(wanted)
        return Response(wire.completion_json(said, created), headers=endpoints.told(said))
    pump = Pump.of(endpoints.gateway.stream(wanted))
    begun = await endpoints.first(pump)
    headers = endpoints.told(begun) if isinstance(begun, Started) else {}
    writer = wire.ChunkWriter(created, with_usage=asked.with_usage)
    return endpoints.event_stream(pump, begun, writer.event, headers, resumable=False, fail=wire.openai_failure_bytes)


async def models(endpoints: Endpoints, request: Request) -> Response:  # noqa: ARG001 - the same for every user
    """``GET v1/models``."""
    return Response({"object": "list", "data": wire.models_json(await endpoints.gateway.models())})


async def model(endpoints: Endpoints, request: Request, name: str) -> Response:  # noqa: ARG001
    """``GET v1/models/{model}``."""
    for one in wire.models_json(await endpoints.gateway.models()):
        if one["id"] == name:
            return Response(one)
    raise errors.UnknownModel(f"No model {name[:100]!r} is configured.")


def shaped(path: str, answer: Response) -> Response:
    """Return an answer to ``path`` (below ``warp/``), an error of these paths as OpenAI's clients read it."""
    told = answer.body
    if not (path.startswith(BELOW) and isinstance(told, dict) and "code" in told and "message" in told):
        return answer
    body, status = wire.openai_error(told, answer.status)
    hopeless = {"x-should-retry": "false"} if wire.is_hopeless(str(told["code"])) else {}
    return Response(body, status, {**answer.headers, **hopeless})


async def _in_session(endpoints: Endpoints, request: Request, wanted: ChatRequest, session_id: str) -> ChatRequest:
    """Return what is asked of the session: what is new to it, once, however often its client has sent it."""
    header, owner = endpoints.session_header, wanted.owner
    again = request.headers.get(_RETRY, "0") != "0"
    earlier = sum(message.role != "system" for message in wanted.messages) > 1
    turns = await _turns(endpoints.gateway, owner, session_id) if again or earlier else ()
    key = request.headers.get("idempotency-key")
    mark = f"oai-{hashlib.sha256(request.body).hexdigest()[:24]}."
    before = None
    if key is None and again:
        key = await _live(endpoints.gateway, owner, session_id, mark)
        before = turns[-1] if key is None and turns and turns[-1].id.startswith(mark) else None
    if before is not None and before.status in _ANSWERED:
        key = before.id
    if before is not None or key is not None:
        turns = tuple(turn for turn in turns if turn.id not in (key, before and before.id))
    context, asked = news(wanted.messages, turns, header)
    return replace(
        wanted,
        prompt=asked.text,
        context=context,
        attachments=asked.images,
        tool_results=asked.tool_results,
        messages=(),
        store=True,
        session_id=session_id,
        create_session=True,
        source=Source("rest"),
        turn_id=key or f"{mark}{uuid.uuid4()}",
        replaces=before.id if before is not None and key is None else None,
    )


async def _turns(gateway: Gateway, owner: str, session_id: str) -> tuple[Turn, ...]:
    """Return what the session has; a store that is down is the answer's to tell."""
    with contextlib.suppress(errors.SessionNotFound, errors.StoreUnavailable):
        return await gateway.history(owner, session_id)
    return ()


async def _live(gateway: Gateway, owner: str, session_id: str, mark: str) -> str | None:
    """Return the id of the turn that is being answered, where it was asked for with the same words."""
    with contextlib.suppress(errors.SessionNotFound, errors.StreamNotFound, errors.StoreUnavailable):
        stream_id = (await gateway.session(owner, session_id)).live_stream_id
        if stream_id is not None:
            async with contextlib.aclosing(gateway.follow(owner, stream_id)) as events:
                async for event in events:
                    if isinstance(event, Started):
                        return event.turn_id if event.turn_id and event.turn_id.startswith(mark) else None
    return None
