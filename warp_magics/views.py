"""What ``%warp`` and its sub-commands show, as tables: pure, the time is an argument."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from .gateway import Usage, UsageRow, errors
from .grammar import COMMANDS
from .tables import Cell, Column, Table
from .words import back_in, counted, dollars, duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .gateway import Branch, GatewayStatus, Heard, Message, ModelState, Preview, Session, Turn
    from .taping import Tape

_JUST_NOW: Final = 10.0  # seconds
_DAYS: Final = 2 * 86400.0
_SHORT: Final = 60
_INDENT: Final = "│ "


def overview(
    status: GatewayStatus,
    why: str,
    session: str | None,
    models: Sequence[ModelState],
    *,
    taped: bool = False,
    hidden: str = "",
) -> Table:
    """Return which gateway this is and why, the current session, the models and the storage.

    ``hidden`` names the keys that this kernel's server keeps to itself.
    """
    storage = status.storage
    what = [storage["server"] or storage.get("reason", "in this process"), storage.get("program")]
    where = f"{storage['type']} ({', '.join(str(one) for one in what if one)})"
    lines = [
        f"Gateway: {why}",
        *([] if taped else [f"Version: {status.version}, gateway {status.gateway_id[:8]}"]),
        f"Storage: {where}",
        f"Session: {session or 'none; %warp use ID chooses one'}",
    ]
    if hidden:
        lines.append(f"Keys: the server keeps {hidden} to itself (hide_keys under [server] of its warp.toml)")
    if not status.configured:
        lines.append(
            "To add a model set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, DEEPSEEK_API_KEY or COHERE_API_KEY, "
            "or run jupyter warp init in a terminal."
        )
    return replace(model_table(models, taped=taped), above=tuple(lines), empty="No models.")


def model_table(models: Sequence[ModelState], *, taped: bool = False) -> Table:
    """Return the configured models and their state; on a tape, those that have answered."""
    if taped:
        return Table((Column("Model"),), tuple((one.model,) for one in models), empty="No model has answered yet.")
    return Table(*_models(models), empty="No model is configured; jupyter warp init writes a warp.toml.")


def tape_table(tape: Tape, heard: Sequence[Heard]) -> Table:
    """Return how a tape is used, and its entries: used, missing, then those that this run has not met."""
    counts = Counter(one.state for one in heard)
    told = ", ".join(f"{counts[state]} {state}" for state in ("used", "missing", "unused"))
    told += f", {counts['damaged']} damaged" if counts["damaged"] else ""
    columns = (Column("State"), Column("Prompt", prose=True), Column("Entry"))
    rows = tuple((one.state, _line(one.prompt), one.file) for one in heard)
    above = (f"Tape: {tape.mode} in {tape.where}{', in real time' if tape.realtime else ''}", f"{told} in this run")
    return Table(columns, rows, above=above, empty="Nothing is on it.")


def pruned(files: Sequence[str], others: int, heard: Sequence[Heard]) -> Table:
    """Return which entries were removed, and how many of those that were not used stayed, and why."""
    if not any(one.state == "used" for one in heard):
        return note("This run has used nothing yet, so nothing was removed.")
    told = f"Removed: {', '.join(files)}." if files else "Nothing was removed."
    kept = f"{others} not used stayed: other notebooks may need them. %warp tape prune --all removes them."
    return note(told, *([kept] if others else []))


def _models(models: Sequence[ModelState]) -> tuple[tuple[Column, ...], tuple[tuple[Cell | str, ...], ...]]:
    columns = [
        Column("Model"),
        Column("Alias"),
        Column("Chain"),
        Column("State"),
        Column("Requests left", figures=True),
    ]
    rows = [_model(one) for one in models]
    if any(one.price for one in models):
        columns.append(Column("$ per 1M tokens", figures=True))
        rows = [(*row, _price(one)) for row, one in zip(rows, models, strict=True)]
    return tuple(columns), tuple(rows)


def _price(one: ModelState) -> str:
    return f"{one.price.input:.2f} in, {one.price.output:.2f} out" if one.price else "unknown"


def _model(one: ModelState) -> tuple[Cell | str, ...]:
    state = Cell("●\N{NO-BREAK SPACE}ready", state="good")
    if one.state != "ready":
        back = back_in(one.restores_in or 0) if one.state == "cooling" else "being tried again"
        state = Cell(f"○\N{NO-BREAK SPACE}failed ({errors.brief_of(one.reason or '')}), {back}", state="bad")
    left = f"{one.left:,} of {one.window.max:,} in {duration(one.window.seconds)}" if one.window else "no limit"
    if one.token_window:
        window = one.token_window
        left += f", {one.tokens_left:,} of {window.max:,} tokens in {duration(window.seconds)}"
    return one.model, one.alias or "", "yes" if one.in_chain else "", state, left


def session_table(sessions: Sequence[Session], now: float, search: str = "", *, more: bool = False) -> Table:
    """Return the owner's sessions that were searched for, last used first; ``more`` says that there are others."""
    columns = (
        Column("Session"),
        Column("Title", prose=True),
        Column("Turns", figures=True),
        Column("Last used"),
        Column("Models", prose=True),
    )
    rows = tuple(
        (one.key.id, one.title, str(one.turns), _ago(one.updated_at, now), ", ".join(one.models)) for one in sessions
    )
    above = (f"The {len(rows)} used last; %warp sessions TEXT finds others.",) if more else ()
    none = (
        f"No session has “{search}” in its id or title."
        if search
        else "No sessions yet; %%warp --session ID begins one."
    )
    return Table(columns, rows, above=above, empty=none)


def history_table(session_id: str, turns: Sequence[Turn], now: float) -> Table:
    """Return a session's turns, oldest first."""
    columns = (
        Column("#", figures=True),
        Column("Prompt", prose=True),
        Column("Answer", prose=True),
        Column("Model"),
        Column("When"),
    )
    return Table(columns, tuple(_turn(one, now) for one in turns), above=(f"Session {session_id}",), empty="No turns.")


def _turn(one: Turn, now: float) -> tuple[Cell | str, ...]:
    return str(one.n), one.prompt.strip(), _answer(one), one.model or "", _ago(one.ended_at, now)


def _answer(one: Turn) -> str:
    """Return a turn's answer, and what became of one that is not whole."""
    if one.status == "complete":
        return one.response
    because = f": {one.error['message']}" if one.error else ""
    return f"{one.response} [{one.status}{because}]".strip()


def tree_table(session: Session, lines: Mapping[int | None, Sequence[Turn]], now: float) -> Table:
    """Return a session's turns (None) and, under the turn that each stood behind, those of its branches by number."""
    hung: dict[str | None, list[Branch]] = {}
    for branch in session.branches:
        hung.setdefault(branch.after, []).append(branch)
    rows: list[tuple[Cell | str, ...]] = []

    def hang(after: str | None, depth: int) -> None:
        for branch in hung.get(after, ()):
            turns = lines.get(branch.number, ())
            rows.append(("", f"{_INDENT * depth}└ branch {branch.number}", "", "", _ago(branch.created_at, now)))
            grow(turns, depth + 1)

    def grow(turns: Sequence[Turn], depth: int) -> None:
        for one in turns:
            prompt, answer = _line(one.prompt), _line(_answer(one))
            rows.append((str(one.n), _INDENT * depth + prompt, answer, one.model or "", _ago(one.ended_at, now)))
            hang(one.id, depth)

    hang(None, 0)
    grow(lines[None], 0)
    columns = (
        Column("#", figures=True),
        Column("Prompt", prose=True),
        Column("Answer", prose=True),
        Column("Model"),
        Column("When"),
    )
    above = [f"Session {session.key.id}"]
    if session.branches:
        above.append("%warp rewind N goes back to turn N, also to one of a branch.")
    return Table(columns, tuple(rows), above=tuple(above), empty="No turns.")


def usage_table(by: str, rows: Sequence[UsageRow]) -> Table:
    """Return what was used by model, session or day, and all of it in the last row."""
    columns = (
        Column({"model": "Model", "session": "Session", "day": "Day"}[by]),
        *(Column(head, figures=True) for head in ("Answers", "Input", "Output", "Cached", "Cost")),
    )
    shown = [_used(one) for one in rows]
    if len(rows) > 1:
        usage = Usage(*(sum(getattr(one.usage, name) for one in rows) for name in Usage.__dataclass_fields__))
        costs = [one.cost for one in rows if one.cost is not None]
        unpriced = sum(one.unpriced for one in rows)
        total = UsageRow("Total", sum(one.answers for one in rows), usage, sum(costs) if costs else None, unpriced)
        shown.append(_used(total))
    return Table(columns, tuple(shown), empty="Nothing was asked yet.", total=len(rows) > 1)


def _used(one: UsageRow) -> tuple[Cell | str, ...]:
    cost = Cell("unknown" if one.cost is None else dollars(one.cost))
    if one.cost is not None and one.unpriced:
        cost = Cell(f"{dollars(one.cost)} and more", f"{counted(one.unpriced, 'answer')} of unknown price")
    usage = one.usage
    tokens = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    return one.key, f"{one.answers:,}", *(f"{count:,}" for count in tokens), cost


def preview_table(one: Preview, schema: Mapping[str, object] | None = None) -> Table:
    """Return what would be sent: the messages, the schema of the answer, about how many tokens, and for how much."""
    cost = "its price is not known" if one.cost is None else f"about {dollars(one.cost)} at most"
    tokens = f"about {one.usage.input_tokens:,} tokens, and up to {one.usage.output_tokens:,} for the answer"
    above = (f"To {one.model}: {tokens}; {cost}. Nothing was sent.", *one.warnings)
    rows: tuple[tuple[str, str], ...] = tuple((message.role, _message(message)) for message in one.messages)
    if schema is not None:
        rows += (("schema", json.dumps(schema, indent=1, ensure_ascii=False)),)
    return Table((Column("Role"), Column("Text", prose=True)), rows, above=above, keep_lines=True)


def _message(one: Message) -> str:
    results = [f"[result of {result.name}] {result.content}" for result in one.tool_results]
    images = [f"[{image.media_type} {image.name}]" for image in one.images]
    calls = [f"[calls {call.name} {call.arguments}]" for call in one.tool_calls]
    return "\n".join(part for part in (*results, one.text, *images, *calls) if part)


def setting_table(settings: Sequence[tuple[str, str, str]]) -> Table:
    """Return this kernel's settings: name, value, what it is for."""
    return Table((Column("Setting"), Column("Value"), Column("For", prose=True)), tuple(settings))


def note(*lines: str) -> Table:
    """Return sentences alone."""
    return Table((), (), above=lines)


def help_table() -> Table:
    """Return the sub-commands of ``%warp``."""
    rows = tuple((f"%warp {name} {verb.words}".strip(), verb.help) for name, verb in COMMANDS.items())
    return Table((Column("Command"), Column("Shows or does", prose=True)), rows)


def _line(text: str) -> str:
    """Return ``text`` as one short line."""
    told = " ".join(text.split())
    return told if len(told) <= _SHORT else told[: _SHORT - 1] + "…"


def _ago(when: float, now: float) -> Cell:
    """Return a time as one would say it, the absolute one on hover."""
    if not when:  # on a tape
        return Cell("")
    passed = now - when
    exact = datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if passed < _JUST_NOW:
        return Cell("just now", exact)
    return Cell(f"{duration(passed)} ago" if passed < _DAYS else f"{passed / 86400:.0f} days ago", exact)
