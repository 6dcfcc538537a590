"""What a provider's faults become on the REST face: a status while there is time for one, else an ``error`` event."""

import asyncio
import logging
import threading

import pytest

from jupyter_server_ext.inside.handlers import WarpHandler
from tests.fakes.provider import Reply, refused_url
from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import running_server, server_binaries
from tests.server.conftest import KEY

BOTH = pytest.mark.parametrize("path", ["prompt", "stream"])


@BOTH
async def test_a_refused_key_is_502_and_shown_nowhere(rest, configure, caplog, path):
    caplog.set_level(logging.DEBUG)
    configure("fail-401")
    said = await rest(path, {"prompt": "Hello"})
    assert (said.status, said.json["code"]) == (502, "PROVIDER_ACCESS_ERROR")
    (attempt,) = said.json["details"]["route"]
    assert (attempt["model"], attempt["status"]) == ("fake:fail-401", 401)
    models, history = await rest("models"), await rest("health/ready")
    assert KEY not in said.whole() + models.whole() + history.whole()
    assert KEY not in caplog.text
    assert "fail-401" in caplog.text


@BOTH
async def test_a_key_stays_hidden_in_the_history(rest, configure, path):
    configure("fail-401")
    await rest(path, {"prompt": "Hello", "sessionId": "s", "createSession": True})
    said = await rest("sessions/s/history")
    (turn,) = said.json["turns"]
    assert (turn["status"], turn["response"], turn["error"]["code"]) == ("failed", "", "PROVIDER_ACCESS_ERROR")
    assert KEY not in said.whole()


@BOTH
async def test_nobody_there_is_502(rest, configure, path):
    configure("ok", url=refused_url())
    said = await rest(path, {"prompt": "Hello"})
    assert (said.status, said.json["code"]) == (502, "PROVIDER_UNREACHABLE_ERROR")


@BOTH
async def test_a_rate_limit_says_when_to_come_back(rest, configure, path):
    configure("fail-429-retry-after-7")
    first, second = await rest(path, {"prompt": "Hello"}), await rest(path, {"prompt": "Hello"})
    assert (first.status, first.json["code"]) == (429, "PROVIDER_RATE_LIMIT_ERROR")
    assert (first.headers["Retry-After"], first.json["retryAfter"]) == ("7", 7.0)
    assert (second.status, second.json["code"]) == (503, "PROVIDER_NO_MODELS_AVAILABLE_ERROR")
    assert 0 < int(second.headers["Retry-After"]) <= 7


@BOTH
async def test_the_own_limit_is_429(rest, configure, fake, path):
    configure("ok", limits='rate = { max = 1, time_window = "1h" }')
    assert (await rest(path, {"prompt": "One"})).status == 200
    said = await rest(path, {"prompt": "Two"})
    assert (said.status, said.json["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert 0 < int(said.headers["Retry-After"]) <= 3600
    assert len(fake.requests) == 1


@BOTH
@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("fail-500", 502),
        ("fail-404", 502),
        ("fail-400", 400),
        ("context-too-long", 400),
        ("empty", 502),
        ("reset", 502),
    ],
)
async def test_before_the_first_word_a_fault_has_its_status(rest, configure, path, model, status):
    configure(model)
    said = await rest(path, {"prompt": "Hello"})
    assert said.status == status, said.json
    assert {"code", "message"} <= said.json.keys()
    assert "x-session-id" not in said.headers


@BOTH
async def test_another_model_answers_and_the_route_tells(rest, configure, path):
    configure("fail-503", "ok")
    said = await rest(path, {"prompt": "Hello"})
    body = said.json if path == "prompt" else said.events[-1].data["response"]
    assert (said.status, body["model"]) == (200, "fake:ok")
    assert [(one["model"], one["outcome"] == "ok") for one in body["route"]] == [
        ("fake:fail-503", False),
        ("fake:ok", True),
    ]


@pytest.mark.parametrize("model", ["cut-3", "end-3", "reset-3", "error-3"])
async def test_after_the_first_word_a_fault_is_an_event_and_no_end(rest, configure, model):
    configure(model)
    said = await rest("stream", {"prompt": "Hello"})
    assert said.status == 200
    names = [event.name for event in said.events]
    assert names == ["start", "content", "content", "content", "error"]
    error = said.events[-1].data
    assert {"code", "message", "partial"} <= error.keys()
    assert error["partial"] == "".join(event.data["response"] for event in said.events[1:-1]) == "You said 'Hello'"
    (turn,) = (await rest(f"sessions/{said.headers['x-session-id']}/history")).json["turns"]
    assert (turn["status"], turn["response"], turn["error"]["code"]) == ("interrupted", error["partial"], error["code"])


async def test_a_whole_answer_that_broke_off_is_an_error_with_its_part(rest, configure):
    configure("cut-3")
    said = await rest("prompt", {"prompt": "Hello"})
    assert said.status == 502
    assert said.json["details"]["partial"] == "You said 'Hello'"


async def test_what_broke_off_poisons_nothing(rest, fake, configure):
    configure("cut-3")
    first = await rest("stream", {"prompt": "One"})
    session = first.headers["x-session-id"]
    said = await rest("prompt", {"prompt": "Two", "sessionId": session, "models": ["fake:ok"]})
    assert said.status == 200
    assert all(message["content"] for message in fake.requests[-1].messages)


@pytest.fixture
def left(monkeypatch):
    """Is set when the server has seen a reader leave, and has done about it what it does."""
    seen, really = asyncio.Event(), WarpHandler.on_connection_close

    def note(handler):
        really(handler)
        seen.set()

    monkeypatch.setattr(WarpHandler, "on_connection_close", note)
    return seen


async def test_a_reader_who_leaves_a_session_has_its_answer_kept(rest, open_stream, fake, left):
    go_on = threading.Event()
    fake.script("ok", Reply(chunks=["One", go_on, " two"]))
    reader = await open_stream({"prompt": "Count", "sessionId": "s", "createSession": True})
    assert await reader.status() == 200
    assert (await reader.event("content")).data == {"response": "One"}
    reader.leave()
    await asyncio.wait_for(left.wait(), 5)
    go_on.set()
    turn = await last_turn(rest, "s")
    assert (turn["status"], turn["response"]) == ("complete", "One two")
    assert not fake.disconnects


@BOTH
async def test_a_reader_who_leaves_before_the_first_word_too(rest, open_stream, fake, left, path):
    go_on = threading.Event()
    fake.script("ok", Reply(before=[go_on]))
    reader = await open_stream({"prompt": "Hello", "sessionId": "s", "createSession": True}, path)
    await seen(lambda: fake.requests)
    reader.leave()
    await asyncio.wait_for(left.wait(), 5)
    go_on.set()
    assert (await last_turn(rest, "s"))["status"] == "complete"


@BOTH
@pytest.mark.parametrize("silence", ["hang", "silent-2"])
async def test_a_reader_who_leaves_what_is_not_kept_ends_it(rest, open_stream, fake, path, silence):
    reader = await open_stream({"prompt": "Count", "store": False, "models": [f"fake:{silence}"]}, path)
    if path == "stream" and silence == "silent-2":
        await reader.event("content")
    await seen(lambda: fake.requests)
    reader.leave()
    await seen(lambda: fake.disconnects)


async def test_cancel_is_what_a_leaving_means_where_it_was_configured(rest, open_stream, fake, configure):
    configure("silent-2", more='on_disconnect = "cancel"')
    reader = await open_stream({"prompt": "Count", "sessionId": "s", "createSession": True})
    await reader.event("content")
    await reader.event("content")
    reader.leave()
    await seen(lambda: fake.disconnects)
    turn = await last_turn(rest, "s")
    assert (turn["status"], turn["response"], turn["result"]) == ("stopped", "You said", "INCOMPLETE_STOPPED")


async def test_a_server_that_stops_ends_its_streams_and_keeps_their_parts(jp_serverapp, rest, open_stream, fake):
    reader = await open_stream({"prompt": "Count", "models": ["fake:silent-2"]})
    await reader.event("content")
    await reader.event("content")
    (extension,) = jp_serverapp.extension_manager.extension_apps["jupyter_server_ext"]
    await extension.stop_extension()
    end = (await reader.event("end")).data["response"]
    assert (end["text"], end["result"]) == ("You said", "INCOMPLETE_STOPPED")
    await seen(lambda: fake.disconnects)
    said = await rest("prompt", {"prompt": "Hello"})
    assert (said.status, said.json["code"]) == (503, "SHUTTING_DOWN")


@pytest.mark.slow
async def test_a_store_that_comes_back_is_used_again(rest, configure):
    binary = next(iter(server_binaries().values()))
    with running_server(binary) as server, StoreProxy(server.url) as proxy:
        configure("ok", storage=f'url = "{proxy.url}"')
        session = (await rest("prompt", {"prompt": "One"})).json["sessionId"]
        proxy.refuse()
        lost = await rest("prompt", {"prompt": "Two", "sessionId": session})
        assert (lost.status, lost.headers["x-session-status"]) == (200, "stateless")
        assert "in message 1." in lost.json["text"]
        proxy.back()
        async with asyncio.timeout(10):
            while (await rest("health/ready")).json["status"] != "ok":  # noqa: ASYNC110 - it finds out by itself
                await asyncio.sleep(0.05)
        said = await rest("prompt", {"prompt": "Three", "sessionId": session})
        assert "x-session-status" not in said.headers
        assert "in message 3." in said.json["text"]


async def test_two_readers_at_once_each_get_their_own(rest, fake):
    fake.script("ok", lambda call: Reply(chunks=[f"{call.messages[-1]['content']}!"]))
    said = await asyncio.gather(*(rest("stream", {"prompt": f"p{n}"}) for n in range(8)))
    assert [one.events[-1].data["response"]["text"] for one in said] == [f"p{n}!" for n in range(8)]


async def seen(condition, within=5):
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what is seen is of another thread
            await asyncio.sleep(0.005)


async def last_turn(rest, session, within=5):
    async with asyncio.timeout(within):
        while True:
            said = await rest(f"sessions/{session}/history")
            if said.status == 200 and said.json["turns"]:
                return said.json["turns"][-1]
            await asyncio.sleep(0.01)
