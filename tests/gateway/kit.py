"""What the gateway's tests share: a configuration written and read as a person's is, a clock that is told the time."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warp_magics.gateway.base import Chances
from warp_magics.gateway.config import WarpConfig, load_config
from warp_magics.gateway.local import LocalGateway
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.stores.valkey import ValkeyStore
from warp_magics.gateway.types import ChatRequest, Ended, Failed, Result, Started, Text, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

    from warp_magics.gateway.stores.base import Store
    from warp_magics.gateway.types import Event

KEY = "sk-test-0123456789-uvwxyz"  # no hexadecimal digits at its end, which a random id might hold


@dataclass
class Clock:
    """Seconds that pass only where somebody says so; `sleep` notes for how long and lets others run."""

    now: float = 1_000_000.0
    chance: float = 0.5
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def chances(self) -> Chances:
        return Chances(self, lambda: self.chance, self.sleep)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(one)}" for name, one in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def configured(folder: Path, url: str, *models: str, **tables: Any) -> WarpConfig:
    """`models` of a provider `lab` at `url` are the chain; no try is repeated unless `limits` says so."""
    lab = {"dialect": "openai", "base_url": url, "api_key": KEY}
    chain = [name if ":" in name else f"lab:{name}" for name in models]
    data = {"models": chain, "storage": {"type": "memory"}} | tables
    data["providers"] = {"lab": lab} | tables.get("providers", {})
    data["limits"] = {"retry": {"max": 0}} | tables.get("limits", {})
    path = folder / "warp.toml"
    path.write_text("".join(f"{name} = {toml(value)}\n" for name, value in data.items()))
    return load_config(path=path, env={})


@contextlib.asynccontextmanager
async def opened(
    config: WarpConfig, store: Store | None = None, clock: Clock | None = None, new_id: Callable[[], str] | None = None
) -> AsyncIterator[LocalGateway]:
    """A gateway that is closed; with a `clock` it and its memory live by that."""
    store = store or MemoryStore(clock or time.time)
    given: dict[str, Any] = {"chances": clock.chances(), "wall": clock} if clock else {}
    if new_id:
        given["new_id"] = new_id
    gateway = LocalGateway(config, store=store, **given)
    try:
        yield gateway
    finally:
        await gateway.aclose()


def valkey(url: str, **settings: Any) -> ValkeyStore:
    async def locate() -> str:
        return url

    return ValkeyStore(locate, **settings)


async def events_of(gateway: LocalGateway, request: ChatRequest) -> list[Event]:
    return [event async for event in gateway.stream(request)]


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def ends(events: list[Event]) -> Ended | Failed:
    """The terminal event of a well-formed stream: one start first, one end last, its text the whole."""
    kinds = [type(event) for event in events]
    assert kinds[0] is Started
    assert kinds.count(Started) == 1
    assert [kind for kind in kinds if kind in (Ended, Failed)] == kinds[-1:]
    last = events[-1]
    assert last.response.text == text_of(events)
    return last


def route(attempts: Iterable[Any]) -> list[tuple[str, str]]:
    return [(one.model.removeprefix("lab:"), one.outcome) for one in attempts]


def said(messages: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


def turn(n: int, prompt: str = "", response: str = "", *, id: str = "", **fields: Any) -> Turn:  # noqa: A002
    whole = {"status": "complete", "result": Result.COMPLETE, "model": "lab:ok", "started_at": 1.0, "ended_at": 2.0}
    return Turn(id=id or f"t{n}", n=n, prompt=prompt, response=response, **{**whole, **fields})


async def until(seen: Callable[[], object], within: float = 10) -> Any:
    async with asyncio.timeout(within):
        while True:
            found = seen()
            if found := await found if inspect.isawaitable(found) else found:
                return found
            await asyncio.sleep(0.005)
