"""Whether a configuration works: each model and the store asked once, and what to say of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from warp_magics.gateway import ChatRequest, LocalGateway, Parameters, errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warp_magics.gateway import WarpConfig

SECONDS: Final = 20.0
"""How long a model may take."""


async def models(config: WarpConfig, specs: Sequence[str]) -> list[tuple[bool, str]]:
    """Whether each model answers a tiny prompt, and the time it took or why not; all are asked at once."""
    gateway = LocalGateway(config)
    try:
        return await asyncio.gather(*(_model(gateway, spec) for spec in specs))
    finally:
        await gateway.aclose()


async def _model(gateway: LocalGateway, spec: str) -> tuple[bool, str]:
    request = ChatRequest("Say ok.", models=(spec,), parameters=Parameters(max_tokens=32), store=False, timeout=SECONDS)
    began = time.monotonic()
    try:
        await gateway.ask(request)
    except errors.AccessRefused as error:  # the provider's own words often hold a part of the key
        return False, f"failed: the key was refused ({error.status})"
    except errors.WarpError as error:
        return False, f"failed: {error.message}"
    return True, f"ok, {time.monotonic() - began:.1f} s"


async def store(config: WarpConfig) -> str:
    """What runs at the configured store, or why it cannot be reached."""
    gateway = LocalGateway(config)
    try:
        told = (await gateway.status()).storage
    finally:
        await gateway.aclose()
    return f"failed: {told['reason']}" if "reason" in told else f"ok, {told['server']}"
