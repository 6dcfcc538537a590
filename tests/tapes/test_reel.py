"""The folder of a tape: names, what is left untouched, what is damaged, what is pruned, and what is never on it."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from warp_magics.gateway.errors import TapeDamaged, TapeUnwritable
from warp_magics.gateway.tape.entries import Entry
from warp_magics.gateway.tape.reel import Reel
from warp_magics.gateway.tape.secrets import HIDDEN, Secrets
from warp_magics.gateway.types import Attempt, ChatResponse, Ended, Result, Source, Started, Text, Usage
from warp_magics.taping import secrets_of

KEY = "0123456789abcdef"
CELL = Source("cell", "/home/me/a.ipynb", "c1")


USED = Usage(1, 2)


def made(*texts, route=(), usage=USED, prompt="hi", seconds=0.0, result=Result.COMPLETE):
    said = ChatResponse("".join(texts), result, "a:b", usage=usage, route=route)
    events = (Started("a:b"), *map(Text, texts), Ended(said))
    return Entry({"prompt": prompt}, events, (seconds,) * len(events))


@pytest.fixture
def reel(tmp_path):
    return Reel(tmp_path / "tape")


def names(reel):
    return sorted(path.name for path in reel.folder.iterdir())


def test_each_asking_has_the_next_number_and_a_cell_keeps_its_own(reel):
    python, other = Source("python", "a.ipynb"), Source("cell", "a.ipynb", "c2")
    assert [reel.take(KEY, python) for _ in range(2)] == [KEY + "-1", KEY + "-2"]
    assert [reel.take(KEY, CELL), reel.take(KEY, other), reel.take(KEY, CELL)] == [KEY + "-3", KEY + "-4", KEY + "-3"]
    assert reel.take("other", CELL) == "other-1"


def test_the_same_answer_again_leaves_the_file_untouched(reel):
    reel.write(KEY + "-1", made("one ", "two", seconds=0.1))
    before = (reel.folder / f"{KEY}-1.json").read_bytes()
    kept = reel.write(
        KEY + "-1", made("one two", seconds=3.0, route=(Attempt("x:y", "X", 0.0), Attempt("a:b", "ok", 0.0)))
    )
    assert (reel.folder / f"{KEY}-1.json").read_bytes() == before
    assert [one.text for one in kept.events[1:-1]] == ["one ", "two"]
    for other in (made("three"), made("one two", usage=Usage(1, 3)), made("one two", result=Result.MAX_TOKENS)):
        reel.write(KEY + "-1", other)
        assert (reel.folder / f"{KEY}-1.json").read_bytes() != before
    assert names(reel) == [KEY + "-1.json"]


def test_a_damaged_entry_names_its_file_and_is_recorded_anew(reel):
    reel.write(KEY + "-1", made("one"))
    path = reel.folder / f"{KEY}-1.json"
    path.write_text("{", "utf-8")
    with pytest.raises(TapeDamaged, match=str(path)):
        reel.read(KEY + "-1")
    reel.write(KEY + "-1", made("one"))
    assert reel.read(KEY + "-1") == made("one")


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "tape").write_text("a file, no folder")
    with pytest.raises(TapeUnwritable, match=r"tape/0123456789abcdef-1\.json"):
        Reel(tmp_path / "tape").write(KEY + "-1", made("one"))


def test_used_missing_unused_and_damaged(reel):
    for name in ("1", "2", "3"):
        reel.write(f"{KEY}-{name}", made("one", prompt=name))
    (reel.folder / f"{KEY}-4.json").write_text("<<<<<<< HEAD\n{", "utf-8")
    (reel.folder / "package.json").write_text("{}", "utf-8")
    reel.note(f"{KEY}-2", "2", "used")
    reel.note("z-1", "not there", "missing")
    assert [(one.file.removeprefix(KEY), one.state) for one in reel.heard()] == [
        ("-2.json", "used"),
        ("z-1.json", "missing"),
        ("-1.json", "unused"),
        ("-3.json", "unused"),
        ("-4.json", "damaged"),
    ]
    with pytest.raises(TapeDamaged, match="merge conflict"):
        reel.read(f"{KEY}-4")
    assert [name for name, _ in reel.entries()] == [f"{KEY}-{n}" for n in (1, 2, 3)]


def test_only_what_this_notebook_alone_has_recorded_is_pruned(reel):
    for number, notebooks in enumerate([("a",), ("b",), ("a", "b"), ()], start=1):
        reel.write(f"{KEY}-{number}", replace(made("one"), notebooks=notebooks))
    assert reel.prune("b") == ((), 4)  # a run that has used nothing
    reel.note("other-1", "x", "used")
    assert reel.prune(None) == ((), 4)  # nobody knows whose run it is
    assert reel.prune("b") == ((f"{KEY}-2.json",), 3)
    assert reel.prune("b", everything=True) == (tuple(f"{KEY}-{n}.json" for n in (1, 3, 4)), 0)
    assert names(reel) == []


def test_an_entry_that_another_notebook_gives_too_is_both(reel):
    reel.write(f"{KEY}-1", replace(made("one"), notebooks=("b",)))
    reel.write(f"{KEY}-1", replace(made("one"), notebooks=("a",)))
    reel.write(f"{KEY}-1", made("one"))
    assert reel.read(f"{KEY}-1").notebooks == ("a", "b")


def test_a_number_that_came_to_nothing_is_the_next_askings(reel):
    python = Source("python")
    name = reel.take(KEY, python)
    reel.note(name, "x", "used")
    reel.give_back(name, python)
    assert reel.take(KEY, python) == name
    assert reel.heard() == ()
    reel.begin()
    assert reel.take(KEY, python) == name


@pytest.mark.parametrize("texts", [("the key is sk-secret-1234",), ("the key is sk-sec", "ret-1234\n", "really")])
def test_secrets_are_not_on_a_tape(tmp_path, texts):
    reel = Reel(tmp_path)
    reel.hide(["sk-secret-1234", "short", "two\nlines-of-it"])
    written = reel.write(KEY + "-1", made(*texts, "two\nlines-of-it", prompt="with sk-secret-1234"))
    text = (tmp_path / f"{KEY}-1.json").read_text("utf-8")
    assert "secret" not in text
    assert "lines-of-it" not in text
    assert HIDDEN in text
    assert reel.read(KEY + "-1") == written
    assert written.events[-1].response.text == "".join(texts).replace("sk-secret-1234", HIDDEN) + HIDDEN


AWKWARD = 'pa"ss\\word\n12345'


@pytest.mark.parametrize("spelling", [str, json.dumps, repr, lambda text: json.dumps(json.dumps(text)), quote])
def test_secrets_are_found_however_they_are_spelt(spelling):
    assert "ss" not in Secrets([AWKWARD + "\n"]).hide(f"it is {spelling(AWKWARD)}!").replace(HIDDEN, "")


def test_what_may_be_a_word_is_no_secret():
    assert Secrets(["postgres", "short1"]).hide("postgres short1") == "postgres short1"
    assert Secrets(["postgres1"]).hide("postgres1") == HIDDEN


def test_whose_environment_is_secret(tmp_path):
    (tmp_path / "token").write_text("x")
    env = {
        "A_KEY": "one", "DB_PASS": "two", "GITHUB_PAT": "three", "PATH": "four", "TOKEN_FILE": str(tmp_path / "token"),
        "AWS_SECRET_ACCESS_KEY": "/bPxRfiCY", "DATABASE_URL": "postgres://me:five@host/db",
    }  # fmt: skip
    assert sorted(secrets_of(env)) == sorted(["one", "two", "three", "/bPxRfiCY", "five"])
