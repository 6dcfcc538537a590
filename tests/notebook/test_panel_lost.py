"""A panel whose gateway goes away and comes back: it goes on by itself, and says nothing in the notebook."""

from __future__ import annotations

import pytest

from tests.notebook.kernel import KEY, Kernel
from tests.notebook.panel_client import PanelClient
from tests.notebook.served import TOML
from tests.server.alone_process import running_alone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def is_seen(message, prompt):
    return message["msg_type"] == "stream" and f"seen: You said '{prompt}'" in message["content"]["text"]


def test_it_goes_on_when_its_gateway_is_back(lab, place, tmp_path):
    (tmp_path / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    env = {"WARP_CONFIG": str(tmp_path / "warp.toml"), "LAB_API_KEY": KEY}
    with running_alone(tmp_path / "alone", env) as gateway:
        at = {"WARP_GATEWAY_URL": gateway.url, "WARP_GATEWAY_TOKEN": gateway.token}
        with Kernel(place.also(**at)) as kernel:
            kernel.run("from warp_magics import ChatPanel\npanel = ChatPanel('lost')")
            kernel.run("panel.observe(lambda change: print('seen:', change['new']), 'value')")
            kernel.run("%%warp -s lost\nbefore")
            gateway.kill()
            ran = kernel.run("kept = panel.value")
            assert (ran.status, ran.stream("stderr"), ran.displays) == ("ok", "", [])
            assert kernel.value("kept") == "You said 'before' in message 1."
            status, body = PanelClient(kernel, "panel").ask("history", within=60, sessionId="lost")
            assert (status, body["code"]) == (503, "GATEWAY_UNREACHABLE")
            with running_alone(tmp_path / "alone", env, port=gateway.port) as again, again.client() as client:
                ask = {"prompt": "after", "sessionId": "lost", "createSession": True}
                client.post("prompt", json=ask).raise_for_status()
                kernel.until(lambda: [one for one in kernel.messages if is_seen(one, "after")], within=60)
            assert "Traceback" not in kernel.run("1").everything
