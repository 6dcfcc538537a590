"""How a fake provider's answers look on Gemini's wire, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .replies import Call, Fault, Reply, Wait

FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
WORDS = {
    "context_length_exceeded": "The input token count (1250334) exceeds the maximum number of tokens allowed (1048576).",
    "invalid_api_key": "API key not valid: {masked} (you sent {key}). Please pass a valid API key.",
}
PER_DAY = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}
DETAILS = {
    "insufficient_quota": {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [PER_DAY]},
    "invalid_api_key": {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
}
"""What stands for OpenAI's codes."""


class Gemini:
    """Gemini's wire; see `Wire`."""

    path = "/v1beta/models/{model}:{verb}"

    @staticmethod
    def model(call: Call) -> str:
        return unquote(call.path.rpartition("/models/")[2]).rpartition(":")[0]

    @staticmethod
    def key(call: Call) -> str:
        return call.headers.get("x-goog-api-key", "")

    @classmethod
    def messages(cls, call: Call) -> list[dict[str, Any]]:
        system = call.body.get("systemInstruction")
        head = [{"role": "system", "content": cls._text(system)}] if system else []
        roles = {"user": "user", "model": "assistant"}
        return head + [{"role": roles[one["role"]], "content": cls._text(one)} for one in call.body.get("contents", [])]

    @staticmethod
    def streamed(call: Call) -> bool:
        return "streamGenerateContent" in call.path

    @classmethod
    def stream(cls, call: Call, reply: Reply) -> Iterator[bytes | Wait | Fault]:
        yield from reply.opening
        for item in cls._events(call, reply):
            yield cls._frame(item, reply) if isinstance(item, dict) else item

    @classmethod
    def whole(cls, call: Call, reply: Reply) -> dict[str, Any]:
        parts = [{"text": text, "thought": True} for text in reply.reasoning]
        text = "".join(item for item in [*reply.items(call), reply.refusal] if isinstance(item, str))
        parts += [{"text": text}] if text else []
        return cls._chunk(call, reply, [*parts, *map(cls._call, reply.tools)], last=True)

    @classmethod
    def error(cls, call: Call, reply: Reply) -> dict[str, Any]:
        code = reply.error.get("code") or ""
        message = WORDS.get(code, reply.error["message"]).replace("{model}", call.model).replace("{key}", call.key)
        message = message.replace("{masked}", f"{call.key[:7]}***{call.key[-4:]}")
        details = {"details": [DETAILS[code]]} if code in DETAILS else {}
        status = STATUSES.get(reply.status, "UNKNOWN")
        return {"error": {"code": reply.status, "message": message, "status": status, **details}}

    @classmethod
    def _events(cls, call: Call, reply: Reply) -> Iterator[dict[str, Any] | bytes | Wait | Fault]:
        for text in reply.reasoning:
            yield cls._chunk(call, reply, [{"text": text, "thought": True}])
        for item in [*reply.items(call), *filter(None, [reply.refusal])]:
            if isinstance(item, str):
                yield from [reply.delay] if reply.delay else []
                yield cls._chunk(call, reply, [{"text": item}])
            else:
                yield item
        yield cls._chunk(call, reply, [*map(cls._call, reply.tools)] or [{"text": ""}], last=True)

    @classmethod
    def _chunk(cls, call: Call, reply: Reply, parts: list[dict[str, Any]], *, last: bool = False) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if last:
            finish = reply.finish or ("content_filter" if reply.refusal else "stop")
            candidate["finishReason"] = FINISHES.get(finish, finish)
        usage = {} if reply.usage_in == "nowhere" else {"usageMetadata": cls._usage(call, reply)}
        return {"candidates": [candidate], **usage, "modelVersion": call.model, "responseId": f"r{call.number}"}

    @staticmethod
    def _call(tool: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        return {"functionCall": {"name": tool[0], "args": tool[1]}, "thoughtSignature": "c2ln"}

    @staticmethod
    def _text(content: Mapping[str, Any]) -> str:
        return "".join(part.get("text", "") for part in content.get("parts", []))

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
            "promptTokenCount": counted["prompt_tokens"],
            "candidatesTokenCount": counted.get("completion_tokens", 0),
            "thoughtsTokenCount": len(reply.reasoning),
            "cachedContentTokenCount": reply.cached,
        }

    @staticmethod
    def _frame(event: Mapping[str, Any], reply: Reply) -> bytes:
        return f"data: {json.dumps(event, ensure_ascii=False)}{reply.newline * 2}".encode()
