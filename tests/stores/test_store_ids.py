"""Ids reach nothing but what they name, over every store: whatever is put for one, another owner's things stay apart."""

from __future__ import annotations

import itertools
import re

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.gateway.kit import valkey
from warp_magics.gateway.config import load_config
from warp_magics.gateway.errors import WarpError
from warp_magics.gateway.local import LocalGateway
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.stores.valkey.keys import Keys
from warp_magics.gateway.types import ChatRequest, SessionKey

WORD = "Sesame"
VICTIM = "ada"
SPECIAL = "{}:*?[]/\\%.~|-_ \t\r\n\0'\"@#&ä\u2028"
TEXTS = st.one_of(
    st.text(st.sampled_from(SPECIAL + "adas1:turns"), max_size=24),
    st.text(max_size=12),
    st.sampled_from(
        [
            "*",
            "ada/s",
            "../ada/s",
            "..%2Fada%2Fs",
            "s}:turns",
            "{ada/s}",
            "warp:1:{ada/s}:turns",
            "s\0",
            "s:meta",
            "s~1",
            "[a-z]*",
            "",
        ]
    ),
)
STREAMS = st.one_of(TEXTS, st.tuples(TEXTS, st.sampled_from(["~1", "~01", "~-1", "~1:x", "~*", "~"])).map("".join))
lawful = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
OWNERS = (f"bob{number}" for number in itertools.count())
TOML = 'models = ["demo:ok"]\n[storage]\ntype = "memory"\n[limits]\nrate = { max = 100000, time_window = "1m" }\n'


@pytest_asyncio.fixture
async def gateway(place, config_file):
    """One over each store, in which ada has a session."""
    kind, url = place
    if kind != "memory":
        async with client_of(url) as client:
            await client.flushall()
    store = MemoryStore() if kind == "memory" else valkey(url, kind=kind)
    made = LocalGateway(load_config(path=config_file(TOML), env={}), store=store)
    await made.ask(ChatRequest(f"{WORD} one", session_id="s", create_session=True, owner=VICTIM))
    yield made
    await made.aclose()


async def everything(gateway, owner):
    turns = await gateway.history(owner, "s")
    return turns, (await gateway.sessions(owner)).sessions, await gateway.usage(owner)


async def tried(doing):
    """What came of it: anything, or one of our own errors."""
    try:
        if hasattr(doing, "__aiter__"):
            return [one async for one in doing]
        return await doing
    except WarpError as error:
        return error.code


@pytest.mark.asyncio
@given(text=TEXTS, stream=STREAMS, event=TEXTS)
@lawful
async def test_no_id_reaches_what_is_anothers(gateway, text, stream, event):
    bob, before = next(OWNERS), await everything(gateway, VICTIM)
    new = ChatRequest("mine", session_id=text, create_session=True, owner=bob)
    reached = [
        await tried(gateway.ask(new)),
        await tried(gateway.session(bob, text)),
        await tried(gateway.history(bob, text, 1)),
        await tried(gateway.history(bob, text)),
        await tried(gateway.sessions(bob, search=text)),
        await tried(gateway.sessions(bob, cursor=text)),
        await tried(gateway.follow(bob, stream, event or None)),
        await tried(gateway.stop(bob, stream)),
        await tried(gateway.update(bob, text, title="taken")),
        await tried(gateway.rewind(bob, text, event)),
        await tried(gateway.fork(bob, text, at=event or None, new_id=stream)),
        await tried(gateway.delete(bob, text)),
        await tried(gateway.usage(bob)),
    ]
    assert WORD not in str(reached)
    assert await everything(gateway, VICTIM) == before


@pytest.mark.asyncio
@given(owner=TEXTS.filter(lambda text: text != VICTIM))
@example(owner="ada/s")
@example(owner="ada}")
@example(owner="ADA")
@example(owner="%61da")
@lawful
async def test_no_name_of_an_owner_is_anothers(gateway, owner):
    before = await everything(gateway, VICTIM)
    for session in ("s", "ada", "s-s"):
        await tried(gateway.ask(ChatRequest("mine", session_id=session, create_session=True, owner=owner)))
        assert WORD not in str(await tried(gateway.history(owner, session)))
    assert WORD not in str(await tried(gateway.sessions(owner)))
    for session in ("s", "ada", "s-s"):
        await tried(gateway.delete(owner, session))
    assert await everything(gateway, VICTIM) == before


IDS = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)
KINDS = st.sampled_from(["meta", "lock", "turns", "seen", "queue", "events", "draft", "stream:1", "branch:1"])


@given(one=st.tuples(TEXTS, IDS, KINDS), other=st.tuples(TEXTS, IDS, KINDS))
def test_two_names_in_valkey_are_of_one_session_or_differ_and_each_lies_on_its_sessions_slot(one, other):
    keys = Keys("warp")
    names = [keys.of(SessionKey(owner, session), what) for owner, session, what in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    tags = [re.search(r"\{([^}]+)\}", name)[1] for name in names]  # what Redis takes the slot from
    assert (tags[0] == tags[1]) == (one[:2] == other[:2])
    assert all(re.fullmatch(r"warp:1:\{[!-z|~]*\}:[a-z0-9:]+", name) for name in names)


@given(owner=TEXTS, other=TEXTS)
def test_an_owners_own_names_are_of_no_other(owner, other):
    keys = Keys("warp")
    for of in (
        keys.index,
        lambda who: keys.usage(who, "2026-01", "t")[0],
        lambda who: keys.usage(who, "2026-01", "t")[1],
        lambda who: keys.answer(who, "d")[0],
    ):
        assert (of(owner) == of(other)) == (owner == other)
