"""How a panel is shown: the conversation as static HTML and the widget behind it, kept up to date, the same on a tape."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.notebook.kernel import KEY, Kernel, home
from tests.notebook.panel_client import PanelClient, settled

pytestmark = pytest.mark.slow

numbers = itertools.count()
VIEW = "application/vnd.jupyter.widget-view+json"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def session():
    return f"display-{next(numbers)}"


@pytest.fixture
def panel(front, session):
    front.run(f"from warp_magics import ChatPanel\nimport ipywidgets\npanel = ChatPanel('{session}')")
    yield front
    front.run("ipywidgets.Widget.close_all()")


def bundles(ran):
    return [one["content"]["data"] for one in ran.displays]


def updates(messages):
    found = [one["content"] for one in messages if one["msg_type"] == "update_display_data"]
    return [one for one in found if "warp-saved" in one["data"].get("text/html", "")]


def test_it_is_two_outputs(panel, session):
    ran = panel.run("panel")
    saved, widget = bundles(ran)
    assert saved["text/plain"] == f"Chat {session}: nothing was asked yet."
    assert 'class="warp-view warp-saved' in saved["text/html"]
    assert widget[VIEW]["model_id"] == panel.value("panel.model_id")
    assert widget["text/plain"] == f"ChatPanel(session='{session}')"
    assert ran.displays[0]["content"]["transient"]["display_id"]


def test_each_way_to_show_it_shows_both(panel, session):
    for code in ("display(panel)", f"%warp chat {session}", f"ChatPanel('{session}')"):
        found = bundles(panel.run(code))
        assert [VIEW in one for one in found] == [False, True], (code, found[2:])
    assert bundles(panel.run("p = ChatPanel()")) == []


def test_in_another_widget_it_is_laid_out_by_that(panel):
    (box,) = bundles(panel.run("box = ipywidgets.HBox([panel, ipywidgets.Button()])\nbox"))
    assert VIEW in box
    panel.run("panel.layout.width = '50%'\nother = ChatPanel(layout=ipywidgets.Layout(width='30%'))")
    client = PanelClient(panel, "panel")
    assert client.body("ready")["status"] == "ok"
    assert panel.value("other.layout.width") == "30%"


def test_a_cell_that_goes_on_with_it_brings_it_up_to_date_before_it_ends(panel, session):
    shown = panel.run("panel").displays[0]["content"]["transient"]["display_id"]
    ran = panel.run(f"%%warp -s {session}\nOf cats.")
    (update,) = updates(ran.messages)
    assert update["transient"]["display_id"] == shown
    assert "Of cats." in update["data"]["text/html"]
    assert (
        "You said &#x27;Of cats.&#x27;" in update["data"]["text/html"]
        or "You said 'Of cats.'" in update["data"]["text/html"]
    )
    assert updates(panel.run("1").messages) == []


def test_shown_twice_both_are_brought_up_to_date(panel, session):
    ids = {panel.run("panel").displays[0]["content"]["transient"]["display_id"] for _ in range(2)}
    assert len(ids) == 1
    assert len(updates(panel.run(f"%%warp -s {session}\nOf cats.").messages)) == 1


def test_what_is_not_shown_is_not_drawn(panel, session):
    assert updates(panel.run(f"%%warp -s {session}\nOf cats.").messages) == []


def test_what_a_page_has_asked_is_drawn_once_it_is_answered(panel, session):
    panel.run("panel")
    seen = len(updates(panel.messages))
    client = PanelClient(panel, "panel")
    client.body("ask", key=f"d-{next(numbers)}", ask={"prompt": "Of dogs.", "sessionId": session})
    panel.until(lambda: len(updates(panel.messages)) > seen)
    assert "Of dogs." in updates(panel.messages)[-1]["data"]["text/html"]


def test_a_title_is_shown(panel, session):
    panel.run("panel")
    (update,) = updates(panel.run(f"%warp rename {session} Of cats").messages)
    assert update["data"]["text/plain"] == "Chat Of cats: nothing was asked yet."


def test_where_updates_are_not_read_there_are_none(lab):
    with home(lab, extra='\n[storage]\ntype = "memory"\n') as place, Kernel(place.also(WARP_STREAM="0")) as kernel:
        ran = kernel.run("from warp_magics import ChatPanel\nChatPanel('one')")
        assert [one["content"]["transient"] for one in ran.displays] == [{}, {}]
        assert updates(kernel.run("%%warp -s one\nhello").messages) == []
        assert "You said" in bundles(kernel.run("%warp chat one"))[0]["text/html"]


# -- notebooks -------------------------------------------------------------------------------------

CELLS = (
    "%load_ext warp_magics",
    "%warp chat talk",
    "%%warp -s talk\nWhat is **this**?",
    "from warp_magics import ChatPanel\nChatPanel('talk', height=300)",
    "ChatPanel()",
)


@pytest.fixture(scope="module")
def lonely(lab):
    with home(lab, extra='\n[storage]\ntype = "memory"\n') as made:
        yield made


def notebook(path, cells=CELLS):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    return path


def executed(lonely, path, **env):
    """Execute a notebook in a process of its own, in whose environment its kernel is."""
    code = (
        "import sys, nbformat\nfrom nbclient import NotebookClient\n"
        "made = nbformat.read(sys.argv[1], as_version=4)\n"
        "NotebookClient(made, timeout=60).execute()\nnbformat.write(made, sys.argv[1])\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, env=lonely.env | env, cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return nbformat.read(path, as_version=4)


def test_nbconvert_shows_the_conversation(lonely, tmp_path):
    made = executed(lonely, notebook(tmp_path / "talk.ipynb"))
    first = made.cells[1].outputs
    assert [one.output_type for one in first] == ["display_data", "display_data"]
    assert "What is **this**?" in first[0].data["text/html"]
    page, _ = HTMLExporter().from_notebook_node(made)
    assert page.count("What is **this**?") >= 2
    assert 'class="warp-view warp-saved' in page


def test_on_a_tape_it_is_the_same_each_time(lonely, tmp_path):
    path = notebook(tmp_path / "talk.ipynb")
    tape = {"WARP_TAPE_DIR": str(tmp_path / "tape")}

    def shown(**env):
        made = executed(lonely, path, **tape, **env)
        told = [
            [(one.output_type, {k: v for k, v in one.data.items() if k != VIEW}) for one in cell.outputs]
            for cell in made.cells
        ]
        return json.dumps(told)

    recorded = shown(WARP_TAPE="record")
    nobody = {"WARP_CONFIG": "/nowhere/warp.toml", "LAB_API_KEY": ""}
    assert shown(WARP_TAPE="replay", **nobody) == recorded
    assert "ChatPanel(session='tape-" in recorded
    assert KEY not in recorded
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(path)]
    env = lonely.env | tape | nobody | {"WARP_TAPE": "replay", "WARP_STREAM": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{len(CELLS)} passed" in done.stdout


def test_on_a_tape_pages_are_answered(lonely, tmp_path, lab):
    env = {"WARP_TAPE": "record", "WARP_TAPE_DIR": str(tmp_path / "tape")}
    told = []
    for mode in ("record", "replay"):
        with Kernel(lonely.also(**env | {"WARP_TAPE": mode})) as kernel:
            kernel.run("from warp_magics import ChatPanel\npanel = ChatPanel('page')")
            client = PanelClient(kernel, "panel")
            assert client.state("_gateway") == ""
            client.body("ask", key="taped", ask={"prompt": "Of cats.", "sessionId": "page"})
            settled(kernel, lambda: kernel.value("panel.value"))
            told.append(kernel.value("panel.value"))
    assert told == ["You said 'Of cats.' in message 1."] * 2
