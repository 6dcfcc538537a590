"""Several sessions and their live answers told as one: what is told, in which order, and where it goes on."""

import asyncio
import contextlib
import json

import pytest

from tests.gateway.kit import opened
from warp_magics.gateway import Told, merge, wire
from warp_magics.gateway.types import ChatRequest

pytestmark = pytest.mark.asyncio
ME = "local"


def ask(prompt="hello", session="s1", **fields):
    return ChatRequest(prompt, session_id=session, create_session=True, **fields)


class Reader:
    """What has been put so far; None stands for the moment from which all are watched."""

    def __init__(self):
        self.put = []
        self._news = asyncio.Event()

    async def take(self, told):
        self.put.append(told)
        self._news.set()

    async def when(self, seen):
        async with asyncio.timeout(10):
            while not seen():
                self._news.clear()
                await self._news.wait()

    async def until(self, event, session):
        await self.when(lambda: [one for one in self.told(session) if one.event == event])

    def told(self, session):
        return [one for one in self.put if one is not None and one.data["sessionId"] == session]


@contextlib.asynccontextmanager
async def watching(gateway, *sessions, **after):
    reader = Reader()
    task = asyncio.create_task(merge(gateway, ME, sessions, after.get("after", {}), reader.take))
    try:
        await reader.when(lambda: None in reader.put)
        yield reader, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_answers_are_told_with_their_events_and_addressed(config):
    async with opened(config("ok")) as gateway:
        for session in ("s1", "s2"):
            await gateway.create(ME, session)
        async with watching(gateway, "s1", "s2") as (reader, _):
            begun = await gateway.begin(ask())
            await reader.until("turn-ended", "s1")
            await reader.until("end", "s1")
            events = [event async for event in gateway.follow(ME, begun.stream_id)]
            where = {"sessionId": "s1", "streamId": begun.stream_id}
            answer = [one for one in reader.told("s1") if not one.event.startswith("turn-")]
            assert answer == [
                Told(name, event.id, {**data, **where}) for event in events for name, data in [wire.event_parts(event)]
            ]
            feed = [one for one in reader.told("s1") if one.event.startswith("turn-")]
            assert [(one.event, one.data) for one in feed] == [
                ("turn-started", {**where, "turnId": begun.turn_id}),
                ("turn-ended", {**where, "turnId": begun.turn_id, "status": "complete"}),
            ]
            assert reader.told("s2") == []
            assert [json.loads(json.dumps(one.data)) for one in answer] == [one.data for one in answer], "it is JSON"


async def test_it_goes_on_behind_what_was_seen(config):
    async with opened(config("ok")) as gateway:
        said = await gateway.ask(ask())
        events = [event async for event in gateway.follow(ME, said.stream_id)]
        async with watching(gateway, "s1", after={"s1": "0-0", said.stream_id: events[1].id}) as (reader, _):
            await reader.until("end", "s1")
            await reader.until("turn-ended", "s1")
            answer = [one.id for one in reader.told("s1") if not one.event.startswith("turn-")]
            assert answer == [event.id for event in events[2:]]


async def test_what_is_not_there_is_told_and_it_ends_with_the_last_session(config):
    async with opened(config("ok")) as gateway:
        await gateway.create(ME, "s1")
        async with watching(gateway, "none", "s1") as (reader, task):
            await reader.until("error", "none")
            (lost,) = reader.told("none")
            assert (lost.event, lost.id, lost.data["code"]) == ("error", "", "SESSION_NOT_FOUND")
            await gateway.delete(ME, "s1")
            async with asyncio.timeout(10):
                await task
            assert [one.event for one in reader.told("s1")] == ["deleted"]
