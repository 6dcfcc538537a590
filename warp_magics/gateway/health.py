"""Health: what gateways on one store know together of the models: who failed, who is asked too often, who is quick."""

from __future__ import annotations

import hashlib
import logging
import math
from typing import TYPE_CHECKING, Final, TypeVar

from . import policy, routing
from .errors import OwnLimit, StoreUnavailable
from .signals import tell
from .types import ModelState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from .config import WarpConfig
    from .errors import ProviderError
    from .prices import Prices
    from .stores.base import Store
    from .stores.shared import Room
    from .types import Cooldown, Model, Usage, Window

_T = TypeVar("_T")
log = logging.getLogger("warp_magics.router")
_PROBE_SECONDS: Final = 5.0
"""What a probe's lease has beside the time-outs of its try."""


class Health:
    """``spare`` keeps what it can while ``store`` is down."""

    def __init__(self, config: WarpConfig, store: Store, spare: Store, prices: Prices) -> None:
        self._config = config
        self._store = store
        self._spare = spare
        self._prices = prices
        timeout = config.limits.timeout
        self._lease = timeout.connect + timeout.first_token + _PROBE_SECONDS

    # -- before a try ------------------------------------------------------------------------------

    async def ordered(self, chain: Sequence[Model], expected: Usage) -> list[Model]:
        """Return ``chain`` in the order of ``routing.strategy``, for a prompt ``expected`` to use so much."""
        match self._config.routing.strategy if len(chain) > 1 else "order":
            case "cost":
                await self._prices.ready(chain)
                costs = {model: self._prices.cost(model, expected) for model in chain}
                return routing.by_cost(chain, {model: cost for model, cost in costs.items() if cost is not None})
            case "latency":
                return routing.by_latency(chain, await self._either(lambda store: store.paces(chain)))
            case "round_robin":
                name = hashlib.sha256("\n".join(map(str, chain)).encode()).hexdigest()[:16]
                return routing.rotated(chain, await self._either(lambda store: store.tick(name)))
        return list(chain)

    async def cooling(self, models: Sequence[Model]) -> Mapping[Model, Cooldown]:
        """Return those that have failed and not answered since."""
        return await self._either(lambda store: store.cooling(models))

    async def probe(self, model: Model, holder: str) -> bool:
        """Whether ``holder`` may be the one who finds out if a failed model is well again."""
        may = await self._either(lambda store: store.probe(model, holder, self._lease))
        if may:
            tell(log, "probe_started", model=model)
        return may

    async def admit(self, model: Model, holder: str, expected: Usage) -> None:
        """Take a request, and the tokens it is ``expected`` to use, from the model's own windows; raises OwnLimit."""
        windows = self._windows(model)
        if not windows:
            return
        sizes = [window.max for name, window in windows.items() if name.endswith("tokens")]
        tokens = policy.reserved(expected, sizes)
        room = await self._either(lambda store: store.take(model, windows, holder, tokens))
        if not room.wait:
            return
        tell(log, "limit_reached", model=model, seconds=room.wait)
        if math.isinf(room.wait):
            raise OwnLimit(f"The prompt has about {tokens} tokens; {model} is limited to {min(sizes)} a window.")
        raise OwnLimit(f"The configured limit of {model} is reached.", retry_after=room.wait)

    # -- after it ----------------------------------------------------------------------------------

    async def failed(self, model: Model, error: ProviderError) -> float | None:
        """Pass ``model`` over after ``error``, where that touches its health; returns for how many seconds."""
        settings = self._config.settings(model)
        known = policy.cooldown(error, settings.restore, settings.restore_set)
        if known is None:
            return None
        rest, grows = known
        seconds = await self._either(lambda store: store.cool(model, rest, grows=grows))
        tell(log, "model_cooling", model=model, reason=rest.reason, seconds=seconds)
        return seconds

    async def answered(self, model: Model, first_token: float, *, failed_before: bool) -> None:
        """Note that ``model`` has answered; its answer began ``first_token`` seconds after it was asked."""
        if failed_before:
            await self._either(lambda store: store.restore(model))
            tell(log, "model_restored", model=model)
        if self._config.routing.strategy == "latency":
            await self._either(lambda store: store.pace(model, first_token))

    async def leave(self, model: Model, holder: str) -> None:
        """Give up a probe; nothing where it has ended already."""
        await self._either(lambda store: store.leave(model, holder))

    async def spent(self, model: Model, holder: str, used: Usage) -> None:
        """Put the tokens that were ``used`` in the place of those that ``admit`` has reserved."""
        windows = {name: window for name, window in self._windows(model).items() if name.endswith("tokens")}
        if windows:
            tokens = used.input_tokens + used.output_tokens
            await self._either(lambda store: store.spent(model, windows, holder, tokens))

    # -- for people --------------------------------------------------------------------------------

    async def states(self, *, priced: bool = True) -> tuple[ModelState, ...]:
        """Return each described model's state, from the store where it answers."""
        models = self._config.described
        if priced:
            await self._prices.ready(models)
        cooling = await self.cooling(models)
        return tuple([await self._state(model, cooling.get(model)) for model in models])

    async def _state(self, model: Model, rest: Cooldown | None) -> ModelState:
        windows = self._windows(model)
        room: Room = await self._either(lambda store: store.room(model, windows))
        limited = any(name.endswith("tokens") for name in windows)
        return ModelState(
            model=str(model),
            alias=self._config.settings(model).alias,
            in_chain=model in self._config.chain,
            state="ready" if rest is None else "cooling" if rest.seconds else "probing",
            reason=rest.reason if rest else None,
            restores_in=rest.seconds if rest else None,
            window=windows.get("model"),
            left=room.left,
            token_window=windows.get("model_tokens"),
            tokens_left=room.tokens_left if limited else None,
            price=self._prices.price(model),
        )

    def _windows(self, model: Model) -> dict[str, Window]:
        settings, limits = self._config.settings(model), self._config.providers[model.provider].limits
        named = {
            "model": settings.rate,
            "provider": limits.rate,
            "model_tokens": settings.tokens,
            "provider_tokens": limits.tokens,
        }
        return {name: window for name, window in named.items() if window}

    async def _either(self, ask: Callable[[Store], Awaitable[_T]]) -> _T:
        """Ask the store, or the spare while the store is down."""
        try:
            return await ask(self._store)
        except StoreUnavailable:
            return await ask(self._spare)
