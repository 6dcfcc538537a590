"""Kernels of these tests: one for most, with folders, a store and a fake provider of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.provider import FakeProvider
from tests.notebook.kernel import Home, Kernel, home

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
