"""The whole way with a real model: SmolLM2 behind llama.cpp's server, asked by a gateway, a cell and curl's like."""

import asyncio
import json
import os
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.local_model import local_model
from warp_magics.gateway import ChatRequest, Form, LocalGateway, Parameters, Text, load_config

ROOT = Path(__file__).resolve().parents[1]
SLOTS = 2
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The base URL of a local model; it ends with the tests."""
    with local_model(tmp_path_factory.mktemp("model"), SLOTS) as url:
        yield url


@pytest.fixture
def config(model, tmp_path):
    def load(*, stream=True):
        path = tmp_path / "warp.toml"
        path.write_text(
            f'models = ["local:smollm2"]\n[providers.local]\ndialect = "openai"\nbase_url = "{model}"\n'
            f'[[model]]\nprovider = "local"\nmodel = "smollm2"\nstream = {str(stream).lower()}\n'
            '[storage]\ntype = "memory"\n'
        )
        return load_config(path=path, env=os.environ)

    return load


def asked(prompt, **fields):
    exact = Parameters(temperature=0.0, max_tokens=40)
    return ChatRequest(prompt, session_id="geo", create_session=True, parameters=exact, **fields)


@pytest.mark.asyncio
async def test_a_real_model_answers_in_one_conversation(config):
    gateway = LocalGateway(config())
    try:
        whole = await gateway.ask(asked("What is the capital of France? Answer in one short sentence."))
        assert "Paris" in whole.text
        assert whole.model == "local:smollm2"
        assert whole.result == "COMPLETE"
        assert whole.usage.input_tokens > 0
        assert whole.usage.output_tokens > 0

        # Only a model that is sent the turn before can know what is asked.
        events = [event async for event in gateway.stream(asked("And of Italy?"))]
        pieces = [event.text for event in events if isinstance(event, Text)]
        assert len(pieces) > 1
        assert "Rome" in "".join(pieces)
        assert events[-1].response.text == "".join(pieces)
        assert [turn.status for turn in await gateway.history("local", "geo")] == ["complete", "complete"]
    finally:
        await gateway.aclose()


CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "letters": {"type": "integer"}},
    "required": ["city", "letters"],
    "additionalProperties": False,
}


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [True, False])
async def test_a_real_model_answers_as_json_of_a_schema(config, stream):
    gateway = LocalGateway(config(stream=stream))
    try:
        asks = asked(
            "What is the capital of France? Give the city and how many letters it has.", form=Form(schema=CITY)
        )
        answer = await gateway.ask(replace(asks, session_id=None, store=False, create_session=False))
        assert (answer.result, answer.warnings) == ("COMPLETE", ())
        assert answer.value == json.loads(answer.text)
        assert set(answer.value) == {"city", "letters"}
        assert isinstance(answer.value["letters"], int)
        assert answer.usage.input_tokens > answer.usage.output_tokens > 0
    finally:
        await gateway.aclose()


@pytest.mark.asyncio
async def test_answers_that_are_left_free_their_slots(config, model):
    gateway = LocalGateway(config())
    try:
        endless = ChatRequest("Tell me a story that never ends.", store=False, parameters=Parameters(max_tokens=3000))
        for _ in range(SLOTS):
            streams = [gateway.stream(endless) for _ in range(SLOTS)]
            for stream in streams:
                async for event in stream:
                    if isinstance(event, Text):
                        break
            assert busy(model) == SLOTS
            for stream in streams:
                await stream.aclose()
            async with asyncio.timeout(20):
                while busy(model):  # noqa: ASYNC110 - another process frees them
                    await asyncio.sleep(0.02)
    finally:
        await gateway.aclose()


def busy(model):
    """How many slots of the local model's server are at work."""
    with urllib.request.urlopen(f"{model.removesuffix('/v1')}/slots", timeout=10) as slots:
        return sum(slot["is_processing"] for slot in json.load(slots))


@pytest.mark.asyncio
async def test_stopping_a_real_model_keeps_the_part(config):
    gateway = LocalGateway(config())
    try:
        request = ChatRequest("Tell me a long story about a river.", session_id="story", create_session=True)
        stream_id = None
        async for event in gateway.stream(request):
            stream_id = getattr(event, "stream_id", None) or stream_id
            if isinstance(event, Text):
                assert await gateway.stop("local", stream_id)
                break
        (turn,) = await gateway.history("local", "story")
        assert turn.status == "stopped"
        assert turn.response
        again = await gateway.ask(asked("What is the capital of Japan? Answer in one short sentence."))
        assert "Tokyo" in again.text
    finally:
        await gateway.aclose()
