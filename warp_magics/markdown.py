"""An answer's Markdown as HTML that does nothing: no script, no frame, nothing fetched, links only to click on. Pure."""

from __future__ import annotations

import html
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Match

LONGEST: Final = 100_000
"""Characters up to which a text is read as Markdown; a longer one is shown as it is."""
_LINK: Final = re.compile(r"https?://|mailto:", re.IGNORECASE)
_AS_IT_IS: Final = "white-space: pre-wrap; overflow-wrap: break-word"
# As in Pandoc a $ opens before a sign and closes behind one, and not before a digit: prices are no formulas. None of these
# looks further than to where the next would begin.
_DOLLARS: Final = r"\$\$(?:\\[^\n]|[^\\$])+?\$\$"
_DOLLAR: Final = r"\$(?![\s$])(?:\\[^\n]|[^\\$\n])*?(?<!\s)\$(?!\d)"
_ROUND: Final = r"\\\((?:\\[^()\[\]\n]|[^\\])+?\\\)"
_SQUARE: Final = r"\\\[(?:\\[^()\[\]\n]|[^\\])+?\\\]"
_TEX: Final = f"{_DOLLARS}|{_DOLLAR}|{_ROUND}|{_SQUARE}"
# What sets links, loads parts of MathJax, takes any character, or gives what stands beside it a look or a name.
_ACTING: Final = re.compile(
    r"\\(?:href|require|unicode|class|cssId|style|data|bbox|mmlToken|includegraphics)(?![A-Za-z])", re.ASCII
)
_TEX_BLOCK: Final = rf"^ {{0,3}}(?:{_DOLLARS}|{_SQUARE})[ \t]*(?:\n|$)"


@lru_cache(maxsize=256)
def inert(text: str) -> str:
    """Return Markdown as HTML; formulas stay as they are written, for Jupyter to set, and raw HTML is text."""
    if len(text) <= LONGEST:
        try:
            return str(_parser()(text))
        except RecursionError:  # quotes in quotes in quotes
            pass
    return f'<div style="{_AS_IT_IS}">{html.escape(text)}</div>\n'


@cache
def _parser() -> Callable[[str], Any]:
    import mistune
    from mistune.util import safe_entity

    class Inert(mistune.HTMLRenderer):
        def text(self, text: str) -> str:
            return safe_entity(text)  # an answer may have written &amp; for &

        def link(self, text: str, url: str, title: str | None = None) -> str:
            return _link(text, url, title)

        def image(self, text: str, url: str, title: str | None = None) -> str:
            return _link(text or html.escape(url), url, title)

    parser = mistune.create_markdown(renderer=Inert(escape=True), plugins=["table", "strikethrough", "url"])
    parser.inline.register("tex", _TEX, _of_line, before="escape")
    parser.block.register("tex_block", _TEX_BLOCK, _of_block, before="list")
    for name in ("tex", "tex_block"):
        parser.renderer.register(name, _formula)  # type: ignore[union-attr]
    return parser


def _link(text: str, url: str, title: str | None) -> str:
    """Return a link that tells nobody where it was clicked; text alone where it leads to anything but a page or a letter."""
    if not _LINK.match(url):
        return text
    told = f' title="{html.escape(title)}"' if title else ""
    return f'<a href="{html.escape(url)}"{told} target="_blank" rel="noopener noreferrer">{text}</a>'


def _of_line(_: object, found: Match[str], state: Any) -> int:
    state.append_token({"type": "tex", "raw": found[0]})
    return found.end()


def _of_block(_: object, found: Match[str], state: Any) -> int:
    state.append_token({"type": "tex_block", "raw": found[0].strip()})
    return found.end()


def _formula(_: object, text: str) -> str:
    # Around it nothing is set: what looks like a formula there is none.
    if _ACTING.search(text):
        return html.escape(text)
    return f'<span class="mathjax_process tex2jax_process">{html.escape(text)}</span>'
