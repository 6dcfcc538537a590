"""JupyterLab or Notebook 7 with an empty notebook in Chromium, in whose cells tests open panels."""

from __future__ import annotations

import itertools
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nbformat
from playwright.sync_api import Error, expect

from tests.notebook.kernel import KEY
from tests.server.process import poll, running_jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request

    from tests.server.process import JupyterProcess

TOML = """
models = ["lab:ok"]
[providers.lab]
dialect = "openai"
base_url = "{base_url}"
api_key = "${{LAB_API_KEY}}"
[storage]
type = "memory"
[limits]
retry = {{ max = 0 }}
"""
_RUN = re.compile(r"\[[\d*]+\]:")
_ENDED = re.compile(r"\[\d+\]:")
_number = itertools.count(1)


def settings(folder: Path, theme: str) -> dict[str, str]:
    """An environment for a JupyterLab of that theme that tells no news."""
    for name, said in {
        "themes": {"theme": f"JupyterLab {theme.title()}"},
        "notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        path = folder / "settings" / "@jupyterlab" / "apputils-extension" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(said))
    return {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


@contextmanager
def running_lab(
    folder: Path, base_url: str, *, toml: str = TOML, rest: bool = True, theme: str = "light", **env: str
) -> Iterator[JupyterProcess]:
    """A Jupyter Server with front ends; without `rest` our extension is off, and kernels have a gateway of their own.

    Its coverage is not counted: what runs in it runs without a browser, too.
    """
    (folder / "warp.toml").write_text(toml.format(base_url=base_url))
    told = {"WARP_CONFIG": str(folder / "warp.toml"), "LAB_API_KEY": KEY, **settings(folder, theme), **env}
    (folder / "config").mkdir(exist_ok=True)
    if not rest:
        off = {"ServerApp": {"jpserver_extensions": {"jupyter_server_ext": False}}}
        (folder / "config" / "jupyter_server_config.json").write_text(json.dumps(off))
    with running_jupyter(
        folder / "one", told, alive="warp/api/v1/health/live" if rest else "api", counted=False
    ) as server:
        yield server


class Front:
    """A notebook in a page."""

    def __init__(
        self, server: JupyterProcess, folder: Path, context: BrowserContext, *, app: str = "lab", name: str = ""
    ) -> None:
        self.server, self.folder, self.app = server, folder, app
        self.name = name or f"n{next(_number)}.ipynb"
        if not (folder / self.name).exists():
            made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")])
            made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(made, folder / self.name)
        self.page = context.new_page()
        self.feeds: set[Request] = set()
        """The connections by which the page is told of sessions at this moment."""
        self.page.on("request", lambda one: "/warp/api/v1/events" in one.url and self.feeds.add(one))
        self.page.on("requestfinished", self._over)
        self.page.on("requestfailed", self._over)
        self.load()

    def _over(self, one: Request) -> None:
        self.feeds.discard(one)

    @property
    def url(self) -> str:
        place = "lab/tree" if self.app == "lab" else "notebooks"
        return f"{self.server.url}{place}/{self.name}?token={self.server.token}&reset"

    def load(self) -> None:
        self.page.goto(self.url)
        expect(self.cells.first).to_be_visible(timeout=60_000)
        idle = self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")

        def ready() -> bool:
            self.choose_kernel()
            return idle.is_visible()

        poll(ready, 60)

    def choose_kernel(self) -> None:
        """Take the kernel that JupyterLab proposes: it asks where it could not start one, as on a busy machine."""
        if (asks := self.page.locator(".jp-Dialog").filter(has_text="Select Kernel")).count():
            asks.locator("button.jp-mod-accept").click(timeout=15_000)

    @property
    def cells(self) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    def run(self, code: str, *, wait: bool = True) -> Locator:
        """Run `code` in the last cell, behind which a new one comes; returns the cell."""
        count = self.cells.count()
        cell = self.cells.nth(count - 1)

        def ran() -> bool:
            """A front end that is still starting does not hear it, or has no kernel to run it yet."""
            self.choose_kernel()
            self.click(cell.locator(".cm-content"))
            self.page.keyboard.press("Control+a")
            self.page.keyboard.insert_text(code)
            self.page.keyboard.press("Shift+Enter")
            try:
                expect(cell.locator(".jp-InputArea-prompt")).to_have_text(_RUN, timeout=3_000)
                expect(self.cells).to_have_count(count + 1, timeout=3_000)
            except AssertionError:
                return False
            return True

        poll(ran, 40)
        if wait:
            self.wait(cell)
        return cell

    def click(self, what: Locator) -> None:
        """Click it; where a dialog of the front end's is in the way, the failure has its words."""
        try:
            what.click(timeout=15_000)
        except Error as error:
            raise AssertionError(self.page.locator(".jp-Dialog").all_inner_texts()) from error

    def wait(self, cell: Locator) -> None:
        """Wait until the cell has ended."""
        expect(cell.locator(".jp-InputArea-prompt")).to_have_text(_ENDED, timeout=60_000)

    def panel(self, session: str, model: str = "lab:ok", more: str = "") -> Panel:
        """Open a panel in a new cell."""
        code = f"from warp_magics import ChatPanel\npanel = ChatPanel({session!r}, model={model!r}{more})\npanel"
        return Panel(self.page, self.run(code).locator(".warp-root"))

    def save(self) -> dict[str, Any]:
        """Save it, and return what is in the file then."""
        path = self.folder / self.name
        before = path.stat().st_mtime_ns
        self.cells.last.locator(".cm-content").click()
        self.page.keyboard.press("Control+s")
        poll(lambda: path.stat().st_mtime_ns != before and path.read_text().rstrip().endswith("}"), 20)
        return nbformat.read(path, 4)

    def print(self, expression: str) -> str:
        """What the kernel prints of an expression."""
        return self.run(f"print({expression})").locator(".jp-OutputArea-output").inner_text().strip()


class Panel:
    """A panel as a person meets it."""

    def __init__(self, page: Page, root: Locator) -> None:
        self.page, self.root = page, root
        expect(root.locator(".warp-panel")).to_be_visible(timeout=20_000)

    @property
    def prompt(self) -> Locator:
        return self.root.get_by_role("textbox", name="Prompt", exact=True)

    @property
    def turns(self) -> Locator:
        return self.root.locator(".warp-turn")

    @property
    def answers(self) -> Locator:
        return self.root.locator(".warp-answer")

    def button(self, name: str, inside: Locator | None = None) -> Locator:
        return (inside or self.root).get_by_role("button", name=name, exact=True)

    def type(self, text: str) -> None:
        self.prompt.click()
        self.page.keyboard.insert_text(text)

    def ask(self, text: str) -> None:
        """Type it and send it."""
        self.type(text)
        self.page.keyboard.press("Enter")

    def asked(self, text: str, answer: str, count: int | None = None) -> None:
        """Ask, and wait for the answer to have ended with `answer` in it."""
        before = self.turns.count()
        self.ask(text)
        expect(self.turns).to_have_count(count or before + 1, timeout=20_000)
        expect(self.answers.last).to_contain_text(answer, timeout=20_000)
        self.idle()

    def idle(self) -> None:
        expect(self.button("Send")).to_be_visible(timeout=20_000)
        expect(self.root.locator("[aria-busy=true]")).to_have_count(0, timeout=20_000)

    def pick(self, item: str) -> None:
        """An item of the menu."""
        self.button("More").click()
        self.root.get_by_role("menuitem", name=item).click()


def opened(browser: Browser, *, width: int = 1300, **options: Any) -> BrowserContext:
    return browser.new_context(viewport={"width": width, "height": 1000}, **options)
