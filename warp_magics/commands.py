"""The sub-commands of ``%warp`` that look at the gateway and its sessions or change them: one function each."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from . import views
from .grammar import UsageError
from .words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .connect import Connection
    from .gateway import Gateway, Turn
    from .grammar import Command
    from .tables import Table


_FEW: Final = 12


@dataclass(frozen=True, slots=True)
class Desk:
    """What a sub-command has before it: the gateway, the notebook's current session, the time in Unix seconds."""

    at: Connection
    session: str | None
    now: float

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        return self.at.gateway

    @property
    def owner(self) -> str:
        """Whose sessions are meant."""
        return self.at.owner

    def call(self, verb: Coroutine[Any, Any, Any]) -> Any:
        """Return what a verb of the gateway returns."""

        async def told() -> Any:
            return await verb

        return self.at.portal.call(told)

    def session_of(self, command: Command) -> str:
        """Return the session that ``command`` names, else the current one; raises UsageError where there is none."""
        named = next(iter(command.words), None) or self.session
        if named is None:
            raise UsageError(f"%warp {command.name} ID: no session was chosen with %warp use ID yet.")
        return named


def run(desk: Desk, command: Command) -> Table:
    """Do what ``command`` says and return what is to be shown."""
    return _RUN[command.name](desk, command)


def _overview(desk: Desk, _: Command) -> Table:
    status, models = desk.call(desk.gateway.status()), desk.call(desk.gateway.models())
    from .gateway import KEYS_HIDDEN

    taped, kept = desk.at.tape is not None, os.environ.get(KEYS_HIDDEN, "none")
    hidden = "" if taped or kept == "none" else kept
    return views.overview(status, desk.at.why, desk.session, models, taped=taped, hidden=hidden)


def _models(desk: Desk, _: Command) -> Table:
    return views.model_table(desk.call(desk.gateway.models()), taped=desk.at.tape is not None)


def _usage(desk: Desk, command: Command) -> Table:
    given: dict[str, Literal["model", "session", "day"]] = {"model": "model", "session": "session", "day": "day"}
    by = next(iter(command.words), "model")
    if by not in given:
        raise UsageError(f"%warp usage {by}: usage is counted by {', '.join(given)}.")
    return views.usage_table(given[by], desk.call(desk.gateway.usage(desk.owner, given[by])))


# -- sessions --------------------------------------------------------------------------------------


def _sessions(desk: Desk, command: Command) -> Table:
    search = next(iter(command.words), "")
    page = desk.call(desk.gateway.sessions(desk.owner, search=search))
    return views.session_table(page.sessions, desk.now, search, more=page.cursor is not None)


def _history(desk: Desk, command: Command) -> Table:
    session = desk.session_of(command)
    return views.history_table(session, desk.call(desk.gateway.history(desk.owner, session)), desk.now)


def _tree(desk: Desk, command: Command) -> Table:
    session = desk.session_of(command)
    lines = _lines(desk, session)
    return views.tree_table(desk.call(desk.gateway.session(desk.owner, session)), lines, desk.now)


def _lines(desk: Desk, session: str) -> dict[int | None, tuple[Turn, ...]]:
    """Return a session's turns (None) and those of each branch by its number."""
    described = desk.call(desk.gateway.session(desk.owner, session))
    numbers = [None, *(branch.number for branch in described.branches)]
    return {number: desk.call(desk.gateway.history(desk.owner, session, number)) for number in numbers}


def _turn_id(desk: Desk, session: str, n: int) -> str:
    turns = [turn for line in _lines(desk, session).values() for turn in line]
    found = next((turn.id for turn in turns if turn.n == n), None)
    if found is None:
        known = sorted(turn.n for turn in turns)
        numbers = f"{known[0]} to {known[-1]}" if len(known) > _FEW else ", ".join(map(str, known)) or "none"
        raise UsageError(f"The session {session!r} has no turn {n}; it has {numbers}.")
    return found


def _fork(desk: Desk, command: Command) -> Table:
    session, new_id = command.words[0], next(iter(command.words[1:]), None)
    at = None if command.at is None else _turn_id(desk, session, command.at)
    made = desk.call(desk.gateway.fork(desk.owner, session, at=at, new_id=new_id))
    turns = counted(made.turns, "turn")
    return views.note(f"Session {made.key.id} has {turns} of {session}; %warp use {made.key.id} goes on there.")


def _rewind(desk: Desk, command: Command) -> Table:
    if desk.session is None:
        raise UsageError("%warp rewind N: no session was chosen with %warp use ID yet.")
    n = int(command.words[0])
    desk.call(desk.gateway.rewind(desk.owner, desk.session, _turn_id(desk, desk.session, n)))
    return views.note(f"Session {desk.session} now ends with turn {n}; %warp tree shows what was put aside.")


def _rename(desk: Desk, command: Command) -> Table:
    session, title = command.words[0], " ".join(command.words[1:])
    desk.call(desk.gateway.update(desk.owner, session, title=title))
    return views.note(f"Session {session} is called “{title}”.")


def _delete(desk: Desk, command: Command) -> Table:
    desk.call(desk.gateway.delete(desk.owner, command.words[0]))
    return views.note(f"Session {command.words[0]} was deleted.")


def _export(desk: Desk, command: Command) -> Table:
    from .gateway import export

    session, path = command.words[0], Path(command.words[1]).expanduser()
    described = desk.call(desk.gateway.session(desk.owner, session))
    turns = desk.call(desk.gateway.history(desk.owner, session))
    file = export(described, turns, path.suffix.removeprefix("."))
    try:
        with path.open("wb" if command.force else "xb") as opened:
            opened.write(file.data)
    except FileExistsError:
        again = shlex.join(("%warp", "export", session, command.words[1], "--force"))
        raise UsageError(f"{path} is there already; {again} overwrites it.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from None
    return views.note(f"{counted(len(turns), 'turn')} of {session} went to {path}.")


def _stop(desk: Desk, command: Command) -> Table:
    session = desk.session_of(command)
    live = desk.call(desk.gateway.session(desk.owner, session)).live_stream_id
    if live is None or not desk.call(desk.gateway.stop(desk.owner, live)):
        return views.note(f"Nothing is being answered in {session}.")
    return views.note(
        f"The answer in {session} was stopped; what had come of it is kept. %warp continue goes on with it."
    )


_RUN: Final[dict[str, Callable[[Desk, Command], Table]]] = {
    "": _overview,
    "connect": _overview,
    "sessions": _sessions,
    "history": _history,
    "tree": _tree,
    "fork": _fork,
    "rewind": _rewind,
    "rename": _rename,
    "delete": _delete,
    "export": _export,
    "stop": _stop,
    "models": _models,
    "usage": _usage,
}
