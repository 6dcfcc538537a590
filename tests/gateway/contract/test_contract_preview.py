"""What would be sent, told without being sent."""

import pytest

from tests.gateway.contract.world import OWNER, asking
from warp_magics.gateway.errors import InvalidRequest, SessionNotFound, UnknownModel
from warp_magics.gateway.types import Attachment, Exchange, Message, Parameters, Source

pytestmark = pytest.mark.asyncio

DOT = Attachment("image", "dot", "image/png", data="iVBORw0KGgo=")


async def test_it_tells_the_messages_and_sends_nothing(gateway, there, lab, sid):
    model = there.name()
    first = await gateway.ask(asking("one", sid, model))
    calls = len(lab.requests)
    asked = asking("two", sid, model, context="Be brief.", attachments=(DOT,), parameters=Parameters(max_tokens=50))
    told = await gateway.preview(asked)
    assert told.model == f"lab:{model}"
    *before, last = told.messages
    assert before == [Message("system", "Be brief."), Message("user", "one"), Message("assistant", first.text)]
    assert (last.role, last.text) == ("user", "two")
    assert [(image.name, image.media_type) for image in last.images] == [("dot", "image/png")]
    assert told.usage.output_tokens == 50
    assert told.usage.input_tokens > 1000  # an image counts
    assert told.cost is None  # nobody knows what a server on this machine asks
    assert len(lab.requests) == calls
    assert len(await gateway.history(OWNER, sid)) == 1


async def test_in_the_place_of_a_turn_and_where_there_is_no_session(gateway, there, sid):
    model = there.name()
    cell = Source("cell", "a.ipynb", "c1")
    again = asking("two", sid, model, source=cell, replaces="source")
    assert (await gateway.preview(again)).messages == (Message("user", "two"),)
    with pytest.raises(SessionNotFound):
        await gateway.preview(asking("x", sid, model, create_session=False))
    await gateway.ask(asking("one", sid, model, source=cell))
    assert (await gateway.preview(again)).messages == (Message("user", "two"),)
    told = await gateway.preview(asking("x", None, model, history=(Exchange("a", "b"),)))
    assert [one.text for one in told.messages] == ["a", "b", "x"]


async def test_what_cannot_be_asked_cannot_be_told(gateway, there, sid):
    if not there.timeless:  # nobody's models are known there
        with pytest.raises(UnknownModel):
            await gateway.preview(asking("x", sid, "nobody:none"))
    with pytest.raises(InvalidRequest):
        await gateway.preview(asking(" ", sid, there.name()))
