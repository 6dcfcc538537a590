from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import aiohttp
import pytest

from .provider import WIRES, FakeProvider, Fault, Reply, provider_process, refused_url

KEY = "sk-test-1234567890"


def body(model: str, *, stream: bool = True) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "grüß dich"}]
    return {"model": model, "messages": messages, "stream": stream, "stream_options": {"include_usage": True}}


def post(base_url: str, model: str, *, stream: bool = True) -> tuple[int, dict[str, str], bytes]:
    data, headers = json.dumps(body(model, stream=stream)).encode(), {"Authorization": f"Bearer {KEY}"}
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(f"{base_url}/chat/completions", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def events(raw: bytes) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def text(raw: bytes) -> str:
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events(raw) if event["choices"])


@pytest.fixture(scope="module")
def shared():
    with FakeProvider.in_thread() as fake:
        yield fake


@pytest.fixture
def fake(shared):
    shared.reset()
    return shared


def test_a_good_answer_shows_what_the_model_saw_whole_and_streamed(fake):
    _, _, whole = post(fake.base_url, "ok", stream=False)
    answer = json.loads(whole)
    assert answer["choices"][0]["message"]["content"] == "You said 'grüß dich' in message 2."
    assert answer["usage"]["total_tokens"] == 11
    _, _, raw = post(fake.base_url, "ok")
    assert text(raw) == "You said 'grüß dich' in message 2."
    *_, finish, usage = events(raw)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]) == ([], answer["usage"])
    assert [call.key for call in fake.calls("ok")] == [KEY, KEY]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines_and_splits_change_nothing_but_the_bytes(fake, newline):
    fake.script("m", Reply(chunks=["Grüße ", "🌍"], newline=newline, split=1), Reply(chunks=["x"], split=1 << 20))
    _, _, raw = post(fake.base_url, "m")
    assert raw.count(newline.encode() * 2) == len(events(raw)) + 1
    assert text(raw) == "Grüße 🌍"
    assert text(post(fake.base_url, "m")[2]) == "x"


def test_a_script_is_used_up_in_order_and_its_last_entry_repeats(fake):
    fake.script("m", Reply.failing(429, headers={"Retry-After": "7"}), lambda call: Reply(chunks=[call.model]))
    answers = [post(fake.base_url, "m") for _ in range(3)]
    assert [status for status, _, _ in answers] == [429, 200, 200]
    assert answers[0][1]["Retry-After"] == "7"
    assert text(answers[2][2]) == "m"


@pytest.mark.parametrize(
    ("model", "statuses"),
    [
        ("fail-503", [503, 503]),
        ("fail-500-once", [500, 200, 200]),
        ("fail-404@b", [404]),
        ("flap-2", [503, 503, 200, 200, 503]),
        ("context-too-long", [400]),
        ("filtered", [400]),
        ("quota", [429]),
        ("ok-4", [200]),
        ("slow-model", [200]),
    ],
)
def test_a_models_name_says_how_it_behaves(fake, model, statuses):
    assert [post(fake.base_url, model, stream=False)[0] for _ in statuses] == statuses


def test_a_401_tells_the_key_as_bad_providers_do(fake):
    status, _, raw = post(fake.base_url, "fail-401")
    error = json.loads(raw)["error"]
    assert (status, sorted(error)) == (401, ["code", "message", "param", "type"])
    assert KEY in error["message"]
    assert "sk-test***7890" in error["message"]
    assert post(fake.base_url, "fail-429-retry-after-7")[1]["Retry-After"] == "7"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["cut-3", "reset", "reset-2"])
def test_connections_break(fake, model, stream):
    with pytest.raises((OSError, http.client.HTTPException)):
        post(fake.base_url, model, stream=stream)
    fake.wait_until(lambda: fake.requests[0].ended_at)
    assert fake.requests[0].hung_up
    assert fake.disconnects == []


def test_oddities_of_streams(fake):
    assert b'{"del\n\n' in post(fake.base_url, "malformed")[2]
    assert b"[DONE]" not in post(fake.base_url, "no-done")[2]
    assert b"finish_reason" in post(fake.base_url, "end-2")[2]
    assert b'"stop"' not in post(fake.base_url, "end-2")[2]
    assert post(fake.base_url, "error-1")[2].rstrip().endswith(b'"param": null}}')
    assert text(post(fake.base_url, "empty")[2]) == ""
    assert b'"length"' in post(fake.base_url, "length")[2]
    assert text(post(fake.base_url, "filtered-after-2")[2]) == "You said"
    assert b"reasoning_content" in post(fake.base_url, "reasoning")[2]
    deltas = [event["choices"][0]["delta"] for event in events(post(fake.base_url, "tools")[2]) if event["choices"]]
    pieces = [delta["tool_calls"][0]["function"]["arguments"] for delta in deltas if "tool_calls" in delta]
    assert json.loads("".join(pieces)) == {"city": "Paris"}


def test_waits_for_events_and_releases(fake):
    gate = threading.Event()
    fake.script("m", Reply(chunks=["a", gate, "b", Fault.SILENT, "c"]))
    answers: list[bytes] = []
    reader = threading.Thread(target=lambda: answers.append(post(fake.base_url, "m")[2]))
    reader.start()
    fake.wait_until(lambda: fake.requests and fake.requests[0].sent == 2)
    gate.set()
    fake.wait_until(lambda: fake.requests[0].sent == 3)
    fake.release()
    reader.join(5)
    assert text(answers[0]) == "abc"


@pytest.mark.asyncio
@pytest.mark.parametrize("model", ["hang", "stall-first", "silent-2", "slow-5"])
async def test_a_client_that_leaves_is_seen_at_once(model):
    async with FakeProvider() as fake, aiohttp.ClientSession() as client:

        async def ask() -> None:
            async with client.post(f"{fake.base_url}/chat/completions", json=body(model)) as answer:
                await answer.read()

        asking = asyncio.create_task(ask())
        await fake.until(lambda: fake.requests)
        await asyncio.sleep(0.02)
        left = time.monotonic()
        asking.cancel()
        await fake.until(lambda: fake.disconnects)
        assert fake.disconnected.is_set()
        assert fake.disconnects[0].disconnected_at - left < 0.1


@pytest.mark.asyncio
async def test_stopping_the_fake_is_no_disconnect_and_takes_no_time():
    async with FakeProvider() as fake, aiohttp.ClientSession() as client:
        asking = asyncio.create_task(client.post(f"{fake.base_url}/chat/completions", json=body("hang")))
        await fake.until(lambda: fake.requests)
        left = time.monotonic()
    with pytest.raises(aiohttp.ClientError):
        await asking
    assert (fake.disconnects, time.monotonic() - left < 1) == ([], True)


def test_keys_models_and_nobody_there():
    with FakeProvider.in_thread(api_key="sk-other") as fake:
        assert post(fake.base_url, "ok")[0] == 401
        fake.api_key = ""
        fake.script("only", Reply())
        with urllib.request.urlopen(f"{fake.base_url}/models") as answer:
            assert "only" in [model["id"] for model in json.load(answer)["data"]]
    with pytest.raises(urllib.error.URLError):
        post(refused_url(), "ok")


@pytest.mark.parametrize("wire", WIRES)
def test_a_call_is_read_as_its_wire_is_written(fake, wire):
    path = wire.path.replace("{model}", "ok").replace("{verb}", "generateContent")
    data = json.dumps({"model": "ok", "messages": [], "contents": []}).encode()
    request = urllib.request.Request(f"{fake.url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert "You said '' in message 0." in answer.read().decode()
    (call,) = fake.calls("ok")
    assert (call.wire, call.model, call.key, call.messages) == (wire, "ok", "", [])


def test_as_a_process():
    with provider_process() as fake:
        assert post(fake.base_url, "fail-500-once")[0] == 500
        assert text(post(fake.base_url, "fail-500-once")[2])
        (first, second) = fake.requests("fail-500-once")
        assert (first["number"], second["body"]["stream"]) == (1, True)
        fake.reset()
        assert fake.requests() == []
