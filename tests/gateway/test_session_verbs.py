"""What can be done with a session besides asking on, as REST.md says it, over memory and over a server."""

import asyncio
import contextlib
import re

import pytest
import pytest_asyncio

from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import ends, events_of, opened, read, said, text_of, until, valkey, words
from warp_magics.gateway.errors import (
    BranchNotFound,
    InvalidRequest,
    InvalidSessionId,
    SessionBusy,
    SessionExists,
    SessionNotFound,
    StreamNotFound,
    TurnNotFound,
)
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Result

BINARY = server_binaries().get("valkey") or next(iter(server_binaries().values()), None)
pytestmark = pytest.mark.slow
ME = "local"


@pytest.fixture(scope="module", params=["memory", "valkey"])
def url(request):
    if request.param == "memory":
        yield ""
    elif BINARY is None:
        pytest.skip("this machine has no server to start")
    else:
        with running_server(BINARY) as running:
            yield running.url


@pytest_asyncio.fixture
async def gateways(request, url, config, fake):
    """A factory: two gateways over one store, whose chain is these models."""
    async with contextlib.AsyncExitStack() as stack:

        async def two(*models, **tables):
            prefix = re.sub(r"\W", "", request.node.name)
            memory = MemoryStore()
            settings = config(*models, **tables)
            stores = [valkey(url, prefix=prefix) if url else memory for _ in range(2)]
            return [await stack.enter_async_context(opened(settings, store)) for store in stores]

        yield two


def ask(prompt="a", session_id="s1", **fields):
    return Ask(prompt, session_id=session_id, **{"create_session": True, **fields})


async def prompts(gateway, branch=None, session_id="s1", owner=ME):
    return [turn.prompt for turn in await gateway.history(owner, session_id, branch)]


async def say(gateway, *said_, session_id="s1"):
    return [(await gateway.ask(ask(prompt, session_id))).turn_id for prompt in said_]


async def ids(gateway, **asked):
    return [one.key.id for one in (await gateway.sessions(ME, **asked)).sessions]


async def gone(gateway, session_id="s1"):
    try:
        await gateway.session(ME, session_id)
    except SessionNotFound:
        return True
    return False


# -- create, describe, update ----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_session_is_made_with_what_is_said_of_it(gateways):
    one, other = await gateways("ok")
    made = await one.create(ME, "s1", title="Zebras", ttl=600.0, metadata={"k": [1, "ü"]})
    assert (made.key.id, made.title, made.ttl, made.metadata, made.turns) == ("s1", "Zebras", 600.0, {"k": [1, "ü"]}, 0)
    assert 590 < made.expires_at - made.created_at <= 601
    assert await other.session(ME, "s1") == made
    assert await prompts(other) == []
    with pytest.raises(SessionExists, match="'s1'"):
        await other.create(ME, "s1")
    unnamed = await other.create(ME)
    assert re.fullmatch(r"[0-9a-f-]{36}", unnamed.key.id)
    # The first prompt in it is the first turn of a session that is known, and gives it no other title.
    answer = await one.ask(ask("hello", create_session=False))
    assert (answer.stream_id, answer.session_status, answer.warnings) == ("s1~1", None, ())
    assert (await other.session(ME, "s1")).title == "Zebras"


@pytest.mark.asyncio
async def test_ids_and_times_that_are_none_are_refused_everywhere(gateways):
    one, _ = await gateways("ok")
    for bad in ("", "a b", "a/b", "ü", "x" * 129, "a~1"):
        for verb in (one.create, one.session, one.update, one.delete, one.history, one.fork):
            with pytest.raises(InvalidSessionId):
                await verb(ME, bad)
        with pytest.raises(InvalidSessionId):
            await one.rewind(ME, bad, "t")
        with pytest.raises(InvalidSessionId):
            await anext(one.watch(ME, bad))
    for ttl in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidRequest, match="ttl"):
            await one.create(ME, "s1", ttl=ttl)
    assert await ids(one) == []


@pytest.mark.asyncio
async def test_what_is_said_of_a_session_is_changed_and_the_rest_stays(gateways):
    one, other = await gateways("ok")
    (turn,) = await say(one, "hello")
    before = await other.session(ME, "s1")
    assert (before.title, before.turns, before.models) == ("hello", 1, ("lab:ok",))
    assert before.usage.output_tokens > 0
    changed = await other.update(ME, "s1", title="New", metadata={"a": 1})
    assert (changed.title, changed.metadata, changed.ttl, changed.usage) == ("New", {"a": 1}, None, before.usage)
    assert changed.updated_at >= before.updated_at
    assert (await one.update(ME, "s1", metadata={})).metadata == {}
    assert (await one.update(ME, "s1", title="")).title == ""
    assert [one.id for one in await one.history(ME, "s1")] == [turn]
    with pytest.raises(SessionNotFound):
        await one.update(ME, "s2", title="x")


@pytest.mark.asyncio
async def test_each_session_lives_by_its_own_time_and_begins_again_after_it(gateways, fake):
    one, other = await gateways("ok")
    await one.create(ME, "short", ttl=0.4)
    await say(one, "a", session_id="short")
    await say(one, "a", session_id="long")
    assert (await other.session(ME, "short")).ttl == 0.4
    await until(lambda: gone(other, "short"))
    assert not await gone(other, "long")
    assert await ids(one) == ["long"]
    for verb in (one.history, one.delete, one.fork, one.update):
        with pytest.raises(SessionNotFound):
            await verb(ME, "short")
    events = await events_of(other, ask("b", "short", create_session=False))
    start, end = events[0], ends(events).response
    assert start.session_status == end.session_status == "restarted"
    assert start.warnings == end.warnings == ("session expired, started again",)
    assert end.stream_id == "short~2"
    assert said(fake.requests[-1].messages) == [("user", "b")]
    again = await one.session(ME, "short")
    assert (again.ttl, again.turns) == (None, 1)
    # A later turn says nothing of it.
    assert (await one.ask(ask("c", "short"))).session_status is None


@pytest.mark.asyncio
async def test_no_session_expires_while_a_turn_of_it_is_answered(gateways, fake):
    one, other = await gateways("silent-2")
    await one.create(ME, "s1", ttl=0.3)
    answering = one.stream(ask())
    first = await words(answering, 2)
    late = asyncio.get_running_loop().time() + 0.9  # when it would long have expired
    while asyncio.get_running_loop().time() < late:
        assert (await other.session(ME, "s1")).live_stream_id == "s1~1"
    fake.release()
    assert ends([*first, *await read(answering)]).response.warnings == ()
    await until(lambda: gone(other))


# -- delete ----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_deleted_session_is_gone_with_all_that_was_its(gateways):
    one, other = await gateways("ok")
    first, *_ = await say(one, "a", "b")
    await one.rewind(ME, "s1", first)
    await other.delete(ME, "s1")
    assert await gone(one)
    assert await ids(one) == []
    for branch in (None, 1):
        with pytest.raises(SessionNotFound):
            await one.history(ME, "s1", branch)
    for n in (1, 2):
        with pytest.raises(StreamNotFound):
            await read(one.follow(ME, f"s1~{n}"))
    with pytest.raises(SessionNotFound):
        await one.delete(ME, "s1")
    with pytest.raises(SessionNotFound):
        await one.ask(ask("c", create_session=False))
    # Under its id another may begin; no stream's id comes again.
    answer = await one.ask(ask("c"))
    assert (answer.stream_id, answer.session_status) == ("s1~3", None)
    assert await prompts(other) == ["c"]
    assert (await other.session(ME, "s1")).branches == ()


@pytest.mark.asyncio
@pytest.mark.parametrize("by", [0, 1], ids=["here", "elsewhere"])
async def test_deleting_stops_the_answer_that_is_made(gateways, fake, by):
    both = await gateways("silent-3")
    answering = both[0].stream(ask())
    first = await words(answering, 3)
    async with asyncio.timeout(8):
        await both[by].delete(ME, "s1")
    end = ends([*first, *await read(answering)])
    assert end.response.result is Result.STOPPED
    await fake.until(lambda: fake.disconnects)
    assert await gone(both[0])
    assert await gone(both[1])


# -- rewind, branches, fork ------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_rewinding_puts_later_turns_into_a_branch_that_comes_back(gateways, fake):
    one, other = await gateways("ok")
    a, b, c = await say(one, "a", "b", "c")
    found = await other.rewind(ME, "s1", a)
    assert found.turns == 1
    (branch,) = found.branches
    assert (branch.number, branch.after, branch.turns) == (1, a, 2)
    assert await prompts(one) == ["a"]
    assert await prompts(one, 1) == ["b", "c"]
    await one.ask(ask("d"))
    assert [content for role, content in said(fake.requests[-1].messages) if role == "user"] == ["a", "d"]
    back = await one.rewind(ME, "s1", b)
    assert await prompts(other) == ["a", "b"]
    kept = {number.number: await prompts(other, number.number) for number in back.branches}
    assert sorted(kept.values()) == [["c"], ["d"]]
    await other.rewind(ME, "s1", c)
    assert await prompts(one) == ["a", "b", "c"]
    with pytest.raises(TurnNotFound):
        await one.rewind(ME, "s1", "none")
    with pytest.raises(BranchNotFound):
        await one.history(ME, "s1", 99)
    # What a turn's answer was can be followed wherever the turn is.
    assert text_of(await read(other.follow(ME, "s1~4"))).startswith("You said 'd'")
    assert (await one.session(ME, "s1")).usage.output_tokens > 0


@pytest.mark.asyncio
async def test_rewinding_to_the_last_turn_changes_nothing(gateways):
    one, other = await gateways("ok")
    _, b = await say(one, "a", "b")
    found = await other.rewind(ME, "s1", b)
    assert (found.turns, found.branches) == (2, ())


@pytest.mark.asyncio
@pytest.mark.parametrize("to", [0, 1], ids=["an earlier turn", "the last turn"])
async def test_rewinding_waits_for_the_turn_that_is_answered_and_puts_it_aside(gateways, fake, to):
    one, other = await gateways("silent-2")
    turns = await say_released(one, fake, "a", "b")
    answering = one.stream(ask("c"))
    await words(answering, 2)
    rewinding = asyncio.create_task(other.rewind(ME, "s1", turns[to]))
    done, _ = await asyncio.wait({rewinding}, timeout=0.5)
    assert not done
    fake.release()
    await read(answering)
    found = await rewinding
    assert (found.turns, [branch.turns for branch in found.branches]) == (to + 1, [2 - to])
    assert (await prompts(one, 1))[-1] == "c"


async def say_released(gateway, fake, *said_):
    turns = []
    for prompt in said_:
        answering = gateway.stream(ask(prompt))
        first = await words(answering, 2)
        fake.release()
        turns.append(ends([*first, *await read(answering)]).response.turn_id)
    return turns


@pytest.mark.asyncio
async def test_rewinding_waits_no_longer_than_the_configuration_says(gateways, fake):
    one, other = await gateways("silent-2", limits={"session_wait": "300ms"})
    a, _ = await say_released(one, fake, "a", "b")
    answering = one.stream(ask("c"))
    await words(answering, 2)
    with pytest.raises(SessionBusy, match="session_wait") as caught:
        await other.rewind(ME, "s1", a)
    assert caught.value.http_status == 409
    fake.release()
    await read(answering)
    assert await prompts(other) == ["a", "b", "c"]


@pytest.mark.asyncio
async def test_a_fork_goes_its_own_way(gateways, fake):
    one, other = await gateways("ok")
    await one.create(ME, "s1", title="T", ttl=600.0, metadata={"k": 1})
    a, b, c = await say(one, "a", "b", "c")
    forked = await other.fork(ME, "s1", at=b, new_id="s2")
    assert (forked.key.id, forked.turns, forked.title, forked.ttl, forked.metadata) == ("s2", 2, "T", 600.0, {"k": 1})
    assert [turn.id for turn in await one.history(ME, "s2")] == [a, b]
    answer = await one.ask(ask("d", "s2"))
    assert [content for role, content in said(fake.requests[-1].messages) if role == "user"] == ["a", "b", "d"]
    # Numbers go on behind those that it has, and no name of a stream is told twice.
    assert answer.stream_id == "s2~3"
    assert await prompts(other) == ["a", "b", "c"]
    whole = await one.fork(ME, "s1")
    assert await prompts(other, session_id=whole.key.id) == ["a", "b", "c"]
    await one.rewind(ME, "s1", a)
    of_branch = await one.fork(ME, "s1", at=c)
    assert await prompts(other, session_id=of_branch.key.id) == ["a", "b", "c"]
    with pytest.raises(SessionExists):
        await one.fork(ME, "s1", new_id="s2")
    with pytest.raises(TurnNotFound):
        await one.fork(ME, "s1", at="none", new_id="s3")
    assert await gone(one, "s3")


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_sessions_are_listed_last_used_first_page_by_page(gateways):
    one, other = await gateways("ok")
    for n in range(7):
        await one.create(ME, f"s{n}")
        await asyncio.sleep(0.002)  # times are told in milliseconds
    await say(other, "again", session_id="s2")
    wanted = ["s2", "s6", "s5", "s4", "s3", "s1", "s0"]
    assert await ids(one) == wanted
    for limit in (1, 2, 3, 7):
        seen, cursor, pages = [], None, 0
        while True:
            page = await other.sessions(ME, limit=limit, cursor=cursor)
            assert len(page.sessions) <= limit
            seen += [found.key.id for found in page.sessions]
            cursor, pages = page.cursor, pages + 1
            if cursor is None:
                break
        assert seen == wanted
        assert pages == -(-7 // limit)
    for limit in (0, -1, 1001):
        with pytest.raises(InvalidRequest):
            await one.sessions(ME, limit=limit)
    for cursor in ("x", "", "nonsense~"):
        with pytest.raises(InvalidRequest):
            await one.sessions(ME, cursor=cursor)
    assert await one.sessions("eve") == await other.sessions("nobody")


@pytest.mark.asyncio
async def test_a_search_finds_by_id_and_title_page_by_page(gateways):
    one, other = await gateways("ok")
    for n in range(12):
        await one.create(ME, f"s{n}", title="ÄPFEL and pears" if n % 3 == 0 else "other")
        await asyncio.sleep(0.002)
    assert await ids(other, search="äpfel") == ["s9", "s6", "s3", "s0"]
    assert await ids(other, search="S1") == ["s11", "s10", "s1"]
    assert await ids(other, search="nowhere") == []
    seen, cursor = [], None
    while True:
        page = await one.sessions(ME, search="pears", limit=1, cursor=cursor)
        assert len(page.sessions) <= 1
        seen += [found.key.id for found in page.sessions]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == ["s9", "s6", "s3", "s0"]


@pytest.mark.asyncio
async def test_the_live_stream_is_named_from_the_moment_a_prompt_is_accepted(gateways, fake):
    one, other = await gateways("hang")
    asking = asyncio.create_task(one.ask(ask()))
    await until(lambda: fake.requests)
    assert (await other.session(ME, "s1")).live_stream_id == "s1~1"
    assert [found.live_stream_id for found in (await other.sessions(ME)).sessions] == ["s1~1"]
    assert await other.stop(ME, "s1~1")
    assert (await asking).result is Result.STOPPED
    assert (await other.session(ME, "s1")).live_stream_id is None


# -- watching --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_who_watches_learns_what_happens_wherever_it_happens(gateways):
    one, other = await gateways("ok")
    await one.create(ME, "s1")
    watching = [asyncio.create_task(_watched(gateway)) for gateway in (one, other)]
    await asyncio.gather(*(_ready(gateway) for gateway in (one, other)))
    a, _ = await say(one, "a", "b")
    await other.update(ME, "s1", title="T")
    await other.rewind(ME, "s1", a)
    await one.delete(ME, "s1")
    async with asyncio.timeout(10):
        seen, also = await asyncio.gather(*watching)
    assert [event.kind for event in seen] == [
        *("turn-started", "turn-ended", "turn-started", "turn-ended"),
        *("updated", "rewound", "deleted"),
    ]
    assert seen == also
    assert [(event.stream_id, event.turn_id, event.status) for event in seen[:2]] == [
        ("s1~1", a, None),
        ("s1~1", a, "complete"),
    ]
    assert {event.session_id for event in seen} == {"s1"}
    assert len({event.id for event in seen}) == len(seen)


async def _watched(gateway, after=None):
    return [event async for event in gateway.watch(ME, "s1", after)]


async def _ready(gateway):
    """What is asked after a watcher has been asked for is answered after it."""
    for _ in range(20):
        await gateway.session(ME, "s1")


@pytest.mark.asyncio
async def test_a_watcher_goes_on_behind_any_event(gateways):
    one, other = await gateways("ok")
    await one.create(ME, "s1")
    await say(one, "a", "b")
    await one.delete(ME, "s1")
    async with asyncio.timeout(10):
        told = await _watched(one, "0-0")
        for at, event in enumerate(told[:-1]):
            assert await _watched(other, event.id) == told[at + 1 :]
    assert [event.kind for event in told][-1] == "deleted"
    for bad in ("x", "1", "-", "1-x"):
        with pytest.raises(InvalidRequest):
            await _watched(one, bad)
    with pytest.raises(SessionNotFound):
        await anext(one.watch(ME, "s1"))


@pytest.mark.asyncio
async def test_watching_ends_when_the_session_expires(gateways):
    one, other = await gateways("ok")
    await one.create(ME, "s1", ttl=0.3)
    async with asyncio.timeout(10):
        assert await _watched(other) == []
    assert await gone(one)


# -- owners ----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_another_owners_session_does_not_exist(gateways, fake):
    one, other = await gateways("silent-2")
    (turn,) = await say_released(one, fake, "mine")
    answering = one.stream(ask("live", turn_id="t"))
    await words(answering, 2)
    before = await one.session(ME, "s1")
    for gateway in (one, other):
        for eve in ("eve", "Local", "local/", "local*", ""):
            for verb in (gateway.session, gateway.update, gateway.delete, gateway.history, gateway.fork):
                with pytest.raises(SessionNotFound):
                    await verb(eve, "s1")
            with pytest.raises(SessionNotFound):
                await gateway.rewind(eve, "s1", turn)
            with pytest.raises(SessionNotFound):
                await anext(gateway.watch(eve, "s1"))
            with pytest.raises(SessionNotFound):
                await gateway.ask(ask("theirs", owner=eve, create_session=False))
            for stream in ("s1~1", "s1~2", "t"):
                with pytest.raises(StreamNotFound):
                    await gateway.stop(eve, stream)
            for stream in ("s1~1", "s1~2"):
                with pytest.raises(StreamNotFound):
                    await read(gateway.follow(eve, stream))
            assert (await gateway.sessions(eve)).sessions == ()
    assert await one.session(ME, "s1") == before
    # The same id, another session: neither waits for the other.
    theirs = await other.create("eve", "s1", title="Eve's")
    assert (theirs.turns, await prompts(other, owner="eve")) == (0, [])
    fake.release()
    await read(answering)
    await other.delete("eve", "s1")
    assert await prompts(one) == ["mine", "live"]
