"""Owners cannot see, guess, stop, follow or change what is another's: each route with each id that is not one's own.

What is another's is answered as what never was. Every try has an owner of its own, so that none stands on the one before;
a route that is added to the table is tried as it is.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re

import pytest

from jupyter_server_ext.rest.routes import ROUTES
from tests.server.places import owners

pytestmark = pytest.mark.slow

LIMITS = 'rate = { max = 100000, time_window = "1m" }\ntimeout = { stall = "100s" }'
WORD = "Sesame"
SESSIONS = ("adas-first", "adas-live")
TURNS = ("adas-turn-1", "adas-turn-2", "adas-turn-3", "adas-turn-live")
STREAMS = ("adas-first~1", "adas-first~2", "adas-live~1", "adas-turn-live", "adas-turn-1")
EVENTS = ("1-1", "1-2", "2-1")
ASK = {"prompt": "mine", "models": ["fake:ok"]}
OPENAI = {"model": "fake:ok", "messages": [{"role": "user", "content": "mine"}]}
BODIES = (
    None,
    {},
    ASK,
    {**ASK, "replaces": "source", "sessionId": "adas-first", "source": {"kind": "cell", "notebook": "n", "cell": "c"}},
    {**ASK, "stream": True},
    *({**ASK, "sessionId": one} for one in SESSIONS),
    *({**ASK, "sessionId": one, "createSession": True} for one in SESSIONS),
    *({**ASK, "sessionId": "adas-first", "replaces": one} for one in TURNS),
    *({**ASK, "sessionId": "adas-first", "createSession": True, "replaces": one} for one in TURNS[:1]),
    *({"sessionId": one, "continue": turn} for one in SESSIONS for turn in TURNS),
    {"sessionId": "adas-first", "toolResults": [{"id": "c", "content": "x"}]},
    {**ASK, "dryRun": True, "sessionId": "adas-first"},
    {"sessionId": "adas-first"},
    {"title": "taken"},
    *({"at": one} for one in TURNS),
    {"at": "adas-turn-1", "sessionId": "mine"},
    *({"to": one} for one in TURNS),
    OPENAI,
    {**OPENAI, "stream": True},
)
HEADERS = (
    *({"Idempotency-Key": one} for one in TURNS),
    *({"Last-Event-ID": one} for one in EVENTS),
    *({"x-session-id": one} for one in SESSIONS),
    *({"x-session-id": one, "x-stainless-retry-count": "1"} for one in SESSIONS),
)
HEADED_BODIES = (ASK, {**ASK, "sessionId": "adas-first", "resume": True}, OPENAI)
QUERIES = (
    *({"session": one} for one in SESSIONS),
    {"session": "adas-first", "after": "adas-first:1"},
    {"session": "adas-live", "after": "adas-live~1:1-1"},
    *({"after": one} for one in EVENTS),
    {"search": WORD},
    {"search": "adas"},
    {"cursor": "adas-first"},
    {"branch": "1"},
    *({"format": one} for one in ("json", "md", "ipynb")),
    *({"by": one} for one in ("model", "session", "day")),
)
RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{24,40}|[0-9]+(?:\.[0-9]+)?")
PASSING = {"date", "content-length", "x-request-id", "transfer-encoding"}


@pytest.fixture
def jp_server_config(configure):
    configure("ok")
    return owners()


@pytest.fixture
def place(open_place, jp_asyncio_loop):
    return jp_asyncio_loop.run_until_complete(open_place("ok", limits=LIMITS))


def paths(route):
    """The route's path below `warp/` with another's ids in it, and with none where it names none."""
    groups = re.findall(r"\(\?P<(\w+)>[^)]*\)", route.pattern)
    known = {"session_id": SESSIONS, "stream_id": STREAMS}
    for ids in itertools.product(*(known.get(group, SESSIONS + STREAMS + TURNS) for group in groups)):
        path = route.pattern
        for one in ids:
            path = re.sub(r"\(\?P<\w+>[^)]*\)", one, path, count=1)
        yield path.replace("\\", "")


def tries(route):
    """All that is tried of a route: path, body, headers and query."""
    for path in paths(route):
        if route.verb in {"POST", "PATCH", "PUT"}:
            yield from ((path, body, {}, {}) for body in BODIES)
            yield from ((path, body, more, {}) for body in HEADED_BODIES for more in HEADERS)
        else:
            yield path, None, {}, {}
            yield from ((path, None, more, {}) for more in HEADERS)
            yield from ((path, None, {}, query) for query in QUERIES)


def without(what):
    """The same with ids that never were."""
    if isinstance(what, str):
        return what.replace("adas", "none")
    if isinstance(what, dict):
        return {key: without(value) for key, value in what.items()}
    if isinstance(what, list):
        return [without(value) for value in what]
    return what


def shape(said):
    """All of an answer but what is another each time."""
    headers = {name: RANDOM.sub("#", value) for name, value in said.headers.items() if name.lower() not in PASSING}
    text = said.text
    if text.startswith("# HELP"):  # figures count all requests, these too: none may be of somebody's
        assert "adas" not in text
        text = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    return without(RANDOM.sub("#", f"{said.status_code} {sorted(headers.items())} {text}"))


class Ada:
    """Two sessions, a branch, an answer that has ended and one that has not."""

    def __init__(self, place, fake):
        self.place, self.fake = place, fake

    async def make(self):
        asked = {"sessionId": "adas-first", "createSession": True}
        for number in (1, 2, 3):
            await self.ask("api/v1/prompt", {"prompt": f"{WORD} {number}", **asked}, f"adas-turn-{number}")
        await self.ask("api/v1/sessions/adas-first/rewind", {"to": "adas-turn-2"})
        await self.place.ask("ada", "POST", "v1/chat/completions", OPENAI, headers={"x-session-id": "adas-first"})
        body = {"prompt": f"{WORD} for a while", "sessionId": "adas-live", "createSession": True}
        body["models"] = ["fake:silent-3"]
        self.reading = asyncio.ensure_future(self.ask("api/v1/stream", body, "adas-turn-live"))
        await self.fake.until(lambda: self.fake.calls("silent-3"), 20)
        assert (await self.told("api/v1/sessions/adas-live"))["liveStreamId"] == "adas-live~1"
        return self

    async def ask(self, path, body, turn=None):
        headers = {"Idempotency-Key": turn} if turn else {}
        said = await self.place.ask("ada", "POST", path, body, headers=headers)
        assert said.status_code == 200, said.text
        return said

    async def told(self, path):
        said = await self.place.ask("ada", "GET", path)
        assert said.status_code == 200, said.text
        return said.json()

    async def all(self):
        """Everything of hers that can be seen."""
        below = ("adas-first", "adas-live", "adas-first/history", "adas-first/history?branch=1", "adas-live/history")
        told = [await self.told(f"api/v1/sessions/{path}") for path in below]
        told += [await self.told("api/v1/sessions"), await self.told("api/v1/usage?by=session")]
        return re.sub(r'"expiresAt": "[^"]*"', "", json.dumps(told))  # a live answer puts that off


async def the_same_as_nothing(place, route, number, attempt):
    """What is wrong with the answer to one try, if something is."""
    path, body, headers, query = attempt
    foreign = await place.ask(f"bob{2 * number}", route.verb, path, body, headers=headers, query=query)
    nothing = await place.ask(
        f"bob{2 * number + 1}",
        route.verb,
        without(path),
        without(body),
        headers=without(headers),
        query=without(query),
    )
    if WORD in foreign.text.replace(query.get("search", "-"), "") or shape(foreign) != shape(nothing):
        return f"{route.verb} {path} {body} {headers} {query}:\n  {foreign.text[:300]}\n  {nothing.text[:300]}"
    return None


@pytest.mark.timeout(600)
async def test_what_is_anothers_is_answered_as_what_never_was_and_stays_as_it_is(place, fake):
    ada = await Ada(place, fake).make()
    before = await ada.all()
    numbers, wrong, tried = itertools.count(), [], set()
    for route in ROUTES:
        for attempt in tries(route):
            wrong.append(await the_same_as_nothing(place, route, next(numbers), attempt))
            tried.add(route)
    assert not [one for one in wrong if one], "\n".join(one for one in wrong if one)
    assert tried == set(ROUTES)
    assert await ada.all() == before
    assert not fake.disconnects
    fake.release()
    events = (await ada.reading).text
    assert f"You said '{WORD} for a while' in message 1." in events
    assert "event: end" in events


async def test_the_ids_of_another_are_free_to_be_ones_own(place, fake):
    ada = await Ada(place, fake).make()
    before = await ada.all()
    body = {"prompt": "mine", "sessionId": "adas-first", "createSession": True}
    for turn in ("adas-turn-1", "adas-turn-live"):
        said = await place.ask("bob", "POST", "api/v1/prompt", body, headers={"Idempotency-Key": turn})
        assert said.status_code == 200
    assert "in message 3." in said.json()["text"]
    mine = (await place.ask("bob", "GET", "api/v1/sessions/adas-first/history")).json()["turns"]
    assert [turn["prompt"] for turn in mine] == ["mine", "mine"]
    assert (await place.ask("bob", "DELETE", "api/v1/sessions/adas-first")).status_code == 204
    assert await ada.all() == before
    fake.release()


async def test_a_list_and_a_search_show_ones_own_alone(place, fake):
    await Ada(place, fake).make()
    await place.ask("bob", "POST", "api/v1/sessions", {"sessionId": "bobs", "title": "mine"})
    for query in ({}, {"search": "s"}, {"limit": "200"}):
        told = (await place.ask("bob", "GET", "api/v1/sessions", query=query)).json()
        assert [one["sessionId"] for one in told["sessions"]] == ["bobs"]
    for cursor in ("adas-first", "adas-live", "0", "*", "[", "\x00"):
        assert WORD not in (await place.ask("bob", "GET", "api/v1/sessions", query={"cursor": cursor})).text
    fake.release()
