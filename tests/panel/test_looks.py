"""How the panel looks: light and dark, wide and narrow, in JupyterLab and Notebook 7; nothing serious for axe, no pale text."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser import shot, too_pale
from tests.fakes.provider import Fault, Reply
from tests.panel.lab import Front, opened, running_lab
from tests.panel.test_talk import RICH

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")


@pytest.fixture(params=[("lab", "light"), ("lab", "dark"), ("notebook", "light")], ids="-".join)
def shown(request, browser, lab, tmp_path):
    app, theme = request.param
    with running_lab(tmp_path, lab.base_url, theme=theme) as server:
        context = browser.run(lambda: opened(browser.browser, width=1600, color_scheme=theme))
        yield browser.run(lambda: Front(server, tmp_path / "one", context, app=app)), f"{app}-{theme}"
        browser.run(context.close)


def complaints(front):
    """What axe finds of the panel that would keep somebody out."""
    front.page.evaluate(AXE.read_text())
    found = front.page.evaluate("async () => (await axe.run('.warp-root')).violations")
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found if one["impact"] in SERIOUS]


def test_it_looks_as_if_jupyter_had_shipped_it(shown, lab):
    front, name = shown
    hold = threading.Event()
    lab.script(f"rich@{name}", Reply(chunks=[RICH]))
    lab.script(f"broken@{name}", Reply(chunks=["It began ", "well"], insert=[Fault.CUT], at=2))
    lab.script(f"held@{name}", Reply(chunks=["Still ", "writing", hold]))
    front.run("import pandas as pd\nsales = pd.DataFrame({'month': ['May'], 'total': [90]})")
    panel = front.panel("looks", f"lab:rich@{name}")
    expect(panel.root.locator(".warp-empty button").first).to_contain_text("sales", timeout=10_000)
    shot(front.page, f"panel-{name}-empty")
    assert complaints(front) == []
    panel.asked("What is in `sales`?\n```python\nsales.head()\n```", "That is all.")
    front.run(f"panel.model = 'lab:fail-503@{name}'")
    panel.ask("And now?")
    expect(panel.root.locator(".warp-trouble")).to_be_visible(timeout=10_000)
    panel.button("Conversations").click()
    expect(panel.root.locator(".warp-session").first).to_be_visible(timeout=10_000)
    panel.root.locator(".warp-log").evaluate("one => one.scrollTo(0, 0)")
    expect(panel.root.locator(".warp-pill")).to_be_visible()
    panel.turns.first.hover()
    for width in (1100, 360):
        panel.root.evaluate("(one, width) => { one.style.width = `${width}px` }", width)
        expect(panel.root.locator(".warp-wide")).to_have_count(1 if width > 720 else 0)
        shot(front.page, f"panel-{name}-{width}-list")
        assert complaints(front) == []
        assert too_pale(front.page, ".warp-panel *") == []
        panel.button("Conversations").click()
        panel.button("More").click()
        shot(front.page, f"panel-{name}-{width}")
        assert complaints(front) == []
        assert too_pale(front.page, ".warp-panel *") == []
        assert panel.root.evaluate("one => one.querySelector('.warp-panel').scrollWidth <= one.clientWidth")
        front.page.keyboard.press("Escape")
        panel.button("Conversations").click()
    front.run(f"panel.model = 'lab:held@{name}'")
    panel.button("Conversations").click()
    panel.button("Try again").click()
    expect(panel.answers.last).to_contain_text("Still writing", timeout=10_000)
    shot(front.page, f"panel-{name}-live")
    assert complaints(front) == []
    hold.set()
    panel.idle()
    front.server.stop()
    expect(panel.root.locator(".warp-notice")).to_contain_text("does not answer", timeout=20_000)
    expect(panel.answers.first).to_contain_text("That is all.")
    expect(panel.button("Send")).to_be_disabled()
    shot(front.page, f"panel-{name}-offline")


def test_everything_is_reached_by_tab_in_reading_order(shown, lab):
    front, name = shown
    panel = front.panel("tabs", f"lab:ok@{name}")
    panel.asked("One", "You said 'One'")
    expect(panel.button("Edit and ask again")).to_have_count(1)  # it comes with the turn as its session has it
    panel.prompt.focus()
    reached = []
    panel.button("Conversations").focus()
    for _ in range(30):
        reached.append(
            front.page.evaluate(
                "document.activeElement.ariaLabel || document.activeElement.title || document.activeElement.innerText"
            )
        )
        if reached[-1] == "Prompt":
            break
        front.page.keyboard.press("Tab")
    told = [one.split(" · ")[0] for one in reached]
    wanted = [
        "Conversations",
        "Model",
        "More",
        "Conversation",
        "Edit and ask again",
        "Copy prompt",
        "Ask again",
        "Copy answer",
        "Prompt",
    ]
    assert [one for one in told if one in wanted] == wanted
    outline = panel.prompt.evaluate("one => getComputedStyle(one).outlineStyle")
    assert outline == "solid"
    sizes = panel.root.evaluate("""one => [...one.querySelectorAll('button, select')].filter(each => each.checkVisibility())
        .map(each => [each.getBoundingClientRect().height, each.title || each.innerText]).filter(([height]) => height < 28)""")
    assert sizes == []
