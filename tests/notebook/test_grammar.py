"""The words of `%%warp` and `%warp`."""

from __future__ import annotations

import contextlib
import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warp_magics.grammar import COMMANDS, OPTIONS, CellOptions, Command, UsageError, cell_help, cell_options, command
from warp_magics.views import help_table

options = CellOptions

CELLS = {
    "": options(),
    "   ": options(),
    "-s a": options(session="a"),
    "--session a": options(session="a"),
    "--session=a": options(session="a"),
    "-sa": options(session="a"),
    "-m a:b": options(models=("a:b",)),
    "-m a:b --model c:d:e -m f": options(models=("a:b", "c:d:e", "f")),
    "-t 0": options(temperature=0.0),
    "-t 0.0 --max-tokens 1": options(temperature=0.0, max_tokens=1),
    "--temperature=2": options(temperature=2.0),
    "--temperature 1e-3": options(temperature=0.001),
    "-c 'Be brief.'": options(context="Be brief."),
    '--context "it\'s"': options(context="it's"),
    "-c ''": options(context=""),
    "-c {x}-$x": options(context="{x}-$x"),
    "-c a\\ b": options(context="a b"),
    "-c 'größer 日本'": options(context="größer 日本"),
    "--no-stream": options(stream=False),
    "-o reply": options(out="reply"),
    "-s a -s b": options(session="b"),
    "--top-p 0.5 --seed -3": options(top_p=0.5, seed=-3),
    "--stop END --stop 'a b'": options(stop=("END", "a b")),
    "-f json": options(format="json"),
    "--schema City -a df --attach=data.csv": options(schema="City", attach=("df", "data.csv")),
    "--timeout 2.5 --on-break splice": options(timeout=2.5, on_break="splice"),
    "--raw --append --cache --dry": options(raw=True, append=True, cache=True, dry=True),
}
WRONG_CELLS = {
    "--modle x": ("--modle", "did you mean --model?"),
    "--modle=x": ("--modle=x", "did you mean --model?"),
    "--sesion x": ("--sesion", "did you mean --session?"),
    "--tempratur 1": ("--tempratur", "did you mean --temperature?"),
    "--no-steam": ("--no-steam", "did you mean --no-stream?"),
    "--mod x": ("--mod", "--model"),
    "--zzzzzz": ("--zzzzzz", "%%warp?"),
    "hello": ("'hello'", "below the line of %%warp"),
    "-s": ("session",),
    "-t": ("temperature",),
    "-t warm": ("temperature", "'warm'"),
    "-t nan": ("nan", "0 to 2"),
    "-t inf": ("inf", "0 to 2"),
    "-t -0.1": ("temperature",),
    "--temperature=-1": ("-1", "0 to 2"),
    "-t 2.1": ("2.1", "0 to 2"),
    "--max-tokens 0": ("0", "less than 1"),
    "--max-tokens 1.5": ("max-tokens", "1.5"),
    "--max-tokens many": ("max-tokens", "many"),
    "--no-stream=1": ("no-stream",),
    "-o 1x": ("1x", "name"),
    "-o a.b": ("a.b", "name"),
    "-o class": ("class", "name"),
    "--top-p 0": ("--top-p", "0 to 1"),
    "--seed x": ("--seed", "'x'"),
    "--timeout 0": ("--timeout", "seconds"),
    "--timeout nan": ("--timeout", "nan"),
    "-f pdf": ("--format", "markdown", "math"),
    "-f mardown": ("--format", "did you mean markdown?"),
    "--on-break retry": ("--on-break", "restart"),
    "--stop ''": ("--stop",),
    "-x": ("'-x'", "%%warp?"),
    "--schema S -f html": ("--schema", "html"),
    "--atach df": ("did you mean --attach?",),
    "-c 'open": ("quot",),
    "-c open\\": ("escape", "quotes"),
    "-h": ("-h",),
    "--help": ("--help",),
}
LINES = {
    "": Command("", ()),
    "use a": Command("use", ("a",)),
    "sessions": Command("sessions", ()),
    "sessions 'two words'": Command("sessions", ("two words",)),
    "history": Command("history", ()),
    "history a": Command("history", ("a",)),
    " models ": Command("models", ()),
    "connect http://a/warp": Command("connect", ("http://a/warp",)),
    "connect http://a/warp http://b/warp": Command("connect", ("http://a/warp", "http://b/warp")),
    "help": Command("help", ()),
    "fork a": Command("fork", ("a",)),
    "fork a b --at 3": Command("fork", ("a", "b"), at=3),
    "fork --at=3 a": Command("fork", ("a",), at=3),
    "rewind 2": Command("rewind", ("2",)),
    "rename a New title": Command("rename", ("a", "New", "title")),
    "export a b.md": Command("export", ("a", "b.md")),
    "export a b.md --force": Command("export", ("a", "b.md"), force=True),
    "config route_line off": Command("config", ("route_line", "off")),
}
WRONG_LINES = {
    "sesions": ("sesions", "did you mean sessions?"),
    "modles": ("modles", "did you mean models?"),
    "Use a": ("Use", "did you mean use?"),
    "zzzzzzz": ("zzzzzzz", "there are", "history", "models"),
    "use": ("use", "ID"),
    "use a b": ("'b'", "%warp use ID"),
    "connect": ("%warp connect needs", "http://HOST:PORT/warp"),
    "conect http://a": ("did you mean connect?",),
    "models all": ("'all'", "%warp models"),
    "help me": ("'me'",),
    "'' a": ("a",),
    "fork a --at x": ("'x'", "number of a turn"),
    "fork a --at": ("number of a turn",),
    "fork a b c": ("'c'", "one word too many"),
    "rewind x": ("'x'", "%warp history"),
    "rename a": ("ID TITLE",),
    "export a b c": ("'c'",),
    "delete a --force": ("--force",),
    "continue a b": ("'b'",),
    "history 'open": ("quot",),
}


@pytest.mark.parametrize("line", CELLS)
def test_the_line_of_a_cell(line):
    assert cell_options(line) == CELLS[line]


@pytest.mark.parametrize("line", WRONG_CELLS)
def test_a_line_that_is_wrong(line):
    with pytest.raises(UsageError) as caught:
        cell_options(line)
    for word in WRONG_CELLS[line]:
        assert word in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("line", LINES)
def test_a_sub_command(line):
    assert command(line) == LINES[line]


@pytest.mark.parametrize("line", WRONG_LINES)
def test_a_sub_command_that_is_wrong(line):
    with pytest.raises(UsageError) as caught:
        command(line)
    for word in WRONG_LINES[line]:
        assert word in str(caught.value)


def test_zero_is_a_value():
    assert cell_options("-t 0").temperature is not None
    assert cell_options("").temperature is None


def test_the_help_names_every_option():
    told = cell_help()
    assert max(map(len, told.splitlines())) <= 80
    assert len(told.splitlines()) <= 24
    for option in (name for one in OPTIONS for name in one.names):
        assert option in told


def test_the_help_of_the_sub_commands_fits_a_screen_and_names_each():
    told = repr(help_table()).splitlines()
    assert len(told) <= 24
    assert max(map(len, told)) <= 80
    for name in COMMANDS:
        assert any(line.startswith(f"%warp {name}".strip()) for line in told)


def test_the_help_does_not_depend_on_the_terminal(monkeypatch):
    told = cell_help()
    monkeypatch.setenv("COLUMNS", "400")
    assert cell_help() == told


WORDS = st.lists(st.sampled_from([*WRONG_CELLS, *CELLS, *COMMANDS]), max_size=5).map(" ".join)


@given(st.text() | WORDS)
@example("--\x00")
@example("-- -s a")
@example("-t \ud800")
@example("-c=%s %d %(x)s")
@example("@file")
def test_whatever_a_line_says_it_is_read_or_refused(line):
    for read in (cell_options, command):
        with contextlib.suppress(UsageError):
            read(line)


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(lambda text: not text.startswith("-")))
def test_a_quoted_text_arrives_as_it_is(text):
    assert cell_options(f"-c {shlex.quote(text)}").context == text
    assert cell_options(f"--context={shlex.quote(text)}").context == text
    assert command(f"sessions {shlex.quote(text)}").words == (text,)
