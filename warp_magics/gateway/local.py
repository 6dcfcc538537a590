"""LocalGateway: router, sessions, streams and store in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

from .base import Chances, Gateway
from .client import ModelClient
from .errors import InvalidRequest
from .router import HOW_TO_CONFIGURE, Router
from .sessions import Sessions, check_session_id
from .stores.memory import MemoryStore
from .streams import Streams
from .types import Ended, Failed, GatewayStatus, SessionKey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .config import StorageSettings, WarpConfig
    from .stores.base import Store
    from .types import ChatRequest, ChatResponse, Event, ModelState, Session, Turn

log = logging.getLogger("warp_magics.gateway")

_SEARCHED = 1000  # sessions looked through by a search


class LocalGateway(Gateway):
    """Belongs to the event loop it is first used on. ``version`` is what ``status`` tells.

    ``store``, ``chances``, ``wall`` and ``new_id`` are for tests; left out they are the configured store, the
    clock, chance and UUID4.
    """

    def __init__(
        self,
        config: WarpConfig,
        *,
        version: str = "",
        store: Store | None = None,
        chances: Chances | None = None,
        wall: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        chances = chances or Chances(time.monotonic, random.random)
        self.config = config
        self._version = version
        self._id = new_id()
        self._store = store or open_store(config.storage)
        self._client = ModelClient(config.providers)
        self._router = Router(config, self._client, self._store, MemoryStore(wall), chances)
        self._sessions = Sessions(config, self._store, chances, wall, new_id)
        self._streams = Streams(config, self._router, self._sessions, chances.clock)

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """See Gateway."""
        async with contextlib.aclosing(self._streams.stream(request)) as events:
            async for event in events:
                if isinstance(event, Ended):
                    return event.response
                if isinstance(event, Failed):
                    raise with_part(event)
        raise AssertionError("a stream ends with Ended or Failed")

    def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See Gateway."""
        return self._streams.stream(request)

    async def stop(self, owner: str, stream_id: str) -> bool:
        """See Gateway."""
        return await self._streams.stop(owner, stream_id)

    async def history(self, owner: str, session_id: str) -> tuple[Turn, ...]:
        """See Gateway."""
        return await self._store.turns(SessionKey(owner, check_session_id(session_id)))

    async def sessions(self, owner: str, *, search: str = "", limit: int = 50) -> list[Session]:
        """See Gateway."""
        if limit < 1:
            raise InvalidRequest("limit is at least 1.")
        found = await self._store.sessions(owner, _SEARCHED if search else limit)
        wanted = search.casefold()
        return [one for one in found if wanted in f"{one.key.id} {one.title}".casefold()][:limit]

    async def models(self) -> tuple[ModelState, ...]:
        """See Gateway."""
        return await self._router.states()

    async def status(self) -> GatewayStatus:
        """See Gateway."""
        storage = await self._store.describe()
        reasons = [] if storage["reachable"] else [f"storage: {storage.get('reason', 'unreachable')}"]
        reasons += [f"{m.model} is cooling" for m in await self.models() if m.in_chain and m.state == "cooling"]
        if not self.config.chain:
            reasons.append(HOW_TO_CONFIGURE)
        return GatewayStatus(
            gateway_id=self._id,
            version=self._version,
            configured=not self.config.demo,
            ok=not reasons,
            reasons=tuple(reasons),
            storage=storage,
            config_file=str(self.config.source) if self.config.source else None,
        )

    async def aclose(self) -> None:
        """See Gateway."""
        await self._streams.aclose()
        await self._sessions.aclose()
        await self._client.aclose()
        await self._store.aclose()


def open_store(storage: StorageSettings) -> Store:
    """Return the configured store; it connects when first used."""
    if storage.type == "memory":
        return MemoryStore()
    from .stores.valkey import ValkeyStore

    if storage.url is not None:
        url = storage.url.reveal()

        async def locate() -> str:
            return url

        return ValkeyStore(locate, prefix=storage.prefix)
    return _embedded_store(storage)


def _embedded_store(storage: StorageSettings) -> Store:
    from .stores.embedded import EmbeddedServer, find_server, places
    from .stores.valkey import ValkeyStore

    if find_server() is None:
        log.warning("no_embedded_server: conversations are kept in memory and end with this process")
        return MemoryStore()
    servers: list[EmbeddedServer] = []

    def socket() -> str:
        # Looked for anew at each connection: a folder that cannot be used is the store's trouble, not the
        # start's, and another process may meanwhile have started the server elsewhere.
        where = places()
        if not servers or servers[0].places != where:
            release()
            servers[:] = [EmbeddedServer(where, keep_running=storage.keep_running)]
        return servers[0].ensure()

    async def locate() -> str:
        return f"unix://{quote(await asyncio.to_thread(socket))}"

    def release() -> None:
        for server in servers:
            server.release()

    return ValkeyStore(locate, kind="embedded", prefix=storage.prefix, on_close=release)


def with_part(failed: Failed) -> Exception:
    """Return the error of a broken answer with the part that came, for callers that see no events."""
    error = failed.error
    details = getattr(error, "details", None)
    if details is not None and failed.response is not None:
        details["partial"] = failed.response.text
    return error
