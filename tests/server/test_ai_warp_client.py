"""AI Warp's own client, played by Node, against the gateway in Jupyter and alone: scene by scene what its caller sees."""

from __future__ import annotations

import json

import pytest

from tests.fakes.provider import FakeProvider
from tests.server.alone_process import running_alone
from tests.server.node import run_ai_warp_client
from tests.server.process import running_jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TOML = """
models = ["fake:ok"]
[providers.fake]
dialect = "openai"
base_url = "{base_url}"
[storage]
type = "memory"
"""
STREAMED = {
    "streamThirdTurn",
    "stream",
    "streamSecondTurn",
    "streamSamePromptAgain",
    "streamWithoutResume",
    "notResumed",
    "contextString",
    "history",
    "modelsAsStrings",
    "modelsMixed",
}
WHOLE = {"ask", "askSecondTurn", "contextObject", "contextArray", "modelsAsObjects"}
REFUSED = {
    "unknownModel": (400, "MODEL_PROVIDER_NOT_FOUND_ERROR"),
    "unknownSession": (404, "SESSION_NOT_FOUND"),
    "badSessionId": (400, "INVALID_SESSION_ID"),
    "emptyPrompt": (400, "INVALID_REQUEST"),
}
STRANGER = {"jupyter": (403, "FORBIDDEN"), "alone": (401, "UNAUTHORIZED")}
UNASKED = {*REFUSED, "wrongToken", "resumed"}


@pytest.fixture(scope="module", params=STRANGER)
def where(request):
    return request.param


@pytest.fixture(scope="module")
def played(where, tmp_path_factory):
    """All scenes, and what the provider was sent in them."""
    folder = tmp_path_factory.mktemp("ai-warp")
    with FakeProvider.in_thread() as fake:
        (folder / "warp.toml").write_text(TOML.format(base_url=fake.base_url), "utf-8")
        env = {"WARP_CONFIG": str(folder / "warp.toml")}
        if where == "alone":
            with running_alone(folder / "server", env) as warp:
                return run_ai_warp_client(warp.url, warp.token), fake.requests
        with running_jupyter(folder / "server", env) as server:
            return run_ai_warp_client(server.warp, server.token), fake.requests


@pytest.fixture(scope="module")
def scenes(played):
    return played[0]


@pytest.fixture(scope="module")
def asked(played, scenes):
    """The messages that the provider was sent, by scene: it was asked once for each that was answered, in order."""
    answered = [name for name in scenes if name not in UNASKED]
    return dict(zip(answered, [call.messages for call in played[1]], strict=True))


def test_every_scene_is_looked_at(scenes):
    assert set(scenes) == STREAMED | WHOLE | UNASKED


@pytest.mark.parametrize("name", sorted(STREAMED))
def test_a_stream_is_read_to_its_done(scenes, name):
    scene = scenes[name]
    assert (scene["error"], scene["status"]) == (None, 200)
    assert scene["headers"]["content-type"].startswith("text/event-stream")
    assert [message["type"] for message in scene["messages"]][-1] == "done"
    assert {message["type"] for message in scene["messages"][:-1]} == {"content"}
    done = scene["done"]
    assert scene["text"] == done["text"]
    assert (done["result"], done["model"], done["sessionId"]) == ("COMPLETE", "fake:ok", scene["sessionId"])


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_an_answer_is_read_whole(scenes, name):
    scene = scenes[name]
    assert (scene["error"], scene["status"]) == (None, 200)
    assert scene["headers"]["content-type"].startswith("application/json")
    assert (scene["content"]["result"], scene["content"]["model"]) == ("COMPLETE", "fake:ok")
    assert scene["content"]["sessionId"] == scene["sessionId"]


@pytest.mark.parametrize("name", [*sorted(REFUSED), "wrongToken"])
def test_a_refusal_is_an_error_with_its_status_and_body(scenes, where, name):
    status, code = REFUSED.get(name, STRANGER[where])
    prefix, _, body = scenes[name]["error"].partition(": ")
    assert prefix == f"HTTP {status}"
    assert json.loads(body)["code"] == code
    assert scenes[name]["messages"] == []


def test_a_caller_who_names_the_last_event_it_saw_is_told_the_rest(scenes):
    first, resumed = scenes["stream"], scenes["resumed"]
    assert resumed["error"] is None
    assert resumed["done"] == first["done"]
    assert resumed["text"]
    assert resumed["text"] != first["text"]
    assert first["text"].endswith(resumed["text"])


def test_turns_of_a_session_see_those_before_them(scenes, asked):
    first = ["ask", "askSecondTurn", "streamThirdTurn"]
    second = ["stream", "streamSecondTurn", "streamSamePromptAgain", "streamWithoutResume", "notResumed"]
    for names in (first, second):
        assert len({scenes[name]["sessionId"] for name in names}) == 1
        for turn, name in enumerate(names):
            prompts = [message["content"] for message in asked[name] if message["role"] == "user"]
            assert prompts == [scenes[one]["sent"]["prompt"] for one in names[: turn + 1]]
    assert scenes["ask"]["sessionId"] != scenes["stream"]["sessionId"]


def test_no_prompt_is_answered_by_a_replay(scenes):
    again = [scenes["streamSecondTurn"], scenes["streamSamePromptAgain"]]
    assert [scene["sent"]["prompt"] for scene in again] == ["Now count to four."] * 2
    assert len({scene["done"]["turnId"] for scene in again}) == 2
    assert "message 3." in again[0]["text"]
    assert "message 5." in again[1]["text"]


def test_what_is_said_in_many_scripts_arrives(scenes):
    assert "Grüße, 世界 🌍: count to three." in scenes["stream"]["text"]


def test_a_context_of_any_kind_is_the_system_message(asked):
    said = {name: asked[name][0] for name in ("contextString", "contextObject", "contextArray")}
    assert {message["role"] for message in said.values()} == {"system"}
    assert said["contextString"]["content"] == "You are a pirate."
    assert json.loads(said["contextObject"]["content"]) == {"colour": "blue", "sizes": [1, 2]}
    assert json.loads(said["contextArray"]["content"]) == ["first", {"n": 2}]


def test_a_history_goes_before_the_prompt(asked):
    said = [(message["role"], message["content"]) for message in asked["history"]]
    assert said == [("user", "Earlier?"), ("assistant", "Yes, earlier."), ("user", "What did I ask?")]


def test_the_temperature_arrives_zero_included(scenes, played):
    answered = [name for name in scenes if name not in UNASKED]
    sent = dict(zip(answered, (call.body.get("temperature") for call in played[1]), strict=True))
    assert sent["contextString"] == 0
    assert sent["modelsMixed"] == 0.5
    assert sent["ask"] is None


def test_what_is_undefined_is_not_sent(scenes):
    assert scenes["ask"]["sent"] == {"prompt": "My name is Ada.", "stream": False, "resume": True}
    assert scenes["streamWithoutResume"]["sent"]["resume"] is False
