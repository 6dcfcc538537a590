"""`Prefer: respond-async`: a prompt costs no connection while it is answered. At both servers."""

import asyncio
from urllib.parse import urljoin

import pytest

from tests.fakes.provider import Fault, Reply, refused_url
from tests.gateway.kit import until
from tests.server.conftest import event_of
from tests.server.places import owners

ASK = {"prompt": "Hello", "sessionId": "s", "createSession": True}
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def jp_server_config(configure):
    configure("ok")
    return owners()


async def begun(place, body, **headers):
    return await place.ask("ada", "POST", "api/v1/stream", body, headers={**ASYNC, **headers})


async def events(place, path):
    said = await place.ask("ada", "GET", path)
    assert said.status_code == 200, said.text
    return [event_of(block) for block in said.text.split("\n\n")[:-1]]


async def in_line(place, body):
    """A prompt that waits on a connection of its own."""
    reader, writer = await place.connect()
    data = b'{"prompt": "%b", "sessionId": "s"}' % body
    lines = f"Content-Length: {len(data)}", "Content-Type: application/json", "Prefer: respond-async"
    writer.write(place.head("ada", "POST", "api/v1/stream", *lines) + data)
    await asyncio.sleep(0.3)
    return reader, writer


async def test_it_is_answered_at_once_and_read_where_it_says(open_place, fake):
    place = await open_place("silent-2")
    said = await begun(place, ASK, **{"Idempotency-Key": "t1"})
    assert (said.status_code, said.json()) == (202, {"sessionId": "s", "turnId": "t1", "streamId": "s~1"})
    assert (said.headers["x-session-id"], said.headers["x-stream-id"]) == ("s", "s~1")
    assert said.headers["preference-applied"] == "respond-async"
    described = (await place.ask("ada", "GET", "api/v1/sessions/s")).json()
    assert (described["liveStreamId"], described["liveTurnId"]) == ("s~1", "t1")
    again = await begun(place, ASK, **{"Idempotency-Key": "t1"})
    assert (again.status_code, again.json()) == (202, said.json())
    fake.release()
    path = urljoin("/api/v1/stream", said.headers["location"]).removeprefix("/")
    told = await events(place, path)
    assert (told[0].name, told[-1].name) == ("start", "end")
    assert (await begun(place, ASK, **{"Idempotency-Key": "t1"})).json() == said.json()
    assert len(fake.requests) == 1


@pytest.mark.parametrize("kind", ["alone"])
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Respond-Async", 202),
        ("return=minimal, respond-async; wait=10", 202),
        ('a="x, y", respond-async', 202),
        ("wait=10", 200),
        ("respond-asynchronously", 200),
        ('a="x, respond-async, y"', 200),
        ("", 200),
    ],
)
async def test_it_is_a_preference_as_rfc_7240_has_them(open_place, said, status):
    place = await open_place("ok")
    assert (await begun(place, ASK, Prefer=said)).status_code == status


async def test_what_is_wrong_before_its_turn_has_its_status(open_place, fake):
    place = await open_place("ok", limits='session_wait = "200ms"')
    for body, status, code in (
        ({"prompt": "Hello", "sessionId": "none"}, 404, "SESSION_NOT_FOUND"),
        ({**ASK, "prompt": ""}, 400, "INVALID_REQUEST"),
        ({**ASK, "store": False, "sessionId": None}, 400, "INVALID_REQUEST"),
        ({**ASK, "models": ["nobody:x"]}, 400, "MODEL_PROVIDER_NOT_FOUND_ERROR"),
        ({**ASK, "zzz": 1}, 422, "UNPROCESSABLE_REQUEST"),
    ):
        said = await begun(place, body)
        assert (said.status_code, said.json()["code"]) == (status, code), said.text
    fake.script("held", Reply(before=(Fault.SILENT,)))
    assert (await begun(place, {**ASK, "models": ["fake:held"]})).status_code == 202
    said = await begun(place, ASK)
    assert (said.status_code, said.json()["code"]) == (409, "SESSION_BUSY")
    assert "Retry-After" in said.headers


async def test_what_fails_later_is_told_where_it_is_read(open_place):
    place = await open_place("fail-500")
    said = await begun(place, ASK)
    assert said.status_code == 202
    (error,) = await events(place, "api/v1/streams/s~1")
    assert (error.name, error.data["code"]) == ("error", "PROVIDER_RESPONSE_ERROR")


async def test_where_nothing_can_be_kept_nothing_is_asked(open_place, fake):
    url = refused_url().replace("http", "redis").removesuffix("/v1")
    place = await open_place("ok", storage=f'type = "valkey"\nurl = "{url}"')
    said = await begun(place, ASK)
    assert (said.status_code, said.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert not fake.requests


async def test_who_leaves_the_line_has_asked_nothing(open_place, fake):
    place = await open_place("silent-2")
    await begun(place, ASK)
    _, leaving = await in_line(place, b"gone")
    leaving.transport.abort()
    await asyncio.sleep(0.3)
    reader, _ = await in_line(place, b"second")
    fake.release()
    assert b" 202 " in await reader.readline()
    await until(lambda: len(fake.requests) == 2)
    fake.release()
    await events(place, "api/v1/streams/s~2")
    turns = (await place.ask("ada", "GET", "api/v1/sessions/s/history")).json()["turns"]
    assert [turn["prompt"] for turn in turns] == ["Hello", "second"]


async def test_a_dry_run_and_a_resume_are_what_they_were(open_place):
    place = await open_place("ok")
    dry = await begun(place, {**ASK, "dryRun": True})
    assert (dry.status_code, dry.json()["dryRun"]) == (200, True)
    await events(place, f"api/v1/streams/{(await begun(place, ASK)).json()['streamId']}")
    resumed = await begun(place, {**ASK, "resume": True}, **{"Last-Event-ID": "1-1"})
    assert resumed.headers["content-type"].startswith("text/event-stream")
    assert (await begun(place, {**ASK, "resume": True})).json()["streamId"] == "s~2"
