"""``pytest --warp-tape=MODE``: tests, and the kernels that they start, record on a tape or replay it.

Works with nbval and with plain tests. nbval ignores updates of an output, so kernels show each answer once, whole.
"""

from __future__ import annotations

import os
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
    """Tell this process and those that it starts."""
    mode, folder = config.getoption("--warp-tape"), config.getoption("--warp-tape-dir")
    if mode is not None:
        os.environ[taping.MODE] = mode
    if folder is not None:
        os.environ[taping.FOLDER] = str(Path(folder).absolute())
    if mode is not None or config.getoption("nbval", default=False) or config.getoption("nbval_lax", default=False):
        os.environ.setdefault(_STREAM, "0")
