"""How a fake provider's answers look on OpenAI's wire, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .replies import Call, Fault, Reply, Wait, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class OpenAI:
    """OpenAI's wire; see `Wire`."""

    path = "/v1/chat/completions"

    @staticmethod
    def model(call: Call) -> str:
        return call.body.get("model", "")

    @staticmethod
    def key(call: Call) -> str:
        return call.headers.get("authorization", "").removeprefix("Bearer ")

    @staticmethod
    def messages(call: Call) -> list[dict[str, Any]]:
        return call.body.get("messages", [])

    @staticmethod
    def streamed(call: Call) -> bool:
        return bool(call.body.get("stream"))

    @classmethod
    def stream(cls, call: Call, reply: Reply) -> Iterator[bytes | Wait | Fault]:
        yield from reply.opening
        for item in cls._events(call, reply):
            yield cls._frame(item, reply) if isinstance(item, dict) else item
        if reply.done:
            yield cls._frame("[DONE]", reply)

    @classmethod
    def whole(cls, call: Call, reply: Reply) -> dict[str, Any]:
        text = "".join(item for item in reply.items(call) if isinstance(item, str))
        message = {"role": "assistant", "content": text or None if reply.tools or reply.refusal else text}
        if reply.reasoning:
            message["reasoning_content"] = "".join(reply.reasoning)
        if reply.tools:
            message["tool_calls"] = [cls._tool(n, *tool) for n, tool in enumerate(reply.tools)]
        choice = {
            "index": 0,
            "message": {**message, "refusal": reply.refusal or None},
            "finish_reason": cls._reason(reply),
        }
        usage = {} if reply.usage_in == "nowhere" else {"usage": cls._usage(call, reply)}
        return {**cls._head(call, "chat.completion"), "choices": [choice], **usage}

    @staticmethod
    def error(call: Call, reply: Reply) -> dict[str, Any]:
        message = reply.error["message"].replace("{model}", call.model).replace("{key}", call.key)
        return {"error": {**reply.error, "message": message.replace("{masked}", f"{call.key[:7]}***{call.key[-4:]}")}}

    @classmethod
    def _events(cls, call: Call, reply: Reply) -> Iterator[dict[str, Any] | bytes | Wait | Fault]:
        yield cls._delta(call, role="assistant", content="")
        yield from (cls._delta(call, reasoning_content=text) for text in reply.reasoning)
        for item in reply.items(call):
            if isinstance(item, str):
                yield from [reply.delay] if reply.delay else []
                yield cls._delta(call, content=item)
            else:
                yield item
        if reply.refusal:
            yield cls._delta(call, refusal=reply.refusal)
        for n, tool in enumerate(reply.tools):
            yield from cls._tool_deltas(call, n, *tool)
        yield from cls._last(call, reply)

    @classmethod
    def _last(cls, call: Call, reply: Reply) -> Iterator[dict[str, Any]]:
        wanted = (call.body.get("stream_options") or {}).get("include_usage")
        usage = {"usage": cls._usage(call, reply)}
        yield cls._delta(call, cls._reason(reply)) | (usage if reply.usage_in == "finish" else {})
        if wanted and reply.usage_in == "chunk":
            yield {**cls._head(call, "chat.completion.chunk"), "choices": [], **usage}

    @classmethod
    def _tool_deltas(cls, call: Call, n: int, name: str, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        tool = cls._tool(n, name, arguments)
        whole, half = tool["function"]["arguments"], len(tool["function"]["arguments"]) // 2
        yield cls._delta(call, tool_calls=[{"index": n, **tool, "function": {"name": name, "arguments": ""}}])
        for piece in (whole[:half], whole[half:]):
            yield cls._delta(call, tool_calls=[{"index": n, "function": {"arguments": piece}}])

    @staticmethod
    def _tool(n: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}

    @classmethod
    def _delta(cls, call: Call, finish: str | None = None, /, **delta: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**cls._head(call, "chat.completion.chunk"), "choices": [choice]}

    @staticmethod
    def _head(call: Call, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{call.number}", "object": kind, "created": 1700000000, "model": call.model}

    @staticmethod
    def _reason(reply: Reply) -> str:
        return reply.finish or ("tool_calls" if reply.tools else "stop")

    @staticmethod
    def _usage(call: Call, reply: Reply) -> Mapping[str, Any]:
        asked = sum(len(text_of(message).split()) for message in call.messages)
        said = len("".join(item for item in reply.items(call) if isinstance(item, str)).split())
        thought = {"completion_tokens_details": {"reasoning_tokens": len(reply.reasoning)}}
        details = {"prompt_tokens_details": {"cached_tokens": reply.cached}} | thought
        counted = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said, **details}
        return counted if reply.usage is None else reply.usage

    @staticmethod
    def _frame(data: Mapping[str, Any] | str, reply: Reply) -> bytes:
        line = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        return f"data: {line}{reply.newline * 2}".encode()
