"""The folder of a tape: names, what is left untouched, what is damaged, what is pruned, and what is never on it."""

from __future__ import annotations

import pytest

from warp_magics.gateway.errors import TapeDamaged, TapeUnwritable
from warp_magics.gateway.tape.entries import Entry
from warp_magics.gateway.tape.reel import HIDDEN, Reel, with_notebook
from warp_magics.gateway.types import Attempt, ChatResponse, Ended, Result, Source, Started, Text, Usage

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
    assert [reel.take("k", python) for _ in range(2)] == ["k-1", "k-2"]
    assert [reel.take("k", CELL), reel.take("k", other), reel.take("k", CELL)] == ["k-3", "k-4", "k-3"]
    assert reel.take("other", CELL) == "other-1"


def test_the_same_answer_again_leaves_the_file_untouched(reel):
    reel.write("k-1", made("one ", "two", seconds=0.1))
    before = (reel.folder / "k-1.json").read_bytes()
    kept = reel.write("k-1", made("one two", seconds=3.0, route=(Attempt("x:y", "X", 0.0), Attempt("a:b", "ok", 0.0))))
    assert (reel.folder / "k-1.json").read_bytes() == before
    assert [one.text for one in kept.events[1:-1]] == ["one ", "two"]
    for other in (made("three"), made("one two", usage=Usage(1, 3)), made("one two", result=Result.MAX_TOKENS)):
        reel.write("k-1", other)
        assert (reel.folder / "k-1.json").read_bytes() != before
    assert names(reel) == ["k-1.json"]


def test_a_damaged_entry_names_its_file_and_is_recorded_anew(reel):
    reel.write("k-1", made("one"))
    path = reel.folder / "k-1.json"
    path.write_text("{", "utf-8")
    with pytest.raises(TapeDamaged, match=str(path)):
        reel.read("k-1")
    with pytest.raises(TapeDamaged, match=str(path)):
        reel.heard()
    reel.write("k-1", made("one"))
    assert reel.read("k-1") == made("one")


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "tape").write_text("a file, no folder")
    with pytest.raises(TapeUnwritable, match=r"tape/k-1\.json"):
        Reel(tmp_path / "tape").write("k-1", made("one"))


def test_used_missing_and_unused(reel):
    for name in ("k-1", "k-2", "k-3"):
        reel.write(name, made("one", prompt=name))
    reel.note("k-2", "k-2", "used")
    reel.note("z-1", "not there", "missing")
    assert [(one.file, one.state) for one in reel.heard()] == [
        ("k-2.json", "used"),
        ("z-1.json", "missing"),
        ("k-1.json", "unused"),
        ("k-3.json", "unused"),
    ]
    assert reel.prune(None) == (("k-1.json", "k-3.json"), 0)
    assert names(reel) == ["k-2.json"]


def test_what_another_notebook_has_recorded_is_not_pruned(reel):
    reel.write("k-1", with_notebook(made("one"), CELL))
    reel.write("k-2", with_notebook(made("one"), Source("cell", "b.ipynb", "c1")))
    reel.write("k-3", made("one"))
    assert reel.prune("b.ipynb") == (("k-2.json", "k-3.json"), 1)
    assert names(reel) == ["k-1.json"]


@pytest.mark.parametrize("texts", [("the key is sk-secret-1234",), ("the key is sk-sec", "ret-1234\n", "really")])
def test_secrets_are_not_on_a_tape(tmp_path, texts):
    reel = Reel(tmp_path, ["sk-secret-1234", "short", "two\nlines-of-it"])
    written = reel.write("k-1", made(*texts, "two\nlines-of-it", prompt="with sk-secret-1234"))
    text = (tmp_path / "k-1.json").read_text("utf-8")
    assert "secret" not in text
    assert "lines-of-it" not in text
    assert HIDDEN in text
    assert reel.read("k-1") == written
    assert written.events[-1].response.text == "".join(texts).replace("sk-secret-1234", HIDDEN) + HIDDEN
