"""What of a client's messages its session has already: clients of the OpenAI format send a conversation anew each time.

Decisions only; the turns are the session's, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warp_magics.gateway import Exchange, Message, errors, heard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warp_magics.gateway import Turn

_EXPLAINED = (
    "With a session, messages are system messages and one user message, or results of the tools that its last turn called. "
    "Messages before those may be sent along where the session has them word for word, or has none yet; these are others. "
    "Leave them out, or leave out the header {header} for a call that no session keeps."
)
_ANSWERED = ("complete", "stopped")


@dataclass(frozen=True, slots=True)
class News:
    """What is new to a session.

    ``asked`` is the user's message, ``context`` what the system messages say (None: there is none). ``before`` was said
    before the session began. ``replaced`` is the turn whose place the new one takes, with those behind it: its client has
    not seen an answer there.
    """

    context: str | None
    asked: Message
    before: tuple[Exchange, ...] = ()
    replaced: Turn | None = None


def news(messages: Sequence[Message], turns: Sequence[Turn], header: str) -> News:
    """Return what of ``messages`` a session of ``turns`` has not; ``header`` is the one that named it.

    Raises InvalidRequest where other words than the session's are sent along, and where the last is not the user's.
    """
    context = "\n\n".join(message.text for message in messages if message.role == "system") or None
    spoken = [message for message in messages if message.role != "system"]
    if not spoken or spoken[-1].role != "user":
        raise errors.InvalidRequest("The last message is to be the user's, or a tool's result.")
    *earlier, asked = spoken
    if not earlier:
        return News(context, asked)
    for known, unseen in _lines(turns):
        older = _older(earlier, known)
        if older is not None:
            return News(context, asked, older, unseen)
    raise errors.InvalidRequest(_EXPLAINED.format(header=header))


def again(mark: str, turns: Sequence[Turn]) -> Turn | None:
    """Return the turn that is asked for again: the last one, where it was asked for with the same words (``mark``)."""
    return turns[-1] if turns and turns[-1].id.startswith(mark) else None


def is_answered(turn: Turn) -> bool:
    """Return whether ``turn`` has an answer that may be told again."""
    return turn.status in _ANSWERED


def _lines(turns: Sequence[Turn]) -> list[tuple[list[Turn], Turn | None]]:
    """Return the turns as a client may know them, and the first that it does not: those that broke off at the end.

    Who was told of an error has no answer there to send along.
    """
    end = len(turns)
    while end and not is_answered(turns[end - 1]):
        end -= 1
    whole = (heard(turns), None)
    return [whole] if end == len(turns) else [whole, (heard(turns[:end]), turns[end])]


def _older(earlier: Sequence[Message], turns: Sequence[Turn]) -> tuple[Exchange, ...] | None:
    """Return what ``earlier`` has before ``turns`` begin; None where the two do not agree on what both have."""
    told = [_messages(turn) for turn in turns]
    said = [(ask, answer) for ask, answer in zip(earlier[::2], earlier[1::2], strict=False)]
    if len(earlier) % 2 or any((ask.role, answer.role) != ("user", "assistant") for ask, answer in said):
        return None
    both = min(len(said), len(told))
    for at in range(1, both + 1):
        if not _agree(said[-at], told[-at], last=at == 1):
            return None
    return tuple(_exchange(*pair) for pair in said[: len(said) - both])


def _agree(said: tuple[Message, Message], told: tuple[Message, Message], *, last: bool) -> bool:
    """Return whether a client and a session mean the same turn; of the last, one that was left has the beginning alone."""
    if _gist(said[0]) != _gist(told[0]):
        return False
    begun = last and said[1].text.strip() and not said[1].tool_calls and told[1].text.startswith(said[1].text.rstrip())
    return bool(begun) or _gist(said[1]) == _gist(told[1])


def _messages(turn: Turn) -> tuple[Message, Message]:
    asked = Message("user", turn.prompt, tool_results=turn.tool_results)
    return asked, Message("assistant", turn.response, tool_calls=turn.tool_calls)


def _gist(message: Message) -> tuple[object, ...]:
    """Return what of a message is the same however it is written down."""
    calls = [call.id for call in message.tool_calls]
    return message.role, message.text.strip(), calls, {one.id: one.content for one in message.tool_results}


def _exchange(asked: Message, answer: Message) -> Exchange:
    return Exchange(asked.text, answer.text, asked.images, answer.tool_calls, asked.tool_results)
