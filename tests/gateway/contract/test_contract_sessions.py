"""Sessions as one finds, changes, branches and watches them, wherever they are kept."""

import asyncio
import time

import pytest

from tests.gateway.contract.world import OWNER, PATIENCE, asking, new_id
from tests.gateway.kit import read, until
from warp_magics.gateway.errors import BranchNotFound, InvalidRequest, SessionNotFound, StreamNotFound
from warp_magics.gateway.types import Result, SessionEvent, SessionKey

pytestmark = pytest.mark.asyncio

TITLE = "Ölstände & „mehr“ ☃"
METADATA = {"a": [1, 2.5, None, True], "ü": {"deep": "☃"}}


async def say(gateway, there, session, *prompts):
    """Turns of these prompts; their ids."""
    return [(await gateway.ask(asking(one, session, there.name()))).turn_id for one in prompts]


async def prompts(gateway, session, branch=None):
    return [turn.prompt for turn in await gateway.history(OWNER, session, branch)]


# -- one session


async def test_a_session_is_made_and_described(gateway, there, sid):
    before = time.time()
    made = await gateway.create(OWNER, sid, title=TITLE, ttl=900.0, metadata=METADATA)
    assert made == await gateway.session(OWNER, sid)
    assert (made.key, made.turns, made.title, made.ttl) == (SessionKey(OWNER, sid), 0, TITLE, 900.0)
    assert made.metadata == METADATA
    assert (made.models, made.live_stream_id, made.branches) == ((), None, ())
    assert abs(made.created_at - (0 if there.timeless else before)) < PATIENCE
    assert made.expires_at - made.updated_at == pytest.approx(900, abs=1)
    assert await gateway.history(OWNER, sid) == ()


async def test_a_session_that_is_given_no_id_gets_one(gateway, there):
    one, two = await gateway.create(OWNER), await gateway.create(OWNER)
    assert one.key != two.key
    assert (await gateway.session(OWNER, one.key.id)).turns == 0


async def test_turns_are_counted_and_kept_in_order(gateway, there, sid):
    model = there.name()
    answers = [await gateway.ask(asking(one, sid, model)) for one in ("one", "two")]
    session = await gateway.session(OWNER, sid)
    assert (session.turns, session.models) == (2, (f"lab:{model}",))
    assert session.usage.output_tokens == sum(answer.usage.output_tokens for answer in answers) > 0
    turns = await gateway.history(OWNER, sid)
    assert [(turn.n, turn.prompt, turn.response) for turn in turns] == [
        (1, "one", answers[0].text),
        (2, "two", answers[1].text),
    ]
    for turn, answer in zip(turns, answers, strict=True):
        assert (turn.id, turn.status, turn.result) == (answer.turn_id, "complete", Result.COMPLETE)
        assert (turn.model, turn.usage, turn.route) == (answer.model, answer.usage, answer.route)
        assert turn.error is None
        assert session.created_at - 1 <= turn.started_at <= turn.ended_at <= session.updated_at + 1


async def test_what_is_given_is_changed_and_the_rest_stays(gateway, there, sid):
    await gateway.create(OWNER, sid, title="one", ttl=900.0, metadata=METADATA)
    changed = await gateway.update(OWNER, sid, title=TITLE)
    assert (changed.title, changed.ttl, changed.metadata) == (TITLE, 900.0, METADATA)
    changed = await gateway.update(OWNER, sid, title="", ttl=1800.0, metadata={})
    assert changed == await gateway.session(OWNER, sid)
    assert (changed.title, changed.ttl, changed.metadata) == ("", 1800.0, {})


async def test_a_deleted_session_is_gone_with_all_it_had(gateway, there, sid):
    await say(gateway, there, sid, "one")
    await gateway.delete(OWNER, sid)
    with pytest.raises(SessionNotFound):
        await gateway.session(OWNER, sid)
    with pytest.raises(SessionNotFound):
        await gateway.history(OWNER, sid)
    with pytest.raises(StreamNotFound):
        await read(gateway.follow(OWNER, f"{sid}~1"))
    with pytest.raises(SessionNotFound):
        await gateway.delete(OWNER, sid)
    assert (await gateway.sessions(OWNER, search=sid)).sessions == ()
    with pytest.raises(SessionNotFound):
        await gateway.ask(asking("two", sid, there.name(), create_session=False))


async def test_a_live_answer_is_stopped_when_its_session_is_deleted(gateway, there, sid):
    model, _ = there.held(2)
    events = gateway.stream(asking("hello", sid, model))
    await read(events, 3)
    await gateway.delete(OWNER, sid)
    (last,) = await read(events)
    assert (last.response.result, last.response.text) == (Result.STOPPED, "You said")
    await until(lambda: there.calls(model)[0].disconnected_at)
    with pytest.raises(SessionNotFound):
        await gateway.session(OWNER, sid)


async def test_the_newest_turns_are_read_alone_oldest_first(gateway, there, sid):
    for prompt in ("one", "two", "three"):
        await gateway.ask(asking(prompt, sid, there.name()))
    turns = await gateway.history(OWNER, sid)
    for last in (1, 2, 3, 4):
        assert await gateway.history(OWNER, sid, last=last) == turns[-last:]
    await gateway.rewind(OWNER, sid, turns[0].id)
    assert await gateway.history(OWNER, sid, last=2) == turns[:1]
    assert await gateway.history(OWNER, sid, 1, last=1) == turns[2:]
    for last in (0, -1):
        with pytest.raises(InvalidRequest):
            await gateway.history(OWNER, sid, last=last)


# -- many


async def later(making):
    """Sessions of one millisecond have no order."""
    await asyncio.sleep(0.003)
    return await making


async def test_sessions_are_found_by_id_and_title_and_paged(gateway, there):
    word = new_id("WORD")
    ids = [f"{word}-{n}" for n in range(5)]
    for one in ids[:3]:
        await later(gateway.create(OWNER, one))
    for one in ids[3:]:
        await later(gateway.create(OWNER, one.replace(word, new_id()), title=f"the {word.lower()} & {one[-1]}"))
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = await gateway.sessions(OWNER, search=word.lower(), limit=2, cursor=cursor)
        assert len(page.sessions) <= 2
        found, cursor, pages = [*found, *page.sessions], page.cursor, pages + 1
    told = [one.title[-1:] or one.key.id[-1] for one in found]
    assert (sorted(told, reverse=True) if there.timeless else told) == ["4", "3", "2", "1", "0"]
    assert {one.key.owner for one in found} == {OWNER}
    assert (await gateway.sessions(OWNER, search=new_id("nowhere"))).sessions == ()


async def test_all_sessions_are_listed_once_last_used_first(gateway, there):
    ids = [new_id() for _ in range(5)]
    for one in ids:
        await later(gateway.create(OWNER, one, title=one.upper()))
    await say(gateway, there, ids[1], "hello")
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = await gateway.sessions(OWNER, limit=3, cursor=cursor)
        assert len(page.sessions) <= 3
        found, cursor, pages = [*found, *page.sessions], page.cursor, pages + 1
    ours = [one for one in found if one.key.id in ids]
    if there.timeless:
        ours.sort(key=lambda one: one.key.id != ids[1])
    else:
        assert [one.key.id for one in ours] == [ids[1], *reversed([ids[0], *ids[2:]])]
    assert len(ours) == 5
    assert (ours[0].turns, ours[0].title, len(ours[0].models)) == (1, ids[1].upper(), 1)
    assert len({one.key for one in found}) == len(found)


# -- branches


async def test_a_fork_has_the_turns_up_to_a_place_and_goes_its_own_way(gateway, there, sid):
    ids = await say(gateway, there, sid, "one", "two", "three")
    await gateway.update(OWNER, sid, title=TITLE, metadata=METADATA)
    other = new_id()
    made = await gateway.fork(OWNER, sid, at=ids[1], new_id=other)
    assert (made.key.id, made.turns, made.title, made.metadata) == (other, 2, TITLE, METADATA)
    await say(gateway, there, other, "else")
    assert await prompts(gateway, other) == ["one", "two", "else"]
    assert await prompts(gateway, sid) == ["one", "two", "three"]
    whole = await gateway.fork(OWNER, sid)
    assert whole.key.id not in (sid, other)
    assert await prompts(gateway, whole.key.id) == ["one", "two", "three"]


async def test_a_rewind_puts_turns_aside_and_brings_them_back(gateway, there, sid):
    ids = await say(gateway, there, sid, "one", "two", "three")
    rewound = await gateway.rewind(OWNER, sid, ids[0])
    (branch,) = rewound.branches
    assert (rewound.turns, branch.after, branch.turns) == (1, ids[0], 2)
    assert rewound == await gateway.session(OWNER, sid)
    assert await prompts(gateway, sid) == ["one"]
    assert await prompts(gateway, sid, branch.number) == ["two", "three"]
    answer = await gateway.ask(asking("other", sid, there.name()))
    assert (answer.text, answer.stream_id) == ("You said 'other' in message 3.", f"{sid}~4")
    back = await gateway.rewind(OWNER, sid, ids[2])
    assert await prompts(gateway, sid) == ["one", "two", "three"]
    (aside,) = back.branches
    assert await prompts(gateway, sid, aside.number) == ["other"]
    with pytest.raises(BranchNotFound):
        await gateway.history(OWNER, sid, 99)


# -- watching


class Watcher:
    """What happens to a session, from a moment on at which it is known to be watched."""

    def __init__(self, gateway, session):
        self.seen, self._gateway, self._session = [], gateway, session

    async def __aenter__(self):
        self._task = asyncio.create_task(self._watch())

        async def heard():
            assert not self._task.done() or self._task.result()
            await self._gateway.update(OWNER, self._session, title="watched?")
            return self.seen

        await until(heard)
        last = await self._gateway.update(OWNER, self._session, title="watched")
        assert last.title == "watched"
        count = -1
        while count != len(self.seen):  # those before are on their way
            count = len(self.seen)
            await self._gateway.session(OWNER, self._session)
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self):
        async for event in self._gateway.watch(OWNER, self._session):
            self.seen.append(event)

    async def ended(self):
        async with asyncio.timeout(PATIENCE):
            await self._task

    async def until(self, kind, count=1):
        """What came besides updates, once so many of a kind have."""
        await until(lambda: sum(one.kind == kind for one in self.seen) >= count)
        return [one for one in self.seen if one.kind != "updated"]


async def test_a_watcher_is_told_what_happens(gateway, there, sid):
    await gateway.create(OWNER, sid)
    async with Watcher(gateway, sid) as watcher:
        one = await gateway.ask(asking("one", sid, there.name()))
        await gateway.ask(asking("two", sid, there.name()))
        await gateway.rewind(OWNER, sid, one.turn_id)
        seen = await watcher.until("rewound")
        assert [event.kind for event in seen] == ["turn-started", "turn-ended"] * 2 + ["rewound"]
        first = seen[0].id, seen[1].id
        assert seen[:2] == [
            SessionEvent("turn-started", sid, first[0], f"{sid}~1", one.turn_id),
            SessionEvent("turn-ended", sid, first[1], f"{sid}~1", one.turn_id, "complete"),
        ]
        later = gateway.watch(OWNER, sid, first[1])
        assert await read(later, 3) == seen[2:]
        await later.aclose()
        await gateway.delete(OWNER, sid)
        await watcher.ended()
    assert watcher.seen[-1].kind == "deleted"
    assert {event.session_id for event in watcher.seen} == {sid}
    assert len({event.id for event in watcher.seen}) == len(watcher.seen)


async def test_an_update_is_told_once(gateway, there, sid):
    await gateway.create(OWNER, sid)
    async with Watcher(gateway, sid) as watcher:
        await say(gateway, there, sid, "one")
        (_, ended) = await watcher.until("turn-ended")
        await gateway.update(OWNER, sid, title="new")
        await gateway.delete(OWNER, sid)
        await watcher.ended()
    kinds = [event.kind for event in watcher.seen]
    assert kinds[watcher.seen.index(ended) :] == ["turn-ended", "updated", "deleted"]


async def test_a_watcher_learns_of_a_stream_while_it_runs_and_follows_it(gateway, there, sid):
    await gateway.create(OWNER, sid)
    model, go = there.held(2)
    async with Watcher(gateway, sid) as watcher:
        asked = asyncio.create_task(gateway.ask(asking("hello", sid, model)))
        (started,) = await watcher.until("turn-started")
        follower = gateway.follow(OWNER, started.stream_id)
        assert (await read(follower, 1))[0].turn_id == started.turn_id
        assert not asked.done()
        assert await gateway.stop(OWNER, started.stream_id)
        assert (await watcher.until("turn-ended"))[-1].status == "stopped"
        assert (await asked).result is Result.STOPPED
        await follower.aclose()
    go.set()
