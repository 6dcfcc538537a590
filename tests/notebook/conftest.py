"""Kernels of these tests: one for most, with folders, a store and a fake provider of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.fakes.provider import FakeProvider
from tests.notebook.kernel import KEY, Home, Kernel, home
from tests.notebook.served import NO_KEY, TOML, ServedKernel
from tests.server.process import running_jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def lab() -> Iterator[FakeProvider]:
    """The provider that the kernels of these tests ask."""
    with FakeProvider.in_thread() as provider:
        yield provider


@pytest.fixture(scope="session")
def place(lab: FakeProvider) -> Iterator[Home]:
    with home(lab) as made:
        yield made


@pytest.fixture(scope="session")
def kernel(place: Home) -> Iterator[Kernel]:
    """A kernel in the default mode."""
    with Kernel(place) as started:
        yield started


@pytest.fixture(scope="session")
def keeping(place: Home) -> Iterator[Kernel]:
    """A kernel whose loop goes on while a cell waits."""
    with Kernel(place.profile("c.WarpMagics.keep_kernel_loop = True")) as started:
        yield started


@pytest.fixture(scope="module")
def alone(lab):
    with home(lab, extra='\n[storage]\ntype = "memory"\n') as made:
        yield made


@pytest.fixture
def script(alone):
    """Runs a script in a process of its own and returns what it printed, as JSON a line."""

    def run(code, *, ok=True):
        prelude = "import asyncio, json, sys, threading\nfrom warp_magics import Warp\nwarp = Warp()\n"
        prelude += "def tell(what): print(json.dumps(what), flush=True)\n"
        command = [sys.executable, "-W", "error::ResourceWarning", "-c", prelude + textwrap.dedent(code)]
        done = subprocess.run(command, env=alone.env, capture_output=True, text=True, timeout=60, check=False)
        assert not ok or (done.returncode, done.stderr) == (0, ""), done.stderr
        assert KEY not in done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="session")
def served(lab: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel of a Jupyter Server, by whose gateway it asks."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "warp.toml").write_text(TOML.format(base_url=lab.base_url))
    env = {"WARP_CONFIG": str(folder / "warp.toml"), "LAB_API_KEY": KEY}
    with running_jupyter(folder / "one", env) as server, ServedKernel(server, folder / "one", NO_KEY) as kernel:
        yield kernel


@pytest.fixture(params=["kernel", "served"])
def front(request: pytest.FixtureRequest) -> Kernel:
    """A kernel with a gateway of its own, and one that asks by its server's."""
    found: Kernel = request.getfixturevalue(request.param)
    return found
