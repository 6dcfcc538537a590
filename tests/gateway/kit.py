"""What the gateway's tests share: a configuration written and read as a person's is, a clock that is told the time."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warp_magics.gateway.base import Chances
from warp_magics.gateway.config import WarpConfig, load_config
from warp_magics.gateway.local import LocalGateway
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.stores.valkey import ValkeyStore
from warp_magics.gateway.types import ChatRequest, Ended, Failed, Result, Source, Started, Text, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping

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
        return Chances(self, lambda: self.chance, self.sleep, self)


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
    chances = clock.chances() if clock else Chances()
    if new_id:
        chances = replace(chances, new_id=new_id)
    gateway = LocalGateway(config, store=store, chances=chances)
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


# -- several gateways over one store ---------------------------------------------------------------


@contextlib.asynccontextmanager
async def instances(config: WarpConfig, url: str, count: int = 2, **settings: Any) -> AsyncIterator[list[LocalGateway]]:
    """Gateways in this process, each with connections of its own to the store at `url`."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(config, valkey(url, **settings))) for _ in range(count)]


async def read(events: AsyncGenerator[Event, None], count: int | None = None, within: float = 15) -> list[Event]:
    """The next `count` events, or all there are to come; the generator is left as it is."""
    found: list[Event] = []
    async with asyncio.timeout(within):
        while count is None or len(found) < count:
            try:
                found.append(await anext(events))
            except StopAsyncIteration:
                break
    return found


async def words(events: AsyncGenerator[Event, None], count: int) -> list[Event]:
    """The events until `count` pieces of text have come."""
    found: list[Event] = []
    async with asyncio.timeout(15):
        while sum(isinstance(event, Text) for event in found) < count:
            found.append(await anext(events))
    return found


class Elsewhere:
    """Gateways in processes of their own that ask one prompt after another; `told` is what they have said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def more(self) -> bool:
        assert self._process.stdout is not None
        if line := await self._process.stdout.readline():
            self.told.append(json.loads(line))
        return bool(line)

    async def until(self, seen: Callable[[], object], within: float = 30) -> None:
        async with asyncio.timeout(within):
            while not seen():
                assert await self.more(), f"the other process ended: {self.told}"

    async def words(self, count: int) -> None:
        await self.until(lambda: len([one for one in self.told if one.get("kind") == "Text"]) >= count)

    async def end(self, within: float = 120) -> list[dict[str, Any]]:
        async with asyncio.timeout(within):
            while await self.more():
                pass
            await self._process.wait()
        return self.told

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()


@contextlib.asynccontextmanager
async def elsewhere(
    config: WarpConfig, url: str, *prompts: str, copies: int = 0, **ask: Any
) -> AsyncIterator[Elsewhere]:
    """A process that asks `prompts` of a gateway over the store at `url`; with `copies`, so many, one gateway each.

    They tell each event; of copies only how each prompt ended.
    """
    told = {"config": str(config.source), "url": url, "prompts": prompts, "copies": copies, "ask": ask}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, json.dumps(told)),
        cwd=Path(__file__).parents[__name__.count(".")],
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    other = Elsewhere(process)
    try:
        await other.until(lambda: other.told)
        other.told.clear()
        yield other
    finally:
        await other.kill()


def _say(**told: Any) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")  # whole, whoever else writes


async def _asks(told: Mapping[str, Any], copy: int | None) -> None:
    config = load_config(path=Path(told["config"]), env={})
    async with opened(config, valkey(told["url"])) as gateway:
        for prompt in told["prompts"]:
            whole = prompt if copy is None else f"{prompt} of {copy}"
            source = Source("cell", "far.ipynb", "c1")
            request = ChatRequest(
                whole, **{"session_id": "s1", "create_session": True, "source": source, **told["ask"]}
            )
            try:
                async for event in gateway.stream(request):
                    if copy is None or isinstance(event, Ended | Failed):
                        _say(kind=type(event).__name__, id=event.id, prompt=whole, text=_text(event))
            except Exception as error:  # noqa: BLE001 - told, whatever it is
                _say(kind=type(error).__name__, prompt=whole, text=str(error))


def _text(event: Event) -> str:
    if isinstance(event, Ended | Failed):
        return event.response.text if event.response else ""
    return event.text if isinstance(event, Text) else ""


def _main() -> None:
    told = json.loads(sys.argv[1])
    if not told["copies"]:
        _say(kind="ready")
        asyncio.run(_asks(told, None))
        return
    load_config(path=Path(told["config"]), env={})  # what it imports is imported once
    _say(kind="ready")  # before the first of them can say anything
    pids = []
    for copy in range(told["copies"]):
        if not (pid := os.fork()):
            asyncio.run(_asks(told, copy))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    _main()
