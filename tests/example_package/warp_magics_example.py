"""Parrot, a provider with a wire format of its own: its row and its dialect."""

import json

from warp_magics.gateway import (
    Dialect,
    JsonDecoder,
    Phrase,
    Provider,
    Reasoning,
    Result,
    Text,
    Usage,
    WireRequest,
    errors,
    read_whole,
    refusal,
)

PARROT = Provider(
    name="parrot",
    dialect="parrot",
    base_url="https://api.parrot.example/v1",
    keys=("PARROT_API_KEY",),
    base_urls=("PARROT_BASE_URL",),
    default_model="grey",
)

SPEAKERS = {"system": "keeper", "user": "guest", "assistant": "parrot"}
RESULTS = {
    "done": Result.COMPLETE,
    "calls": Result.TOOL_CALLS,
    "too_long": Result.MAX_TOKENS,
    "refused": Result.FILTERED,
}
CODES = {
    "bad_key": errors.AccessRefused,
    "no_credit": errors.QuotaExceeded,
    "no_model": errors.ModelMissing,
    "slow_down": errors.RateLimited,
}
PHRASES = (
    Phrase(
        pattern=r"holds more than \d+ tokens",
        kind=errors.ContextTooLong,
        sample="The talk holds more than 8000 tokens.",
        source="https://docs.parrot.example/errors",
    ),
)


class Parrot(Dialect):
    def encode(self, conversation, key):
        given, form = conversation.parameters, conversation.form
        choice = form.tool_choice or "auto"
        tools = () if choice == "none" else form.tools
        body = {
            "model": conversation.model.name,
            "turns": [turn for message in conversation.messages for turn in turns(message)],
            "temperature": given.temperature,
            "most_tokens": given.max_tokens,
            "stop": list(given.stop) or None,
            "tools": [{"tool": one.name, "about": one.description, "input": one.parameters} for one in tools] or None,
            "shape": form.schema,
            "stream": conversation.stream,
        }
        lacking = {
            "top_p": given.top_p is not None,
            "seed": given.seed is not None,
            "tool_choice": choice not in ("auto", "none"),
            "an image": any(message.images for message in conversation.messages),
        }
        warnings = [f"{name} was left out: parrot has no word for it" for name, is_given in lacking.items() if is_given]
        headers = {"x-parrot-key": key} if key else {}
        return WireRequest.of("/talk", body, conversation, headers=headers, warnings=warnings)

    def decoder(self):
        return Decoder()

    def decode(self, body):
        return read_whole(Decoder(whole=True), body)

    def error(self, status, headers, body):
        try:
            said = json.loads(body)
        except ValueError:
            said = {}
        said = said if isinstance(said, dict) else {}
        message = str(said.get("message") or f"status {status}")
        return refusal(message, status, headers, kind=CODES.get(str(said.get("code"))), phrases=PHRASES)


def turns(message):
    for result in message.tool_results:
        yield {"who": "tool", "call": result.id, "says": result.content, "failed": result.is_error}
    calls = [{"id": call.id, "tool": call.name, "input": call.arguments} for call in message.tool_calls]
    if message.text or calls or not message.tool_results:
        yield {"who": SPEAKERS[message.role], "says": message.text, "calls": calls}


class Decoder(JsonDecoder):
    def read(self, chunk, name):
        if self.whole:
            for number, call in enumerate(chunk.get("calls", ())):
                self.piece({"n": number, **call})
            self.finish(chunk)
            return [Text(chunk["says"])] if chunk["says"] else []
        match name:
            case "thought":
                return [Reasoning(chunk["says"])]
            case "says":
                return [Text(chunk["says"])]
            case "call":
                self.piece(chunk)
            case "end":
                self.finish(chunk)
                self.done = True
            case "error":
                raise CODES.get(str(chunk.get("code")), errors.ProviderFault)(str(chunk.get("message")))
        return []

    def piece(self, call):
        self.call(call["n"], call_id=call.get("id", ""), name=call.get("tool", ""), arguments=call["input"])

    def finish(self, chunk):
        self.usage = Usage(input_tokens=chunk["tokens"]["in"], output_tokens=chunk["tokens"]["out"])
        self.result = RESULTS.get(chunk["why"], Result.UNKNOWN)
