"""The doors at which the fault suite asks: the gateway, a `%%warp` cell in a real kernel, REST at a real server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tests.fakes.provider import provider_process, refused_url
from tests.gateway.kit import KEY
from tests.notebook.kernel import Home, Kernel, home
from tests.server.alone_process import running_alone
from warp_magics.gateway.config import load_config
from warp_magics.gateway.errors import WarpError
from warp_magics.gateway.local import LocalGateway
from warp_magics.gateway.types import ChatRequest, Ended, Failed, Restarted, Text

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from tests.fakes.provider import ProviderProcess

    from .cases import Case

NUMBERS = itertools.count(1)
T = TypeVar("T")
CONFIG = """
models = ["openai:ok"]
[providers]
{providers}
refused = {{ dialect = "openai", base_url = "{refused}", api_key = "{key}" }}
nowhere = {{ dialect = "openai", base_url = "http://nosuch.invalid/v1", api_key = "{key}" }}
[storage]
type = "memory"
[limits]
retry = {{ max = 1, interval = "10ms" }}
timeout = {{ connect = "1s", first_token = "1s", stall = "1s", total = "4s" }}
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a prompt: a whole answer, or an error's code with the part."""

    text: str
    code: str = ""
    status: int = 200
    result: str = ""
    warnings: tuple[str, ...] = ()


class Door(Protocol):
    """Where prompts are asked; `ways` are those in which it can be, `at_once` how many at a time."""

    name: str
    ways: tuple[str, ...]
    at_once: int

    def ask(self, way: str, chain: list[str], prompt: str, on_break: str, within: float) -> Outcome: ...


class World:
    """One provider's process, and a configuration that names it on four wires."""

    def __init__(self, fake: ProviderProcess, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        url = fake.base_url.removesuffix("/v1")
        urls = {"openai": fake.base_url, "anthropic": url, "gemini": f"{url}/v1beta", "cohere": url}
        rows = [f'{name} = {{ base_url = "{at}", api_key = "{KEY}" }}' for name, at in urls.items()]
        self.config = folder / "warp.toml"
        self.config.write_text(CONFIG.format(providers="\n".join(rows), refused=refused_url(), key=KEY))

    def named(self, case: Case, dialect: str) -> list[str]:
        """The case's chain, each name one that nobody has asked before."""
        number = next(NUMBERS)
        names = [one if "@" in one else f"{one}@a" for one in case.chain]
        return [f"{name}{number}" if ":" in name else f"{dialect}:{name}{number}" for name in names]


@contextlib.contextmanager
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="w-"))
    try:
        with provider_process() as fake:
            yield World(fake, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- the gateway -----------------------------------------------------------------------------------


class GatewayDoor:
    """A gateway in this process, on a loop and a thread of its own."""

    name, ways, at_once = "gateway", ("stream", "whole"), 8

    def __init__(self, place: World) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.gateway = LocalGateway(load_config(path=place.config, env={}))

    def run(self, doing: Coroutine[Any, Any, T], within: float) -> T:
        """Run a coroutine on the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(doing, within), self._loop).result()

    def ask(self, way: str, chain: list[str], prompt: str, on_break: str, within: float) -> Outcome:
        request = ChatRequest(
            prompt, models=tuple(chain), on_break=on_break, session_id=f"s{next(NUMBERS)}", create_session=True
        )  # type: ignore[arg-type]
        asked = self._streamed(request) if way == "stream" else self._whole(request)
        return self.run(asked, within)

    async def _whole(self, request: ChatRequest) -> Outcome:
        try:
            said = await self.gateway.ask(request)
        except WarpError as error:
            return Outcome(str(error.details.get("partial", "")), error.code, error.http_status)
        return Outcome(said.text, result=str(said.result), warnings=said.warnings)

    async def _streamed(self, request: ChatRequest) -> Outcome:
        text: list[str] = []
        try:
            async for event in self.gateway.stream(request):
                if isinstance(event, Text):
                    text.append(event.text)
                elif isinstance(event, Restarted):
                    text.clear()
                elif isinstance(event, Failed) and isinstance(event.error, WarpError):
                    return Outcome("".join(text), event.error.code, event.error.http_status)
                elif isinstance(event, Ended):
                    assert event.response.text == "".join(text)
                    return Outcome("".join(text), result=str(event.response.result), warnings=event.response.warnings)
        except WarpError as error:
            return Outcome("", error.code, error.http_status)
        raise AssertionError("a stream that does not end")

    def close(self) -> None:
        self.run(self.gateway.aclose(), 30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


# -- REST ------------------------------------------------------------------------------------------


class RestDoor:
    """`jupyter warp` as a process."""

    name, ways, at_once = "REST", ("stream", "prompt"), 8

    def __init__(self, warp: Any) -> None:
        self.warp = warp

    def ask(self, way: str, chain: list[str], prompt: str, on_break: str, within: float) -> Outcome:
        body = {"prompt": prompt, "models": chain, "onBreak": on_break}
        with self.warp.client(timeout=within) as client:
            if way == "prompt":
                answer = client.post("prompt", json=body)
                told = answer.json()
                if answer.is_success:
                    return _of(told)
                return Outcome(told.get("details", {}).get("partial", ""), told["code"], answer.status_code)
            answer = client.post("stream", json=body)
            if not answer.is_success:
                return Outcome("", answer.json()["code"], answer.status_code)
            return _sse(answer.text)


def _of(told: dict[str, Any]) -> Outcome:
    return Outcome(told["text"], result=told["result"], warnings=tuple(told["warnings"]))


def _sse(body: str) -> Outcome:
    text = ""
    for block in body.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.split("\n") if not line.startswith(":"))
        data = json.loads(fields.get("data", "{}"))
        match fields.get("event"):
            case "content":
                text += data["response"]
            case "restart":
                text = ""
            case "error":
                assert data.get("partial", "") == text
                kinds = {one.code: one.http_status for one in _errors(WarpError)}
                return Outcome(text, data["code"], kinds[data["code"]])
            case "end":
                assert data["response"]["text"] == text
                return _of(data["response"])
    raise AssertionError(f"a stream that does not end: {body[-300:]}")


def _errors(kind: type[WarpError]) -> Iterator[type[WarpError]]:
    """The classes of errors, those nearest to `kind` last."""
    for below in kind.__subclasses__():
        yield from _errors(below)
    yield kind


# -- a cell ----------------------------------------------------------------------------------------


class CellDoor:
    """`%%warp` in a kernel, the gateway within it."""

    name, ways, at_once = "%%warp", ("cell",), 1

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def ask(self, way: str, chain: list[str], prompt: str, on_break: str, within: float) -> Outcome:
        models = " ".join(f"-m {name}" for name in chain)
        line = f"%%warp -s s{next(NUMBERS)} {models} --on-break {on_break} -o reply"
        ran = self.kernel.run(f"{line}\n{prompt}", within=within, ok=False)
        shown = [one["data"].get("text/markdown") for one in ran.shown]
        text = next((one for one in shown if one is not None), "")
        if ran.status == "ok":
            told, result, warnings = self.kernel.value("(reply.text, str(reply.result), reply.warnings)")
            assert told == text
            return Outcome(text, result=result, warnings=warnings)
        error = self.kernel.value("(__import__('sys').last_value.code, __import__('sys').last_value.http_status)")
        return Outcome(text, *error)


@contextlib.contextmanager
def doors(place: World) -> Iterator[list[Door]]:
    """All of them open."""
    with contextlib.ExitStack() as stack:
        gateway = GatewayDoor(place)
        stack.callback(gateway.close)
        env = {"WARP_CONFIG": str(place.config), "WARP_DATA_DIR": str(place.folder / "data")}
        alone = stack.enter_context(running_alone(place.folder / "alone", env))
        where: Home = stack.enter_context(home(place.fake))  # type: ignore[arg-type]
        kernel = stack.enter_context(Kernel(where.also(WARP_CONFIG=str(place.config))))
        yield [gateway, RestDoor(alone), CellDoor(kernel)]


# -- asking ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One case at one door: how often its models were called, what came of it, and what of that is wrong."""

    case: Case
    door: str
    dialect: str
    calls: tuple[int, ...]
    outcome: Outcome
    seconds: float
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    case: Case
    dialect: str
    way: str
    chain: list[str]
    prompt: str

    def at(self, door: Door) -> tuple[Outcome, float, Outcome]:
        """What came of it, after how many seconds, and of a good prompt behind it."""
        began = time.monotonic()
        outcome = door.ask(self.way, self.chain, self.prompt, self.case.on_break, 10 * (self.case.seconds + 1))
        seconds = time.monotonic() - began
        return outcome, seconds, door.ask(self.way, [f"{self.dialect}:ok"], self.prompt, self.case.on_break, 60)


def run(place: World, door: Door, cases: Sequence[Case]) -> list[Row]:
    """Ask all cases at a door, in every dialect and way; one at a time only in a dialect each, by turns."""
    asked = [
        _Asked(case, dialect, way, place.named(case, dialect), f"p{next(NUMBERS)}")
        for at, case in enumerate(cases)
        for dialect in (case.dialects if door.at_once > 1 else case.dialects[at % len(case.dialects) :][:1])
        for way in door.ways
    ]
    with ThreadPoolExecutor(door.at_once) as pool:
        found = list(pool.map(lambda one: one.at(door), asked))
    calls = Counter(call["model"] for call in place.fake.requests())
    return [_row(door.name, one, came, calls) for one, came in zip(asked, found, strict=True)]


def _row(door: str, asked: _Asked, came: tuple[Outcome, float, Outcome], seen: Counter[str]) -> Row:
    outcome, seconds, after = came
    calls = tuple(seen[name.partition(":")[2]] for name in asked.chain)
    wrong = dict(_wrong(asked.case, outcome, calls, asked.prompt))
    if after.text != echo(asked.prompt):
        wrong["afterwards"] = after.text or after.code
    told = tuple(f"{name}: {what!r}" for name, what in wrong.items())
    return Row(asked.case, f"{door} {asked.way}", asked.dialect, calls, outcome, seconds, told)


def echo(prompt: str) -> str:
    """What a good model says."""
    return f"You said '{prompt}' in message 1."


def _wrong(case: Case, outcome: Outcome, calls: tuple[int, ...], prompt: str) -> Iterator[tuple[str, object]]:
    text = case.text.format(prompt=prompt) if case.text or case.code else echo(prompt)
    expected = {"text": text, "code": case.code, "status": case.status}
    yield from ((name, found) for name, one in expected.items() if (found := getattr(outcome, name)) != one)
    if calls != case.calls:
        yield "calls", calls
    if not case.code and outcome.result != case.result:
        yield "result", outcome.result
    if not case.code and case.warned not in " ".join(outcome.warnings):
        yield "warnings", outcome.warnings
