"""``jupyter warp init``: asks for providers, keys, storage and port, tries each model, writes ``warp.toml``."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import tempfile
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, cast, get_args

from jupyter_core.paths import jupyter_config_dir, jupyter_config_path

from warp_magics.gateway import PROVIDERS, errors, find_server, load_config

from . import trial
from .private_files import BACKUP, Saving, write_new
from .toml_text import Answers, Chosen, Storage, toml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warp_magics.gateway import Provider, WarpConfig

FILE: Final = "warp.toml"
KEYS: Final = "warp-keys"
_BROKEN_OFF: Final = 130
_LONGEST: Final = 300  # characters of what a provider says that are shown
_TELLING: Final = 4  # characters; a shorter key is a part of any word
_T = TypeVar("_T")


def run(*, force: bool) -> int:
    """Ask, try and write.

    Returns the exit status: 0, 1 where a file is there or cannot be written, 2 without a terminal, 130 where it was
    broken off. Only 0 leaves anything behind.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        _say(f"`jupyter warp init` asks questions and so needs a terminal; write {FILE} by hand instead.", wrong=True)
        return 2
    path = Path(jupyter_config_dir()) / FILE
    try:
        if os.path.lexists(path) and not force:
            raise FileExistsError(0, f"is there already; --force replaces it and keeps it as {FILE}{BACKUP}", str(path))
        with tempfile.TemporaryDirectory(prefix="warp-init-") as scratch:
            wizard = Wizard(Path(scratch))
            answers = wizard.tried(wizard.ask())
        _save(path, answers, wizard.keys, force=force)
    except (KeyboardInterrupt, EOFError):
        _say("\nBroken off: nothing was written.", wrong=True)
        return _BROKEN_OFF
    except getpass.GetPassWarning:
        _say("This terminal would show a key as it is typed: nothing was written.", wrong=True)
        return 2
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), wrong=True)
        return 1
    _say_what_next(path)
    return 0


class Wizard:
    """Asks until each answer is one that ``load_config`` takes. ``scratch`` is a private folder for drafts.

    ``keys`` are those typed in, by the made-up variable that stands for each until they are saved.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.keys: dict[str, str] = {}

    def ask(self) -> Answers:
        """Ask for everything."""
        _say("Enter takes what stands in [brackets]. Ctrl-C leaves everything as it is.")
        chosen: list[Chosen] = []
        for row in self._rows():
            chosen += [self._known(row)] if row else self._others()
        storage, url = self._storage()
        port = _asked("Port of the gateway when it runs alone", self._port, "3042")
        return Answers(self._ordered(chosen), storage, url, port)

    def tried(self, answers: Answers) -> Answers:
        """Ask each model once, and return the answers without those that failed and are not to be kept."""
        _say(f"\nTrying each model once, {trial.SECONDS:g} s at most:")
        config = self._draft(replace(answers, storage="memory", storage_url=""))
        failed: list[Chosen] = []
        told = asyncio.run(trial.models(config, [chosen.spec for chosen in answers.chain]))
        for chosen, (fine, said) in zip(answers.chain, told, strict=True):
            _say(f"  {chosen.spec}  {self._without_keys(said)}")
            failed += [] if fine else [chosen]
        kept = list(answers.chain)
        for chosen in failed:
            if len(kept) == 1:
                _say(f"{chosen.spec} is kept: it is the only one.")
            elif not _asked(f"Keep {chosen.spec} (y or n)", _yes_or_no, "y"):
                kept.remove(chosen)
        answers = replace(answers, chain=tuple(kept))
        if answers.storage_url:
            _say(f"  the store  {asyncio.run(trial.store(self._draft(answers)))}")
        return answers

    def _rows(self) -> list[Provider | None]:
        """The rows of the table that were picked; None stands for servers that are not in it."""
        rows: list[Provider | None] = [*PROVIDERS.values(), None]
        _say("\nProviders:")
        for number, row in enumerate(rows, 1):
            _say(f"{number:4}  {_described(row)}")
        ready = [str(number) for number, row in enumerate(rows, 1) if row and _variable(row)]
        picked = _asked("Which ones? Their numbers, as 1,3", lambda said: _numbers(said, len(rows)), ",".join(ready))
        return [rows[number - 1] for number in picked]

    def _known(self, row: Provider) -> Chosen:
        chosen = Chosen(row.name, row.default_model or "some")
        if row.keys:
            chosen = replace(chosen, variable=self._key(row.name, _variable(row), f"set {row.keys[0]} before"))
        return self._with_model(chosen, row.default_model or "")

    def _others(self) -> list[Chosen]:
        """Servers of the user's own, one at least."""
        found: list[Chosen] = []
        while not found or _asked("One more such server (y or n)", _yes_or_no, "n"):
            taken = {*PROVIDERS, *(one.name for one in found)}
            chosen = _asked("Name of the server, as you like it", partial(self._named, taken))
            chosen = _asked("Base URL, as http://127.0.0.1:8080/v1", partial(self._placed, chosen))
            chosen = replace(chosen, variable=self._key(chosen.name, "", ""))
            found.append(self._with_model(chosen, ""))
        return found

    def _named(self, taken: set[str], said: str) -> Chosen:
        if said in taken:
            raise ValueError(f"{said} is taken; a server of your own needs another name.")
        return self._check(Chosen(said, "some", base_url="http://127.0.0.1"))

    def _placed(self, chosen: Chosen, said: str) -> Chosen:
        return self._check(replace(chosen, base_url=said))

    def _with_model(self, chosen: Chosen, default: str) -> Chosen:
        return _asked(f"Model of {chosen.name}", lambda said: self._check(replace(chosen, model=said)), default)

    def _key(self, name: str, held: str, instead: str) -> str:
        """The variable that holds the key: ``held`` where nothing is typed, one made up for a typed one, or none.

        ``instead`` says how to do without typing one; empty where no key is needed.
        """
        empty = f"keeps ${held}" if held else "it needs none"
        question = f"Key of {name} (not shown{f'; Enter: {empty}' if held or not instead else ''}): "
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)
                key = getpass.getpass(question).strip()
            if not key and (held or not instead):
                return held
            if key.isascii() and key.isprintable() and key and " " not in key:
                variable = f"WARP_INIT_KEY_{len(self.keys)}"
                self.keys[variable] = key
                return variable
            _say(f"  {'A key has no spaces and only ASCII characters.' if key else f'Paste one, or {instead}.'}")

    def _storage(self) -> tuple[Storage, str]:
        kinds = get_args(Storage)
        _say("\nWhere conversations are kept:")
        own = "a Valkey of your own, started when needed" if find_server() else "no server was found: as memory"
        for number, text in enumerate((own, "a Valkey or Redis elsewhere, by its URL", "gone with the process"), 1):
            _say(f"{number:4}  {kinds[number - 1]:9} {text}")
        kind = cast("Storage", _asked("Storage", lambda said: _one_of(said, kinds), kinds[0]))
        if kind != "valkey":
            return kind, ""
        return kind, _asked("Its URL, as valkey://user:password@host:6379/0", self._storage_url)

    def _storage_url(self, said: str) -> str:
        self._draft(Answers((Chosen("demo", "ok"),), "valkey", said))
        return said

    def _port(self, said: str) -> int:
        if not (said.isascii() and said.isdigit()):
            raise ValueError("A port is a number.")
        self._draft(Answers((Chosen("demo", "ok"),), port=int(said)))
        return int(said)

    def _ordered(self, chosen: Sequence[Chosen]) -> tuple[Chosen, ...]:
        if len(chosen) == 1:
            return tuple(chosen)
        _say("\nThe first is asked, the next where it cannot answer:")
        for number, one in enumerate(chosen, 1):
            _say(f"{number:4}  {one.spec}")
        usual = ",".join(str(number) for number in range(1, len(chosen) + 1))
        order = _asked("Order", lambda said: _numbers(said, len(chosen), every=True), usual)
        return tuple(chosen[number - 1] for number in order)

    def _check(self, chosen: Chosen) -> Chosen:
        self._draft(Answers((chosen,)))
        return chosen

    def _draft(self, answers: Answers) -> WarpConfig:
        """What ``load_config`` makes of ``answers``; raises ValueError with the first thing that is wrong."""
        path = self._scratch / FILE
        path.unlink(missing_ok=True)
        write_new(path, toml_text(answers).encode())
        try:
            return load_config(path=path, env=os.environ | self.keys)
        except errors.ConfigError as error:
            faults = cast("list[str]", error.details.get("faults") or [error.message])
            raise ValueError(self._without_keys(faults[0])) from None

    def _without_keys(self, text: str) -> str:
        """``text`` as one line that can be shown."""
        for key in self.keys.values():
            text = text.replace(key, "***") if len(key) >= _TELLING else text
        return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:_LONGEST]


def _save(path: Path, answers: Answers, keys: dict[str, str], *, force: bool) -> None:
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    with Saving() as saving:
        chain = []
        for chosen in answers.chain:
            if chosen.variable in keys:
                file = saving.add(saving.folder(path.parent / KEYS), chosen.name, keys[chosen.variable] + "\n")
                chain.append(replace(chosen, variable="", key_file=f"{KEYS}/{file.name}"))
            else:
                chain.append(chosen)
        text = toml_text(replace(answers, chain=tuple(chain)))
        saving.replace(path, text, check=lambda draft: load_config(path=draft), force=force)


def _say_what_next(path: Path) -> None:
    _say(f"\nWritten: {path}")
    named = os.environ.get("WARP_CONFIG")
    files = [Path(folder) / FILE for folder in jupyter_config_path()]
    read = Path(named) if named else next((file for file in files if file.is_file()), path)
    if read.absolute() != path.absolute():
        reason = "WARP_CONFIG names it" if named else "it comes first"
        _say(f"But {read} is read instead: {reason}.")
    _say("Next: jupyter lab, and in a notebook: %load_ext warp_magics")


def _described(row: Provider | None) -> str:
    if row is None:
        return "another OpenAI-compatible server"
    held = _variable(row)
    key = "built in, not a model" if row.dialect == "demo" else "on this machine, needs no key"
    if not row.local:
        key = f"{held} is set" if held else ""
    return f"{row.name:11} {row.default_model or '':14} {key}".rstrip()


def _variable(row: Provider) -> str:
    """The variable that holds the provider's key now, if one does."""
    return next((variable for variable in row.keys if os.environ.get(variable, "").strip()), "")


def _asked(question: str, read: Callable[[str], _T], default: str = "") -> _T:
    """What ``read`` makes of the answer; it is asked again, with the reason, while that raises ValueError."""
    shown = f"{question} [{default}]: " if default else f"{question}: "
    while True:
        try:
            if said := input(shown).strip() or default:
                return read(said)
            _say("  An answer is needed.")
        except ValueError as wrong:
            _say(f"  {wrong}")


def _numbers(said: str, most: int, *, every: bool = False) -> list[int]:
    parts = said.replace(",", " ").split()
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and 1 <= int(part) <= most]
    if len(numbers) < len(parts) or len(set(numbers)) < len(numbers) or (every and len(numbers) < most):
        raise ValueError(f"Write {'each of' if every else 'some of'} the numbers 1 to {most} once, as 1,2.")
    return numbers


def _one_of(said: str, kinds: Sequence[str]) -> str:
    named = dict(zip("123", kinds, strict=True)) | {kind: kind for kind in kinds}
    if said not in named:
        raise ValueError(f"Write one of {', '.join(kinds)}, or its number.")
    return named[said]


def _yes_or_no(said: str) -> bool:
    if said.lower() not in {"y", "yes", "n", "no"}:
        raise ValueError("Write y or n.")
    return said.lower().startswith("y")


def _say(text: str, *, wrong: bool = False) -> None:
    print(text, file=sys.stderr if wrong else sys.stdout)
