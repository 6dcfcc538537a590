"""Laws of `stores.base.Store` over every back end: the queue, the log and the numbers, whatever comes in what order."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stores.backends import lasting, texts, turn_of
from warp_magics.gateway.errors import StreamNotFound
from warp_magics.gateway.stores.base import TICKET_SECONDS, Begun, Hold, Orphan, Waiting
from warp_magics.gateway.types import SessionKey

KEYS = (SessionKey("laws", f"s{n}") for n in itertools.count())  # each example has a session of its own
LEASE = TICKET_SECONDS / 2
lawful = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Line:
    """People who want a session. Those who wait keep asking, unless they left or died."""

    def __init__(self, backend):
        self.backend, self.key = backend, next(KEYS)
        self.waiting, self.ghosts = [], set()
        self.hold, self.served = None, 0

    async def ask(self, who):
        if who in self.ghosts or (self.hold and self.hold.holder == who):
            return
        said = await self.backend.begin(who, self.key, lease=LEASE if self.backend.clock else 30.0)
        if isinstance(said, Orphan):
            self.note(who)
            cut = turn_of(self.hold)
            assert await self.backend.store.settle(self.key, cut, texts(self.hold.n, 1)[0], lasting())
            self.hold = None
            said = await self.backend.begin(who, self.key, lease=LEASE)
        if isinstance(said, Begun):
            assert self.hold is None
            assert self.waiting in ([], [who, *self.waiting[1:]]), "somebody else came first"
            self.waiting = self.waiting[1:]
            self.hold = Hold(self.key, said.n, who)
            return
        assert isinstance(said, Waiting)
        self.note(who)
        ahead = self.waiting.index(who)
        assert ahead < said.position <= ahead + 1 + len(self.ghosts)
        assert self.hold or said.position > 1

    def note(self, who):
        if who not in self.waiting:
            self.waiting.append(who)

    async def end(self):
        if self.hold and self.hold.holder not in self.ghosts:
            await self.backend.append(self.hold)
            self.hold, self.served = None, self.served + 1

    async def leave(self, who):
        if who in self.waiting:
            await self.backend.store.release(self.key, who)
            self.waiting.remove(who)
        elif self.hold and self.hold.holder == who and who not in self.ghosts:
            await self.backend.store.release(self.key, who)
            self.hold = None

    async def die(self, who):
        if self.backend.clock and (who in self.waiting or (self.hold and self.hold.holder == who)):
            self.ghosts.add(who)
            self.waiting = [one for one in self.waiting if one != who]

    async def go_on(self):
        """A moment passes: the holder renews, and those who wait ask once more, the last first."""
        if self.backend.clock:
            self.backend.clock.now += LEASE * 0.75
        if self.hold and self.hold.holder not in self.ghosts:
            assert await self.backend.store.renew(self.hold, lasting(lease=LEASE)) == "held"
        for who in reversed(list(self.waiting)):
            await self.ask(who)


PEOPLE = st.sampled_from("abc")
STEPS = st.one_of(
    st.tuples(st.sampled_from(["ask", "ask", "leave", "die"]), PEOPLE),
    st.just(("end",)),
    st.just(("go_on",)),
)


@pytest.mark.asyncio
@given(steps=st.lists(STEPS, min_size=12, max_size=40))
@lawful
async def test_of_those_who_keep_asking_who_came_first_is_served_first(backend, steps):
    line, names = Line(backend), {}
    for verb, *who in steps:
        # Who was served or has died comes again as another: a holder is one try at one turn.
        names |= {one: f"{one}{len(names)}.{line.served}" for one in who if is_over(line, names.get(one))}
        await getattr(line, verb)(*(names[one] for one in who))
    due = list(line.waiting)
    served = []
    for _ in range(10 + 4 * len(due)):
        await line.end()
        await line.go_on()
        if line.hold and line.hold.holder in due and line.hold.holder not in served:
            served.append(line.hold.holder)
    assert served == due
    assert not line.waiting


def is_over(line, holder):
    return holder is None or not (holder in line.waiting or (line.hold and line.hold.holder == holder))


@pytest.mark.asyncio
@given(batches=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), max_size=20))
@lawful
async def test_however_batches_are_sent_the_log_is_the_same(backend, batches):
    hold = await backend.hold(key=next(KEYS))
    have = 0
    for first, size in batches:
        if first <= have + 1:
            have = max(have, first + size - 1)
        said = await backend.store.log(hold, texts(hold.n, *range(first, first + size)), lasting())
        assert said.last == have
    for after in range(have + 1):
        found = await backend.store.logged(hold.key, hold.n, after)
        assert found.events == tuple(texts(hold.n, *range(after + 1, have + 1)))


@pytest.mark.asyncio
@given(steps=st.lists(st.sampled_from(["say", "release", "delete", "make", "expire", "orphan"]), max_size=15))
@lawful
async def test_no_number_is_given_twice(backend, steps):
    key, given_out = next(KEYS), [0]
    for step in steps:
        if step == "delete" and not await backend.missing(key):
            await backend.store.delete(key)
        elif step == "make" and await backend.missing(key):
            await backend.store.create(key, lasting())
        elif step == "expire" and backend.clock:
            await backend.pass_by(3600)
        elif step == "orphan" and backend.clock:
            hold = await backend.die(key)
            given_out.append(hold.n)
            await backend.store.settle(key, turn_of(hold), texts(hold.n, 1)[0], lasting())
        elif step in ("say", "release"):
            hold = await backend.hold(key=key)
            given_out.append(hold.n)
            await (backend.append(hold) if step == "say" else backend.store.release(key, hold.holder))
            with pytest.raises(StreamNotFound):
                await backend.store.logged(key, hold.n, 0)
    assert given_out == sorted(set(given_out))
