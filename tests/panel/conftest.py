"""The panel in real front ends. Tests with a `front` run in the browser's own thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import BrowserThread
from tests.fakes.provider import FakeProvider
from tests.panel.lab import Front, opened, running_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if "browser" not in pyfuncitem.fixturenames:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    pyfuncitem._request.getfixturevalue("browser").run(lambda: pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session")
def browser() -> Iterator[BrowserThread]:
    with BrowserThread() as thread:
        yield thread


@pytest.fixture(scope="session")
def lab() -> Iterator[FakeProvider]:
    with FakeProvider.in_thread() as provider:
        yield provider


@pytest.fixture(scope="module", params=["rest", "comm"])
def way(request: pytest.FixtureRequest) -> str:
    """How the panel reaches the gateway."""
    return str(request.param)


@pytest.fixture(scope="module")
def served(way: str, lab: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server; without REST where the panel is to ask over the comm."""
    folder = tmp_path_factory.mktemp(way)
    with running_lab(folder, lab.base_url, rest=way == "rest") as server:
        yield server, folder / "one"


@pytest.fixture(scope="module")
def front(browser: BrowserThread, served: Any) -> Iterator[Front]:
    """A notebook in JupyterLab, which the tests of a module share: each opens panels on sessions of its own."""
    context = browser.run(lambda: opened(browser.browser))
    made = browser.run(lambda: Front(*served, context))
    yield made
    browser.run(context.close)


@pytest.fixture
def another(browser: BrowserThread, served: Any) -> Iterator[Callable[..., Front]]:
    """Opens a notebook in a browser of its own: a new one, or that of a name."""
    contexts: list[BrowserContext] = []

    def front(name: str = "") -> Front:
        contexts.append(opened(browser.browser))
        return Front(*served, contexts[-1], name=name)

    yield front
    for context in contexts:
        browser.run(context.close)
