"""LocalGateway: router, sessions, streams and store in this process."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

from .base import Chances
from .cache import Cache
from .client import ModelClient
from .health import Health
from .previews import Previews
from .prices import Prices
from .router import HOW_TO_CONFIGURE, Router
from .signals import tell
from .stored import StoredGateway
from .stores.memory import MemoryStore
from .terms import terms_of
from .types import GatewayStatus

if TYPE_CHECKING:
    from .config import StorageSettings, WarpConfig
    from .stores.base import Store
    from .types import ChatRequest, ModelState, Preview

log = logging.getLogger("warp_magics.gateway")


class LocalGateway(StoredGateway):
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
        store = store or open_store(config.storage)
        self.warnings = (*config.warnings, *store.warnings)
        """What the user is to be told once, when he first uses it."""
        self._client = ModelClient(config.providers)
        self._prices = Prices(config.providers)
        self._health = Health(config, store, MemoryStore(chances.wall), self._prices)
        router = Router(config, self._client, self._health, chances)
        self._previews = Previews(router, store, self._prices)
        answers = Cache(config, router, self._prices, store, chances)
        super().__init__(terms_of(config), store, answers, chances, name=self._id)

    async def preview(self, request: ChatRequest) -> Preview:
        """See Gateway."""
        return await self._previews.preview(request)

    async def models(self) -> tuple[ModelState, ...]:
        """See Gateway."""
        return await self._health.states()

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
        try:
            await super().aclose()
        finally:
            await asyncio.gather(self._client.aclose(), self._prices.aclose())


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
