"""Which configuration file is read. Standard library only: a server's start asks, too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE_NAME: Final = "warp.toml"
VARIABLE: Final = "WARP_CONFIG"


def find(path: Path | None, folders: Sequence[Path], env: Mapping[str, str]) -> Path | None:
    """The file to read: the one asked for, else the environment's, else the first of ``folders`` that has one."""
    if path is not None:
        return path.expanduser().absolute()
    if named := env.get(VARIABLE):
        return Path(named).expanduser().absolute()
    return next((file for folder in folders if (file := folder.absolute() / FILE_NAME).is_file()), None)
