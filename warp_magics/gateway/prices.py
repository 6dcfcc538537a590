"""Prices: what an answer cost, from genai-prices. The only door to that library, which is imported late and aside."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from .types import Price, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .config import ProviderSettings
    from .types import Model

log = logging.getLogger("warp_magics.prices")

WAIT_SECONDS: Final = 0.3
"""How long an answer waits for the library: its import takes longer on a cold disk, and its cost is then unknown."""
_HERE: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Prices:
    """Belongs to the event loop it is first used on. What is not known has no price: that is None, never 0."""

    def __init__(self, providers: Mapping[str, ProviderSettings]) -> None:
        self._providers = providers
        self._loading: asyncio.Future[Any] | None = None

    def warm(self, models: Iterable[Model]) -> None:
        """Begin to import the library, in a thread, unless that was done or no model of ``models`` can have a price."""
        if self._loading is None and any(_priced(self._providers[model.provider]) for model in models):
            self._loading = asyncio.ensure_future(asyncio.to_thread(_library))

    async def ready(self, models: Iterable[Model]) -> None:
        """Wait until the prices of ``models`` are known, WAIT_SECONDS at most; those of local ones never are."""
        self.warm(models)
        if self._loading is not None and not self._loading.done():
            await asyncio.wait({self._loading}, timeout=WAIT_SECONDS)

    def cost(self, model: Model, usage: Usage) -> float | None:
        """Return what ``usage`` of ``model`` costs in US dollars."""
        library = self._loading.result() if self._loading is not None and self._loading.done() else None
        return self._calculated(library, model, usage) if library and usage != Usage() else None

    def price(self, model: Model) -> Price | None:
        """Return the price of ``model`` for short prompts."""
        asked, said = self.cost(model, Usage(1000, 0)), self.cost(model, Usage(0, 1000))
        return None if asked is None or said is None else Price(asked * 1000, said * 1000)

    def _calculated(self, library: Any, model: Model, usage: Usage) -> float | None:
        provider = self._providers[model.provider]
        if not _priced(provider):
            return None
        # Who is not in the list by name may be by address: somebody's second account with OpenAI.
        whose = {"provider_id": provider.prices} if provider.prices else {"provider_api_url": provider.base_url}
        try:
            used = library.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=min(usage.cached_tokens, usage.input_tokens),
            )
            return float(library.calc_price(used, model_ref=model.name, **whose).total_price)
        except LookupError:
            return None
        except Exception:  # no answer is lost for what it cost
            log.exception("price_failed model=%s", model)
            return None

    async def aclose(self) -> None:
        """Wait until the library is imported, if that was begun."""
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=WAIT_SECONDS)


def _priced(provider: ProviderSettings) -> bool:
    """Whether anybody may know what it asks: not of a server on this machine."""
    host = urlsplit(provider.base_url).hostname or ""
    return not provider.local and (provider.prices is not None or host not in _HERE)


def _library() -> Any:
    try:
        import genai_prices

        genai_prices.calc_price(genai_prices.Usage(input_tokens=1), model_ref="gpt-4o-mini", provider_id="openai")
    except Exception:  # likewise; its data is read at the first call
        log.exception("prices_unavailable")
        return None
    return genai_prices
