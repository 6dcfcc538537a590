"""A body over the limit is refused while it arrives, and a stranger's is not read: at both servers, over loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc

import pytest

from tests.server.places import owners

LIMIT = 100_000
LIMITS = f"body_size = {LIMIT}"
PIECE = b"x" * 65536
REFUSED = {"jupyter": 403, "alone": 401}


@pytest.fixture
def jp_server_config(configure):
    configure("ok")
    return owners()


@pytest.fixture
def place(open_place, jp_asyncio_loop):
    return jp_asyncio_loop.run_until_complete(open_place("ok", limits=LIMITS))


async def answer(reader):
    """The status, the headers and the JSON of what has come, read as a client does that knows its length."""
    async with asyncio.timeout(20):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1]), headers, json.loads(body)


async def closed(reader):
    """Wait till the server has closed the connection."""
    async with asyncio.timeout(20):
        try:
            while await reader.read(65536):
                pass
        except ConnectionResetError:
            pass


@pytest.mark.parametrize("path", ["api/v1/models", "v1/models", "nothing"])
async def test_who_is_refused_without_a_body_may_ask_on_over_the_same_connection(place, path):
    reader, writer = await place.connect()
    for verb in ("GET", "DELETE", "GET"):
        writer.write(place.head(None, verb, path))
        status, headers, _ = await answer(reader)
        assert status in (401, 403, 404, 405)
        assert headers.get("connection") != "close"
    writer.write(place.head("ada", "GET", "api/v1/models"))
    assert (await answer(reader))[0] == 200


async def test_a_length_over_the_limit_is_refused_before_a_byte_of_the_body(place):
    reader, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", f"Content-Length: {LIMIT + 1}"))
    status, headers, body = await answer(reader)
    assert (status, body["code"]) == (413, "BODY_TOO_LARGE")
    assert body["message"] == f"The body is over {LIMIT} bytes (limits.body_size)."
    assert headers["x-content-type-options"] == "nosniff"
    await closed(reader)


async def test_a_length_over_what_the_server_itself_takes_is_told_no_other_way(place):
    reader, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", f"Content-Length: {10**12}"))
    assert (await answer(reader))[0] == 413
    await closed(reader)


async def test_who_waits_to_be_told_to_go_on_is_told_so_or_refused_at_once(place):
    reader, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", f"Content-Length: {LIMIT * 2}", "Expect: 100-continue"))
    assert (await answer(reader))[0] == 413
    await closed(reader)
    sent = b'{"prompt": "Hello"}'
    reader, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", f"Content-Length: {len(sent)}", "Expect: 100-continue"))
    async with asyncio.timeout(20):
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(sent)
    assert (await answer(reader))[0] == 200


async def test_a_body_of_unknown_length_is_refused_as_soon_as_it_passes_the_limit(place):
    reader, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", "Transfer-Encoding: chunked"))
    for _ in range(2):
        writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
    status, _, body = await answer(reader)  # the body has no end yet
    assert (status, body["code"]) == (413, "BODY_TOO_LARGE")
    await closed(reader)


async def test_one_chunk_as_large_as_one_likes_to_say_is_refused_likewise(place):
    reader, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", "Transfer-Encoding: chunked") + b"7fffffff\r\n" + PIECE * 2)
    assert (await answer(reader))[0] == 413


async def test_a_client_that_sends_it_all_sees_the_refusal_and_no_reset(place):
    async def parts():
        for _ in range(160):
            yield PIECE

    for body in (PIECE * 160, parts()):
        url = f"http://127.0.0.1:{place.port}{place.base}api/v1/prompt"
        said = await place.client.post(url, content=body, headers=place.headers("ada"))
        assert (said.status_code, said.json()["code"]) == (413, "BODY_TOO_LARGE")
    assert (await place.ask("ada", "POST", "api/v1/prompt", {"prompt": "Hello"})).status_code == 200


async def test_a_body_of_the_limit_is_taken(place):
    sent = json.dumps({"prompt": "x" * (LIMIT - 14)}).encode()
    assert len(sent) == LIMIT
    assert (await place.ask("ada", "POST", "api/v1/prompt", sent)).status_code == 200
    assert (await place.ask("ada", "POST", "api/v1/prompt", sent + b" ")).status_code == 413


async def test_who_leaves_after_a_large_body_has_his_answer_ended(open_place, fake):
    """A server may stop reading at so much; it has to see all the same that nobody is there."""
    place = await open_place("silent-2")
    body = json.dumps({"prompt": "x" * 90_000, "store": False}).encode()
    _, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", f"Content-Length: {len(body)}"))
    await asyncio.sleep(0.1)  # for the body to come by itself
    writer.write(body)
    await asyncio.to_thread(fake.wait_until, lambda: fake.requests)
    writer.transport.abort()
    await asyncio.to_thread(fake.wait_until, lambda: fake.disconnects)


async def test_a_stranger_is_refused_before_the_body_is_read(place, fake):
    for line in ("Content-Length: 5000", "Transfer-Encoding: chunked"):
        for path in ("api/v1/prompt", "api/v1/sessions"):
            reader, writer = await place.connect()
            writer.write(place.head(None, "POST", path, line))
            assert (await answer(reader))[0] == REFUSED[place.kind]
    reader, writer = await place.connect()
    writer.write(place.head(None, "POST", "nothing/here", "Content-Length: 5000"))
    assert (await answer(reader))[0] == 404
    assert not fake.requests


async def test_what_many_send_too_much_of_is_not_kept(place):
    """A hundred megabytes over ten connections at once."""

    async def send():
        async def parts():
            for _ in range(160):
                yield PIECE

        url = f"http://127.0.0.1:{place.port}{place.base}api/v1/prompt"
        return (await place.client.post(url, content=parts(), headers=place.headers("ada"))).status_code

    assert (await place.ask("ada", "POST", "api/v1/prompt", {"prompt": "Hello"})).status_code == 200
    tracemalloc.start()
    try:
        assert await asyncio.gather(*(send() for _ in range(10))) == [413] * 10
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000


async def test_what_was_sent_is_let_go_once_it_is_answered(place):
    """Neither a timer nor a connection to the provider that outlives it holds it, and nothing it itself."""
    asked = json.dumps({"prompt": "p" * 90_000, "store": False}).encode()
    head = place.head("ada", "POST", "api/v1/prompt", f"Content-Length: {len(asked)}", "Connection: close")

    async def ask():
        reader, writer = await place.connect()
        writer.write(head + asked)
        assert (await answer(reader))[0] == 200
        await closed(reader)
        writer.close()
        await writer.wait_closed()

    await ask()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(10):
            await ask()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        gc.enable()
        tracemalloc.stop()
    assert kept < 15 * len(asked)  # ten of them are what the provider, which is a test's, was sent


async def test_a_body_that_does_not_come_is_not_waited_for_without_end(open_place, kind, monkeypatch):
    monkeypatch.setattr("jupyter_server_ext.inside.bodies.BODY_SECONDS", 0.2)
    place = await open_place("ok", limits=LIMITS, body_seconds=0.2)
    reader, writer = await place.connect()
    writer.write(place.head("ada", "POST", "api/v1/prompt", "Content-Length: 500") + b'{"prompt"')
    if kind == "alone":
        status, _, body = await answer(reader)
        assert (status, body["code"]) == (408, "REQUEST_TIMEOUT")
    await closed(reader)
