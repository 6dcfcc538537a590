"""A server extension to measure against: a bare handler, ``bench/proxy``."""

from __future__ import annotations

import json
import os
from typing import Any

import aiohttp
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web


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


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "benchmarks.baseline"}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"]
    server.web_app.add_handlers(".*$", [(url_path_join(base, "bench", "proxy"), Proxy)])
