"""Tables that read well in both themes and, as plain text, in 80 columns of a terminal.

What makes a table one stands in the elements themselves: of a notebook that is not trusted yet, JupyterLab shows no style
sheet. The sheet has what only it can say.
"""

from __future__ import annotations

import html
import itertools
from dataclasses import dataclass, replace
from typing import Final, Literal

from .terminal import GAP, LINES, WIDTH, padded, pieces, told, widths, wrapped

# LOOK.md's colours, in one place: Jupyter's variable, VS Code's, then the system's by colour scheme.
TEXT: Final = "var(--jp-ui-font-color1, var(--vscode-foreground, CanvasText))"
SECONDARY: Final = "var(--jp-ui-font-color2, var(--vscode-descriptionForeground, GrayText))"
RULE: Final = "var(--jp-border-color2, var(--vscode-panel-border, GrayText))"
GOOD: Final = "var(--jp-success-color1, var(--vscode-testing-iconPassed, green))"
WARNING: Final = f"var(--warp-warning, {TEXT})"
_FOCUS: Final = "var(--jp-brand-color1, var(--vscode-focusBorder, Highlight))"
_FONT: Final = "var(--jp-ui-font-family, var(--vscode-font-family, system-ui, sans-serif))"
_CODE: Final = "var(--jp-code-font-family, var(--vscode-editor-font-family, monospace))"

_SHEET: Final = f"""<style>
.warp-view {{ --warp-warning: light-dark(#8a5300, #f5b461); }}
body[data-jp-theme-light="true"] .warp-view {{ --warp-warning: #8a5300; }}
body[data-jp-theme-light="false"] .warp-view {{ --warp-warning: #f5b461; }}
.warp-route:focus {{ white-space: normal !important; }}
.warp-view :focus {{ outline: 1px solid {_FOCUS}; outline-offset: 2px; }}
.warp-view td:last-child, .warp-view th:last-child {{ padding-right: 0 !important; }}
</style>"""
_TYPE: Final = f"font-family: {_FONT}; font-size: 12px; line-height: 1.5; color: {TEXT}"
_VIEW: Final = f"{_TYPE}; overflow-x: auto"
_TABLE: Final = f"{_TYPE}; border-collapse: collapse; margin: 4px 0; border: 0"
_LINE: Final = "margin: 4px 0; font-size: 12px; line-height: 1.5"
_CELL: Final = "border: 0; padding: 4px 16px 4px 0; line-height: 1.5; vertical-align: top; max-width: 72ch"
_HEAD: Final = f"{_CELL}; border-bottom: 1px solid {RULE}; font-weight: 600; white-space: nowrap"
_SHORT: Final = "text-align: left; white-space: nowrap"
_FIGURES: Final = "text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums"
_PROSE: Final = "text-align: left; white-space: pre-wrap; overflow-wrap: break-word; min-width: 14ch"
_ROUTE: Final = f"color: {SECONDARY}; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; margin-top: 4px"
_TALL: Final = 16
"""Above so many lines a cell scrolls in HTML."""


def html_page(body: str, kind: str = "") -> str:
    """Return ``body`` in the one frame all our outputs share, of the class ``kind``; nothing in it is a formula."""
    kind = f" {kind}" if kind else ""
    return f'{_SHEET}<div class="warp-view{kind} mathjax_ignore tex2jax_ignore" style="{_VIEW}">{body}</div>'


def html_route(parts: list[tuple[str, bool]], whole: str) -> str:
    """Return a route line of ``parts``, each with whether it tells of something that went wrong."""
    shown = " · ".join(
        f'<span class="warp-warns" style="color: {WARNING}">{html.escape(part)}</span>' if warns else html.escape(part)
        for part, warns in parts
    )
    return html_page(
        f'<div class="warp-route" style="{_ROUTE}" title="{html.escape(whole)}" tabindex="0">{shown}</div>'
    )


def html_small(text: str) -> str:
    """Return a line as HTML that stays the same from version to version."""
    return f'<small style="opacity: 0.7">{html.escape(text)}</small>'


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, and what a pointer resting on it is told. Of a state the first character, a dot, has its colour."""

    text: str
    hover: str = ""
    state: Literal["good", "bad"] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head; ``figures`` are set right-aligned, ``prose`` is wrapped."""

    head: str
    figures: bool = False
    prose: bool = False

    @property
    def style(self) -> str:
        """How its cells are set."""
        return _FIGURES if self.figures else _PROSE if self.prose else _SHORT


@dataclass(frozen=True)
class Table:
    """Rows under heads, sentences around them. Its repr is text for a terminal, its HTML fits both themes."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    above: tuple[str, ...] = ()
    empty: str = "nothing"
    keep_lines: bool = False
    """Whether a cell's text keeps its line breaks in a terminal, as code does."""
    total: bool = False
    """Whether the last row is the sum of those above it."""
    styled: bool = True
    """Whether it is shown as HTML, whose style may be another one in the next version."""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {**({"text/html": self.html()} if self.styled else {}), "text/plain": repr(self)}

    def bare(self) -> Table:
        """Return the table as plain text alone, without the columns in which nothing stands."""
        kept = [at for at in range(len(self.columns)) if not self.rows or any(_cell(row[at]).text for row in self.rows)]
        columns = tuple(self.columns[at] for at in kept)
        return replace(
            self, styled=False, columns=columns, rows=tuple(tuple(row[at] for at in kept) for row in self.rows)
        )

    def html(self) -> str:
        """Return the table as HTML."""
        above = "".join(f'<p style="{_LINE}">{html.escape(told(line))}</p>' for line in self.above)
        if not self.columns:
            return html_page(above)
        if not self.rows:
            return html_page(f'{above}<p style="{_LINE}">{html.escape(self.empty)}</p>')
        heads = "".join(
            f'<th scope="col" style="{_HEAD}; text-align: {"right" if column.figures else "left"}">'
            f"{html.escape(column.head)}</th>"
            for column in self.columns
        )
        rows = "".join(self._html_row(row, last=row is self.rows[-1]) for row in self.rows)
        inner = f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>"
        return html_page(f'{above}<table style="{_TABLE}">{inner}</table>')

    def _html_row(self, row: tuple[Cell | str, ...], *, last: bool) -> str:
        rule = f"; border-top: 1px solid {RULE}" if last and self.total else ""
        code = f"; font-family: {_CODE}" if self.keep_lines else ""
        cells = []
        for one, column in zip(map(_cell, row), self.columns, strict=True):
            hover = f' title="{html.escape(one.hover)}"' if one.hover else ""
            style = f"{_CELL}; {column.style}{rule}{code if column.prose else ''}"
            cells.append(f'<td style="{style}"{hover}>{_html_text(one)}</td>')
        return f'<tr style="background: none">{"".join(cells)}</tr>'

    def __repr__(self) -> str:
        lines = [piece for line in self.above for piece in pieces(told(line).expandtabs(), WIDTH)]
        if self.columns and not self.rows:
            lines += pieces(self.empty, WIDTH)
        elif self.columns:
            texts = [[self._plain(_cell(one).text) for one in row] for row in self.rows]
            heads = [column.head for column in self.columns]
            sizes = widths([heads, *texts])
            rule = "-" * (sum(sizes) + GAP * (len(sizes) - 1))
            rows = [self._lines(row, sizes) for row in texts]
            rows[-1:-1] = [[rule]] if self.total else []
            lines += [*self._lines(heads, sizes), rule, *itertools.chain.from_iterable(rows)]
        return "\n".join(lines)

    def _plain(self, text: str) -> str:
        return told(text).expandtabs() if self.keep_lines else " ".join(told(text).split())

    def _lines(self, texts: list[str], sizes: list[int]) -> list[str]:
        """Return one row: what is wider than its column goes on below."""
        most = None if self.keep_lines else LINES
        parts = [wrapped(text, size, most) for text, size in zip(texts, sizes, strict=True)]
        return [self._line(line, sizes) for line in itertools.zip_longest(*parts, fillvalue="")]

    def _line(self, texts: tuple[str, ...], sizes: list[int]) -> str:
        cells = zip(self.columns, texts, sizes, strict=True)
        return (" " * GAP).join(padded(text, size, left=column.figures) for column, text, size in cells).rstrip()


def _cell(one: Cell | str) -> Cell:
    return one if isinstance(one, Cell) else Cell(one)


def _html_text(one: Cell) -> str:
    text = told(one.text)
    shown = html.escape(text)
    if one.state is not None:
        colour = GOOD if one.state == "good" else WARNING
        return f'<span style="color: {colour}">{shown[:1]}</span>{shown[1:]}'
    is_tall = len(text) > _TALL * WIDTH or text.count("\n") >= _TALL
    return f'<div style="max-height: 24em; overflow: auto" tabindex="0">{shown}</div>' if is_tall else shown
