"""Streams on OpenAI's wire, written and read."""

import json

from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.sse import Decoder

OPENAI = dialect("openai")


def chunk(finish=None, /, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def stream(*items):
    return "".join(f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n" for one in items).encode()


def decoded(raw, cut=None):
    lines, answer = Decoder(), OPENAI.decoder()
    pieces = [raw] if cut is None else [raw[:cut], raw[cut:]]
    events = [event for piece in pieces for one in lines.feed(piece) for event in answer.feed(one)]
    return [*events, *answer.end()]


def spoken(*items):
    """The events of a stream, which are the same wherever it is cut."""
    raw = stream(*items)
    whole = decoded(raw)
    assert all(decoded(raw, cut) == whole for cut in range(len(raw)))
    return whole
