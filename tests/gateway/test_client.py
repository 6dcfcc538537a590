"""What only the provider can see of our connections."""

import asyncio
import contextlib

import pytest

from tests.fakes.provider import Fault, Reply
from tests.gateway.kit import KEY, configured, opened
from warp_magics.gateway import connections
from warp_magics.gateway.client import ModelClient, Timeouts
from warp_magics.gateway.errors import InvalidRequest, StreamBroken
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Conversation, Message, Model, Parameters, Text


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


# -- words that come faster than anybody reads -----------------------------------------------------


async def batches_of(fake, tmp_path, stall=600.0):
    """All that one try at the fake's model gives, a batch at a time."""
    client = ModelClient(configured(tmp_path, fake.base_url, "m").providers)
    asked = Conversation(Model("lab", "m"), (Message("user", "hi"),))
    try:
        async with contextlib.aclosing(client.attempt(asked, Timeouts(10.0, 600.0, stall))) as batches:
            async for batch in batches:
                yield [event.text for event in batch if isinstance(event, Text)]
    finally:
        await client.aclose()


@pytest.mark.asyncio
async def test_words_that_come_quickly_are_read_together(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "PACE_SECONDS", 0.2)
    fake.script("m", Reply(chunks=[f"w{n} " for n in range(40)], delay=0.005))
    batches = [batch async for batch in batches_of(fake, tmp_path)]
    assert "".join(text for batch in batches for text in batch) == "".join(f"w{n} " for n in range(40))
    assert len([batch for batch in batches if batch]) <= 10


@pytest.mark.asyncio
async def test_neither_the_first_word_nor_the_end_waits_for_others(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "PACE_SECONDS", 60.0)
    fake.script("m", Reply(chunks=["first ", Fault.SILENT, "second ", 0.05, "last"]))
    batches = batches_of(fake, tmp_path)
    async with asyncio.timeout(10):
        assert await anext(batches) == ["first "]
        fake.release()
        rest = [text async for batch in batches for text in batch]
    assert rest == ["second ", "last"]


@pytest.mark.asyncio
async def test_a_break_takes_nothing_away_of_what_came_before_it(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "PACE_SECONDS", 60.0)
    fake.script("m", Reply(chunks=["a", 0.02, "b", 0.02, "c", 0.02, "d", 0.02, Fault.CUT]))
    said = []

    async def listen():
        async for batch in batches_of(fake, tmp_path):
            said.extend(batch)

    with pytest.raises(StreamBroken):
        await listen()
    assert said == ["a", "b", "c", "d"]


@pytest.mark.asyncio
async def test_who_keeps_talking_has_not_stalled_while_he_was_waited_for(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "PACE_SECONDS", 5.0)
    fake.script("m", Reply(chunks=[f"w{n} " for n in range(6)], delay=0.3))
    said = [text async for batch in batches_of(fake, tmp_path, stall=1.0) for text in batch]
    assert said == [f"w{n} " for n in range(6)]
