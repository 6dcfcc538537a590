"""Asks a Jupyter Server the same thing over and over, and prints what it cost the server, as JSON.

Arguments: the server's URL, its token, a path below the URL, the body, how often, over how many connections.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp


async def ask(session: aiohttp.ClientSession, path: str, body: bytes) -> int:
    async with session.post(path, data=body) as answer:
        said = await answer.read()
        if answer.status != 200 or b"event: error" in said:
            raise SystemExit(f"{path}: {answer.status} {said[:300]!r}")
        return len(said)


async def worker(session: aiohttp.ClientSession, path: str, body: bytes, turns: list[None]) -> list[float]:
    took = []
    while turns:
        turns.pop()
        began = time.perf_counter()
        await ask(session, path, body)
        took.append(time.perf_counter() - began)
    return took


async def cpu(session: aiohttp.ClientSession) -> float:
    async with session.get("bench/cpu") as answer:
        return (await answer.json())["seconds"]


async def main(*said: str) -> None:
    url, token, path, body, count, connections = said
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(url, headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        width, data = int(connections), body.encode()
        await asyncio.gather(*(ask(session, path, data) for _ in range(width)))  # opens all connections
        turns, before, began = [None] * int(count), await cpu(session), time.perf_counter()
        took = await asyncio.gather(*(worker(session, path, data, turns) for _ in range(width)))
        seconds, spent = time.perf_counter() - began, await cpu(session) - before
    waits = sorted(wait for one in took for wait in one)
    cost = {"cpu_ms": spent / len(waits) * 1000, "per_second": len(waits) / seconds, "busy": spent / seconds}
    print(json.dumps(cost | {"p50_ms": waits[len(waits) // 2] * 1000, "p95_ms": waits[len(waits) * 95 // 100] * 1000}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
