"""Reel: the folder that a tape lies in, and how far this run has come on it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ..errors import TapeDamaged, TapeUnwritable
from .entries import Damaged, Entry, clean, dump, load
from .secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..types import Source

Mode: TypeAlias = Literal["record", "replay", "auto"]
State: TypeAlias = Literal["used", "unused", "missing", "damaged"]
_NAME: Final = re.compile(r"[0-9a-f]{16}-[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Heard:
    """An entry as this run has met it: ``file`` is its name in the folder, ``prompt`` what was asked."""

    file: str
    prompt: str
    state: State


class Reel:
    """``folder`` is made when something is recorded. ``secrets`` are looked for anew whenever something is written."""

    def __init__(self, folder: Path, secrets: Callable[[], Iterable[str]] = tuple) -> None:
        self.folder = folder
        self._look = secrets
        self._secrets = Secrets()
        self._lock = threading.Lock()  # several gateways of a process may be on one tape
        self._askings: Counter[str] = Counter()
        self._places: dict[tuple[str, Source], int] = {}
        self._met: dict[str, Heard] = {}

    # -- what this run asks ------------------------------------------------------------------------

    def take(self, key: str, source: Source) -> str:
        """Return the name of the entry for this asking of ``key``.

        It is the K-th of this run, but for a cell that is run again: that has the entry it had before.
        """
        place = key, source
        with self._lock:
            number = self._places.get(place) if source.cell else None
            if number is None:
                self._askings[key] += 1
                number = self._places[place] = self._askings[key]
        return f"{key}-{number}"

    def give_back(self, name: str, source: Source) -> None:
        """Undo ``take`` and ``note``, where nothing has come of it: the next asking has this number."""
        key, _, number = name.rpartition("-")
        with self._lock:
            if self._askings[key] == int(number):
                self._askings[key] -= 1
                self._places.pop((key, source), None)
            self._met.pop(name, None)

    def begin(self) -> None:
        """Count askings from 1 again."""
        with self._lock:
            self._askings.clear()
            self._places.clear()

    def note(self, name: str, prompt: str, state: State) -> None:
        """Remember that this run has met the entry ``name``."""
        with self._lock:
            self._met[name] = Heard(f"{name}.json", self.hidden(prompt), state)

    # -- entries -----------------------------------------------------------------------------------

    def read(self, name: str) -> Entry | None:
        """Return the entry ``name``, None where there is none; raises TapeDamaged."""
        path = self._path(name)
        try:
            text = path.read_text("utf-8-sig")
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
        text = dump(entry, self.hidden)
        now = load(text)
        if before is None or before.key != now.key or before.asked != now.asked:
            self._replace(self._path(name), text)
            return now
        notebooks = tuple(sorted({*before.notebooks, *now.notebooks}))
        if notebooks != before.notebooks:  # another notebook gives it, too
            self._replace(self._path(name), dump(replace(before, notebooks=notebooks), self.hidden))
        return before

    def names(self) -> tuple[str, ...]:
        """Return the names of what is on the tape, sorted; other files in the folder are not."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem)))

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield what is on the tape, by name; what is damaged is passed over."""
        for name in self.names():
            with contextlib.suppress(TapeDamaged):  # whoever asks for it is told; ``heard`` lists it
                entry = self.read(name)
                if entry is not None:
                    yield name, entry

    def heard(self) -> tuple[Heard, ...]:
        """Return what this run has met, in its order, and then what else is on the tape."""
        prompts = {name: str(entry.asked.get("prompt", "")) for name, entry in self.entries()}
        others = (
            Heard(f"{name}.json", prompts.get(name, ""), "unused" if name in prompts else "damaged")
            for name in self.names()
            if name not in self._met
        )
        return (*self._met.values(), *others)

    def prune(self, notebook: str | None, *, everything: bool = False) -> tuple[tuple[str, ...], int]:
        """Remove what this run has not met, and return the names of the files, and how many others there are that stay.

        Those stay that another than ``notebook`` has recorded, or nobody knows who: unless ``everything`` is said. A run
        that has used nothing removes nothing.
        """
        unused = [(name, entry) for name, entry in self.entries() if name not in self._met]
        if not any(one.state == "used" for one in self._met.values()):
            return (), len(unused)
        own = [name for name, entry in unused if everything or (notebook and entry.notebooks == (notebook,))]
        for name in own:
            self._path(name).unlink(missing_ok=True)
        return tuple(f"{name}.json" for name in own), len(unused) - len(own)

    # -- what is hidden ----------------------------------------------------------------------------

    def hide(self, secrets: Sequence[str]) -> None:
        """Never write ``secrets``."""
        self._secrets.add(secrets)

    def hidden(self, text: str) -> str:
        """Return ``text`` as it may be written."""
        return self._secrets.hide(text)

    def cleaned(self, shaped: dict[str, Any]) -> dict[str, Any]:
        """Return what was asked as it may be written, and as it is found again."""
        self._secrets.add(self._look())
        found: dict[str, Any] = clean(shaped, self.hidden)
        return found

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

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


def short(folder: Path) -> str:
    """Return the last parts of a folder's path: the rest of it is another one on each machine."""
    return "/".join(folder.parts[-2:])


def notebooks_of(source: Source) -> tuple[str, ...]:
    """Return the name of the notebook that has asked, where that is known."""
    return (PurePath(source.notebook).name,) if source.notebook else ()
