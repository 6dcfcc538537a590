"""What follows an answer: names that are bound, the next cell, advice; and what a line that fails leaves alone."""

from __future__ import annotations

import itertools

import pytest

from tests.fakes.provider import Fault, Reply
from tests.notebook.kernel import Kernel

pytestmark = pytest.mark.slow

numbers = itertools.count()
CITY = "from pydantic import BaseModel\nclass City(BaseModel):\n    name: str\n    people: float"
FENCE = "```"


@pytest.fixture
def model() -> str:
    return f"ok-{next(numbers)}-follows"


def plain(ran, at=0):
    return ran.shown[at]["data"]["text/plain"]


def history(kernel, session):
    return plain(kernel.run(f"%warp history {session}"))


def next_input(ran):
    return [one["text"] for one in ran.reply["payload"] if one["source"] == "set_next_input"]


# -- what is bound ---------------------------------------------------------------------------------


def test_a_null_answer_is_none(front, lab, model):
    lab.script(model, Reply(chunks=['{"value": null}']))
    front.run("from typing import Optional\nMaybe = Optional[int]")
    front.run(f"%%warp -m lab:{model} --schema Maybe -o reply\nhow many?")
    assert front.value("reply.value") is None


@pytest.mark.parametrize("option", ["--schema City", "-f json"])
def test_an_answer_that_does_not_fit_was_paid_for_and_is_bound(front, lab, model, option):
    lab.script(model, Reply(chunks=["Sure!"]))
    front.run(f"{CITY}\nreply = 'an older one'")
    ran = front.run(f"%%warp -m lab:{model} {option} -o reply\nname one", ok=False)
    assert ran.error["ename"] in ("Misfit", "NotJson")
    assert front.value("(reply.text, reply.value)") == ("Sure!", None)
    assert f"lab:{model}" in plain(ran, -1)


def test_what_a_repair_used_is_counted(front, lab, model):
    lab.script(
        model,
        Reply(chunks=['{"name": "P"}'], usage={"prompt_tokens": 7, "completion_tokens": 3}),
        Reply(chunks=['{"name": "P", "people": 2}'], usage={"prompt_tokens": 9, "completion_tokens": 4}),
    )
    front.run(CITY)
    front.run(f"%%warp -m lab:{model} --schema City -o reply\nname one")
    assert front.value("(reply.usage.input_tokens, reply.usage.output_tokens)") == (16, 7)
    assert "asked once more" in front.value("reply.warnings[-1]")


# -- the next cell ---------------------------------------------------------------------------------


def test_half_of_an_answer_is_no_code(front, lab, model):
    lab.script(model, Reply(chunks=[f"{FENCE}python\nfor i in"], finish="length"))
    ran = front.run(f"%%warp -m lab:{model} -f code\nloop")
    assert next_input(ran) == []
    assert "not whole" in plain(ran, -1)


def test_code_in_a_list_is_found(front, lab, model):
    lab.script(model, Reply(chunks=[f"1. Do:\n\n   {FENCE}python\n   if x:\n       y\n   {FENCE}\n"]))
    assert next_input(front.run(f"%%warp -m lab:{model} -f code\nlist")) == ["if x:\n    y"]


def test_fix_mends_the_last_cell_of_the_user_not_itself(kernel, lab):
    mended = Reply(chunks=[f"Zero.\n{FENCE}python\n1 / 1\n{FENCE}"])
    lab.script("ok", Reply.failing(500), Reply(chunks=["I cannot see why."]), mended)
    try:
        kernel.run("1 / 0", ok=False)
        msg = kernel.start("import time\nprint('asleep')\ntime.sleep(60)")
        kernel.until_text(msg, "asleep")
        kernel.interrupt()
        kernel.wait(msg)
        assert kernel.run("%warp fix", ok=False).status == "error"
        ran = kernel.run("%warp fix")
        assert next_input(ran) == []
        assert "no code in it" in plain(ran, -1)
        assert next_input(kernel.run("%warp fix")) == ["1 / 1"]
        asked = [call.messages[-1]["content"] for call in lab.calls("ok")[-3:]]
        assert all("1 / 0" in one and "sleep" not in one and "%warp" not in one for one in asked)
    finally:
        lab.script("ok", Reply())


# -- advice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("fail-401", "jupyter warp init"),
        ("fail-429-retry-after-7", "Wait 7 s"),
        ("fail-500", "Run the cell again, or name another model with -m."),
        ("context-too-long", "%warp new"),
    ],
)
def test_an_error_says_what_to_do(front, behaviour, said):
    ran = front.run(f"%%warp -m lab:{behaviour}@advice{next(numbers)}\nhello", ok=False)
    first, advice = ran.reply["traceback"]
    assert first.startswith(f"{ran.error['ename']}: ")
    assert said in advice


def test_a_part_in_a_session_can_be_gone_on_with_and_says_so(front, lab, model):
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.CUT,), at=1))
    line = f"%%warp -m lab:{model} --on-break error"
    assert "%warp continue" in front.run(f"{line} -s {model}\nhello", ok=False).reply["traceback"][-1]
    assert "%warp continue" not in str(front.run(f"{line}\nhello", ok=False).reply["traceback"])


def test_a_part_that_was_stopped_can_be_gone_on_with_and_says_so(front, lab, model):
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    msg = front.start(f"%%warp -m lab:{model} -s {model}\nhello")
    front.until_text(msg, "one ")
    front.interrupt()
    ran = front.wait(msg)
    lab.release()
    assert "%warp continue" in ran.reply["traceback"][-1]
    resumed = front.run(f"%warp resume {model}")
    assert plain(resumed, -1).split(" · ")[0] == f"lab:{model}"
    assert "try" not in plain(resumed, -1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--help", "%%warp? shows the options."),
        ("what is this", "the prompt goes below"),
        ("-f mardown", "did you mean markdown?"),
        ("-s ''", "is not a session id"),
        ("-c @nothing", "is None"),
    ],
)
def test_a_line_that_is_wrong_says_the_way_out(front, line, said):
    front.run("nothing = None")
    ran = front.run(f"%%warp {line}\nhello", ok=False)
    assert said in ran.error["evalue"]


def test_what_is_no_text_is_refused_by_its_name(front):
    code = "from warp_magics import Warp, WarpError\ntry:\n    Warp().ask({})\nexcept WarpError as error:\n    said = str(error)"
    front.run(code.format("None"))
    assert front.value("said") == "The prompt is a text, not NoneType."
    front.run(code.format("'x', context=5"))
    assert front.value("said") == "context is a text, not int."


# -- sessions --------------------------------------------------------------------------------------


def test_a_dry_run_is_no_asking_of_its_cell(front, model):
    both = "get_ipython().run_cell_magic('warp', '{0}', 'a')\n"
    line = f"-s {model}"
    front.run(both.format(f"{line} --dry") + both.format(line), cell=model)
    front.run(both.format(line), cell=model)
    assert history(front, model).count("You said 'a'") == 1


def test_the_current_session_outlives_a_reload(front, model):
    front.run(f"%warp use {model}")
    try:
        front.run("%reload_ext warp_magics")
        front.run("%%warp\na")
        assert "You said 'a'" in history(front, model)
    finally:
        front.run("get_ipython().magics_manager.registry['WarpMagics'].cells.session = None")


def test_continue_takes_a_session(front, lab, model):
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.CUT,), at=1), Reply(chunks=["and more"]))
    front.run(f"%%warp -m lab:{model} --on-break error -s {model}\nhello", ok=False)
    front.run("%%warp -s another-one\nhello")
    ran = front.run(f"%warp continue {model}")
    assert ran.shown[0]["data"]["text/markdown"] == "one and more"
    assert "is whole" in front.run(f"%warp continue {model}", ok=False).error["evalue"]


def test_a_search_that_finds_nothing_says_so(front):
    assert plain(front.run("%warp sessions no-such-session-anywhere")).startswith("No session has")


# -- front ends that send no ids -------------------------------------------------------------------


def typed(kernel, code):
    """A cell of a console, whose user may be asked."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    return kernel.wait(kernel.send("execute_request", content))


def test_in_a_console_every_prompt_is_a_new_turn(place, model):
    for _ in range(2):
        with Kernel(place) as console:
            for prompt in ("hello", "go on"):
                typed(console, f"%%warp -s {model}\n{prompt}")
            told = history(console, model)
    assert (told.count("'hello'"), told.count("'go on'")) == (2, 2)


def test_a_notebook_run_by_a_program_and_edited_loses_nothing(place, model):
    for cells in (["a", "b", "c"], ["a", "edited", "c"]):
        with Kernel(place) as program:
            for prompt in cells:
                ran = program.run(f"%%warp -s {model}\n{prompt}")
            assert ran.shown[0]["data"]["text/markdown"] == "You said 'c' in message 5."
            told = history(program, model)
    assert "'edited'" in told
    assert "'b'" not in told


def test_what_is_shown_of_an_answer_that_was_stopped_is_what_is_kept(front, lab, model):
    words = [f"word{n} " for n in range(4000)]
    lab.script(model, Reply(chunks=words, delay=0.001))
    msg = front.start(f"%%warp -m lab:{model} -s {model}\ngo")
    front.until_text(msg, "word9 ")
    front.interrupt()
    ran = front.wait(msg)
    shown = ran.shown[0]["data"]["text/markdown"]
    front.run("from warp_magics.connect import connection\nat = connection()")
    kept = front.value(f"at.portal.call(lambda: at.gateway.history(at.owner, {model!r}))[0].response")
    assert shown == kept
    assert len(kept.split()) < len(words)
