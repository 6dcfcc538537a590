"""The paths of REST.md inside a Jupyter Server: what they answer, and what they say to bad input."""

import asyncio
import json
import re

import pytest
from traitlets.config import Config

from jupyter_server_ext.rest.routes import ROUTES, path_of
from tests.fakes.provider import Reply, refused_url
from tests.server.conftest import KEY
from tests.server.test_auth_in_jupyter import ReadOnly

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_a_prompt_is_answered_whole(rest):
    said = await rest("prompt", {"prompt": "Hello"})
    assert said.status == 200
    body = said.json
    session = body["sessionId"]
    assert UUID4.fullmatch(session)
    assert body.pop("turnId")
    assert body.pop("firstToken") > 0
    (attempt,) = body.pop("route")
    assert attempt.pop("seconds") > 0
    assert attempt == {"model": "fake:ok", "outcome": "ok"}
    usage = {"inputTokens": 1, "outputTokens": 6, "cachedTokens": 0, "reasoningTokens": 0}
    assert body == {
        "text": "You said 'Hello' in message 1.",
        "result": "COMPLETE",
        "sessionId": session,
        "streamId": f"{session}~1",
        "model": "fake:ok",
        "usage": usage,
        "cost": None,
        "warnings": [],
    }
    assert said.headers["x-session-id"] == session
    assert said.headers["x-stream-id"] == f"{session}~1"
    assert "x-session-status" not in said.headers


async def test_a_stream_is_start_content_end(rest):
    said = await rest("stream", {"prompt": "Grüße\n世界"})
    assert said.status == 200
    assert said.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "no-cache" in said.headers["Cache-Control"]
    start, *contents, end = said.events
    assert [event.id for event in said.events] == [f"1-{k}" for k in range(1, len(said.events) + 1)]
    assert (start.name, {event.name for event in contents}, end.name) == ("start", {"content"}, "end")
    assert start.data == {
        "sessionId": said.headers["x-session-id"],
        "streamId": said.headers["x-stream-id"],
        "turnId": end.data["response"]["turnId"],
        "model": "fake:ok",
    }
    assert start.data["streamId"] == f"{start.data['sessionId']}~1"
    assert len(contents) > 1
    assert all(list(event.data) == ["response"] for event in contents)
    text = "".join(event.data["response"] for event in contents)
    assert text == end.data["response"]["text"] == "You said 'Grüße\\n世界' in message 1."
    assert list(end.data) == ["response"]


async def test_an_end_says_what_an_answer_says(rest):
    whole, streamed = await rest("prompt", {"prompt": "Hello"}), await rest("stream", {"prompt": "Hello"})
    end = streamed.events[-1].data["response"]
    assert end.keys() == whole.json.keys()
    for name in ("text", "result", "model", "usage", "cost", "warnings"):
        assert end[name] == whole.json[name]


@pytest.mark.parametrize("path", ["prompt", "stream"])
async def test_a_second_turn_sees_the_first_and_no_prompt_is_dropped(rest, fake, path):
    session = (await rest("prompt", {"prompt": "One"})).json["sessionId"]
    for n in (2, 3):
        said = await rest(path, {"prompt": "Again", "sessionId": session, "resume": True})
        assert said.headers["x-session-id"] == session
        assert said.headers["x-stream-id"] == f"{session}~{n}"
    assert "in message 5." in (said.json if path == "prompt" else said.events[-1].data["response"])["text"]
    assert [message["role"] for message in fake.requests[-1].messages] == ["user", "assistant"] * 2 + ["user"]
    if path == "stream":
        assert {event.id.split("-")[0] for event in said.events} == {"3"}


async def test_history_tells_the_turns_oldest_first(rest):
    source = {"kind": "cell", "notebook": "a.ipynb", "cell": "c1"}
    first = (await rest("prompt", {"prompt": "One", "sessionId": "ada", "createSession": True, "source": source})).json
    await rest("prompt", {"prompt": "Two", "sessionId": "ada"})
    said = await rest("sessions/ada/history")
    one, two = said.json["turns"]
    assert said.status == 200
    assert [turn["n"] for turn in (one, two)] == [1, 2]
    assert [turn["source"]["kind"] for turn in (one, two)] == ["cell", "rest"]
    assert one["firstToken"] > 0
    for name in ("startedAt", "endedAt"):
        assert TIME.fullmatch(one[name])
    expected = {name: first[name] for name in ("turnId", "result", "model", "route", "usage", "cost")}
    expected |= {"n": 1, "prompt": "One", "response": first["text"], "status": "complete", "source": source}
    expected |= {"attachments": [], "toolResults": [], "toolCalls": []}
    times = {"firstToken", "startedAt", "endedAt"}
    assert {name: value for name, value in one.items() if name not in times} == expected


async def test_models_tells_the_chain_and_what_is_cooling(rest, configure):
    configure("fail-500", "ok")
    assert (await rest("prompt", {"prompt": "Hello"})).json["model"] == "fake:ok"
    cooling, ready = (await rest("models")).json["models"]
    assert (cooling["model"], cooling["state"], cooling["reason"]) == ("fake:fail-500", "cooling", "500")
    assert 0 < cooling["restoresIn"] <= 60
    rate = {"max": 200, "timeWindow": 30.0, "left": 199}
    assert ready == {
        "model": "fake:ok",
        "provider": "fake",
        "alias": None,
        "inChain": True,
        "state": "ready",
        "limits": {"rate": rate},
        "price": None,
    }


async def test_health_tells_strangers_its_status_alone(rest):
    for headers in ({}, {"Authorization": "token wrong"}):
        assert (await rest("health/live", headers=headers)).json == {"status": "ok"}
        said = await rest("health/ready", headers=headers)
        assert (said.status, said.json) == (200, {"status": "ok"})
    known = (await rest("health/ready")).json
    assert known.keys() == {"status", "reasons", "gatewayId", "version", "storage", "configured"}
    assert (known["status"], known["reasons"]) == ("ok", [])
    assert known["storage"]["type"] == "memory"


async def test_health_is_degraded_and_still_well(rest, configure):
    configure("fail-500")
    await rest("prompt", {"prompt": "Hello"})
    said = await rest("health/ready")
    assert (said.status, said.json["status"]) == (200, "degraded")
    assert "fake:fail-500 is cooling" in said.json["reasons"]
    assert (await rest("health/ready", headers={})).json == {"status": "degraded"}


async def test_what_is_asked_for_reaches_the_model(rest, fake):
    context = {"colour": "blau"}
    body = {"prompt": "Hi", "context": context, "temperature": 0, "maxTokens": 7, "topP": 0.5, "seed": 3, "stop": "x"}
    history = [{"prompt": "Earlier?", "response": "Yes."}]
    said = await rest("prompt", {**body, "history": history, "models": [{"provider": "fake", "model": "ok@b"}]})
    assert said.json["model"] == "fake:ok@b"
    (call,) = fake.requests
    assert [message["content"] for message in call.messages] == [
        json.dumps(context, separators=(",", ":")),
        "Earlier?",
        "Yes.",
        "Hi",
    ]
    assert call.messages[0]["role"] == "system"
    assert (call.body["temperature"], call.body["top_p"], call.body["seed"]) == (0, 0.5, 3)
    assert 7 in (call.body.get("max_tokens"), call.body.get("max_completion_tokens"))


async def test_without_a_session_nothing_is_kept(rest):
    for path in ("prompt", "stream"):
        said = await rest(path, {"prompt": "Hello", "store": False})
        body = said.json if path == "prompt" else said.events[-1].data["response"]
        assert body["sessionId"] is body["streamId"] is None
        assert not {"x-session-id", "x-stream-id"} & {name.lower() for name in said.headers}


async def test_an_expired_session_starts_again_and_says_so(rest, configure):
    configure("ok", limits='history_expiration = "50ms"')
    await rest("prompt", {"prompt": "One", "sessionId": "s", "createSession": True})
    async with asyncio.timeout(5):
        while (await rest("sessions/s/history")).status != 404:  # noqa: ASYNC110 - another clock than ours decides
            await asyncio.sleep(0.01)
    said = await rest("prompt", {"prompt": "Two", "sessionId": "s"})
    assert said.headers["x-session-status"] == "restarted"
    assert said.json["warnings"] == ["session expired, started again"]
    assert "in message 1." in said.json["text"]


async def test_a_storage_outage_costs_the_history_alone(rest, configure):
    configure("ok", storage=f'url = "{refused_url().replace("http", "redis").removesuffix("/v1")}"')
    for asked in ({"sessionId": "s"}, {}):
        for path in ("prompt", "stream"):
            said = await rest(path, {"prompt": "Hello", **asked})
            body = said.json if path == "prompt" else said.events[-1].data["response"]
            assert said.status == 200
            assert said.headers["x-session-status"] == "stateless"
            assert said.headers.get("x-session-id") == body["sessionId"] == asked.get("sessionId")
            assert body["text"] == "You said 'Hello' in message 1."
            assert body["warnings"] == ["storage unavailable, answered without history"]
    refused = await rest("sessions/s/history")
    assert (refused.status, refused.json["code"]) == (503, "STORAGE_UNAVAILABLE")
    ready = await rest("health/ready")
    assert (ready.status, ready.json["status"], ready.json["storage"]["reachable"]) == (200, "degraded", False)


async def test_the_session_header_has_the_name_it_was_given(rest, configure):
    configure("ok", more='session_header = "x-conversation"')
    said = await rest("prompt", {"prompt": "Hello"})
    assert said.headers["x-conversation"] == said.json["sessionId"]
    assert "x-session-id" not in said.headers


async def test_a_duration_may_have_a_unit(rest, fake):
    fake.script("hang", Reply(opening=[30.0]))
    said = await rest("prompt", {"prompt": "Hello", "models": ["fake:hang"], "timeout": "50ms"})
    assert (said.status, said.json["code"]) == (504, "PROVIDER_TOTAL_TIMEOUT_ERROR")
    assert (await rest("prompt", {"prompt": "Hello", "timeout": 5})).status == 200
    assert (await rest("prompt", {"prompt": "Hello", "timeout": "1 moon"})).status == 422


REFUSED = [
    (b"", 400, "INVALID_REQUEST", "prompt"),
    (b"{'prompt': 1}", 400, "INVALID_REQUEST", "not JSON"),
    (b'{"prompt": "\xff"}', 400, "INVALID_REQUEST", "not JSON"),
    (b'{"prompt": "\\ud800"}', 400, "INVALID_REQUEST", "not JSON"),
    (["prompt"], 400, "INVALID_REQUEST", "object"),
    ({}, 400, "INVALID_REQUEST", "prompt"),
    ({"prompt": ""}, 400, "INVALID_REQUEST", "empty"),
    ({"prompt": " \n"}, 400, "INVALID_REQUEST", "empty"),
    ({"prompt": None}, 400, "INVALID_REQUEST", "prompt"),
    ({"prompt": 5}, 422, "UNPROCESSABLE_REQUEST", "prompt"),
    ({"prompt": "x", "tempreature": 1}, 422, "UNPROCESSABLE_REQUEST", "tempreature: unknown field"),
    ({"prompt": "x", "temperature": "hot"}, 422, "UNPROCESSABLE_REQUEST", "temperature"),
    ({"prompt": "x", "temperature": 3}, 422, "UNPROCESSABLE_REQUEST", "temperature"),
    ({"prompt": "x", "maxTokens": 0}, 422, "UNPROCESSABLE_REQUEST", "maxTokens"),
    ({"prompt": "x", "max_tokens": 5}, 422, "UNPROCESSABLE_REQUEST", "max_tokens: unknown field"),
    ({"prompt": "x", "models": [{"provider": "fake"}]}, 422, "UNPROCESSABLE_REQUEST", "models.0"),
    ({"prompt": "x", "source": {"kind": "spy"}}, 422, "UNPROCESSABLE_REQUEST", "source.kind"),
    ({"prompt": "x", "sessionId": ""}, 400, "INVALID_SESSION_ID", "A-Z a-z 0-9"),
    ({"prompt": "x", "sessionId": "a b"}, 400, "INVALID_SESSION_ID", "A-Z a-z 0-9"),
    ({"prompt": "x", "sessionId": "a\r\nSet-Cookie: b=c"}, 400, "INVALID_SESSION_ID", "A-Z a-z 0-9"),
    ({"prompt": "x", "sessionId": "s\n"}, 400, "INVALID_SESSION_ID", "A-Z a-z 0-9"),
    ({"prompt": "x", "sessionId": "s" * 129}, 400, "INVALID_SESSION_ID", "128"),
    ({"prompt": "x", "sessionId": "never-was"}, 404, "SESSION_NOT_FOUND", "never-was"),
    (
        {"prompt": "x", "sessionId": "s", "history": [{"prompt": "a", "response": "b"}]},
        400,
        "INVALID_REQUEST",
        "history",
    ),
    ({"prompt": "x", "sessionId": "s", "store": False}, 400, "INVALID_REQUEST", "store"),
    ({"prompt": "x", "models": ["nobody:nothing"]}, 400, "MODEL_PROVIDER_NOT_FOUND_ERROR", "nobody"),
]


@pytest.mark.parametrize("path", ["prompt", "stream"])
async def test_bad_input_is_refused_and_says_why(rest, fake, path):
    for body, status, code, part in REFUSED:
        said = await rest(path, body)
        assert (said.status, said.json["code"]) == (status, code), body
        assert part in said.json["message"], body
        assert "x-session-id" not in said.headers
        assert "b=c" not in said.headers.get("Set-Cookie", "")
        if status == 422:
            assert list(said.json["details"]["fields"])
    assert not fake.requests


async def test_an_unknown_model_is_told_the_nearest(rest):
    said = await rest("prompt", {"prompt": "x", "models": ["fkae:ok"]})
    assert said.status == 400
    assert "fake:ok" in said.json["message"]
    assert said.json["details"]["nearest"][0] == "fake:ok"


async def test_a_history_must_be_of_a_session_that_is(rest):
    for session, status, code in (
        ("never-was", 404, "SESSION_NOT_FOUND"),
        ("a%20b", 400, "INVALID_SESSION_ID"),
        ("a%0d%0ab", 400, "INVALID_SESSION_ID"),
        ("s" * 129, 400, "INVALID_SESSION_ID"),
        ("%ff", 400, "BAD_REQUEST"),
        ("a/b", 404, "NOT_FOUND"),
    ):
        said = await rest(f"sessions/{session}/history")
        assert (said.status, said.json["code"]) == (status, code), session


async def test_a_body_over_the_limit_is_413(rest, configure, fake):
    configure("ok", limits='body_size = "1kb"')
    for path in ("prompt", "stream"):
        said = await rest(path, {"prompt": "x" * 1000})
        assert (said.status, said.json["code"]) == (413, "BODY_TOO_LARGE")
        assert "limits.body_size" in said.json["message"]
    assert (await rest("prompt", {"prompt": "x" * 900})).status == 200
    assert len(fake.requests) == 1


async def test_without_a_model_the_advice_is_503(rest, config_file, monkeypatch):
    monkeypatch.setenv("WARP_CONFIG", str(config_file('[storage]\ntype = "memory"\n')))
    for path in ("prompt", "stream"):
        said = await rest(path, {"prompt": "Hello"})
        assert (said.status, said.json["code"]) == (503, "NO_MODEL_CONFIGURED")
        for advice in ("OPENAI_API_KEY", "jupyter warp init", "warp.toml"):
            assert advice in said.json["message"]
    assert (await rest("models")).json == {"models": []}
    assert (await rest("health/ready")).json["status"] == "degraded"


async def test_a_bad_file_stops_no_server_and_names_its_fault(rest, configure):
    path = configure("ok", limits='session_wait = "1 moon"')
    for call in (rest("prompt", {"prompt": "Hello"}), rest("stream", {"prompt": "Hello"}), rest("models")):
        said = await call
        assert (said.status, said.json["code"]) == (500, "AI_OPTIONS_ERROR")
        assert f'{path}: limits.session_wait: "1 moon"' in said.json["message"]
        assert "30s" in said.json["message"]
        assert KEY not in said.whole()
    assert (await rest("health/live")).status == 200
    stranger = await rest("health/ready", headers={})
    assert (stranger.status, stranger.json) == (500, {"status": "error"})
    configure("ok")
    assert (await rest("prompt", {"prompt": "Hello"})).status == 200, "a mended file is read without a restart"


async def test_unknown_paths_are_404_in_json(rest):
    for path in ("", "api", "api/v1/", "api/v1/nothing", "api/v1/prompt/", "api/v1/sessions//history", "v1/none"):
        for method in ("GET", "POST", "DELETE"):
            for headers in (None, {}):
                body = b"{}" if method == "POST" else None
                said = await rest(path, body, method=method, headers=headers, below="warp/")
                assert (said.status, code_of(said)) == (404, "NOT_FOUND"), (method, path)


async def test_a_verb_that_is_not_there_is_405_with_those_that_are(rest):
    verbs = {"prompt": "POST", "stream": "POST", "models": "GET", "sessions/s/history": "GET"}
    verbs |= {"health/live": "GET", "health/ready": "GET", "streams/s~1": "GET", "streams/s~1/stop": "POST"}
    verbs |= {"sessions": "GET, POST", "sessions/s": "GET, PATCH, DELETE", "sessions/s/fork": "POST", "events": "GET"}
    for path, allowed in verbs.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(allowed.split(", ")):
            said = await rest(path, b"{}" if method[0] == "P" else None, method=method)
            assert (said.status, said.json["code"]) == (405, "METHOD_NOT_ALLOWED"), (method, path)
            assert said.headers["Allow"] == allowed


class TestTheTrait:
    """``c.WarpExtension.config_file``, which must not be mixed up with JupyterApp's of the same name."""

    @pytest.fixture
    def jp_server_config(self, configure, tmp_path, jp_config_dir, monkeypatch):
        named = configure("ok@named").rename(tmp_path / "named.toml")
        configure("ok@environment")
        (tmp_path / "named.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w').close()")
        (jp_config_dir / "jupyter_config.py").write_text(f"c.WarpExtension.config_file = {str(named)!r}\n")
        (tmp_path / "jupyters.py").write_text("c.ServerApp.shutdown_no_activity_timeout = 0\n")
        extensions = {"jpserver_extensions": {"jupyter_server_ext": True}}
        return Config({"ServerApp": extensions, "JupyterApp": {"config_file": str(tmp_path / "jupyters.py")}})

    async def test_wins_and_is_read_as_nothing_else(self, rest, tmp_path):
        assert (await rest("prompt", {"prompt": "Hello"})).json["model"] == "fake:ok@named"
        assert not (tmp_path / "was-run").exists()


def code_of(said):
    """The code of an error, in OpenAI's shape or in ours."""
    return said.json.get("error", said.json)["code"]


def every_path():
    """Each route with a session and a stream that are not there: verb, path, action; health is for everybody."""
    for route in ROUTES:
        if not route.open:
            yield route.verb, re.sub(r"{(\w+)}", r"no-\1~1", path_of(route.pattern)), route.action


async def test_every_path_needs_a_user(rest):
    for verb, path, _ in every_path():
        said = await rest(path, b"{}" if verb[0] == "P" else None, method=verb, headers={}, below="warp/")
        refused = (401, "invalid_api_key") if path.startswith("v1/") else (403, "FORBIDDEN")
        assert (said.status, code_of(said)) == refused, (verb, path)


class TestAReader:
    @pytest.fixture
    def jp_server_config(self, configure):
        configure("ok")
        extensions = {"jpserver_extensions": {"jupyter_server_ext": True}}
        return Config({"ServerApp": {**extensions, "authorizer_class": ReadOnly}})

    async def test_may_read_and_nothing_else(self, rest):
        for verb, path, action in every_path():
            said = await rest(path, b"{}" if verb[0] == "P" else None, method=verb, below="warp/")
            assert (said.status == 403) == (action == "write"), (verb, path)
