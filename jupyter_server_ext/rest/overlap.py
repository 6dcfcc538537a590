"""What of a client's messages its session has already: clients of the OpenAI format send a conversation anew each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warp_magics.gateway import Message, errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warp_magics.gateway import Turn

_EXPLAINED = (
    "With a session, messages are system messages and one user message, or results of the tools that its last turn called. "
    "Messages before those may be sent along if they are the session's last ones, word for word; these are not. "
    "Leave them out, or leave out the header {header} for a call that no session keeps."
)


def news(messages: Sequence[Message], turns: Sequence[Turn], header: str) -> tuple[str | None, Message]:
    """Return what the system messages say (None: there is none), and the user's message that is new to the session.

    ``turns`` are the session's, oldest first; ``header`` is the one that named it. Raises InvalidRequest where other
    messages than its last ones are sent along, and where the last is not the user's.
    """
    systems = [message.text for message in messages if message.role == "system"]
    spoken = [message for message in messages if message.role != "system"]
    if not spoken or spoken[-1].role != "user":
        raise errors.InvalidRequest("The last message is to be the user's, or a tool's result.")
    before, asked = spoken[:-1], spoken[-1]
    kept = [turn for turn in turns if (turn.response or turn.tool_calls) and turn.status != "failed"]
    told = [message for turn in kept[len(kept) - len(before) // 2 :] for message in _messages(turn)]
    if before and (len(before) > len(told) or list(map(_gist, before)) != list(map(_gist, told))):
        raise errors.InvalidRequest(_EXPLAINED.format(header=header))
    return "\n\n".join(systems) or None, asked


def _messages(turn: Turn) -> tuple[Message, Message]:
    asked = Message("user", turn.prompt, tool_results=turn.tool_results)
    return asked, Message("assistant", turn.response, tool_calls=turn.tool_calls)


def _gist(message: Message) -> tuple[object, ...]:
    """Return what of a message is the same however it is written down."""
    calls = [call.id for call in message.tool_calls]
    return message.role, message.text.strip(), calls, {one.id: one.content for one in message.tool_results}
