"""What an answer cost: tokens by the price that genai-prices knows, or nothing known; never an answer late or lost for it."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import genai_prices
import pytest

from tests.fakes.provider import FakeProvider, Reply
from tests.gateway.kit import KEY, configured, events_of, opened, until
from warp_magics.gateway import prices
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Usage

HI = Ask("hi", store=False)
MINI = "openai:gpt-4o-mini"


def used(asked=1000, said=200, cached=0):
    details = {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said, **details}


def price_of(model, asked, said, cached=0):
    """What the library says, asked by itself."""
    usage = genai_prices.Usage(input_tokens=asked, output_tokens=said, cache_read_tokens=cached)
    return float(genai_prices.calc_price(usage, model_ref=model, provider_id="openai").total_price)


@pytest.fixture
def openai(fake):
    return {"openai": {"base_url": fake.base_url, "api_key": KEY}}


async def known(gateway):
    """The models' prices, once there are any."""

    async def some():
        found = {state.model: state.price for state in await gateway.models()}
        return found if any(found.values()) else None

    return await until(some, within=60)


# -- what is known ---------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o"])
@pytest.mark.parametrize("tokens", [(1000, 200), (1000, 200, 800), (1000, 200, 1000), (3, 1)])
async def test_an_answer_costs_its_tokens_by_their_price(fake, config, openai, model, tokens):
    fake.script(model, Reply(usage=used(*tokens)))
    async with opened(config(f"openai:{model}", providers=openai)) as gateway:
        await known(gateway)
        answer = await gateway.ask(Ask("hi", session_id="s1", create_session=True))
        (turn,) = await gateway.history("local", "s1")
        session = await gateway.session("local", "s1")
    assert answer.cost == pytest.approx(price_of(model, *tokens), rel=1e-9)
    assert answer.cost > 0
    assert turn.cost == session.cost == answer.cost


@pytest.mark.asyncio
async def test_what_the_provider_had_in_its_cache_is_cheaper(fake, config, openai):
    fake.script(
        "gpt-4o-mini", Reply(usage=used(cached=0)), Reply(usage=used(cached=500)), Reply(usage=used(cached=1000))
    )
    async with opened(config(MINI, providers=openai)) as gateway:
        await known(gateway)
        costs = [(await gateway.ask(HI)).cost for _ in range(3)]
    assert costs[0] > costs[1] > costs[2] > 0


@pytest.mark.asyncio
async def test_more_tokens_from_the_cache_than_were_asked_are_no_trouble(fake, config, openai):
    fake.script("gpt-4o-mini", Reply(usage=used(10, 5, cached=99)))
    async with opened(config(MINI, providers=openai)) as gateway:
        await known(gateway)
        assert (await gateway.ask(HI)).cost == pytest.approx(price_of("gpt-4o-mini", 10, 5, 10))


@pytest.mark.asyncio
async def test_models_tell_their_price_for_a_million_tokens(fake, config, openai):
    settings = config(MINI, "openai:gpt-4o", "ok", "openai:nobody-has-this", providers=openai)
    async with opened(settings) as gateway:
        found = await known(gateway)
    assert (found["lab:ok"], found["openai:nobody-has-this"]) == (None, None)
    for model in ("gpt-4o-mini", "gpt-4o"):
        assert found[f"openai:{model}"].input == pytest.approx(price_of(model, 1000, 0) * 1000)
        assert found[f"openai:{model}"].output == pytest.approx(price_of(model, 0, 1000) * 1000)


@pytest.mark.asyncio
async def test_a_provider_of_another_name_is_known_by_its_address(config, openai):
    rows = {
        "second": {"dialect": "openai", "base_url": "https://api.openai.com/v1", "api_key": KEY},
        "strange": {"dialect": "openai", "base_url": "https://llm.example.org/v1", "api_key": KEY},
    }
    settings = config("second:gpt-4o-mini", "strange:gpt-4o-mini", MINI, providers=openai | rows)
    async with opened(settings) as gateway:
        found = await known(gateway)
    assert found["second:gpt-4o-mini"] == found[MINI]
    assert found["strange:gpt-4o-mini"] is None


# -- what is not -----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("model", ["openai:nobody-has-this", "lab:gpt-4o-mini"])
async def test_what_nobody_knows_is_not_nothing(fake, config, openai, model):
    fake.script(model.partition(":")[2], Reply(usage=used()))
    async with opened(config(model, MINI, providers=openai)) as gateway:
        await known(gateway)
        answer = await gateway.ask(HI)
    assert (answer.model, answer.usage, answer.cost) == (model, Usage(1000, 200), None)


@pytest.mark.asyncio
async def test_an_answer_without_usage_has_no_cost(fake, config, openai):
    fake.script("gpt-4o-mini", Reply(usage_in="nowhere"))
    async with opened(config(MINI, providers=openai)) as gateway:
        await known(gateway)
        assert (await gateway.ask(HI)).cost is None


# -- a library in trouble --------------------------------------------------------------------------


@pytest.fixture
def slow_library(monkeypatch):
    """The library is not there before the event is set."""
    there, library = threading.Event(), prices._library

    def late():
        assert there.wait(60)
        return library()

    monkeypatch.setattr("warp_magics.gateway.prices._library", late)
    yield there
    there.set()


@pytest.mark.asyncio
async def test_a_slow_import_is_not_waited_for(fake, config, openai, slow_library):
    fake.script("gpt-4o-mini", Reply(usage=used()))
    async with opened(config(MINI, providers=openai)) as gateway:
        began = time.monotonic()
        events = await events_of(gateway, HI)
        waited = time.monotonic() - began
        assert not slow_library.is_set()
        assert (events[-1].response.text, events[-1].response.cost) == ("You said 'hi' in message 1.", None)
        assert waited < prices.WAIT_SECONDS + 2  # an answer's own time on a busy machine
        assert [state.price for state in await gateway.models()] == [None]
        slow_library.set()
        await known(gateway)
        assert (await gateway.ask(HI)).cost == pytest.approx(price_of("gpt-4o-mini", 1000, 200))


@pytest.mark.asyncio
async def test_a_gateway_that_closes_does_not_wait_for_it(fake, config, openai, slow_library):
    async with opened(config(MINI, providers=openai)) as gateway:
        await gateway.ask(HI)
        began = time.monotonic()
        await gateway.aclose()
        assert time.monotonic() - began < prices.WAIT_SECONDS + 2
        assert not slow_library.is_set()


@pytest.mark.asyncio
async def test_without_the_library_answers_have_no_cost(fake, config, openai, monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    fake.script("gpt-4o-mini", Reply(usage=used()))
    async with opened(config(MINI, providers=openai)) as gateway:
        answer = await gateway.ask(HI)
        assert [state.price for state in await gateway.models()] == [None]
    assert (answer.text, answer.cost) == ("You said 'hi' in message 1.", None)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [RuntimeError("boom"), ValueError("boom"), ZeroDivisionError()])
async def test_a_library_that_fails_loses_no_answer(fake, config, openai, monkeypatch, error):
    fake.script("gpt-4o-mini", Reply(usage=used()))
    async with opened(config(MINI, providers=openai)) as gateway:
        await known(gateway)

        def fails(*_, **__):
            raise error

        monkeypatch.setattr(genai_prices, "calc_price", fails)
        answers = [await gateway.ask(replace(HI, store=store)) for store in (True, False)]
        assert [state.price for state in await gateway.models()] == [None]
    assert [(answer.text, answer.cost) for answer in answers] == [("You said 'hi' in message 1.", None)] * 2


# -- what is imported ------------------------------------------------------------------------------

ASKS = """
import asyncio, sys
from pathlib import Path

import warp_magics.gateway as door

assert "genai_prices" not in sys.modules

async def main():
    gateway = door.LocalGateway(door.load_config(path=Path(sys.argv[1]), env={}))
    try:
        for n in range(2):
            await gateway.ask(door.ChatRequest("hi", store=bool(n)))
        await gateway.models()
    finally:
        await gateway.aclose()

asyncio.run(main())
print("genai_prices" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chain", "loaded"),
    [(["lab:ok"], False), (["demo:ok"], False), (["lab:fail-503", "ollama:m"], False), (["lab:ok", MINI], True)],
)
def test_who_asks_local_models_alone_imports_nothing(tmp_path, chain, loaded):
    with FakeProvider.in_thread() as fake:
        rows = {"openai": {"base_url": fake.base_url, "api_key": KEY}, "ollama": {"base_url": fake.base_url}}
        settings = configured(tmp_path, fake.base_url, *chain, providers=rows)
        done = subprocess.run(
            [sys.executable, "-c", ASKS, str(settings.source)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(loaded)]
