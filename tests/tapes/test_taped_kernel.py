"""Tapes as people use them: in cells, in Python, by configuration and environment; a replay needs nothing."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.fakes.provider import FakeProvider, Reply
from tests.notebook.kernel import KEY, Kernel, home

pytestmark = pytest.mark.slow

numbers = itertools.count()


@pytest.fixture(scope="module")
def lab():
    with FakeProvider.in_thread() as provider:
        yield provider


@pytest.fixture(scope="module")
def place(lab):
    with home(lab, extra='\n[storage]\ntype = "memory"\n') as made:
        yield made


@pytest.fixture
def folder(place):
    return place.root / f"tape-{next(numbers)}"


@pytest.fixture
def nowhere(place):
    """The same home with no configuration, no key, and nowhere to go to."""
    env = {"WARP_CONFIG": str(place.root / "gone.toml"), "WARP_GATEWAY_URL": "http://127.0.0.1:9/warp"}
    env |= {"WARP_GATEWAY_TOKEN": "t", "LAB_API_KEY": "", "WARP_DATA_DIR": "/dev/null/x", "WARP_RUN_DIR": "/dev/null/x"}
    return place.also(**env)


def outputs(kernel, *cells):
    """What stays on the screen of each cell, metadata too, and how it ended."""
    told = []
    for at, cell in enumerate(cells):
        ran = kernel.run(cell, cell=f"c{at}", ok=False)
        shown = [{k: v for k, v in one.items() if k not in ("transient", "execution_count")} for one in ran.shown]
        error = ran.error["evalue"] if ran.status == "error" else None
        told.append((shown, ran.stream(), error))
    return json.dumps(told, sort_keys=True)


CELLS = (
    "%%warp -s talk -m lab:fail-429-retry-after-7 -m lab:ok\nWhat is it?",
    "%%warp -s talk -o reply\nAnd {1 + 1}?",
    "reply",
    "print(reply.text, reply.turn, reply.route)",
    "from warp_magics import Warp\nwarp = Warp(session='talk')\n''.join(warp.stream('in Python'))",
    "[warp.ask('again', session=None).text for _ in range(2)]",
    "%warp history talk",
    "%warp tree talk",
    "%warp sessions",
    "%warp usage",
    "%warp usage day",
    "%warp usage session",
    "%warp models",
    "%warp",
    "%%warp --dry -s talk\nand now?",
    "%%warp -m lab:fail-401\nrefused",
    "%%warp -m lab:cut-3 -s talk --on-break error\nbroken",
    "%warp continue",
    "import pandas as pd\nframe = pd.DataFrame({'a': [1]})\nframe['b']",
    "%warp fix",
    "n = max(get_ipython().magics_manager.registry['WarpMagics'].cells.failures)",
    "%%warp -s talk\nwhy {Err[n]}?",
    "%warp tape record",
    "%%warp -s talk\nafter",
)


def test_outputs_of_a_replay_are_those_of_the_recording_to_the_byte(place, nowhere, lab, folder):
    with Kernel(place) as kernel:
        kernel.run(f"%warp tape record {folder}")
        recorded = outputs(kernel, *CELLS)
    asked = len(lab.requests)
    assert KEY not in recorded
    for _ in range(2):
        with Kernel(nowhere.also(WARP_TAPE="replay", WARP_TAPE_DIR=str(folder))) as kernel:
            assert outputs(kernel, *CELLS) == recorded
    assert len(lab.requests) == asked
    assert KEY not in "".join(path.read_text("utf-8") for path in folder.iterdir())


def test_a_replay_shows_each_answer_once_and_run_all_twice_replays_twice(place, nowhere, lab, folder):
    with Kernel(place.also(WARP_TAPE="record", WARP_TAPE_DIR=str(folder))) as kernel:
        first = outputs(kernel, *CELLS[:5])
        again = outputs(kernel, *CELLS[:5])
        assert "You said" in first
    with Kernel(nowhere.also(WARP_TAPE="replay", WARP_TAPE_DIR=str(folder))) as kernel:
        ran = kernel.run(CELLS[0], cell="c0")
        assert [one["msg_type"] for one in ran.displays] == ["display_data", "display_data"]
        assert not any(one["content"].get("transient", {}).get("display_id") for one in ran.displays)
        assert " s" not in ran.shown[1]["data"]["text/plain"].replace("fail-429", "")
        kernel.run("%warp tape replay " + str(folder))
        assert outputs(kernel, *CELLS[:5]) == first
        assert outputs(kernel, *CELLS[:5]) == again


def test_the_sub_commands(place, lab, folder):
    with Kernel(place) as kernel:
        assert "No tape is used" in str(kernel.run("%warp tape").shown)
        told = str(kernel.run(f"%warp tape record {folder}").shown)
        assert f"on the tape in {place.root.name}/{folder.name}" in told
        assert f"record in {place.root.name}/{folder.name}" in str(kernel.run("%warp tape").shown)
        for prompt in ("one", "two"):
            kernel.run(f"%%warp\n{prompt}")
        assert "2 used, 0 missing, 0 unused" in str(kernel.run("%warp tape status").shown)
        kernel.run(f"%warp tape replay {folder} --realtime")
        assert "in real time" in str(kernel.run("%warp tape").shown)
        kernel.run("%%warp\none")
        ran = kernel.run("%%warp\nthree", ok=False)
        assert ran.error["ename"] == "TapeMiss"
        assert "“three”" in ran.error["evalue"]
        told = kernel.run("%warp tape status").shown[0]["data"]
        assert list(told) == ["text/plain"]
        assert "1 used, 1 missing, 1 unused" in told["text/plain"]
        assert len(list(folder.iterdir())) == 2
        assert "1 not used stayed" in " ".join(kernel.run("%warp tape prune").shown[0]["data"]["text/plain"].split())
        assert "Removed" in str(kernel.run("%warp tape prune --all").shown)
        assert len(list(folder.iterdir())) == 1
        before = len(lab.requests)
        kernel.run(f"%warp tape auto {folder}")
        kernel.run("%%warp\none")
        kernel.run("%%warp\nthree")
        assert len(lab.requests) == before + 1
        assert "auto" in str(kernel.run("%warp config").shown)
        kernel.run("%warp tape off")
        assert "No tape is used" in str(kernel.run("%warp tape").shown)
        assert "did you mean record?" in kernel.run("%warp tape recrod", ok=False).error["evalue"]


def test_by_configuration_and_beside_the_notebook(place, nowhere, lab):
    with Kernel(place.profile("c.WarpMagics.tape = 'record'")) as kernel:
        kernel.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())")
        kernel.run("%%warp\nbeside")
        assert kernel.run("%reload_ext warp_magics").status == "ok"
    beside = place.root / ".warp" / "tape"
    assert len(list(beside.glob("*.json"))) == 1
    with Kernel(nowhere.profile("c.WarpMagics.tape = 'replay'")) as kernel:
        ran = kernel.run("%%warp\nbeside")
        assert ran.shown[0]["data"]["text/markdown"] == "You said 'beside' in message 1."
        assert "takes off, record, replay, auto" in str(kernel.run("%warp config tape never", ok=False).error)
    with Kernel(place.also(WARP_TAPE="reply")) as kernel:
        assert "WARP_TAPE='reply' is none of" in kernel.run("%%warp\nx", ok=False).error["evalue"]


def test_another_gateway_of_python_code_is_on_the_tape_too(place, nowhere, lab, folder):
    from tests.server.alone_process import running_alone

    env = {name: place.env[name] for name in ("WARP_CONFIG", "LAB_API_KEY")}
    with running_alone(place.root / "alone", env) as alone:
        ask = f"from warp_magics import Warp\nwith Warp(url={alone.url!r}, token={alone.token!r}) as warp:\n    print(warp.ask('far', session='s').text)"
        with Kernel(nowhere.also(WARP_TAPE="record", WARP_TAPE_DIR=str(folder))) as kernel:
            assert kernel.run(ask).stream() == "You said 'far' in message 1.\n"
    with Kernel(nowhere.also(WARP_TAPE="replay", WARP_TAPE_DIR=str(folder))) as kernel:
        assert kernel.run(ask).stream() == "You said 'far' in message 1.\n"
        assert kernel.run("%warp connect http://127.0.0.1:9/warp").status == "ok"
    assert alone.token not in "".join(path.read_text("utf-8") for path in folder.iterdir())


def test_secrets_that_a_prompt_or_an_answer_holds_are_not_written(place, lab, folder):
    lab.script("leaks", Reply(chunks=["the key is sk-planted-", "0123456789\n", "and more"]))
    env = {"PLANTED_API_KEY": "sk-planted-0123456789", "WARP_TAPE": "record", "WARP_TAPE_DIR": str(folder)}
    with Kernel(place.also(**env)) as kernel:
        kernel.run("import os\nkey = os.environ['PLANTED_API_KEY']")
        kernel.run("%%warp -m lab:leaks\nmy key is {key}")
    text = "".join(path.read_text("utf-8") for path in folder.iterdir())
    assert "planted" not in text
    assert "and more" in text


def test_a_run_that_is_to_be_replayed_asks_nobody_whatever_its_cells_say(place, nowhere, lab, folder):
    before = len(lab.requests)
    env = {"WARP_TAPE": "replay", "WARP_TAPE_DIR": str(folder)}
    with Kernel(place.profile("c.WarpMagics.tape = 'record'").also(**env)) as kernel:
        for mode in ("record", "auto", "off"):
            kernel.run(f"%warp tape {mode}")
            assert kernel.run(f"%%warp\n{mode}", ok=False).error["ename"] == "TapeMiss"
        kernel.run("%warp config tape record")
        assert kernel.run("%%warp\nconfig", ok=False).error["ename"] == "TapeMiss"
        assert "replay" in str(kernel.run("%warp config").shown)
        kernel.run(f"%warp tape record {folder}-other")  # a tape of its own, named
        kernel.run("%%warp\nnamed")
    assert [call.messages[-1]["content"] for call in lab.requests[before:]] == ["named"]


def test_another_gateway_under_a_tape_changes_nothing_of_it(place, nowhere, lab, folder):
    from tests.server.alone_process import running_alone

    with running_alone(
        place.root / "other", {name: place.env[name] for name in ("WARP_CONFIG", "LAB_API_KEY")}
    ) as alone:
        cells = ("%%warp -s s\none", f"%warp connect {alone.url}", "%%warp -s s\ntwo", "%warp sessions")
        with Kernel(
            place.also(WARP_TAPE="record", WARP_TAPE_DIR=str(folder), WARP_GATEWAY_TOKEN=alone.token)
        ) as kernel:
            recorded = outputs(kernel, *cells)
            assert "in message 3." in recorded
    with Kernel(nowhere.also(WARP_TAPE="replay", WARP_TAPE_DIR=str(folder))) as kernel:
        assert outputs(kernel, *cells) == recorded


def test_secrets_of_the_configuration_and_later_ones_are_not_written(place, lab, folder):
    (place.root / "literal.toml").write_text((place.root / "warp.toml").read_text().replace("${LAB_API_KEY}", KEY))
    env = {"WARP_CONFIG": str(place.root / "literal.toml"), "LAB_API_KEY": "", "WARP_TAPE": "record"}
    with Kernel(place.also(**env, WARP_TAPE_DIR=str(folder))) as kernel:
        kernel.run("%%warp\nfirst")
        kernel.run("import os\nos.environ['LATE_TOKEN'] = 'late-token-0123'\n%warp tape record")
        kernel.run(f"%%warp\nthe keys are {KEY} and late-token-0123")
    text = "".join(path.read_text("utf-8") for path in folder.iterdir())
    assert KEY not in text
    assert "late-token" not in text
    assert "••••" in text
