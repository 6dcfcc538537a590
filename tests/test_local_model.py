"""The whole way with a real model: SmolLM2 behind llama.cpp's server, asked by a gateway, a cell and curl's like."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warp_magics.gateway import ChatRequest, LocalGateway, Parameters, Text, load_config

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The base URL of a local model; it ends with the tests."""
    ready = tmp_path_factory.mktemp("model") / "url"
    server = subprocess.Popen(
        [sys.executable, ROOT / "deploy/demo/local_model.py", "--stop-with-parent", "--ready-file", ready],
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 90
        while not ready.exists():
            assert server.poll() is None, "the local model ended; `make demo-model` installs it"
            assert time.monotonic() < until
            time.sleep(0.1)
        yield ready.read_text()
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def config(model, tmp_path):
    path = tmp_path / "warp.toml"
    path.write_text(
        f'models = ["local:smollm2"]\n[providers.local]\ndialect = "openai"\nbase_url = "{model}"\n'
        '[storage]\ntype = "memory"\n'
    )
    return load_config(path=path, env=os.environ)


def asked(prompt, **fields):
    exact = Parameters(temperature=0.0, max_tokens=40)
    return ChatRequest(prompt, session_id="geo", create_session=True, parameters=exact, **fields)


@pytest.mark.asyncio
async def test_a_real_model_answers_in_one_conversation(config):
    gateway = LocalGateway(config)
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


@pytest.mark.asyncio
async def test_stopping_a_real_model_keeps_the_part(config):
    gateway = LocalGateway(config)
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
