"""The OpenAI paths as plain async functions, on the same gateway and sessions as all others.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from warp_magics.gateway import Started, check_session_id, errors, wire

from .chunks import Pump
from .endpoints import Response
from .overlap import news

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    gateway, owner = endpoints.gateway, wanted.owner
    again = request.headers.get(_RETRY, "0") != "0"
    earlier = sum(message.role != "system" for message in wanted.messages) > 1
    turns = await _turns(gateway, owner, session_id) if again or earlier else ()
    asking = endpoints.askings.of(owner, session_id, request.body)
    turn_id = request.headers.get("idempotency-key")
    if turn_id is None and again:
        turn_id = asking.turn_id or await _live(gateway, owner, session_id, asking.mark) or _last(turns, asking.mark)
    before = next((turn for turn in turns if turn.id == turn_id), None)
    failed = before if before is not None and before.status not in _ANSWERED else None
    if turn_id is None or failed is not None:
        turn_id = asking.new_id()
    context, asked = news(wanted.messages, [turn for turn in turns if turn is not before], endpoints.session_header)
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
        turn_id=turn_id,
        replaces=failed.id if failed is not None else None,
    )


def _last(turns: Sequence[Turn], mark: str) -> str | None:
    """Return the id of the last of ``turns`` where it was asked for with the same words."""
    return turns[-1].id if turns and turns[-1].id.startswith(mark) else None


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
