"""What only the provider can see of our connections."""

import pytest

from tests.fakes.provider import Reply
from tests.gateway.kit import opened
from warp_magics.gateway.types import ChatRequest as Ask


@pytest.mark.asyncio
async def test_a_connection_serves_again_though_its_body_ends_after_the_last_event(fake, config):
    # Many servers send the end of the body on its own, a moment after the end marker.
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    fake.script("m", Reply(chunks=["hi", stop, b"data: [DONE]\n\n", 0.02], finish=None, done=False))
    async with opened(config("m")) as gateway:
        for prompt in ("one", "two", "three"):
            await gateway.ask(Ask(prompt, store=False))
    assert len({call.port for call in fake.requests}) == 1


@pytest.mark.asyncio
async def test_a_connection_that_an_answer_was_stopped_on_serves_nobody_again(fake, config):
    fake.script("m", Reply(delay=0.05), Reply())
    async with opened(config("m")) as gateway:
        events = gateway.stream(Ask("one", store=False))
        await anext(events)
        await events.aclose()
        await fake.until(lambda: fake.disconnects)
        await gateway.ask(Ask("two", store=False))
    first, second = fake.requests
    assert first.port != second.port
