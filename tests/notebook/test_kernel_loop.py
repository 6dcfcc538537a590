"""`c.WarpMagics.keep_kernel_loop`: what a kernel is sent while a cell waits for its answer."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.notebook.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

numbers = itertools.count()
OTHERS = {
    "complete_request": {"code": "impor", "cursor_pos": 5},
    "inspect_request": {"code": "print", "cursor_pos": 5, "detail_level": 0},
    "history_request": {"hist_access_type": "tail", "n": 1, "output": False, "raw": True},
    "kernel_info_request": {},
    "comm_info_request": {},
    "is_complete_request": {"code": "1 +"},
}
TARGET = """
from comm import get_comm_manager
from warp_magics import Warp
order, waiting, said = [], False, []
def target(comm, message):
    @comm.on_msg
    def _(message):
        data = message["content"]["data"]
        if "ask" in data:
            said.append(Warp().ask("from a callback", model=data["ask"]).text)
        elif "cell" in data:
            get_ipython().run_cell_magic("warp", "-m " + data["cell"], "from a callback")
            said.append("shown")
        elif "fail" in data:
            raise ValueError("a callback's own")
        else:
            order.append((data["i"], waiting))
            print("called", data["i"])
            comm.send({"echo": data["i"]})
get_comm_manager().register_target("test", target)
"""
ASK = (
    "waiting = True\nget_ipython().run_cell_magic('warp', '-m lab:{}', 'hello')\nwaiting = False\norder.append('cell')"
)


class Front:
    """A front end with a comm open."""

    def __init__(self, kernel: Kernel, lab) -> None:
        self.kernel, self.lab = kernel, lab
        self.comm = f"comm{next(numbers)}"
        self.model = f"silent-1@loop{next(numbers)}"
        kernel.run(f"%warp models\n{TARGET}")
        kernel.send("comm_open", {"comm_id": self.comm, "target_name": "test", "data": {}})
        kernel.run("0")

    def ask(self) -> str:
        """Start a cell that waits until `released`."""
        cell = self.kernel.start(ASK.format(self.model))
        self.kernel.until_text(cell, "You")
        return cell

    def release(self) -> None:
        """Let the provider finish all its answers."""
        self.lab.wait_until(lambda: self.lab.release() or all(call.ended_at for call in self.lab.requests), 20)

    def tell(self, **data) -> str:
        return self.kernel.send("comm_msg", {"comm_id": self.comm, "data": data})

    def echoes(self) -> list[int]:
        mine = [m["content"] for m in self.kernel.messages if m["msg_type"] == "comm_msg"]
        return [one["data"]["echo"] for one in mine if one["comm_id"] == self.comm]

    def states(self, msg_id: str) -> list[str]:
        return [m["content"]["execution_state"] for m in self.kernel.of(msg_id, "status")]

    def printed(self, msg_id: str) -> str:
        """In one message or, where the kernel sends what it has every 0.2 s, in several."""
        return "".join(m["content"]["text"] for m in self.kernel.of(msg_id, "stream"))

    def flood(self) -> tuple[list[str], list[str], dict[str, str]]:
        """50 comm messages with 5 cells and a request of every other kind among them."""
        comms, cells, others = [], [], {}
        for n in range(50):
            comms.append(self.tell(i=n))
            if n % 10 == 5:
                cells.append(self.kernel.start(f"order.append('cell {len(cells)}')\nprint({len(cells)})"))
            if n == 20:
                others = {kind: self.kernel.send(kind, content) for kind, content in OTHERS.items()}
        return comms, cells, others

    def answered(self, cell: str, cells: list[str], others: dict[str, str], comms: list[str]) -> None:
        """All that was sent has had what it is due, once and with the right parent."""
        kernel = self.kernel
        assert kernel.wait(cell).status == "ok"
        ran = [kernel.wait(one) for one in cells]
        assert [one.stream() for one in ran] == [f"{n}\n" for n in range(5)]
        counts = [one.reply["execution_count"] for one in ran]
        assert counts == list(range(counts[0], counts[0] + 5))
        for kind, msg_id in others.items():
            replies = kernel.until(lambda msg_id=msg_id: [m for m in kernel.of(msg_id) if m["channel"] != "iopub"])
            assert [m["msg_type"] for m in replies] == [kind.replace("request", "reply")]
        for n, msg_id in enumerate(comms):
            kernel.until(lambda msg_id=msg_id: kernel.idle(msg_id))
            assert self.states(msg_id) == ["busy", "idle"]
            assert self.printed(msg_id) == f"called {n}\n"
            assert len(kernel.of(msg_id, "comm_msg")) == 1
        assert self.echoes() == list(range(50))
        assert self.states(cell) == ["busy", "idle"]
        assert all(self.states(msg_id) == ["busy", "idle"] for msg_id in (*cells, *others.values()))


@pytest.fixture
def front(keeping, lab) -> Iterator[Front]:
    yield Front(keeping, lab)
    lab.release()
    keeping.run("0")
    assert "_CommRoute" not in keeping.run(ROUTE).stream()


ROUTE = """
stream = get_ipython().kernel.shell_channel_thread.manager._shell_channel_to_main.to_stream
print(stream._recv_callback.__qualname__)
"""


def test_comms_are_served_and_cells_wait_and_nothing_is_lost(front):
    kernel = front.kernel
    cell = front.ask()
    comms, cells, others = front.flood()
    kernel.until(lambda: len(front.echoes()) == 50)  # while the cell waits
    assert kernel.reply(cell) is None
    assert not any(kernel.reply(one) for one in cells)
    front.release()
    front.answered(cell, cells, others, comms)
    order = kernel.value("order")
    assert order == [*[(n, True) for n in range(50)], "cell", *[f"cell {n}" for n in range(5)]]


def test_without_it_comms_wait_and_nothing_is_lost(kernel, lab):
    front = Front(kernel, lab)
    cell = front.ask()
    comms, cells, others = front.flood()
    kernel.send("kernel_info_request", {}, channel="control")
    kernel.until(lambda: any(m["channel"] == "control" for m in kernel.messages))  # the flood has arrived
    assert not front.echoes()
    front.release()
    front.answered(cell, cells, others, comms)
    order = kernel.value("order")
    assert order[0] == "cell"
    assert [one for one in order if isinstance(one, tuple)] == [(n, False) for n in range(50)]


def test_output_of_the_cell_and_of_callbacks_stay_apart(front):
    cell = front.kernel.start(f"print('before')\n{ASK.format(front.model)}\nprint('after')")
    front.kernel.until_text(cell, "You")
    comm = front.tell(i=7)
    front.kernel.until(lambda: front.kernel.idle(comm))
    front.release()
    ran = front.kernel.wait(cell)
    assert ran.stream() == "before\nafter\n"
    assert ran.shown[0]["data"]["text/plain"] == "You said 'hello' in message 1."
    assert front.printed(comm) == "called 7\n"


def test_a_comm_that_is_opened_and_closed_meanwhile(front):
    kernel = front.kernel
    cell = front.ask()
    kernel.send("comm_open", {"comm_id": "short", "target_name": "test", "data": {}})
    kernel.send("comm_msg", {"comm_id": "short", "data": {"i": 1}})
    closed = kernel.send("comm_close", {"comm_id": "short", "data": {}})
    kernel.until(lambda: kernel.idle(closed))
    front.release()
    assert kernel.wait(cell).status == "ok"
    assert kernel.value("order") == [(1, True), "cell"]
    assert kernel.value("'short' in get_comm_manager().comms") is False


def test_a_callback_that_fails_is_its_own_affair(front):
    cell = front.ask()
    failing = front.tell(fail=True)
    front.kernel.until(lambda: front.kernel.idle(failing))
    front.tell(i=1)
    front.kernel.until(front.echoes)
    front.release()
    assert front.kernel.wait(cell).status == "ok"


@pytest.mark.parametrize("how", ["ask", "cell"])
def test_a_callback_may_ask_itself(front, how):
    cell = front.ask()
    front.tell(**{how: "lab:slow-0.02"})
    assert front.kernel.until(lambda: front.lab.calls("slow-0.02"))
    front.tell(i=1)
    front.kernel.until(front.echoes)  # comms go on being served below the callback
    front.lab.wait_until(lambda: front.lab.calls("slow-0.02")[-1].ended_at)
    assert front.kernel.reply(cell) is None
    front.release()
    assert front.kernel.wait(cell).status == "ok"
    assert front.kernel.value("said[-1]") in ("shown", "You said 'from a callback' in message 1.")


def test_a_callback_that_asks_longer_than_the_cell(front):
    cell = front.ask()
    inner = f"silent-2@inner{next(numbers)}"
    front.tell(ask=f"lab:{inner}")
    front.kernel.until(lambda: front.lab.calls(inner) and front.lab.calls(inner)[0].sent >= 3)
    front.release()  # both: nested waits end last in, first out
    assert front.kernel.wait(cell).status == "ok"
    assert front.kernel.value("said") == ["You said 'from a callback' in message 1."]


def test_two_callbacks_that_ask_at_once(front):
    cell = front.ask()
    for _ in range(2):
        front.tell(ask="lab:slow-0.02")
    front.kernel.until(lambda: len(front.lab.calls("slow-0.02")) >= 2)
    front.release()
    assert front.kernel.wait(cell).status == "ok"
    assert front.kernel.value("len(said)") == 2


def test_an_interrupt_while_a_callback_runs(front):
    kernel = front.kernel
    kernel.run(
        f"comm, nap = get_comm_manager().get_comm({front.comm!r}), __import__('time').sleep\n"
        "comm.on_msg(lambda message: (print('in'), nap(0.5), print('out')))"
    )
    cell = front.ask()
    comm = front.tell(i=1)
    kernel.until(lambda: kernel.of(comm, "stream"))
    kernel.interrupt()
    assert kernel.wait(cell, 10).reply["ename"] == "KeyboardInterrupt"
    kernel.until(lambda: kernel.idle(comm))
    assert kernel.value("1 + 1") == 2


def test_widgets_are_served_while_the_cell_waits(front):
    kernel = front.kernel
    kernel.run(
        "import ipywidgets\nbutton, slider, seen = ipywidgets.Button(), ipywidgets.IntSlider(), []\n"
        "button.on_click(lambda _: seen.append('click'))\n"
        "slider.observe(lambda change: seen.append(change['new']), 'value')"
    )
    button, slider = kernel.value("(button.comm.comm_id, slider.comm.comm_id)")
    cell = front.ask()
    click = {"method": "custom", "content": {"event": "click"}}
    kernel.send("comm_msg", {"comm_id": button, "data": click})
    for value in range(1, 6):
        state = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        last = kernel.send("comm_msg", {"comm_id": slider, "data": state})
    kernel.until(lambda: kernel.idle(last))
    assert kernel.reply(cell) is None
    front.release()
    assert kernel.wait(cell).status == "ok"
    assert kernel.value("seen") == ["click", 1, 2, 3, 4, 5]


@pytest.mark.parametrize("mode", ["kernel", "keeping"])
def test_a_subshell_answers_while_the_cell_waits(mode, lab, request):
    kernel = request.getfixturevalue(mode)
    front = Front(kernel, lab)
    made = kernel.send("create_subshell_request", {}, channel="control")
    subshell = kernel.until(lambda: kernel.reply(made))["content"]["subshell_id"]
    cell = front.ask()
    aside = kernel.wait(kernel.start("print('aside')", subshell_id=subshell))
    assert aside.stream() == "aside\n"
    assert kernel.reply(cell) is None
    front.release()
    assert kernel.wait(cell).status == "ok"
    ended = kernel.send("delete_subshell_request", {"subshell_id": subshell}, channel="control")
    assert kernel.until(lambda: kernel.reply(ended))["content"]["status"] == "ok"


@pytest.mark.parametrize("mode", ["kernel", "keeping"])
def test_a_subshell_may_ask_too(mode, lab, request):
    kernel = request.getfixturevalue(mode)
    front = Front(kernel, lab)
    made = kernel.send("create_subshell_request", {}, channel="control")
    subshell = kernel.until(lambda: kernel.reply(made))["content"]["subshell_id"]
    cell = front.ask()
    aside = kernel.wait(kernel.start("%%warp -m lab:ok\naside", subshell_id=subshell))
    assert aside.status == "ok", aside.reply
    assert aside.shown[0]["data"]["text/plain"] == "You said 'aside' in message 1."
    front.release()
    assert kernel.wait(cell).status == "ok"
    kernel.send("delete_subshell_request", {"subshell_id": subshell}, channel="control")


def test_asking_inside_an_asynchronous_cell(front):
    ran = front.kernel.run(
        "import asyncio\nticks = 0\nasync def tick():\n    global ticks\n    while True:\n        ticks += 1\n"
        "        await asyncio.sleep(0.01)\nticking = asyncio.create_task(tick())\nawait asyncio.sleep(0)\n"
        "get_ipython().run_cell_magic('warp', '-m lab:slow-0.03', 'hello')\nprint(ticks > 2)\nticking.cancel()"
    )
    assert ran.stream() == "True\n"


def test_warp_in_python_waits_the_same_way_when_it_comes_first(place, lab):
    with Kernel(place.profile("c.WarpMagics.keep_kernel_loop = True")) as kernel:
        kernel.run(TARGET)
        kernel.send("comm_open", {"comm_id": "first", "target_name": "test", "data": {}})
        cell = kernel.start(f"Warp().ask('hello', model='lab:silent-1@loop{next(numbers)}')")
        kernel.until(lambda: lab.requests[-1].model.startswith("silent-1@loop"))
        told = kernel.send("comm_msg", {"comm_id": "first", "data": {"i": 1}})
        kernel.until(lambda: kernel.idle(told))
        assert kernel.reply(cell) is None
        lab.wait_until(lambda: lab.release() or lab.requests[-1].ended_at)
        assert kernel.wait(cell).status == "ok"
