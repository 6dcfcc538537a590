"""What a model is sent: a session's turns and a prompt as messages, as much of them as fits. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from .errors import InvalidRequest
from .types import Exchange, Form, Message, Result, ToolResult, Turn, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .types import Attachment, Call, ChatRequest, Model

_CHARS_PER_TOKEN: Final = 4
_TOKENS_PER_MESSAGE: Final = 4
_TOKENS_PER_IMAGE: Final = 1000
ROOM_FOR_ANSWER: Final = 1024
"""Tokens kept free for an answer whose length nobody limited."""
_NO_RESULT: Final = "The tool was not run."
_NO_FORM: Final = Form()
_CLOSING: Final = re.compile(r"<(?=\s*/\s*attachment)", re.IGNORECASE)
_IN_NAMES: Final = str.maketrans({'"': "&quot;", "<": "&lt;", ">": "&gt;"})


def tokens(text: str) -> int:
    """Return about how many tokens ``text`` has; a guess on the safe side for English."""
    return len(text) // _CHARS_PER_TOKEN + _TOKENS_PER_MESSAGE


class Sent(NamedTuple):
    """What a model is sent: ``messages`` of about ``tokens``, ``turns`` among them; so many turns more are ``left_out``."""

    messages: tuple[Message, ...]
    turns: int
    left_out: int
    tokens: int


def conversation(request: ChatRequest, turns: Sequence[Turn], model: Model, budget: int | None) -> Sent:
    """Return what ``model`` is sent.

    ``turns`` are oldest first; the newest that fit ``budget`` tokens go along (None: all). A turn with neither text
    nor calls in its answer is only shown to people: an empty reply poisons what comes after. Raises InvalidRequest
    where the prompt answers calls that the last turn has not. ``request.messages`` are sent as they are.
    """
    if request.messages:
        messages = tuple(_returned(message, model.provider) for message in request.messages)
        return Sent(messages, 0, 0, sum(map(_weight, messages)))
    head = [Message("system", request.context)] if request.context else []
    asked = _asked(request.prompt, request.attachments, request.tool_results)
    told = heard(turns)
    check_results(request, turns)
    own = sum(map(_weight, (*head, asked)))
    left = None if budget is None else budget - own
    kept, used = _newest(told, left, at_least=1 if request.tool_results else 0)
    messages = (*head, *_messages(kept, asked, model.provider))
    return Sent(messages, len(kept), len(told) - len(kept), own + used)


def expected(sent: int, max_tokens: int | None, form: Form = _NO_FORM) -> Usage:
    """Return about what a prompt of ``sent`` tokens will use, with the tools and the schema of ``form``."""
    told = [json.dumps(part, default=str) for part in (form.schema, *map(asdict, form.tools)) if part]
    return Usage(sent + sum(map(tokens, told)), max_tokens or ROOM_FOR_ANSWER)


def newer_half(turns: Sequence[Turn], sent: int, *, at_least: int) -> tuple[Turn, ...] | None:
    """Return the newer half of the ``sent`` newest turns that a model was told and found too long; None for none.

    A turn that answers calls stays with the one that made them; ``at_least`` so many of such groups stay.
    """
    told = heard(turns)
    groups = list(_groups(told[len(told) - sent :]))
    kept = max(len(groups) // 2, at_least)
    return tuple(turn for group in reversed(groups[:kept]) for turn in group) if kept < len(groups) else None


def told(history: Sequence[Exchange]) -> tuple[Turn, ...]:
    """Return the turns that a request brings along itself."""
    return tuple(
        Turn(
            "",
            n,
            one.prompt,
            one.response,
            "complete",
            Result.COMPLETE,
            one.model,
            0.0,
            0.0,
            tool_calls=one.tool_calls,
            attachments=one.attachments,
            tool_results=one.tool_results,
        )
        for n, one in enumerate(history, start=1)
    )


def heard(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns that a model is told of."""
    return [turn for turn in turns if (turn.response or turn.tool_calls) and turn.status != "failed"]


def history_of(turns: Sequence[Turn]) -> tuple[Exchange, ...]:
    """Return ``turns`` as a request brings them along itself: those that a model is told of."""
    return tuple(
        Exchange(one.prompt, one.response, one.attachments, one.tool_calls, one.tool_results, one.model)
        for one in heard(turns)
    )


def _groups(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield ``turns`` from the newest on, each with those behind it that answer its calls."""
    group: list[Turn] = []
    for turn in reversed(turns):
        group.insert(0, turn)
        if not turn.tool_results:
            yield group
            group = []
    if group:
        yield group


def check_results(request: ChatRequest, turns: Sequence[Turn]) -> None:
    """Refuse the result of a call that the last of ``turns`` has not made; raises InvalidRequest."""
    if not request.tool_results:
        return
    last = heard(turns)[-1:]
    known = [call.id for turn in last for call in turn.tool_calls]
    strange = [result.id for result in request.tool_results if result.id not in known]
    if strange:
        asked = f"it called {', '.join(known)}" if known else "it called none"
        raise InvalidRequest(f"toolResults: the session's last turn made no call {strange[0][:100]!r}; {asked}.")


def _newest(turns: Sequence[Turn], budget: int | None, at_least: int) -> tuple[list[Turn], int]:
    """Return the newest turns that fit, and their tokens; one that answers the calls of the one before goes with that."""
    kept: list[list[Turn]] = []
    used = 0
    for group in _groups(turns):
        more = sum([_in_words(turn)[2] for turn in group])
        if budget is not None and used + more > budget and len(kept) >= at_least:
            break
        kept.append(group)
        used += more
    return [turn for group in reversed(kept) for turn in group], used


def _messages(turns: Sequence[Turn], asked: Message, provider: str) -> list[Message]:
    messages: list[Message] = []
    calls: list[tuple[str, Call]] = []
    taken: set[str] = set()
    for turn in turns:
        prompt, reply, _ = _in_words(turn)
        if not turn.tool_calls and not calls and not turn.tool_results:  # as almost always
            messages += prompt, reply
            continue
        said = _reply(turn, provider)
        messages.append(_answering(prompt, calls))
        calls = [(call.id, _renamed(call, taken)) for call in said.tool_calls]
        messages.append(replace(said, tool_calls=tuple(call for _, call in calls)) if calls else said)
    return [*messages, _answering(asked, calls)]


def _renamed(call: Call, taken: set[str]) -> Call:
    """Return ``call`` under an id that no call before it has: providers that give none leave us to count anew."""
    call_id, tries = call.id, 1
    while call_id in taken:
        tries += 1
        call_id = f"{call.id}_{tries}"
    taken.add(call_id)
    return replace(call, id=call_id)


def _answering(message: Message, calls: Sequence[tuple[str, Call]]) -> Message:
    """Return ``message`` with a result for each of the ``calls`` before it, by the ids they had: none stays unanswered."""
    if not calls and not message.tool_results:
        return message
    given = {result.id: result for result in message.tool_results}
    none = ToolResult("", _NO_RESULT, is_error=True)
    results = tuple(replace(given.get(was, none), id=call.id, name=call.name) for was, call in calls)
    return replace(message, tool_results=results)


def _in_words(turn: Turn) -> tuple[Message, Message, int]:
    """Return a turn's prompt, its reply to any provider, and about how many tokens they have.

    A long session is put into words anew for each of its prompts, and its turns stay the same.
    """
    try:
        return turn.in_words
    except AttributeError:  # not put into words yet
        asked, said = _asked(turn.prompt, turn.attachments, turn.tool_results), _reply(turn, "")
        words = asked, said, _weight(asked) + _weight(said)
        object.__setattr__(turn, "in_words", words)
        return words


def _asked(prompt: str, attachments: Sequence[Attachment], results: tuple[ToolResult, ...]) -> Message:
    """Return the user's message: what is text of the attachments stands before the prompt, the images go beside it."""
    texts = [_framed(one) for one in attachments if one.kind == "text"]
    images = tuple(one for one in attachments if one.kind == "image")
    text = "\n\n".join([*texts, prompt]) if prompt else "\n\n".join(texts)
    return Message("user", text, images=images, tool_results=results)


def _framed(one: Attachment) -> str:
    """Return an attached text in its frame, which nothing in it can close."""
    name = " ".join(one.name.splitlines()).translate(_IN_NAMES)
    return f'<attachment name="{name}">\n{_CLOSING.sub("&lt;", one.text)}\n</attachment>'


def _reply(turn: Turn, provider: str) -> Message:
    """Return the assistant's message; what a provider left in its calls goes back to it alone."""
    own = turn.model is not None and turn.model.partition(":")[0] == provider
    calls = turn.tool_calls if own or not turn.tool_calls else tuple(replace(one, extra={}) for one in turn.tool_calls)
    return Message("assistant", turn.response, tool_calls=calls)


def _returned(message: Message, provider: str) -> Message:
    """Return a message that its asker kept: what its provider wants back with its calls goes to no other."""
    if not message.tool_calls or message.provider == provider:
        return message
    return replace(message, tool_calls=tuple(replace(call, extra={}) for call in message.tool_calls))


def _weight(message: Message) -> int:
    """Return about how many tokens ``message`` has."""
    said = [message.text, *(call.arguments for call in message.tool_calls)]
    said += [result.content for result in message.tool_results]
    return sum(map(tokens, said)) + _TOKENS_PER_IMAGE * len(message.images)
