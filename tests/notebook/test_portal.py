"""The portal with plain coroutines: what comes through it, and Ctrl-C at every moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest

from warp_magics import portal as portals
from warp_magics.portal import PlainWaiter, Portal

LONG = 60
QUICK = 10  # the most an interrupt may take here; it takes milliseconds
THREAD = "warp-gateway"


class Source:
    """Yields `items`, then waits for ever; its clean-up takes `clean` seconds, or needs to be cancelled again."""

    def __init__(self, *items, clean=0.0):
        self.items, self.clean = items, clean
        self.waiting = threading.Event()
        self.noted = []

    async def __call__(self):
        try:
            for item in self.items:
                yield item
            self.waiting.set()
            await asyncio.sleep(LONG)
        finally:
            self.noted.append("cancelled")
            await asyncio.sleep(self.clean)
            self.noted.append("cleaned up")


@pytest.fixture
def portal():
    made = Portal()
    yield made
    made.close()
    assert THREAD not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
def ctrl_c():
    """Presses Ctrl-C from another thread as soon as `when` is set, `times` times, `gap` seconds apart."""
    threads = []

    def press(when, times=1, gap=0.0):
        def body():
            if when.wait(QUICK):
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(gap)

        threads.append(threading.Thread(target=body))
        threads[-1].start()

    yield press
    for thread in threads:
        thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@contextlib.contextmanager
def interrupted():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        yield caught
    assert time.monotonic() - began < QUICK
    assert type(caught.value) is KeyboardInterrupt


async def value(what):
    await asyncio.sleep(0)
    return what


async def count(n):
    for i in range(n):
        yield i


def test_a_value(portal):
    assert [portal.call(lambda n=n: value(n)) for n in range(3)] == [0, 1, 2]
    assert portal.call(lambda: value(None)) is None


def test_an_error(portal):
    async def fail():
        raise LookupError("this one")

    with pytest.raises(LookupError, match="this one"):
        portal.call(fail)
    assert portal.call(lambda: value("after")) == "after"


def test_all_calls_run_on_one_loop_of_another_thread(portal):
    async def where():
        return asyncio.get_running_loop(), threading.current_thread()

    first, second = portal.call(where), portal.call(where)
    assert first == second
    assert first[1] is not threading.current_thread()
    assert first[1].name == THREAD


def test_no_thread_before_the_first_use():
    Portal().close()
    assert THREAD not in [thread.name for thread in threading.enumerate()]


def test_a_stream(portal):
    assert list(portal.stream(lambda: count(1000))) == list(range(1000))
    assert list(portal.stream(lambda: count(0))) == []


def test_items_come_when_they_are_made(portal):
    source = Source("first")
    with contextlib.closing(portal.stream(source)) as items:
        assert next(items) == "first"
        assert source.noted == []


def test_an_error_after_the_items(portal):
    async def items():
        yield 1
        raise LookupError("broken")

    stream = portal.stream(items)
    assert next(stream) == 1
    with pytest.raises(LookupError, match="broken"):
        next(stream)
    assert list(stream) == []


def test_a_stream_that_is_cancelled_from_within(portal):
    async def items():
        yield 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        list(portal.stream(items))


def test_items_that_cannot_be_compared(portal):
    class Strict:
        def __eq__(self, other):
            raise AssertionError("compared")

        __hash__ = None

    source = Source(Strict(), Strict(), Strict())
    with contextlib.closing(portal.stream(source)) as items:
        next(items)


def test_an_early_end_cancels_and_waits_for_the_clean_up(portal):
    source = Source(1, 2, 3, clean=0.1)
    with contextlib.closing(portal.stream(source)) as items:
        assert next(items) == 1
    assert source.noted == ["cancelled", "cleaned up"]


def test_an_early_end_before_the_start_and_after_the_end(portal):
    source = Source(1)
    portal.stream(source).close()
    assert source.noted == []
    stream = portal.stream(lambda: count(1))
    assert list(stream) == [0]
    stream.close()


def test_an_early_end_waits_no_longer_than_its_grace(portal, monkeypatch):
    monkeypatch.setattr(portals, "GRACE_SECONDS", 0.1)
    source = Source(1, clean=LONG)
    with contextlib.closing(portal.stream(source)) as items:
        next(items)
    assert source.noted == ["cancelled"]


def test_a_clean_up_that_fails_is_no_error_of_who_left(portal):
    async def items():
        try:
            yield 1
            await asyncio.sleep(LONG)
        finally:
            raise LookupError("in the clean-up")

    with contextlib.closing(portal.stream(items)) as stream:
        next(stream)
    assert portal.call(lambda: value("after")) == "after"


def test_streams_of_one_portal_at_once(portal):
    streams = [portal.stream(lambda: count(5)) for _ in range(3)]
    assert list(zip(*streams, strict=True)) == [(n, n, n) for n in range(5)]


def test_a_lull_yields_its_item_once(portal):
    go_on = threading.Event()

    async def items():
        yield "a"
        yield "b"
        while not go_on.is_set():  # noqa: ASYNC110  # it is set in another thread
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)  # five times the lull
        yield "c"

    seen = []
    for item in portal.stream(items, lull=(0.02, "lull")):
        seen.append(item)
        if seen[-2:] == ["b", "lull"]:
            go_on.set()
    assert seen[seen.index("b") :][:3] == ["b", "lull", "c"]
    assert list(portal.stream(lambda: count(3), lull=(LONG, -1))) == [0, 1, 2]


def test_ctrl_c_during_a_call(portal, ctrl_c):
    source = Source(clean=0.05)

    async def call():
        async with contextlib.aclosing(source()) as items:
            async for _ in items:
                pass

    ctrl_c(source.waiting)
    with interrupted() as caught:
        portal.call(call)
    assert source.noted == ["cancelled", "cleaned up"]
    assert caught.value._render_traceback_() == ["KeyboardInterrupt: stopped; what had come stays."]
    assert portal.call(lambda: value("after")) == "after"


def test_ctrl_c_during_a_stream(portal, ctrl_c):
    source = Source(1, 2, clean=0.05)
    ctrl_c(source.waiting)
    seen = []
    with interrupted():
        seen.extend(portal.stream(source))
    assert source.noted == ["cancelled", "cleaned up"]


def test_ctrl_c_raised_in_this_very_thread(portal):
    source = Source(1)
    with contextlib.closing(portal.stream(source)) as items:
        next(items)
        timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with interrupted():
            next(items)
        timer.join()
    assert source.noted == ["cancelled", "cleaned up"]


def test_ctrl_c_in_the_callers_own_code(portal):
    source = Source(1, 2)
    with interrupted(), contextlib.closing(portal.stream(source)) as items:
        for _ in items:
            signal.raise_signal(signal.SIGINT)
    assert source.noted == ["cancelled", "cleaned up"]


def test_a_second_ctrl_c_does_not_wait_for_the_clean_up(portal, ctrl_c, monkeypatch):
    monkeypatch.setattr(portals, "GRACE_SECONDS", LONG)
    source = Source(clean=LONG)
    cleaning = threading.Event()
    source.noted = type("", (list,), {"append": lambda self, item: (list.append(self, item), cleaning.set())})()
    ctrl_c(source.waiting)
    ctrl_c(cleaning)
    with interrupted():
        list(portal.stream(source))
    assert source.noted == ["cancelled"]


@pytest.mark.parametrize("gap", [0.0, 0.001, 0.005])
def test_a_storm_of_ctrl_c_ends_as_one(portal, ctrl_c, gap):
    source = Source(1, clean=0.02)
    ctrl_c(source.waiting, 3, gap)
    # Those that come after the end are the caller's; here they may hit the test itself.
    with interrupted():
        list(portal.stream(source))
        time.sleep(QUICK)
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(0.05)
    assert portal.call(lambda: value("after")) == "after"


def test_ctrl_c_while_an_early_end_cleans_up_is_not_lost(portal, ctrl_c):
    source = Source(1, clean=0.3)
    cleaning = threading.Event()
    source.noted = type("", (list,), {"append": lambda self, item: (list.append(self, item), cleaning.set())})()
    ctrl_c(cleaning)
    items = portal.stream(source)
    next(items)
    with interrupted():
        items.close()


def test_an_ordinary_end_leaves_the_handler_as_it_was_at_once(portal, monkeypatch):
    monkeypatch.setattr(portals, "_in_kernel", lambda: True)
    assert portal.call(lambda: value(1)) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with contextlib.closing(portal.stream(Source(1))) as items:
        next(items)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_a_kernel_a_late_ctrl_c_is_the_same_one(portal, monkeypatch):
    monkeypatch.setattr(portals, "_in_kernel", lambda: True)
    monkeypatch.setattr(portals, "QUIET_SECONDS", 0.2)
    with contextlib.closing(portal.stream(Source(1))) as items:
        next(items)
        threading.Timer(0.02, signal.raise_signal, [signal.SIGINT]).start()
        try:
            with interrupted():
                next(items)
            ended = time.monotonic()
            signal.raise_signal(signal.SIGINT)  # swallowed
            assert time.monotonic() - ended < 0.2, "too loaded a machine to tell"
            time.sleep(0.2)
            with interrupted():
                signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def test_somebody_elses_handler_is_put_back(portal):
    hits = []
    mine = signal.signal(signal.SIGINT, lambda *_: hits.append(1))
    try:
        handler = signal.getsignal(signal.SIGINT)
        assert portal.call(lambda: value(1)) == 1
        assert signal.getsignal(signal.SIGINT) is handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert portal.call(lambda: value(1)) == 1
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, mine)


def test_from_another_thread(portal):
    def body():
        found.append(portal.call(lambda: value("there")))
        with contextlib.closing(portal.stream(source)) as items:
            found.append(next(items))

    found, source = [], Source("item")
    thread = threading.Thread(target=body)
    thread.start()
    thread.join(QUICK)
    assert found == ["there", "item"]
    assert source.noted == ["cancelled", "cleaned up"]


def test_many_threads_share_it(portal):
    found = queue.SimpleQueue()
    threads = [threading.Thread(target=lambda n=n: found.put(portal.call(lambda: value(n)))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(QUICK)
    assert sorted(found.get_nowait() for _ in threads) == list(range(20))


def test_inside_a_running_loop(portal):
    async def main():
        ticks = asyncio.create_task(asyncio.sleep(0, "ticked"))
        assert portal.call(lambda: value("inside")) == "inside"
        assert list(portal.stream(lambda: count(3))) == [0, 1, 2]
        return await ticks

    assert asyncio.run(main()) == "ticked"


def test_ctrl_c_inside_a_running_loop(portal, ctrl_c):
    source = Source()
    ctrl_c(source.waiting)

    async def main():
        with interrupted():
            list(portal.stream(source))
        return "goes on"

    with asyncio.Runner() as runner:
        assert runner.run(main()) == "goes on"
    assert source.noted == ["cancelled", "cleaned up"]


def test_close_runs_the_last_on_the_same_loop():
    portal, seen = Portal(), []

    async def where():
        seen.append(asyncio.get_running_loop())

    portal.call(where)
    portal.close(where)
    assert seen[0] is seen[1]
    portal.close(where)
    assert len(seen) == 2
    assert THREAD not in [thread.name for thread in threading.enumerate()]


def test_close_ends_the_thread_though_the_last_fails():
    async def fail():
        raise LookupError("at the end")

    portal = Portal()
    portal.call(lambda: value(1))
    with pytest.raises(LookupError, match="at the end"):
        portal.close(fail)
    assert THREAD not in [thread.name for thread in threading.enumerate()]


def test_what_hangs_at_the_end_does_not_hold_up_who_closes(monkeypatch):
    monkeypatch.setattr("warp_magics.portal.CLOSE_SECONDS", 0.2)
    go_on = threading.Event()

    async def hang():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)
        await asyncio.to_thread(go_on.wait)

    portal = Portal()
    closing = threading.Thread(target=portal.close, args=(hang,), daemon=True)
    portal.call(lambda: asyncio.sleep(0))
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    go_on.set()


def test_a_closed_portal_opens_again():
    portal = Portal()
    for _ in range(2):
        assert portal.call(lambda: value(1)) == 1
        portal.close()


def test_the_way_of_waiting_is_asked_for_each_call_and_closed():
    class Waiter(PlainWaiter):
        closed = 0

        def close(self):
            type(self).closed += 1

    portal = Portal(Waiter)
    portal.call(lambda: value(1))
    with contextlib.closing(portal.stream(Source(1))) as items:
        next(items)
    portal.close()
    assert Waiter.closed == 2


def test_a_process_that_ends_in_mid_stream_ends():
    script = (
        "import asyncio\nfrom warp_magics.portal import Portal\nportal = Portal()\nasync def items():\n    yield 1\n"
        "    await asyncio.sleep(60)\nstream = portal.stream(items)\nprint(next(stream))\nstream.close()\nportal.close()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
