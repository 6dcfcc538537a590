"""What only the provider can see of our connections."""

import asyncio

import pytest

from tests.fakes.provider import Fault, Reply
from tests.gateway.kit import KEY, configured, opened
from warp_magics.gateway.errors import InvalidRequest
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Parameters


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


UNVERIFIED = Reply.failing(
    400, "Your organization must be verified to stream this model.", param="stream", code="unsupported_value"
)


@pytest.mark.asyncio
async def test_a_model_that_may_not_be_streamed_is_asked_for_the_whole_and_remembered(fake, config):
    fake.script("m", lambda call: UNVERIFIED if call.body.get("stream") else Reply())
    async with opened(config("m")) as gateway:
        for prompt in ("one", "two"):
            answer = await gateway.ask(Ask(prompt, store=False))
            assert answer.text == f"You said {prompt!r} in message 1."
            assert [attempt.outcome for attempt in answer.route] == ["ok"]
    assert [bool(call.body.get("stream")) for call in fake.requests] == [True, False, False]


@pytest.mark.asyncio
async def test_a_model_that_cannot_stream_is_never_asked_to_and_may_take_its_time(fake, config):
    fake.script("m", Reply(before=[0.3]))
    model = [{"provider": "lab", "model": "m", "stream": False}]
    async with opened(config("m", "ok", model=model, limits={"timeout": {"first_token": "100ms"}})) as gateway:
        answer = await gateway.ask(Ask("hi", store=False))
        assert answer.model == "lab:m"
        events = [event async for event in gateway.stream(Ask("hi", store=False))]
    assert "".join(getattr(event, "text", "") for event in events) == "You said 'hi' in message 1."
    assert not any("stream" in call.body for call in fake.requests)


@pytest.mark.asyncio
async def test_leaving_an_answer_in_one_piece_closes_the_connection(fake, config):
    fake.script("m", Reply(before=[Fault.SILENT]))
    async with opened(config("m", model=[{"provider": "lab", "model": "m", "stream": False}])) as gateway:
        asking = asyncio.create_task(gateway.ask(Ask("hi", store=False)))
        await fake.until(lambda: fake.requests)
        asking.cancel()
        await fake.until(lambda: fake.disconnects)


@pytest.mark.asyncio
async def test_what_a_model_is_sent_besides_is_laid_over_its_requests(fake, config):
    body = {"reasoning_effort": "high", "stream_options": {"include_obfuscation": False}}
    async with opened(config("m", "ok", model=[{"provider": "lab", "model": "m", "body": body}])) as gateway:
        await gateway.ask(Ask("hi", store=False))
        await gateway.ask(Ask("hi", store=False, models=("lab:ok",)))
    sent, other = (call.body for call in fake.requests)
    assert sent["reasoning_effort"] == "high"
    assert sent["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "reasoning_effort" not in other


@pytest.mark.asyncio
async def test_what_is_no_json_is_the_askers_fault(fake, config):
    async with opened(config("m")) as gateway:
        with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
            await gateway.ask(Ask("hi", store=False, parameters=Parameters(seed=2**70)))
    assert not fake.requests


@pytest.mark.asyncio
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_a_long_tool_call_is_no_silence(fake, tmp_path, dialect):
    pieces = [PIECES[dialect](f"{n}, ") for n in range(4)]
    fake.script(
        "m", Reply(chunks=[OPENS[dialect], *(one for piece in pieces for one in (0.3, piece)), CLOSES[dialect]])
    )
    named = {"w": {"dialect": dialect, "base_url": fake.base_url if dialect == "openai" else fake.url, "api_key": KEY}}
    limits = {"timeout": {"first_token": "1s", "stall": "1s"}}
    config = configured(tmp_path, fake.base_url, "w:m", "ok", providers=named, limits=limits)
    async with opened(config) as gateway:
        answer = await gateway.ask(Ask("hi", store=False))
    assert (answer.model, answer.tool_calls[0].arguments) == ("w:m", "[0, 1, 2, 3, 4]")


def _openai(**function):
    return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": function}]}}]}


def _anthropic(piece):
    delta = {"type": "input_json_delta", "partial_json": piece}
    return {"type": "content_block_delta", "index": 5, "delta": delta}


OPENS = {
    "openai": _openai(name="write", arguments="["),
    "anthropic": b'data: {"type": "content_block_start", "index": 5, "content_block": {"type": "tool_use", "id": "t", '
    b'"name": "write"}}\n\ndata: {"type": "content_block_delta", "index": 5, "delta": {"type": "input_json_delta", '
    b'"partial_json": "["}}\n\n',
}
PIECES = {"openai": lambda piece: _openai(arguments=piece), "anthropic": _anthropic}
CLOSES = {"openai": _openai(arguments="4]"), "anthropic": _anthropic("4]")}
