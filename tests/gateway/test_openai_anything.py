"""Whatever comes on OpenAI's wire: any text is told unchanged, and no JSON makes anything but events or an error of ours."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.openai_kit import OPENAI, chunk, decoded, stream
from warp_magics.gateway.errors import ProviderError
from warp_magics.gateway.sse import Decoder
from warp_magics.gateway.types import Reasoning, Text

KEYS = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "content",
        "reasoning_content",
        "tool_calls",
        "function",
        "index",
        "id",
        "name",
        "arguments",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "error",
        "code",
        "type",
        "metadata",
        "refusal",
        "x_groq",
        "reasoning_details",
        "extra_content",
        "object",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 500) | st.floats(-1, 1) | st.sampled_from(["", "stop", "x"])
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
DELTA = st.fixed_dictionaries({}, optional=dict.fromkeys(["content", "tool_calls", "reasoning_details"], JSON))
CHOICES = st.lists(
    JSON | st.fixed_dictionaries({"delta": DELTA, "message": DELTA}, optional={"index": JSON}), max_size=2
)
CHUNK = st.dictionaries(KEYS, JSON, max_size=4) | st.fixed_dictionaries({"choices": CHOICES, "usage": JSON})


@given(CHUNK)
def test_no_json_whatever_makes_anything_but_events_or_a_provider_error(value):
    for decode in (
        lambda: decoded(stream(value, chunk("stop"), "[DONE]")),
        lambda: OPENAI.decode(json.dumps(value).encode()),
    ):
        try:
            events = decode()
        except ProviderError:
            continue
        assert all(isinstance(event.text, str) for event in events if isinstance(event, (Text, Reasoning)))
        used = events[-1].response.usage
        assert all(
            type(n) is int for n in (used.input_tokens, used.output_tokens, used.cached_tokens, used.reasoning_tokens)
        )


@given(st.lists(st.text(), min_size=1, max_size=6), st.lists(st.integers(0, 2000), max_size=6), st.booleans())
def test_any_text_comes_through_unchanged_in_any_pieces(texts, cuts, plain):
    items = [chunk(content=text) for text in texts]
    lines = [f"data: {json.dumps(item, ensure_ascii=not plain)}\n\n" for item in [*items, chunk("stop")]]
    raw = "".join(lines).encode()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    wire, answer = Decoder(), OPENAI.decoder()
    pieces = [raw[start:stop] for start, stop in pairwise(edges)]
    events = [event for piece in pieces for one in wire.feed(piece) for event in answer.feed(one)]
    assert [event.text for event in events] == [text for text in texts if text]
    assert answer.end()[-1].response.warnings == ()


@given(st.integers(300, 599), CHUNK | JSON)
def test_no_body_whatever_makes_anything_but_an_error_of_ours(status, value):
    error = OPENAI.error(status, {}, json.dumps(value).encode())
    assert isinstance(error, ProviderError)
    assert error.status == status
    assert error.message
