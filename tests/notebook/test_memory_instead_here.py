"""Where there can be no embedded store, who looks is told: in the cell, once, by %warp, in the server's log and REST."""

from __future__ import annotations

import pytest

from tests.notebook.kernel import Kernel, home
from tests.server.process import running_jupyter

pytestmark = pytest.mark.slow

SAID = "conversations are kept in memory and end with this process"


@pytest.fixture
def place(fake):
    """Its folder for the socket is a file."""
    with home(fake) as whole:
        (whole.root / "run").write_text("")
        yield whole


def test_a_cell_says_so_once_and_the_overview_always(place):
    with Kernel(place) as kernel:
        first = kernel.run("%%warp --session s\nfirst")
        assert (first.everything.count(SAID), first.stream("stderr").count(SAID)) == (1, 1)
        assert "WARP_RUN_DIR" in first.stream("stderr")
        assert SAID not in kernel.run("%%warp --session s\nsecond").everything
        assert f"Storage: memory ({SAID}: cannot use the directory {place.root}/run" in kernel.run("%warp").everything
        assert "first" in kernel.run("%warp history s").everything


def test_a_server_says_so_in_its_log_and_where_its_health_is_asked(place, tmp_path):
    with running_jupyter(tmp_path / "server", place.env) as server, server.client() as rest:
        said = rest.post("prompt", json={"prompt": "hi", "sessionId": "s", "createSession": True}).json()
        assert said["sessionId"] == "s"
        rest.post("prompt", json={"prompt": "again", "sessionId": "s"}).raise_for_status()
        assert server.log.read_text().count(SAID) == 1
        ready = rest.get("health/ready").json()
        assert (ready["status"], ready["storage"]["type"], ready["storage"]["server"]) == ("degraded", "memory", None)
        assert ready["reasons"][0].startswith(f"storage: {SAID}: cannot use the directory {place.root}/run")
