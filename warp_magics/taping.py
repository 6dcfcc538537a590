"""Which tape this process records on or replays, as its environment or its user says."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gateway import Mode, Reel

MODE: Final = "WARP_TAPE"
FOLDER: Final = "WARP_TAPE_DIR"
MODES: Final[tuple[Mode, ...]] = ("record", "replay", "auto")
OFF: Final = "off"
_BESIDE: Final = Path(".warp", "tape")
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|AUTH|CREDENTIAL|(?:^|_)PAT$", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")


def _began() -> Path:
    """Return where this process is; its home where that folder is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path.home()


_HERE: Final = _began()
"""Where this process began: a kernel's is its notebook's folder, whatever its cells do later."""


@dataclass(frozen=True, slots=True)
class Tape:
    """A tape that is used; ``realtime`` replays events as far apart as they came."""

    mode: Mode
    reel: Reel
    realtime: bool = False

    @property
    def where(self) -> str:
        """The tape's folder as people of any machine read it."""
        return "/".join(self.reel.folder.parts[-2:])


def tape_of(env: Mapping[str, str]) -> Tape | None:
    """Return the tape that the environment names, None for none; raises ConfigError."""
    mode = env.get(MODE, "").strip().lower()
    return None if mode in ("", OFF) else new_tape(mode, None, env)


def new_tape(mode: str, folder: str | None, env: Mapping[str, str], *, realtime: bool = False) -> Tape:
    """Return the tape in ``folder``, else where the environment says, else beside the notebook; raises ConfigError."""
    from .gateway import Reel, errors

    found = next((one for one in MODES if one == mode), None)
    if found is None:
        raise errors.ConfigError(f"{MODE}={mode[:40]!r} is none of {', '.join(MODES)}, {OFF}.")
    said = folder or env.get(FOLDER, "").strip()
    place = _HERE / Path(said).expanduser() if said else _HERE / _BESIDE
    return Tape(found, Reel(place, lambda: secrets_of(os.environ)), realtime)


def holds(env: Mapping[str, str]) -> bool:
    """Return whether the environment wants this run replayed: then no line of a notebook is to ask anybody."""
    return env.get(MODE, "").strip().lower() == "replay"


def secrets_of(env: Mapping[str, str]) -> list[str]:
    """Return the values of the environment that their names call secret, and the passwords of URLs."""
    found = [value for name, value in env.items() if _SECRET.search(name) and not _is_there(value)]
    return [*found, *(password for value in env.values() for password in _PASSWORD.findall(value))]


def _is_there(value: str) -> bool:
    """Return whether ``value`` is the path of a file, such as one that holds a secret."""
    try:
        return value.startswith("/") and Path(value).exists()
    except (OSError, ValueError):
        return False
