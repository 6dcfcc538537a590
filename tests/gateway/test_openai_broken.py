"""An answer that its provider cut is broken, whatever finish reason, usage and end marker it was given."""

import pytest

from tests.fakes.provider import Reply
from tests.gateway.kit import ends, events_of, opened, route
from warp_magics.gateway.errors import ProviderFault, RequestRefused, StreamBroken
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Ended, Failed, Result

CUT = ("insufficient_system_resource", "abort", "error")


def ask(prompt, **fields):
    return Ask(prompt, session_id="s1", create_session=True, **fields)


async def state_of(gateway):
    (state,) = await gateway.models()
    return state.state


def faults(code, words="The engine died."):
    """An error as vLLM puts it into a stream: the chunk itself is the error."""
    return {"object": "error", "message": words, "type": "BadRequestError", "param": None, "code": code}


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", CUT)
@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("usage_in", ["chunk", "finish", "nowhere"])
async def test_a_cut_answer_with_a_finish_reason_is_broken_and_its_part_is_kept(fake, config, reason, done, usage_in):
    fake.script("m", Reply(chunks=["Half ", "an ans"], finish=reason, done=done, usage_in=usage_in))
    async with opened(config("m")) as gateway:
        end = ends(await events_of(gateway, ask("hi")))
        (kept,) = await gateway.history("local", "s1")
        assert await state_of(gateway) == "cooling"
    assert isinstance(end, Failed)
    assert isinstance(end.error, StreamBroken)
    assert (end.response.text, end.response.result) == ("Half an ans", Result.UNKNOWN)
    assert route(end.response.route) == [("m", StreamBroken.code)] * 2  # none is left, so it is asked once more
    assert (kept.status, kept.response, kept.result) == ("interrupted", "Half an ans", Result.UNKNOWN)
    assert kept.error == {"code": StreamBroken.code, "message": end.error.message}


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", CUT)
async def test_ask_raises_with_the_part(fake, config, reason):
    fake.script("m", Reply(chunks=["Half"], finish=reason))
    async with opened(config("m")) as gateway:
        with pytest.raises(StreamBroken) as caught:
            await gateway.ask(ask("hi"))
    assert caught.value.details["partial"] == "Half"


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", CUT)
async def test_cut_before_its_first_word_the_next_model_is_asked(fake, config, reason):
    fake.script("m", Reply(chunks=[], finish=reason))
    async with opened(config("m", "ok")) as gateway:
        answer = await gateway.ask(ask("hi"))
    assert (answer.text, answer.model) == ("You said 'hi' in message 1.", "lab:ok")
    assert route(answer.route) == [("m", StreamBroken.code), ("ok", "ok")]


@pytest.mark.asyncio
async def test_a_finish_reason_nobody_knows_is_an_end_all_the_same(fake, config):
    fake.script("m", Reply(chunks=["All of it."], finish="weary"))
    async with opened(config("m")) as gateway:
        end = ends(await events_of(gateway, ask("hi")))
        assert await state_of(gateway) == "ready"
    assert isinstance(end, Ended)
    assert end.response.result == Result.UNKNOWN


@pytest.mark.asyncio
@pytest.mark.parametrize(("code", "kind"), [(400, RequestRefused), (500, ProviderFault), (None, ProviderFault)])
async def test_a_chunk_that_is_an_error_itself_ends_the_answer(fake, config, code, kind):
    fake.script("m", Reply(chunks=["Half"], insert=[faults(code)]))
    async with opened(config("m")) as gateway:
        end = ends(await events_of(gateway, ask("hi")))
        (kept,) = await gateway.history("local", "s1")
    assert isinstance(end, Failed)
    assert type(end.error) is kind
    assert (end.error.message, end.response.text) == ("The engine died.", "Half")
    assert (kept.status, kept.response, kept.error["code"]) == ("interrupted", "Half", kind.code)


@pytest.mark.asyncio
async def test_a_chunk_that_is_an_error_before_the_first_word_is_raised(fake, config):
    fake.script("m", Reply(chunks=[faults(400, "too long a prompt")]))
    async with opened(config("m")) as gateway:
        with pytest.raises(RequestRefused, match="too long a prompt"):
            await events_of(gateway, ask("hi"))
