"""JupyterLab 4 and Notebook 7 in Chromium: what a person sees of cells, tables and Tab, in the light and the dark theme."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.fakes.provider import Reply
from tests.notebook.kernel import KEY
from tests.notebook.served import TOML
from tests.server.process import poll, running_jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
CELLS = (
    "%load_ext warp_magics",
    "%%warp -s talk -m lab:table@{0}\nShow me a table.",
    "%%warp -s talk -m lab:fail-503@{0} -m lab:ok@{0}\nAnd one more.",
    "%warp history talk",
    "%warp tree talk",
)
ANSWER = ["Here **it** is:\n\n", "| month | sales |\n|---|---:|\n", "| May | 90 |\n"]
SHOTS = os.environ.get("WARP_SCREENSHOTS")


@pytest.fixture(params=[("lab", "light"), ("lab", "dark"), ("notebook", "light")], ids="-".join)
def front_end(request, lab, tmp_path):
    """A server with a notebook in its folder, which front end is to show it, and its theme."""
    app, theme = request.param
    name = f"{app}-{theme}"
    lab.script(f"table@{name}", Reply(chunks=ANSWER))
    (tmp_path / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    chosen = {"theme": "JupyterLab Dark" if theme == "dark" else "JupyterLab Light"}
    (settings / "themes.jupyterlab-settings").write_text(json.dumps(chosen))
    quiet = settings.parent / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    env = {
        "WARP_CONFIG": str(tmp_path / "warp.toml"),
        "LAB_API_KEY": KEY,
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
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
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        try:
            see(browser.new_page(viewport={"width": 1100, "height": 1400}), server, url, name)
        finally:
            browser.close()


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
    contrast_is_enough(page)
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))
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


CONTRAST = """
() => {
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const [r, g, b, a] = parse(getComputedStyle(element).backgroundColor);
      if (a === undefined || a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll(".warp-view td, .warp-view th, .warp-route, .warp-warns")].map((one) => {
    const [r, g, b, a = 1] = parse(getComputedStyle(one).color);
    const under = behind(one);
    const over = [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
    const [high, low] = [luminance(over), luminance(under)].sort((x, y) => y - x);
    return [one.className || one.tagName, (high + 0.05) / (low + 0.05)];
  });
}
"""


def contrast_is_enough(page):
    """Text stands out from what is behind it by at least 4.5 : 1 (WCAG 2, 1.4.3)."""
    found = page.evaluate(CONTRAST)
    assert len(found) > 8
    assert [one for one in found if one[1] < 4.5] == []
