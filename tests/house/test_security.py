"""docs/security.md: each threat names tests that hold it, and each test it names is one that is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)+)`")


def threats():
    """The rows of the table: the threat and the tests named for it."""
    _, _, table = (ROOT / "docs" / "security.md").read_text("utf-8").partition("## Threats")
    rows = [line.strip().strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return [(row[0].strip(), TEST.findall(row[-1])) for row in rows[2:]]


def test_each_threat_names_what_holds_it():
    assert len(threats()) > 25
    assert [threat for threat, tests in threats() if not tests] == []


@pytest.mark.timeout(300)
def test_each_test_that_is_named_is_one_that_is_run():
    named = {test for _, tests in threats() for test in tests}
    files = sorted({test.partition("::")[0] for test in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert sorted(named - collected) == []
