"""Every provider of the table, configured by its key alone, asked on its own wire."""

import json

import pytest

from tests.fakes.provider import Reply
from tests.gateway.kit import KEY, configured, ends, events_of, opened, route, text_of
from warp_magics.gateway.config import load_config
from warp_magics.gateway.errors import (
    AccessRefused,
    ContentFiltered,
    ContextTooLong,
    ModelMissing,
    NoContent,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    StreamBroken,
)
from warp_magics.gateway.providers import PROVIDERS
from warp_magics.gateway.types import ChatRequest, Exchange, Reasoning, Result, Started, ToolCall

REMOTE = [name for name in PROVIDERS if name != "demo"]
WIRES = {row.dialect: row.name for row in reversed(PROVIDERS.values()) if row.name != "demo"}
TABLES = {
    "openai",
    "anthropic",
    "gemini",
    "deepseek",
    "cohere",
    "mistral",
    "groq",
    "openrouter",
    "together",
    "xai",
    "ollama",
    "lmstudio",
    "vllm",
    "demo",
}
KEY_HEADERS = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}
PATHS = {"anthropic": "/v1/messages", "cohere": "/v2/chat", "gemini": "/v1beta/models/ok:"}


def base_url(fake, name):
    wire = PROVIDERS[name].dialect
    return {"anthropic": fake.url, "cohere": fake.url, "gemini": f"{fake.url}/v1beta"}.get(wire, fake.base_url)


@pytest.fixture
def config(tmp_path, fake):
    """A factory: models of a provider that is at the fake's and whose key is in the environment."""

    def make(name, *models, **model):
        lines = [f"models = {json.dumps([f'{name}:{one}' for one in models])}", "limits.retry.max = 0"]
        lines += ['storage.type = "memory"', f"providers.{name}.base_url = {json.dumps(base_url(fake, name))}"]
        if model:
            lines += ["[[model]]", f'provider = "{name}"', f'model = "{models[0]}"']
            lines += [f"{field} = {json.dumps(value)}" for field, value in model.items()]
        path = tmp_path / "warp.toml"
        path.write_text("\n".join(lines))
        return load_config(path=path, env=dict.fromkeys(PROVIDERS[name].keys[:1], KEY))

    return make


def ask(**fields):
    return ChatRequest("hi", store=False, **fields)


def seen_once(call, secret):
    """The header that holds the secret, which is nowhere else in the request."""
    (header,) = [header for header, value in call.headers.items() if secret in value]
    assert secret not in call.path + json.dumps(call.body)
    return header


def test_these_are_the_providers():
    assert set(PROVIDERS) == TABLES


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REMOTE)
async def test_a_streamed_answer_names_its_model_and_its_tokens(config, fake, name):
    if name == "mistral":  # which tells its usage unasked
        fake.script("ok", Reply(usage_in="finish"))
    async with opened(config(name, "ok")) as gateway:
        events = await events_of(gateway, ask())
    end = ends(events)
    (call,) = fake.requests
    assert text_of(events) == "You said 'hi' in message 1."
    assert (events[0].model, end.response.model) == (f"{name}:ok", f"{name}:ok")
    assert end.response.result is Result.COMPLETE
    assert end.response.usage.input_tokens > 0
    assert end.response.usage.output_tokens == 6
    assert end.response.warnings == ()
    assert call.wire.streamed(call)
    assert (call.model, call.messages) == ("ok", [{"role": "user", "content": "hi"}])
    assert call.path.startswith(PATHS.get(PROVIDERS[name].dialect, "/v1/chat/completions"))


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REMOTE)
async def test_the_key_is_sent_where_the_provider_wants_it_and_nowhere_else(config, fake, name):
    async with opened(config(name, "ok")) as gateway:
        await gateway.ask(ask())
    (call,) = fake.requests
    if PROVIDERS[name].local:
        assert "authorization" not in call.headers
    else:
        assert seen_once(call, KEY) == KEY_HEADERS.get(PROVIDERS[name].dialect, "authorization")
        assert call.key == KEY


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REMOTE)
async def test_an_answer_in_one_piece(config, fake, name):
    async with opened(config(name, "ok", stream=False)) as gateway:
        answer = await gateway.ask(ask())
    (call,) = fake.requests
    assert not call.wire.streamed(call)
    assert (answer.text, answer.model) == ("You said 'hi' in message 1.", f"{name}:ok")
    assert answer.result is Result.COMPLETE
    assert answer.usage.output_tokens == 6


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REMOTE)
async def test_a_system_text_and_a_history_come_through(config, fake, name):
    async with opened(config(name, "ok")) as gateway:
        answer = await gateway.ask(ask(context="Be brief.", history=(Exchange("one", "two"),)))
    (call,) = fake.requests
    first, *rest = [(one["role"], one["content"]) for one in call.messages]
    assert first[0] == "system"
    assert "Be brief." in first[1]
    assert rest == [("user", "one"), ("assistant", "two"), ("user", "hi")]
    assert answer.text == "You said 'hi' in message 4."


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REMOTE)
async def test_an_overloaded_model_is_followed_by_the_next(config, name):
    async with opened(config(name, "fail-503", "ok")) as gateway:
        answer = await gateway.ask(ask())
    assert answer.model == f"{name}:ok"
    assert route(answer.route) == [(f"{name}:fail-503", ProviderFault.code), (f"{name}:ok", "ok")]
    assert answer.route[0].status == 503


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REMOTE)
async def test_a_wrong_key_is_refused_and_not_told(config, fake, name):
    fake.api_key = "sk-another"
    async with opened(config(name, "ok")) as gateway:
        with pytest.raises(AccessRefused) as caught:
            await gateway.ask(ask())
    assert caught.value.status == 401
    assert KEY not in f"{caught.value!r} {caught.value.message} {caught.value.details}"


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REMOTE)
async def test_a_cut_answer_is_broken_and_its_part_is_told(config, name):
    async with opened(config(name, "cut-2")) as gateway:
        end = ends(await events_of(gateway, ask()))
    assert type(end.error) is StreamBroken
    assert end.response.text == "You said"
    assert end.response.model == f"{name}:cut-2"


@pytest.mark.asyncio
async def test_the_demo_needs_neither_key_nor_network(tmp_path):
    config = configured(tmp_path, "http://127.0.0.1:9/v1", "demo:fail-503", "demo:ok")
    async with opened(config) as gateway:
        answer = await gateway.ask(ask(context="Be brief."))
    assert answer.model == "demo:ok"
    assert "the demo provider" in answer.text


# -- the fake's models mean the same on every wire -----------------------------------------------------

REFUSED = {
    "fail-400": RequestRefused,
    "fail-403": AccessRefused,
    "fail-404": ModelMissing,
    "fail-429": RateLimited,
    "fail-500": ProviderFault,
    "quota": QuotaExceeded,
    "context-too-long": ContextTooLong,
    "filtered": ContentFiltered,
    "empty": NoContent,
}
ENDED = {"length": Result.MAX_TOKENS, "filtered-after": Result.FILTERED, "refuse": Result.FILTERED}
WITHOUT_REFUSALS = {"cohere"}  # there it is a text like any other
FAILED = {"end-2": StreamBroken, "error": ProviderFault, "reset-2": StreamBroken}


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", REFUSED)
async def test_a_refusal_means_the_same(config, wire, model):
    async with opened(config(WIRES[wire], model)) as gateway:
        with pytest.raises(REFUSED[model]) as caught:
            await gateway.ask(ask())
    assert type(caught.value) is REFUSED[model]


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_wait_that_is_told_is_kept(config, wire):
    async with opened(config(WIRES[wire], "fail-429-retry-after-7")) as gateway:
        with pytest.raises(RateLimited) as caught:
            await gateway.ask(ask())
    assert caught.value.retry_after == 7


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", ENDED)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_end_means_the_same(config, wire, model, stream):
    async with opened(config(WIRES[wire], model, stream=stream)) as gateway:
        answer = await gateway.ask(ask())
    unknown = model == "refuse" and wire in WITHOUT_REFUSALS
    assert answer.result is (Result.COMPLETE if unknown else ENDED[model])
    assert answer.text == ("I cannot help with that." if model == "refuse" else "You said")


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", FAILED)
async def test_trouble_in_mid_answer_means_the_same(config, wire, model):
    async with opened(config(WIRES[wire], model)) as gateway:
        end = ends(await events_of(gateway, ask()))
    assert type(end.error) is FAILED[model]
    assert end.response.text == "You said"


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_malformed_event_is_passed_over_and_told(config, wire):
    async with opened(config(WIRES[wire], "malformed")) as gateway:
        answer = await gateway.ask(ask())
    assert answer.text == "You said 'hi' in message 1."
    assert answer.warnings == ("1 malformed chunks of the answer were skipped",)


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [True, False])
async def test_calls_and_thoughts_come_through(config, wire, stream):
    async with opened(config(WIRES[wire], "tools", stream=stream)) as gateway:
        called = await events_of(gateway, ask())
    (call,) = [event.call for event in called if isinstance(event, ToolCall)]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    assert ends(called).response.result is Result.TOOL_CALLS
    async with opened(config(WIRES[wire], "reasoning", stream=stream)) as gateway:
        thought = await events_of(gateway, ask())
    assert "".join(event.text for event in thought if isinstance(event, Reasoning)) == "Let me think."
    assert text_of(thought) == "You said 'hi' in message 1."
    assert isinstance(thought[0], Started)
