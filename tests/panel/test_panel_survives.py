"""The panel does not die: reloads, restarts, second pages and widgets, busy kernels; what others say shows up by itself."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from playwright.sync_api import expect

from tests.fakes.provider import Reply
from tests.panel.lab import Panel
from tests.server.process import poll

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def ask_by_curl(server, session, prompt, model="lab:ok"):
    with server.client() as rest:
        body = {"prompt": prompt, "sessionId": session, "createSession": True, "models": [model]}
        return rest.post("prompt", json=body).raise_for_status().json()


def test_what_cells_and_others_say_shows_up_by_itself(front, lab, way):
    session = f"shared-{way}"
    panel = front.panel(session)
    front.run("%load_ext warp_magics\n")
    front.run(f"%%warp -s {session} -m lab:ok\nFrom a cell")
    expect(panel.answers.last).to_contain_text("You said 'From a cell'", timeout=10_000)
    expect(panel.turns.last).to_contain_text("from a cell")
    front.run(f"from warp_magics import Warp\nWarp().ask('From Python', session='{session}', model='lab:ok')")
    expect(panel.turns).to_have_count(2, timeout=10_000)
    if way == "rest":
        ask_by_curl(front.server, session, "From curl")
        expect(panel.turns).to_have_count(3, timeout=10_000)
        expect(panel.turns.last).to_contain_text("over REST")
    front.run(f"%warp use {session}")
    front.run("%warp rewind 1")
    expect(panel.turns).to_have_count(1, timeout=10_000)


def test_two_panels_on_one_session_follow_each_other_live(front, lab, way):
    hold = threading.Event()
    lab.script(f"both@{way}", Reply(chunks=["Half ", hold, "done."]))
    one = front.panel(f"both-{way}", f"lab:both@{way}")
    cell = front.run("panel2 = ChatPanel(panel.session)\npanel2")
    two = Panel(front.page, cell.locator(".warp-root"))
    one.ask("Go on")
    expect(two.root.locator(".warp-prompt")).to_have_text("Go on", timeout=10_000)
    expect(two.answers.last).to_contain_text("Half", timeout=10_000)
    expect(two.button("Stop")).to_be_visible()
    hold.set()
    for panel in (one, two):
        expect(panel.answers.last).to_contain_text("Half done.", timeout=10_000)
        panel.idle()
        expect(panel.turns).to_have_count(1)


def test_a_panel_opened_in_the_midst_of_an_answer_shows_all_of_it(front, lab, way):
    hold = threading.Event()
    lab.script(f"midst@{way}", Reply(chunks=["From the beginning ", hold, "to the end."]))
    one = front.panel(f"midst-{way}", f"lab:midst@{way}")
    one.ask("Tell it")
    expect(one.answers.last).to_contain_text("From the beginning", timeout=10_000)
    two = Panel(front.page, front.run("panel2 = ChatPanel(panel.session)\npanel2").locator(".warp-root"))
    expect(two.answers.last).to_contain_text("From the beginning", timeout=10_000)
    hold.set()
    expect(two.answers.last).to_contain_text("From the beginning to the end.", timeout=10_000)


def test_it_works_while_a_cell_computes(front, lab, way):
    panel = front.panel(f"busy-{way}")
    cell = front.run("import time\nfor _ in range(600):\n    time.sleep(0.1)", wait=False)
    expect(cell.locator(".jp-InputArea-prompt")).to_contain_text("[*]")
    panel.asked("Still there?", "You said 'Still there?'")
    expect(cell.locator(".jp-InputArea-prompt")).to_contain_text("[*]")
    front.page.get_by_role("button", name="Interrupt the kernel").click()
    front.wait(cell)


def test_it_is_there_again_after_a_reload(lab, way, another):
    """In a notebook of its own: with it the page loses all other panels."""
    own = another()
    panel = own.panel(f"reload-{way}")
    panel.asked("Remember this", "Remember this")
    panel.type("not sent yet")
    own.save()
    own.load()
    panel = Panel(own.page, own.page.locator(".warp-root"))
    expect(panel.turns).to_have_count(1, timeout=30_000)
    expect(panel.prompt).to_have_value("not sent yet")
    own.page.keyboard.press("Escape")
    panel.prompt.press("Enter")
    expect(panel.answers.last).to_contain_text("not sent yet", timeout=10_000)


def test_a_reload_in_the_midst_of_an_answer_goes_on_with_it(lab, way, another):
    hold = threading.Event()
    lab.script(f"amid@{way}", Reply(chunks=["So far ", hold, "and on."]))
    own = another()
    panel = own.panel(f"amid-{way}", f"lab:amid@{way}")
    panel.ask("Long")
    expect(panel.answers.last).to_contain_text("So far", timeout=10_000)
    own.save()
    own.load()
    panel = Panel(own.page, own.page.locator(".warp-root"))
    expect(panel.answers.last).to_contain_text("So far", timeout=30_000)
    hold.set()
    expect(panel.answers.last).to_contain_text("So far and on.", timeout=10_000)
    expect(panel.turns).to_have_count(1)
    assert len(lab.calls(f"amid@{way}")) == 1


def test_after_the_kernel_died_it_goes_on_by_rest_and_by_the_comm_says_so(lab, way, another):
    own = another()
    panel = own.panel(f"dead-{way}")
    panel.asked("Before", "Before")
    pid = own.run("import os\nos.getpid()").locator(".jp-OutputArea-output").inner_text()
    os.kill(int(pid), signal.SIGKILL)
    own.page.locator(".jp-Dialog").get_by_role("button", name="Ok").click(timeout=30_000)
    if way == "rest":
        panel.asked("After", "You said 'After' in message 3.")
    else:
        expect(panel.root.locator(".warp-notice")).to_contain_text("has ended", timeout=20_000)
        panel.ask("After")
        expect(panel.button("Send")).to_be_disabled()
        expect(panel.prompt).to_have_value("After")
        expect(panel.turns.first).to_contain_text("Before")


def test_after_a_restart_it_goes_on_by_rest_and_run_again_it_is_there_by_the_comm(lab, way, another):
    own = another()
    panel = own.panel(f"restart-{way}")
    panel.asked("Before", "Before")
    own.page.get_by_role("button", name="Restart the kernel", exact=True).click()
    own.page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    if way == "rest":
        panel.asked("After", "You said 'After' in message 3.")
    own.cells.first.locator(".cm-content").click()
    own.page.keyboard.press("Shift+Enter")
    again = Panel(own.page, own.cells.first.locator(".warp-root"))
    # The store of a kernel's own gateway, in memory here, has ended with it.
    expect(again.turns).to_have_count(2 if way == "rest" else 0, timeout=20_000)
    again.asked("And on", "You said 'And on'")


def test_the_kernel_goes_over_to_another_gateway_and_the_panel_with_it(front, lab, way):
    """A tape is one: its sessions are its own, and the page's server knows nothing of it."""
    panel = front.panel(f"moves-{way}")
    panel.asked("Here", "You said 'Here'")
    front.run("%load_ext warp_magics\nimport tempfile")
    front.run("get_ipython().run_line_magic('warp', f'tape record {tempfile.mkdtemp()}')")
    front.run("%warp models")
    expect(panel.root.locator(".warp-empty")).to_be_visible(timeout=20_000)
    panel.asked("On the tape", "You said 'On the tape' in message 1.")
    front.run("%warp tape off")
    front.run("%warp models")
    expect(panel.turns).to_have_count(1, timeout=20_000)
    expect(panel.turns).to_contain_text("Here")


@pytest.mark.parametrize("way", ["rest"], indirect=True)
def test_eight_panels_share_one_connection_and_the_notebook_is_saved(lab, way, another):
    hold = threading.Event()
    lab.script("eight", Reply(chunks=["word ", hold, "end"]))
    own = another()
    own.run("from warp_magics import ChatPanel")
    cells = [own.run(f"ChatPanel('eight-{number}', model='lab:eight', height=200)") for number in range(8)]
    panels = [Panel(own.page, cell.locator(".warp-root")) for cell in cells]
    for panel in panels:
        panel.ask("All at once")
    for panel in panels:
        expect(panel.answers.last).to_contain_text("word", timeout=20_000)
    saved = own.save()
    assert len(saved.cells) == 10
    assert len(own.feeds) == 1
    hold.set()
    for panel in panels:
        expect(panel.answers.last).to_contain_text("word end", timeout=20_000)


def test_a_second_browser_follows_live(lab, way, another):
    hold = threading.Event()
    lab.script(f"apart@{way}", Reply(chunks=["One ", hold, "two."]))
    own = another()
    panel = own.panel(f"apart-{way}", f"lab:apart@{way}")
    own.save()
    other = another(own.name)
    there = Panel(other.page, other.page.locator(".warp-root"))
    panel.ask("Both of you")
    expect(there.answers.last).to_contain_text("One", timeout=20_000)
    hold.set()
    for one in (panel, there):
        expect(one.answers.last).to_contain_text("One two.", timeout=10_000)
    there.asked("And back", "One two.")
    expect(panel.turns).to_have_count(2, timeout=10_000)


@pytest.mark.parametrize("way", ["rest"], indirect=True)
def test_a_hidden_tab_lets_go_of_its_connection_and_catches_up(front, lab, way):
    session = "hidden"
    panel = front.panel(session)
    expect(panel.root.locator(".warp-empty")).to_be_visible()
    front.page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {value: true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    poll(lambda: front.page.wait_for_timeout(100) or not front.feeds, 20)
    ask_by_curl(front.server, session, "While you were away")
    front.page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {value: false, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    expect(panel.answers.last).to_contain_text("While you were away", timeout=10_000)
