"""What befalls an answer after its last word takes nothing from it: it is whole."""

import asyncio
import json

import pytest

from tests.fakes.provider import Fault, Reply
from tests.gateway.kit import ends, events_of, opened, route
from warp_magics.gateway import client
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Ended, Result

FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
WHOLE = [f"data: {json.dumps(FINISH)}\n\n".encode(), b"data: [DONE]\n\n"]
TOTAL = 1.0


@pytest.fixture
def dawdling(fake, config, monkeypatch):
    """The gateway's configuration for a model that is done and never ends its body, which is waited for."""
    monkeypatch.setattr(client, "_END_SECONDS", 60.0)
    fake.script("m", Reply(chunks=["All ", "of it.", *WHOLE, Fault.SILENT]))
    return config("m", limits={"timeout": {"total": TOTAL}})


def ask(**fields):
    return Ask("hi", session_id="s1", create_session=True, **fields)


async def whole(gateway, events):
    end = ends(events)
    assert isinstance(end, Ended)
    assert (end.response.text, end.response.result, end.response.warnings) == ("All of it.", Result.COMPLETE, ())
    assert route(end.response.route) == [("m", "ok")]
    (kept,) = await gateway.history("local", "s1")
    assert (kept.response, kept.status, kept.result, kept.error) == ("All of it.", "complete", Result.COMPLETE, None)


@pytest.mark.asyncio
async def test_a_total_timeout_after_the_last_word(dawdling):
    async with opened(dawdling) as gateway:
        async with asyncio.timeout(10 * TOTAL):
            events = await events_of(gateway, ask())
        await whole(gateway, events)
