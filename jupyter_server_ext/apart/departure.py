"""Departure: that whoever asked has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

DEPARTURE: Final = "warp.departure"
"""Where a scope has its connection's Departure, of a server that tells of it: then no task has to wait for that."""


class Departure:
    """Of one connection; told of once."""

    def __init__(self) -> None:
        self.gone = False
        self._told: set[Callable[[], object]] = set()

    def watch(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called when it happens, or now, if it has."""
        if self.gone:
            tell()
        else:
            self._told.add(tell)

    def unwatch(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called no more."""
        self._told.discard(tell)

    def happen(self) -> None:
        """Tell all who watch."""
        self.gone = True
        told, self._told = self._told, set()
        for tell in told:
            tell()
