"""An answer that a cell began outlives its kernel, and a cell's reading outlives the gateway it reads from."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.provider import FakeProvider, Reply
from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import running_server, server_binaries
from tests.notebook.kernel import KEY, Kernel, home
from tests.notebook.test_server_gateway import NO_KEY, TOML, ServedKernel
from tests.server.alone_process import AloneProcess, running_alone
from tests.server.process import poll, running_jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.server.process import JupyterProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

PATIENCE = 10.0
"""Seconds for what takes one on a machine that has the time for it."""
ORPHANED = 40.0
"""Seconds for what takes ten: that a gateway has died is noticed by its silence."""
numbers = itertools.count()


class Served(ServedKernel):
    """One that is not given up while it starts on a loaded machine, with the stop button of a front end."""

    def __init__(self, server: JupyterProcess, folder: Path) -> None:
        super().__init__(server, folder / "one", NO_KEY)
        self.manager._owns_kernel = False  # else a reply that takes over a second is a kernel's death

    def restart(self) -> None:
        self._rest.post(f"kernels/{self._id}/restart", timeout=60).raise_for_status()

    def interrupt(self) -> float:
        at = time.monotonic()
        self._rest.post(f"kernels/{self._id}/interrupt").raise_for_status()
        return at


def saying(lab: FakeProvider, *chunks: object) -> str:
    """A model that says these; an event among them holds it up."""
    name = f"survivor@{next(numbers)}"
    lab.script(name, Reply(chunks=chunks))
    return name


def texts(ran) -> list[str]:
    """What stays on the screen of answers."""
    return [one["data"]["text/plain"] for one in ran.shown if "text/markdown" in one["data"]]


def turns(rest: httpx.Client, session: str) -> list[tuple[str, str, str]]:
    found = rest.get(f"sessions/{session}/history").raise_for_status().json()["turns"]
    return [(turn["prompt"], turn["status"], turn["response"]) for turn in found]


def note(record_property, **seconds: float) -> None:
    """Tell how long a stop took; it is the time-out that judges, a loaded machine's seconds are not ours."""
    for what, took in seconds.items():
        record_property(what, took)
        sys.stdout.write(f"{what}: {1000 * took:.0f} ms\n")


# -- the kernel goes, the server stays


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(lab, folder):
    (folder / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    env = {"WARP_CONFIG": str(folder / "warp.toml"), "LAB_API_KEY": KEY}
    with running_jupyter(folder / "one", env) as process:
        yield process


@pytest.fixture
def rest(server):
    with server.client() as client:
        yield client


def test_an_answer_is_finished_after_its_kernel_was_killed(server, folder, lab, rest):
    go = threading.Event()
    session, model = f"k{next(numbers)}", saying(lab, "one ", "two ", go, "three")
    with Served(server, folder) as kernel:
        pid = kernel.value("os.getpid()")
        cell = kernel.start(f"%%warp --session {session} --model lab:{model}\ncount")
        kernel.until_text(cell, "one two")
        os.kill(pid, signal.SIGKILL)
        poll(lambda: dead(pid), PATIENCE)
        live = rest.get(f"sessions/{session}").json()["liveStreamId"]
        assert live == f"{session}~1"
        assert lab.calls(model)[0].disconnected_at is None
    go.set()
    poll(lambda: turns(rest, session), PATIENCE)
    assert turns(rest, session) == [("count", "complete", "one two three")]
    with Served(server, folder) as kernel:
        assert "one two three" in str(kernel.run(f"%warp history {session}").shown)
        ran = kernel.run(f"%%warp -s {session} -m lab:ok\nand then?")
        assert texts(ran) == ["You said 'and then?' in message 3."]


def test_an_answer_is_finished_after_its_kernel_was_restarted(server, folder, lab, rest):
    """A restart begins with an interrupt, and is none."""
    go = threading.Event()
    session, model = f"r{next(numbers)}", saying(lab, "one ", "two ", go, "three")
    with Served(server, folder) as kernel:
        cell = kernel.start(f"%%warp --session {session} --model lab:{model}\ncount")
        kernel.until_text(cell, "one two")
        kernel.restart()
        assert rest.get(f"sessions/{session}").json()["liveStreamId"] == f"{session}~1"
    go.set()
    poll(lambda: turns(rest, session), PATIENCE)
    assert turns(rest, session) == [("count", "complete", "one two three")]


def dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("words", [["one ", "two "], []])
def test_an_interrupt_stops_the_answer_at_the_server(  # noqa: PLR0917
    server, folder, lab, rest, words, record_property
):
    session, model = f"i{next(numbers)}", saying(lab, *words, threading.Event())
    with Served(server, folder) as kernel:
        cell = kernel.start(f"%%warp --session {session} --model lab:{model}\ncount")
        lab.wait_until(lambda: lab.calls(model), PATIENCE)
        if words:
            kernel.until_text(cell, "one two")
        pressed = kernel.interrupt()
        ran = kernel.wait(cell, PATIENCE)
        lab.wait_until(lambda: lab.calls(model)[0].disconnected_at, PATIENCE)
        note(record_property, kernel=ran.replied_at - pressed, provider=lab.calls(model)[0].disconnected_at - pressed)
        assert ran.reply["ename"] == "KeyboardInterrupt"
        assert texts(ran) == (["one two "] if words else [])
        poll(lambda: turns(rest, session), PATIENCE)
        assert turns(rest, session) == [("count", "stopped", "".join(words))]
        assert rest.get(f"sessions/{session}").json()["liveStreamId"] is None
        assert texts(kernel.run(f"%%warp -s {session} -m lab:ok\nagain"))[0].startswith("You said 'again' in message")


# -- the gateway goes, the kernel stays


@pytest.fixture(scope="module")
def store():
    binaries = server_binaries()
    if not binaries:
        pytest.skip("no Valkey or Redis on this machine")
    with running_server(next(iter(binaries.values()))) as running:
        yield running


@pytest.fixture
def place(lab, store):
    """What gateways and kernels share: here only the store is one, and the kernel has no key of its own."""
    with home(lab, extra=f'[storage]\ntype = "valkey"\nurl = "{store.url}"\n') as made:
        yield made


@contextlib.contextmanager
def instances(place, count: int) -> Iterator[list[AloneProcess]]:
    """Gateways of one token."""
    with contextlib.ExitStack() as stack:
        found: list[AloneProcess] = []
        for n in range(count):
            folder = place.root / f"alone{n}"
            folder.mkdir()
            if found:
                (folder / "token").touch(0o600)
                (folder / "token").write_text(found[0].token)
            found.append(stack.enter_context(running_alone(folder, place.env)))
        yield found


def kernel_at(place, token: str, *urls: str) -> Kernel:
    env = {name: value for name, value in place.env.items() if name not in ("LAB_API_KEY", "WARP_CONFIG")}
    return Kernel(type(place)(place.root, env | {"WARP_GATEWAY_URL": " ".join(urls), "WARP_GATEWAY_TOKEN": token}))


def test_a_cell_reads_on_at_the_other_instance_and_gets_nothing_twice(place, lab):
    go, on = threading.Event(), threading.Event()
    session, model = f"g{next(numbers)}", saying(lab, "one ", "two ", go, "three ", on, "four")
    with instances(place, 2) as (maker, other), StoreProxy(maker.url) as line:
        first = f"http://127.0.0.1:{line.port}/warp"
        with kernel_at(place, maker.token, first, other.url) as kernel, maker.client() as rest:
            cell = kernel.start(f"%%warp -s {session} -m lab:{model} -o reply\ncount")
            kernel.until_text(cell, "one two")
            line.refuse()  # the instance that makes the answer is out of the kernel's sight
            go.set()
            kernel.until_text(cell, "three", ORPHANED)
            other.kill()  # and now the one it read on at
            line.back()
            on.set()
            ran = kernel.wait(cell, ORPHANED)
            assert texts(ran) == ["one two three four"]
            assert kernel.value("reply.text") == "one two three four"
            assert turns(rest, session) == [("count", "complete", "one two three four")]
    assert len(lab.calls(model)) == 1


def test_an_answer_whose_maker_was_killed_keeps_its_part_and_the_next_is_made_elsewhere(place, lab):
    session, model = f"g{next(numbers)}", saying(lab, "one ", "two ", threading.Event())
    with instances(place, 2) as (one, two), kernel_at(place, one.token, one.url, two.url) as kernel:
        cell = kernel.start(f"%%warp -s {session} -m lab:{model}\ncount")
        kernel.until_text(cell, "one two")
        one.kill()
        ran = kernel.wait(cell, ORPHANED)
        assert ran.reply["ename"] == "Interrupted"
        assert texts(ran) == ["one two "]
        with two.client() as rest:
            assert turns(rest, session) == [("count", "interrupted", "one two ")]
        ran = kernel.run(f"%%warp -s {session} -m lab:ok\nand then?")
        assert texts(ran) == ["You said 'and then?' in message 3."]
        with running_alone(place.root / "alone0", place.env, port=one.port) as again:
            assert again.url == one.url
            two.kill()
            ran = kernel.run(f"%%warp -s {session} -m lab:ok\nstill there?")
            assert texts(ran) == ["You said 'still there?' in message 5."]
    assert len(lab.calls(model)) == 1


def test_a_gateway_that_comes_back_at_its_port_tells_what_became_of_the_answer(place, lab):
    session, model = f"g{next(numbers)}", saying(lab, "one ", "two ", threading.Event())
    with instances(place, 1) as (alone,), kernel_at(place, alone.token, alone.url) as kernel:
        cell = kernel.start(f"%%warp -s {session} -m lab:{model}\ncount")
        kernel.until_text(cell, "one two")
        alone.kill()
        with running_alone(place.root / "alone0", place.env, port=alone.port) as again, again.client() as rest:
            ran = kernel.wait(cell, ORPHANED)
            assert ran.reply["ename"] == "Interrupted"
            assert texts(ran) == ["one two "]
            assert turns(rest, session) == [("count", "interrupted", "one two ")]
            assert texts(kernel.run(f"%%warp -s {session} -m lab:ok\nagain")) == ["You said 'again' in message 3."]
    assert len(lab.calls(model)) == 1


def test_a_prompt_whose_gateway_dies_before_the_first_word_is_asked_once_and_told_of(place, lab):
    session, model = f"g{next(numbers)}", f"hang@{next(numbers)}"
    with instances(place, 2) as (one, two), kernel_at(place, one.token, one.url, two.url) as kernel:
        cell = kernel.start(f"%%warp -s {session} -m lab:{model}\ncount")
        lab.wait_until(lambda: lab.calls(model), PATIENCE)
        one.kill()
        ran = kernel.wait(cell, ORPHANED)
        assert ran.reply["ename"] == "Interrupted"
        assert texts(ran) == []
        with two.client() as rest:
            assert turns(rest, session) == [("count", "failed", "")]
        assert texts(kernel.run(f"%%warp -s {session} -m lab:ok\nagain")) == ["You said 'again' in message 1."]
    assert len(lab.calls(model)) == 1


def test_an_interrupt_at_the_other_instance_stops_the_answer_where_it_is_made(place, lab, record_property):
    go = threading.Event()
    session, model = f"g{next(numbers)}", saying(lab, "one ", "two ", go, "three ", threading.Event())
    with instances(place, 2) as (maker, other), StoreProxy(maker.url) as line:
        first = f"http://127.0.0.1:{line.port}/warp"
        with kernel_at(place, maker.token, first, other.url) as kernel, maker.client() as rest:
            cell = kernel.start(f"%%warp -s {session} -m lab:{model}\ncount")
            kernel.until_text(cell, "one two")
            line.refuse()
            go.set()
            kernel.until_text(cell, "three", ORPHANED)
            pressed = kernel.interrupt()
            ran = kernel.wait(cell, PATIENCE)
            assert ran.reply["ename"] == "KeyboardInterrupt"
            lab.wait_until(lambda: lab.calls(model)[0].disconnected_at, PATIENCE)
            note(
                record_property, kernel=ran.replied_at - pressed, provider=lab.calls(model)[0].disconnected_at - pressed
            )
            poll(lambda: turns(rest, session), PATIENCE)
            assert turns(rest, session) == [("count", "stopped", "one two three ")]
