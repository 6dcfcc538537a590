"""The ASGI application: spoken to as a server speaks to it where the case is odd, and over uvicorn on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import socket

import httpx
import pytest
import uvicorn

from jupyter_server_ext.apart.asgi import LEFT, Application
from jupyter_server_ext.apart.guards import FixedTokens
from jupyter_server_ext.rest.endpoints import Endpoints
from tests.server.conftest import Answer
from warp_magics import gateway as warp

ADA, BOB = "token-of-ada", "token-of-bob"
LIMIT = 1000
SIGNED = {"authorization": f"Bearer {ADA}"}


class Visit:
    """One request, as an ASGI server brings it; what came back is in `sent`."""

    def __init__(self, app, method, path, *, headers=SIGNED, body=(b"",), query="", left=None):
        raw = path.encode()
        self._messages = asyncio.Queue()
        for number, part in enumerate(body, 1):
            self._messages.put_nowait({"type": "http.request", "body": part, "more_body": number < len(body)})
        self.taken = 0
        self.sent = []
        self.taking = asyncio.Event()  # cleared, the reader takes nothing more
        self.taking.set()
        self.offered = asyncio.Event()
        self.waiting = 0
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": raw,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in pairs(headers)],
        }
        self._left = left
        if left is not None:
            scope[LEFT] = left
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self):
        message = await self._messages.get()
        self.taken += 1
        return message

    async def _send(self, message):
        assert not self.waiting, "a second thing was sent before the first had gone"
        self.waiting += 1
        self.offered.set()
        await self.taking.wait()
        self.waiting -= 1
        self.sent.append(message)

    def leave(self):
        if self._left is not None:
            self._left.set_result(None)
        self._messages.put_nowait({"type": "http.disconnect"})

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    async def answer(self):
        async with asyncio.timeout(10):
            await self.task
        start, *parts = self.sent
        assert not parts[-1].get("more_body")
        headers = {name.decode().title(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, self.body)

    async def seen(self, text):
        """Wait until the reader has been sent it."""
        async with asyncio.timeout(10):
            while text not in self.body:
                assert not self.task.done(), self.body
                await asyncio.sleep(0)


def pairs(headers):
    return headers.items() if isinstance(headers, dict) else headers


def ask(**fields):
    return [json.dumps({"prompt": "Hello", **fields}).encode()]


@contextlib.asynccontextmanager
async def lived(app):
    """The application between its start and its end."""
    messages, told = asyncio.Queue(), asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan"}, messages.get, told.put))
    messages.put_nowait({"type": "lifespan.startup"})
    try:
        assert (await told.get())["type"] == "lifespan.startup.complete"
        yield app
    finally:
        messages.put_nowait({"type": "lifespan.shutdown"})
        async with asyncio.timeout(15):
            await life
    assert (await told.get())["type"] == "lifespan.shutdown.complete"


def application(gateway, closed=None):
    @contextlib.asynccontextmanager
    async def opened():
        try:
            yield Endpoints(gateway, session_header="x-session-id", body_size=LIMIT)
        finally:
            await (closed or gateway.aclose)()

    return Application(opened, FixedTokens({ADA: "ada", BOB: "bob"}), body_size=LIMIT)


@pytest.fixture
def started(configure):
    """`async with started("ok") as app`: over a gateway of its own, for the fake provider's models."""

    def make(*models, **more):
        config = warp.load_config(path=configure(*models, **more), env={})
        return lived(application(warp.LocalGateway(config, version="0")))

    return make


class Broken:
    """A gateway with which everything goes wrong, as no gateway of ours should."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        async def fail(*_args, **_more):
            raise self._error

        return fail


async def nothing():
    pass


# -- who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {ADA[:-1]}"},
        {"authorization": f"Bearer {ADA}x"},
        {"authorization": f"Basic {ADA}"},
        {"authorization": ADA},
        {"authorization": f"Bearer {ADA} {BOB}"},
        {"authorization": "Bearer \xfftoken"},
        [("authorization", f"Bearer {ADA}"), ("authorization", f"Bearer {BOB}")],
        {"cookie": f"token={ADA}"},
    ],
)
async def test_a_stranger_is_refused_before_a_byte_of_the_body_is_read(started, fake, headers):
    async with started("ok") as app:
        visit = Visit(app, "POST", "/warp/api/v1/prompt", headers=headers, body=ask(), query=f"token={ADA}")
        said = await visit.answer()
    assert (said.status, said.json["code"]) == (401, "UNAUTHORIZED")
    assert said.headers["Www-Authenticate"] == "Bearer"
    assert "Authorization: Bearer" in said.json["message"]
    assert visit.taken == 0
    assert not fake.requests


@pytest.mark.parametrize("said", ["Bearer", "bearer", "token", "Token"])
async def test_a_token_is_said_as_bearer_or_token(started, said):
    async with started("ok") as app:
        headers = {"authorization": f"{said} {ADA}"}
        assert (await Visit(app, "GET", "/warp/api/v1/models", headers=headers).answer()).status == 200


async def test_each_token_has_its_owner(started):
    async with started("ok") as app:
        body = ask(sessionId="s", createSession=True)
        assert (await Visit(app, "POST", "/warp/api/v1/prompt", body=body).answer()).status == 200
        history = "/warp/api/v1/sessions/s/history"
        assert len((await Visit(app, "GET", history).answer()).json["turns"]) == 1
        bobs = await Visit(app, "GET", history, headers={"authorization": f"Bearer {BOB}"}).answer()
        assert (bobs.status, bobs.json["code"]) == (404, "SESSION_NOT_FOUND")


async def test_health_tells_a_stranger_the_status_alone(started):
    async with started("ok") as app:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            for path in ("live", "ready"):
                said = await Visit(app, "GET", f"/warp/api/v1/health/{path}", headers=headers).answer()
                assert (said.status, said.json) == (200, {"status": "ok"})
        told = (await Visit(app, "GET", "/warp/api/v1/health/ready").answer()).json
        assert told["storage"]["type"] == "memory"


async def test_a_stranger_hears_of_trouble_only_that_there_is_some():
    async with lived(application(Broken(warp.errors.ConfigError("a secret place is wrong")), nothing)) as app:
        said = await Visit(app, "GET", "/warp/api/v1/health/ready", headers={}).answer()
        assert (said.status, said.json) == (500, {"status": "error"})
        known = await Visit(app, "GET", "/warp/api/v1/health/ready").answer()
        assert (known.status, known.json["message"]) == (500, "a secret place is wrong")


# -- what is there


@pytest.mark.parametrize(
    "path", ["/", "/warp", "/warp/", "/warp/nothing", "/warpapi/v1/models", "/api/v1/models", "/x/warp/api/v1/models"]
)
@pytest.mark.parametrize("headers", [SIGNED, {}])
async def test_an_unknown_path_is_a_404_in_json_for_everybody(started, path, headers):
    async with started("ok") as app:
        said = await Visit(app, "GET", path, headers=headers).answer()
    assert (said.status, said.json["code"]) == (404, "NOT_FOUND")


async def test_another_verb_is_told_which_there_are(started):
    async with started("ok") as app:
        said = await Visit(app, "PUT", "/warp/api/v1/sessions/s").answer()
    assert (said.status, said.json["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(said.headers["Allow"].split(", ")) == {"GET", "PATCH", "DELETE"}


async def test_a_path_is_decoded_once_and_in_its_parts(started):
    async with started("ok") as app:
        statuses = {
            part: (await Visit(app, "GET", f"/warp/api/v1/sessions/{part}/history").answer()).json["code"]
            for part in ("a%2Fb", "a%252Fb", "n%65ver", "%ff")
        }
    assert statuses == {
        "a%2Fb": "INVALID_SESSION_ID",
        "a%252Fb": "INVALID_SESSION_ID",
        "n%65ver": "SESSION_NOT_FOUND",
        "%ff": "INVALID_REQUEST",
    }


async def test_head_is_get_without_its_body(started):
    async with started("ok") as app:
        got = await Visit(app, "GET", "/warp/api/v1/models").answer()
        head = await Visit(app, "HEAD", "/warp/api/v1/models").answer()
        assert (head.status, head.headers, head.body) == (200, got.headers, b"")
        assert int(head.headers["Content-Length"]) == len(got.body) > 0
        assert (await Visit(app, "HEAD", "/warp/api/v1/prompt").answer()).status == 405
        assert (await Visit(app, "HEAD", "/warp/nothing").answer()).status == 404


async def test_head_of_a_stream_has_its_headers_and_ends(started):
    async with started("ok") as app:
        body = ask(sessionId="s", createSession=True)
        said = await Visit(app, "POST", "/warp/api/v1/stream", body=body).answer()
        stream = f"/warp/api/v1/streams/{said.headers['X-Stream-Id']}"
        head = await Visit(app, "HEAD", stream).answer()
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"].startswith("text/event-stream")
        assert (await Visit(app, "GET", stream).answer()).events == said.events


async def test_what_has_no_body_says_so(started):
    async with started("ok") as app:
        assert (await Visit(app, "POST", "/warp/api/v1/sessions", body=[b'{"sessionId": "s"}']).answer()).status == 201
        gone = await Visit(app, "DELETE", "/warp/api/v1/sessions/s").answer()
    assert (gone.status, gone.body) == (204, b"")
    assert not {"Content-Type", "Content-Length"} & gone.headers.keys()


async def test_a_foreign_exception_is_logged_and_tells_nothing(caplog):
    async with lived(application(Broken(RuntimeError("the secret")), nothing)) as app:
        said = await Visit(app, "GET", "/warp/api/v1/models").answer()
    assert (said.status, said.json) == (
        500,
        {"code": "INTERNAL_SERVER_ERROR", "message": "Internal Server Error"},
    )
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the secret" in record.exc_text


# -- bodies


async def test_a_body_that_says_it_is_too_large_is_not_read(started, fake):
    async with started("ok") as app:
        visit = Visit(
            app, "POST", "/warp/api/v1/prompt", headers=SIGNED | {"content-length": str(LIMIT + 1)}, body=ask()
        )
        said = await visit.answer()
    assert (said.status, said.json["code"], visit.taken) == (413, "BODY_TOO_LARGE", 0)
    assert str(LIMIT) in said.json["message"]
    assert not fake.requests


async def test_a_body_in_parts_is_read_up_to_the_limit(started):
    async with started("ok") as app:
        visit = Visit(app, "POST", "/warp/api/v1/prompt", body=[b"x" * 300] * 100)
        said = await visit.answer()
        assert (said.status, said.json["code"], visit.taken) == (413, "BODY_TOO_LARGE", 4)
        text = json.dumps({"prompt": "x" * (LIMIT - len('{"prompt": ""}'))}).encode()
        assert len(text) == LIMIT
        whole = Visit(app, "POST", "/warp/api/v1/prompt", body=[text[:10], text[10:500], text[500:]])
        assert (await whole.answer()).status == 200


async def test_whoever_leaves_in_mid_upload_has_asked_nothing(started, fake):
    async with started("ok") as app:
        visit = Visit(app, "POST", "/warp/api/v1/prompt", body=())
        visit._messages.put_nowait({"type": "http.request", "body": ask()[0], "more_body": True})
        visit.leave()
        await asyncio.wait_for(visit.task, 10)
    assert not visit.sent
    assert not fake.requests


# -- readers


@pytest.mark.parametrize("told", [False, True], ids=["is received", "is told"])
@pytest.mark.parametrize("path", ["prompt", "stream"])
async def test_a_reader_that_leaves_ends_what_is_not_kept(started, fake, path, told):
    async with started("silent-2") as app:
        left = asyncio.get_running_loop().create_future() if told else None
        visit = Visit(app, "POST", f"/warp/api/v1/{path}", body=ask(store=False), left=left)
        if path == "stream":
            await visit.seen(b'"response":" said"')
        await asyncio.to_thread(fake.wait_until, lambda: fake.requests)
        visit.leave()
        await asyncio.wait_for(visit.task, 10)
        await asyncio.to_thread(fake.wait_until, lambda: fake.disconnects)
    assert bool(visit.sent) == (path == "stream")


async def test_a_reader_that_left_while_his_body_was_read_is_not_answered(started, fake):
    async with started("ok") as app:
        gone = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        visit = Visit(app, "POST", "/warp/api/v1/prompt", body=ask(store=False), left=gone)
        await asyncio.wait_for(visit.task, 10)
    assert not visit.sent
    assert not fake.requests


async def test_a_slow_reader_holds_up_what_is_made_for_him():
    made = 0

    async def many():
        nonlocal made
        for made in range(1, 1001):
            yield f"{made} "

    async with lived(over(many)) as app:
        visit = Visit(app, "GET", FOLLOWED)
        visit.taking.clear()
        await asyncio.wait_for(visit.offered.wait(), 10)
        for _ in range(2000):
            await asyncio.sleep(0)
        assert made < 100
        visit.taking.set()
        said = await visit.answer()
    assert text_of(said.events) == "".join(f"{number} " for number in range(1, 1001))


async def test_closing_lets_go_of_a_reader_who_has_nothing_more_to_come():
    closed = asyncio.Event()

    async def silent():
        try:
            yield "One"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with lived(over(silent)) as app:
        visit = Visit(app, "GET", FOLLOWED)
        await visit.seen(b"One")
    assert text_of((await visit.answer()).events) == "One"
    assert closed.is_set()


async def test_closing_stops_answers_and_their_readers_see_the_end(started):
    async with started("silent-2") as app:
        visit = Visit(app, "POST", "/warp/api/v1/stream", body=ask(sessionId="s", createSession=True))
        await visit.seen(b'"response":" said"')
    said = await visit.answer()
    assert said.events[-1].name == "end"
    assert said.events[-1].data["response"]["result"] == "INCOMPLETE_STOPPED"


async def test_a_start_that_fails_says_why():
    @contextlib.asynccontextmanager
    async def opened():
        raise warp.errors.ConfigError("models: is wrong")
        yield

    told = asyncio.Queue()

    async def begin():
        return {"type": "lifespan.startup"}

    await Application(opened, FixedTokens({}), body_size=LIMIT)({"type": "lifespan"}, begin, told.put)
    assert told.get_nowait() == {"type": "lifespan.startup.failed", "message": "models: is wrong"}


class Following:
    """A gateway that knows one stream, and yields its texts as `make` does."""

    def __init__(self, make):
        self._make = make

    async def follow(self, owner, stream_id, after=None):
        number = itertools.count(1)
        async with contextlib.aclosing(self._make()) as texts:
            async for text in texts:
                yield warp.Text(text, f"1-{next(number)}")


FOLLOWED = "/warp/api/v1/streams/s~1"


def over(make):
    return application(Following(make), nothing)


def text_of(events):
    return "".join(event.data["response"] for event in events)


# -- over a real server


@contextlib.asynccontextmanager
async def served(app):
    """A client of the application over uvicorn, with its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    )
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    task = asyncio.ensure_future(server._serve(sockets=[listening]))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/warp/api/v1/", headers=SIGNED) as client:
            yield client, port
    finally:
        server.should_exit = True
        async with asyncio.timeout(15):
            await task


async def test_a_chunked_body_over_the_limit_is_413_and_the_connection_goes_on(started):
    async def parts(count):
        for _ in range(count):
            yield b"x" * 65536

    async with started("ok") as app, served(app) as (client, _):
        said = await client.post("prompt", content=parts(64))
        assert (said.status_code, said.json()["code"]) == (413, "BODY_TOO_LARGE")
        assert (await client.post("prompt", content=b"x" * 3_000_000)).status_code == 413
        assert (await client.post("prompt", json={"prompt": "Hello"})).status_code == 200
        head = await client.head("models")
        assert (head.status_code, head.content) == (200, b"")


async def test_a_connection_that_breaks_ends_an_answer_at_once(started, fake):
    async with started("silent-2") as app, served(app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        (body,) = ask(store=False)
        head = f"POST /warp/api/v1/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        async with asyncio.timeout(10):
            await reader.readuntil(b'"response":" said"')
        writer.transport.abort()
        await asyncio.to_thread(fake.wait_until, lambda: fake.disconnects)


async def test_a_reader_that_takes_nothing_fills_no_memory_and_gets_all_in_the_end():
    made = 0

    async def many():
        nonlocal made
        for _ in range(400):
            made += 1
            yield "x" * 65536

    async with lived(over(many)) as app, served(app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(f"GET {FOLLOWED} HTTP/1.0\r\nauthorization: Bearer {ADA}\r\n\r\n".encode())
        still = 0
        while not made or still < 1000:  # rounds of the loop that have brought nothing more
            before = made
            await asyncio.sleep(0)
            still = still + 1 if made == before else 0
        assert made < 300
        async with asyncio.timeout(30):
            said = await reader.read(-1)
        assert said.count(b"data: ") == 400
        writer.close()
