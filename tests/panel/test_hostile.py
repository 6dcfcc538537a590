"""A model's answer is hostile input: in a real page nothing of it runs, calls out, or passes for something of ours."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fakes.provider import Reply
from tests.panel.test_panel_around import PIXEL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PAYLOADS = json.loads((Path(__file__).parents[2] / "frontend" / "tests" / "payloads.json").read_text())
FORBIDDEN = "script, iframe, object, embed, form, input, select, textarea, style, link, meta, base, svg, video, audio, [style*=url], [id], [name], [onerror], [onload], [onclick]"


@pytest.fixture(scope="module")
def listener():
    """A server that must hear nothing, and what it has heard."""
    heard = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(base64.b64decode(PIXEL))

        do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - as http.server names them

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", heard
        server.shutdown()


def test_nothing_of_an_answer_runs_or_calls_out(front, lab, way, listener):
    host, heard = listener
    panel = front.panel(f"hostile-{way}", f"lab:hostile@{way}")
    page = front.page
    page.evaluate("window.__owned = false")
    dialogs = []
    page.on("dialog", lambda one: dialogs.append(one.message) or one.dismiss())
    for at in range(0, len(PAYLOADS), 12):
        text = "\n\n---\n\n".join(one["text"].replace("HOST", host) for one in PAYLOADS[at : at + 12])
        lab.script(f"hostile@{way}", Reply(chunks=[text[n : n + 50] for n in range(0, len(text), 50)]))
        panel.ask(f"Payloads from {at}")
        expect(panel.turns).to_have_count(at // 12 + 1, timeout=20_000)
        panel.idle()
    for one in panel.root.locator(".warp-text a").all():
        assert one.get_attribute("href").startswith(("http://", "https://", "mailto:"))
        assert one.get_attribute("target") == "_blank"
        assert "noopener" in one.get_attribute("rel")
    for one in panel.root.locator(".warp-text *").all()[:400:7]:  # what waits for a pointer
        if one.is_visible():
            one.hover(force=True, timeout=2_000, no_wait_after=True)
    page.wait_for_timeout(500)
    assert panel.root.locator(".warp-text").locator(FORBIDDEN).count() == 0
    assert panel.root.locator(".warp-text img").count() == 0
    assert page.evaluate("window.__owned") is False
    assert page.evaluate("Object.keys(Object.prototype)") == []
    assert page.evaluate("({}).polluted") is None
    assert (dialogs, heard) == ([], [])


def test_a_picture_is_loaded_after_a_click_alone(front, lab, way, listener):
    host, heard = listener
    lab.script(f"picture@{way}", Reply(chunks=[f"Look: ![a cat](http://{host}/cat.png)"]))
    panel = front.panel(f"picture-{way}", f"lab:picture@{way}")
    panel.asked("A picture", "Look")
    button = panel.root.locator(".warp-text").get_by_role("button")
    expect(button).to_contain_text(host.partition(":")[0])
    assert not [one for one in heard if "cat" in one]
    button.click()
    expect(panel.root.locator(".warp-text img")).to_have_attribute("alt", "a cat")
    for _ in range(50):
        if "/cat.png" in heard:
            break
        front.page.wait_for_timeout(100)
    assert "/cat.png" in heard
    heard.clear()
