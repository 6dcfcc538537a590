"""Server-sent events, decoded from and encoded to bytes, without I/O.

Follows the HTML standard's "Server-sent events" (https://html.spec.whatwg.org/multipage/server-sent-events.html):
lines end with LF, CRLF or CR, wherever the network cut the stream; an event without its blank line is dropped.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_END_OF_LINE: Final = re.compile(rb"\r\n|\n|\r")
_BREAK: Final = re.compile(r"\r\n|\n|\r")
_NO_LINE: Final = re.compile(r"[\r\n\0]")
_BOM: Final = b"\xef\xbb\xbf"
MAX_PENDING: Final = 16 * 1024 * 1024
"""Bytes an unfinished line or event may have: a sender that never ends one must not fill the memory."""


class ServerSentEvent(NamedTuple):
    """One event as dispatched: ``event`` is empty where the sender named none, ``id`` is the last one seen."""

    data: str
    event: str = ""
    id: str = ""


class Decoder:
    """Bytes in, events out; state is one partial line and one partial event.

    ``feed`` takes any cut of the stream and returns the events that it completes. Raises ValueError when a
    line or an event grows past MAX_PENDING.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._skip_lf = False
        self._at_start = True
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that ``chunk`` completes, in order."""
        if self._skip_lf and chunk:
            # The CR before was taken as the end of a line at once; its LF may only come now.
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        if not chunk:
            return []
        self._skip_lf = chunk.endswith(b"\r")
        whole = self._rest + chunk
        if self._at_start and len(whole) >= len(_BOM):
            whole = whole.removeprefix(_BOM)
            self._at_start = False
        if not (self._data or self._event or self._at_start or b"\r" in whole):
            return self._blocks(whole)
        return self._lines(whole)

    def _blocks(self, whole: bytes) -> list[ServerSentEvent]:
        """Return what ``_lines`` does: events of one data line each, as almost all are, are cut out in one go."""
        blocks, end, rest = whole.rpartition(b"\n\n")
        events: list[ServerSentEvent] = []
        for block in blocks.decode("utf-8", "replace").split("\n\n") if end else ():
            if block.startswith("data: ") and "\n" not in block and len(block) < MAX_PENDING:
                events.append(ServerSentEvent(block[6:], "", self._id))
            else:
                events += self._lines(block.encode() + b"\n\n")
        return events + self._lines(rest)

    def _lines(self, whole: bytes) -> list[ServerSentEvent]:
        *lines, self._rest = _END_OF_LINE.split(whole) if b"\r" in whole else whole.split(b"\n")
        if len(self._rest) > MAX_PENDING:
            raise ValueError("a line of the event stream is too long")
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if not line:
            return self._dispatch() if self._data or self._event else None
        if line.startswith(b"data: "):  # as almost always
            self._add(line[6:].decode("utf-8", "replace"))
            return None
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._add(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _add(self, value: str) -> None:
        self._size += len(value)
        if self._size > MAX_PENDING:
            raise ValueError("an event of the event stream is too long")
        self._data.append(value)

    def _dispatch(self) -> ServerSentEvent | None:
        data, event = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        if not data:
            return None
        return ServerSentEvent(data[0] if len(data) == 1 else "\n".join(data), event, self._id)


def encode(data: str, *, event: str = "", id: str = "") -> bytes:  # noqa: A002 - the field's name in the standard
    """Return one event; a line break in ``data`` begins another data line.

    Raises ValueError where ``event`` or ``id`` holds a line break or NUL: they would end the field.
    """
    return _head(event, id) + "".join(f"data: {line}\n" for line in _BREAK.split(data)).encode() + b"\n"


def encode_line(data: bytes, *, event: str = "", id: str = "") -> bytes:  # noqa: A002
    """Return one event whose data has no line break, as JSON has none; raises as ``encode``."""
    return b"%bdata: %b\n\n" % (_head(event, id), data)


def _head(event: str, id: str) -> bytes:  # noqa: A002
    if _NO_LINE.search(event + id):
        raise ValueError("an event's name and id are one line each")
    return ((f"event: {event}\n" if event else "") + (f"id: {id}\n" if id else "")).encode()


def comment(text: str) -> bytes:
    """Return a comment, which keeps a silent connection open and is no event."""
    return f": {text}\n\n".encode()
