"""A turn is begun with all the turns before it, however many of them a process has read before."""

import gc
import itertools
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.kit import turn, valkey
from tests.stores.backends import Backend, ended, lasting, on_a_server, turn_of
from warp_magics.gateway.branches import rewound
from warp_magics.gateway.prompt import conversation
from warp_magics.gateway.stores.base import GoingOn, Hold
from warp_magics.gateway.stores.records import dump
from warp_magics.gateway.stores.valkey import client_of
from warp_magics.gateway.stores.valkey.known import NONE, Known
from warp_magics.gateway.types import Attachment, ChatRequest, Model, SessionKey

KEYS = (SessionKey("known", f"s{n}") for n in itertools.count())  # each example has a session of its own
NUMBER = st.integers(0, 7)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["say", "say", "go_on", "leave", "delete", "make"]), st.just(0)),
    st.tuples(st.sampled_from(["replace", "rewind"]), NUMBER),
)


class World:
    """A session that is changed by one process, and read by another that reads it now and then."""

    def __init__(self, backend, other, key):
        self.writer, self.reader, self.key = backend, other, key

    async def say(self, _):
        await self.writer.append(await self.writer.hold(key=self.key))

    async def go_on(self, _):
        turns = await self._turns()
        hold = await self.writer.hold(key=self.key)
        if turns:
            hold = replace(hold, going_on=GoingOn(turns[-1], f"again-{hold.holder}"))
            longer = replace(turns[-1], n=hold.n, response=turns[-1].response + "more")
            await self.writer.append(hold, longer)
        else:
            await self.leave(hold)

    async def replace(self, number):
        hold = await self.writer.hold(key=self.key)
        await self.writer.append(replace(hold, keep=number), turn_of(hold))

    async def leave(self, hold):
        hold = hold or await self.writer.hold(key=self.key)
        await self.writer.store.release(self.key, hold.holder)

    async def delete(self, _):
        if not await self.writer.missing(self.key):
            await self.writer.store.delete(self.key)

    async def make(self, _):
        if await self.writer.missing(self.key):
            said = [turn_of(Hold(self.key, n, f"made-{n}-{next(self.writer.holders)}")) for n in (1, 2)]
            await self.writer.store.create(self.key, lasting(), turns=said)

    async def rewind(self, number):
        """To a turn of the main line or of a branch."""
        if await self.writer.missing(self.key):
            return
        tree = await self.writer.store.tree(self.key)
        ids = [None, *(one.id for turns in (tree.turns, *(limb.turns for limb in tree.branches)) for one in turns)]
        await self.to(ids[number % len(ids)])

    async def to(self, turn_id):
        tree = await self.writer.store.tree(self.key)
        graft = rewound(tree, turn_id, 7.5)
        if graft is not None:
            assert await self.writer.store.graft(self.key, tree.version, graft, lasting())

    async def _turns(self):
        return () if await self.writer.missing(self.key) else await self.writer.store.turns(self.key)

    async def check(self, backend):
        turns = await self._turns()
        begun = await backend.begin("reader", self.key)
        await backend.store.release(self.key, "reader")
        assert begun.turns == turns


@pytest.mark.asyncio
@given(steps=st.lists(st.tuples(STEPS, st.booleans()), min_size=5, max_size=25))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_becomes_of_a_session_a_turn_has_what_is_before_it(backend, steps):
    store = valkey(backend.url) if backend.url else backend.store
    world = World(backend, Backend(store, backend.clock), next(KEYS))
    for (verb, number), looks in steps:
        await getattr(world, verb)(number)
        if looks:
            await world.check(world.reader)
    await world.check(world.reader)
    await world.check(world.writer)
    if backend.url:
        await store.aclose()


@pytest.mark.asyncio
@on_a_server
async def test_a_turn_that_went_on_before_one_that_came_back_is_read_anew(backend):
    key = next(KEYS)
    other = Backend(valkey(backend.url))
    world = World(backend, other, key)
    first, second = [await backend.say(one, key) for one in ("first", "second")]
    await world.check(other)
    await world.to(first.id)
    await world.go_on(0)
    await world.to(second.id)
    await world.check(other)
    assert [one.response for one in await backend.store.turns(key)] == ["more", ""]
    await other.store.aclose()


@pytest.mark.asyncio
@on_a_server
async def test_a_turn_that_a_lost_copy_ended_otherwise_is_read_as_the_store_has_it(backend):
    key, prompt = next(KEYS), "p" * 300
    other = Backend(valkey(backend.url))
    await backend.say("first", key)
    hold = await backend.hold(key=key, prompt=prompt, lease=0.2)
    async with client_of(backend.url) as client:
        names = await client.keys(f"*{key.id}*")
        copied = [(name, await client.dump(name), max(0, await client.pttl(name))) for name in names]
        await backend.append(hold, turn_of(hold, prompt, response="The whole answer, to its end"))
        assert (await other.begin("reader", key)).turns[-1].status == "complete"
        await other.store.release(key, "reader")
        for name, value, left in copied:
            await client.restore(name, left, value, replace=True)
    orphan = await backend.when(lambda: backend.store.orphan(key), 0.2)
    cut = turn_of(hold, prompt, response="The whole", status="interrupted")
    assert await backend.store.settle(key, cut, ended(orphan.n, 1), lasting())
    assert (await other.begin("reader", key)).turns[-1] == cut
    await other.store.aclose()


def test_the_session_used_longest_ago_is_forgotten_first():
    known = Known(most=6_000)
    keys = [SessionKey("local", f"s{n}") for n in range(4)]
    said = [dump(turn_of(Hold(key, 1, "holder"), "p" * 100)) for key in keys]
    for key, one in zip(keys[:2], said, strict=False):
        known.grown(key, NONE, b"a", 0, [one])
    known.grown(keys[0], known.line(keys[0]), b"a", 1, [])
    known.grown(keys[2], NONE, b"a", 0, [said[2]])
    known.grown(keys[3], NONE, b"a", 0, [])
    assert [len(known.line(key).turns) for key in keys] == [1, 0, 1, 0]


def test_it_takes_about_as_much_as_it_counts():
    """Also where a text takes four bytes a character for one that is none of ASCII's."""
    known, key = Known(most=2**30), SessionKey("local", "s")
    texts = [f"{n} " + "w" * 20_000 + "🌍" for n in range(50)]
    attached = Attachment("text", "notes.txt", "text/plain", text="n" * 50_000 + "🌍")
    said = [dump(turn(n, one, one, attachments=(attached,))) for n, one in enumerate(texts)]
    gc.collect()
    tracemalloc.start()
    try:
        turns = known.grown(key, NONE, b"a", 0, said)
        conversation(ChatRequest("now?", session_id="s"), turns, Model("lab", "m"), None)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 1.3 * known.line(key).size < 2 * held
