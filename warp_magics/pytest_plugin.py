"""``pytest --warp-tape=MODE``: tests, and the kernels that they start, record on a tape or replay it.

Works with nbval and with plain tests. nbval ignores updates of an output, so kernels show each answer once, whole.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import taping

if TYPE_CHECKING:
    import pytest

_STREAM = "WARP_STREAM"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--warp-tape`` and ``--warp-tape-dir``."""
    group = parser.getgroup("warp", "answers of models")
    group.addoption(
        "--warp-tape",
        choices=(*taping.MODES, taping.OFF),
        help=f"record answers of models beside the notebooks, or replay them ({taping.MODE})",
    )
    group.addoption("--warp-tape-dir", metavar="DIR", help=f"where the tape lies ({taping.FOLDER})")


def pytest_configure(config: pytest.Config) -> None:
    """Tell this process and those that it starts, until the tests are over."""
    mode, folder = config.getoption("--warp-tape"), config.getoption("--warp-tape-dir")
    told: dict[str, str] = {}
    if mode is not None:
        told[taping.MODE] = mode
    if folder is not None:
        told[taping.FOLDER] = str(Path(folder).absolute())
    if mode is not None or config.getoption("nbval", default=False) or config.getoption("nbval_lax", default=False):
        told[_STREAM] = "0"
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    config.add_cleanup(lambda: _restore(before))


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def pytest_runtest_setup() -> None:
    """Count askings anew for each test: which answer one has does not depend on those that ran before it."""
    connect = sys.modules.get("warp_magics.connect")
    used = connect.tape() if connect else None
    if used is not None:
        used.reel.begin()
