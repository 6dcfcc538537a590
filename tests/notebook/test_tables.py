"""Tables as text and as HTML, and the views made of them."""

from __future__ import annotations

import re
import time
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from warp_magics import views
from warp_magics.gateway import Attempt, GatewayStatus, ModelState, Result, Session, Source, Turn
from warp_magics.gateway.types import SessionKey, Window
from warp_magics.tables import Cell, Column, Table
from warp_magics.terminal import LINES, MOST, columns

NOW = 1_800_000_000.0
BAD = '<script>alert("1")</script><img src=x onerror=alert(1)>'
ALLOWED = {"style", "div", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "span"}


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.attributes, self.texts = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def table(*rows, figures=(False, True), **parts):
    return Table(tuple(Column(f"head{n}", figures=one) for n, one in enumerate(figures)), rows, **parts)


def width(shown):
    """How many columns of a terminal the widest line takes."""
    return max((columns(line) for line in repr(shown).splitlines()), default=0)


def test_text_to_the_left_and_figures_to_the_right():
    lines = repr(table(("a", "1"), ("longer", "1000"))).splitlines()
    assert lines == ["head0   head1", "-------------", "a           1", "longer   1000"]


def test_figures_are_marked_in_html():
    shown = table(("a", "1")).html()
    assert re.search(r"text-align: left[^>]*>head0</th><th[^>]*text-align: right[^>]*>head1</th>", shown)
    assert re.search(r"text-align: left[^>]*>a</td><td[^>]*text-align: right[^>]*>1</td>", shown)


def test_without_its_style_sheet_it_is_still_a_table_of_its_own():
    """JupyterLab takes style sheets out of a notebook that is not trusted yet, and says itself how tables look."""
    shown = table(("a", "1")).html().rpartition("</style>")[2]
    for element, said in (
        ("div", "font-size: 12px"),
        ("table", "font-size: 12px"),
        ("th", "border-bottom"),
        ("tr", "background: none"),
        ("td", "line-height: 1.5"),
    ):
        assert re.search(rf'<{element}[^>]* style="[^"]*{said}', shown)
    assert "mathjax_ignore" in shown


def test_a_bare_table_is_text_alone_without_empty_columns():
    bare = Table((Column("a"), Column("b"), Column("c")), (("1", Cell(""), "x"), ("2", "", ""))).bare()
    assert repr(bare).splitlines()[0].split() == ["a", "c"]
    assert list(bare._repr_mimebundle_()) == ["text/plain"]


def test_a_total_has_a_rule_above_it():
    rows = (("a", "1"), ("b", "2"), ("Total", "3"))
    lines = repr(table(*rows, total=True)).splitlines()
    assert lines[-2] == lines[1] == "-" * len(lines[1])
    assert table(*rows, total=True).html().count("border-top") == 2
    assert table(*rows).html().count("border-top") == 0


def test_the_dot_of_a_state_has_its_colour_and_its_word_has_not():
    shown = table((Cell("● ready", state="good"), Cell("○ failed", state="bad"))).html()
    assert re.search(r'success-color[^"]*">●</span> ready', shown)
    assert re.search(r'warp-warning[^"]*">○</span> failed', shown)


def test_an_empty_table_says_so():
    for shown in (repr(table(empty="No rows.")), table(empty="No rows.").html()):
        assert "No rows." in shown
        assert "head0" not in shown


def test_what_stands_above():
    shown = table(("a", "1"), above=("first line", f"second {BAD}"))
    assert repr(shown).startswith(f"first line\nsecond {BAD}\nhead0")
    assert BAD not in shown.html()


def test_a_hover_is_escaped_and_is_no_text_of_a_terminal():
    shown = table((Cell("now", f'2027" {BAD}'), "1"))
    assert "2027" not in repr(shown)
    assert BAD not in shown.html()
    assert "2027&quot;" in shown.html()


def test_line_breaks_do_not_break_a_row():
    assert repr(table(("a\n\n  b\tc", "1"))).splitlines()[2] == "a b c      1"


def test_a_bundle_is_both():
    shown = table(("a", "1"))
    assert shown._repr_mimebundle_(include=None) == {"text/html": shown.html(), "text/plain": repr(shown)}


texts = st.text(max_size=120)
plain = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)


def rows_of(cells):
    return st.integers(1, 8).flatmap(lambda n: st.lists(st.tuples(*[cells] * n), min_size=1, max_size=6))


@given(rows_of(texts), st.booleans(), texts)
def test_it_fits_eighty_columns_whatever_it_holds(rows, keep_lines, above):
    shown = table(*rows, figures=tuple(n % 2 == 1 for n in range(len(rows[0]))), keep_lines=keep_lines, above=(above,))
    assert len(repr(shown).split("\n")) >= len(rows) + 3
    assert width(shown) <= 80
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", repr(shown))


@given(rows_of(plain))
def test_nothing_is_cut_where_lines_are_kept(rows):
    lines = repr(table(*rows, figures=(False,) * len(rows[0]), keep_lines=True)).split("\n")
    letters = Counter("".join("".join(lines[2:]).split()).replace("-", ""))
    assert letters == Counter("".join("".join(cell.split()) for row in rows for cell in row).replace("-", ""))


FAMILY = "👩\u200d👩\u200d👧"
DRAWN = [
    "a",
    " ",
    "é",
    "e\u0301\u0308",
    "漢",
    "한",
    "か",
    "\uff8a",
    "ก\u0e33",
    "\u05d0",
    "😀",
    "👍🏽",
    "❤\ufe0f",
    "🇩🇪",
    FAMILY,
]


@given(st.lists(st.sampled_from(DRAWN), max_size=30))
def test_columns_are_those_of_a_terminal(drawn):
    assert columns("".join(drawn)) == sum(map(wcswidth, drawn))


@pytest.mark.parametrize(
    "text", ["漢字", "Cafe\u0301", "한국어", "🎉", "❤\ufe0f", FAMILY, "👍🏽", "🇩🇪", "1\ufe0f\u20e3"]
)
def test_wide_and_combining_characters_line_up(text):
    lines = repr(table((text, "1"), ("ascii", "1000"))).splitlines()
    assert {wcswidth(line) for line in lines} == {wcswidth(lines[0])}


def test_a_mark_stays_with_its_letter_and_a_wide_character_is_not_halved():
    told = repr(table(("e\u0301" * 200,), ("漢" * 200,), (FAMILY * 60,), figures=(False,))).splitlines()[2:]
    assert {wcswidth(line) for line in told} == {80, 40}
    assert not any(line.startswith(("\u0301", "\u200d")) for line in told)


@pytest.mark.parametrize(
    "sequence",
    ["\x1b]0;title\x07", "\x1b]8;;http://h\x1b\\", "\x1b[31;1m", "\x1b[2J", "\x1bPq#0\x1b\\", "\x1bc", "\x07", "\x9b", "\x1b",
     "\r", "\x00", "\x7f"],
)  # fmt: skip
@pytest.mark.parametrize("keep_lines", [False, True])
def test_nothing_that_a_terminal_would_obey_gets_to_it(sequence, keep_lines):
    shown = table((f"one{sequence}", "1"), above=(f"first{sequence}",), keep_lines=keep_lines)
    assert repr(shown).splitlines() == ["first", "head0  head1", "------------", "one        1"]
    assert sequence not in shown.html()


def test_what_stands_above_is_wrapped_too():
    sentence = "word " * 40
    told = repr(table(("a", "1"), above=(sentence,))).splitlines()
    assert max(map(len, told)) <= 80
    assert told[:3] == [("word " * 16).strip(), ("word " * 16).strip(), ("word " * 8).strip()]


def test_words_are_kept_whole_and_broken_behind_a_hyphen():
    told = repr(table((f"{'a' * 70} one two-{'b' * 70} - {'c' * 90}", ""), figures=(False, False))).splitlines()[2:]
    assert [line.strip() for line in told] == ["a" * 70, "one two-", "b" * 70 + " -", "c" * 73, "c" * 17]


def test_code_is_indented_where_lines_are_kept():
    told = repr(table(("def f():\n    return 1\n\n\tx  \n",), figures=(False,), keep_lines=True)).splitlines()[2:]
    assert told == ["def f():", "    return 1", "", "        x"]


@pytest.mark.parametrize("huge", ["x" * 30_000_000, " " * 30_000_000, "漢" * 30_000_000, "\x1b]a" * 10_000_000])
@pytest.mark.parametrize("keep_lines", [False, True])
def test_a_huge_text_is_cut_says_so_and_takes_no_time(huge, keep_lines):
    shown = table((huge, "1"), above=(huge,), keep_lines=keep_lines)
    began = time.monotonic()
    told, page = repr(shown), shown.html()
    assert time.monotonic() - began < 2
    assert len(page) < 5 * MOST
    more = f"{30_000_000 - MOST:,} characters more"
    assert more in " ".join(told.split())
    assert page.count(more) == 2


def test_a_long_answer_takes_a_few_lines_of_a_terminal():
    answer = "\n".join(f"line {n} of a long answer" for n in range(200))
    told = repr(table(("a", answer), ("b", "short"), figures=(False, False))).splitlines()[2:]
    assert len(told) == LINES + 1
    assert told[LINES - 1].endswith("…")
    assert told[-1] == "b      short"
    assert "…" not in told[LINES - 2] + told[-1]
    kept = repr(table(("a", answer), figures=(False, False), keep_lines=True))
    assert "line 199 of a long answer" in kept
    assert "…" not in kept


def test_a_long_answer_scrolls_in_html_with_its_lines_as_they_were():
    code = "\n".join(f"    line_{n}()" for n in range(40))
    page = Table((Column("Answer", prose=True),), ((code,), ("x = 1\ny = 2",))).html()
    assert f'<div style="max-height: 24em; overflow: auto" tabindex="0">{code}</div>' in page
    assert ">x = 1\ny = 2</td>" in page
    assert "white-space: pre-wrap" in page


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), texts)
def test_nothing_of_a_cell_is_markup(rows, above):
    found = Tags(table(*[(Cell(one, two), two) for one, two in rows], above=(above,)).html())
    assert set(found.found) <= ALLOWED
    assert found.found.count("tr") == len(rows) + 1
    assert found.attributes <= {"class", "title", "scope", "style", "tabindex"}


# -- views -----------------------------------------------------------------------------------------


def turn(n=1, **said):
    given_ = {"prompt": f"prompt {n}", "response": f"answer {n}", "status": "complete", "result": Result.COMPLETE}
    given_ |= {"model": "lab:ok", "started_at": NOW - 5, "ended_at": NOW - 1} | said
    return Turn(f"t{n}", n, route=(Attempt("lab:ok", "ok", 1.0),), source=Source("cell"), **given_)


def session(name="s", **said):
    return Session(**{"key": SessionKey("me", name), "turns": 3, "created_at": NOW, "updated_at": NOW} | said)


STATES = (
    ModelState("lab:ok", "big", in_chain=True, window=Window(200, 30), left=199),
    ModelState("lab:bad", state="cooling", reason="rate limit", restores_in=38),
    ModelState("lab:free"),
)
STATUS = GatewayStatus(
    "g", "1", configured=True, ok=True, storage={"type": "embedded", "server": "valkey 9.1", "reachable": True}
)


def test_the_models():
    told = repr(views.model_table(STATES)).splitlines()
    assert re.search(r"^lab:ok +big +yes +● ready +199 of 200 in 30 s$", told[2])
    assert re.search(r"^lab:bad .*failed \(rate limit\)", told[3])
    assert "failed (rate limit), back in 38 s" in views.model_table(STATES).html()
    assert "jupyter warp init" in repr(views.model_table(()))


def test_the_overview():
    told = repr(views.overview(STATUS, "in this process", "mine", STATES))
    for word in ("in this process", "Version: 1, gateway g", "embedded", "valkey 9.1", "mine", "lab:ok"):
        assert word in told
    none = GatewayStatus("g", "1", configured=False, ok=False, storage={"type": "memory", "server": None})
    told = repr(views.overview(none, "here", None, ()))
    for word in ("memory", "%warp use", "OPENAI_API_KEY", "No models."):
        assert word in told


def test_a_store_that_is_away_says_why():
    storage = {"type": "valkey", "server": None, "reachable": False, "reason": "connection refused"}
    away = GatewayStatus("g", "1", configured=True, ok=False, storage=storage)
    assert "connection refused" in repr(views.overview(away, "here", None, ()))


def test_the_sessions():
    found = [session("a", title="A title", models=("lab:ok", "lab:b")), session("b", updated_at=NOW - 7200)]
    told = repr(views.session_table(found, NOW)).splitlines()
    assert re.search(r"^a +A title +3 +just now +lab:ok, lab:b$", told[2])
    assert "2 h ago" in told[3]
    assert "%%warp --session" in repr(views.session_table([], NOW))


@pytest.mark.parametrize(
    ("passed", "told"),
    [(0, "just now"), (-3, "just now"), (9, "just now"), (20, "20 s ago"), (600, "10 min ago"), (9000, "2 h ago"),
     (86400 * 3, "3 days ago")],
)  # fmt: skip
def test_times_are_told_as_one_says_them(passed, told):
    shown = views.session_table([session(updated_at=NOW - passed)], NOW)
    assert told in repr(shown)
    assert re.search(r'title="2027-01-1\dT\d\d:\d\d:\d\dZ"', shown.html())


def test_the_turns():
    turns = [
        turn(1),
        turn(2, response="half", status="stopped", result=Result.STOPPED),
        turn(3, response="", status="failed", model=None, error={"code": "X", "message": "The key was refused."}),
    ]
    lines = repr(views.history_table("mine", turns, NOW)).splitlines()
    assert "mine" in lines[0]
    assert re.search(r"^1 +prompt 1 +answer 1 +lab:ok +just now$", lines[3])
    assert "half [stopped" in lines[4]
    assert "failed" in lines[5]
    assert (
        "The key was refused"
        in repr(views.history_table("mine", turns[2:], NOW)) + views.history_table("mine", turns[2:], NOW).html()
    )
    assert "No turns." in repr(views.history_table("mine", [], NOW))


def test_the_help_names_all():
    shown = views.help_table()
    for word in ("%warp use ID", "%warp sessions", "%warp history", "%warp models", "%warp fork", "%%warp?"):
        assert word in repr(shown)
        assert word in shown.html()


def test_views_fit_and_escape_whatever_they_are_told():
    long = BAD * 5
    made = [
        views.model_table([ModelState(long, long[:40], state="cooling", reason=long, restores_in=1e7)]),
        views.session_table([session(long[:128], title=long, models=(long,), turns=10**6)], NOW),
        views.history_table(
            "s", [turn(10**6, prompt=long, response=long, error={"message": long}, status="failed")], NOW
        ),
        views.help_table(),
    ]
    for shown in made:
        assert width(shown) <= 80
        assert set(Tags(shown.html()).found) <= ALLOWED
    assert set(Tags(views.overview(STATUS, long, long, ()).html()).found) <= ALLOWED
