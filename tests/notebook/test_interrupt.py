"""The stop button and Ctrl-C, in a real kernel in both modes and in a terminal."""

from __future__ import annotations

import itertools
import os
import sys
import time

import pytest

from tests.fakes.store_proxy import StoreProxy
from tests.fakes.valkey_server import running_server, server_binaries
from tests.notebook.kernel import Kernel, home

pytestmark = [pytest.mark.alone, pytest.mark.slow]

PROMISED = 1.0
"""Seconds in which an interrupt is over, on a machine that has the time for it."""
PATIENCE = 10 * PROMISED
numbers = itertools.count()

SOURCE = """
import asyncio, contextlib, signal, time
from warp_magics.connect import connection
rec = []
def source(clean):
    async def items():
        rec.clear()
        try:
            yield "first"
            await asyncio.sleep(60)
        finally:
            rec.append("cancelled")
            print("cleaning", flush=True)
            await asyncio.sleep(clean)
            rec.append("clean")
    return items
def go(clean=0, body=0):
    with contextlib.closing(connection().portal.stream(source(clean))) as found:
        for item in found:
            print(item, flush=True)
            time.sleep(body)
"""


@pytest.fixture(params=["kernel", "keeping"])
def either(request) -> Kernel:
    """The kernel in both modes."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def measured(record_property):
    """Notes how long an interrupt took; it is the time-out that judges, a loaded machine's seconds are not ours."""

    def note(what: str, pressed: float, over: float) -> None:
        record_property(what, over - pressed)
        sys.stdout.write(f"{what}: {1000 * (over - pressed):.0f} ms\n")

    return note


def fine(kernel: Kernel) -> None:
    """The next cells work, synchronous and asynchronous ones."""
    assert kernel.value("1 + 1") == 2
    assert kernel.run("import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')").stream() == "awaited\n"
    assert "You said" in str(kernel.run("%%warp --model lab:ok\nhello").shown[0])


def stopped(ran) -> None:
    assert ran.status == "error"
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert len(ran.reply["traceback"]) <= 2  # what happened, and what to do
    assert "portal.py" not in ran.everything


@pytest.mark.parametrize("behaviour", ["hang", "stall-first"])
def test_a_silent_provider_is_left(either, lab, behaviour, measured):
    session, model = f"i{next(numbers)}", f"{behaviour}@{next(numbers)}"
    cell = either.start(f"%%warp --session {session} --model lab:{model}\nare you there?")
    either.until(lambda: lab.calls(model))
    pressed = either.interrupt()
    ran = either.wait(cell, PATIENCE)
    measured("reply", pressed, ran.replied_at)
    stopped(ran)
    lab.wait_until(lambda: lab.calls(model)[0].disconnected_at, PATIENCE)
    measured("provider", pressed, lab.calls(model)[0].disconnected_at)
    assert ran.displays == []
    assert "stopped" in str(either.run(f"%warp history {session}").shown)
    fine(either)


def test_the_part_answered_is_kept_and_stays_on_display(either, lab, measured):
    session, model = f"i{next(numbers)}", f"silent-3@{next(numbers)}"
    cell = either.start(f"%%warp -s {session} -m lab:{model}\ntell me", cell="part")
    either.until_text(cell, "You said 'tell")
    pressed = either.interrupt()
    ran = either.wait(cell, PATIENCE)
    measured("reply", pressed, ran.replied_at)
    stopped(ran)
    lab.wait_until(lambda: lab.calls(model)[0].disconnected_at, PATIENCE)
    measured("provider", pressed, lab.calls(model)[0].disconnected_at)
    shown, route = ran.shown
    assert shown["data"]["text/markdown"] == "You said 'tell"
    assert shown["metadata"]["warp"]["result"] == "INCOMPLETE_STOPPED"
    assert route["data"]["text/plain"].startswith(f"lab:{model} · ")
    assert route["data"]["text/plain"].endswith("stopped")
    (row,) = either.run(f"history = %warp history {session}\nprint(history.rows[0])").stream().splitlines()
    assert "You said 'tell [stopped" in row
    answered = either.run(f"%%warp -s {session} -m lab:ok\ngo on").shown[0]["data"]["text/plain"]
    assert "message 3" in answered  # what was stopped is a part of the conversation
    fine(either)


@pytest.mark.parametrize("gaps", [(0.002,), (0.02,), (0.06,), (0.002, 0.002), (0.01,) * 10], ids=str)
def test_pressed_again_and_again_the_cell_still_has_its_reply(either, lab, gaps, measured):
    model = f"silent-1@{next(numbers)}"
    cell = either.start(f"%%warp -s i{next(numbers)} -m lab:{model}\nhello")
    either.until_text(cell, "You")
    pressed = time.monotonic()
    for gap in (0.0, *gaps):
        time.sleep(gap)
        either.sigint()
    ran = either.wait(cell, PATIENCE)
    measured("reply", pressed, ran.replied_at)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert ran.shown[0]["data"]["text/plain"] == "You"
    lab.wait_until(lambda: lab.calls(model)[0].disconnected_at, PATIENCE)
    fine(either)


@pytest.mark.parametrize(("clean", "done"), [(0.3, True), (30, False)])
def test_the_clean_up_has_its_time_and_no_more(either, clean, done, measured):
    either.run(f"%warp models\n{SOURCE}")
    cell = either.start(f"go({clean})")
    either.until_text(cell, "first")
    pressed = either.interrupt()
    ran = either.wait(cell, PATIENCE)
    measured("reply", pressed, ran.replied_at)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert either.value("rec") == ["cancelled", "clean"][: 1 + done]
    fine(either)


def test_an_interrupt_during_the_clean_up_does_not_wait_for_it(either, measured):
    either.run(f"%warp models\n{SOURCE}")
    cell = either.start("import warp_magics.portal as p\np.GRACE_SECONDS = 60\ngo(60)")
    either.until_text(cell, "first")
    either.interrupt()
    either.until_text(cell, "cleaning")
    assert either.reply(cell) is None
    pressed = either.interrupt()
    ran = either.wait(cell, PATIENCE)
    measured("reply", pressed, ran.replied_at)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    either.run(f"p.GRACE_SECONDS = {0.8}")
    fine(either)


def test_the_callers_own_code_is_interrupted_as_ever(either):
    either.run(f"%warp models\n{SOURCE}")
    cell = either.start("go(0, 60)")
    either.until_text(cell, "first")
    either.poll(0.1)
    either.interrupt()
    assert either.wait(cell, PATIENCE).reply["ename"] == "KeyboardInterrupt"
    assert either.value("rec") == ["cancelled", "clean"]
    fine(either)


def test_the_handler_is_as_before_and_an_interrupt_after_a_caught_one_works(either):
    code = "get_ipython().run_cell_magic('warp', '-m lab:{}', 'hello')"
    ask, hang = code.format("ok"), code.format(f"silent-1@{next(numbers)}")
    assert (
        either.run(f"import signal\n{ask}\nprint(signal.getsignal(2) is signal.default_int_handler)").stream()
        == "True\n"
    )
    body = f"try:\n    {hang}\nexcept KeyboardInterrupt:\n    time.sleep(0.3)\n    print('caught', flush=True)\n    time.sleep(60)"
    cell = either.start(f"import time\n{body}")
    either.until_text(cell, "You")
    either.interrupt()
    either.until_text(cell, "caught", PATIENCE)
    either.interrupt()
    assert either.wait(cell, PATIENCE).reply["ename"] == "KeyboardInterrupt"
    fine(either)


def test_cells_that_wait_behind_an_interrupted_one(either):
    first = either.start(f"%%warp -m lab:hang@{next(numbers)}\nhello", stop_on_error=True)
    either.poll(0.2)
    rest = [either.start(f"print({n})") for n in range(3)]
    either.poll(0.1)
    either.interrupt()
    assert either.wait(first, PATIENCE).reply["ename"] == "KeyboardInterrupt"
    assert {either.wait(one, PATIENCE).status for one in rest} <= {"aborted", "ok"}  # each has its reply
    fine(either)


def test_a_frozen_store_does_not_hold_an_interrupt_up(lab, measured):
    storage = '[storage]\ntype = "valkey"\nurl = "{}"\n'
    with (
        running_server(next(iter(server_binaries().values()))) as server,
        StoreProxy(server.url) as proxy,
        home(lab, extra=storage.format(proxy.url)) as place,
        Kernel(place) as kernel,
    ):
        model = f"silent-2@{next(numbers)}"
        cell = kernel.start(f"%%warp -s frozen -m lab:{model}\nhello you")
        kernel.until_text(cell, "You said")
        proxy.freeze()
        pressed = kernel.interrupt()
        ran = kernel.wait(cell, PATIENCE)
        measured("reply", pressed, ran.replied_at)
        stopped(ran)
        assert ran.shown[0]["data"]["text/plain"] == "You said"
        proxy.back()
        kernel.until(lambda: "stopped" in str(kernel.run("%warp history frozen", ok=False).shown), PATIENCE)


@pytest.mark.parametrize("keep", [False, True])
def test_a_terminal_prints_as_it_comes_and_ctrl_c_stops_it(lab, place, keep, measured):
    pexpect = pytest.importorskip("pexpect")
    its = place.profile(f"c.WarpMagics.keep_kernel_loop = {keep}")
    command = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--no-confirm-exit"]
    shell = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=30, env=its.env | {"TERM": "dumb"})
    session, model, prompt = f"t{next(numbers)}", f"silent-3@{next(numbers)}", r"In \[\d+\]: "
    try:
        shell.expect(prompt)
        shell.sendline("%load_ext warp_magics")
        shell.expect(prompt)
        for line in (f"%%warp -s {session} -m lab:{model}", "tell me", "", ""):
            shell.sendline(line)
        shell.expect("You said 'tell")  # while the provider is still at it
        assert lab.calls(model)[0].ended_at is None
        pressed = time.monotonic()
        shell.sendintr()
        shell.expect("KeyboardInterrupt: stopped; what had come stays")
        shell.expect(prompt)
        measured("prompt", pressed, time.monotonic())
        lab.wait_until(lambda: lab.calls(model)[0].disconnected_at, PATIENCE)
        shell.sendline(f"%warp history {session}")
        shell.expect(r"You said 'tell \[stopped\]")
        shell.expect(prompt)
        shell.sendline("import signal; print('as', 'before', signal.getsignal(2) is signal.default_int_handler)")
        shell.expect("as before True")
        for line in (f"%%warp -s {session} -m lab:ok", "again", "", ""):
            shell.sendline(line)
        shell.expect("You said 'again' in message 3.\r?\n")
        shell.expect("lab:ok · first token")
        shell.expect(prompt)
        shell.sendline("exit")
        shell.expect(pexpect.EOF)
    finally:
        shell.close(force=True)
    assert os.waitstatus_to_exitcode(shell.status) == 0
