"""A conversation as static HTML: what a notebook shows of a chat where there is no kernel. Pure, and always the same.

What makes it readable stands in the elements themselves, as in ``tables``: a notebook that is not trusted has no style.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from .display import ENDINGS
from .frames import trimmed
from .markdown import LONGEST, inert
from .tables import RULE, SECONDARY, WARNING, html_page
from .words import counted, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .gateway import Turn

MOST: Final = 1_000_000
"""Bytes of HTML, about, that a conversation may have; the oldest turns are left out."""
# Where no widget lives the output behind this one says that there is none.
_SHEET: Final = (
    "<style>.jp-OutputArea-child:has(.warp-saved) + .jp-OutputArea-child:not(:has(.warp-panel)) "
    "{ display: none; }</style>"
)
_HEAD: Final = f"margin: 4px 0; color: {SECONDARY}"
_TURN: Final = f"border-top: 1px solid {RULE}; padding: 8px 0; max-width: 88ch"
_PROMPT: Final = "font-weight: 600; white-space: pre-wrap; overflow-wrap: break-word; margin: 0 0 8px 0"
_NOTE: Final = f"color: {SECONDARY}; margin: 4px 0"
_TROUBLE: Final = f"color: {WARNING}; margin: 4px 0"
_STATUS: Final = {"stopped": "stopped", "failed": "failed", "interrupted": "broken off"}


_STYLE: Final = re.compile(r' style="[^"]*"')


def saved_html(title: str, turns: Sequence[Turn], *, widget: bool = True, styled: bool = True) -> str:
    """Return the session called ``title`` as HTML; ``widget`` says that its output is followed by the widget's.

    Not ``styled`` it is the same in every version.
    """
    shown: list[str] = []
    room = MOST
    for turn in reversed(turns):
        one = _turn(turn)
        room -= len(one.encode("utf-8", "replace"))
        if room < 0 and shown:
            break
        shown.append(one)
    left = len(turns) - len(shown)
    head = [f'<div style="{_HEAD}">{html.escape(saved_text(title, turns))}</div>']
    if left:
        head.append(f'<div style="{_NOTE}">{counted(left, "earlier turn")} left out here; the session has them.</div>')
    body = "".join([*head, *reversed(shown)])
    if not styled:
        return _STYLE.sub("", f'<div class="warp-saved">{body}</div>')
    return html_page(f"{_SHEET if widget else ''}{body}", "warp-saved")


def saved_text(title: str, turns: Sequence[Turn]) -> str:
    """Return the same in a line."""
    return f"Chat {title}: {counted(len(turns), 'turn')}" if turns else f"Chat {title}: nothing was asked yet."


def _turn(turn: Turn) -> str:
    parts = [f'<div style="{_PROMPT}">{html.escape(_bounded(turn.prompt))}</div>']
    if turn.attachments:
        names = listed([one.name or one.kind for one in turn.attachments])
        parts.append(f'<div style="{_NOTE}">With {html.escape(names)}</div>')
    if turn.model:
        parts.append(f'<div style="{_NOTE}">{html.escape(turn.model)}</div>')
    if turn.response:
        parts.append(inert(_bounded(turn.response)))
    if trouble := _trouble(turn):
        parts.append(f'<div style="{_TROUBLE}">{html.escape(trouble)}</div>')
    return f'<div style="{_TURN}">{"".join(parts)}</div>'


def _bounded(text: str) -> str:
    return trimmed(text, 2 * LONGEST)


def _trouble(turn: Turn) -> str:
    """Return what kept an answer from being whole, empty where it is."""
    if turn.status == "complete":
        return ENDINGS.get(turn.result, "")
    told = _STATUS.get(turn.status, turn.status)
    return f"{told}: {turn.error['message']}" if turn.error and "message" in turn.error else told
