"""Runs the gateway alone on uvicorn, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import os
import signal
import socket
from typing import TYPE_CHECKING, Final

import uvicorn

from warp_magics import __version__
from warp_magics.gateway import LocalGateway, errors

from ..rest.endpoints import Endpoints
from ..rest.metrics import Metrics
from .asgi import BELOW, CLOSE_SECONDS, LAST_WORDS_SECONDS, Application
from .cors import Cors
from .patience import Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from warp_magics.gateway import WarpConfig

    from .guards import Guard

_KEEP_ALIVE_SECONDS: Final = 75  # longer than usual clients keep a connection that they may use again
_BACKLOG: Final = 2048
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at ``host``; ``port`` 0 picks one. Raises ConfigError where it cannot."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        listening = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        named = isinstance(error, socket.gaierror) or not error.errno  # else its text repeats the address
        why = error.strerror or str(error) if named else os.strerror(error.errno or 0)
        instead = ". Take another port; `jupyter warp --port 0` picks one" if error.errno == errno.EADDRINUSE else ""
        raise errors.ConfigError(f"Cannot listen at {host}:{port}: {why}{instead}.") from None
    # Connections inherit it. asyncio sets it only for sockets that name their protocol, which this one does not; without
    # it an answer's body waits until the client has acknowledged its headers: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url_of(listening: socket.socket, below: str = BELOW) -> str:
    """Return the gateway's base URL, whose path is ``below``, as this machine reaches it."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004
    return f"http://{f'[{address}]' if address.version == 6 else address}:{port}{below.rstrip('/')}"  # noqa: PLR2004


def is_loopback(listening: socket.socket) -> bool:
    """Return whether only this machine reaches the socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def serve(
    config: WarpConfig, guard: Guard, listening: socket.socket, when_ready: Callable[[], None], *, below: str = BELOW
) -> int:
    """Serve ``below`` a path until SIGINT or SIGTERM, and return the exit status; ``guard`` says who is let in.

    ``when_ready`` is called once requests are answered. One process, one event loop.
    """

    @contextlib.asynccontextmanager
    async def opened() -> AsyncGenerator[Endpoints, None]:
        with contextlib.closing(Metrics(map(str, config.described))) as counts:  # first: opening tells of troubles, too
            gateway = LocalGateway(config, version=__version__)
            try:
                yield Endpoints(
                    gateway, session_header=config.session_header, body_size=config.limits.body_size, counts=counts
                )
            finally:
                await gateway.aclose()

    cors = Cors(config.server.cors_origins, config.session_header)
    application = Application(opened, guard, body_size=config.limits.body_size, below=below, cors=cors)
    server = _Server(application, when_ready)
    gc.freeze()  # what is loaded by now stays, and need not be looked through again while answers are made
    try:
        server.run(sockets=[listening])
    except SystemExit:  # uvicorn's way to say that the start failed; why has been logged
        return 1
    return 0


class _Server(uvicorn.Server):
    def __init__(self, application: Application, when_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=Protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=int(CLOSE_SECONDS + 2 * LAST_WORDS_SECONDS) + 1,
            )
        )
        self._application = application
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for its connections first: the answers must end now, so that their readers see it.
        closing = asyncio.ensure_future(self._application.close())
        await super().shutdown(sockets)
        if not self.force_exit:
            await closing

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn raises a signal once more when it has obeyed it, and the exit status would be the signal's.
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
