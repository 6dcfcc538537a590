"""How long the gateway alone waits for a client that is slow: to say what it wants, and to take what it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from warp_magics.gateway import wire

from ..rest.bounds import LINGER_SECONDS, READER_SECONDS
from .asgi import LEFT
from .cors import SAFE_HEADERS

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable

HEAD_SECONDS: Final = 20.0
"""From a connection's first moment, and from a request's first byte, to the end of its headers."""


class Protocol(HttpToolsProtocol):
    """uvicorn's, which lets go of those who keep it waiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sender = _Timer()
        self._reader = _Timer()
        self._is_sending = False
        self._left = 0
        self._gone = self.loop.create_future()

    def connection_made(self, transport: Any) -> None:
        """Wait for headers from now on."""
        super().connection_made(transport)
        self._sender.set(HEAD_SECONDS, transport.abort, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more, and tell those who wait for that."""
        self._sender.cancel()
        self._reader.cancel()
        super().connection_lost(exc)
        self._gone.set_result(None)

    def on_message_begin(self) -> None:
        """Wait for the rest of the headers."""
        super().on_message_begin()
        self._is_sending = True
        self._sender.set(HEAD_SECONDS, self.transport.abort, self.loop)

    def on_headers_complete(self) -> None:
        """Leave the body to the application, which answers where it is too slow."""
        self._sender.cancel()
        self.scope[LEFT] = self._gone  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Know the whole request."""
        self._is_sending = False
        self._sender.cancel()
        super().on_message_complete()
        if not self.pipeline:  # uvicorn stops reading at a large body, and who does not read sees nobody leave
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Hang up soon on whoever still sends what is answered already."""
        super().on_response_complete()
        if self._is_sending:
            self._sender.set(LINGER_SECONDS, self.transport.close, self.loop)

    def pause_writing(self) -> None:
        """Wait for the reader."""
        self._left = self._to_be_taken()
        self._reader.set(READER_SECONDS, self._look, self.loop)
        super().pause_writing()

    def _to_be_taken(self) -> int:
        return self.transport.get_write_buffer_size()

    def _look(self) -> None:
        """Let go of a reader that has taken nothing since the last look; one that is only slow is waited for."""
        before, self._left = self._left, self._to_be_taken()
        if self._left < before:
            self._reader.set(READER_SECONDS, self._look, self.loop)
        else:
            self.transport.abort()

    def resume_writing(self) -> None:
        """Wait for the reader no more."""
        self._reader.cancel()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say it as every other error is said."""
        body = wire.json_bytes({"code": "BAD_REQUEST", "message": msg})
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **SAFE_HEADERS,
        }
        lines = ["HTTP/1.1 400 Bad Request", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.transport.write("\r\n".join(lines).encode() + body)
        self.transport.close()


class _Timer:
    """One thing that is to happen unless something else does before."""

    def __init__(self) -> None:
        self._handle: TimerHandle | None = None

    def set(self, seconds: float, act: Callable[[], None], loop: Any) -> None:
        self.cancel()
        self._handle = loop.call_later(seconds, act)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
