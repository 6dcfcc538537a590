"""How a fake provider's answers look on Anthropic's wire, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .replies import Call, Fault, Reply, Wait, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
WORDS = {
    "insufficient_quota": "Your credit balance is too low to access the Anthropic API.",
    "context_length_exceeded": "prompt is too long: 208310 tokens > 200000 maximum",
    "content_filter": "Output blocked by content filtering policy",
    "invalid_api_key": "invalid x-api-key: {masked} (you sent {key})",
}
"""What stands for OpenAI's codes: this wire has none."""


class Anthropic:
    """Anthropic's wire; see `Wire`."""

    path = "/v1/messages"

    @staticmethod
    def model(call: Call) -> str:
        return call.body.get("model", "")

    @staticmethod
    def key(call: Call) -> str:
        return call.headers.get("x-api-key", "")

    @staticmethod
    def messages(call: Call) -> list[dict[str, Any]]:
        system = [{"role": "system", "content": call.body["system"]}] if call.body.get("system") else []
        return system + [{"role": one["role"], "content": text_of(one)} for one in call.body.get("messages", [])]

    @staticmethod
    def streamed(call: Call) -> bool:
        return bool(call.body.get("stream"))

    @classmethod
    def stream(cls, call: Call, reply: Reply) -> Iterator[bytes | Wait | Fault]:
        yield from reply.opening
        for item in cls._events(call, reply):
            yield cls._frame(item, reply) if isinstance(item, dict) else item
        if reply.done:
            yield cls._frame({"type": "message_stop"}, reply)

    @classmethod
    def whole(cls, call: Call, reply: Reply) -> dict[str, Any]:
        text = "".join(item for item in [*reply.items(call), reply.refusal] if isinstance(item, str))
        thoughts = "".join(reply.reasoning)
        content: list[dict[str, Any]] = []
        content += [{"type": "thinking", "thinking": thoughts, "signature": "c2ln"}] if thoughts else []
        content += [{"type": "text", "text": text}] if text else []
        content += [{**cls._tool(n, name), "input": given} for n, (name, given) in enumerate(reply.tools)]
        usage = {} if reply.usage_in == "nowhere" else {"usage": cls._usage(call, reply)}
        return {**cls._head(call), "content": content, "stop_reason": cls._reason(reply), **usage}

    @classmethod
    def error(cls, call: Call, reply: Reply) -> dict[str, Any]:
        message = WORDS.get(reply.error.get("code") or "", reply.error["message"])
        message = message.replace("{model}", call.model).replace("{key}", call.key)
        message = message.replace("{masked}", f"{call.key[:7]}***{call.key[-4:]}")
        kind = "overloaded_error" if reply.status in (503, 529) else KINDS.get(reply.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{call.number}"}

    @classmethod
    def _events(cls, call: Call, reply: Reply) -> Iterator[dict[str, Any] | bytes | Wait | Fault]:
        usage = cls._usage(call, reply)
        at_first = {} if reply.usage_in == "nowhere" else {"usage": {**usage, "output_tokens": 1}}
        yield {"type": "message_start", "message": {**cls._head(call), "content": [], "stop_reason": None, **at_first}}
        yield {"type": "ping"}
        index = 0
        if reply.reasoning:
            deltas = [{"type": "thinking_delta", "thinking": text} for text in reply.reasoning]
            block = {"type": "thinking", "thinking": "", "signature": ""}
            yield from cls._block(index, block, [*deltas, {"type": "signature_delta", "signature": "c2ln"}])
            index += 1
        yield {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
        for item in [*reply.items(call), *filter(None, [reply.refusal])]:
            if isinstance(item, str):
                yield from [reply.delay] if reply.delay else []
                yield {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": item}}
            else:
                yield item
        yield {"type": "content_block_stop", "index": index}
        for n, (name, given) in enumerate(reply.tools):
            written = json.dumps(given)
            pieces = ["", written[: len(written) // 2], written[len(written) // 2 :]]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            yield from cls._block(index + 1 + n, {**cls._tool(n, name), "input": {}}, deltas)
        counted = {} if reply.usage_in == "nowhere" else {"usage": {"output_tokens": usage["output_tokens"]}}
        yield {"type": "message_delta", "delta": {"stop_reason": cls._reason(reply), "stop_sequence": None}, **counted}

    @staticmethod
    def _block(index: int, block: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}

    @staticmethod
    def _tool(n: int, name: str) -> dict[str, Any]:
        return {"type": "tool_use", "id": f"toolu_{n:02d}", "name": name}

    @staticmethod
    def _head(call: Call) -> dict[str, Any]:
        return {"id": f"msg_{call.number:02d}", "type": "message", "role": "assistant", "model": call.model}

    @staticmethod
    def _reason(reply: Reply) -> str:
        finish = reply.finish or ("tool_calls" if reply.tools else "content_filter" if reply.refusal else "stop")
        return FINISHES.get(finish, finish)

    @classmethod
    def _usage(cls, call: Call, reply: Reply) -> Mapping[str, Any]:
        """The words counted, or what `reply` has, by OpenAI's names or by these."""
        usage = reply.usage
        if usage is not None and "prompt_tokens" not in usage:
            return usage
        asked = sum(len(one["content"].split()) for one in cls.messages(call))
        said = len("".join(item for item in reply.items(call) if isinstance(item, str)).split())
        counted = usage or {"prompt_tokens": asked, "completion_tokens": said}
        return {
            "input_tokens": counted["prompt_tokens"] - reply.cached,
            "cache_read_input_tokens": reply.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": counted.get("completion_tokens", 0),
        }

    @staticmethod
    def _frame(event: Mapping[str, Any], reply: Reply) -> bytes:
        name = [f"event: {event['type']}"] if "type" in event else []
        data = f"data: {json.dumps(event, ensure_ascii=False)}"
        return reply.newline.join([*name, data, "", ""]).encode()
