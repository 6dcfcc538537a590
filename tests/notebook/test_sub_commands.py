"""The sub-commands of `%warp` in a real kernel, with a gateway of its own and with its server's."""

from __future__ import annotations

import itertools
import json
import re

import nbformat
import pytest

from tests.fakes.provider import Reply

pytestmark = pytest.mark.slow

numbers = itertools.count()


@pytest.fixture
def sid(front):
    """A session with the turns a, b and c, asked by three cells."""
    session = f"sub-{next(numbers)}"
    for name in "abc":
        front.run(f"%%warp -s {session}\n{name}", cell=f"{session}{name}")
    yield session
    front.run("get_ipython().magics_manager.registry['WarpMagics'].cells.session = None")


def told(kernel, line, *, ok=True):
    """What a line shows as text; what it says where it fails."""
    ran = kernel.run(f"%warp {line}", ok=ok)
    if not ok:
        return f"{ran.error['ename']}: {ran.error['evalue']}"
    (shown,) = ran.shown
    assert set(shown["data"]) == {"text/html", "text/plain"}
    assert 'class="warp-view ' in shown["data"]["text/html"]
    return shown["data"]["text/plain"]


def prompts(kernel, session):
    """The prompts that history shows, by their numbers."""
    return re.findall(r"^ *(\d+)  (\S+)", told(kernel, f"history {session}"), re.MULTILINE)


def test_use_and_new_choose_the_session_of_cells_that_name_none(front, sid):
    assert sid in told(front, f"use {sid}")
    front.run("%%warp\nd", cell=f"{sid}d")
    assert prompts(front, sid) == [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")]
    made = told(front, f"new fresh-{sid}")
    assert f"fresh-{sid}" in made
    front.run("%%warp\nfirst")
    assert prompts(front, f"fresh-{sid}") == [("1", "first")]
    assert "SessionExists" in told(front, f"new {sid}", ok=False)
    assert "current" not in told(front, "new")
    assert prompts(front, sid)[-1] == ("4", "d")


def test_a_branch_is_shown_gone_back_to_and_forked(front, sid):
    told(front, f"use {sid}")
    assert "now ends with turn 1" in told(front, "rewind 1")
    assert prompts(front, sid) == [("1", "a")]
    lines = told(front, "tree").splitlines()
    (branch,) = [at for at, line in enumerate(lines) if "└ branch 1" in line]
    assert lines[branch - 1].split()[:2] == ["1", "a"]
    assert [line.split()[:3] for line in lines[branch + 1 : branch + 3]] == [["2", "│", "b"], ["3", "│", "c"]]
    assert "now ends with turn 2" in told(front, "rewind 2")
    assert prompts(front, sid) == [("1", "a"), ("2", "b")]
    assert f"{sid}-f" in told(front, f"fork {sid} {sid}-f --at 1")
    assert prompts(front, f"{sid}-f") == [("1", "a")]
    told(front, f"fork {sid} {sid}-g --at 3")  # of a branch
    assert prompts(front, f"{sid}-g") == [("1", "a"), ("2", "b"), ("3", "c")]
    assert "has no turn 9; it has 1, 2, 3" in told(front, "rewind 9", ok=False)
    assert "TurnNotFound" not in told(front, f"fork {sid} x --at 9", ok=False)


def test_a_session_is_renamed_and_deleted(front, sid):
    told(front, f"rename {sid} Sales in <May>")
    assert "Sales in <May>" in told(front, f"sessions {sid}")
    told(front, f"use {sid}")
    assert "deleted" in told(front, f"delete {sid}")
    assert told(front, f"sessions {sid}").startswith("No session has")
    assert "no session was chosen" in told(front, "history", ok=False)
    assert "SessionNotFound" in told(front, f"history {sid}", ok=False)


@pytest.mark.parametrize("form", ["json", "md", "ipynb"])
def test_a_session_is_exported_and_nothing_is_overwritten(front, sid, tmp_path, form):
    path = tmp_path / f"out.{form}"
    assert "3 turns" in told(front, f"export {sid} {path}")
    written = path.read_text("utf-8")
    assert "You said 'c' in message 5." in (json.dumps(json.loads(written)) if form != "md" else written)
    if form == "ipynb":
        nbformat.validate(nbformat.read(path, as_version=4))
    path.write_text("mine")
    assert "--force" in told(front, f"export {sid} {path}", ok=False)
    assert path.read_text() == "mine"
    told(front, f"export {sid} {path} --force")
    assert path.read_text("utf-8") == written


def test_an_export_that_cannot_be_says_why(front, sid, tmp_path):
    assert "json, md, ipynb" in told(front, f"export {sid} {tmp_path}/a.pdf", ok=False)
    assert "cannot be written" in told(front, f"export {sid} {tmp_path}/no/a.md", ok=False)


def test_usage_is_counted_by_model_session_and_day(front, sid):
    by_model = told(front, "usage")
    assert re.search(r"^lab:\S+ +[\d,]+ +[\d,]+ +[\d,]+ +0  unknown$", by_model, re.MULTILINE)
    by_session = told(front, "usage session")
    assert re.search(rf"^{sid} +3 ", by_session, re.MULTILINE)
    assert re.search(r"^\d{4}-\d\d-\d\d +\d", told(front, "usage day"), re.MULTILINE)
    assert "model, session, day" in told(front, "usage week", ok=False)


def test_the_route_line_is_hidden_by_configuration_and_in_the_metadata_always(front):
    assert re.search(r"^route_line +on ", told(front, "config"), re.MULTILINE)
    assert re.search(r"^route_line +off ", told(front, "config route_line off"), re.MULTILINE)
    try:
        (answer,) = front.run("%%warp\nhello").shown
        assert answer["metadata"]["warp"]["route"][0]["outcome"] == "ok"
    finally:
        told(front, "config route_line on")
    assert len(front.run("%%warp\nhello").shown) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("config route_lin off", "there are attach_tokens, keep_kernel_loop, route_line"),
        ("config route_line maybe", "on or off, not 'maybe'"),
        ("config route_line", "on or off"),
        ("config attach_tokens few", "a whole number"),
        ("config attach_tokens 3", "at least 100"),
    ],
)
def test_a_setting_that_is_wrong_says_what_it_takes(front, line, said):
    assert said in told(front, line, ok=False)


def test_fix_explains_the_last_exception_and_the_mended_cell_comes_next(front, lab):
    model = "lab:ok@served" if front.value("'WARP_SERVER_ID' in __import__('os').environ") else "lab:ok"
    lab.script(model.removeprefix("lab:"), Reply(chunks=["You divide by zero.\n```python\n", "1 / 1\n```"]))
    try:
        front.run("total = 1 / 0", ok=False)
        ran = front.run("%warp fix")
        (payload,) = [one for one in ran.reply["payload"] if one["source"] == "set_next_input"]
        assert payload["text"] == "1 / 1"
        assert "You divide by zero." in ran.shown[0]["data"]["text/markdown"]
        asked = lab.calls(model.removeprefix("lab:"))[-1].messages[-1]["content"]
        assert "total = 1 / 0" in asked
        assert "ZeroDivisionError: division by zero" in asked
    finally:
        lab.script(model.removeprefix("lab:"), Reply())


def test_what_needs_a_session_says_which_command_chooses_one(front, place):
    front.run("get_ipython().magics_manager.registry['WarpMagics']._asked.clear()")
    for line in ("history", "tree", "stop", "rewind 1"):
        assert "no session was chosen" in told(front, line, ok=False)
    for line in ("resume", "continue"):
        assert "%warp use ID" in told(front, line, ok=False)
    told(front, "new")
    assert "has no turns yet" in told(front, "continue", ok=False)
    assert "has no turns yet" in told(front, "resume", ok=False)
    front.run("get_ipython().magics_manager.registry['WarpMagics'].cells.session = None")
