"""What ``%warp`` and its sub-commands show, as tables: pure, the time is an argument."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from .display import duration
from .grammar import COMMANDS, cell_help
from .tables import Cell, Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .gateway import GatewayStatus, ModelState, Session, Turn

_JUST_NOW: Final = 10.0  # seconds
_DAYS: Final = 2 * 86400.0


def overview(status: GatewayStatus, why: str, session: str | None, models: Sequence[ModelState]) -> Table:
    """Return which gateway this is and why, the current session, the models and the storage."""
    storage = status.storage
    what = [storage["server"] or storage.get("reason", "in this process"), storage.get("program")]
    where = f"{storage['type']} ({', '.join(str(one) for one in what if one)})"
    lines = [
        f"Gateway: {why}",
        f"Version: {status.version}, gateway {status.gateway_id}",
        f"Storage: {where}",
        f"Session: {session or 'none; %warp use ID chooses one'}",
    ]
    if not status.configured:
        lines.append(
            "No model is configured: set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or run `jupyter warp init`."
        )
    return Table(*_models(models), above=tuple(lines), empty="No models.")


def model_table(models: Sequence[ModelState]) -> Table:
    """Return the configured models and their state."""
    return Table(*_models(models), empty="No model is configured; `jupyter warp init` writes a warp.toml.")


def _models(models: Sequence[ModelState]) -> tuple[tuple[Column, ...], tuple[tuple[Cell | str, ...], ...]]:
    columns = (Column("Model"), Column("Alias"), Column("Chain"), Column("State"), Column("Left", figures=True))
    return columns, tuple(_model(one) for one in models)


def _model(one: ModelState) -> tuple[Cell | str, ...]:
    state = "●\N{NO-BREAK SPACE}ready"
    if one.state == "cooling":
        state = f"○\N{NO-BREAK SPACE}cooling: {one.reason}, back in {duration(one.restores_in or 0)}"
    elif one.state == "probing":
        state = f"○\N{NO-BREAK SPACE}failed ({one.reason}), to be tried again"
    left = f"{one.left} of {one.window.max} in {duration(one.window.seconds)}" if one.window else "no limit"
    if one.token_window:
        window = one.token_window
        left += f", {one.tokens_left} of {window.max} tokens in {duration(window.seconds)}"
    return one.model, one.alias or "", "yes" if one.in_chain else "", state, left


def session_table(sessions: Sequence[Session], now: float) -> Table:
    """Return the owner's sessions, last used first."""
    columns = (Column("Session"), Column("Title"), Column("Turns", figures=True), Column("Last used"), Column("Models"))
    rows = tuple(
        (one.key.id, one.title, str(one.turns), _ago(one.updated_at, now), ", ".join(one.models)) for one in sessions
    )
    return Table(columns, rows, empty="No sessions yet; %%warp --session ID begins one.")


def history_table(session_id: str, turns: Sequence[Turn], now: float) -> Table:
    """Return a session's turns, oldest first."""
    columns = (Column("#", figures=True), Column("Prompt"), Column("Answer"), Column("Model"), Column("When"))
    return Table(columns, tuple(_turn(one, now) for one in turns), above=(f"Session {session_id}",), empty="No turns.")


def _turn(one: Turn, now: float) -> tuple[Cell | str, ...]:
    answer = one.response
    if one.status != "complete":
        because = f": {one.error['message']}" if one.error else ""
        answer = f"{answer} [{one.status}{because}]".strip()
    return str(one.n), one.prompt.strip(), answer, one.model or "", _ago(one.ended_at, now)


def help_table() -> Table:
    """Return the sub-commands of ``%warp`` and the options of ``%%warp``."""
    rows = tuple((f"%warp {name} {words}".strip(), what) for name, (words, what) in COMMANDS.items())
    return Table((Column("Line"), Column("Shows or does")), rows, above=tuple(cell_help().splitlines()))


def _ago(when: float, now: float) -> Cell:
    """Return a time as one would say it, the absolute one on hover."""
    passed = now - when
    exact = datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if passed < _JUST_NOW:
        return Cell("just now", exact)
    return Cell(f"{duration(passed)} ago" if passed < _DAYS else f"{passed / 86400:.0f} days ago", exact)
