"""What a Jupyter Server announces to its kernels, and what of it they believe."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from warp_magics.gateway import Announcement, announce, announcements, parent_server, withdraw

TOKEN = "scoped-0123456789-uvwxyz"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners say nothing there")


def said(folder, **other):
    return announce(folder, Announcement(**{"url": "http://127.0.0.1:1/warp", "token": TOKEN, "pid": os.getpid(),
                                            "server_id": "a", "version": "1"} | other))  # fmt: skip


def test_an_announcement_is_read_as_it_was_written_newest_first_and_may_be_taken_back(tmp_path):
    folder = tmp_path / "not" / "yet"
    older, newer = said(folder), said(folder, server_id="b", url="http://127.0.0.1:2/warp")
    os.utime(older, (1, 1))
    said(folder, pid=os.getppid())
    found = announcements(folder, os.getpid())
    assert [(one.server_id, one.url, one.token) for one in found] == [
        ("b", "http://127.0.0.1:2/warp", TOKEN),
        ("a", "http://127.0.0.1:1/warp", TOKEN),
    ]
    assert TOKEN not in repr(found)
    withdraw(newer)
    withdraw(newer)
    assert [one.server_id for one in announcements(folder, os.getpid())] == ["a"]
    assert sorted(path.name[:5] for path in folder.iterdir()) == ["warp-"] * 2
    assert announcements(tmp_path / "nowhere", os.getpid()) == []


@POSIX
def test_it_is_its_users_alone(tmp_path):
    path = said(tmp_path / "runtime")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for mode in (0o640, 0o604, 0o620, 0o602):
        path.chmod(mode)
        assert announcements(path.parent, os.getpid()) == []


@POSIX
def test_links_pipes_and_folders_are_passed_over(tmp_path):
    real = said(tmp_path).rename(tmp_path / "elsewhere.json")
    (tmp_path / f"warp-{os.getpid()}-link.json").symlink_to(real)
    (tmp_path / f"warp-{os.getpid()}-folder.json").mkdir(0o700)
    os.mkfifo(tmp_path / f"warp-{os.getpid()}-pipe.json", 0o600)
    assert announcements(tmp_path, os.getpid()) == []


JUNK = (b"", b"{", b"[]", b"null", b"\xff", b"{}", b"[" * 50_000, b'{"url": 1}', b" " * 100_000)


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_passed_over(junk, tmp_path):
    path = said(tmp_path, server_id="good")
    bad = tmp_path / f"warp-{os.getpid()}-bad.json"
    bad.write_bytes(junk)
    bad.chmod(0o600)
    assert [one.server_id for one in announcements(tmp_path, os.getpid())] == ["good"]
    whole = json.loads(path.read_text())
    for name in whole:
        path.write_text(json.dumps(whole | {name: None}))
        assert announcements(tmp_path, os.getpid()) == []


def test_a_process_that_is_gone_announces_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    said(tmp_path, pid=gone.pid)
    assert announcements(tmp_path, gone.pid) == []


def test_who_started_this_kernel():
    known = {"JPY_PARENT_PID": "12", "WARP_SERVER_ID": "a"}
    assert parent_server(known) == (12, "a") or sys.platform == "win32"
    for name in known:
        assert parent_server({k: v for k, v in known.items() if k != name}) is None
    for pid in ("", "0", "-1", "x", "1.5", "9" * 40, "²"):
        assert parent_server(known | {"JPY_PARENT_PID": pid}) is None
