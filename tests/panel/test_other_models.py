"""The panel with the demo provider, as it is without any key, and with a real model on this machine."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.fakes.local_model import local_model
from tests.panel.lab import Front, Panel, opened, running_lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DEMO = 'models = ["demo:ok"]\n[storage]\ntype = "memory"\n'
LOCAL = """
models = ["local:smollm2"]
[[model]]
provider = "local"
model = "smollm2"
context_tokens = 2048
[providers.local]
dialect = "openai"
base_url = "{base_url}"
[storage]
type = "memory"
"""


def talked(browser, folder, toml, base_url):
    with running_lab(folder, base_url, toml=toml) as server:
        context = opened(browser.browser)
        try:
            front = Front(server, folder / "one", context)
            front.run("%load_ext warp_magics")
            panel = Panel(front.page, front.run("%warp chat here").locator(".warp-root"))
            panel.ask("What is the capital of France? Answer in one word.")
            expect(panel.root.locator(".warp-route")).to_be_visible(timeout=60_000)
            panel.idle()
            front.run("%%warp -s here\nAnd of Italy? Answer in one word.")
            expect(panel.root.locator(".warp-route")).to_have_count(2, timeout=60_000)
            return panel.root.locator(".warp-text").all_inner_texts()
        finally:
            context.close()


def test_the_demo_provider_says_what_it_is(browser, tmp_path):
    first, second = talked(browser, tmp_path, DEMO, "")
    assert "demo provider" in first
    assert "Italy" in second


def test_a_real_model_answers(browser, tmp_path):
    with local_model(tmp_path) as url:
        first, second = talked(browser, tmp_path, LOCAL, url)
    assert "Paris" in first
    assert second.strip()
