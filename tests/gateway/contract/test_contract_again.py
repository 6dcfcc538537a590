"""A turn asked again in its place, and a turn gone on with, wherever the session is kept."""

import asyncio

import pytest

from tests.fakes.provider import Fault, Reply
from tests.gateway.contract.world import OWNER, asking
from tests.gateway.kit import read, said, text_of, until, words
from warp_magics.gateway.branches import OTHERS_WENT_ON
from warp_magics.gateway.errors import InvalidRequest, TurnNotFound, WarpError
from warp_magics.gateway.types import Ended, SessionEvent, Source

pytestmark = pytest.mark.asyncio


def cell(name, notebook="a.ipynb"):
    return Source("cell", notebook, name)


async def run(gateway, there, session, name, prompt=None, *, model="", notebook="a.ipynb", **fields):
    """What running a cell asks."""
    model = model or there.name()
    fields = {"source": cell(name, notebook), "replaces": "source", **fields}
    return await gateway.ask(asking(prompt or name, session, model, **fields))


async def prompts(gateway, session, branch=None):
    return [turn.prompt for turn in await gateway.history(OWNER, session, branch)]


# -- again


async def test_run_all_twice_leaves_the_conversation_of_run_all_once(gateway, there, sid):
    for name in "abc":
        await run(gateway, there, sid, name)
    once = await gateway.history(OWNER, sid)
    for name in "abc":
        await run(gateway, there, sid, name)
    twice = await gateway.history(OWNER, sid)
    assert [(turn.prompt, turn.response) for turn in twice] == [(turn.prompt, turn.response) for turn in once]
    assert not {turn.id for turn in twice} & {turn.id for turn in once}
    (branch,) = (await gateway.session(OWNER, sid)).branches
    assert (branch.number, branch.after, branch.turns) == (1, None, 3)
    assert await gateway.history(OWNER, sid, 1) == once


async def test_a_turn_asked_again_is_told_only_what_stood_before_it(gateway, there, lab, sid):
    first = await run(gateway, there, sid, "a")
    await run(gateway, there, sid, "b")
    await run(gateway, there, sid, "c")
    model = there.name()
    await run(gateway, there, sid, "b", "B!", model=model)
    (call,) = [call for call in lab.requests if call.model == model]
    assert said(call.messages) == [("user", "a"), ("assistant", first.text), ("user", "B!")]
    assert await prompts(gateway, sid) == ["a", "B!"]
    assert await prompts(gateway, sid, 1) == ["b", "c"]
    (branch,) = (await gateway.session(OWNER, sid)).branches
    assert branch.after == first.turn_id
    assert (await gateway.rewind(OWNER, sid, (await gateway.history(OWNER, sid, 1))[-1].id)).turns == 3
    assert await prompts(gateway, sid) == ["a", "b", "c"]


@pytest.mark.parametrize("behaviour", ["fail-500", "cut-0"])
async def test_a_try_that_fails_before_its_first_word_changes_nothing(gateway, there, sid, behaviour):
    for name in "ab":
        await run(gateway, there, sid, name)
    before = await gateway.history(OWNER, sid)
    with pytest.raises(WarpError):
        await run(gateway, there, sid, "a", "anew", model=there.name(behaviour))
    assert await gateway.history(OWNER, sid) == before
    assert (await gateway.session(OWNER, sid)).branches == ()
    await run(gateway, there, sid, "a", "anew")
    assert await prompts(gateway, sid) == ["anew"]


async def test_a_try_that_is_stopped_before_its_first_word_changes_nothing_either(gateway, there, lab, sid):
    await run(gateway, there, sid, "a")
    model = there.name()
    lab.script(model, Reply(before=(Fault.SILENT,)))
    asked = asking("anew", sid, model, source=cell("a"), replaces="source", turn_id=f"{sid}-t")
    events = gateway.stream(asked)
    reading = asyncio.ensure_future(anext(events))
    await until(lambda: [call for call in lab.requests if call.model == model])
    assert await gateway.stop(OWNER, f"{sid}-t") is True
    assert isinstance(await reading, Ended)
    await events.aclose()
    lab.release()
    assert await prompts(gateway, sid) == ["a"]
    await run(gateway, there, sid, "b")
    assert await prompts(gateway, sid) == ["a", "b"]


async def test_the_branch_is_made_with_the_first_word(gateway, there, lab, sid):
    for name in "ab":
        await run(gateway, there, sid, name)
    model = there.name()
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    events = gateway.stream(asking("anew", sid, model, source=cell("a"), replaces="source"))
    await words(events, 1)
    assert await prompts(gateway, sid) == []
    assert await prompts(gateway, sid, 1) == ["a", "b"]
    lab.release()
    assert text_of(await read(events)) == "two"
    assert await prompts(gateway, sid) == ["anew"]


async def test_an_answer_that_breaks_after_its_first_word_has_its_place(gateway, there, sid):
    await run(gateway, there, sid, "a")
    with pytest.raises(WarpError):
        await run(gateway, there, sid, "a", "anew", model=there.name("cut-2"))
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.prompt, turn.status) == ("anew", "interrupted")


@pytest.mark.parametrize("source", [Source("panel"), Source("rest"), cell("z", "b.ipynb")], ids=lambda one: one.kind)
async def test_a_turn_that_someone_else_added_is_respected(gateway, there, sid, source):
    await run(gateway, there, sid, "a")
    await gateway.ask(asking("others", sid, there.name(), source=source))
    answer = await run(gateway, there, sid, "a")
    assert OTHERS_WENT_ON in answer.warnings
    assert await prompts(gateway, sid) == ["a", "others", "a"]
    again = await run(gateway, there, sid, "a", "A")
    assert OTHERS_WENT_ON not in again.warnings
    assert await prompts(gateway, sid) == ["a", "others", "A"]


async def test_what_the_same_notebook_asked_from_python_goes_along(gateway, there, sid):
    await run(gateway, there, sid, "a")
    await gateway.ask(asking("python", sid, there.name(), source=Source("python", "a.ipynb")))
    assert (await run(gateway, there, sid, "a")).warnings == ()
    assert await prompts(gateway, sid) == ["a"]


async def test_a_failed_turn_of_the_cell_does_not_hide_the_one_that_was_answered(gateway, there, sid):
    await run(gateway, there, sid, "a")
    with pytest.raises(WarpError):  # asked as a turn of its own
        await run(gateway, there, sid, "a", model=there.name("fail-500"), replaces=None)
    await run(gateway, there, sid, "a", "A")
    assert await prompts(gateway, sid) == ["A"]


async def test_an_answer_still_being_made_for_the_same_cell_is_stopped_first(gateway, there, lab, sid):
    model = there.name()
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    left = gateway.stream(asking("first", sid, model, source=cell("a"), replaces="source", on_disconnect="finish"))
    await words(left, 1)
    answer = await run(gateway, there, sid, "a", "second")
    assert answer.result == "COMPLETE"
    assert await prompts(gateway, sid) == ["second"]
    (stopped,) = await gateway.history(OWNER, sid, 1)
    assert (stopped.prompt, stopped.status, stopped.response) == ("first", "stopped", "one ")
    lab.release()
    await left.aclose()


async def test_a_turn_is_replaced_by_its_id(gateway, there, sid):
    first = await run(gateway, there, sid, "a")
    await gateway.ask(asking("others", sid, there.name()))
    await gateway.ask(asking("A", sid, there.name(), replaces=first.turn_id))
    assert await prompts(gateway, sid) == ["A"]
    with pytest.raises(TurnNotFound, match="no-such"):
        await gateway.ask(asking("B", sid, there.name(), replaces="no-such"))
    await gateway.ask(asking("C", sid, there.name()))
    assert await prompts(gateway, sid) == ["A", "C"]


async def test_who_watches_is_told_that_turns_were_put_aside(gateway, there, sid):
    await run(gateway, there, sid, "a")
    feed = gateway.watch(OWNER, sid, "0-1")
    told = []
    await run(gateway, there, sid, "a")
    async for event in feed:
        told.append(event)
        if event.kind == "rewound":
            break
    assert isinstance(told[-1], SessionEvent)
    await feed.aclose()


# -- on


async def broken(gateway, there, sid, prompt="count"):
    """A turn whose answer broke off after two words; its id."""
    with pytest.raises(WarpError):
        await gateway.ask(asking(prompt, sid, there.name("cut-2"), source=cell("a"), on_break="error"))
    return (await gateway.history(OWNER, sid))[-1]


async def test_a_broken_turn_is_gone_on_with(gateway, there, lab, sid):
    await run(gateway, there, sid, "a")
    part = await broken(gateway, there, sid)
    before = await gateway.session(OWNER, sid)
    model = there.name()
    lab.script(model, Reply(chunks=["and ", "on"]))
    events = await read(gateway.stream(asking("", sid, model, continues=part.id)))
    whole = part.response + "and on"
    assert text_of(events) == events[-1].response.text == whole
    assert events[-1].response.turn_id == part.id
    first, turn = await gateway.history(OWNER, sid)
    assert (turn.id, turn.prompt, turn.response, turn.status) == (part.id, "count", whole, "complete")
    assert (turn.source, turn.error) == (cell("a"), None)
    assert [one.outcome for one in turn.route] == [*(one.outcome for one in part.route), "ok"]
    session = await gateway.session(OWNER, sid)
    assert session.turns == 2
    assert session.branches == ()
    assert session.usage.output_tokens == before.usage.output_tokens + 2
    (call,) = [call for call in lab.requests if call.model == model]
    *told, (role, asked) = said(call.messages)
    assert told == [("user", "a"), ("assistant", first.response), ("user", "count"), ("assistant", part.response)]
    assert role == "user"
    assert "Go on" in asked
    await run(gateway, there, sid, "b")
    assert await prompts(gateway, sid) == ["a", "count", "b"]


async def test_going_on_that_fails_changes_nothing_and_that_breaks_keeps_more(gateway, there, lab, sid):
    part = await broken(gateway, there, sid)
    with pytest.raises(WarpError):
        await gateway.ask(asking("", sid, there.name("fail-500"), continues=part.id))
    assert await gateway.history(OWNER, sid) == (part,)
    model = there.name()
    lab.script(model, Reply.broken(Fault.CUT, at=1, chunks=["more ", "never"]))
    with pytest.raises(WarpError):
        await gateway.ask(asking("", sid, model, continues=part.id, on_break="error"))
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.id, turn.response, turn.status) == (part.id, part.response + "more ", "interrupted")


async def test_a_turn_that_failed_before_its_first_word_is_asked_as_it_was(gateway, there, lab, sid):
    with pytest.raises(WarpError):
        await gateway.ask(asking("count", sid, there.name("fail-500")))
    (failed,) = await gateway.history(OWNER, sid)
    model = there.name()
    await gateway.ask(asking("", sid, model, continues=failed.id))
    (call,) = [call for call in lab.requests if call.model == model]
    assert said(call.messages) == [("user", "count")]
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.id, turn.prompt, turn.status) == (failed.id, "count", "complete")


async def test_what_cannot_be_gone_on_with_is_refused_and_lets_the_session_go(gateway, there, sid):
    part = await broken(gateway, there, sid)
    whole = await run(gateway, there, sid, "b")
    for turn_id, why in [(whole.turn_id, "is whole"), (part.id, "not the session's last")]:
        with pytest.raises(InvalidRequest, match=why):
            await gateway.ask(asking("", sid, there.name(), continues=turn_id))
    with pytest.raises(TurnNotFound):
        await gateway.ask(asking("", sid, there.name(), continues="no-such"))
    with pytest.raises(InvalidRequest, match="takes no prompt"):
        await gateway.ask(asking("more", sid, there.name(), continues=part.id))
    with pytest.raises(InvalidRequest, match="exclude"):
        await gateway.ask(asking("", sid, there.name(), continues=part.id, replaces="source"))
    with pytest.raises(InvalidRequest, match="sessionId"):
        await gateway.ask(asking("x", None, there.name(), replaces="source"))
    await run(gateway, there, sid, "c")
    assert await prompts(gateway, sid) == ["count", "b", "c"]
