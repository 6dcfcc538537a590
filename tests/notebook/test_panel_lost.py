"""A panel whose gateway goes away, or hangs, and comes back: it goes on by itself, and holds nobody up meanwhile."""

from __future__ import annotations

import signal
import time

import pytest

from tests.notebook.kernel import KEY, Kernel
from tests.notebook.panel_client import PanelClient, settled
from tests.notebook.served import TOML
from tests.server.alone_process import running_alone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def is_seen(message, prompt):
    return message["msg_type"] == "stream" and f"seen: You said '{prompt}'" in message["content"]["text"]


def test_it_goes_on_when_its_gateway_is_back(lab, place, tmp_path):
    (tmp_path / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    env = {"WARP_CONFIG": str(tmp_path / "warp.toml"), "LAB_API_KEY": KEY}
    with running_alone(tmp_path / "alone", env) as gateway:
        at = {"WARP_GATEWAY_URL": gateway.url, "WARP_GATEWAY_TOKEN": gateway.token}
        with Kernel(place.also(**at)) as kernel:
            kernel.run("from warp_magics import ChatPanel\npanel = ChatPanel('lost')")
            kernel.run("panel.observe(lambda change: print('seen:', change['new']), 'value')")
            kernel.run("%%warp -s lost\nbefore")
            gateway.kill()
            ran = kernel.run("kept = panel.value")
            assert (ran.status, ran.stream("stderr"), ran.displays) == ("ok", "", [])
            assert kernel.value("kept") == "You said 'before' in message 1."
            status, body = PanelClient(kernel, "panel").ask("history", within=60, sessionId="lost")
            assert (status, body["code"]) == (503, "GATEWAY_UNREACHABLE")
            with running_alone(tmp_path / "alone", env, port=gateway.port) as again, again.client() as client:
                ask = {"prompt": "after", "sessionId": "lost", "createSession": True}
                client.post("prompt", json=ask).raise_for_status()
                kernel.until(lambda: [one for one in kernel.messages if is_seen(one, "after")], within=60)
            assert "Traceback" not in kernel.run("1").everything


# -- a gateway that hangs --------------------------------------------------------------------------


class Hanging:
    """A gateway that takes connections and answers nothing, between `stop` and `go_on`."""

    def __init__(self, gateway):
        self.url, self._process = gateway.url, gateway.process

    def stop(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def far(lab, place, tmp_path_factory):
    """A kernel of a gateway elsewhere, and that gateway."""
    folder = tmp_path_factory.mktemp("far")
    (folder / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    env = {"WARP_CONFIG": str(folder / "warp.toml"), "LAB_API_KEY": KEY}
    with running_alone(folder / "alone", env) as gateway:
        at = {"WARP_GATEWAY_URL": gateway.url, "WARP_GATEWAY_TOKEN": gateway.token}
        with Kernel(place.also(**at)) as kernel:
            kernel.run("import ipywidgets, traitlets\nfrom warp_magics import ChatPanel, panel as panels")
            yield kernel, Hanging(gateway)


@pytest.fixture
def hanging(far):
    kernel, gateway = far
    yield kernel, gateway
    gateway.go_on()
    kernel.run("ipywidgets.Widget.close_all()\npanels.GATEWAY_SECONDS = 10.0")


def seconds(kernel, code, **more):
    begun = time.monotonic()
    ran = kernel.run(code, **more)
    return time.monotonic() - begun, ran


def test_of_any_number_of_panels_one_cell_is_held_up_once(hanging):
    kernel, gateway = hanging
    kernel.run("shown = [ChatPanel('hangs') for _ in range(4)]")
    gateway.stop()
    first, _ = seconds(kernel, "1")
    then = [seconds(kernel, "1")[0] for _ in range(3)]
    assert first < 3
    assert min(then) < 0.5
    gateway.go_on()
    kernel.run("%%warp -s hangs\nafter it")
    kernel.until(lambda: kernel.value("[len(one.turns) for one in shown]") == [1] * 4)
    kernel.run("%%warp -s hangs\nas before")
    assert kernel.value("[len(one.turns) for one in shown]") == [2] * 4


def test_it_is_said_which_gateway_does_not_answer(hanging):
    kernel, gateway = hanging
    kernel.run("panel = ChatPanel('here')\npanels.GATEWAY_SECONDS = 0.5")
    gateway.stop()
    for code in ("ChatPanel('there')", "ChatPanel()", "panel.session = 'there'", "panel.model = 'lab:other'"):
        took, ran = seconds(kernel, code, ok=False)
        assert ran.error["ename"] == ("TraitError" if "=" in code else "GatewayUnreachable")
        assert ran.error["evalue"] == f"The gateway at {gateway.url} did not answer within 0.5 s."
        assert took < 5
    assert kernel.value("(panel.session, panel.model)") == ("here", "")


@pytest.mark.parametrize("code", ["ChatPanel('there')", "panel.session = 'there'", "panel.model = 'lab:other'"])
def test_ctrl_c_ends_the_waiting(hanging, code):
    kernel, gateway = hanging
    kernel.run("panel = ChatPanel('here')")
    gateway.stop()
    cell = kernel.start(f"print('begun', flush=True)\n{code}\nprint('went on')")
    kernel.until_text(cell, "begun")
    time.sleep(0.3)
    kernel.interrupt()
    ran = kernel.wait(cell)
    assert ran.error["ename"] == "KeyboardInterrupt"
    assert "went on" not in ran.stream()
    assert kernel.value("(panel.session, panel.model)") == ("here", "")


def test_what_a_page_sets_waits_for_nothing(hanging):
    kernel, gateway = hanging
    kernel.run(
        "one, other = ChatPanel('one'), ChatPanel('other')\nlinked = traitlets.link((one, 'session'), (other, 'session'))"
    )
    client = PanelClient(kernel, "one")
    gateway.stop()
    client.set(session="both", model="lab:other")
    took, ran = seconds(kernel, "print(one.session, other.session, one.model)")
    assert ran.stream() == "both both lab:other\n"
    assert took < 5
    gateway.go_on()
    settled(kernel, lambda: client.ask("session", sessionId="both")[0] == 200)
