"""What the router does and counts: the same through a gateway in this process and one elsewhere."""

import pytest

from tests.gateway.contract.world import OWNER, asking
from tests.gateway.kit import ends, events_of, route, text_of
from warp_magics.gateway.errors import InvalidRequest
from warp_magics.gateway.types import Ended, Failed, Restarted, Usage

pytestmark = pytest.mark.asyncio

END = "PROVIDER_REQUEST_END_ERROR"


async def test_an_answer_that_breaks_off_is_gone_on_with_unnoticed(gateway, there, sid):
    cut, good = there.name("cut-2"), there.name()
    events = await events_of(gateway, asking("hello", sid, cut, good))
    last = ends(events)
    assert isinstance(last, Ended)
    assert (last.response.text, last.response.model) == ("You said 'hello' in message 1.", f"lab:{good}")
    assert route(last.response.route) == [(cut, END), (good, "ok")]


async def test_begun_anew_the_reader_is_told_and_so_is_who_comes_late(gateway, there, sid):
    cut, other = there.name("cut-2"), there.name("other")
    events = await events_of(gateway, asking("hello", sid, cut, other, on_break="restart"))
    (at,) = [at for at, event in enumerate(events) if isinstance(event, Restarted)]
    told = events[at]
    assert (told.reason, told.from_model, told.to_model) == (END, f"lab:{cut}", f"lab:{other}")
    assert (text_of(events[:at]), text_of(events[at:])) == ("You said", "Something else.")
    assert events[-1].response.text == "Something else."
    assert [event async for event in gateway.follow(OWNER, f"{sid}~1")] == events


async def test_what_says_something_else_is_an_error_with_the_part_and_a_whole_ask_begins_anew(gateway, there, sid):
    cut, other = there.name("cut-2"), there.name("other")
    last = ends(await events_of(gateway, asking("hello", sid, cut, other)))
    assert isinstance(last, Failed)
    assert (last.error.code, last.response.text) == (END, "You said")
    assert route(last.response.route) == [(cut, END), (other, "diverged")]
    answer = await gateway.ask(asking("hello", None, there.name("cut-2"), other))
    assert answer.text == "Something else."


async def test_an_answer_is_given_again_where_that_is_asked_for(gateway, there, sid):
    model = there.name()
    first = await events_of(gateway, asking("hello", None, model, cache=True))
    again = await events_of(gateway, asking("hello", sid, model, cache=True))
    assert [event.text for event in first[1:-1]] == [event.text for event in again[1:-1]]
    hit = ends(again).response
    assert (hit.text, hit.cost, hit.usage) == (ends(first).response.text, 0.0, Usage())
    assert route(hit.route) == [(model, "cache")]
    assert len(there.calls(model)) == 1
    await gateway.ask(asking("hello", None, model, cache=False))
    assert len(there.calls(model)) == 2
    (kept,) = await gateway.history(OWNER, sid)
    assert (kept.response, kept.cost) == (hit.text, 0.0)


async def test_what_was_used_is_counted_by_model_session_and_day(gateway, there, sid):
    model, failing = there.name(), there.name("fail-503")
    days = sum(row.answers for row in await gateway.usage(OWNER, "day"))
    for _ in range(2):
        answer = await gateway.ask(asking("hello there", sid, failing, model))
    rows = {row.key: row for row in await gateway.usage(OWNER)}
    used = rows[f"lab:{model}"]
    assert (used.answers, used.unpriced, used.cost) == (2, 2, None)
    assert used.usage.output_tokens == 2 * answer.usage.output_tokens
    assert f"lab:{failing}" not in rows
    mine = {row.key: row for row in await gateway.usage(OWNER, "session")}[sid]
    assert (mine.answers, mine.usage) == (2, used.usage)
    assert sum(row.answers for row in await gateway.usage(OWNER, "day")) == days + 2


async def test_usage_is_told_by_three_things_alone(gateway):
    with pytest.raises(InvalidRequest, match=r"none of model, session, day"):
        await gateway.usage(OWNER, "hour")
