"""What a client asks again by itself, when another instance of the gateway is the one that hears it."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from jupyter_server_ext.rest.askings import Askings
from jupyter_server_ext.rest.endpoints import Endpoints
from jupyter_server_ext.rest.messages import Request
from jupyter_server_ext.rest.openai_api import chat_completions
from tests.fakes.provider import Fault, Reply
from warp_magics.gateway import LocalGateway, load_config
from warp_magics.gateway.stores.memory import MemoryStore

BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}).encode()


@pytest.fixture
def instances(configure, jp_asyncio_loop):
    """Two gateways over one store."""
    config, store = load_config(path=configure("ok"), env={}), MemoryStore()
    gateways = [LocalGateway(config, store=store) for _ in range(2)]
    more = {"session_header": "x-session-id", "body_size": 1000, "ping_seconds": 0.05}
    yield [Endpoints(gateway, **more) for gateway in gateways]
    for gateway in gateways:
        jp_asyncio_loop.run_until_complete(gateway.aclose())


async def ask(endpoints, *, again=0):
    headers = {"x-session-id": "s", "x-stainless-retry-count": str(again)}
    said = await chat_completions(endpoints, Request("ada", BODY, headers=headers))
    return said.body["choices"][0]["message"]["content"]


async def kept(endpoints):
    return [turn.response for turn in await endpoints.gateway.history("ada", "s")]


async def test_an_answer_that_one_has_given_the_other_tells_again(instances, fake):
    one, other = instances
    assert await ask(one) == await ask(other, again=1)
    assert len(await kept(other)) == len(fake.requests) == 1


async def test_an_answer_that_one_is_giving_the_other_follows(instances, fake):
    one, other = instances
    fake.script("ok", Reply(chunks=["One ", Fault.SILENT, "two"]))
    first = asyncio.ensure_future(ask(one))
    await fake.until(lambda: fake.requests and fake.requests[0].sent > 1)
    second = asyncio.ensure_future(ask(other, again=1))
    done, _ = await asyncio.wait({first, second}, timeout=0.2)
    assert not done
    fake.release()
    assert (await first, await second) == ("One two", "One two")
    assert await kept(one) == ["One two"]


async def test_an_answer_that_has_not_begun_is_followed_too(instances, fake):
    one, other = instances
    go_on = threading.Event()
    fake.script("ok", Reply(before=[go_on], chunks=["One ", "two"]))
    first = asyncio.ensure_future(ask(one))
    await fake.until(lambda: fake.requests)
    second = asyncio.ensure_future(ask(other, again=1))
    done, _ = await asyncio.wait({first, second}, timeout=0.2)
    assert not done
    go_on.set()
    assert (await first, await second) == ("One two", "One two")
    assert await kept(one) == ["One two"]


def test_only_so_many_are_remembered_and_those_whose_end_was_seen_are_not():
    askings = Askings(new_id=iter(range(10_000)).__next__)
    ids = [askings.begin(("ada", "s", f"{n}.")) for n in range(5000)]
    assert len(set(ids)) == 5000
    assert ids[0].startswith("0.")
    assert askings.open(("ada", "s", "4999.")) == ids[-1]
    assert askings.open(("ada", "s", "0.")) is None
    assert askings.open(("bob", "s", "4999.")) is None
    askings.end(("ada", "s", "4999."))
    assert askings.open(("ada", "s", "4999.")) is None
