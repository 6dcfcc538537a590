"""Conversations that are kept going whatever breaks, and what their readers saw. Plain HTTP: the product's own client
might hide what its server does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from warp_magics.gateway.sse import Decoder

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Sequence

PATIENCE = 45.0
"""Seconds after which a reader or an asker gives up: a fault that is never got over."""
SILENCE = 40.0  # a gateway pings every 15
AGAIN = 0.3
UNSURE = ("could not be stored", "not yet on as many replicas")


@dataclass
class Seen:
    """What one reader saw of one stream: its events' names and data by id, in order, and how it ended."""

    stream: str = ""
    events: dict[str, tuple[str, str]] = field(default_factory=dict)
    repeated: int = 0
    cuts: int = 0
    jumped: bool = False
    """Whether it was told the end without all that leads there: it had seen more than was logged."""
    turned_away: int = 0
    """The status that said that there is no more, to a reader who has seen no end."""
    ended_at: float | None = None
    """When the terminal event was read, on this machine's monotonic clock."""

    @property
    def last(self) -> str:
        return next(reversed(self.events), "")

    @property
    def last_id(self) -> str:
        return self.last.partition(" ")[0]

    @property
    def end(self) -> tuple[str, dict[str, Any]] | None:
        """The terminal event's name and data."""
        kind, data = self.events.get(self.last, ("", "{}"))
        return (kind, json.loads(data)) if kind in ("end", "error") else None

    @property
    def text(self) -> str:
        return "".join(json.loads(data)["response"] for kind, data in self.events.values() if kind == "content")


@dataclass
class Asked:
    """One prompt and what its asker was told."""

    session: str
    prompt: str
    turn_id: str
    seen: Seen = field(default_factory=Seen)
    stateless: bool = False
    refused: str = ""
    """The error's code where the turn came to its end before a model had begun to answer."""
    gave_up: str = ""
    troubles: list[str] = field(default_factory=list)
    """What its asker met on the way to an answer."""
    asked_at: float = field(default_factory=time.monotonic)
    sent_to: list[str] = field(default_factory=list)
    """The instances that were asked: one of them makes the answer."""

    @property
    def acknowledged(self) -> bool:
        if self.stateless or self.seen.end is None or self.seen.end[0] != "end":
            return False
        return not any(word in note for note in self.seen.end[1]["response"]["warnings"] for word in UNSURE)


class Gateways:
    """The instances, as a load balancer without sticky sessions hands them out."""

    def __init__(self, urls: Sequence[str], token: str, chance: random.Random) -> None:
        self.urls, self.chance = list(urls), chance
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=SILENCE)
        self.http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, timeout=timeout)

    def any(self) -> str:
        return self.chance.choice(self.urls)

    @contextlib.asynccontextmanager
    async def asking(self, asked: Asked) -> AsyncIterator[aiohttp.ClientResponse]:
        body = {"prompt": asked.prompt, "sessionId": asked.session, "createSession": True}
        asked.sent_to.append(self.any())
        url = f"{asked.sent_to[-1]}/api/v1/stream"
        async with self.http.post(url, json=body, headers={"Idempotency-Key": asked.turn_id}) as response:
            yield response

    @contextlib.asynccontextmanager
    async def following(self, seen: Seen) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Last-Event-ID": seen.last_id} if seen.last else {}
        async with self.http.get(f"{self.any()}/api/v1/streams/{seen.stream}", headers=headers) as response:
            yield response

    async def json(self, path: str) -> Any:
        async with self.http.get(f"{self.any()}/api/v1/{path}") as response:
            return await response.json() if response.status == 200 else {"status": response.status}


async def read(response: aiohttp.ClientResponse, seen: Seen, leave_after: int | None) -> None:
    """Note what comes until the stream ends, or until this many events, after which the reader is cut off."""
    decoder, left = Decoder(), leave_after
    async for chunk in response.content.iter_any():
        for event in decoder.feed(chunk):
            if event.event == "start":
                seen.stream = json.loads(event.data)["streamId"] or ""
            name = event.id
            if name in seen.events:
                # A reader may have seen more than the log has, and is told the end of that, numbered as one seen before.
                seen.jumped = event.event in ("end", "error")
                seen.repeated += not seen.jumped
                name += " again"
            seen.events[name] = (event.event, event.data)
            if event.event in ("end", "error"):
                seen.ended_at = time.monotonic()
            if left is not None:
                left -= 1
                if left <= 0:
                    seen.cuts += 1
                    return


async def ask(gateways: Gateways, asked: Asked) -> None:
    """Ask until a model has begun to answer, then read to the end, wherever that may be had."""
    chance = gateways.chance
    cut = chance.randint(1, 12) if chance.random() < 0.3 else None
    async with asyncio.timeout(PATIENCE):
        while not asked.seen.events and not asked.refused:
            try:
                async with gateways.asking(asked) as response:
                    if response.status == 200:
                        asked.stateless = response.headers.get("x-session-status") == "stateless"
                        await read(response, asked.seen, None if asked.stateless else cut)
                        continue
                    said = await response.json()
                    asked.troubles.append(f"{response.status} {said}"[:300])
                    if said["code"] == "INTERRUPTED":  # the turn was begun, and is over: asking again says the same
                        asked.refused = said["code"]
                        return
            except (aiohttp.ClientError, OSError) as error:
                asked.troubles.append(type(error).__name__)
            await asyncio.sleep(AGAIN)
        if asked.seen.stream:
            await follow(gateways, asked.seen)


async def follow(gateways: Gateways, seen: Seen, *, cut: int | None = None) -> None:
    """Read a stream from where it was left until it has ended."""
    while seen.end is None:
        try:
            async with gateways.following(seen) as response:
                if response.status == 200:
                    await read(response, seen, cut)
                    cut = None
                    continue
                if response.status in (204, 404):
                    seen.turned_away = response.status
                    return
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        await asyncio.sleep(AGAIN)


class Conversation:
    """One session: prompts one after the other, and now and then a second reader elsewhere."""

    def __init__(self, name: str, gateways: Gateways, pause: float) -> None:
        self.name, self.gateways, self.pause = name, gateways, pause
        self.asked: list[Asked] = []
        self.followers: list[Seen] = []

    async def talk(self, over: asyncio.Event) -> None:
        chance = self.gateways.chance
        while not over.is_set():
            number = len(self.asked) + 1
            asked = Asked(self.name, f"{self.name} says {number}", f"{self.name}-{number}")
            self.asked.append(asked)
            second = asyncio.create_task(self._second(asked)) if chance.random() < 0.3 else None
            try:
                await ask(self.gateways, asked)
            except TimeoutError:
                asked.gave_up = f"{asked.seen.stream} {asked.seen.last}: {asked.troubles[-3:]}"
            if second:
                await second
            await asyncio.sleep(chance.uniform(0, self.pause))

    async def _second(self, asked: Asked) -> None:
        """Follow the same answer from another instance as soon as it has a name, cut off once on the way."""
        seen = Seen()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not asked.seen.events and not asked.refused:  # noqa: ASYNC110 - what is seen is seen
                    await asyncio.sleep(0.02)
                seen.stream = asked.seen.stream
                if seen.stream:
                    self.followers.append(seen)
                    await follow(self.gateways, seen, cut=self.gateways.chance.randint(1, 12))
