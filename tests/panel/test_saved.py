"""A notebook with a panel, without a kernel: the conversation as static HTML, in JupyterLab and in nbconvert."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_the_conversation_is_read_without_a_kernel(lab, way, another):
    own = another()
    panel = own.panel(f"saved-{way}")
    panel.asked("Is **this** kept?", "You said")
    expect(own.page.locator(".warp-saved")).not_to_be_visible()
    own.page.wait_for_timeout(500)
    saved = own.save()
    html = "".join(saved.cells[0].outputs[0].data["text/html"])
    assert "Is **this** kept?" in html
    assert "You said" in html
    with httpx.Client(base_url=f"{own.server.url}api/", headers={"Authorization": f"token {own.server.token}"}) as rest:
        (one,) = [k for k in rest.get("sessions").json() if k["path"].endswith(own.name)]
        rest.delete(f"sessions/{one['id']}").raise_for_status()
    own.page.goto("about:blank")
    own.page.route(
        "**/api/sessions**",
        lambda route: route.fulfill(status=500, body="{}") if route.request.method == "POST" else route.continue_(),
    )
    own.page.goto(own.url)
    static = own.page.locator(".warp-saved")
    expect(static).to_be_visible(timeout=60_000)
    expect(static).to_contain_text("Is **this** kept?")
    expect(static).to_contain_text("You said")
    expect(own.page.get_by_text("Error displaying widget")).not_to_be_visible()
    path = own.folder / own.name
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", str(path)], check=True, capture_output=True, timeout=60
    )
    told = path.with_suffix(".html").read_text()
    assert "Is **this** kept?" in told
    assert "You said" in told
