"""The OpenAI paths as plain async functions, on the same gateway and sessions as all others.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from warp_magics.gateway import Started, check_session_id, errors, wire

from .askings import mark_of
from .chunks import Pump
from .messages import Response
from .overlap import again, is_answered, news

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from warp_magics.gateway import ChatRequest, Event, Gateway, Turn

    from .endpoints import Endpoints
    from .messages import EventStream, Request

_RETRY: Final = "x-stainless-retry-count"
"""The header in which OpenAI's clients say how often they have asked already, by themselves."""


async def chat_completions(endpoints: Endpoints, request: Request) -> Response | EventStream:
    """``POST v1/chat/completions``: without a session's header no session keeps it, and the messages are sent as they are."""
    body = endpoints.body(request)
    completion = wire.read_completion(body)
    asked = wire.request_of(completion, request.known_owner())
    seen = _unkept
    if session_id := request.headers.get(endpoints.session_header):
        asked, seen = await _in_session(endpoints, request, asked, check_session_id(session_id))
    elif turn_id := request.headers.get("idempotency-key"):
        asked = replace(asked, turn_id=turn_id)
    created = int(time.time())
    if not completion.stream:
        try:
            said = await endpoints.gateway.ask(asked)
        finally:
            if not _is_leaving():
                seen()
        return Response(wire.completion_json(said, created), headers=endpoints.told(said))
    pump = Pump.of(_watched(endpoints.gateway.stream(asked), seen))
    begun = await endpoints.first(pump)
    known = {endpoints.session_header: session_id} if session_id else {}
    headers = endpoints.told(begun) if isinstance(begun, Started) else known
    writer = wire.ChunkWriter(created, with_usage=completion.with_usage)
    return endpoints.event_stream(pump, begun, writer.event, headers, resumable=False, fail=wire.openai_failure_bytes)


def _unkept() -> None:
    """Forget nothing: no session is asked twice where there is none."""


def _is_leaving() -> bool:
    """Return whether this task is being cancelled, for its reader has left and sees nothing."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _watched(events: AsyncGenerator[Event, None], seen: Callable[[], None]) -> AsyncGenerator[Event, None]:
    """Yield ``events``; calls ``seen`` once their reader has the last, or what went wrong in its place."""
    try:
        async with contextlib.aclosing(events):
            async for event in events:
                yield event
    except errors.WarpError:
        seen()
        raise
    seen()


async def models(endpoints: Endpoints, request: Request) -> Response:  # noqa: ARG001 - the same for every user
    """``GET v1/models``."""
    return Response({"object": "list", "data": wire.models_json(await endpoints.gateway.models())})


async def model(endpoints: Endpoints, request: Request, name: str) -> Response:  # noqa: ARG001
    """``GET v1/models/{model}``."""
    for one in wire.models_json(await endpoints.gateway.models()):
        if one["id"] == name:
            return Response(one)
    raise errors.UnknownModel(f"No model {name[:100]!r} is configured.")


async def _in_session(
    endpoints: Endpoints, request: Request, asked: ChatRequest, session_id: str
) -> tuple[ChatRequest, Callable[[], None]]:
    """Return what is asked of the session: what is new to it, once, however often its client has sent it.

    And what is to be called once its asker has seen how it ended.
    """
    gateway, askings = endpoints.gateway, endpoints.askings
    key = (asked.owner, session_id, mark_of(request.body))
    turn_id = request.headers.get("idempotency-key")
    retried = turn_id is None and request.headers.get(_RETRY, "0") != "0"
    earlier = sum(message.role != "system" for message in asked.messages) > 1
    if retried:  # first: its turn may end before the turns are read, and is then among them
        turn_id = await _live(gateway, asked.owner, session_id, key[2])
    turns = await _turns(gateway, asked.owner, session_id) if retried or earlier else ()
    before = again(key[2], turns) if retried and turn_id is None else None
    if before is not None and is_answered(before):
        turn_id = before.id
    elif retried and before is None:
        turn_id = turn_id or askings.open(key)
    found = news(asked.messages, _until(turns, turn_id), endpoints.session_header)
    replaced = before if before is not None and turn_id is None else found.replaced
    new = replace(
        asked,
        prompt=found.asked.text,
        context=found.context,
        attachments=found.asked.images,
        tool_results=found.asked.tool_results,
        messages=(),
        before=found.before,
        store=True,
        session_id=session_id,
        create_session=True,
        turn_id=turn_id or askings.begin(key),
        replaces=replaced.id if replaced is not None else None,
    )
    return new, partial(askings.end, key)


def _until(turns: Sequence[Turn], turn_id: str | None) -> Sequence[Turn]:
    """Return the turns before the one of that id, where it is among them."""
    at = next((n for n, turn in enumerate(turns) if turn.id == turn_id), len(turns))
    return turns[:at]


async def _turns(gateway: Gateway, owner: str, session_id: str) -> tuple[Turn, ...]:
    """Return what the session has; a store that is down is the answer's to tell."""
    with contextlib.suppress(errors.SessionNotFound, errors.StoreUnavailable):
        return await gateway.history(owner, session_id)
    return ()


async def _live(gateway: Gateway, owner: str, session_id: str, mark: str) -> str | None:
    """Return the id of the turn that is being answered, where it was asked for with the same words."""
    with contextlib.suppress(errors.SessionNotFound, errors.StoreUnavailable):
        turn_id = (await gateway.session(owner, session_id)).live_turn_id
        return turn_id if turn_id and turn_id.startswith(mark) else None
    return None
