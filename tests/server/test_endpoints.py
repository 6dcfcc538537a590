"""Endpoints without a server around them: silence, late faults, and what no server may be asked to send."""

import asyncio
import threading
from dataclasses import replace

import pytest

from jupyter_server_ext.endpoints import Endpoints, EventStream, Request, error_response
from tests.fakes.provider import Reply, refused_url
from tests.server.conftest import event_of
from warp_magics.gateway import LocalGateway, errors, load_config, wire
from warp_magics.gateway.types import Started, Text

PING = 0.05


@pytest.fixture
def opened(configure, jp_asyncio_loop):
    """A factory of endpoints over a gateway of its own; the file is that of ``configure``."""
    gateways = []

    def make(*models, ping=PING, **more):
        config = load_config(path=configure(*models, **more), env={})
        gateways.append(LocalGateway(config, version="0"))
        return Endpoints(gateways[-1], session_header="x-session-id", body_size=1000, ping_seconds=ping)

    yield make
    for gateway in gateways:
        jp_asyncio_loop.run_until_complete(gateway.aclose())


def ask(**fields):
    return Request("ada", wire.json_bytes({"prompt": "Hello", **fields}))


async def test_a_silence_before_the_first_word_sends_headers_and_pings(opened, fake):
    go_on = threading.Event()
    fake.script("ok", Reply(before=[go_on]))
    stream = await opened("ok").stream(ask())
    assert "x-session-id" not in stream.headers, "nobody has begun to answer"
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert [await anext(stream.chunks) for _ in range(2)] == [b": ping\n\n"] * 2
    go_on.set()
    events = [event async for event in events_of(stream)]
    names = [event.name for event in events]
    assert (names[0], set(names[1:-1]), names[-1]) == ("start", {"content"}, "end")


async def test_a_silence_between_words_is_filled_too(opened, fake):
    go_on = threading.Event()
    fake.script("ok", Reply(chunks=["One", go_on, " two"]))
    stream = await opened("ok").stream(ask())
    seen = [await anext(stream.chunks) for _ in range(4)]
    assert seen[2:] == [b": ping\n\n"] * 2
    go_on.set()
    last = [event async for event in events_of(stream)]
    assert last[-1].data["response"]["text"] == "One two"


async def test_no_ping_where_there_is_no_silence(opened):
    stream = await opened("ok", ping=5).stream(ask())
    assert b": ping\n\n" not in [chunk async for chunk in stream.chunks]


async def test_a_late_fault_is_an_error_event_and_no_end(opened, fake):
    go_on = threading.Event()
    fake.script("late", replace(Reply.failing(500), before=[go_on]))
    stream = await opened("late").stream(ask())
    assert await anext(stream.chunks) == b": ping\n\n"
    go_on.set()
    (error,) = [event async for event in events_of(stream)]
    assert error.name == "error"
    assert error.data["code"] == "PROVIDER_RESPONSE_ERROR"
    assert "partial" not in error.data


async def test_an_early_fault_is_raised_for_its_status(opened):
    with pytest.raises(errors.SessionNotFound):
        await opened("ok").stream(ask(sessionId="never-was"))


async def test_whoever_leaves_while_pinged_ends_what_is_not_kept(opened, fake):
    stream = await opened("hang").stream(ask(store=False))
    assert await anext(stream.chunks) == b": ping\n\n"
    await stream.chunks.aclose()
    await asyncio.to_thread(fake.wait_until, lambda: fake.disconnects)


async def test_whoever_gives_up_before_the_headers_ends_what_is_not_kept(opened, fake):
    asking = asyncio.create_task(opened("hang", ping=30).stream(ask(store=False)))
    await asyncio.to_thread(fake.wait_until, lambda: fake.requests)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.to_thread(fake.wait_until, lambda: fake.disconnects)


HOSTILE = ["a\r\nSet-Cookie: b=c", "a\nb", "s\n", "a\0", "a b", "ä", "\u2028", "a:b", ""]


@pytest.mark.parametrize("down", [False, True], ids=["memory", "store down"])
async def test_no_session_id_can_be_a_header_of_its_own(opened, down):
    url = refused_url().replace("http", "redis").removesuffix("/v1")
    endpoints = opened("ok", storage=f'url = "{url}"' if down else 'type = "memory"')
    for session in HOSTILE:
        for call in (endpoints.prompt, endpoints.stream):
            with pytest.raises(errors.InvalidSessionId) as caught:
                await call(ask(sessionId=session, createSession=True))
            sent = error_response(caught.value)
            assert not sent.headers
            assert b"\n" not in wire.json_bytes(sent.body)


@pytest.mark.parametrize("name", ["x-a\\r\\nb: c", "x a", "x:a", ""])
def test_no_header_can_be_named_so_in_the_configuration(configure, name):
    with pytest.raises(errors.ConfigError, match="session_header"):
        load_config(path=configure("ok", more=f'session_header = "{name}"'), env={})


async def test_a_foreign_failure_in_mid_stream_is_an_error_event_that_tells_nothing():
    stream = await Endpoints(Crashing(), session_header="x-session-id", body_size=1000).stream(ask())
    events = [event async for event in events_of(stream)]
    assert [event.name for event in events[:-1]] == ["start", "content"]
    assert events[-1].name == "error"
    assert events[-1].data == {"code": "WARP_ERROR", "message": "The gateway failed."}


def test_an_error_says_when_to_come_back_in_whole_seconds():
    sent = error_response(errors.RateLimited("Slow down.", retry_after=1.2))
    assert (sent.status, dict(sent.headers)) == (429, {"Retry-After": "2"})
    assert sent.body == {"code": "PROVIDER_RATE_LIMIT_ERROR", "message": "Slow down.", "retryAfter": 1.2}


class Crashing:
    """A gateway with a bug in it."""

    async def stream(self, request):
        yield Started("fake:ok", id="1-1", session_id="s", stream_id="s~1", turn_id="t")
        yield Text("One", id="1-2")
        raise RuntimeError("sk-secret")


async def events_of(stream: EventStream):
    async for chunk in stream.chunks:
        assert chunk.endswith(b"\n\n")
        block = chunk.decode()[:-2]
        if not block.startswith(": "):
            yield event_of(block)
