"""What a page asks of the gateway over a panel's comm, in a kernel of its own gateway and in one of a server."""

from __future__ import annotations

import base64
import itertools
import json

import pytest

from tests.notebook.panel_client import PanelClient, settled

pytestmark = pytest.mark.slow

numbers = itertools.count()


@pytest.fixture
def client(front):
    """A page of a panel on a session of its own."""
    front.run(f"from warp_magics import ChatPanel\npanel = ChatPanel('calls-{next(numbers)}')")
    client = PanelClient(front, "panel")
    yield client
    front.run("panel.close()")


def session_of(client):
    return client.kernel.value("panel.session")


def asked(client, prompt="hello", key=None, **ask):
    """Ask, and wait for the turn."""
    session = session_of(client)
    body = client.body("ask", key=key or f"key-{next(numbers)}", ask={"prompt": prompt, "sessionId": session, **ask})
    known = settled(client.kernel, lambda: turns(client, body["turnId"]))
    return body, known[0]


def turns(client, turn_id=None):
    found = client.body("history", sessionId=session_of(client))["turns"]
    return [one for one in found if turn_id in (None, one["turnId"])]


def test_what_rest_tells_of_the_gateway_is_told(client):
    ready = client.body("ready")
    assert ready["status"] == "ok"
    assert ready["gatewayId"]
    assert client.body("models")["models"][0]["provider"] == "lab"


def test_a_prompt_is_asked_and_kept_as_the_panels(client):
    body, turn = asked(client, key="key-of-mine")
    assert body["turnId"] == "key-of-mine"
    assert body["sessionId"] == session_of(client)
    assert turn["response"] == "You said 'hello' in message 1."
    assert turn["source"]["kind"] == "panel"


def test_the_same_call_is_run_once_and_answered_again(client):
    session = session_of(client)
    call = client.say("ask", key="once", ask={"prompt": "hello", "sessionId": session})
    first = client.reply(call)
    client.say("ask", call=call, key="once", ask={"prompt": "hello", "sessionId": session})
    client.kernel.until(lambda: len(client.replies(call)) == 2)
    assert [(one["status"], one["body"]) for one in client.replies(call)] == [first, first]
    assert len(settled(client.kernel, lambda: turns(client))) == 1


def test_a_call_that_is_still_being_run_is_answered_once(client):
    made = client.say("create", title="twice at once")
    client.say("create", call=made, title="twice at once")
    client.reply(made)
    assert len(client.body("sessions", search="twice at once")["sessions"]) == 1


def test_a_session_is_made_named_forked_rewound_and_deleted(client):
    (_, first), _ = asked(client, "first"), asked(client, "second")
    session = session_of(client)
    assert client.body("session", sessionId=session)["turns"] == 2
    assert client.body("update", sessionId=session, title="Of cats")["title"] == "Of cats"
    forked = client.body("fork", sessionId=session, at=first["turnId"])
    assert (forked["turns"], forked["title"]) == (1, "Of cats")
    assert client.body("rewind", sessionId=session, to=first["turnId"])["turns"] == 1
    listed = client.body("sessions", search="of cats", limit=10)["sessions"]
    assert {one["sessionId"] for one in listed} >= {session, forked["sessionId"]}
    assert client.ask("delete", sessionId=forked["sessionId"]) == (204, None)
    assert client.ask("session", sessionId=forked["sessionId"])[1]["code"] == "SESSION_NOT_FOUND"


def test_the_last_turns_alone_are_told_where_that_is_asked(client):
    asked(client, "first")
    asked(client, "second")
    found = client.body("history", sessionId=session_of(client), last=1)["turns"]
    assert [one["prompt"] for one in found] == ["second"]


@pytest.mark.parametrize(("form", "media_type"), [("json", "application/json"), ("md", "text/markdown"), ("ipynb", "")])
def test_a_session_is_exported(client, form, media_type):
    asked(client, "to be kept")
    file = client.body("export", sessionId=session_of(client), format=form)
    assert file["name"].endswith(f".{form}")
    assert media_type in file["mediaType"]
    assert "to be kept" in file["text"]


def test_an_answer_is_stopped(client):
    session = session_of(client)
    ask = {"prompt": "for long", "sessionId": session, "models": ["lab:silent-2@stop"]}
    body = client.body("ask", key=f"stop-{next(numbers)}", ask=ask)
    watch = client.say("watch", sessionId=session, after={})
    client.until_event(watch, "content")
    assert client.body("stop", streamId=body["streamId"])["status"] == "stopped"
    (turn,) = settled(client.kernel, lambda: turns(client))
    assert turn["status"] == "stopped"
    assert client.body("stop", streamId=body["streamId"])["status"] == "ended"


@pytest.mark.parametrize(
    ("verb", "args", "status", "code"),
    [
        ("dance", {}, 404, "NOT_FOUND"),
        ("session", {}, 400, "INVALID_REQUEST"),
        ("session", {"sessionId": 7}, 400, "INVALID_REQUEST"),
        ("session", {"sessionId": "no such/id"}, 400, "INVALID_SESSION_ID"),
        ("history", {"sessionId": "nowhere"}, 404, "SESSION_NOT_FOUND"),
        ("sessions", {"limit": "many"}, 400, "INVALID_REQUEST"),
        ("sessions", {"limit": 0}, 400, "INVALID_REQUEST"),
        ("sessions", {"limit": 10**9}, 400, "INVALID_REQUEST"),
        ("history", {"sessionId": "nowhere", "last": 10**30}, 400, "INVALID_REQUEST"),
        ("create", {"titel": "x"}, 422, "UNPROCESSABLE_REQUEST"),
        ("update", {"sessionId": "nowhere", "title": "x"}, 404, "SESSION_NOT_FOUND"),
        ("rewind", {"sessionId": "nowhere", "to": "t"}, 404, "SESSION_NOT_FOUND"),
        ("export", {"sessionId": "nowhere", "format": "md"}, 404, "SESSION_NOT_FOUND"),
        ("stop", {"streamId": "nowhere~1"}, 404, "STREAM_NOT_FOUND"),
        ("ask", {"ask": {"prompt": "x"}}, 400, "INVALID_REQUEST"),
        ("ask", {"key": "k", "ask": {"prompt": ""}}, 400, "INVALID_REQUEST"),
        ("ask", {"key": "k", "ask": "x"}, 400, "INVALID_REQUEST"),
        ("ask", {"key": "k", "ask": {"prompt": "x", "colour": 1}}, 422, "UNPROCESSABLE_REQUEST"),
        ("ask", {"key": "k", "ask": {"prompt": "x", "models": ["gone:x"]}}, 400, "MODEL_PROVIDER_NOT_FOUND_ERROR"),
        ("watch", {"sessionId": "s", "after": ["x"]}, 400, "INVALID_REQUEST"),
        ("watch", {}, 400, "INVALID_REQUEST"),
    ],
)
def test_what_is_wrong_is_told_as_rest_tells_it(client, verb, args, status, code):
    told, body = client.ask(verb, **args)
    assert (told, body["code"]) == (status, code)
    assert body["message"]


def test_what_is_no_call_is_passed_over(client):
    for content in (None, [], {"page": 1, "call": 1, "verb": "ready"}, {"page": client.page, "call": "1"}):
        client.send({"method": "custom", "content": content})
    assert client.body("ready")["status"] == "ok"
    assert not client.kernel.run("1").stream("stderr")


# -- the notebook ----------------------------------------------------------------------------------


def test_what_can_be_attached_is_named_and_attached(client):
    client.kernel.run("import pandas as pd\nsales = pd.DataFrame({'a': range(120), 'b': 1.5})\nplain = [1, 2, 3]")
    names = client.body("names")["names"]
    assert names[0] == {"name": "sales", "kind": "DataFrame", "detail": "120 × 2"}  # noqa: RUF001
    assert {"name": "plain", "kind": "list", "detail": "3"} in names
    assert not {"pd", "ChatPanel", "panel", "In"} & {one["name"] for one in names}
    attachment = client.body("attach", name="sales")["attachment"]
    assert (attachment["kind"], attachment["name"]) == ("text", "sales")
    assert "120 rows" in attachment["text"]
    _, turn = asked(client, "what is it?", attachments=[attachment])
    assert turn["attachments"] == [attachment]


def test_what_cannot_be_attached_is_said(client):
    client.kernel.run("import math")
    assert client.ask("attach", name="math")[1]["message"].startswith("math: a module is nothing")
    assert "nowhere" in client.ask("attach", name="nowhere")[1]["message"]


def test_a_failure_is_suggested_first_and_can_be_attached(client):
    client.kernel.run("1 / 0", ok=False)
    prompts = client.body("suggestions")["prompts"]
    assert len(prompts) == 3
    (failure,) = prompts[0]["attach"]
    assert "ZeroDivisionError" in client.body("attach", name=failure)["attachment"]["text"]


def test_a_file_is_attached(client):
    data = base64.b64encode("ä text".encode()).decode()
    attachment = client.body("file", name="notes.md", data=data)["attachment"]
    assert (attachment["name"], attachment["text"]) == ("notes.md", "ä text")


@pytest.mark.parametrize(
    ("data", "status", "told"),
    [
        (base64.b64encode(b"\xff\xfe\x00").decode(), 400, "neither text"),
        ("no base64!", 400, "base64"),
        ("A" * 27_000_000, 413, "20 MB"),
    ],
)
def test_a_file_that_cannot_be_attached_is_said(client, data, status, told):
    found, body = client.ask("file", name="notes.bin", data=data, within=60)
    assert (found, told in body["message"]) == (status, True), body


def test_bodies_are_plain_json(client):
    asked(client)
    json.dumps(client.body("history", sessionId=session_of(client)))
