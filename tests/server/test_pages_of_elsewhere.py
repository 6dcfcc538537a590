"""A page of another origin, in Chromium: it reads nothing, has nothing asked, and is let in where that is configured."""

from __future__ import annotations

import functools
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.browser import chromium
from tests.server.alone_process import running_alone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TOML = 'models = ["demo:ok"]\n[storage]\ntype = "memory"\n'
ASK = """async ([url, token]) => {
    const headers = {"Content-Type": "application/json"};
    if (token) headers.Authorization = `Bearer ${token}`;
    try {
        const body = JSON.stringify({prompt: "Hello", sessionId: "s", createSession: true});
        const said = await fetch(url + "/api/v1/prompt", {method: "POST", headers, body});
        return [said.status, (await said.json()).text, said.headers.get("x-session-id")];
    } catch (error) { return [error.name]; }
}"""
READ = """async ([url]) => {
    try { return (await (await fetch(url + "/api/v1/health/live")).json()).status; }
    catch (error) { return error.name; }
}"""
SEND = """async ([url]) => {
    const said = await fetch(url + "/api/v1/prompt", {method: "POST", mode: "no-cors", body: '{"prompt": "x"}'});
    return said.type;
}"""
FRAME = """([url]) => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { done(frame.contentDocument === null ? "shut" : "open"); } catch { done("shut"); } };
    frame.src = url + "/api/v1/health/live";
    document.body.append(frame);
})"""


@pytest.fixture
def elsewhere(tmp_path):
    """A web server of another origin with an empty page."""
    (tmp_path / "index.html").write_text("<!doctype html><title>elsewhere</title>")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def on_the_page(origin, *scripts):
    """What scripts of the page return, each with its argument."""

    def run():
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"{origin}/index.html")
            return [page.evaluate(script, argument) for script, argument in scripts]

    with ThreadPoolExecutor(1) as pool:  # playwright's loop and pytest-asyncio's are not to meet
        return pool.submit(run).result()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_page_of_elsewhere(elsewhere, tmp_path, allowed):
    origins = f'[server]\ncors_origins = ["{elsewhere}"]\n' if allowed else ""
    (tmp_path / "warp.toml").write_text(TOML + origins)
    with running_alone(tmp_path / "one", {"WARP_CONFIG": str(tmp_path / "warp.toml")}) as warp:
        scripts = ((ASK, [warp.url, warp.token]), (ASK, [warp.url, ""]), (READ, [warp.url]), (SEND, [warp.url]))
        asked, unsigned, read, sent, framed = on_the_page(elsewhere, *scripts, (FRAME, [warp.url]))
        with warp.client() as client:
            turns = client.get("sessions/s/history")
    assert (sent, framed) == ("opaque", "shut")
    if allowed:
        assert (asked[0], asked[2], read) == (200, "s", "ok")
        assert "Hello" in asked[1]
        assert unsigned[0] == 401
        assert len(turns.json()["turns"]) == 1
    else:
        assert (asked, unsigned, read) == (["TypeError"], ["TypeError"], "TypeError")
        assert turns.status_code == 404, "nothing was asked"
