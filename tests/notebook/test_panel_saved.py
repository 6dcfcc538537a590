"""A conversation as static HTML: what it shows, that it does nothing, that it has an end. Without a kernel."""

from __future__ import annotations

import html
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway import Attachment, Result, Turn
from warp_magics.markdown import LONGEST, inert
from warp_magics.saved import MOST, saved_html, saved_text

TAGS = {
    "style",
    "div",
    "p",
    "a",
    "em",
    "strong",
    "del",
    "code",
    "pre",
    "ul",
    "ol",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "blockquote",
    "hr",
    "br",
    "span",
}
TAGS |= {f"h{level}" for level in range(1, 7)}
ATTRIBUTES = {"class", "style", "href", "title", "target", "rel", "start"}


def turn(prompt="What is it?", response="A **cat**.", n=1, **more):
    given = {"status": "complete", "result": Result.COMPLETE, "model": "lab:ok", "started_at": 1.0, "ended_at": 2.0}
    return Turn(f"turn-{n}", n, prompt, response, **(given | more))


class Reader(HTMLParser):
    """What a browser would find: its tags with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text, self._style = [], "", False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        if not self._style:
            self.text += data


def is_inert(page):
    reader = Reader(page)
    for tag, attrs in reader.found:
        assert tag in TAGS, tag
        assert set(attrs) <= ATTRIBUTES, attrs
        if tag == "a":
            assert re.match("(?i)(https?://|mailto:)", attrs["href"]), attrs
            assert (attrs["target"], attrs["rel"]) == ("_blank", "noopener noreferrer")
    assert page.count("<style>") == sum(tag == "style" for tag, _ in reader.found)
    return reader


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<iframe src='https://evil.example'></iframe>",
    "</div></div><script>alert(1)</script>",
    "<style>* { display: none }</style>",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt:alert(1))",
    "[click](java\tscript:alert(1))",
    "[click](&#106;avascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:x)",
    "[click](//evil.example/x)",
    "[click](/api/shutdown)",
    '[click](https://x.example/"onmouseover="alert(1))',
    '[click](https://x.example "title\\" onclick=\\"alert(1)")',
    "![pixel](https://evil.example/pixel.png)",
    "![pixel](data:image/svg+xml;base64,PHN2Zz4=)",
    "![a](javascript:alert(1))",
    "<https://x.example/<script>>",
    "<javascript:alert(1)>",
    "[a]: javascript:alert(1)\n\n[a]",
    '```"><script>alert(1)</script>\nx\n```',
    '``` x" onclick="alert(1)\ny\n```',
    "$<img src=x onerror=alert(1)>$",
    "$$\n</span><script>alert(1)</script>\n$$",
    "\\(<b onclick=alert(1)>\\)",
    "| <script> | b |\n|---|---|\n| <img src=x onerror=y> | c |",
    "1" * 20 + ". <b>",
    "> " * 3000 + "x",
    "[" * 5000,
    "<!-- x",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_nothing_wherever_it_stands(text):
    is_inert(saved_html(text, [turn(text, text, model=text, attachments=(Attachment("text", text, text="x"),))]))
    is_inert(saved_html("x", [turn(status="failed", error={"code": "X", "message": text})]))


@given(st.text(), st.text())
def test_any_text_does_nothing(prompt, response):
    is_inert(saved_html(prompt, [turn(prompt, response)]))


@given(
    st.lists(st.sampled_from([*HOSTILE[:24], "\n\n", "- ", "> ", "*", "`", "$", "|", "[", "](", ")", "<", '"', "\\"]))
)
def test_any_mixture_does_nothing(parts):
    is_inert(saved_html("x", [turn("x", "".join(parts))]))


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc"))))
def test_a_prompt_stands_as_it_was_typed(prompt):
    assert prompt in Reader(saved_html("x", [turn(prompt, "")])).text


def test_markdown_is_set():
    text = "# Of cats\n\n- one\n- ~~two~~\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint('<b>')\n```\nhttps://cats.example"
    page = saved_html("x", [turn("?", text)])
    for part in ("<h1>Of cats</h1>", "<li>one</li>", "<del>two</del>", "<th>a</th>", "print('&lt;b&gt;')"):
        assert part in page
    assert 'href="https://cats.example"' in page


def test_an_image_is_a_link_to_it():
    page = inert("![a cat](https://cats.example/a.png)")
    assert "<img" not in page
    assert re.search('<a href="https://cats.example/a.png"[^>]*>a cat</a>', page)
    assert ">https://cats.example/b.png</a>" in inert("![](https://cats.example/b.png)")


@pytest.mark.parametrize("between", [" ", "\n\n"])
@pytest.mark.parametrize("tex", ["$a_1 * b_1$", "$$a_1 * b_1$$", r"\(x_1 * y_1\)", "\\[\na_1\n= b_1\n\\]"])
def test_a_formula_stays_as_it_is_written_and_is_set(tex, between):
    page = inert(f"So{between}{tex}{between}it *is*.")
    assert f'<span class="mathjax_process tex2jax_process">{tex}</span>' in page
    assert "<em>is</em>" in page


def test_in_a_formula_of_several_lines_nothing_is_a_list():
    tex = "$$\na_1\n- b_1 * c\n$$"
    assert f">{tex}</span>" in inert(f"So\n\n{tex}\n\nit is.")


@pytest.mark.parametrize("command", ["href{https://x.example}", "require{x}", "unicode{65}", "class{x}", "style{x}"])
@pytest.mark.parametrize("form", ["So $%s{a}$ it is.", "So\n\n$$\n%s{a}\n$$\n"])
def test_a_formula_that_does_more_than_be_set_is_text(command, form):
    text = form % f"\\{command}"
    page = is_inert(inert(text))
    assert "mathjax_process" not in inert(text)
    assert f"\\{command}{{a}}" in page.text


def test_a_formula_whose_commands_begin_alike_is_set():
    assert "mathjax_process" in inert(r"$\textstyle \styles \dataset \hrefs$")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("AT&amp;T", "AT&T"),
        ("&lt;b&gt; &quot;x&quot;", '<b> "x"'),
        ("&copy; 2026", "© 2026"),
        ("a & b &zzz;", None),
    ],
)
def test_what_an_answer_has_escaped_is_read_as_it_is_meant(written, read):
    assert is_inert(inert(written)).text.strip() == (read or written)
    assert is_inert(inert(f"`{written}`")).text.strip() == written


@pytest.mark.parametrize(
    "text", ["It costs $5, or $10 for two.", "US$ 5 and US$ 6", "`$a$`", "```\n$a$\n```", "a \\$b$ c"]
)
def test_a_price_is_no_formula(text):
    assert "mathjax_process" not in inert(text)


def test_what_is_told_of_a_turn():
    attachments = (Attachment("text", "sales", text="1"), Attachment("image", "plot.png", data="x"))
    page = Reader(saved_html("Of cats", [turn(attachments=attachments)])).text
    for part in ("Chat Of cats: 1 turn", "What is it?", "With sales and plot.png", "lab:ok", "A cat."):
        assert part in page


@pytest.mark.parametrize(
    ("told", "more"),
    [
        ("stopped", {"status": "stopped", "result": Result.STOPPED}),
        ("failed: Too fast.", {"status": "failed", "error": {"code": "RATE", "message": "Too fast."}}),
        ("broken off: It is gone.", {"status": "interrupted", "error": {"code": "X", "message": "It is gone."}}),
        ("cut off: it has as many tokens as it may", {"result": Result.MAX_TOKENS}),
    ],
)
def test_what_is_not_whole_says_so(told, more):
    assert told in Reader(saved_html("x", [turn(**more)])).text


def test_an_empty_conversation_is_a_sentence():
    assert "Chat one: nothing was asked yet." in Reader(saved_html("one", [])).text
    assert saved_text("one", []) == "Chat one: nothing was asked yet."


def test_it_is_the_same_whenever_it_was_asked():
    first, later = turn(started_at=1.0, ended_at=2.0), turn(started_at=9.0, ended_at=11.0, cost=3.0)
    assert saved_html("x", [first]) == saved_html("x", [later])


def test_where_no_widget_follows_nothing_behind_it_is_hidden():
    assert ".jp-OutputArea-child:has(.warp-saved)" in saved_html("x", [])
    assert "has(.warp-saved)" not in saved_html("x", [], widget=False)


def test_of_a_long_conversation_the_newest_turns_are_shown():
    turns = [turn(f"prompt {n}", "word " * 4000, n=n) for n in range(1, 101)]
    page = saved_html("x", turns)
    assert len(page.encode()) < MOST + 10_000
    shown = [int(one) for one in re.findall(r"prompt (\d+)<", page)]
    assert shown == list(range(shown[0], 101))
    assert f"{shown[0] - 1} earlier turns left out here; the session has them." in page


def test_one_huge_turn_is_shown_in_part():
    page = saved_html("x", [turn("p" * 5_000_000, "word " * 1_000_000)])
    assert len(page) < MOST
    assert "characters were left out here" in page


@pytest.mark.parametrize("part", ["[", "*a ", "`a ", "$a ", "\\(a ", "> ", "|", "<a ", "![a](", "- a\n", "&", "~~a "])
def test_it_takes_no_time_to_speak_of(part):
    text = (part * LONGEST)[:LONGEST]
    begun = time.monotonic()
    is_inert(inert(text))
    assert time.monotonic() - begun < 10


def test_what_is_too_long_for_markdown_stands_as_it_is():
    text = "**a** " * LONGEST
    assert html.escape(text) in inert(text)


@given(st.text(), st.text())
def test_without_style_it_says_the_same_and_is_as_inert(prompt, response):
    """On a tape, where it is to be the same in every version."""
    styled, bare = (saved_html("x", [turn(prompt, response)], styled=one) for one in (True, False))
    is_inert(bare)
    assert not [attrs for _, attrs in Reader(bare).found if "style" in attrs]
    assert Reader(bare).text in Reader(styled).text
