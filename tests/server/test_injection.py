"""No text makes an event, a field or a header that was not meant: neither a prompt's, a model's, a title's nor an error's."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest

from tests.fakes.provider import Reply
from tests.server.conftest import Answer
from tests.server.places import owners

NASTY = (
    "a\nb",
    "a\r\nb",
    "a\rb",
    "a\n\nevent: error\ndata: {}\n\nb",
    "a\r\revent: end\rdata: {}\r\rb",
    '\n\nevent: content\nid: 9-9\ndata: {"response": "forged"}\n\n',
    "data: x\n\nid: 7-7\n\n",
    ": ping\n\nretry: 1\n\n",
    "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "\ufeffevent: end",
    "a\x00b",
    "\x1b]0;title\x07",
    '"}\n\n',
    "a" + "\n" * 50,
)
IDS = ("a\r\nX-Forged: 1", "a\nb", "a\rb", "a\x00b", "a\u2028b", "a b", "a:b", "ä", "a;b", "a,b", "<script>", "%0d%0a")


@pytest.fixture
def jp_server_config(configure):
    configure("ok")
    return owners()


@pytest.fixture
def place(open_place, jp_asyncio_loop):
    return jp_asyncio_loop.run_until_complete(open_place("ok", "fail-503"))


def events(said):
    """The events of a whole answer, cut and read in the strictest way."""
    return Answer(said.status_code, said.headers, said.content).events


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
async def test_what_a_model_says_stays_within_its_event(place, fake, text):
    fake.script("nasty", Reply(chunks=["start ", text, " end"]))
    body = {"prompt": text, "models": ["fake:nasty"], "sessionId": "s", "createSession": True}
    told = events(await place.ask("ada", "POST", "api/v1/stream", body))
    names = [event.name for event in told]
    assert names == ["start", *["content"] * (len(names) - 2), "end"]
    assert [event.id for event in told] == [f"1-{number}" for number in range(1, len(told) + 1)]
    assert "".join(event.data["response"] for event in told if event.name == "content") == f"start {text} end"
    assert events(await place.ask("ada", "GET", "api/v1/streams/s~1?after=1-0")) == told
    assert (await place.ask("ada", "GET", "api/v1/sessions/s/history")).json()["turns"][0]["prompt"] == text
    openai = {"model": "fake:nasty", "messages": [{"role": "user", "content": text}], "stream": True}
    chunks = (await place.ask("ada", "POST", "v1/chat/completions", openai)).content.decode().split("\n\n")
    assert chunks[-2:] == ["data: [DONE]", ""]
    read = [json.loads(chunk.removeprefix("data: ")) for chunk in chunks[:-2]]
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in read if one["choices"]) == (
        f"start {text} end"
    )


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
async def test_what_goes_wrong_stays_within_its_event(place, fake, text):
    fake.script("broken", Reply(chunks=["part", {"error": {"message": text, "type": "server_error", "code": text}}]))
    fake.script("refusing", Reply.failing(400, text.replace("{", "(").replace("}", ")"), type=text, code=text))
    body = {"prompt": "x", "models": ["fake:broken"], "onBreak": "error"}
    told = events(await place.ask("ada", "POST", "api/v1/stream", body))
    assert [event.name for event in told] == ["start", "content", "error"]
    said = await place.ask("ada", "POST", "api/v1/stream", {"prompt": "x", "models": ["fake:refusing"]})
    assert said.status_code == 400
    assert said.json()["code"] == "PROVIDER_REQUEST_ERROR"


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
async def test_titles_and_metadata_stay_within_theirs(place, text):
    made = {"sessionId": "s", "title": "t", "metadata": {"k": text}}
    assert (await place.ask("ada", "POST", "api/v1/sessions", made)).status_code == 201
    reader, writer = await place.connect()
    writer.write(place.head("ada", "GET", "api/v1/events?session=s"))
    async with asyncio.timeout(20):
        await reader.readuntil(b": ping")  # it is watched
    said = await place.ask("ada", "PATCH", "api/v1/sessions/s", {"title": text})
    if said.status_code != 200:
        assert said.status_code in (400, 422), "a title that is refused is no title"
        return
    assert said.json()["metadata"] == {"k": text}
    async with asyncio.timeout(20):
        block = await reader.readuntil(b"event: updated")
        block += await reader.readuntil(b"\n\n")
    fields = block[block.rindex(b"event: updated") :].decode().strip("\n").split("\n")
    assert [field.partition(": ")[0] for field in fields] in (["event", "id", "data"], ["event", "data"])
    json.loads(fields[-1].removeprefix("data: "))


@pytest.mark.parametrize("text", IDS, ids=range(len(IDS)))
async def test_no_id_makes_a_header_or_is_taken(place, text):
    for body in ({"prompt": "x", "sessionId": text, "createSession": True}, {"prompt": "x", "sessionId": text}):
        for path in ("api/v1/prompt", "api/v1/stream"):
            said = await place.ask("ada", "POST", path, body)
            assert (said.status_code, said.json()["code"]) == (400, "INVALID_SESSION_ID")
            assert not {"x-forged", "x-session-id"} & set(said.headers)
    said = await place.ask("ada", "POST", "api/v1/sessions", {"sessionId": text})
    assert said.status_code in (400, 422)
    for path in ("sessions/{}", "sessions/{}/history", "sessions/{}/events", "sessions/{}/export", "streams/{}~1"):
        said = await place.ask("ada", "GET", f"api/v1/{path.format(quote(text, safe=''))}")
        assert said.status_code in (400, 404), path
        assert not {"x-forged", "x-session-id", "x-stream-id", "content-disposition"} & set(said.headers)


@pytest.mark.parametrize("text", ["a b", "a:b", "*", "{x}", "..", "a" * 129])
async def test_no_header_makes_one(place, text):
    for name in ("x-session-id", "Idempotency-Key", "Last-Event-ID"):
        body = {"prompt": "x", "sessionId": "s", "createSession": True, "resume": True}
        said = await place.ask("ada", "POST", "api/v1/stream", body, headers={name: text})
        assert said.headers.get("x-session-id") in (None, "s")
        openai = {"model": "auto", "messages": [{"role": "user", "content": "x"}]}
        said = await place.ask("ada", "POST", "v1/chat/completions", openai, headers={name: text})
        assert said.headers.get("x-session-id") in (None, ".." if text == ".." else None)
