"""JupyterLab 4 and Notebook 7 in Chromium: what a person sees of cells, tables and Tab, in the light and the dark theme."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser import chromium, shot, too_pale
from tests.fakes.provider import Reply
from tests.notebook.kernel import KEY
from tests.notebook.served import TOML
from tests.panel.lab import settings
from tests.server.process import poll, running_jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CELLS = (
    "%load_ext warp_magics",
    "%%warp -s talk -m lab:table@{0}\nShow me a table.",
    "%%warp -s talk -m lab:fail-503@{0} -m lab:ok@{0}\nAnd one more.",
    "%warp history talk",
    "%warp tree talk",
)
ANSWER = ["Here **it** is:\n\n", "| month | sales |\n|---|---:|\n", "| May | 90 |\n"]


@pytest.fixture(params=[("lab", "light"), ("lab", "dark"), ("notebook", "light")], ids="-".join)
def front_end(request, lab, tmp_path):
    """A server with a notebook in its folder, which front end is to show it, and its theme."""
    app, theme = request.param
    name = f"{app}-{theme}"
    lab.script(f"table@{name}", Reply(chunks=ANSWER))
    (tmp_path / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    env = {
        "WARP_CONFIG": str(tmp_path / "warp.toml"),
        "LAB_API_KEY": KEY,
        **settings(tmp_path, theme),
    }
    with running_jupyter(tmp_path / "one", env) as server:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.format(name)) for cell in CELLS])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(made, tmp_path / "one" / "talk.ipynb")
        yield server, f"{server.url}{'lab/tree' if app == 'lab' else 'notebooks'}/talk.ipynb?token={server.token}", name


def turns(server):
    with server.client() as rest:
        answer = rest.get("sessions/talk/history")
        return answer.json()["turns"] if answer.is_success else []


def run_all(page):
    """Shift+Enter from the first cell to the last; a front end that is still starting does not hear it."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    for cell in (cells.nth(at) for at in range(len(CELLS))):
        prompt = cell.locator(".jp-InputArea-prompt")
        before = prompt.inner_text()

        def pressed(cell=cell, prompt=prompt, before=before):
            cell.locator(".cm-content").click()
            page.keyboard.press("Shift+Enter")
            try:
                expect(prompt).not_to_have_text(before, timeout=3_000)
            except AssertionError:
                return False
            return True

        poll(pressed, 40)


def test_what_a_person_sees(front_end):
    """In a thread of its own: playwright's loop and pytest-asyncio's are not to meet."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(looked_at, *front_end).result()


def looked_at(server, url, name):
    with chromium() as browser:
        see(browser.new_page(viewport={"width": 1100, "height": 1400}), server, url, name)


def see(page, server, url, name):
    page.goto(url)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells.first).to_be_visible(timeout=60_000)
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", str("light" in name).lower(), timeout=30_000)
    expect(cells).to_have_count(len(CELLS), timeout=30_000)
    run_all(page)
    answer = cells.nth(1).locator(".jp-RenderedMarkdown")
    expect(answer.locator("strong")).to_have_text("it", timeout=60_000)
    expect(answer.locator("td").first).to_have_text("May")
    expect(cells.nth(1).locator(".warp-route")).to_contain_text(f"lab:table@{name}")
    fallen = cells.nth(2).locator(".warp-warns")
    expect(fallen).to_contain_text(f"fell back from lab:fail-503@{name}", timeout=30_000)
    history = cells.nth(3).locator(".warp-view table")
    expect(history.locator("tbody tr")).to_have_count(2, timeout=30_000)
    expect(history).to_contain_text("And one more.")
    assert too_pale(page, ".warp-view td, .warp-view th, .warp-route, .warp-warns") == []
    shot(page, name)
    once = turns(server)
    run_all(page)
    twice = poll(lambda: (now := turns(server)) and len(now) == 2 and now[0]["n"] > once[-1]["n"] and now, 30)
    assert [turn["prompt"] for turn in twice] == [turn["prompt"] for turn in once]
    assert {turn["source"]["kind"] for turn in twice} == {"cell"}
    assert all(turn["source"]["notebook"].endswith("talk.ipynb") for turn in twice)
    assert [turn["source"]["cell"] for turn in twice] == [turn["source"]["cell"] for turn in once]
    assert all(turn["source"]["cell"] and not turn["source"]["cell"].startswith("text-") for turn in twice)
    expect(cells.nth(4).locator(".warp-view table")).to_contain_text("branch 1", timeout=30_000)
    tab_offers(page, cells)


def tab_offers(page, cells):
    """The last Shift+Enter has made a new cell, in which one types on."""
    expect(cells.nth(len(CELLS))).to_be_visible()
    cells.nth(len(CELLS)).locator(".cm-content").click()
    page.keyboard.type("%%warp --ses")
    page.keyboard.press("Tab")
    expect(
        cells.nth(len(CELLS))
        .locator(".cm-content")
        .or_(page.locator(".jp-Completer"))
        .filter(has_text="--session")
        .first
    ).to_be_visible(timeout=20_000)
