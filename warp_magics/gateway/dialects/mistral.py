"""Mistral's own of the OpenAI format, which refuses fields and sequences that it does not know.

Source: https://docs.mistral.ai/api/ (``random_seed``; usage comes unasked), and what it answers otherwise:
"Tool call id was ... but must be a-z, A-Z, 0-9, with a length of 9"
(https://github.com/langchain-ai/langchain/pull/24668), "Unexpected role 'user' after role 'tool'"
(https://github.com/zed-industries/zed/pull/31736), "Unexpected role 'system' after role 'assistant'"
(https://github.com/swarmauri/swarmauri-sdk/issues/162).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .openai import OpenAI, systems_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Conversation

_EXTRAS: Final = ("frequency_penalty", "presence_penalty", "parallel_tool_calls", "prediction", "reasoning_effort")
_CALL_ID: Final = re.compile(r"[A-Za-z0-9]{9}")


class Mistral(OpenAI):
    """See the module's docstring."""

    def streaming(self) -> dict[str, Any]:
        """See OpenAI."""
        return {"stream": True}

    def sampling(self, conversation: Conversation) -> dict[str, Any]:
        """See OpenAI."""
        given = super().sampling(conversation)
        seed = given.pop("seed")
        return {**given, "random_seed": seed}

    def extras(self, conversation: Conversation) -> dict[str, Any]:
        """See OpenAI."""
        return {name: value for name, value in super().extras(conversation).items() if name in _EXTRAS}

    def messages(self, conversation: Conversation) -> Iterator[dict[str, Any]]:
        """See OpenAI; system texts stand at the head, and between a tool's result and the user the model has spoken."""
        after_tool = False
        headed = replace(conversation, messages=systems_first(conversation.messages))
        for one in super().messages(headed):
            if one["role"] == "assistant" and not (one["content"] or one.get("tool_calls")):
                continue  # it refuses one that holds nothing
            if after_tool and one["role"] == "user":
                yield {"role": "assistant", "content": "I have the result."}
            after_tool = one["role"] == "tool"
            one.pop("name", None)
            yield one

    def call_id(self, call_id: str) -> str:
        """See OpenAI."""
        return call_id if _CALL_ID.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:9]
