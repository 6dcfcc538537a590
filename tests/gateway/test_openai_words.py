"""Parameters in OpenAI's words, and messages whose parts have an order, as each provider is told them."""

from __future__ import annotations

import json

import pytest

from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.types import Attachment, Conversation, Message, Model, Parameters

EXTRA = {"presence_penalty": 0.5, "top_k": 7, "reasoning_effort": "low", "user": "u1"}
WORDS = {
    "openai": ({"presence_penalty": 0.5, "top_k": 7, "reasoning_effort": "low", "user": "u1"}, set()),
    "deepseek": ({"presence_penalty": 0.5, "top_k": 7, "reasoning_effort": "low", "user": "u1"}, set()),
    "mistral": ({"presence_penalty": 0.5, "reasoning_effort": "low"}, {"top_k"}),
    "anthropic": ({"top_k": 7}, {"presence_penalty", "reasoning_effort"}),
    "cohere": ({"presence_penalty": 0.5, "k": 7}, {"reasoning_effort"}),
    "gemini": ({"presencePenalty": 0.5, "topK": 7}, {"reasoning_effort"}),
}
IMAGE = Attachment("image", media_type="image/png", data="aGk=")


def asked(name, **more):
    conversation = Conversation(Model("p", "m-1"), **{"messages": (Message("user", "Hi"),), **more})
    request = dialect(name).encode(conversation, "k")
    return json.loads(request.body), request.warnings


@pytest.mark.parametrize("name", WORDS)
def test_each_is_told_what_it_has_a_word_for_and_its_asker_what_was_left_out(name):
    body, warnings = asked(name, parameters=Parameters(extra=EXTRA))
    plain, none = asked(name)
    config = body.get("generationConfig", body)
    words, left = WORDS[name]
    assert {key: config[key] for key in words} == words
    assert {warning.split()[0] for warning in warnings} == left
    assert not none
    known = set(plain) | set(plain.get("generationConfig", {})) | {"generationConfig"} | set(words)
    assert set(body) | set(body.get("generationConfig", {})) <= known


@pytest.mark.parametrize("name", WORDS)
def test_parts_of_a_message_keep_their_order(name):
    message = Message("user", "Before.\n\nAfter.", (IMAGE,), parts=("Before.", IMAGE, "After."), name="ada")
    body, _ = asked(name, messages=(message,))
    sent = json.dumps(body)
    assert sent.index("Before.") < sent.index("aGk=") < sent.index("After.")
    assert sent.count("Before.") == sent.count("aGk=") == 1
    assert ('"ada"' in sent) == (name in ("openai", "deepseek"))
