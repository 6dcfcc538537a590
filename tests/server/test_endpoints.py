"""Endpoints without a server around them: silence, late faults, and what no server may be asked to send."""

import asyncio
import json
import threading
from dataclasses import replace

import pytest

from jupyter_server_ext.rest.endpoints import Endpoints
from jupyter_server_ext.rest.messages import Request, error_response
from jupyter_server_ext.rest.openai_api import chat_completions
from jupyter_server_ext.rest.routes import ROUTES, allowed, match, unmatched
from tests.fakes.provider import Reply, refused_url
from tests.server.conftest import events_of
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
    async for chunk in stream.chunks:
        if b'"One"' in chunk:
            break
    assert [await anext(stream.chunks) for _ in range(2)] == [b": ping\n\n"] * 2
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
    await asyncio.to_thread(fake.wait_until, lambda: fake.requests)
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


# -- streams ---------------------------------------------------------------------------------------


async def test_a_silence_tells_the_session_that_was_asked_for(opened, fake):
    go_on = threading.Event()
    fake.script("ok", Reply(before=[go_on]))
    stream = await opened("ok").stream(ask(sessionId="s", createSession=True))
    assert stream.headers["x-session-id"] == "s"
    go_on.set()
    assert [event.name async for event in events_of(stream)][-1] == "end"


async def test_a_follower_of_a_silent_answer_gets_headers_and_pings(opened, fake):
    endpoints = opened("hang")
    asking = await endpoints.stream(ask(sessionId="s", createSession=True))
    stream = await endpoints.follow(Request("ada"), "s~1")
    assert (stream.headers["x-session-id"], stream.headers["x-stream-id"]) == ("s", "s~1")
    assert [await anext(stream.chunks) for _ in range(2)] == [b": ping\n\n"] * 2
    await endpoints.stop(Request("ada"), "s~1")
    names = [event.name async for event in events_of(stream)]
    assert names == [event.name async for event in events_of(asking)] == ["end"]


async def test_a_watched_session_has_its_headers_at_once(opened):
    endpoints = opened("ok", ping=30)
    await endpoints.create(Request("ada", b'{"sessionId": "s"}'))
    stream = await asyncio.wait_for(endpoints.watch(Request("ada"), "s"), 10)
    assert await anext(stream.chunks) == b": ping\n\n"
    told = asyncio.ensure_future(anext(stream.chunks))
    while not told.done():  # the headers came before the store was asked: now it watches
        await endpoints.update(Request("ada", b'{"title": "t"}'), "s")
        await asyncio.sleep(0.01)
    await endpoints.delete(Request("ada"), "s")
    assert [event.name async for event in events_of(stream)][-1] == "deleted"


class Losing:
    """A gateway whose store is lost after some events; ``wait`` says when."""

    def __init__(self, *events, wait=None):
        self.events, self.wait = events, wait

    async def follow(self, owner, stream_id, after=None):
        for event in self.events:
            yield event
        if self.wait:
            await self.wait.wait()
        raise errors.StoreUnavailable("The store is away.")

    async def stream(self, request):
        async for event in self.follow(request.owner, "s~1"):
            yield event


def losing(*events, wait=None):
    gateway = Losing(*events, wait=wait)
    return Endpoints(gateway, session_header="x-session-id", body_size=1000, ping_seconds=PING)


START = Started("fake:ok", id="1-1", session_id="s", stream_id="s~1", turn_id="t")


async def test_a_store_lost_before_the_first_event_is_a_status():
    for call in (losing().follow(Request("ada"), "s~1"), losing().stream(ask())):
        with pytest.raises(errors.StoreUnavailable):
            await call


async def test_a_store_lost_after_the_first_event_ends_the_connection_and_not_the_answer():
    for call in (losing(START).follow(Request("ada"), "s~1"), losing(START).stream(ask())):
        assert [event.name async for event in events_of(await call)] == ["start"]


async def test_on_openais_paths_a_stream_that_cannot_be_gone_on_with_never_just_ends():
    body = b'{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
    stream = await chat_completions(losing(START, Text("Hel", id="1-2")), Request("ada", body))
    *told, last = [chunk async for chunk in stream.chunks]
    assert any(b'"Hel"' in chunk for chunk in told)
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "STORAGE_UNAVAILABLE"


async def test_a_store_lost_in_silence_sends_a_follower_back_and_tells_an_asker():
    wait = asyncio.Event()
    following = await losing(wait=wait).follow(Request("ada"), "s~1")
    asking = await losing(wait=wait).stream(ask())
    wait.set()
    assert [event async for event in events_of(following)] == []
    (error,) = [event async for event in events_of(asking)]
    assert (error.name, error.data["code"]) == ("error", "STORAGE_UNAVAILABLE")


async def test_no_stream_id_can_be_a_header_of_its_own():
    for stream_id in ("s~1\r\nX: y", "s~x", "s", "s~1\n", "é~1"):
        stream = await losing(START).follow(Request("ada"), stream_id)
        assert "x-stream-id" not in stream.headers
        await stream.chunks.aclose()


# -- routes ----------------------------------------------------------------------------------------


def test_a_route_is_found_with_its_groups_decoded():
    route, groups = match("GET", "api/v1/sessions/a%20b/history")
    assert (route.call, route.action, route.open, groups) == (Endpoints.history, "read", False, {"session_id": "a b"})
    assert match("GET", "api/v1/streams/s~1%2Fx")[1] == {"stream_id": "s~1/x"}
    with pytest.raises(errors.InvalidRequest):
        match("GET", "api/v1/sessions/%ff")


@pytest.mark.parametrize("path", ["", "api/v1/sessions/", "api/v1/sessions/a/b", "api/v1/promptx", "x/api/v1/prompt"])
def test_what_is_no_path_has_no_verb(path):
    assert match("GET", path) is None
    assert allowed(path) == ()
    assert (unmatched(path).status, unmatched(path).body["code"]) == (404, "NOT_FOUND")


def test_a_path_tells_its_verbs():
    assert allowed("api/v1/sessions/s") == ("GET", "PATCH", "DELETE")
    refused = unmatched("api/v1/sessions/s")
    assert (refused.status, refused.headers) == (405, {"Allow": "GET, PATCH, DELETE"})


def test_only_health_is_open_and_what_changes_something_is_writing():
    assert {route.pattern for route in ROUTES if route.open} == {"api/v1/health/live", "api/v1/health/ready"}
    assert {route.verb for route in ROUTES if route.action == "read"} == {"GET"}
    assert "GET" not in {route.verb for route in ROUTES if route.action == "write"}
