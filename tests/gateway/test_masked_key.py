"""A key that its provider quotes half masked is nowhere to be seen, not even its ends."""

import json
import logging

import pytest

from tests.fakes.provider import Reply
from tests.gateway.kit import KEY, events_of, opened
from warp_magics.gateway.errors import AccessRefused, NoModelsAvailable
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.wire import error_json, json_bytes, turn_json

MASKED = [f"{KEY[:8]}********{KEY[-4:]}", f"{KEY[:3]}***{KEY[-4:]}", f"****{KEY[-4:]}", f"{KEY[:8]}****", "{masked}"]
FIRST, LAST = KEY[:8], KEY[-4:]


def ask():
    return Ask("hi", session_id="s1", create_session=True)


def unseen(*told):
    for one in told:
        assert FIRST not in one
        assert LAST not in one


@pytest.mark.asyncio
@pytest.mark.parametrize("masked", MASKED)
@pytest.mark.parametrize("words", ["Incorrect API key provided: {}. You can find yours at x.", "'{}'", "{} ({key})"])
async def test_a_masked_key_is_masked_whole(fake, config, caplog, masked, words):
    caplog.set_level(logging.DEBUG)
    fake.script("m", Reply.failing(401, words.replace("{}", masked)))
    async with opened(config("m")) as gateway:
        with pytest.raises(AccessRefused) as caught:
            await gateway.ask(ask())
        (kept,) = await gateway.history("local", "s1")
        (state,) = await gateway.models()
    error = caught.value
    assert "***" in error.message
    assert error.details["route"][0].reason == error.details["provider"]
    assert error.message == f"lab:m refuses the key that the gateway has for it: {error.details['provider']}"
    unseen(str(error), repr(error), repr(error.details), repr(kept), repr(state))
    unseen(json_bytes(error_json(error)).decode(), json.dumps(turn_json(kept), default=repr), caplog.text)


@pytest.mark.asyncio
async def test_what_is_around_a_masked_key_is_said(fake, config):
    fake.script("m", Reply.failing(401, f"Incorrect API key provided: {MASKED[0]} (see x)."))
    async with opened(config("m")) as gateway:
        with pytest.raises(AccessRefused) as caught:
            await gateway.ask(ask())
    assert caught.value.message.endswith(" for it: Incorrect API key provided: *** (see x).")


@pytest.mark.asyncio
async def test_a_masked_key_in_a_stream_and_among_many_models(fake, config):
    said = {"error": {"message": f"The key {MASKED[0]} is spent.", "code": "401"}}
    fake.script("m", Reply(chunks=["Half", said]), Reply.failing(401, f"The key {MASKED[0]}."))
    fake.script("n", Reply.failing(401, f"No such key: {MASKED[0]}"))
    async with opened(config("m", "n")) as gateway:
        events = await events_of(gateway, ask())
        unseen(repr(events), repr(await gateway.history("local", "s1")))
        assert "The key *** is spent." in repr(events)
    async with opened(config("m", "n")) as gateway:
        with pytest.raises(NoModelsAvailable) as caught:
            await gateway.ask(ask())
    unseen(str(caught.value), repr(caught.value.details), json_bytes(error_json(caught.value)).decode())
