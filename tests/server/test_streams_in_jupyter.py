"""Streams inside a Jupyter Server: follow, resume, stop and ask again; and the feeds of those who watch sessions."""

import asyncio
import json
import socket
import threading

import pytest

from tests.fakes.provider import Reply
from tests.server.conftest import Reader
from tests.server.test_auth_in_jupyter import ByHeader, config

HELLO = {"prompt": "Hello", "sessionId": "s", "createSession": True}


@pytest.fixture
def headers(jp_serverapp):
    """Those of a user, and more."""

    def make(**more):
        return {"Authorization": f"Bearer {jp_serverapp.identity_provider.token}", **more}

    return make


@pytest.fixture
def follow(jp_serverapp, http_server, http_server_client, jp_base_url, headers):
    """``await follow("sessions/s/events")``: a reader who may leave."""

    async def call(path, **more):
        reader, writer = await asyncio.open_connection("127.0.0.1", http_server_client.get_http_port())
        lines = [f"GET {jp_base_url}warp/api/v1/{path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers(**more).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return Reader(reader, writer)

    return call


async def test_a_follower_sees_the_same_bytes_as_the_asker(rest, headers):
    asked = await rest("stream", HELLO)
    again = await rest("streams/s~1")
    assert (again.status, again.body) == (200, asked.body)
    assert again.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (again.headers["x-session-id"], again.headers["x-stream-id"]) == ("s", "s~1")
    for k in range(1, len(asked.events)):
        part = await rest("streams/s~1", headers=headers(**{"Last-Event-ID": f"1-{k}"}))
        assert part.events == asked.events[k:]
        assert (await rest(f"streams/s~1?after=1-{k}")).body == part.body


async def test_a_streams_first_word_does_not_wait_for_an_acknowledgement(rest, follow, http_server):
    await rest("sessions", {"sessionId": "s"})
    reader = await follow("sessions/s/events")
    assert await reader.status() == 200
    mine = [one.stream.socket for one in http_server._connections if one.stream.socket.getpeername() == reader.address]
    assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0 for one in mine] == [True]
    reader.leave()


async def test_the_header_wins_over_the_query(rest, headers):
    events = (await rest("stream", HELLO)).events
    said = await rest("streams/s~1?after=1-1", headers=headers(**{"Last-Event-ID": "1-2"}))
    assert said.events == events[2:]


async def test_nothing_is_left_behind_the_end(rest, headers):
    last = (await rest("stream", HELLO)).events[-1].id
    said = await rest(f"streams/s~1?after={last}")
    assert (said.status, said.body) == (204, b"")
    resumed = {**HELLO, "resume": True}
    assert (await rest("stream", resumed, headers=headers(**{"Last-Event-ID": last}))).status == 204


@pytest.mark.parametrize("after", ["2-1", "x", "1", "1-x", "-", "1-"])
async def test_an_id_that_is_none_of_the_stream_is_400(rest, headers, after):
    await rest("stream", HELLO)
    for said in (
        await rest(f"streams/s~1?after={after}"),
        await rest("streams/s~1", headers=headers(**{"Last-Event-ID": after})),
    ):
        assert (said.status, said.json["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("stream", ["s~2", "t~1", "s", "~", "s~x", "a%20b~1", "s~1%0d%0aX-Y:%20z"])
async def test_a_stream_that_is_none_is_not_found(rest, stream):
    await rest("stream", HELLO)
    for said in (await rest(f"streams/{stream}"), await rest(f"streams/{stream}/stop", b"")):
        assert said.status in (400, 404), stream
        assert said.json["code"] in ("STREAM_NOT_FOUND", "SESSION_NOT_FOUND", "INVALID_SESSION_ID")
        assert "X-Y" not in said.headers


async def test_followers_of_a_live_answer_see_it_to_its_end(rest, follow, open_stream, fake):
    go_on = threading.Event()
    fake.script("ok", Reply(chunks=["One", go_on, " two"]))
    asker = await open_stream(HELLO)
    await asker.event("content")
    late = await follow("streams/s~1")
    assert (await late.event("content")).data == {"response": "One"}
    resumed = asyncio.create_task(rest("streams/s~1?after=1-2"))
    go_on.set()
    ends = [await asker.event("end"), await late.event("end"), (await resumed).events[-1]]
    assert ends[0].data == ends[1].data == ends[2].data
    assert {one.id for one in ends} == {"1-4"}
    assert "".join(one.data["response"] for one in (await resumed).events[:-1]) == " two"


async def test_a_stream_resumes_where_it_was_left_and_asks_nothing(rest, headers, fake):
    events = (await rest("stream", HELLO)).events
    said = await rest("stream", {**HELLO, "resume": True}, headers=headers(**{"Last-Event-ID": "1-2"}))
    assert said.events == events[2:]
    assert said.headers["x-session-id"] == "s"
    assert len(fake.requests) == 1


async def test_what_is_no_resume_is_asked(rest, headers, fake):
    await rest("stream", HELLO)
    at = headers(**{"Last-Event-ID": "1-2"})
    for body, given in (
        ({**HELLO, "resume": True}, headers()),
        ({**HELLO, "resume": False}, at),
        (HELLO, at),
        ({"prompt": "Hello", "resume": True}, at),
    ):
        asked = len(fake.requests)
        said = await rest("stream", body, headers=given)
        assert said.events[0].name == "start"
        assert len(fake.requests) == asked + 1


@pytest.mark.parametrize(("after", "status"), [("x", 400), ("x-1", 400), ("-1", 400), ("9-1", 404)])
async def test_a_resume_of_nothing_is_refused(rest, headers, fake, after, status):
    await rest("stream", HELLO)
    said = await rest("stream", {**HELLO, "resume": True}, headers=headers(**{"Last-Event-ID": after}))
    assert said.status == status
    assert len(fake.requests) == 1


async def test_a_stop_keeps_the_part(rest, open_stream, fake):
    reader = await open_stream({**HELLO, "models": ["fake:silent-2"]})
    await reader.event("content")
    await reader.event("content")
    said = await rest("streams/s~1/stop", b"")
    assert (said.status, said.json) == (200, {"streamId": "s~1", "status": "stopped"})
    end = (await reader.event("end")).data["response"]
    assert (end["text"], end["result"]) == ("You said", "INCOMPLETE_STOPPED")
    (turn,) = (await rest("sessions/s/history")).json["turns"]
    assert (turn["status"], turn["response"]) == ("stopped", "You said")
    assert (await rest("streams/s~1/stop", b"")).json == {"streamId": "s~1", "status": "ended"}
    await asyncio.to_thread(fake.wait_until, lambda: fake.disconnects)


async def test_what_has_not_begun_is_stopped_by_its_turn(rest, headers, fake):
    asking = asyncio.create_task(
        rest("prompt", {**HELLO, "models": ["fake:hang"]}, headers=headers(**{"Idempotency-Key": "mine"}))
    )
    await asyncio.to_thread(fake.wait_until, lambda: fake.requests)
    assert (await rest("streams/mine/stop", b"")).json == {"streamId": "mine", "status": "stopped"}
    said = await asking
    assert (said.status, said.json["result"], said.json["text"]) == (200, "INCOMPLETE_STOPPED", "")


async def test_a_key_asks_once(rest, headers, fake):
    keyed = headers(**{"Idempotency-Key": "my.turn-1_"})
    first = await rest("prompt", HELLO, headers=keyed)
    assert first.json["turnId"] == "my.turn-1_"
    again = await rest("prompt", HELLO, headers=keyed)
    assert (again.status, again.json["text"], again.json["turnId"]) == (200, first.json["text"], "my.turn-1_")
    streamed = await rest("stream", HELLO, headers=keyed)
    assert streamed.events[-1].data["response"]["text"] == first.json["text"]
    assert len(fake.requests) == 1
    assert len((await rest("sessions/s/history")).json["turns"]) == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 129, "a/b", "a~1"])
@pytest.mark.parametrize("path", ["prompt", "stream"])
async def test_a_key_that_is_no_id_is_400(rest, headers, fake, path, key):
    said = await rest(path, HELLO, headers=headers(**{"Idempotency-Key": key}))
    assert (said.status, said.json["code"]) == (400, "INVALID_REQUEST")
    assert "Idempotency-Key" in said.json["message"]
    assert not fake.requests


# -- feeds -----------------------------------------------------------------------------------------


async def test_a_feed_tells_what_happens_to_a_session(rest, follow):
    await rest("sessions", {"sessionId": "s"})
    watcher = await follow("sessions/s/events")
    assert await watcher.status() == 200
    one = (await rest("prompt", HELLO)).json["turnId"]
    started = await watcher.event("turn-started")
    assert started.data == {"sessionId": "s", "streamId": "s~1", "turnId": one}
    ended = (await watcher.event("turn-ended")).data
    assert (ended["turnId"], ended["status"]) == (one, "complete")
    await rest("sessions/s", {"title": "New"}, method="PATCH")
    assert (await watcher.event("updated")).data["sessionId"] == "s"
    await rest("prompt", HELLO)
    await rest("sessions/s/rewind", {"to": one})
    await watcher.event("rewound")
    whole = await follow(f"sessions/s/events?after={started.id}")
    assert await whole.status() == 200
    back = await follow("sessions/s/events", **{"Last-Event-ID": started.id})
    assert (await back.event("turn-ended")).data == ended
    await rest("sessions/s", method="DELETE")
    await watcher.event("deleted")
    assert [event.name for event in await whole.events()] == [
        "turn-ended",
        "updated",
        "turn-started",
        "turn-ended",
        "rewound",
        "deleted",
    ]


async def test_one_connection_follows_several_sessions(rest, follow):
    for session in ("a", "b"):
        await rest("sessions", {"sessionId": session})
    watcher = await follow("events?session=a&session=b&session=never-was")
    lost = await watcher.event("error")
    assert (lost.data["code"], lost.data["sessionId"]) == ("SESSION_NOT_FOUND", "never-was")
    for session in ("a", "b"):
        said = await rest("stream", {"prompt": session, "sessionId": session})
        of = {"sessionId": session, "streamId": f"{session}~1"}
        started = await watcher.event("turn-started")
        assert {**started.data, **of} == started.data
        for event in said.events:
            passed = await watcher.event(event.name)
            assert (passed.id, passed.data) == (event.id, {**event.data, **of})


@pytest.mark.parametrize(
    "query", ["", "session=s&after=s", "session=s&after=s:", "session=s&after=t:1-1", "session=s&after=t~1:1-1"]
)
async def test_feeds_of_nothing_are_400(rest, query):
    await rest("sessions", {"sessionId": "s"})
    said = await rest(f"events?{query}")
    assert (said.status, said.json["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["sessions/s/events", "events?session=s", "streams/s~1"])
async def test_a_reader_who_leaves_leaves_nothing_running(rest, follow, open_stream, path):
    reader = await open_stream({**HELLO, "models": ["fake:silent-2"]})
    await reader.event("content")
    before = working()
    watcher = await follow(path)
    assert await watcher.status() == 200
    assert working() > before
    watcher.leave()
    async with asyncio.timeout(10):
        while working() > before:  # noqa: ASYNC110 - the server finds out by itself
            await asyncio.sleep(0.005)
    await rest("streams/s~1/stop", b"")


def working():
    """How many tasks the extension runs."""
    return sum("jupyter_server_ext" in task.get_coro().cr_code.co_filename for task in asyncio.all_tasks())


class TestAnotherOwner:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        return config(identity_provider_class=ByHeader)

    async def test_sees_no_stream_and_no_session(self, rest):
        ada, bob = {"X-User": "ada"}, {"X-User": "bob"}
        assert (await rest("stream", HELLO, headers=ada)).status == 200
        assert (await rest("streams/s~1", headers=ada)).status == 200
        assert [one["sessionId"] for one in (await rest("sessions", headers=ada)).json["sessions"]] == ["s"]
        assert (await rest("sessions", headers=bob)).json["sessions"] == []
        for path, method in (
            ("streams/s~1", "GET"),
            ("streams/s~1/stop", "POST"),
            ("sessions/s", "GET"),
            ("sessions/s", "DELETE"),
            ("sessions/s/events", "GET"),
            ("sessions/s/export", "GET"),
        ):
            said = await rest(path, b"" if method == "POST" else None, method=method, headers=bob)
            assert said.status == 404, path
        mixed = await rest("events?session=s", headers=bob)
        (error,) = [event for event in mixed.events if event.name]
        assert error.data["code"] == "SESSION_NOT_FOUND"
        assert len((await rest("sessions/s/history", headers=ada)).json["turns"]) == 1

    async def test_a_kernel_has_its_servers_sessions(self, rest, jp_serverapp):
        (extension,) = jp_serverapp.extension_manager.extension_apps["jupyter_server_ext"]
        kernel = {"Authorization": f"token {extension._token}"}
        assert (await rest("prompt", HELLO, headers=kernel)).status == 200
        assert (await rest("sessions/s", headers=kernel)).status == 200
        for name in ("ada", "warp-kernel"):
            assert (await rest("sessions/s", headers={"X-User": name})).status == 404
        assert (await rest("sessions/s", headers={"X-User": "local"})).status == 200
        assert json.loads((await rest("health/ready", headers=kernel)).body)["gatewayId"]
