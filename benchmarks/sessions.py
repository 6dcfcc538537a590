"""Sessions that have some turns already, made straight in the store that a gateway uses."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from warp_magics.gateway import load_config
from warp_magics.gateway.local import open_store
from warp_magics.gateway.stores.base import Lives
from warp_magics.gateway.types import Result, SessionKey, Turn

if TYPE_CHECKING:
    from pathlib import Path

    from warp_magics.gateway.stores.base import Store

_SAID = " ".join(["The quick brown fox jumps over the lazy dog again"] * 5)
_LIVES = Lives(6.0, 3600.0, 600.0)


def made(config: Path, count: int, turns: int) -> list[str]:
    """Make ``count`` sessions of ``turns`` turns each, as its store's default owner's, and return their ids."""
    names = [secrets.token_hex(8) for _ in range(count)]
    asyncio.run(_made(open_store(load_config(path=config, env={}).storage), names, turns))
    return names


async def _made(store: Store, names: list[str], turns: int) -> None:
    try:
        for name in names:
            said = [_turn(f"{name}-{n}", n) for n in range(1, turns + 1)]
            await store.create(SessionKey("local", name), _LIVES, turns=said)
    finally:
        await store.aclose()


def _turn(name: str, n: int) -> Turn:
    return Turn(name, n, "Hello there", _SAID, "complete", Result.COMPLETE, "bench:50x0", 1.7e9, 1.7e9)
