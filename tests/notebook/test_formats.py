"""How a whole answer of each format is shown and read."""

import html
import json
import re

import pytest

from warp_magics.formats import NotJson, code_blocks, growing, json_of, whole

TICKS = "`" * 3
FENCED = f'{TICKS}json\n{{"a": 1}}\n{TICKS}'


@pytest.mark.parametrize("text", ['{"a": 1}', FENCED, f"\n{FENCED}\n"])
def test_json_is_parsed_also_out_of_a_fence(text):
    assert json_of(text) == {"a": 1}
    assert whole("json", text) == {"application/json": {"a": 1}, "text/plain": '{\n  "a": 1\n}'}


def test_what_is_no_json_says_so_and_is_shown_as_text():
    with pytest.raises(NotJson, match="not JSON"):
        json_of("Sure! {}")
    assert whole("json", "Sure! {}") == {"text/plain": "Sure! {}"}
    assert whole("json", "3") == {"text/plain": "3"}


def test_a_page_is_shut_in():
    page = '<h1 title="a">Hi</h1><script>parent.alert(1)</script>'
    shown = whole("html", page)["text/html"]
    frame = re.fullmatch(r'<iframe sandbox="" [^>]* srcdoc="([^"]*)"></iframe>', shown)
    inner = html.unescape(frame[1])
    assert inner.endswith(page)
    assert "default-src 'none'" in inner
    assert "<script>" not in shown
    assert whole("html", page)["text/plain"] == page


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("x^2", "$$x^2$$"),
        ("$$x^2$$", "$$x^2$$"),
        ("$x$", "$x$"),
        ("\\[x\\]", "\\[x\\]"),
        ("\\begin{align}x\\end{align}", "\\begin{align}x\\end{align}"),
        (f"{TICKS}latex\nx^2\n{TICKS}", "$$x^2$$"),
    ],
)
def test_a_formula_is_latex(text, latex):
    assert whole("math", text) == {"text/latex": latex, "text/plain": text}


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("x = 1", []),
        (f"Here:\n{TICKS}python\nx = 1\ny = 2\n{TICKS}\nDone.", ["x = 1\ny = 2"]),
        (f"{TICKS}\na\n{TICKS}\nor\n{TICKS}py\nb\n{TICKS}", ["a", "b"]),
        (f"~~~\n{TICKS}\nin\n{TICKS}\n~~~", [f"{TICKS}\nin\n{TICKS}"]),
        (f"{TICKS}python\ncut off", ["cut off"]),
        (f"{TICKS}\n\n{TICKS}", []),
        (f"1. Do\n\n    {TICKS}py\n    if x:\n        y\n\n    z\n    {TICKS}\n", ["if x:\n    y\n\nz"]),
    ],
)
def test_code_is_taken_out_of_its_fences(text, blocks):
    assert code_blocks(text) == blocks


@pytest.mark.parametrize("format_", ["markdown", "code"])
def test_markdown_stays_as_it_grew(format_):
    assert whole(format_, "**a**") == growing(format_, "**a**") == {"text/markdown": "**a**", "text/plain": "**a**"}


@pytest.mark.parametrize("format_", ["text", "json", "html"])
def test_what_is_no_markdown_grows_as_text(format_):
    assert growing(format_, "**a**") == {"text/plain": "**a**"}
    assert json.dumps(whole(format_, "**a**"))
