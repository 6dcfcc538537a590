"""Which configuration file is read. Standard library only: a server's start asks, too."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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


def is_camel(source: Path | None) -> bool:
    """Return whether a file is JSON, whose names are in camelCase."""
    return source is not None and source.suffix.lower() == ".json"


def parsed(text: str, *, camel: bool) -> Any:
    """Return what a file of this ``text`` says, its placeholders as they stand; raises ValueError, RecursionError."""
    return json.loads(text) if camel else tomllib.loads(text)


def server_says(document: Any, key: str) -> object:
    """Return what a document says of ``key`` under ``[server]``, also inside a Platformatic file's ``ai`` block."""
    if isinstance(document, dict) and isinstance(document.get("ai"), dict):
        document = document["ai"]
    server = document.get("server") if isinstance(document, dict) else None
    return server.get(key) if isinstance(server, dict) else None
