"""Many who are slow and many who only listen: prompts are answered all the while, and the slow are let go in the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.provider import Reply
from tests.faults import crowd
from tests.server.places import owners

ESTABLISHED = "01"
pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def jp_server_config(configure):
    configure("ok")
    return owners()


@pytest.fixture(scope="module")
def both():
    with crowd.servers() as servers:
        yield {server.name: server for server in servers}


@pytest.mark.parametrize("name", ["in Jupyter", "alone"])
def test_prompts_are_answered_beside_two_hundred_slow_clients_and_a_thousand_idle_streams(both, name):
    server = both[name]

    async def beside():
        async with crowd.crowd(server) as held:
            await crowd.ask(server, 20)
            assert len(held.writers) == 1200
            assert await crowd.seen_by_all(server, held) == 1000

    asyncio.run(beside())
    asyncio.run(crowd.ask(server, 5))


async def closed(reader):
    """Wait till the server has let go; what it sent."""
    got = b""
    async with asyncio.timeout(20):
        try:
            while piece := await reader.read(65536):
                got += piece
        except ConnectionResetError:
            pass
    return got


def state(port, peer):
    """What the system says of the server's end of a connection."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next((row[3] for row in rows if (row[1][-4:], row[2][-4:]) == (f"{port:04X}", f"{peer:04X}")), "")


@pytest.mark.parametrize("kind", ["alone"])
async def test_headers_that_do_not_come_are_not_waited_for_without_end(open_place, monkeypatch):
    """Before a byte, and within the first and the second request of a connection. In Jupyter, Tornado's bound holds."""
    monkeypatch.setattr("jupyter_server_ext.apart.patience.HEAD_SECONDS", 0.3)
    place = await open_place("ok")
    whole = place.head("ada", "GET", "api/v1/models")
    for said in (b"", b"GE", whole[:-2], whole + whole[:-2]):
        reader, writer = await place.connect()
        writer.write(said)
        got = await closed(reader)
        assert got.count(b" 200 OK") == (1 if said.startswith(whole) else 0)
    assert (await place.ask("ada", "GET", "api/v1/models")).status_code == 200


async def test_a_reader_that_takes_nothing_is_let_go_and_the_answer_is_kept(open_place, fake, monkeypatch):
    for module in ("apart.patience", "inside.handlers"):
        monkeypatch.setattr(f"jupyter_server_ext.{module}.READER_SECONDS", 3.0)
    fake.script("long", Reply(chunks=["x" * 500_000] * 40))
    place = await open_place("ok")
    reader, writer = await place.connect()
    sent = b'{"prompt": "x", "models": ["fake:long"], "sessionId": "s", "createSession": true}'
    writer.transport.pause_reading()
    writer.write(place.head("ada", "POST", "api/v1/stream", f"Content-Length: {len(sent)}") + sent)
    peer = writer.get_extra_info("sockname")[1]
    await fake.until(lambda: fake.calls("long"), 20)
    assert b"event: end" in (await place.ask("ada", "GET", "api/v1/streams/s~1")).content, "another reads on"
    (turn,) = (await place.ask("ada", "GET", "api/v1/sessions/s/history")).json()["turns"]
    assert len(turn["response"]) == 20_000_000
    await fake.until(lambda: state(place.port, peer) != ESTABLISHED, 20)
    writer.transport.resume_reading()
    assert b"event: end" not in await closed(reader)


async def test_a_reader_of_a_whole_answer_is_let_go_likewise_and_a_slow_one_is_not(open_place, fake, monkeypatch):
    for module in ("apart.patience", "inside.handlers"):
        monkeypatch.setattr(f"jupyter_server_ext.{module}.READER_SECONDS", 2.0)
    fake.script("long", Reply(chunks=["x" * 500_000] * 40))
    place = await open_place("long")
    body = {"prompt": "x", "sessionId": "s", "createSession": True}
    assert (await place.ask("ada", "POST", "api/v1/prompt", body)).status_code == 200
    asked = place.head("ada", "GET", "api/v1/sessions/s/history")
    reader, writer = await place.connect()
    writer.transport.pause_reading()
    writer.write(asked)
    slow, slow_writer = await place.connect()
    slow_writer.write(asked)
    async with asyncio.timeout(60):
        head = (await slow.readuntil(b"\r\n\r\n")).decode().lower()
        left = int(head.partition("content-length: ")[2].split()[0])
        while left > 0:
            left -= len(await slow.readexactly(min(left, 2_000_000)))
            await asyncio.sleep(0.5)  # it is slow, and that is what is tested
    await fake.until(lambda: state(place.port, writer.get_extra_info("sockname")[1]) != ESTABLISHED, 20)
    writer.transport.resume_reading()
    assert len(await closed(reader)) < 20_000_000


@pytest.mark.parametrize("kind", ["alone"])
async def test_what_is_no_http_is_refused_in_json(open_place):
    place = await open_place("ok")
    reader, writer = await place.connect()
    writer.write(b"NO HTTP\r\n\r\n")
    got = await closed(reader)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"x-content-type-options: nosniff" in got
    assert b'"code":"BAD_REQUEST"' in got
