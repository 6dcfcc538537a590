"""Both servers of the gateway in the test's own process, with as many owners as one likes: `place = await open_place()`.

Each is asked over loopback, as any client asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from jupyter_server.auth import IdentityProvider, User
from traitlets.config import Config

from jupyter_server_ext.apart.asgi import Application
from jupyter_server_ext.apart.guards import FixedTokens
from jupyter_server_ext.apart.patience import Protocol
from jupyter_server_ext.apart.serve import listen
from jupyter_server_ext.rest.endpoints import Endpoints
from warp_magics import gateway as warp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from jupyter_server_ext.apart.cors import Cors

SECONDS = 20.0
OWNERS = 4000


class ByHeader(IdentityProvider):
    """Knows its users by a header, as a proxy's would."""

    def get_user(self, handler: Any) -> User | None:
        name = handler.request.headers.get("X-User")
        return User(name) if name else None

    def is_token_authenticated(self, handler: Any) -> bool:
        return True


@dataclass
class Place:
    """A server; `base` is the path of what is below `warp/`."""

    kind: str
    port: int
    base: str
    client: httpx.AsyncClient
    held: contextlib.AsyncExitStack = field(repr=False)

    def headers(self, owner: str | None) -> dict[str, str]:
        """What says who is asking; a stranger says nothing."""
        if owner is None:
            return {}
        return {"X-User": owner} if self.kind == "jupyter" else {"Authorization": f"Bearer token-of-{owner}"}

    async def ask(
        self,
        owner: str | None,
        verb: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask below `warp/`; the whole answer, also of a stream that ends."""
        sent = {"content": body} if isinstance(body, bytes) or body is None else {"json": body}
        more = {**self.headers(owner), **(headers or {})}
        url = f"http://127.0.0.1:{self.port}{self.base}{path}"
        return await self.client.request(verb, url, headers=more, params=query, **sent)  # type: ignore[arg-type]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which nothing has been said; closed at the test's end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.held.callback(writer.transport.abort)
        return reader, writer

    def head(self, owner: str | None, verb: str, path: str, *lines: str) -> bytes:
        """The first bytes of a request, as they go over the wire."""
        told = [f"{name}: {value}" for name, value in self.headers(owner).items()]
        host = f"Host: 127.0.0.1:{self.port}"
        return "\r\n".join([f"{verb} {self.base}{path} HTTP/1.1", host, *told, *lines, "", ""]).encode()


@pytest.fixture(params=["jupyter", "alone"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def owners() -> Config:
    """What a module's `jp_server_config` says for a Jupyter Server that has users."""
    server = {"jpserver_extensions": {"jupyter_server_ext": True}, "identity_provider_class": ByHeader}
    return Config({"ServerApp": server})


@pytest.fixture
def open_place(request: pytest.FixtureRequest, kind: str, configure: Any, jp_asyncio_loop: Any) -> Iterator[Any]:
    """`await open_place("ok", limits=…)`: the server with this configuration."""
    held = contextlib.AsyncExitStack()
    if kind == "jupyter":
        request.getfixturevalue("jp_serverapp")
        port = request.getfixturevalue("http_server_client").get_http_port()
        base = request.getfixturevalue("jp_base_url")

    async def open_it(*models: str, cors: Cors | None = None, body_seconds: float = 120.0, **more: Any) -> Place:
        path = configure(*models, **more)
        client = await held.enter_async_context(httpx.AsyncClient(timeout=SECONDS))
        if kind == "jupyter":
            return Place(kind, port, f"{base}warp/", client, held)
        config = warp.load_config(path=path, env={})
        listening = await held.enter_async_context(_served(config, cors, body_seconds))
        return Place(kind, listening, "/warp/", client, held)

    yield open_it
    jp_asyncio_loop.run_until_complete(held.aclose())


@contextlib.asynccontextmanager
async def _served(config: warp.WarpConfig, cors: Cors | None, body_seconds: float) -> AsyncGenerator[int, None]:
    @contextlib.asynccontextmanager
    async def opened() -> AsyncGenerator[Endpoints, None]:
        gateway = warp.LocalGateway(config, version="0")
        try:
            yield Endpoints(gateway, session_header="x-session-id", body_size=config.limits.body_size)
        finally:
            await gateway.aclose()

    names = ["ada", "bob", *(f"bob{number}" for number in range(OWNERS))]
    tokens = {f"token-of-{name}": name for name in names}
    app = Application(
        opened, FixedTokens(tokens), body_size=config.limits.body_size, cors=cors, body_seconds=body_seconds
    )
    server = uvicorn.Server(
        uvicorn.Config(app, http=Protocol, ws="none", lifespan="on", log_config=None, timeout_graceful_shutdown=5)
    )
    listening = listen("127.0.0.1", 0)
    task = asyncio.ensure_future(server._serve(sockets=[listening]))
    while not server.started:
        assert not task.done(), "it did not start"
        await asyncio.sleep(0.005)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await app.close()
        async with asyncio.timeout(SECONDS):
            await task
