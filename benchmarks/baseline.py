"""A server extension to measure against: bare handlers under ``bench/``, the process's CPU time, a sampling profiler."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

if TYPE_CHECKING:
    from types import FrameType

GROUPS = {
    "store": ("gateway/stores/", "/redis/"),
    "parsing": ("gateway/sse.py", "gateway/dialects/", "gateway/wire.py", "/orjson/", "/pydantic"),
    "client": ("gateway/client.py", "/httpx/", "/httpx_aiohttp/", "/aiohttp/", "/yarl/", "/multidict/", "/httpcore/"),
    "router, streams, sessions": ("warp_magics/gateway/",),
    "handler": ("jupyter_server_ext/", "/jupyter_server/", "/tornado/", "/traitlets/", "/prometheus_client/"),
}
"""Whose time it is: that of the innermost frame that one of these holds, in this order."""
LOOP = "event loop"
SAMPLE_SECONDS = 0.001
CHUNK = b'event: content\nid: 1-1\ndata: {"response":"quick "}\n\n'


def group_of(frame: FrameType | None) -> tuple[str, str]:
    """The group that a stack's time belongs to, and the file and function of ours or a library's."""
    while frame is not None:
        if frame.f_code.co_name == "_run_once":  # below it is only what started the server
            break
        path = frame.f_code.co_filename.replace(os.sep, "/")
        for group, parts in GROUPS.items():
            if any(part in path for part in parts):
                return group, f"{'/'.join(path.split('/')[-2:])}:{frame.f_code.co_qualname}"
        frame = frame.f_back
    return LOOP, ""


class Sampler:
    """Notes where the main thread is, once for every ``SAMPLE_SECONDS`` of CPU time (or as often as the kernel ticks)."""

    def __init__(self) -> None:
        self.groups: Counter[str] = Counter()
        self.places: Counter[str] = Counter()

    def start(self) -> None:
        self.groups.clear()
        self.places.clear()
        signal.signal(signal.SIGPROF, self.note)
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - the only way to say it
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)

    def note(self, _number: int, frame: FrameType | None) -> None:
        group, place = group_of(frame)
        self.groups[group] += 1
        self.places[place] += 1

    def stop(self) -> dict[str, Any]:
        signal.setitimer(signal.ITIMER_PROF, 0)
        return {"groups": dict(self.groups), "places": dict(self.places.most_common(40))}


class Nothing(APIHandler):
    """What a handler costs that has nothing to do."""

    @web.authenticated
    async def post(self) -> None:
        self.finish('{"text": "nothing"}')


class Writes(APIHandler):
    """What it costs to write as many events as ``?chunks=50&pause=5`` says, made of nothing."""

    @web.authenticated
    async def post(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        clock, pause = asyncio.get_running_loop(), int(self.get_query_argument("pause")) / 1000
        began = clock.time()
        for n in range(int(self.get_query_argument("chunks"))):
            await asyncio.sleep(began + n * pause - clock.time())
            self.write(CHUNK)
            await self.flush()
        web.RequestHandler.finish(self)


class Proxy(APIHandler):
    """Passes the provider's bytes on as they come."""

    client: aiohttp.ClientSession | None = None

    @web.authenticated
    async def post(self) -> None:
        if Proxy.client is None:
            Proxy.client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        asked = json.loads(self.request.body)
        url = os.environ["BENCH_PROVIDER"] + "/chat/completions"
        async with Proxy.client.post(url, json=asked) as answer:
            if not asked.get("stream"):
                self.finish(await answer.read())
                return
            self.set_header("Content-Type", "text/event-stream")
            async for chunk in answer.content.iter_any():
                self.write(chunk)
                await self.flush()
        web.RequestHandler.finish(self)


class Cpu(APIHandler):
    @web.authenticated
    async def get(self) -> None:
        self.finish({"seconds": time.process_time()})


class Profile(APIHandler):
    sampler = Sampler()

    @web.authenticated
    async def post(self) -> None:
        if self.request.body == b"start":
            self.sampler.start()
            self.finish({})
        else:
            self.finish(self.sampler.stop())


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "benchmarks.baseline"}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"]
    routes = {"nothing": Nothing, "writes": Writes, "proxy": Proxy, "cpu": Cpu, "profile": Profile}
    server.web_app.add_handlers(
        ".*$", [(url_path_join(base, "bench", path), handler) for path, handler in routes.items()]
    )
