"""Tables that read well in both themes and, as plain text, in 80 columns of a terminal."""

from __future__ import annotations

import html
import itertools
import textwrap
from dataclasses import dataclass
from typing import Final

# LOOK.md's colours, in one place: Jupyter's variable, VS Code's, then the system's by colour scheme.
TEXT: Final = "var(--jp-ui-font-color1, var(--vscode-foreground, CanvasText))"
SECONDARY: Final = "var(--jp-ui-font-color2, var(--vscode-descriptionForeground, GrayText))"
RULE: Final = "var(--jp-border-color2, var(--vscode-panel-border, GrayText))"

# The class thrice outweighs what JupyterLab and VS Code say of every table.
_VIEW: Final = ".warp-view.warp-view.warp-view"
_STYLE: Final = f"""<style>
{_VIEW} {{ --warp-warning: light-dark(#8a5300, #f5b461); color: {TEXT}; font-size: 12px; line-height: 1.5;
  font-family: var(--jp-ui-font-family, var(--vscode-font-family, system-ui, sans-serif)); }}
body[data-jp-theme-light="true"] {_VIEW} {{ --warp-warning: #8a5300; }}
body[data-jp-theme-light="false"] {_VIEW} {{ --warp-warning: #f5b461; }}
{_VIEW} .warp-route {{ color: {SECONDARY}; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
{_VIEW} .warp-warns {{ color: var(--warp-warning); }}
{_VIEW} .warp-route:hover, {_VIEW} .warp-route:focus {{ white-space: normal; }}
{_VIEW} table {{ border-collapse: collapse; margin: 4px 0; font-size: 12px; border: 0; }}
{_VIEW} tbody tr, {_VIEW} tbody tr:nth-child(odd), {_VIEW} tbody tr:hover {{ background: none; }}
{_VIEW} th {{ text-align: left; font-weight: 600; border: 0; border-bottom: 1px solid {RULE}; padding: 4px 16px 4px 0; }}
{_VIEW} td {{ text-align: left; vertical-align: top; border: 0; padding: 4px 16px 4px 0; max-width: 72ch;
  white-space: pre-wrap; overflow-wrap: anywhere; }}
{_VIEW} .n {{ text-align: right; font-variant-numeric: tabular-nums; }}
{_VIEW} p {{ margin: 4px 0; }}
</style>"""
WIDTH: Final = 80
_GAP: Final = 2


def html_page(body: str) -> str:
    """Return ``body`` in the one frame all our outputs share."""
    return f'{_STYLE}<div class="warp-view">{body}</div>'


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, and what a pointer resting on it is told."""

    text: str
    hover: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head; ``figures`` are set right-aligned."""

    head: str
    figures: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under heads, sentences around them. Its repr is text for a terminal, its HTML fits both themes."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    above: tuple[str, ...] = ()
    empty: str = "nothing"
    keep_lines: bool = False
    """Whether a cell's text keeps its line breaks in a terminal."""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": repr(self)}

    def html(self) -> str:
        """Return the table as HTML."""
        above = "".join(f"<p>{html.escape(line)}</p>" for line in self.above)
        if not self.columns:
            return html_page(above)
        if not self.rows:
            return html_page(f"{above}<p>{html.escape(self.empty)}</p>")
        kinds = [' class="n"' if column.figures else "" for column in self.columns]
        heads = "".join(
            f'<th scope="col"{kind}>{html.escape(column.head)}</th>'
            for column, kind in zip(self.columns, kinds, strict=True)
        )
        rows = "".join(f"<tr>{_html_row(row, kinds)}</tr>" for row in self.rows)
        return html_page(f"{above}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")

    def __repr__(self) -> str:
        lines = list(self.above)
        if self.columns and not self.rows:
            lines.append(self.empty)
        elif self.columns:
            told = str.expandtabs if self.keep_lines else _on_one_line
            texts = [[told(_cell(one).text) for one in row] for row in self.rows]
            heads = [column.head for column in self.columns]
            widths = _widths([heads, *texts])
            lines += self._lines(heads, widths)
            lines.append("-" * (sum(widths) + _GAP * (len(widths) - 1)))
            lines += [line for row in texts for line in self._lines(row, widths)]
        return "\n".join(lines)

    def _lines(self, texts: list[str], widths: list[int]) -> list[str]:
        """Return one row: what is wider than its column goes on below."""
        wrapped = [_wrapped(text, width) for text, width in zip(texts, widths, strict=True)]
        return [self._line(pieces, widths) for pieces in itertools.zip_longest(*wrapped, fillvalue="")]

    def _line(self, texts: tuple[str, ...], widths: list[int]) -> str:
        cells = zip(self.columns, texts, widths, strict=True)
        told = [text.rjust(width) if column.figures else text.ljust(width) for column, text, width in cells]
        return (" " * _GAP).join(told).rstrip()


def _cell(one: Cell | str) -> Cell:
    return one if isinstance(one, Cell) else Cell(one)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _wrapped(text: str, width: int) -> list[str]:
    """Return a cell's lines, none longer than ``width``."""
    lines = [piece for line in text.splitlines() for piece in textwrap.wrap(line, width) or [""]]
    return lines or [""]


def _html_row(row: tuple[Cell | str, ...], kinds: list[str]) -> str:
    told = []
    for one, kind in zip(map(_cell, row), kinds, strict=True):
        hover = f' title="{html.escape(one.hover)}"' if one.hover else ""
        told.append(f"<td{kind}{hover}>{html.escape(one.text)}</td>")
    return "".join(told)


def _widths(texts: list[list[str]]) -> list[int]:
    """Return column widths that fit WIDTH: the widest column gives way first."""
    widths = [
        max(max(map(len, text.splitlines()), default=0) for text in column) for column in zip(*texts, strict=True)
    ]
    room = WIDTH - _GAP * (len(widths) - 1)
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    return widths
