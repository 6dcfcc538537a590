"""An output that grows, and the line under it."""

from __future__ import annotations

import html
import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics import display
from warp_magics.display import REDRAW_SECONDS, LiveReply, route_line, show_route, summary
from warp_magics.gateway import Attempt, ChatResponse, Result, Usage
from warp_magics.words import back_in, dollars, duration, listed

BAD = '<script>alert("1")</script>'


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Handle:
    def __init__(self, drawn):
        self.drawn = drawn

    def update(self, bundle, *, raw, metadata):
        self.drawn.append(("update", bundle, metadata))


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn, as ("display" or "update", bundle, metadata), with or without a display id."""
    made = []

    def show(bundle, *, raw, metadata=None, display_id=False):
        made.append(("display", bundle, metadata, display_id))
        return Handle(made) if display_id else None

    monkeypatch.setattr("IPython.display.display", show)
    monkeypatch.delenv("WARP_STREAM", raising=False)
    return made


def live(*, kernel=True, stream=True):
    clock = Clock()
    shell = SimpleNamespace(kernel=None) if kernel else SimpleNamespace()
    return LiveReply(shell, stream=stream, clock=clock), clock


def response(**said):
    return ChatResponse(**{"text": "all", "result": Result.COMPLETE, "model": "lab:ok"} | said)


def texts(drawn):
    return [one[1]["text/plain"] for one in drawn]


def test_it_is_drawn_at_most_twenty_times_a_second(drawn):
    reply, clock = live()
    for _ in range(1000):
        clock.now += 0.001
        reply.add("x")
    assert 19 <= len(drawn) <= 21
    assert [one[0] for one in drawn] == ["display"] + ["update"] * (len(drawn) - 1)
    assert drawn[0][3] is True
    reply.end(response())
    assert texts(drawn)[-1] == "x" * 1000
    assert drawn[-1][2] == {"warp": summary(response())}
    assert all(one[1]["text/markdown"] == one[1]["text/plain"] for one in drawn)
    assert all(one[2] == {} for one in drawn[:-1])


@given(st.lists(st.tuples(st.floats(0, 0.2), st.text(max_size=3)), max_size=60))
def test_whatever_the_pace_each_drawing_holds_what_came_and_the_last_all(pieces):
    made, clock = [], Clock()
    reply = LiveReply(SimpleNamespace(kernel=None), stream=True, clock=clock)
    reply._draw = lambda metadata, bundle: (
        made.append((clock.now, reply._text)),
        setattr(reply, "_drawn_at", clock.now),
    )
    for wait, piece in pieces:
        clock.now += wait
        reply.add(piece)
    reply.end(None)
    whole = "".join(piece for _, piece in pieces)
    assert [text for _, text in made[-1:]] == ([whole] if whole else [])
    assert all(whole.startswith(text) for _, text in made)
    times = [at for at, _ in made[:-1]]
    assert all(after - before >= REDRAW_SECONDS for before, after in itertools.pairwise(times))


def test_an_empty_piece_draws_what_was_left_and_nothing_twice(drawn):
    reply, clock = live()
    reply.add("a")
    reply.add("b")
    assert texts(drawn) == ["a"]
    clock.now += REDRAW_SECONDS
    reply.add("")
    reply.add("")
    clock.now += 1
    reply.add("")
    assert texts(drawn) == ["a", "ab"]


def test_what_is_empty_is_not_shown(drawn, capsys):
    for kernel, stream in itertools.product((True, False), repeat=2):
        reply, _ = live(kernel=kernel, stream=stream)
        reply.add("")
        reply.end(response(text=""))
    assert drawn == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("how", ["option", "variable"])
def test_in_one_piece(drawn, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("WARP_STREAM", "0")
    reply, clock = live(stream=how == "variable")
    for piece in ("a", "b", "c"):
        clock.now += 1
        reply.add(piece)
    assert drawn == []
    reply.end(response())
    assert texts(drawn) == ["abc"]
    assert [one[0] for one in drawn] == ["display"]
    assert drawn[0][3] is False


def test_what_begins_anew_takes_the_place_of_what_was(drawn):
    reply, clock = live()
    reply.add("a long beginning")
    reply.restart("lab:b begins anew")
    clock.now += 1
    reply.add("new")
    reply.end(response())
    assert texts(drawn)[0] == "a long beginning"
    assert texts(drawn)[-1] == "new"
    assert drawn[-1][0] == "update"


def test_a_part_keeps_its_place_without_a_response(drawn):
    reply, _ = live()
    reply.add("part")
    reply.end(None)
    assert texts(drawn)[-1] == "part"
    assert drawn[-1][2] == {}


def test_a_terminal_prints_each_piece_once(capsys):
    reply, _ = live(kernel=False)
    for piece in ("one ", "two ", "", "three"):
        reply.add(piece)
        if piece == "one ":
            assert capsys.readouterr().out == "one "
    reply.end(response())
    assert capsys.readouterr().out == "two three\n"


def test_a_terminal_prints_all_at_the_end_where_it_must_not_stream(capsys):
    reply, _ = live(kernel=False, stream=False)
    reply.add("one ")
    reply.add("two")
    assert capsys.readouterr().out == ""
    reply.end(response())
    assert capsys.readouterr().out == "one two\n"


def test_a_terminal_prints_what_begins_anew(capsys):
    reply, _ = live(kernel=False)
    reply.add("a long beginning")
    reply.restart("lab:b begins anew")
    reply.add("new")
    reply.end(response())
    assert capsys.readouterr().out == "a long beginning\n[lab:b begins anew]\nnew\n"


# -- the route line --------------------------------------------------------------------------------

OK = Attempt("lab:ok", "ok", 0.5)
LINES = {
    "lab:ok": response(route=(OK,)),
    "lab:ok · first token 0.4 s": response(route=(OK,), first_token=0.42),
    "lab:ok · 812+143 tok": response(usage=Usage(812, 143)),
    "lab:ok · 0+3 tok · $0.0000": response(usage=Usage(0, 3), cost=0.0),
    "lab:ok · <$0.0001": response(cost=0.00002),
    "lab:ok · $0.0003": response(cost=0.00031),
    "lab:ok · fell back from a:b (429, back in 38 s)": response(
        route=(Attempt("a:b", "PROVIDER_RATE_LIMIT_ERROR", 0.1, status=429, restores_in=38.2), OK)
    ),
    "lab:ok · fell back from a:b (unreachable)": response(
        route=(Attempt("a:b", "PROVIDER_UNREACHABLE_ERROR", 0.1), OK)
    ),
    "lab:ok · fell back from a:b (rate limit, back in 2 min)": response(
        route=(Attempt("a:b", "cooling", 0.0, reason="rate limit", restores_in=120.0), OK)
    ),
    "lab:ok · fell back from a:b (503) and c:d (500)": response(
        route=(Attempt("a:b", "X", 0.1, status=503), Attempt("c:d", "X", 0.1, status=500), OK)
    ),
    "lab:ok · answered at try 3": response(route=(Attempt("lab:ok", "X", 0.1, status=503),) * 2 + (OK,)),
    "lab:ok · fell back from a:b (broke off, back in 5 s)": response(
        route=(Attempt("a:b", "cooling", 0.0, reason="PROVIDER_REQUEST_END_ERROR", restores_in=5.0), OK)
    ),
    "stopped": response(model="", result=Result.STOPPED, route=(Attempt("lab:ok", "stopped", 0.1),)),
    "lab:ok · cut off: it has as many tokens as it may": response(result=Result.MAX_TOKENS),
    "lab:ok · stopped": response(result=Result.STOPPED, route=(Attempt("lab:ok", "stopped", 0.1),)),
    "lab:ok · one warning · another": response(warnings=("one warning", "another")),
}


@pytest.mark.parametrize("line", LINES)
def test_the_route_in_a_line(line):
    assert route_line(LINES[line]) == line


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (38.2, "38 s"),
        (99, "99 s"),
        (101, "2 min"),
        (3600, "60 min"),
        (6000, "2 h"),
        (86400, "24 h"),
    ],
)
def test_a_duration(seconds, told):
    assert duration(seconds) == told


def test_what_is_said_of_a_wait_and_of_several():
    assert (back_in(38.2), back_in(0.2)) == ("back in 38 s", "about to be tried again")
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")
    assert (dollars(0.0), dollars(0.00001), dollars(0.1)) == ("$0.0000", "<$0.0001", "$0.1000")


def test_the_route_line_is_published_once_and_escaped(drawn):
    show_route(response(model=f"lab:{BAD}", warnings=(f"a 'quoted' {BAD}",)))
    ((kind, bundle, _, display_id),) = drawn
    assert (kind, display_id) == ("display", False)
    assert bundle["text/plain"] == f"lab:{BAD} · a 'quoted' {BAD}"
    assert BAD not in bundle["text/html"]
    assert html.escape(BAD) in bundle["text/html"]
    assert "\n" not in bundle["text/plain"]


def test_a_fallback_and_a_warning_stand_out(drawn):
    show_route(response(route=(OK,)))
    show_route(response(route=(Attempt("a:b", "X", 0.1, status=503), OK)))
    show_route(response(route=(OK,), warnings=("look",)))
    plain, *warning = [one[1]["text/html"].rpartition("</style>")[2] for one in drawn]
    assert "warn" not in plain
    assert all("warn" in one for one in warning)


def test_the_summary_holds_plain_values_and_nothing_of_the_prompt():
    import json

    route = (Attempt("a:b", "X", 0.12345, status=503, reason="secret reason"), OK)
    told = summary(response(route=route, session_id="s", turn_id="t", usage=Usage(1, 2), cost=0.1, warnings=("w",)))
    assert json.loads(json.dumps(told)) == told
    assert told["route"][0] == {"model": "a:b", "outcome": "X", "status": 503, "seconds": 0.123}
    assert (told["model"], told["result"], told["session"], told["turn"]) == ("lab:ok", "COMPLETE", "s", "t")
    assert "text" not in told


def test_the_clock_is_the_monotonic_one():
    import time

    assert LiveReply.__init__.__kwdefaults__["clock"] is time.monotonic
    assert display.REDRAW_SECONDS >= 1 / 20
