"""The sessions of REST.md inside a Jupyter Server: each of their paths, and each status it may have."""

import asyncio
import json
import threading

import pytest

from tests.fakes.provider import Reply
from tests.server.test_endpoints_in_jupyter import TIME, UUID4


async def asked(rest, session, *prompts):
    """Ask each prompt in the session; the ids of the turns."""
    said = [await rest("prompt", {"prompt": one, "sessionId": session, "createSession": True}) for one in prompts]
    return [one.json["turnId"] for one in said]


async def prompts_of(rest, session, query=""):
    return [turn["prompt"] for turn in (await rest(f"sessions/{session}/history{query}")).json["turns"]]


async def test_a_session_is_made_as_it_was_asked_for(rest):
    wanted = {"sessionId": "ada.1", "title": "Engines", "ttl": "2h", "metadata": {"colour": "blau"}}
    said = await rest("sessions", wanted)
    assert said.status == 201
    body = said.json
    for name in ("createdAt", "updatedAt", "expiresAt"):
        assert TIME.fullmatch(body.pop(name))
    assert body == {
        **wanted,
        "ttl": 7200.0,
        "turns": 0,
        "models": [],
        "usage": dict.fromkeys(("inputTokens", "outputTokens", "cachedTokens", "reasoningTokens"), 0),
        "cost": body["cost"],
        "unpriced": 0,
        "liveStreamId": None,
        "liveTurnId": None,
        "livePrompt": None,
        "branches": [],
    }
    described = await rest("sessions/ada.1")
    assert (described.status, described.json) == (200, said.json)
    assert await prompts_of(rest, "ada.1") == []
    assert (await rest("prompt", {"prompt": "Hello", "sessionId": "ada.1"})).status == 200


async def test_a_session_without_wishes_has_an_id_of_its_own(rest):
    for body in ({}, b""):
        said = await rest("sessions", body)
        assert said.status == 201
        assert UUID4.fullmatch(said.json["sessionId"])


async def test_a_session_that_cannot_be_made_says_why(rest):
    assert (await rest("sessions", {"sessionId": "s"})).status == 201
    for body, status, code in (
        ({"sessionId": "s"}, 409, "SESSION_EXISTS"),
        ({"sessionId": "a b"}, 400, "INVALID_SESSION_ID"),
        ({"sessionId": "s~1"}, 400, "INVALID_SESSION_ID"),
        ({"name": "x"}, 422, "UNPROCESSABLE_REQUEST"),
        ({"ttl": -1}, 422, "UNPROCESSABLE_REQUEST"),
        (b"[]", 400, "INVALID_REQUEST"),
        (b"{", 400, "INVALID_REQUEST"),
    ):
        said = await rest("sessions", body)
        assert (said.status, said.json["code"]) == (status, code), body


async def test_sessions_are_listed_newest_first_page_by_page(rest):
    for name in ("a1", "b", "a2", "a3"):
        await asked(rest, name, "Hello")
    await asked(rest, "a1", "Again")
    said = (await rest("sessions")).json
    assert [one["sessionId"] for one in said["sessions"]] == ["a1", "a3", "a2", "b"]
    assert said["nextCursor"] is None
    assert (said["sessions"][0]["turns"], said["sessions"][0]["models"]) == (2, ["fake:ok"])
    first = (await rest("sessions?search=A&limit=2")).json
    assert [one["sessionId"] for one in first["sessions"]] == ["a1", "a3"]
    rest_of_them = (await rest(f"sessions?limit=3&cursor={(await rest('sessions?limit=1')).json['nextCursor']}")).json
    assert [one["sessionId"] for one in rest_of_them["sessions"]] == ["a3", "a2", "b"]
    for limit in ("0", "-1", "x", "", "1e2", "9" * 30):
        refused = await rest(f"sessions?limit={limit}")
        assert (refused.status, refused.json["code"]) == (400, "INVALID_REQUEST"), limit
        assert "limit" in refused.json["message"]


async def test_a_description_can_be_changed_in_part(rest):
    await rest("sessions", {"sessionId": "s", "title": "One", "metadata": {"a": 1}})
    said = await rest("sessions/s", {"title": "Two"}, method="PATCH")
    assert said.status == 200
    assert (said.json["title"], said.json["metadata"]) == ("Two", {"a": 1})
    assert (await rest("sessions/s")).json["title"] == "Two"
    refused = await rest("sessions/s", {"turns": 3}, method="PATCH")
    assert (refused.status, list(refused.json["details"]["fields"])) == (422, ["turns"])


async def test_a_deleted_session_is_gone_with_all_it_had(rest):
    await asked(rest, "s", "Hello")
    said = await rest("sessions/s", method="DELETE")
    assert (said.status, said.body) == (204, b"")
    assert "Content-Type" not in said.headers
    for path in ("sessions/s", "sessions/s/history", "sessions/s/events", "streams/s~1"):
        assert (await rest(path)).status == 404, path
    assert (await rest("sessions")).json["sessions"] == []
    assert (await rest("sessions/s", method="DELETE")).status == 404


async def test_deleting_stops_the_answer_that_is_being_made(rest, open_stream, fake):
    reader = await open_stream(
        {"prompt": "Count", "sessionId": "s", "createSession": True, "models": ["fake:silent-2"]}
    )
    await reader.event("content")
    assert (await rest("sessions/s")).json["liveStreamId"] == "s~1"
    assert (await rest("sessions/s", method="DELETE")).status == 204
    await asyncio.to_thread(fake.wait_until, lambda: fake.disconnects)
    assert (await rest("sessions/s")).status == 404


async def test_a_live_answer_is_known_before_its_first_word(rest, fake):
    go_on = threading.Event()
    fake.script("ok", Reply(before=[go_on]))
    asking = asyncio.create_task(rest("prompt", {"prompt": "Hi", "sessionId": "s", "createSession": True}))
    await asyncio.to_thread(fake.wait_until, lambda: fake.requests)
    live = (await rest("sessions/s")).json
    assert (live["liveStreamId"], live["livePrompt"]) == ("s~1", "Hi")
    go_on.set()
    assert (await asking).json["turnId"] == live["liveTurnId"]
    told = (await rest("sessions/s")).json
    assert (told["liveStreamId"], told["liveTurnId"], told["livePrompt"]) == (None, None, None)


async def test_a_rewind_puts_turns_into_a_branch_and_brings_them_back(rest):
    one, _, three = await asked(rest, "s", "One", "Two", "Three")
    said = await rest("sessions/s/rewind", {"to": one})
    assert (said.status, said.json["turns"]) == (200, 1)
    (branch,) = said.json["branches"]
    assert TIME.fullmatch(branch.pop("createdAt"))
    number = branch.pop("branch")
    assert branch == {"after": one, "turns": 2}
    assert await prompts_of(rest, "s") == ["One"]
    assert await prompts_of(rest, "s", f"?branch={number}") == ["Two", "Three"]
    assert (await rest("sessions/s/rewind", {"to": three})).status == 200
    assert await prompts_of(rest, "s") == ["One", "Two", "Three"]
    for body, status, code in (
        ({"to": "never-was"}, 404, "TURN_NOT_FOUND"),
        ({}, 422, "UNPROCESSABLE_REQUEST"),
        ({"to": 3}, 422, "UNPROCESSABLE_REQUEST"),
    ):
        said = await rest("sessions/s/rewind", body)
        assert (said.status, said.json["code"]) == (status, code)
    for branch, status, code in (
        ("99", 404, "BRANCH_NOT_FOUND"),
        ("x", 400, "INVALID_REQUEST"),
        ("", 400, "INVALID_REQUEST"),
        ("-1", 400, "INVALID_REQUEST"),
        ("1.5", 400, "INVALID_REQUEST"),
    ):
        said = await rest(f"sessions/s/history?branch={branch}")
        assert (said.status, said.json["code"]) == (status, code), branch


async def test_the_newest_turns_alone(rest):
    await asked(rest, "s", "One", "Two", "Three")
    assert await prompts_of(rest, "s", "?last=2") == ["Two", "Three"]
    assert await prompts_of(rest, "s", "?last=9") == ["One", "Two", "Three"]
    for last in ("0", "-1", "x", "1.5", "", "10000000000"):
        said = await rest(f"sessions/s/history?last={last}")
        assert (said.status, said.json["code"]) == (400, "INVALID_REQUEST"), last


async def test_a_session_that_is_answering_cannot_be_rewound(rest, configure, open_stream):
    configure("ok", limits='session_wait = "200ms"')
    one, _ = await asked(rest, "s", "One", "Two")
    reader = await open_stream({"prompt": "Three", "sessionId": "s", "models": ["fake:silent-2"]})
    await reader.event("content")
    said = await rest("sessions/s/rewind", {"to": one})
    assert (said.status, said.json["code"]) == (409, "SESSION_BUSY")
    assert (await rest("streams/s~3/stop", b"")).status == 200


async def test_a_fork_goes_its_own_way(rest):
    one, _ = await asked(rest, "s", "One", "Two")
    said = await rest("sessions/s/fork", {"at": one, "sessionId": "t"})
    assert (said.status, said.json["sessionId"], said.json["turns"]) == (201, "t", 1)
    await asked(rest, "t", "Other")
    assert await prompts_of(rest, "t") == ["One", "Other"]
    assert await prompts_of(rest, "s") == ["One", "Two"]
    whole = await rest("sessions/s/fork", b"")
    assert whole.status == 201
    assert UUID4.fullmatch(whole.json["sessionId"])
    assert await prompts_of(rest, whole.json["sessionId"]) == ["One", "Two"]
    for body, status, code in (
        ({"at": "never-was"}, 404, "TURN_NOT_FOUND"),
        ({"sessionId": "t"}, 409, "SESSION_EXISTS"),
        ({"sessionId": "t/u"}, 400, "INVALID_SESSION_ID"),
        ({"to": one}, 422, "UNPROCESSABLE_REQUEST"),
    ):
        said = await rest("sessions/s/fork", body)
        assert (said.status, said.json["code"]) == (status, code), body


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [
        ("", "application/json", "s.json"),
        ("?format=json", "application/json", "s.json"),
        ("?format=md", "text/markdown", "s.md"),
        ("?format=ipynb", "application/x-ipynb+json", "s.ipynb"),
    ],
)
async def test_an_export_is_a_file(rest, query, kind, name):
    await asked(rest, "s", "Grüße, 世界")
    said = await rest(f"sessions/s/export{query}")
    assert said.status == 200, said.body
    assert said.headers["Content-Type"].startswith(kind)
    assert said.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert "Grüße, 世界" in said.body.decode()
    if name != "s.md":
        json.loads(said.body)


async def test_an_export_of_another_kind_says_which_there_are(rest):
    await asked(rest, "s", "Hello")
    said = await rest("sessions/s/export?format=pdf")
    assert (said.status, said.json["code"]) == (400, "INVALID_REQUEST")
    for kind in ("json", "md", "ipynb", "pdf"):
        assert kind in said.json["message"]


PATHS = {
    "sessions/{}": ("GET", None),
    "sessions/{} ": ("PATCH", {"title": "x"}),
    "sessions/{}  ": ("DELETE", None),
    "sessions/{}/history": ("GET", None),
    "sessions/{}/events": ("GET", None),
    "sessions/{}/fork": ("POST", {}),
    "sessions/{}/rewind": ("POST", {"to": "x"}),
    "sessions/{}/export": ("GET", None),
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_session_that_never_was_is_404_and_no_id_is_400(rest, path):
    method, body = PATHS[path]
    for session, status, code in (("never-was", 404, "SESSION_NOT_FOUND"), ("a%20b", 400, "INVALID_SESSION_ID")):
        said = await rest(path.strip().format(session), body, method=method)
        assert (said.status, said.json["code"]) == (status, code)
