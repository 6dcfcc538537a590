"""Reel: the folder that a tape lies in, and how far this run has come on it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..errors import TapeDamaged, TapeUnwritable
from .entries import Damaged, Entry, dump, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..types import Source

Mode: TypeAlias = Literal["record", "replay", "auto"]
HIDDEN: Final = "••••"
_SHORTEST: Final = 8  # characters; a shorter secret may be a part of any word


@dataclass(frozen=True, slots=True)
class Heard:
    """An entry as this run has met it: ``file`` is its name in the folder, ``prompt`` what was asked."""

    file: str
    prompt: str
    state: Literal["used", "unused", "missing"]


class Reel:
    """``folder`` is made when something is recorded. ``secrets`` are texts that are never written."""

    def __init__(self, folder: Path, secrets: Iterable[str] = ()) -> None:
        self.folder = folder
        self._secrets = sorted((one for one in set(secrets) if len(one) >= _SHORTEST), key=len, reverse=True)
        self._askings: Counter[str] = Counter()
        self._places: dict[tuple[str, Source], int] = {}
        self._met: dict[str, Heard] = {}

    def take(self, key: str, source: Source) -> str:
        """Return the name of the entry for this asking of ``key``.

        It is the K-th of this run, but for a cell that is run again: that has the entry it had before.
        """
        place = key, source
        number = self._places.get(place) if source.cell else None
        if number is None:
            self._askings[key] += 1
            number = self._places[place] = self._askings[key]
        return f"{key}-{number}"

    def read(self, name: str) -> Entry | None:
        """Return the entry ``name``, None where there is none; raises TapeDamaged."""
        path = self._path(name)
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            because = getattr(error, "strerror", None) or "it is not text in UTF-8"
            raise TapeDamaged(f"{path}: it cannot be read ({because}).") from None
        try:
            return load(text)
        except Damaged as error:
            raise TapeDamaged(f"{path}: {error}. Record it anew, or take it from version control.") from None

    def write(self, name: str, entry: Entry) -> Entry:
        """Put ``entry`` on the tape and return what is there now: the one before, where that gives the same answer.

        Raises TapeUnwritable.
        """
        before = None
        with contextlib.suppress(TapeDamaged):  # it is being replaced
            before = self.read(name)
        now = load(dump(entry, self._hidden))
        if before is not None and before.key == now.key and before.asked == now.asked:
            return before
        self._replace(self._path(name), dump(entry, self._hidden))
        return now

    def note(self, name: str, prompt: str, state: Literal["used", "missing"]) -> None:
        """Remember that this run has met the entry ``name``."""
        self._met[name] = Heard(f"{name}.json", prompt, state)

    def heard(self) -> tuple[Heard, ...]:
        """Return what this run has met, in its order, and then what else is on the tape; raises TapeDamaged."""
        others = (
            Heard(f"{name}.json", str(entry.asked.get("prompt", "")), "unused")
            for name, entry in self.entries()
            if name not in self._met
        )
        return (*self._met.values(), *others)

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield what is on the tape, by name; raises TapeDamaged."""
        for path in sorted(self.folder.glob("*.json")):
            entry = self.read(path.stem)
            if entry is not None:
                yield path.stem, entry

    def prune(self, notebook: str | None) -> tuple[tuple[str, ...], int]:
        """Remove what this run has not met, and return the names of the files; how many are other notebooks' is told too.

        Those stay: another notebook than ``notebook`` may lie in the same folder.
        """
        unused = [(name, entry) for name, entry in self.entries() if name not in self._met]
        own = [name for name, entry in unused if entry.notebook in (None, notebook) or notebook is None]
        for name in own:
            self._path(name).unlink(missing_ok=True)
        return tuple(f"{name}.json" for name in own), len(unused) - len(own)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        """Write a file whole, or not at all."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, made = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
            try:
                with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as opened:
                    opened.write(text)
                Path(made).chmod(0o644)
                Path(made).replace(path)
            except BaseException:
                Path(made).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise TapeUnwritable(f"{path}: the answer cannot be recorded ({error.strerror or error}).") from None


def with_notebook(entry: Entry, source: Source) -> Entry:
    """Return ``entry`` with the name of the notebook that has asked, where that is known."""
    return replace(entry, notebook=Path(source.notebook).name) if source.notebook else entry
