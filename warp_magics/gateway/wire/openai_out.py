"""Answers, events and errors as the OpenAI paths give them.

Source: https://platform.openai.com/docs/api-reference/chat (object, streaming) and
https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import StreamBroken
from ..sse import encode_line
from ..types import Ended, Failed, Reasoning, Restarted, Result, Started, Text, ToolCall
from .out import error_json, route_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..types import Call, ChatResponse, Event, ModelState, Usage

_REASONS: Final = {
    Result.COMPLETE: "stop",
    Result.TOOL_CALLS: "tool_calls",
    Result.FILTERED: "content_filter",
}
_CUT: Final = "length"
"""What every answer says that is not whole: none is to pass for one that is."""
_CODES: Final = {
    "MODEL_PROVIDER_NOT_FOUND_ERROR": "model_not_found",
    "PROVIDER_CONTEXT_LENGTH_ERROR": "context_length_exceeded",
    "PROVIDER_RATE_LIMIT_ERROR": "rate_limit_exceeded",
    "RATE_LIMIT_EXCEEDED": "rate_limit_exceeded",
    "PROVIDER_EXCEEDED_QUOTA_ERROR": "insufficient_quota",
    "CONTENT_FILTERED": "content_filter",
    "UNAUTHORIZED": "invalid_api_key",
}
"""The codes by which clients know an error; the others keep ours."""
_STATUSES: Final = {"MODEL_PROVIDER_NOT_FOUND_ERROR": 404}
_ADVICE: Final = " (auto is the gateway's own choice)"
_UNPROCESSABLE: Final = 422
_SERVER: Final = 500
_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def completion_json(said: ChatResponse, created: int) -> dict[str, object]:
    """Return a whole answer; ``created`` is in Unix seconds."""
    calls = [_call(call, said.model) for call in said.tool_calls]
    message: dict[str, object] = {"role": "assistant", "content": said.text or (None if calls else ""), "refusal": None}
    choice = {"index": 0, "message": message | ({"tool_calls": calls} if calls else {}), "logprobs": None}
    return {
        "id": _id(said.turn_id),
        "object": "chat.completion",
        "created": created,
        "model": said.model,
        "choices": [{**choice, "finish_reason": _reason(said)}],
        "usage": _usage(said.usage),
        "warp": _told(said),
    }


class ChunkWriter:
    """Writes one streamed answer; ``with_usage`` adds the chunk that tells it, ``created`` is in Unix seconds."""

    def __init__(self, created: int, *, with_usage: bool) -> None:
        self._created = created
        self._with_usage = with_usage
        self._id = _id(None)
        self._model = ""
        self._calls = 0
        self._said = False
        self._over = False

    def event(self, event: Event) -> bytes:  # noqa: PLR0911 - a case an event
        """Return the chunks that ``event`` is; one that has no place here is none. The last ends with ``[DONE]``.

        An answer that is begun anew when some of it has been told ends with an error: this format cannot take words back.
        """
        if self._over:
            return b""
        self._said = self._said or isinstance(event, Text | Reasoning | ToolCall)
        match event:
            case Started(model=model, turn_id=turn_id):
                self._id, self._model = _id(turn_id), model
                return self._delta({"role": "assistant", "content": "", "refusal": None})
            case Text(text=text):
                return self._delta({"content": text})
            case Reasoning(text=text):
                return self._delta({"reasoning_content": text})
            case ToolCall(call=call):
                self._calls += 1
                return self._delta({"tool_calls": [{"index": self._calls - 1, **_call(call, self._model)}]})
            case Ended(response=said):
                return self._end(said)
            case Failed(error=error):
                return openai_failure_bytes(error)
            case Restarted() if self._said:
                self._over = True
                return openai_failure_bytes(StreamBroken("The answer was begun anew. Ask again to be told it whole."))
            case _:
                return b""

    def _delta(self, delta: Mapping[str, object]) -> bytes:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _end(self, said: ChatResponse) -> bytes:
        self._model = said.model
        last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _reason(said)}
        chunks = self._chunk([last], warp=_told(said))
        if self._with_usage:
            chunks += self._chunk([], usage=_usage(said.usage))
        return chunks + encode_line(b"[DONE]")

    def _chunk(self, choices: list[dict[str, object]], **more: object) -> bytes:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}
        usage: dict[str, object] = {"usage": None} if self._with_usage else {}
        return encode_line(orjson.dumps({**head, "choices": choices, **usage, **more}))


def openai_failure_bytes(error: Exception) -> bytes:
    """Return the event that ends an answer which broke off: an error, and no ``[DONE]``."""
    body, _ = openai_error(error_json(error), getattr(error, "http_status", _SERVER))
    return encode_line(orjson.dumps(body))


def openai_error(told: Mapping[str, Any], status: int) -> tuple[dict[str, object], int]:
    """Return an error that is ``told`` as the other paths tell it in OpenAI's shape, and the status it has there."""
    code = told["code"]
    status = _STATUSES.get(code, 400 if status == _UNPROCESSABLE else status)
    kind = _TYPES.get(status, "server_error" if status >= _SERVER else "invalid_request_error")
    fields = (told.get("details") or {}).get("fields") or {}
    message = told["message"] + (_ADVICE if code == "MODEL_PROVIDER_NOT_FOUND_ERROR" else "")
    body = {"message": message, "type": kind, "code": _CODES.get(code, code), "param": next(iter(fields), None)}
    more: dict[str, object] = {}
    if details := dict(told.get("details") or {}):
        more["details"] = details | ({"route": list(map(_snake, details["route"]))} if "route" in details else {})
    if "retryAfter" in told:
        more["retry_after"] = told["retryAfter"]
    return {"error": {**body, **more}}, status


def models_json(states: Iterable[ModelState]) -> list[dict[str, object]]:
    """Return the names by which the configured models can be asked: ``auto``, their own, and their aliases."""
    known = list(states)
    listed = [_model("auto", "warp")] if any(state.in_chain for state in known) else []
    for state in known:
        owner = state.model.partition(":")[0]
        listed += [_model(name, owner) for name in (state.model, state.alias) if name]
    return listed


def _model(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _id(turn_id: str | None) -> str:
    return f"chatcmpl-{turn_id or ''}"


def _reason(said: ChatResponse) -> str:
    return _REASONS.get(said.result, _CUT)


def _call(call: Call, model: str) -> dict[str, object]:
    """Return a call; what its provider wants back goes along, and comes back with clients that keep what they got."""
    function = {"name": call.name, "arguments": call.arguments}
    body: dict[str, object] = {"id": call.id, "type": "function", "function": function}
    kept = {"provider": model.partition(":")[0], "extra": dict(call.extra)}
    return {**body, "extra_content": kept} if call.extra else body


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _told(said: ChatResponse) -> dict[str, object]:
    """Return what the gateway has to say of an answer, where OpenAI's fields have no place for it."""
    return {
        "session_id": said.session_id,
        "turn_id": said.turn_id,
        "stream_id": said.stream_id,
        "result": said.result,
        "cost": said.cost,
        "route": [_snake(attempt) for attempt in route_json(said.route)],
        "warnings": list(said.warnings),
    }


def _snake(attempt: Mapping[str, object]) -> dict[str, object]:
    return {"restores_in" if name == "restoresIn" else name: value for name, value in attempt.items()}
