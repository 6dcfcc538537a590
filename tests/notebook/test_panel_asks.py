"""What a panel asks of its gateway: no more than it needs, never of a closed one, and until it has an answer."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.notebook.panel_client import PanelClient, settled

pytestmark = pytest.mark.slow

numbers = itertools.count()


@pytest.fixture
def session():
    return f"asks-{next(numbers)}"


@pytest.fixture
def panel(front, session):
    front.run(f"from warp_magics import ChatPanel\nimport ipywidgets\npanel = ChatPanel('{session}')")
    yield front
    front.run("ipywidgets.Widget.close_all()")


# What a panel asks of its gateway, counted there.
COUNTED = """
gateway, asked = __import__('warp_magics.connect').connect.connection().gateway, []
def counted(verb):
    def counting(*args, **more):
        asked.append(verb)
        return getattr(type(gateway), verb)(gateway, *args, **more)
    return counting
for verb in ('create', 'session', 'history', 'watch'): setattr(gateway, verb, counted(verb))
"""


@pytest.fixture
def counting(panel):
    panel.run(COUNTED)
    yield panel
    panel.run("for verb in ('create', 'session', 'history', 'watch'): delattr(gateway, verb)")


def test_a_session_that_is_there_is_neither_made_again_nor_read_twice(counting, session):
    counting.run("panel.close()")
    counting.run(f"%%warp -s {session}\nhello")
    counting.run(f"asked.clear()\nother = ChatPanel('{session}')\nimport time; time.sleep(1.5)")
    assert counting.value("(asked.count('create'), asked.count('history'))") == (0, 1)
    counting.run(f"%%warp -s {session}\nagain")
    counting.run("time.sleep(0.3)")
    assert counting.value("(len(other.turns), asked.count('history'))") == (2, 2)
    counting.run(f"asked.clear()\nother.session = '{session}-new'\ntime.sleep(1.5)")
    assert counting.value("(asked.count('create'), asked.count('history'))") == (1, 0)


@pytest.mark.parametrize("code", ["ChatPanel('{}')", "panel.session = '{}'"])
def test_ctrl_c_while_a_session_is_read_ends_the_cell(counting, session, code):
    counting.run(f"%%warp -s {session}-long\nhello")
    counting.run(
        "import asyncio\nasync def history(*args, **more):\n    await asyncio.sleep(1.5)\n"
        "    return await type(gateway).history(gateway, *args, **more)\ngateway.history = history"
    )
    cell = counting.start(f"print('begun', flush=True)\n{code.format(session + '-long')}\nprint('went on')")
    counting.until_text(cell, "begun")
    time.sleep(0.5)
    counting.interrupt()
    ran = counting.wait(cell)
    assert "went on" not in ran.stream()
    assert ran.error["ename"] == "KeyboardInterrupt"
    assert counting.value("panel.session") == session


def test_a_deleted_session_is_not_asked_for_over_and_over(counting, session):
    counting.run(f"%warp delete {session}")
    counting.run("import time; time.sleep(0.3)\nasked.clear()\ntime.sleep(1.6)\nmeanwhile = list(asked)")
    assert counting.value("meanwhile") == []
    counting.run(f"%%warp -s {session}\nanew")
    assert counting.value("panel.value") == "You said 'anew' in message 1."
    counting.run("seen = []\npanel.observe(lambda change: seen.append(change['new']), 'value')")
    client = PanelClient(counting, "panel")
    client.body("ask", key=f"t-{next(numbers)}", ask={"prompt": "watched", "sessionId": session})
    settled(counting, lambda: client.body("history", sessionId=session)["turns"][1:])
    counting.run("time.sleep(0.3)")
    assert counting.value("seen") == ["You said 'watched' in message 3."]


def test_a_page_finds_a_gateway_that_was_slow_to_say_who_it_is(served, session):
    served.run("import asyncio\nfrom warp_magics import ChatPanel, connect, mirror\nmirror._IDENTITY_SECONDS = 0.05")
    served.run("gateway = __import__('warp_magics.connect').connect.connection().gateway")
    served.run("async def status():\n    await asyncio.sleep(0.3)\n    return await type(gateway).status(gateway)")
    served.run(f"gateway.status = status\npanel = ChatPanel('{session}')\nfirst = panel._gateway")
    assert served.value("first") == ""
    client = PanelClient(served, "panel")
    settled(served, lambda: client.state("_gateway") == client.body("ready")["gatewayId"])
    served.run("panel.close()\ndel gateway.status\nmirror._IDENTITY_SECONDS = 2.0")


def test_a_connection_that_was_closed_stays_so(kernel, session):
    closed = "'warp-gateway' in [one.name for one in __import__('threading').enumerate()]"
    kernel.run(f"from warp_magics import ChatPanel, connect as link\npanel = ChatPanel('{session}')")
    client = PanelClient(kernel, "panel")
    kernel.run("import warp_magics.connect\nwarp_magics.connect.disconnect()")
    client.set(session=f"{session}-b")
    assert kernel.value(f"({closed}, panel.session)") == (False, f"{session}-b")
    kernel.run("panel._mirror.start()")
    assert kernel.value(closed) is False
    kernel.run(f"%%warp -s {session}-b\nhello")
    assert kernel.value("panel.value") == "You said 'hello' in message 1."
    kernel.run("panel.close()")
