"""The OpenAI paths as unmodified clients see them: SDKs, frameworks and command lines, each in a process of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.clients.conftest import client, ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ECHO = "You said 'Hello' in message 1."
RECALL = "in message 3."
SUNNY = "Sunny, then."
HELLO = [{"role": "user", "content": "Hello"}]


def history(server, session):
    with server.client() as http:
        return http.get(f"sessions/{session}/history").json()["turns"]


@pytest.fixture(scope="module", params=["alone", "jupyter"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def python_sdk(server, play, fake):
    fake.reset()
    return play("scenes_openai.py", getattr(server, "warp", None) or server.url, server.token)


@pytest.fixture(scope="module")
def javascript_sdk(alone, play, fake):
    fake.reset()
    return play("scenes_openai.mjs", alone.url, alone.token)


@pytest.fixture(scope="module")
def langchain(alone, play, fake):
    fake.reset()
    return play("scenes_langchain.py", alone.url, alone.token)


class TestThePythonSdk:
    @pytest.fixture
    def seen(self, python_sdk):
        return python_sdk

    def test_whole_and_streamed_answers(self, seen):
        whole = seen["whole"]
        assert (whole["text"], whole["model"], whole["usage"]["prompt_tokens"]) == (ECHO, "lab:ok", 1)
        assert whole["usage"]["total_tokens"] == 1 + whole["usage"]["completion_tokens"]
        assert seen["streamed"] == {"text": ECHO, "reason": "stop", "usage": 1, "choices": 0}
        assert seen["streamed_by_the_helper"]["text"] == ECHO
        assert {"content.delta", "content.done", "chunk"} <= set(seen["streamed_by_the_helper"]["kinds"])
        assert seen["asynchronous"] == {"whole": ECHO, "streamed": ECHO}

    def test_tools_and_structured_answers(self, seen, fake):
        assert seen["tools"] == {"city": "Rome", "unit": "C", "after": SUNNY}
        assert seen["tools_streamed"] == {"city": "Rome", "name": "weather"}
        assert seen["structured"] == {"city": "Rome", "unit": "C"}
        (asked,) = fake.calls("weather")
        wanted = asked.body["response_format"]["json_schema"]
        assert (wanted["name"], wanted["strict"]) == ("Weather", True)
        assert fake.calls("tool")[0].body["tools"][0]["function"]["strict"] is True
        assert [message["role"] for message in fake.calls("after-tool")[0].body["messages"]] == [
            "user",
            "assistant",
            "tool",
        ]

    def test_images(self, seen, fake):
        assert "What is it?" in seen["image"]["text"]
        sent = [call.body["messages"][-1]["content"] for call in fake.calls("ok")]
        assert [part["type"] for part in next(one for one in sent if isinstance(one, list))] == ["text", "image_url"]

    def test_models(self, seen):
        assert seen["models"] == {"ids": ["auto", "lab:ok"], "one": "lab:ok"}

    @pytest.mark.parametrize(
        ("name", "kind", "status", "code"),
        [
            ("key", "AuthenticationError", 401, "invalid_api_key"),
            ("model", "NotFoundError", 404, "model_not_found"),
            ("parameter", "BadRequestError", 400, "UNPROCESSABLE_REQUEST"),
            ("limit", "RateLimitError", 429, "rate_limit_exceeded"),
            ("fault", "InternalServerError", 502, "PROVIDER_RESPONSE_ERROR"),
            ("path", "NotFoundError", 404, "NOT_FOUND"),
            ("stream", "APIError", None, "PROVIDER_REQUEST_END_ERROR"),
        ],
    )
    def test_errors_have_the_types_of_the_sdk(self, seen, name, kind, status, code):
        error = seen["errors"][name]
        assert (error["type"], error["status"], error["code"]) == (kind, status, code)
        assert error["message"]

    def test_it_asks_again_by_itself(self, seen):
        assert seen["asks_again_by_itself"]["text"] == "At last."

    def test_a_session(self, seen, server):
        assert seen["session"]["header"] == "of-the-sdk"
        assert RECALL in seen["session"]["text"]
        assert [turn["prompt"] for turn in history(server, "of-the-sdk")] == ["Hello", "Again"]

    def test_a_session_has_once_what_the_sdk_asked_for_again_and_again(self, seen, server, fake):
        assert seen["session_and_a_time_out"]["text"] == "Late."
        assert [turn["response"] for turn in history(server, "impatient")] == ["Late."]
        assert len(fake.calls("late")) == 1


class TestTheJavaScriptSdk:
    @pytest.fixture
    def seen(self, javascript_sdk):
        return javascript_sdk

    def test_answers(self, seen):
        assert seen["whole"] == {"text": ECHO, "model": "lab:ok", "usage": 1}
        assert seen["streamed"] == {"text": ECHO, "usage": 1}
        assert seen["streamedByTheHelper"] == {"text": ECHO}

    def test_tools_and_structured_answers(self, seen):
        assert seen["tools"] == {"city": "Rome", "after": SUNNY}
        assert seen["toolsRunByTheHelper"] == {"text": SUNNY}
        assert seen["structured"]["city"] == "Rome"

    def test_models(self, seen):
        assert seen["models"] == {"ids": ["auto", "lab:ok"], "one": "lab:ok"}

    def test_errors_have_the_types_of_the_sdk(self, seen):
        told = {name: (one["type"], one["status"], one["code"]) for name, one in seen["errors"].items()}
        assert told == {
            "key": ("AuthenticationError", 401, "invalid_api_key"),
            "model": ("NotFoundError", 404, "model_not_found"),
            "limit": ("RateLimitError", 429, "rate_limit_exceeded"),
            "fault": ("InternalServerError", 502, "PROVIDER_RESPONSE_ERROR"),
            "stream": ("APIError", None, "PROVIDER_REQUEST_END_ERROR"),
        }

    def test_sessions(self, seen, alone, fake):
        assert RECALL in seen["session"]["text"]
        assert seen["sessionAndATimeOut"]["text"] == "Late."
        assert len(history(alone, "impatient-script")) == len(fake.calls("late-script")) == 1


class TestLangChain:
    @pytest.fixture
    def seen(self, langchain):
        return langchain

    def test_answers(self, seen):
        assert seen["whole"] == {"text": "You said 'Hello' in message 2.", "usage": 3, "model": "lab:ok"}
        assert seen["streamed"] == {"text": ECHO, "pieces": True, "usage": 1}

    def test_tools_and_structured_answers(self, seen):
        assert (seen["tools"]["calls"]["city"], seen["tools"]["after"]) == ("Rome", SUNNY)
        assert seen["structured"] == {"city": "Rome", "unit": "C"}

    def test_a_loop_of_tools_in_a_session_has_each_turn_once(self, seen, alone):
        assert seen["session"] == {"text": SUNNY}
        kept = history(alone, "of-langchain")
        assert [(turn["prompt"], len(turn["toolCalls"]), len(turn["toolResults"])) for turn in kept] == [
            ("Hello", 1, 0),
            ("", 0, 1),
        ]

    def test_errors(self, seen):
        assert seen["errors"] == {"type": "RateLimitError", "code": "rate_limit_exceeded"}


def test_litellm(alone, play, fake):
    fake.reset()
    seen = play("scenes_litellm.py", alone.url, alone.token)
    assert seen["whole"] == {"text": ECHO, "usage": 1}
    assert seen["streamed"] == {"text": ECHO}
    assert (seen["tools"]["name"], seen["tools"]["arguments"]["city"]) == ("weather", "Rome")
    assert RECALL in seen["session"]["text"]
    assert seen["errors"] == {"limit": "RateLimitError", "model": "NotFoundError", "key": "AuthenticationError"}


def test_llm_with_an_extra_openai_model(alone, tmp_path):
    extra = [
        {"model_id": "warp", "model_name": "auto", "supports_tools": True},
        {"model_id": "warp-weather", "model_name": "lab:weather", "supports_schema": True},
        {"model_id": "warp-session", "model_name": "auto", "headers": {"x-session-id": "of-llm"}},
    ]
    shared = {"api_base": f"{alone.url}/v1", "api_key_name": "warp"}
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([{**one, **shared} for one in extra]))
    (tmp_path / "keys.json").write_text(json.dumps({"warp": alone.token}))

    def llm(*words):
        return ran([str(client("llm")), *words], LLM_USER_PATH=str(tmp_path)).strip()

    assert llm("-m", "warp", "Hello") == ECHO
    assert llm("-m", "warp", "--no-stream", "Hello") == ECHO
    assert RECALL in llm("-m", "warp", "-c", "And?")
    assert json.loads(llm("-m", "warp-weather", "--schema", "city, unit", "Hello")) == {"city": "Rome", "unit": "C"}
    llm("-m", "warp-session", "Hello")
    assert RECALL in llm("-m", "warp-session", "-c", "And?")
    assert len(history(alone, "of-llm")) == 2


def test_curl(alone):
    curl = shutil.which("curl")
    assert curl, "the test of curl needs it on PATH"

    def ask(**body):
        data = json.dumps({"model": "auto", "messages": HELLO, **body})
        head = ["-H", f"Authorization: Bearer {alone.token}", "-H", "Content-Type: application/json"]
        return ran([curl, "-sSN", "--max-time", "60", f"{alone.url}/v1/chat/completions", *head, "-d", data])

    assert json.loads(ask())["choices"][0]["message"]["content"] == ECHO
    *lines, done = [line for line in ask(stream=True).splitlines() if line]
    assert done == "data: [DONE]"
    deltas = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines]
    assert "".join(delta.get("content", "") for delta in deltas) == ECHO


def test_the_scripts_are_of_what_users_install():
    """Nothing of ours is in their environment."""
    listed = ran(
        [str(client("python")), "-c", "import importlib.metadata as m; print([d.name for d in m.distributions()])"]
    )
    assert "warp-magics" not in listed
    for script in Path(__file__).parent.glob("scenes_*"):
        assert "warp_magics" not in script.read_text("utf-8"), script
