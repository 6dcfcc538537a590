"""Chromium for tests: in a thread of its own, for playwright's loop and pytest-asyncio's are not to meet."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
SHOTS = os.environ.get("WARP_SCREENSHOTS")
T = TypeVar("T")


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """The browser; to be opened and used in one thread that has no event loop."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), *flags])
        try:
            yield browser
        finally:
            browser.close()


class BrowserThread:
    """A thread with a browser in it: `run(work, ...)` calls `work` there and returns what it returns."""

    browser: Browser

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._open = chromium("--js-flags=--expose-gc", "--enable-precise-memory-info")

    def __enter__(self) -> Self:
        self.browser = self.run(self._open.__enter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._open.__exit__, None, None, None)
        self._pool.shutdown()

    def run(self, work: Callable[..., T], *args: Any) -> T:
        return self._pool.submit(work, *args).result()


def shot(page: Page, name: str) -> None:
    """A picture, where somebody wants to look at it: `WARP_SCREENSHOTS=FOLDER`."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


# Of each element of `selector` with text of its own: its contrast with what is behind it, by WCAG's formula.
CONTRASTS = """selector => {
  const parse = text => {
    const found = text.match(/color\\(srgb ([^)]*)\\)/);
    const numbers = (found ? found[1] : text).match(/[\\d.]+/g).map(Number);
    return found ? [...numbers.slice(0, 3).map(n => n * 255), ...numbers.slice(3)] : numbers;
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(n => (n /= 255) <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll(selector)]
    .filter(one => one.checkVisibility() && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .map(one => {
      const [r, g, b, a = 1] = parse(getComputedStyle(one).color);
      const under = behind(one);
      const [high, low] = [light([r, g, b].map((v, i) => v * a + under[i] * (1 - a))), light(under)].sort((x, y) => y - x);
      return [(high + 0.05) / (low + 0.05), one.outerHTML.slice(0, 100)];
    });
}"""


def too_pale(page: Page, selector: str) -> list[Any]:
    """What stands out from what is behind it by less than 4.5 : 1 (WCAG 2, 1.4.3)."""
    found = page.evaluate(CONTRASTS, selector)
    assert found, selector
    return [one for one in found if one[0] < 4.5]
