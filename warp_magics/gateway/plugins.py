"""What other packages bring: their entry points, found once in a process."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from .errors import ConfigError

DIALECTS: Final = "warp_magics.dialects"
PROVIDERS: Final = "warp_magics.providers"


@cache
def points(group: str) -> dict[str, EntryPoint]:
    """Return a group's entry points by their names; of two with one name the first found."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, point)
    return found


def load(point: EntryPoint, *, make: bool = False) -> Any:
    """Return what an entry point names, called where it is to ``make`` something.

    Raises ConfigError that says which package is at fault.
    """
    try:
        return point.load()() if make else point.load()
    except Exception as error:
        package = point.dist.name if point.dist else point.value
        raise ConfigError(
            f"{point.name!r} of the package {package} cannot be used: {type(error).__name__}: {error}"
        ) from error
