"""A panel from Python: its traits, what may be given, what follows the session, how it ends."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from tests.notebook.kernel import Kernel
from tests.notebook.panel_client import PanelClient, settled

pytestmark = pytest.mark.slow

numbers = itertools.count()
EVERYTHING = "(len(ipywidgets.Widget.widgets), len(__import__('warp_magics.panels').panels.PANELS._open))"


@pytest.fixture
def session():
    return f"traits-{next(numbers)}"


@pytest.fixture
def panel(front, session):
    front.run(f"from warp_magics import ChatPanel, Warp\nimport ipywidgets\npanel = ChatPanel('{session}')")
    yield front
    front.run("ipywidgets.Widget.close_all()")


def failing(kernel, code):
    ran = kernel.run(code, ok=False)
    assert ran.status == "error"
    return f"{ran.error['ename']}: {ran.error['evalue']}"


def test_the_session_is_there_at_once(panel, session):
    assert session in panel.run("%warp sessions").everything
    assert panel.value("panel.turns") == ()
    assert panel.value("panel.value") == ""


def test_without_a_session_it_makes_one(panel):
    panel.run("first, second = ChatPanel(), ChatPanel()")
    made = panel.value("(first.session, second.session)")
    assert len(set(made)) == 2
    assert all(one in panel.run("%warp sessions").everything for one in made)


def test_a_session_that_is_there_is_shown(panel, session):
    panel.run(f"%%warp -s {session}\nhello")
    panel.run(f"other = ChatPanel('{session}')")
    assert panel.value("other.value") == "You said 'hello' in message 1."
    (turn,) = panel.value("other.turns")
    assert (turn["n"], turn["prompt"], turn["status"], turn["source"]["kind"]) == (1, "hello", "complete", "cell")


def test_what_a_cell_has_asked_is_there_in_the_next(panel, session):
    for count in range(1, 4):
        panel.run(f"%%warp -s {session} --append\nprompt {count}")
        assert panel.value("len(panel.turns)") == count


def test_what_is_asked_from_elsewhere_comes_by_itself(panel, session):
    panel.run("seen = []\npanel.observe(lambda change: seen.append(change['new']), 'value')")
    client = PanelClient(panel, "panel")
    client.body("ask", key=f"t-{next(numbers)}", ask={"prompt": "hello", "sessionId": session})
    settled(panel, lambda: client.body("history", sessionId=session)["turns"])
    panel.run("import time; time.sleep(0.3)")
    assert panel.value("seen") == ["You said 'hello' in message 1."]


def test_only_a_whole_answer_is_a_value(panel, session):
    panel.run(f"%%warp -s {session}\nhello")
    panel.run(f"%%warp -s {session} -m lab:cut-2\nhello again", ok=False)
    assert panel.value("[one['status'] for one in panel.turns]") == ["complete", "interrupted"]
    assert panel.value("panel.value") == "You said 'hello' in message 1."


def test_what_follows_the_session_cannot_be_set(panel):
    assert "read-only" in failing(panel, "panel.turns = ()")
    assert "read-only" in failing(panel, "panel.value = 'x'")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("'no id/at all'", "InvalidSessionId"),
        ("''", "InvalidSessionId"),
        ("model='gone:model'", "UnknownModel"),
        ("height=100", "should not be less than 160"),
        ("height='tall'", "TraitError"),
        ("disabled=3", "TraitError"),
        ("colour='red'", "has no 'colour'"),
        ("turns=()", "has no 'turns'"),
        ("_gateway='x'", "has no '_gateway'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_happens(panel, given, told):
    before = panel.value(EVERYTHING)
    sessions = panel.run("%warp sessions").everything.count("traits-")
    new = "" if given.startswith("'") else f"'traits-bad-{next(numbers)}', "
    assert told in failing(panel, f"ChatPanel({new}{given})")
    assert panel.run("%warp sessions").everything.count("traits-") == sessions
    after = panel.value(EVERYTHING)
    assert after == before


def test_what_is_set_wrong_changes_nothing(panel, session):
    assert "TraitError: 'no id/at all' is not a session id" in failing(panel, "panel.session = 'no id/at all'")
    assert 'TraitError: there is no provider "gone"' in failing(panel, "panel.model = 'gone:model'")
    held = "with panel.hold_trait_notifications(): panel.model, panel.height = 'gone:model', 300"
    assert 'TraitError: there is no provider "gone"' in failing(panel, held)
    assert "160" in failing(panel, "panel.height = 10")
    assert panel.value("(panel.session, panel.model, panel.height)") == (session, "", 480)
    panel.run("panel.model, panel.height, panel.disabled = 'lab:ok', 200, True")


def test_python_changes_the_session(panel, session):
    panel.run(f"%%warp -s {session}-b\nof the other")
    panel.run(f"panel.session = '{session}-b'\nsoon = panel.value")
    assert panel.value("soon") == "You said 'of the other' in message 1."
    panel.run(f"panel.session = '{session}-c'\nsoon = panel.turns, panel.value")
    assert panel.value("soon") == ((), "")
    assert f"{session}-c" in panel.run("%warp sessions").everything
    assert PanelClient(panel, "panel").state("session") == f"{session}-c"
    panel.run(f"%%warp -s {session}-c\nstill followed")
    assert panel.value("panel.value") == "You said 'still followed' in message 1."


def test_a_page_changes_the_session(panel, session):
    panel.run(f"%%warp -s {session}-b\nof the other")
    client = PanelClient(panel, "panel")
    client.set(session=f"{session}-b")
    settled(panel, lambda: panel.value("panel.value") == "You said 'of the other' in message 1.")
    client.set(session=f"{session}-c")
    settled(panel, lambda: panel.value("panel.turns") == ())
    settled(panel, lambda: client.ask("session", sessionId=f"{session}-c")[0] == 200)


def test_a_page_that_changes_it_to_nonsense_changes_nothing(panel, session):
    PanelClient(panel, "panel").set(session="no id/at all")
    assert panel.value("panel.session") == session


def test_of_a_deleted_session_nothing_is_left_until_it_is_asked_in_again(panel, session):
    panel.run(f"%%warp -s {session}\nhello")
    panel.run(f"%warp delete {session}")
    assert panel.value("(panel.turns, panel.value)") == ((), "")
    panel.run("import time; time.sleep(1.6)\npanel.observe(lambda change: print('seen:', change['new']), 'value')")
    client = PanelClient(panel, "panel")
    client.body("ask", key=f"t-{next(numbers)}", ask={"prompt": "anew", "sessionId": session})
    panel.until(lambda: "seen: You said 'anew'" in str([m["content"] for m in panel.messages[-20:]]), within=5)


def test_a_title_and_a_rewind_are_seen(panel, session):
    for prompt in ("first", "second"):
        panel.run(f"%%warp -s {session}\n{prompt}")
    panel.run(f"%warp use {session}")
    panel.run("%warp rewind 1")
    assert panel.value("[one['prompt'] for one in panel.turns]") == ["first"]
    panel.run("get_ipython().find_magic('warp').__self__.cells.session = None")


def test_a_closed_panel_follows_nothing(panel, session):
    panel.run("panel.close()\npanel.close()")
    ran = panel.run(f"%%warp -s {session}\nhello")
    assert not [one for one in ran.messages if one["msg_type"] == "comm_msg"]
    assert panel.value("(panel.turns, panel.value)") == ((), "")
    shown = panel.run("panel").displays
    assert [list(one["content"]["data"]) for one in shown] == [["text/html", "text/plain"]]
    heard = "[one.__module__ for one in get_ipython().events.callbacks['{}']]"
    assert "warp_magics.panels" not in panel.value(f"{heard.format('pre_run_cell')} + {heard.format('post_run_cell')}")


def test_an_observer_that_fails_shows_it_and_spoils_nothing(panel, session):
    panel.run("def fails(change): 1 / 0\npanel.observe(fails, 'value')")
    ran = panel.run(f"%%warp -s {session}\nhello")
    assert "ZeroDivisionError" in ran.everything
    assert panel.value("(len(panel.turns), panel.value)") == (1, "You said 'hello' in message 1.")


def test_many_panels_are_each_followed(panel, session):
    panel.run(f"panels = [ChatPanel('{session}') for _ in range(3)]")
    panel.run(f"%%warp -s {session}\nhello")
    assert panel.value("[len(one.turns) for one in panels]") == [1, 1, 1]


def test_a_cell_that_is_run_again_leaves_one_panel(panel, session):
    count = "sum(type(one).__name__ == 'ChatPanel' for one in ipywidgets.Widget.widgets.values())"
    panel.run("panel.close()")
    for _ in range(3):
        panel.run(f"ChatPanel('{session}'), ChatPanel('{session}')", cell="one-and-the-same")
        assert panel.value(count) == 2
    panel.run(f"ChatPanel('{session}')", cell="another")
    assert panel.value(count) == 3


def test_what_its_cell_has_made_for_nothing_goes_with_it(panel, session):
    def made():
        panel.run("one = ChatPanel()", cell="one-and-the-same")
        return panel.value("one.session")

    first, second = made(), made()
    panel.run(f"%%warp -s {second}\nhello")
    third = made()
    settled(panel, lambda: first not in panel.run("%warp sessions").everything)
    listed = panel.run("%warp sessions").everything
    assert (second in listed, third in listed) == (True, True)
    panel.run(f"ChatPanel('{session}')", cell="one-and-the-same")
    panel.run(f"ChatPanel('{session}')", cell="one-and-the-same")
    settled(panel, lambda: third not in panel.run("%warp sessions").everything)
    assert session in panel.run("%warp sessions").everything


def test_of_those_whose_cells_have_no_name_the_newest_are_followed(panel, session):
    panel.run(f"panels = [ChatPanel('{session}') for _ in range(17)]")
    panel.run(f"%%warp -s {session}\nhello")
    assert panel.value("[len(one.turns) for one in [panel, *panels]]") == [0, 0, *[1] * 16]


def test_a_layout_is_made_once(panel):
    counted = (
        "before = len(ipywidgets.Widget.widgets)\none = ChatPanel({})\nmade = len(ipywidgets.Widget.widgets) - before"
    )
    panel.run(counted.format(""))
    bare = panel.value("made")
    panel.run(counted.format("layout={'width': '30%'}"))
    assert panel.value("(made, one.layout.width)") == (bare, "30%")


def test_warp_gives_one(panel, session):
    panel.run(f"one = Warp(session='{session}-w', model=['lab:ok', 'lab:other']).chat(height=300)")
    assert panel.value("(one.session, one.model, one.height)") == (f"{session}-w", "lab:ok", 300)
    panel.run(f"one = Warp().chat('{session}-x', model='lab:other', disabled=True)")
    assert panel.value("(one.session, one.model, one.disabled)") == (f"{session}-x", "lab:other", True)


def test_the_magic_gives_one(panel, session):
    panel.run(f"p = %warp chat {session}-m")
    assert panel.value("p.session") == f"{session}-m"
    panel.run(f"%%warp -s {session}-l\nhello")
    panel.run("p = %warp chat")
    assert panel.value("p.session") == f"{session}-l"
    panel.run(f"%warp use {session}-u")
    panel.run("p = %warp chat")
    assert panel.value("p.session") == f"{session}-u"
    panel.run("get_ipython().find_magic('warp').__self__.cells.session = None")
    assert "InvalidSessionId" in failing(panel, "%warp chat no/id")
    assert "one word too many" in failing(panel, "%warp chat one two")


def test_a_page_of_the_server_finds_its_gateway(kernel, served):
    kernel.run("from warp_magics import ChatPanel\npanel = ChatPanel('near')")
    served.run("from warp_magics import ChatPanel\npanel = ChatPanel('far')")
    client = PanelClient(served, "panel")
    assert client.state("_gateway") == client.body("ready")["gatewayId"]
    assert client.state("_place") == client.comm
    assert PanelClient(kernel, "panel").state("_gateway") == ""
    for one in (kernel, served):
        one.run("panel.close()")


def test_it_moves_with_the_kernels_gateway(place, served, session):
    with Kernel(place) as kernel:
        kernel.run(f"from warp_magics import ChatPanel\npanel = ChatPanel('{session}')")
        kernel.run(f"%%warp -s {session}\nhello")
        client = PanelClient(kernel, "panel")
        watch = client.say("watch", sessionId=session, after={})
        client.reply(watch)
        url, token = served.value(
            "(lambda at: (at.urls[0], at.secrets[0]))(__import__('warp_magics.connect').connect.connection())"
        )
        kernel.run(f"import os; os.environ['WARP_GATEWAY_TOKEN'] = '{token}'")
        kernel.run(f"%warp connect {url}")
        client.until_event(watch, "moved")
        assert client.state("_gateway") == client.body("ready")["gatewayId"] != ""
        assert kernel.value("panel.turns") == ()
        settled(kernel, lambda: client.ask("session", sessionId=session)[0] == 200)
        kernel.run(f"%%warp -s {session}\nelsewhere")
        assert kernel.value("panel.value") == "You said 'elsewhere' in message 1."
        kernel.run("%reload_ext warp_magics")
        assert client.body("ready")["status"] == "ok"


def test_a_kernel_with_a_panel_ends_at_once(place):
    with Kernel(place) as kernel:
        kernel.run("from warp_magics import ChatPanel\npanel = ChatPanel()\npanel")
        process = kernel.manager.provisioner.process
        kernel.send("shutdown_request", {"restart": False}, channel="control")
        assert process.wait(8) == 0


def test_outside_of_a_notebook_it_says_so():
    code = "from warp_magics import ChatPanel\ntry: ChatPanel()\nexcept Exception as error: print(type(error).__name__, error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("UsageError The chat panel is a widget, so it needs a notebook")
    assert "%%warp" in done.stdout
