"""Tables as text and as HTML, and the views made of them."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics import views
from warp_magics.gateway import Attempt, GatewayStatus, ModelState, Result, Session, Source, Turn
from warp_magics.gateway.types import SessionKey, Window
from warp_magics.tables import Cell, Column, Table

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
    return max((len(line) for line in repr(shown).splitlines()), default=0)


def test_text_to_the_left_and_figures_to_the_right():
    lines = repr(table(("a", "1"), ("longer", "1000"))).splitlines()
    assert lines == ["head0   head1", "-------------", "a           1", "longer   1000"]


def test_figures_are_marked_in_html():
    shown = table(("a", "1")).html()
    assert re.search(r"<th[^>]*>head0</th><th[^>]*class=\"n\"[^>]*>head1</th>", shown)
    assert re.search(r"<td>a</td><td class=\"n\">1</td>", shown)


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


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.tuples(*[texts] * n), min_size=1, max_size=6)))
def test_it_fits_eighty_columns_and_keeps_its_rows(rows):
    shown = table(*rows, figures=tuple(n % 2 == 1 for n in range(len(rows[0]))))
    lines = repr(shown).split("\n")
    assert len(lines) >= len(rows) + 2
    assert all(len(line) <= 80 for line in lines)
    # Nothing is cut: each column, read downwards, is its cells' text.
    letters = Counter("".join(lines[2:]).replace("-", ""))
    letters.pop(" ", None)
    assert letters == Counter("".join("".join(cell.split()) for row in rows for cell in row).replace("-", ""))


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), texts)
def test_nothing_of_a_cell_is_markup(rows, above):
    found = Tags(table(*[(Cell(one, two), two) for one, two in rows], above=(above,)).html())
    assert set(found.found) <= ALLOWED
    assert found.found.count("tr") == len(rows) + 1
    assert found.attributes <= {"class", "title", "scope", "style"}


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
    assert re.search(r"^lab:bad .*cooling: rate limit", told[3])
    assert "cooling: rate limit, back in 38 s" in views.model_table(STATES).html()
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
