"""What Tab offers in a line, and how long it waits for it."""

from __future__ import annotations

import asyncio
import functools
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from warp_magics import completion, connect
from warp_magics.completion import AGAIN_SECONDS, WAIT_SECONDS, Completer, Inquiries, completions, paths
from warp_magics.gateway import errors
from warp_magics.grammar import COMMANDS, OPTIONS
from warp_magics.portal import Portal

OFFERS = {
    "models": lambda: ["openai:gpt-4o", "openai:o4", "fast"],
    "sessions": lambda: ["analysis", "draft"],
    "variables": lambda: ["df", "data", "x"],
    "settings": lambda: ["route_line", "attach_tokens"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where one works: a few files, a folder, a home."""
    for name in ("data.csv", "two words.csv", "it's.md", ".hidden", "figures/one.png", "home/notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path


FILES = ["data.csv", "figures/", "home/", "it\\'s.md", "two\\ words.csv"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%%warp --se", ["--seed", "--session"]),
        ("%%warp --session ", ["analysis", "draft"]),
        ("%%warp --session=a", ["--session=analysis"]),
        ("%%warp -s d", ["draft"]),
        ("%%warp -s draft -m ", ["fast", "openai:gpt-4o", "openai:o4"]),
        ("%%warp -m openai:g", ["openai:gpt-4o"]),
        ("%%warp -f ", ["code", "html", "json", "markdown", "math", "text"]),
        ("%%warp --on-break s", ["splice"]),
        ("%%warp -c @d", ["@data", "@df"]),
        ("%%warp -c Be", []),
        ("%%warp -t ", []),
        ("%%warp zzz", []),
        ("%%warp", []),
        ("%warp", []),
        ("%warp re", ["rename", "resume", "rewind"]),
        ("%warp use ", ["analysis", "draft"]),
        ("%warp use draft ", []),
        ("%warp usage ", ["day", "model", "session"]),
        ("%warp config r", ["route_line"]),
        ("%warp fork draft --", ["--at"]),
        ("%warp export draft f.md --f", ["--force"]),
        ("%warp nosuch ", []),
        ("%warp --force ", []),
        # Blanks are blanks, and what stands between quotation marks is one word.
        ("%%warp\t-s\t", ["analysis", "draft"]),
        ("%%warp   -s  d", ["draft"]),
        ("%warp\tus", ["usage", "use"]),
        ("%%warp --stop 'a -m ", []),
        ('%%warp -c "be brief" -s ', ["analysis", "draft"]),
        # Where a file may stand.
        ("%%warp -a d", ["data", "data.csv", "df"]),
        ("%%warp -a ", sorted(["data", "df", "x", *FILES])),
        ("%%warp -a ./", [f"./{name}" for name in FILES]),
        ("%%warp -a ./.", ["./.hidden"]),
        ("%%warp -a ./nosuch/", []),
        ("%%warp -a figures/", ["figures/one.png"]),
        ("%%warp --attach=fig", ["--attach=figures/"]),
        ("%%warp -a ~", ["~/"]),
        ("%%warp -a ~/", ["~/notes.md"]),
        ("%%warp -a ~nobody-of-that-name/", []),
        ("%%warp -a ..", ["../"]),
        ("%%warp -a tw", ["two\\ words.csv"]),
        ("%%warp -a two\\ w", ["two\\ words.csv"]),
        ('%%warp -a "two w', ['"two words.csv"']),
        ("%%warp -a 'fig", ["'figures/"]),
        ("%%warp -o d", ["data", "df"]),
        ("%warp export draft ", FILES),
        ("%warp export --force draft figures/o", ["figures/one.png"]),
        ("%warp export draft data.csv ", []),
    ],
)
def test_what_is_offered(line, offered, folder):
    assert completions(line, OFFERS) == offered


def test_all_options_and_all_sub_commands():
    assert completions("%%warp ", OFFERS) == sorted(one.names[-1] for one in OPTIONS)
    assert completions("%warp ", OFFERS) == sorted(name for name in COMMANDS if name)


def test_nothing_is_looked_up_that_is_not_offered():
    assert completions("%%warp --m", {}) == ["--max-tokens", "--model"]


@pytest.mark.skipif(sys.platform == "win32", reason="names are not so free there")
@given(st.text(st.sampled_from("a ~'\"\\$#*{é漢-="), min_size=1, max_size=8), st.sampled_from(["", "'", '"']))
def test_a_path_is_read_as_the_file_that_it_was_offered_for(name, mark):
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / name).touch()
        (offered,) = paths(f"{mark}{made}/")
        assert shlex.split(offered) == [f"{made}/{name}"]
        if not mark:
            assert paths(offered) == [offered]


@given(st.text(max_size=40), st.sampled_from(["%%warp ", "%warp ", "%%warp -a ", "%warp export x "]))
def test_whatever_is_typed_is_kept(typed, line):
    line = (line + typed).replace("\n", " ")
    word = completion._words(line)[-1]
    assert line.endswith(word)
    assert all(one.startswith(word) for one in completions(line, OFFERS))


# -- in the shell -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell():
    made = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    made.user_ns.update(frame_one=1, frame_two=2, words={"first key": 1})
    return made


def pressed(shell, text):
    """Press Tab where the bar is: what is offered, by whomever."""
    before, after = text.split("|")
    with provisionalcompleter():
        return [one.text for one in shell.Completer.completions(before + after, len(before))]


@pytest.fixture
def tab(shell, folder):
    completion.install(shell, ["route_line"])
    yield functools.partial(pressed, shell)
    completion.remove(shell)


@pytest.mark.parametrize(
    "text",
    [
        "%%warp -t |",
        "%%warp --stop |\nimport this",
        "%%warp -t i|",
        "%warp connect |",
        "%warp nosuch |",
        "    %warp rewind i|",
        "\n\n  %%warp -t |",
        "%%warp\nfor i|",
        "%%warp\n|",
        "%%warp\nis it so? see ./|",
        "%%warp\n  %warp us|",
        "%%warp\nlook at {nosuch|",
        "%%warp\n{Note. imp|",
    ],
)
def test_where_there_is_nothing_of_ours_nobody_offers_python(text, tab):
    assert tab(text) == []


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%%warp\t--se|", ["--seed", "--session"]),
        ("    %warp us|", ["usage", "use"]),
        ("if x:\n    %warp   us|", ["usage", "use"]),
        ("\n  %%warp -f m|\n  hi", ["markdown", "math"]),
        ("%%warp -a ./d|", ["./data.csv"]),
        ("%%warp\nsee {frame_|} and", ["frame_one", "frame_two"]),
        ("%%warp\n\\alpha|", ["\N{GREEK SMALL LETTER ALPHA}"]),
    ],
)
def test_in_our_lines_only_what_is_ours(text, offered, tab):
    assert tab(text) == offered


@pytest.mark.parametrize(
    "text",
    [
        "%%warp\nsee {frame_one.bit_l|",
        "%%warp\nsee {words['|",
        "frame_|",
        "impor|",
        "x = 1\n%%warp -f m|",
        "# %warp impor|",
        "%%tim|",
        "%%time\nimpor|",
    ],
)
def test_what_is_not_ours_is_left_to_the_others(text, shell):
    alone = pressed(shell, text)
    completion.install(shell, [])
    assert pressed(shell, text) == alone
    completion.remove(shell)


def test_attributes_and_keys_of_names_in_a_prompt(tab):
    assert tab("%%warp\nsee {frame_one.bit_l|") == ["bit_length"]
    assert "first key" in tab("%%warp\nsee {words['|")


def test_it_is_there_once_and_goes(shell):
    ours = [lambda: None]  # a matcher of the old kind, that somebody else has added
    shell.Completer.custom_matchers[:] = ours
    for _ in range(2):
        completion.install(shell, [])
    assert len(shell.Completer.custom_matchers) == 2
    completion.remove(shell)
    completion.remove(shell)
    assert shell.Completer.custom_matchers == ours
    shell.Completer.custom_matchers.clear()


# -- what a gateway is asked ----------------------------------------------------------------------------


class Gateway:
    """Answers when it may; counts how often it was asked."""

    def __init__(self):
        self.asked, self.free, self.error = 0, threading.Event(), None
        self.free.set()

    async def names(self):
        self.asked += 1
        await asyncio.to_thread(self.free.wait)
        if self.error:
            raise self.error
        return [f"model-{self.asked}"]

    async def models(self):
        return [SimpleNamespace(model=name, alias=None) for name in await self.names()]

    async def sessions(self, owner, *, limit):
        return SimpleNamespace(sessions=[SimpleNamespace(key=SimpleNamespace(id=name)) for name in await self.names()])


@pytest.fixture
def gateway(monkeypatch):
    made, portal = Gateway(), Portal()
    at = SimpleNamespace(gateway=made, portal=portal, owner="me")
    monkeypatch.setattr(completion, "connection", lambda *, ask: at)
    yield made
    made.free.set()
    portal.close()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def press(clock):
    """Presses Tab behind an option, and returns what is offered and how many seconds that took."""
    matcher = Completer(SimpleNamespace(user_ns={}), (), Inquiries(clock)).matcher()

    def pressed(option="-m"):
        line = f"%%warp {option} "
        began = time.monotonic()
        told = matcher(CompletionContext("", line, len(line), 0, None))
        assert told["suppress"]
        return [one.text for one in told["completions"]], time.monotonic() - began

    return pressed


def until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_asked_anew_every_time(gateway, press):
    assert [press()[0], press()[0], press("-s")[0]] == [["model-1"], ["model-2"], ["model-3"]]


def test_one_that_hangs_is_waited_for_once_and_asked_once(gateway, press, clock):
    gateway.free.clear()
    found, took = press()
    assert (found, took < WAIT_SECONDS + 0.4) == ([], True)
    for option in ("-m", "-s"):
        found, took = press(option)
        assert (found, took < 0.2) == ([], True)
    clock.now = AGAIN_SECONDS
    assert press()[1] < 0.2, "it is still being asked"
    assert gateway.asked == 1


def test_what_comes_late_is_there_for_the_next_one(gateway, press):
    gateway.free.clear()
    press()
    gateway.free.set()
    until(lambda: press()[0])
    assert press("-s")[0], "and then there is no reason to wait"
    gateway.free.clear()
    found, took = press()
    assert found, "what was found last, where it takes too long once more"
    assert took < WAIT_SECONDS + 0.4


def test_one_that_failed_is_left_alone_for_a_while(gateway, press, clock):
    gateway.error = errors.GatewayUnreachable("gone")
    assert [press()[0], press()[0], press("-s")[0], gateway.asked] == [[], [], [], 1]
    gateway.error, clock.now = None, AGAIN_SECONDS
    assert press()[0] == ["model-2"]


def test_one_that_never_answers_is_given_up(gateway, press, clock, monkeypatch):
    monkeypatch.setattr(completion, "SERVER_SECONDS", 0.1)
    gateway.free.clear()
    assert press()[0] == []
    gateway.free.set()
    clock.now = AGAIN_SECONDS
    assert press()[0] == ["model-2"]


def test_nobody_is_asked_for_a_token(press, monkeypatch):
    def asked(_prompt):
        raise AssertionError("asked for a token")

    monkeypatch.setattr(connect.ways, "asked", asked)
    for name in ("WARP_GATEWAY_TOKEN", "WARP_GATEWAY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WARP_GATEWAY_URL", "http://127.0.0.1:9/warp")
    connect.disconnect()
    for option in ("-m", "-s"):
        found, took = press(option)
        assert (found, took < WAIT_SECONDS) == ([], True)
    with pytest.raises(errors.ConfigError, match="WARP_GATEWAY_TOKEN_FILE"):
        connect.connection(ask=False)
    connect.disconnect()
