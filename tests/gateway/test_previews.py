"""What a dry run costs nobody, and says it would cost."""

import genai_prices
import pytest

from tests.gateway.kit import KEY, configured, opened
from warp_magics.gateway.types import ChatRequest, Form, Parameters, Usage

pytestmark = pytest.mark.asyncio


def price_of(used):
    usage = genai_prices.Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens)
    return float(genai_prices.calc_price(usage, model_ref="gpt-4o-mini", provider_id="openai").total_price)


price_of(Usage(1, 1))  # its data is read now: no test waits for that


async def test_the_price_of_what_would_be_sent(tmp_path):
    providers = {"openai": {"api_key": KEY}}
    config = configured(tmp_path, "http://127.0.0.1:9/v1", "openai:gpt-4o-mini", "lab:ok", providers=providers)
    async with opened(config) as gateway:
        short = await gateway.preview(ChatRequest("hello", parameters=Parameters(max_tokens=10)))
        long = await gateway.preview(ChatRequest("hello " * 5000, parameters=Parameters(max_tokens=10)))
        schema = Form(schema={"type": "object", "properties": {"a": {"description": "long " * 50}}})
        formed = await gateway.preview(ChatRequest("hello", parameters=Parameters(max_tokens=10), form=schema))
        free = await gateway.preview(ChatRequest("hello", models=("lab:ok",)))
    assert short.model == long.model == "openai:gpt-4o-mini"
    assert short.cost == pytest.approx(price_of(short.usage))
    assert 0 < short.cost < formed.cost < long.cost < 1
    assert short.usage.input_tokens < 20
    assert free.cost is None


async def test_of_a_chain_it_is_the_first_that_would_be_asked(tmp_path, fake):
    config = configured(tmp_path, fake.base_url, "fail-503", "ok")
    async with opened(config) as gateway:
        assert (await gateway.preview(ChatRequest("x"))).model == "lab:fail-503"
        await gateway.ask(ChatRequest("x", store=False))
        assert (await gateway.preview(ChatRequest("x"))).model == "lab:ok"
        assert (await gateway.usage("local"))[0].answers == 1
    assert len(fake.requests) == 2
