"""Asking: the line and the text of a cell become a request, with what the notebook's names stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .attach import attached
from .formats import HINTS
from .gateway import ChatRequest, Parameters, errors
from .grammar import UsageError
from .interpolate import REFERENCE, interpolate, lookup, text_of
from .schema import wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gateway import Attachment
    from .grammar import CellOptions
    from .schema import Wanted


@dataclass(frozen=True, slots=True)
class Asked:
    """What a cell asks, and the type its answer is to have."""

    request: ChatRequest
    wanted: Wanted | None


def asked(
    cell: str, options: CellOptions, names: Mapping[str, Any], *, owner: str, session: str | None, attach_tokens: int
) -> Asked:
    """Return what ``cell`` asks with ``options``, where the notebook has ``names``; from where is not said yet.

    Without a session of its own it is in ``session``. Raises UsageError and InvalidRequest, which name what is wrong.
    """
    if not cell.strip():
        raise errors.InvalidRequest("The prompt is empty: write it below the %%warp line.")
    kind = None if options.schema is None else wanted(options.schema, looked_up("--schema ", options.schema, names))
    prompt = cell.strip("\n") if options.raw else interpolate(cell.strip("\n"), names)
    session = session if options.session is None else options.session
    request = ChatRequest(
        prompt=prompt,
        session_id=session,
        create_session=True,
        store=session is not None,
        owner=owner,
        context=_context(options, names),
        models=options.models,
        parameters=Parameters(
            options.temperature, options.max_tokens, options.top_p, options.seed, tuple(options.stop)
        ),
        timeout=options.timeout,
        on_disconnect="cancel",
        on_break=options.on_break,
        attachments=tuple(_attached(name, names, attach_tokens) for name in options.attach),
    )
    if kind is not None:
        request = replace(request, form=replace(request.form, schema=kind.schema))
    return Asked(request, kind)


def looked_up(option: str, name: str, names: Mapping[str, Any], *more: str) -> Any:
    """Return what ``name`` is in ``names``; raises UsageError, which names the ``option`` that asked for it."""
    try:
        return lookup(name, names)
    except UsageError as error:
        raise UsageError(" ".join([f"{option}{name}: {error}", *more])) from None


def _context(options: CellOptions, names: Mapping[str, Any]) -> str | None:
    """Return the system text: what the line says, and what the format adds."""
    said = options.context
    if said is not None and said.startswith("@"):
        value = looked_up("--context @", said[1:], names)
        if value is None:
            raise UsageError(f"--context {said}: it is None, which is no text.")
        said = text_of(value)
    return "\n\n".join(part for part in (said, HINTS.get(options.format)) if part) or None


def _attached(name: str, names: Mapping[str, Any], tokens: int) -> Attachment:
    is_file = name not in names and (_is_file(name) or not REFERENCE.fullmatch(name))
    value = Path(name) if is_file else looked_up("--attach ", name, names, "There is no file of that name either.")
    return attached(name, value, tokens)


def _is_file(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # a name too long for a file, a home nobody has
        return False
