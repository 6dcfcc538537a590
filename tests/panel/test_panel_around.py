"""The list of conversations, the menu, the title, what goes along with a prompt: all that stands around a conversation."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.fakes.provider import Reply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_conversations_are_listed_searched_opened_forked_and_deleted(front, lab, way):
    front.run(
        "from warp_magics import Warp\n"
        f"for name in ('alpha', 'beta'): Warp().ask(f'About {{name}}', session=f'{{name}}-{way}', model='lab:ok')"
    )
    panel = front.panel(f"around-{way}")
    panel.asked("Where am I?", "Where am I?")
    panel.button("Conversations").click()
    listed = panel.root.get_by_role("complementary", name="Conversations")
    expect(listed.locator("li")).to_have_count(3, timeout=10_000)
    listed.get_by_role("searchbox").fill("alpha")
    expect(listed.locator("li")).to_have_count(1, timeout=10_000)
    listed.locator(".warp-session").click()
    expect(panel.root.locator(".warp-prompt")).to_have_text("About alpha", timeout=10_000)
    assert front.print("panel.session") == f"alpha-{way}"
    listed.get_by_role("searchbox").fill("")
    beta = listed.locator("li").filter(has_text="beta")
    beta.hover()
    beta.get_by_role("button", name="Fork").click()
    expect(panel.root.locator(".warp-prompt")).to_have_text("About beta", timeout=10_000)
    expect(listed.locator("li").filter(has_text="beta")).to_have_count(2, timeout=10_000)
    fork = listed.locator("li.warp-current")
    fork.hover()
    fork.get_by_role("button", name="Delete").click()
    fork.get_by_role("button", name="Delete", exact=True).click()
    expect(panel.root.locator(".warp-notice")).to_contain_text("was deleted", timeout=10_000)
    expect(panel.root.locator(".warp-why")).to_contain_text("deleted")
    panel.root.locator(".warp-notice").get_by_role("button", name="New conversation").click()
    expect(panel.root.locator(".warp-empty")).to_be_visible(timeout=10_000)
    listed.get_by_role("searchbox").press("Escape")
    expect(listed).to_have_count(0)


def test_the_title_is_edited_in_its_place(front, lab, way):
    panel = front.panel(f"titled-{way}")
    panel.asked("What is it called?", "called")
    panel.root.locator("button.warp-title").click()
    title = panel.root.get_by_role("textbox", name="Title")
    title.fill("Prices in May")
    title.press("Enter")
    expect(panel.root.locator("button.warp-title")).to_have_text("Prices in May", timeout=10_000)
    title = panel.root.locator("button.warp-title")
    title.click()
    panel.root.get_by_role("textbox", name="Title").press("Escape")
    expect(title).to_have_text("Prices in May")


def test_the_menu_exports_forks_and_begins_anew(front, lab, way):
    panel = front.panel(f"menu-{way}")
    panel.asked("Keep this", "Keep this")
    for item, ending in (
        ("Export as JSON", ".json"),
        ("Export as Markdown", ".md"),
        ("Export as a notebook", ".ipynb"),
    ):
        with front.page.expect_download() as got:
            panel.pick(item)
        assert got.value.suggested_filename.endswith(ending)
        text = got.value.path().read_text()
        assert "Keep this" in text
        if ending != ".md":
            json.loads(text)
    panel.pick("Fork")
    expect(panel.turns).to_have_count(1, timeout=10_000)
    assert front.print("panel.session") != f"menu-{way}"
    panel.pick("New conversation")
    expect(panel.root.locator(".warp-empty")).to_be_visible(timeout=10_000)
    panel.button("More").click()
    expect(panel.root.get_by_role("menu")).to_be_visible()
    front.page.keyboard.press("Escape")
    expect(panel.root.get_by_role("menu")).to_have_count(0)
    expect(panel.button("More")).to_be_focused()


def test_files_images_and_variables_go_along(front, lab, way):
    front.run("import pandas as pd\nsales = pd.DataFrame({'month': ['May'], 'total': [90]})")
    seen = []
    lab.script(f"sees@{way}", lambda call: seen.append(call.body["messages"]) or Reply(chunks=["Seen."]))
    panel = front.panel(f"files-{way}", f"lab:sees@{way}")
    panel.button("Attach a file or a variable").click()
    panel.root.get_by_role("menuitem").filter(has_text="sales").click()
    chips = panel.root.locator(".warp-composer .warp-chip")
    expect(chips).to_contain_text(["sales"], timeout=10_000)
    expect(panel.root.locator(".warp-why")).to_contain_text("Write what is to be done")
    panel.root.locator("input[type=file]").set_input_files(
        [{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"bring bread"}]
    )
    expect(chips).to_have_count(2)
    panel.prompt.evaluate(
        """(area, data) => {
            const bytes = Uint8Array.from(atob(data), one => one.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], 'shot.png', {type: 'image/png'}));
            area.dispatchEvent(new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true, cancelable: true}));
        }""",
        PIXEL,
    )
    expect(chips).to_have_count(3)
    panel.root.locator("input[type=file]").set_input_files(
        [{"name": "odd.bin", "mimeType": "application/octet-stream", "buffer": b"\xff\xfe\x00\x01"}]
    )
    expect(panel.root.locator(".warp-why")).to_contain_text("odd.bin", timeout=10_000)
    panel.root.get_by_role("button", name="Remove notes.txt").click()
    expect(chips).to_have_count(2)
    panel.asked("What is this?", "Seen.")
    expect(panel.root.locator(".warp-asked .warp-chip")).to_have_text(["sales", "shot.png"])
    text = json.dumps(seen[-1])
    assert "May" in text
    assert PIXEL in text
    assert "bread" not in text


def test_an_empty_conversation_proposes_what_makes_sense_here(front, lab, way):
    front.run("import pandas as pd\nprices = pd.DataFrame({'bread': [3.5]})")
    panel = front.panel(f"empty-{way}")
    proposals = panel.root.locator(".warp-empty button")
    expect(proposals).to_have_count(3)
    expect(proposals.filter(has_text="prices").first).to_be_visible(timeout=10_000)
    proposals.filter(has_text="prices").first.click()
    expect(panel.root.locator(".warp-composer .warp-chip")).to_contain_text("prices", timeout=10_000)
    expect(panel.prompt).not_to_have_value("")
    panel.prompt.press("Enter")
    expect(panel.answers.last).to_contain_text("You said", timeout=10_000)


def test_the_model_is_chosen_and_its_state_is_told(front, lab, way):
    """One that has just failed is passed over for a while, and the picker says so."""
    panel = front.panel(f"models-{way}", "lab:fail-429-retry-after-30")
    panel.ask("Are you there?")
    expect(panel.root.locator(".warp-trouble")).to_be_visible(timeout=10_000)
    picker = panel.root.get_by_role("combobox", name="Model")
    expect(picker.locator("option", has_text=re.compile("^lab:ok$"))).to_have_count(1)
    picker.select_option("lab:ok")
    assert front.print("panel.model") == "lab:ok"
    front.run("panel.model = ''")
    expect(picker).to_have_value("")
    panel.button("Try again").click()
    expect(panel.answers.last).to_contain_text("You said 'Are you there?'", timeout=10_000)


def test_python_sets_and_observes(front, lab, way):
    panel = front.panel(f"python-{way}")
    front.run("seen = []\npanel.observe(lambda change: seen.append(change['new']), 'value')")
    panel.asked("Tell Python", "Tell Python")
    front.run("pass")
    assert front.print("seen") == """["You said 'Tell Python' in message 1."]"""
    front.run("panel.disabled = True")
    expect(panel.prompt).to_be_disabled()
    expect(panel.root.locator(".warp-notice")).to_contain_text("for reading")
    front.run("panel.height = 300")
    expect(panel.root).to_have_css("height", "300px")
    box = panel.root.bounding_box()  # its lower right corner is a handle
    front.page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4)
    front.page.mouse.down()
    front.page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] + 96, steps=5)
    front.page.mouse.up()
    assert abs(int(front.print("panel.height")) - 400) <= 2
    front.run("panel.disabled = False")
    front.run(f"panel.session = 'other-{way}'")
    expect(panel.root.locator(".warp-empty")).to_be_visible(timeout=10_000)
    front.run(f"panel.session = 'python-{way}'")
    expect(panel.turns).to_have_count(1, timeout=10_000)
    cell = front.run("import ipywidgets\nbox = ipywidgets.HBox([panel, ipywidgets.IntSlider()])\nbox")
    expect(cell.locator(".warp-panel")).to_be_visible(timeout=10_000)
    expect(cell.locator(".warp-turn")).to_have_count(1, timeout=10_000)
    front.run("panel.close()")
    expect(panel.root).to_have_count(0)
