"""How a fake provider's answers look on Cohere's wire, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .replies import Call, Fault, Reply, Wait, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FINISHES = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR_TOXIC"}
WORDS = {
    "insufficient_quota": "You are using a Trial key, which is limited to 1000 API calls / month.",
    "context_length_exceeded": "too many tokens: size limit exceeded by 904 tokens. Try using shorter or fewer inputs.",
    "model_not_found": "model '{model}' not found, make sure the correct model ID was used and that you have access "
    "to the model.",
    "invalid_api_key": "invalid api token: {masked} (you sent {key})",
}
"""What stands for OpenAI's codes: this wire has none."""


class Cohere:
    """Cohere's wire; see `Wire`."""

    path = "/v2/chat"

    @staticmethod
    def model(call: Call) -> str:
        return call.body.get("model", "")

    @staticmethod
    def key(call: Call) -> str:
        return call.headers.get("authorization", "").removeprefix("Bearer ")

    @staticmethod
    def messages(call: Call) -> list[dict[str, Any]]:
        return [{"role": one["role"], "content": text_of(one)} for one in call.body.get("messages", [])]

    @staticmethod
    def streamed(call: Call) -> bool:
        return bool(call.body.get("stream"))

    @classmethod
    def stream(cls, call: Call, reply: Reply) -> Iterator[bytes | Wait | Fault]:
        yield from reply.opening
        for item in cls._events(call, reply):
            yield cls._frame(item, reply) if isinstance(item, dict) else item
        if reply.done:
            yield f"data: [DONE]{reply.newline * 2}".encode()

    @classmethod
    def whole(cls, call: Call, reply: Reply) -> dict[str, Any]:
        text = "".join(item for item in [*reply.items(call), reply.refusal] if isinstance(item, str))
        thoughts = "".join(reply.reasoning)
        content = [{"type": "thinking", "thinking": thoughts}] if thoughts else []
        content += [{"type": "text", "text": text}] if text else []
        tools = {"tool_calls": [cls._tool(n, *tool) for n, tool in enumerate(reply.tools)]} if reply.tools else {}
        message = {"role": "assistant", "content": content, **tools}
        return {"id": cls._id(call), "message": message, **cls._ending(call, reply)}

    @classmethod
    def error(cls, call: Call, reply: Reply) -> dict[str, Any]:
        message = WORDS.get(reply.error.get("code") or "", reply.error["message"])
        message = message.replace("{model}", call.model).replace("{key}", call.key)
        return {"id": cls._id(call), "message": message.replace("{masked}", f"{call.key[:7]}***{call.key[-4:]}")}

    @classmethod
    def _events(cls, call: Call, reply: Reply) -> Iterator[dict[str, Any] | bytes | Wait | Fault]:
        start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield {"id": cls._id(call), "type": "message-start", "delta": {"message": start}}
        if reply.reasoning:
            yield from cls._block(0, "thinking", list(reply.reasoning))
        yield from cls._block(
            1 if reply.reasoning else 0, "text", [*reply.items(call), *filter(None, [reply.refusal])], reply
        )
        for n, tool in enumerate(reply.tools):
            yield from cls._tool_events(n, cls._tool(n, *tool))
        yield {"type": "message-end", "delta": cls._ending(call, reply)}

    @staticmethod
    def _block(index: int, kind: str, items: list[Any], reply: Reply | None = None) -> Iterator[Any]:
        yield {"type": "content-start", "index": index, "delta": {"message": {"content": {"type": kind, kind: ""}}}}
        for item in items:
            if isinstance(item, str):
                yield from [reply.delay] if reply and reply.delay else []
                yield {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: item}}}}
            else:
                yield item
        yield {"type": "content-end", "index": index}

    @staticmethod
    def _tool_events(n: int, tool: dict[str, Any]) -> Iterator[dict[str, Any]]:
        whole = tool["function"]["arguments"]
        begun = {**tool, "function": {**tool["function"], "arguments": ""}}
        yield {"type": "tool-call-start", "index": n, "delta": {"message": {"tool_calls": begun}}}
        for piece in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            more = {"function": {"arguments": piece}}
            yield {"type": "tool-call-delta", "index": n, "delta": {"message": {"tool_calls": more}}}
        yield {"type": "tool-call-end", "index": n}

    @staticmethod
    def _tool(n: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"{name}_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}

    @classmethod
    def _ending(cls, call: Call, reply: Reply) -> dict[str, Any]:
        finish = reply.finish or ("tool_calls" if reply.tools else "stop")
        usage = {} if reply.usage_in == "nowhere" else {"usage": cls._usage(call, reply)}
        return {"finish_reason": FINISHES.get(finish, finish), **usage}

    @classmethod
    def _usage(cls, call: Call, reply: Reply) -> Mapping[str, Any]:
        """The words counted, or what `reply` has, by OpenAI's names or by these."""
        usage = reply.usage
        if usage is not None and "prompt_tokens" not in usage:
            return usage
        asked = sum(len(one["content"].split()) for one in cls.messages(call))
        said = len("".join(item for item in reply.items(call) if isinstance(item, str)).split())
        counted = usage or {"prompt_tokens": asked, "completion_tokens": said}
        tokens = {"input_tokens": counted["prompt_tokens"], "output_tokens": counted.get("completion_tokens", 0)}
        thought = {"reasoning_tokens": len(reply.reasoning)}
        return {"billed_units": tokens, "tokens": {**tokens, **thought}, "cached_tokens": reply.cached}

    @staticmethod
    def _id(call: Call) -> str:
        return f"00000000-0000-4000-8000-{call.number:012d}"

    @staticmethod
    def _frame(event: Mapping[str, Any], reply: Reply) -> bytes:
        name = [f"event: {event['type']}"] if "type" in event else []
        data = f"data: {json.dumps(event, ensure_ascii=False)}"
        return reply.newline.join([*name, data, "", ""]).encode()
