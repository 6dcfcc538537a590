"""A request's body as it arrives at Tornado: kept as far as it may go, and read past where its request was refused.

And what else is to be said to the connection itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from tornado.iostream import StreamClosedError

from ..rest.bounds import BODY_SECONDS, LINGER_SECONDS, too_large
from ..rest.messages import error_response

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest

    from ..rest.messages import Response

_PIECE: Final = 65536
_LAST_CHUNK: Final = b"0\r\n\r\n"


def has_body(request: HTTPServerRequest) -> bool:
    """Return whether a body follows the headers."""
    return _declared(request) != 0 or "Transfer-Encoding" in request.headers


def _declared(request: HTTPServerRequest) -> int:
    """Return the length that the request says its body has; what is no number Tornado refuses itself."""
    said = request.headers.get("Content-Length", "0").partition(",")[0].strip()
    return int(said) if said.isascii() and said.isdecimal() else 0


class Body:
    """What has come of a body of at most ``size`` bytes; with None it is let pass and nothing of it is kept."""

    def __init__(self, request: HTTPServerRequest, size: int | None) -> None:
        self._size = size
        self._kept = bytearray()
        self._length = 0 if size is None else _declared(request)
        connection: Any = request.connection
        # Tornado's own time-out for a body costs as much as all else of ours that looks at it.
        loop = asyncio.get_running_loop()
        # In no context of Jupyter's, which has the handler: the loop keeps even what is cancelled for a while.
        self._timer = loop.call_later(BODY_SECONDS, connection.stream.close, context=Context())
        if size is not None:
            connection.set_max_body_size(sys.maxsize)  # it is refused here, and told in our JSON

    def has_come(self) -> None:
        """Wait for no more of it."""
        self._timer.cancel()

    @property
    def data(self) -> bytes:
        """All that was kept."""
        return bytes(self._kept)

    @property
    def is_too_large(self) -> bool:
        """Whether it is over the limit, as far as it has come or as its length was said beforehand."""
        return self._size is not None and max(self._length, len(self._kept)) > self._size

    def add(self, chunk: bytes) -> None:
        """Keep what has come."""
        if self._size is not None:
            self._kept += chunk

    def refusal(self) -> Response:
        """Return what its sender is told."""
        self._kept.clear()
        return error_response(too_large(self._size or 0))


async def hang_up(request: HTTPServerRequest) -> None:
    """Close the connection of a request that is answered: a sender that is cut off at once may not see the answer."""
    connection: Any = request.connection
    left = _declared(request)
    tail = b""
    with contextlib.suppress(StreamClosedError, TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0 or "Transfer-Encoding" in request.headers:
                piece = await connection.stream.read_bytes(_PIECE, partial=True)
                left -= len(piece)
                tail = (tail + piece)[-len(_LAST_CHUNK) :]
                if tail == _LAST_CHUNK:
                    break
    connection.close()


def at_once(request: HTTPServerRequest) -> None:
    """Have what is written go out at once: a first word would wait 40 ms for the reader's word that it has the headers."""
    connection: Any = request.connection
    connection.stream.set_nodelay(True)


def close(request: HTTPServerRequest) -> None:
    """Close the connection of a request at once, whatever its reader has not taken yet."""
    connection: Any = request.connection
    connection.close()
