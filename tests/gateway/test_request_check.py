"""What no model can be sent is refused before anybody is asked, whichever door it came by."""

import asyncio

import pytest

from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import opened, valkey
from warp_magics.gateway.errors import InvalidRequest
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Exchange, Parameters

HALF = "caf\udce9"  # what os.fsdecode makes of Latin-1
SERVERS = server_binaries()


def ask(prompt="hi", **fields):
    return Ask(prompt, session_id="s1", create_session=True, **fields)


async def refused(gateway, request, *words):
    async with asyncio.timeout(5):
        with pytest.raises(InvalidRequest) as caught:
            await gateway.ask(request)
    assert all(word in caught.value.message for word in words), caught.value.message
    caught.value.message.encode()


@pytest.fixture(params=["memory", pytest.param("valkey", marks=pytest.mark.slow)])
def store(request):
    if request.param == "memory":
        yield MemoryStore()
        return
    if not SERVERS:
        pytest.skip("this machine has no server to start")
    with running_server(next(iter(SERVERS.values()))) as server:
        yield valkey(server.url)


@pytest.mark.asyncio
@pytest.mark.parametrize("half", [{"prompt": HALF}, {"context": f"Speak of {HALF}."}], ids=["prompt", "context"])
async def test_half_a_character_is_refused_and_the_session_is_free(fake, config, store, half):
    async with opened(config("ok"), store) as gateway:
        await gateway.ask(ask("a"))
        await refused(gateway, ask(**half), "lone surrogate")
        async with asyncio.timeout(5):
            answer = await gateway.ask(ask("b"))
        assert (answer.text, answer.stream_id, answer.warnings) == ("You said 'b' in message 3.", "s1~2", ())
        assert [turn.prompt for turn in await gateway.history("local", "s1")] == ["a", "b"]
    assert len(fake.requests) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("history", [(Exchange(HALF, "b"),), (Exchange("a", "b"), Exchange("c", HALF))])
async def test_half_a_character_in_a_told_history_is_refused(fake, config, history):
    async with opened(config("ok")) as gateway:
        await refused(gateway, Ask("hi", history=history), "lone surrogate")
        assert (await gateway.sessions("local")).sessions == ()
    assert fake.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parameters": Parameters(temperature=5)}, ("temperature", "not 5")),
        ({"parameters": Parameters(temperature=-0.1)}, ("temperature", "not -0.1")),
        ({"parameters": Parameters(temperature="hot")}, ("temperature", "'hot'")),
        ({"parameters": Parameters(temperature=True)}, ("temperature", "True")),
        ({"parameters": Parameters(top_p=1.1)}, ("top_p", "not 1.1")),
        ({"parameters": Parameters(max_tokens=0)}, ("max_tokens", "not 0")),
        ({"parameters": Parameters(max_tokens="many")}, ("max_tokens", "'many'")),
        ({"timeout": 0}, ("timeout", "not 0")),
        ({"timeout": -1}, ("timeout", "not -1")),
        ({"timeout": "30s"}, ("timeout", "'30s'")),
    ],
)
async def test_a_value_out_of_range_is_refused_by_its_name(fake, config, fields, words):
    async with opened(config("ok")) as gateway:
        await refused(gateway, ask(**fields), *words)
        assert (await gateway.sessions("local")).sessions == ()
        assert (await gateway.ask(ask())).stream_id == "s1~1"
    assert len(fake.requests) == 1


@pytest.mark.asyncio
async def test_values_at_the_bounds_are_sent(fake, config):
    async with opened(config("ok")) as gateway:
        for given in (Parameters(temperature=0, top_p=0, max_tokens=1), Parameters(temperature=2, top_p=1)):
            await gateway.ask(Ask("hi", store=False, parameters=given, timeout=60))
    assert [call.body["temperature"] for call in fake.requests] == [0, 2]
