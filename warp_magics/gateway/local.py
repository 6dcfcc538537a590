"""LocalGateway: router, sessions, streams and store in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from .base import Chances, Gateway, whole
from .cache import Cache
from .client import ModelClient
from .errors import InvalidRequest
from .health import Health
from .orphans import Orphans
from .previews import Previews
from .prices import Prices
from .router import HOW_TO_CONFIGURE, Router
from .sessions import Sessions
from .signals import tell
from .stores.memory import MemoryStore
from .streams import Streams
from .tails import Tails
from .turns import Turns, lives
from .types import GatewayStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from .config import StorageSettings, WarpConfig
    from .stores.base import Store
    from .types import (
        ChatRequest,
        ChatResponse,
        Event,
        ModelState,
        Page,
        Preview,
        Session,
        SessionEvent,
        Turn,
        UsageRow,
    )

log = logging.getLogger("warp_magics.gateway")


class LocalGateway(Gateway):
    """Belongs to the event loop it is first used on. ``version`` is what ``status`` tells.

    ``store`` and ``chances`` are for tests; left out they are the configured store, and time and chance as they are.
    """

    def __init__(
        self,
        config: WarpConfig,
        *,
        version: str = "",
        store: Store | None = None,
        chances: Chances | None = None,
    ) -> None:
        chances = chances or Chances()
        self.config = config
        self._version = version
        self._id = chances.new_id()
        self._store = store = store or open_store(config.storage)
        self.warnings = (*config.warnings, *store.warnings)
        """What the user is to be told once, when he first uses it."""
        self._client = ModelClient(config.providers)
        self._prices = Prices(config.providers)
        self._health = Health(config, store, MemoryStore(chances.wall), self._prices)
        self._router = Router(config, self._client, self._health, chances)
        self._cache = Cache(config, self._router, store, chances)
        self._orphans = Orphans(store, chances, lives(config))
        self._turns = Turns(config, store, self._orphans, chances, self._id)
        self._tails = Tails(store, self._orphans)
        self._streams = Streams(
            config,
            self._cache,
            turns=self._turns,
            tails=self._tails,
            store=store,
            prices=self._prices,
            clock=chances.clock,
        )
        self._previews = Previews(self._router, store, self._prices)
        self._sessions = Sessions(config, store, self._orphans, chances, self._streams.stop)

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """See Gateway."""
        return await whole(self.stream(replace(request, on_break=request.on_break or "restart")))

    def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See Gateway."""
        return self._streams.stream(request)

    async def preview(self, request: ChatRequest) -> Preview:
        """See Gateway."""
        return await self._previews.preview(request)

    def follow(self, owner: str, stream_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """See Gateway."""
        return self._streams.follow(owner, stream_id, after)

    async def stop(self, owner: str, stream_id: str) -> bool:
        """See Gateway."""
        return await self._streams.stop(owner, stream_id)

    def watch(self, owner: str, session_id: str, after: str | None = None) -> AsyncGenerator[SessionEvent, None]:
        """See Gateway."""
        return self._sessions.watch(owner, session_id, after)

    async def create(
        self,
        owner: str,
        session_id: str | None = None,
        *,
        title: str = "",
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Gateway."""
        return await self._sessions.create(owner, session_id, title=title, ttl=ttl, metadata=metadata)

    async def session(self, owner: str, session_id: str) -> Session:
        """See Gateway."""
        return await self._sessions.session(owner, session_id)

    async def sessions(self, owner: str, *, search: str = "", limit: int = 50, cursor: str | None = None) -> Page:
        """See Gateway."""
        return await self._sessions.sessions(owner, search=search, limit=limit, cursor=cursor)

    async def update(
        self,
        owner: str,
        session_id: str,
        *,
        title: str | None = None,
        ttl: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Session:
        """See Gateway."""
        return await self._sessions.update(owner, session_id, title=title, ttl=ttl, metadata=metadata)

    async def delete(self, owner: str, session_id: str) -> None:
        """See Gateway."""
        await self._sessions.delete(owner, session_id)

    async def history(self, owner: str, session_id: str, branch: int | None = None) -> tuple[Turn, ...]:
        """See Gateway."""
        return await self._sessions.history(owner, session_id, branch)

    async def fork(self, owner: str, session_id: str, *, at: str | None = None, new_id: str | None = None) -> Session:
        """See Gateway."""
        return await self._sessions.fork(owner, session_id, at=at, new_id=new_id)

    async def rewind(self, owner: str, session_id: str, to: str) -> Session:
        """See Gateway."""
        return await self._sessions.rewind(owner, session_id, to)

    async def models(self) -> tuple[ModelState, ...]:
        """See Gateway."""
        return await self._health.states()

    async def usage(self, owner: str, by: Literal["model", "session", "day"] = "model") -> tuple[UsageRow, ...]:
        """See Gateway."""
        if by == "session":
            return await self._sessions.used(owner)
        if by not in {"model", "day"}:
            raise InvalidRequest(f"by={str(by)[:40]!r} is none of model, session, day.")
        return tuple(await self._store.counted(owner, by))

    async def status(self) -> GatewayStatus:
        """See Gateway."""
        storage = await self._store.describe()
        reasons = [f"storage: {storage['reason']}"] if "reason" in storage else []
        reasons += [
            f"{m.model} is cooling"
            for m in await self._health.states(priced=False)
            if m.in_chain and m.state == "cooling"
        ]
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
        parts = self._streams, self._tails, self._turns, self._orphans, self._client, self._prices, self._store
        async with contextlib.AsyncExitStack() as closing:
            for part in reversed(parts):
                closing.push_async_callback(part.aclose)


def open_store(storage: StorageSettings) -> Store:
    """Return the configured store; it connects when first used."""
    if storage.type == "memory":
        return MemoryStore()
    from .stores.valkey import ValkeyStore

    if storage.url is not None:
        url = storage.url.reveal()

        async def locate() -> str:
            return url

        return ValkeyStore(
            locate,
            prefix=storage.prefix,
            cluster=storage.cluster,
            sentinel=storage.sentinel,
            replicas=storage.wait_replicas,
        )
    return _embedded_store(storage)


def _embedded_store(storage: StorageSettings) -> Store:
    from .stores.embedded import EmbeddedServer, places, why_not
    from .stores.valkey import ValkeyStore

    if instead := why_not():
        tell(log, "no_embedded_server", level=logging.WARNING, reason=instead)
        return MemoryStore(instead=instead)
    servers: list[EmbeddedServer] = []

    def socket() -> str:
        # Looked for anew at each connection: a folder that could be used and cannot any more is the store's
        # trouble, and another process may meanwhile have started the server elsewhere.
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
