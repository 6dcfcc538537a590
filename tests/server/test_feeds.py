"""Several sessions on one connection: what is merged, where it goes on, what it costs, and that it ends."""

import asyncio
import threading

import pytest

from jupyter_server_ext.rest import feeds
from jupyter_server_ext.rest.chunks import AHEAD
from jupyter_server_ext.rest.endpoints import Endpoints
from jupyter_server_ext.rest.messages import Request
from tests.fakes.provider import Reply
from tests.server.conftest import events_of
from warp_magics.gateway import ChatRequest, LocalGateway, errors, load_config
from warp_magics.gateway.types import Session, SessionEvent, SessionKey, Text


@pytest.fixture
def gateway(configure, jp_asyncio_loop):
    made = LocalGateway(load_config(path=configure("ok"), env={}), version="0")
    yield made
    jp_asyncio_loop.run_until_complete(made.aclose())


class Feed:
    """A reader of ``GET events``."""

    def __init__(self, stream):
        self.stream = stream
        self._events = events_of(stream)

    async def event(self, name):
        """Wait for the next event of that name."""
        async with asyncio.timeout(10):
            while (event := await anext(self._events)).name != name:
                pass
            return event

    async def rest(self):
        async with asyncio.timeout(10):
            return [event async for event in self._events]


def endpoints(gateway, ping=5):
    return Endpoints(gateway, session_header="x-session-id", body_size=1000, ping_seconds=ping)


@pytest.fixture
def opened(gateway, jp_asyncio_loop):
    """``await opened(["a", "b"], ["a:1-0"])``: a reader of those feeds; it leaves at the test's end."""
    streams = []

    async def call(sessions, after=()):
        query = {"session": tuple(sessions), "after": tuple(after)}
        streams.append(await endpoints(gateway).events(Request("ada", query=query)))
        return Feed(streams[-1])

    yield call
    for stream in streams:
        jp_asyncio_loop.run_until_complete(stream.chunks.aclose())


async def ask(gateway, session, prompt="Hello"):
    return await gateway.ask(ChatRequest(prompt, session_id=session, create_session=True, owner="ada"))


async def test_a_live_answer_is_followed_from_its_start(gateway, opened, fake):
    go_on = threading.Event()
    fake.script("ok", Reply(chunks=["One", go_on, " two"]))
    asking = asyncio.create_task(ask(gateway, "s"))
    await asyncio.to_thread(fake.wait_until, lambda: fake.requests)
    feed = await opened(["s"])
    start = await feed.event("start")
    assert (start.id, start.data["sessionId"], start.data["streamId"]) == ("1-1", "s", "s~1")
    assert (await feed.event("content")).data == {"response": "One", "sessionId": "s", "streamId": "s~1"}
    go_on.set()
    end = await feed.event("end")
    assert (end.data["response"]["text"], end.data["streamId"]) == ("One two", "s~1")
    assert (await asking).text == "One two"


async def test_it_goes_on_where_it_was_left(gateway, opened, fake):
    go_on = threading.Event()
    feed = await opened(["new"]) if await ask(gateway, "new") else None
    fake.script("ok", Reply(chunks=["One", go_on, " two"]))
    asking = asyncio.create_task(ask(gateway, "new"))
    started = await feed.event("turn-started")
    one = await feed.event("content")
    await feed.stream.chunks.aclose()
    go_on.set()
    await asking
    await ask(gateway, "new")
    again = await opened(["new"], [f"new:{started.id}", f"new~2:{one.id}"])
    two = await again.event("content")
    assert (two.id, two.data["response"], two.data["streamId"]) == ("2-3", " two", "new~2")
    assert (await again.event("end")).data["streamId"] == "new~2"
    third = await again.event("start")
    assert (third.id, third.data["streamId"]) == ("3-1", "new~3"), "a turn of the meantime is followed too"


async def test_a_turn_that_is_told_twice_is_followed_once(gateway, opened, fake):
    go_on = threading.Event()
    await gateway.create("ada", "s")
    first = await opened(["s"])
    fake.script("ok", Reply(chunks=["One", go_on]))
    asking = asyncio.create_task(ask(gateway, "s"))
    seen = (await first.event("turn-started")).id
    await gateway.update("ada", "s", title="x")
    n, k = seen.split("-")
    again = await opened(["s"], [f"s:{n}-{int(k) - 1}"])  # hears of the turn, and finds it live
    await again.event("start")
    go_on.set()
    await asking
    await gateway.delete("ada", "s")
    assert [event.name for event in await again.rest()].count("start") == 0


async def test_it_ends_when_all_are_gone(gateway, opened):
    for session in ("a", "b"):
        await gateway.create("ada", session)
    feed = await opened(["a", "b"])
    for session in ("a", "b"):
        await gateway.delete("ada", session)
    assert [(event.name, event.data["sessionId"]) for event in await feed.rest()] == [
        ("deleted", "a"),
        ("deleted", "b"),
    ]


async def test_what_is_not_there_is_told_and_the_others_go_on(gateway, opened):
    await ask(gateway, "a")
    feed = await opened(["never-was", "a", "b c", "a"], ["a~7:7-1"])
    lost = [await feed.event("error") for _ in range(3)]
    assert {(one.data["sessionId"], one.data.get("streamId"), one.data["code"]) for one in lost} == {
        ("never-was", None, "SESSION_NOT_FOUND"),
        ("b c", None, "INVALID_SESSION_ID"),
        ("a", "a~7", "STREAM_NOT_FOUND"),
    }
    await ask(gateway, "a")
    assert (await feed.event("end")).data["streamId"] == "a~2"


async def test_who_leaves_leaves_no_task_behind(gateway, opened, fake):
    go_on = threading.Event()
    fake.script("ok", Reply(chunks=["One", go_on]))
    asking = [asyncio.create_task(ask(gateway, session)) for session in ("a", "b")]
    await asyncio.to_thread(fake.wait_until, lambda: len(fake.requests) == 2)
    feed = await opened(["a", "b"])
    await feed.event("content")
    assert working()
    await feed.stream.chunks.aclose()
    assert not working()
    go_on.set()
    await asyncio.gather(*asking)


async def test_a_stream_that_is_never_read_is_let_go_too(gateway, opened):
    await gateway.create("ada", "s")
    feed = await opened(["s"])
    assert working()
    await feed.stream.chunks.aclose()
    assert [chunk async for chunk in feed.stream.chunks] == []
    assert not working()


def working():
    """The tasks that the extension runs, and the gateway for it."""
    files = (task.get_coro().cr_code.co_filename for task in asyncio.all_tasks())
    return [file for file in files if "jupyter_server_ext" in file or file.endswith("gateway/feeds.py")]


class Torrent:
    """A gateway whose answer comes without end, and counts how much of it was taken."""

    def __init__(self):
        self.taken = 0

    async def session(self, owner, session_id):
        return Session(SessionKey(owner, session_id), 0, 0.0, 0.0, live_stream_id=f"{session_id}~1")

    async def watch(self, owner, session_id, after=None):
        await asyncio.Event().wait()
        yield SessionEvent("updated", session_id)

    async def follow(self, owner, stream_id, after=None):
        for k in range(100_000):
            self.taken += 1
            yield Text("x", id=f"1-{k}")


async def test_a_slow_reader_holds_the_others_up_and_costs_little():
    torrent = Torrent()
    stream = await endpoints(torrent).events(Request("ada", query={"session": ("a", "b")}))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert torrent.taken <= AHEAD + 2
    for _ in range(100):
        await anext(stream.chunks)
    assert AHEAD < torrent.taken <= AHEAD * 102
    await stream.chunks.aclose()


class Springs(Torrent):
    """A gateway whose answers have a hundred words each."""

    async def follow(self, owner, stream_id, after=None):
        for k in range(100):
            yield Text("x", id=f"1-{k}")


async def test_a_slow_reader_of_several_answers_gets_all_of_each():
    sessions = ("a", "b", "c")
    stream = await endpoints(Springs(), ping=60).events(Request("ada", query={"session": sessions}))
    feed, seen = Feed(stream), dict.fromkeys(sessions, 0)
    while sum(seen.values()) < 300:
        await asyncio.sleep(0.001)  # they all wait for room by then
        event = await feed.event("content")
        seen[event.data["sessionId"]] += 1
    assert seen == dict.fromkeys(sessions, 100)
    await stream.chunks.aclose()


class Losing(Torrent):
    """A gateway whose store is lost: at once, or after two words."""

    def __init__(self, words):
        super().__init__()
        self.words = words

    async def session(self, owner, session_id):
        if not self.words:
            raise errors.StoreUnavailable("The store is away.")
        return await super().session(owner, session_id)

    async def follow(self, owner, stream_id, after=None):
        for k in range(self.words):
            yield Text("x", id=f"1-{k}")
        raise errors.StoreUnavailable("The store is away.")


async def test_a_lost_store_is_a_status_or_else_the_end():
    request = Request("ada", query={"session": ("a",)})
    with pytest.raises(errors.StoreUnavailable):
        await endpoints(Losing(0)).events(request)
    feed = Feed(await endpoints(Losing(2)).events(request))
    assert [event.name for event in await feed.rest()] == ["content", "content"]
    assert not working()


async def test_silence_is_filled(gateway):
    await gateway.create("ada", "s")
    stream = await endpoints(gateway, ping=0.05).events(Request("ada", query={"session": ("s",)}))
    assert [await anext(stream.chunks) for _ in range(3)] == [b": ping\n\n"] * 3
    await stream.chunks.aclose()


def test_sessions_are_named_once_each_and_not_too_many():
    assert feeds.read_sessions(["a", "b", "a"]) == ("a", "b")
    for named in ([], [str(n) for n in range(feeds.MOST + 1)]):
        with pytest.raises(errors.InvalidRequest, match="session=A"):
            feeds.read_sessions(named)


def test_where_to_go_on_is_said_by_session_and_stream():
    said = ["a:1700-0", "a~3:3-7", "b:x:y", "a~3:3-9"]
    assert feeds.read_after(said, ["a", "b"]) == {"a": "1700-0", "a~3": "3-9", "b": "x:y"}
    for wrong in ("a", "a:", ":1", "c:1", "c~1:1-1", "", "~1:1-1"):
        with pytest.raises(errors.InvalidRequest, match="SESSION:ID"):
            feeds.read_after([wrong], ["a", "b"])
