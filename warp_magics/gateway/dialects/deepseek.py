"""DeepSeek's own of the OpenAI format.

Source: https://api-docs.deepseek.com/guides/thinking_mode (``reasoning_content`` goes back with the calls it led to)
and https://api-docs.deepseek.com/guides/json_mode (JSON, but of no schema).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .openai import OpenAI
from .openai_stream import Decoder
from .reading import read_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..types import Conversation, Event
    from .base import StreamDecoder

# A conversation in which tools were called is refused where an answer comes without the thoughts behind it; those of
# answers without calls are not kept, and another provider's calls have none. Empty ones are refused too:
# https://github.com/NousResearch/hermes-agent/pull/17341
_NO_THOUGHTS: Final = " "


class DeepSeek(OpenAI):
    """See the module's docstring."""

    schemas = False

    def messages(self, conversation: Conversation) -> Iterator[dict[str, Any]]:
        """See OpenAI."""
        called = any(message.tool_calls for message in conversation.messages)
        for one in super().messages(conversation):
            if called and one["role"] == "assistant":
                one.setdefault("reasoning_content", _NO_THOUGHTS)
            yield one

    def decoder(self) -> StreamDecoder:
        """See Dialect."""
        return Decoder(keeps_thoughts=True)

    def decode(self, body: bytes) -> Sequence[Event]:
        """See Dialect."""
        return read_whole(Decoder(whole=True, keeps_thoughts=True), body)
