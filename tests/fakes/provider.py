"""A fake of a provider that misbehaves on request, on OpenAI's wire and on others.

In a test's own loop: `async with FakeProvider() as fake`; beside a synchronous test: `with FakeProvider.in_thread() as
fake`; as a process: `with provider_process() as fake`, or `python -m tests.fakes.provider --port 0 --ready-file F`.
`fake.script("model", Reply(...), Reply.failing(503))` says what a model answers, one entry a call, the last one repeated.
A model without a script behaves as its name says (`NAMED`): "cut-3", "fail-429-retry-after-7"; any other name is a good
model that echoes what it saw. "cut-3@b" behaves like "cut-3" and is counted apart. `fake.base_url` is that of OpenAI's
wire; those of the others begin with `fake.url`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from .anthropic_wire import Anthropic
from .cohere_wire import Cohere
from .gemini_wire import Gemini
from .openai_wire import OpenAI
from .replies import NAMED, Call, Entry, Fault, Reply, Script, Wait, named

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from .replies import Wire

__all__ = ["NAMED", "Call", "FakeProvider", "Fault", "Reply", "Script", "provider_process", "refused_url"]

WIRES: list[type[Wire]] = [OpenAI, Anthropic, Gemini, Cohere]
POLL = 0.002
"""Seconds between two looks at what another thread may change."""


class FakeProvider:
    """The server; see the module. `requests` are all the calls, `disconnects` those whose client left before the end."""

    def __init__(self, *, port: int = 0, api_key: str = "") -> None:
        self.port, self.api_key = port, api_key
        self.requests: list[Call] = []
        self.disconnects: list[Call] = []
        self.disconnected = threading.Event()
        self._scripts: dict[str, Script] = {}
        self._releases = 0
        self._closing = False

    # What tests say and ask; safe from any thread.

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def script(self, model: str, *entries: Entry, cycle: bool = False) -> None:
        """What a model (or the path "/models") answers from now on."""
        self._scripts[model] = Script(*entries, cycle=cycle)

    def calls(self, model: str) -> list[Call]:
        return [call for call in self.requests if call.model == model]

    def release(self) -> None:
        """Let all that are silent at this moment go on, and those that were asked before and are about to be."""
        self._releases += 1

    def reset(self) -> None:
        """Forget all requests and start all scripts anew."""
        self.requests, self.disconnects, self.disconnected = [], [], threading.Event()
        for script in self._scripts.values():
            script.used = 0

    def wait_until(self, seen: Callable[[], object], within: float = 5) -> None:
        """Wait in a synchronous test: `fake.wait_until(lambda: fake.disconnects)`."""
        until = time.monotonic() + within
        while not seen():
            assert time.monotonic() < until, "the fake provider did not see that in time"
            time.sleep(POLL)

    async def until(self, seen: Callable[[], object], within: float = 5) -> None:
        """Wait in the fake's own loop: `await fake.until(lambda: fake.disconnects)`."""
        async with asyncio.timeout(within):
            while not seen():  # noqa: ASYNC110  # what is seen may be of another thread
                await asyncio.sleep(POLL)

    # Its life.

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        for wire in WIRES:
            app.router.add_post(wire.path, self._chat(wire))
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/fake/requests", self._recorded)
        app.router.add_post("/fake/{verb:release|reset}", self._told)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        await self._runner.cleanup()

    @classmethod
    @contextlib.contextmanager
    def in_thread(cls, **arguments: Any) -> Iterator[Self]:
        """The same in a loop and a thread of its own."""
        fake, loop = cls(**arguments), asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="fake-provider", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result(10)
            yield fake
            asyncio.run_coroutine_threadsafe(fake.__aexit__(), loop).result(10)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    # Its paths.

    def _chat(self, wire: type[Wire]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def chat(request: web.Request) -> web.StreamResponse:
            call = await self._record(request, wire)
            try:
                return await self._answer(request, call, self._reply(call, call.model))
            except (asyncio.CancelledError, ConnectionError):
                if not (call.hung_up or self._closing):
                    self._note_disconnect(call)
                raise asyncio.CancelledError from None
            finally:
                call.ended_at = time.monotonic()

        return chat

    async def _models(self, request: web.Request) -> web.StreamResponse:
        call = await self._record(request, OpenAI)
        reply = self._reply(call, "/models")
        if reply.status != 200 or reply.before:
            return await self._answer(request, call, reply)
        names = [name for name in self._scripts if not name.startswith("/")] or list(NAMED)
        models = [{"id": name, "object": "model", "created": 1700000000, "owned_by": "fake"} for name in names]
        return web.json_response({"object": "list", "data": models}, headers=reply.headers)

    async def _recorded(self, _: web.Request) -> web.Response:
        return web.json_response([told(call) for call in self.requests])

    async def _told(self, request: web.Request) -> web.Response:
        self.release() if request.match_info["verb"] == "release" else self.reset()
        return web.json_response({})

    # One answer.

    async def _record(self, request: web.Request, wire: type[Wire]) -> Call:
        body = await request.json() if request.can_read_body else {}
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(len(self.requests) + 1, request.method, request.path, headers, body, wire)
        if request.transport is not None:
            call.port = request.transport.get_extra_info("peername")[1]
        self.requests.append(call)
        call.released = self._releases
        return call

    def _reply(self, call: Call, model: str) -> Reply:
        if self.api_key and call.key != self.api_key:
            return Reply.failing(401)
        return self._scripts.setdefault(model, named(model)).next(call)

    def _note_disconnect(self, call: Call) -> None:
        call.disconnected_at = time.monotonic()
        self.disconnects.append(call)
        self.disconnected.set()

    async def _answer(self, request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
        for item in reply.before:
            await self._do(request, call, item)
        if reply.status != 200:
            return web.json_response(call.wire.error(call, reply), status=reply.status, headers=reply.headers)
        if call.wire.streamed(call):
            return await self._stream(request, call, reply)
        return await self._whole(request, call, reply)

    async def _stream(self, request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", **reply.headers})
        await response.prepare(request)
        items = call.wire.stream(call, reply)
        for item in joined(items) if reply.split else items:
            if item is Fault.END:
                break
            if isinstance(item, bytes):
                await self._write(response, item, reply.split)
                call.sent += 1
            else:
                await self._do(request, call, item)
        return response

    @staticmethod
    async def _write(response: web.StreamResponse, data: bytes, split: int) -> None:
        for start in range(0, len(data), split or len(data)):
            if start:
                await asyncio.sleep(0)  # a read of its own for each piece; not after the last, where clients may go
            await response.write(data[start : start + (split or len(data))])

    async def _whole(self, request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
        """The same faults where there are no chunks: raw bytes and END spoil the JSON, an error event is the body."""
        items = reply.items(call)
        cut = Fault.CUT in items
        for item in [*reply.opening, *items]:
            if item is not Fault.CUT and item is not Fault.END and not isinstance(item, (bytes, dict)):
                await self._do(request, call, reply.delay if isinstance(item, str) else item)
        bodies = [item for item in items if isinstance(item, dict)] or [call.wire.whole(call, reply)]
        body = json.dumps(bodies[0], ensure_ascii=False).encode()
        half = body[: len(body) // 2] if cut or Fault.END in items or any(isinstance(i, bytes) for i in items) else body
        response = web.StreamResponse(headers={"Content-Type": "application/json", **reply.headers})
        response.content_length = len(body) if cut else len(half)
        await response.prepare(request)
        await response.write(half)
        if cut:
            await self._do(request, call, Fault.CUT)
        return response

    async def _do(self, request: web.Request, call: Call, item: Wait | Fault) -> None:
        if item is Fault.SILENT:
            while call.released == self._releases:  # noqa: ASYNC110  # it is told in another thread
                await asyncio.sleep(POLL)
            call.released = self._releases
        elif isinstance(item, Fault):
            await self._hang_up(request, call, item)
        else:
            await self._wait(item)

    async def _wait(self, wait: Wait) -> None:
        if isinstance(wait, asyncio.Event):
            await wait.wait()
        elif isinstance(wait, threading.Event):
            while not wait.is_set():  # noqa: ASYNC110  # it is set in another thread
                await asyncio.sleep(POLL)
        elif wait:
            await asyncio.sleep(wait)

    async def _hang_up(self, request: web.Request, call: Call, fault: Fault) -> None:
        call.hung_up = True
        if request.transport is not None and fault is Fault.RESET:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        elif request.transport is not None:
            request.transport.close()
        await asyncio.sleep(60)  # the loss of the connection cancels us


def told(call: Call) -> dict[str, Any]:
    """A call as JSON."""
    return asdict(call) | {"model": call.model, "wire": call.wire.__name__}


def joined(items: Iterable[Any]) -> Iterator[Any]:
    """Bytes that come one after the other as one."""
    for are_bytes, group in itertools.groupby(items, key=lambda item: isinstance(item, bytes)):
        if are_bytes:
            yield b"".join(group)
        else:
            yield from group


def refused_url() -> str:
    """Where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


class ProviderProcess:
    """A fake provider in a process of its own."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def requests(self, model: str = "") -> list[dict[str, Any]]:
        return [call for call in self._ask("requests") if model in ("", call["model"])]

    def release(self) -> None:
        self._ask("release", b"")

    def reset(self) -> None:
        self._ask("reset", b"")

    def _ask(self, verb: str, data: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"{self.base_url.removesuffix('v1')}fake/{verb}", data, timeout=5) as answer:
            return json.load(answer)


@contextlib.contextmanager
def provider_process() -> Iterator[ProviderProcess]:
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready")
        command = [sys.executable, "-m", __name__, "--ready-file", str(ready)]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[__name__.count(".")])
        try:
            until = time.monotonic() + 20
            while not ready.exists():
                assert process.poll() is None, "the fake provider did not start"
                assert time.monotonic() < until, "the fake provider was not ready in time"
                time.sleep(0.01)
            yield ProviderProcess(ready.read_text())
        finally:
            process.terminate()
            process.wait(10)


async def serve(port: int, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeProvider(port=port) as fake:
        if ready_file:
            draft = ready_file.with_suffix(".draft")
            draft.write_text(fake.base_url)
            draft.replace(ready_file)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready-file", type=Path)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.ready_file))


if __name__ == "__main__":
    main()
