"""``jupyter warp storage status|stop|path``, as a process, on a store of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from warp_magics.gateway import EmbeddedServer
from warp_magics.gateway.stores.places import Places

pytestmark = pytest.mark.slow


@pytest.fixture
def places():
    top = Path(tempfile.mkdtemp(prefix="warp-storage-")).resolve()  # short: a socket lies in it
    yield Places(top / "data", top / "run")
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def server(places):
    """A client's hold on a running server."""
    held = EmbeddedServer(places)
    held.ensure()
    yield held
    held.release()
    held.stop()


def storage(what, places, status=0, **env):
    dirs = {"WARP_DATA_DIR": str(places.data), "WARP_RUN_DIR": str(places.run)}
    ran = subprocess.run(
        [Path(sys.executable).with_name("jupyter"), "warp", "storage", what],
        env=os.environ | dirs | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == status, f"{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr
    return ran.stdout if status == 0 else ran.stderr


def lines(places):
    return storage("status", places).splitlines()


def test_path_is_where_the_data_is(places):
    assert storage("path", places).strip() == str(places.data)


def test_status_of_a_server_that_does_not_run_starts_none(places):
    said = "\n".join(lines(places))
    assert re.search(r"^state +not running$", said, re.MULTILINE)
    assert re.search(r"^would use +(valkey|redis) \d+\.\d+\S* from \S+", said, re.MULTILINE)
    assert re.search(rf"^data +{re.escape(str(places.data))} \(0 bytes\)$", said, re.MULTILINE)
    assert not EmbeddedServer(places).status().running


def test_status_tells_the_server_that_runs(server):
    now = server.status()
    said = "\n".join(lines(server.places))
    assert re.search(rf"^state +running, process {now.pid}$", said, re.MULTILINE)
    assert re.search(rf"^server +{now.kind} {re.escape(now.version)}$", said, re.MULTILINE)
    assert re.search(rf"^socket +{re.escape(now.socket)}$", said, re.MULTILINE)
    assert re.search(r"^keeps on +until its last client has left$", said, re.MULTILINE)
    assert server.status().pid == now.pid


def test_status_tells_a_server_that_outlives_its_clients(places):
    held = EmbeddedServer(places, keep_running=True)
    held.ensure()
    try:
        assert re.search(r"^keeps on +until stopped$", "\n".join(lines(places)), re.MULTILINE)
    finally:
        held.release()
        held.stop()


def test_stop_ends_it_whoever_uses_it_and_keeps_the_data(server):
    pid = server.status().pid
    assert storage("stop", server.places).strip() == "stopped"
    assert not Path(f"/proc/{pid}").exists() or not server.status().running
    assert storage("stop", server.places).strip() == "was not running"
    assert (server.places.data / "appendonlydir").is_dir()
    server.ensure()
    assert server.status().pid not in {None, pid}


def test_a_place_that_cannot_be_used_is_one_sentence(tmp_path, places):
    (tmp_path / "file").write_text("")
    said = storage("status", places, status=1, WARP_RUN_DIR=str(tmp_path / "file" / "run"))
    assert len(said.strip().splitlines()) == 1
    assert str(tmp_path / "file") in said


def test_an_unknown_word_shows_what_there_is(places):
    assert "status" in storage("begin", places, status=2)
