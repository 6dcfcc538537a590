"""What a dialect is: a provider's wire format as pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from ..errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..errors import ProviderError
    from ..sse import ServerSentEvent
    from ..types import Attachment, Call, Conversation, Event, Message, Parameters

_LEAST: Final = 4096  # bytes of memory, however few the text has
_HINTS: Final = ("user", "metadata", "store", "service_tier", "prompt_cache_key", "safety_identifier", "prediction")
"""Parameters that change no answer: nobody misses them where they are left out."""


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A POST to ``base_url + path``. ``repr`` leaves the headers out: they hold the key.

    ``warnings`` tell what of the conversation this wire has no word for.
    """

    path: str
    body: bytes
    headers: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"WireRequest({self.path!r}, {len(self.body)} bytes)"

    @classmethod
    def of(
        cls,
        path: str,
        body: Mapping[str, Any],
        conversation: Conversation,
        *,
        headers: Mapping[str, str],
        warnings: Sequence[str] = (),
    ) -> WireRequest:
        """Return the request with ``body`` as JSON: what is None left out, ``conversation.body`` merged in.

        Raises InvalidRequest for what is no JSON, as a seed of more than 64 bits.
        """
        given = {name: value for name, value in body.items() if value is not None}
        try:
            written = dumped(_merged(given, conversation.body))
        except TypeError as error:
            raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from None
        accept = "text/event-stream" if conversation.stream else "application/json"
        return cls(
            path,
            written,
            {"content-type": "application/json", "accept": accept, **headers},
            tuple(warnings),
        )


def dumped(value: object) -> bytes:
    """Return ``value`` as JSON that is kept for a while: what orjson gives takes 4 KiB at least. Raises TypeError."""
    data = orjson.dumps(value)
    return bytes(memoryview(data)) if len(data) < _LEAST else data


class StreamDecoder(Protocol):
    """The state of one streamed answer."""

    @property
    def pieces(self) -> int:
        """How many pieces have come that are no event by themselves, as those of a tool call: a sign of life."""

    @property
    def done(self) -> bool:
        """True once the sender's end marker has come: nothing more need be read."""

    @property
    def finished(self) -> bool:
        """True once the answer is known to be whole, though its sender may have a word about it to add."""

    def feed(self, event: ServerSentEvent) -> Sequence[Event]:
        """Return what the event says; raises ProviderError where it reports one."""

    def end(self) -> Sequence[Event]:
        """Return the last events, an Ended at their end; raises StreamBroken where the answer is cut."""


class Dialect(Protocol):
    """A wire format. Holds no state: ``decoder()`` gives a fresh one for each answer."""

    def encode(self, conversation: Conversation, key: str | None) -> WireRequest:
        """Return the request for an answer: streamed, or in one piece where ``conversation.stream`` is False."""

    def decoder(self) -> StreamDecoder:
        """Return the decoder of one streamed answer."""

    def decode(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole, an Ended at their end; raises ProviderError."""

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Return what an answer with this status (not 2xx) means. Header names are lower-case."""


def _merged(body: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``body`` with ``more`` laid over it, tables into tables."""
    merged = dict(body)
    for name, value in more.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def with_schema(messages: Sequence[Message], schema: Mapping[str, object] | None) -> str | None:
    """Return the system text of ``messages``, and the wish for JSON of ``schema`` after it; None for neither."""
    texts = [message.text for message in messages if message.role == "system" and message.text.strip()]
    if schema is not None:
        wanted = orjson.dumps(schema).decode()
        texts.append(f"Answer with one JSON value of this JSON Schema and with nothing else:\n{wanted}")
    return "\n\n".join(texts) or None


def arguments_of(call: Call) -> dict[str, Any]:
    """Return a call's arguments as the object they are on some wires; a text that is none becomes an empty one."""
    try:
        value = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def is_said(part: str | Attachment) -> bool:
    """Return whether a part of a message holds anything: most providers refuse a text of white space."""
    return not isinstance(part, str) or bool(part.strip())


def unsaid(given: Parameters, *known: str) -> dict[str, object]:
    """Return the parameters in OpenAI's words but those ``known``, for ``left_out``."""
    return {name: value for name, value in given.extra.items() if name not in (*known, *_HINTS)}


def left_out(names: Mapping[str, object], dialect: str) -> list[str]:
    """Return a warning for each of ``names`` that was given and that ``dialect`` has no word for."""
    return [
        f"{name} was left out: {dialect} has no such setting"
        for name, value in names.items()
        if value not in (None, ())
    ]
