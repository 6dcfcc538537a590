"""Wire formats, a file each; ``dialect`` finds one by the name a provider row gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Dialect


def dialect(name: str) -> Dialect:
    """Return the dialect called ``name``; raises LookupError where there is none."""
    if name == "openai":
        from .openai import OpenAI

        return OpenAI()
    if name == "demo":
        from .demo import Demo

        return Demo()
    raise LookupError(f"there is no dialect called {name!r}")
