"""A cell that is run again does not double the chat; what was stopped or broke off is gone on with."""

from __future__ import annotations

import itertools

import pytest

from tests.fakes.provider import Fault, Reply
from tests.notebook.kernel import Kernel, home
from warp_magics.gateway.branches import OTHERS_WENT_ON

pytestmark = pytest.mark.slow

numbers = itertools.count()
TALK = "from warp_magics.connect import connection\nat = connection()\ncall, gateway = at.portal.call, at.gateway"
VSCODE = "vscode-notebook-cell:/home/me/n.ipynb#{}"


@pytest.fixture
def sid() -> str:
    return f"again-{next(numbers)}"


def turns(kernel, session, branch=None):
    """(prompt, status, answer) of each turn."""
    kernel.run(TALK)
    told = f"call(lambda: gateway.history(at.owner, {session!r}, {branch}))"
    return kernel.value(f"[(t.prompt, str(t.status), t.response) for t in {told}]")


def prompts(kernel, session, branch=None):
    return [prompt for prompt, _, _ in turns(kernel, session, branch)]


def branches(kernel, session):
    kernel.run(TALK)
    return kernel.value(f"[b.turns for b in call(lambda: gateway.session(at.owner, {session!r})).branches]")


def text(ran):
    return next(one["data"]["text/markdown"] for one in ran.shown if "text/markdown" in one["data"])


def line(ran):
    return next(one["data"]["text/plain"] for one in ran.shown if "warp-route" in one["data"].get("text/html", ""))


@pytest.mark.parametrize("named", ["{}", VSCODE], ids=["lab", "vscode"])
def test_run_all_twice_is_run_all_once(front, sid, named):
    front.run("__vsc_ipynb_file__ = '/home/me/n.ipynb'" if "vscode" in named else "1")
    try:
        for _ in range(2):
            for name in "abc":
                ran = front.run(f"%%warp -s {sid} -m lab:ok\n{name}", cell=named.format(f"{sid}{name}"))
        assert text(ran) == "You said 'c' in message 5."
        assert prompts(front, sid) == ["a", "b", "c"]
        assert branches(front, sid) == [3]
    finally:
        front.run("globals().pop('__vsc_ipynb_file__', None)")


def test_a_cell_that_was_edited_is_asked_in_its_place(front, sid):
    for name in ("a", "b"):
        front.run(f"%%warp -s {sid}\n{name}", cell=f"{sid}{name}")
    ran = front.run(f"%%warp -s {sid}\nedited", cell=f"{sid}a")
    assert text(ran) == "You said 'edited' in message 1."
    assert prompts(front, sid) == ["edited"]
    tree = front.run(f"%warp tree {sid}").shown[0]["data"]["text/plain"]
    assert "└ branch 1" in tree
    assert tree.index("branch 1") < tree.index("edited")


def test_append_asks_a_new_turn(front, sid):
    for options in ("", "--append", "--append"):
        front.run(f"%%warp -s {sid} {options}\na", cell=f"{sid}a")
    assert prompts(front, sid) == ["a", "a", "a"]


def test_a_try_that_fails_changes_nothing(front, sid):
    for name in ("a", "b"):
        front.run(f"%%warp -s {sid}\n{name}", cell=f"{sid}{name}")
    before = turns(front, sid)
    ran = front.run(f"%%warp -s {sid} -m lab:fail-401@{sid}\na", cell=f"{sid}a", ok=False)
    assert ran.error["ename"] == "AccessRefused"
    assert turns(front, sid) == before
    assert branches(front, sid) == []


@pytest.mark.parametrize("kind", ["panel", "rest"])
def test_the_turn_that_someone_else_added_is_respected_and_said(front, sid, kind):
    front.run(f"%%warp -s {sid}\na", cell=f"{sid}a")
    front.run(f"{TALK}\nfrom warp_magics.gateway import ChatRequest, Source")
    front.run(f"call(lambda: gateway.ask(ChatRequest('other', {sid!r}, owner=at.owner, source=Source({kind!r}))))")
    ran = front.run(f"%%warp -s {sid}\na", cell=f"{sid}a")
    assert OTHERS_WENT_ON in line(ran)
    assert prompts(front, sid) == ["a", "other", "a"]
    ran = front.run(f"%%warp -s {sid}\na", cell=f"{sid}a")
    assert OTHERS_WENT_ON not in line(ran)
    assert prompts(front, sid) == ["a", "other", "a"]


def test_without_ids_cells_are_known_by_their_text_and_what_was_asked_before(place):
    sid = f"again-{next(numbers)}"
    for _ in range(2):
        with Kernel(place) as its:
            for prompt in ("a", "same", "same"):
                its.run(f"%%warp -s {sid}\n{prompt}")
            assert prompts(its, sid) == ["a", "same", "same"]
            assert its.run("%reload_ext warp_magics").status == "ok"
            its.run(f"%%warp -s {sid}\na")  # behind three others
            assert prompts(its, sid) == ["a", "same", "same", "a"]


def test_a_cell_that_asks_several_times_keeps_all_of_them(front, sid):
    code = f"for q in ('x', 'y', 'z'):\n    get_ipython().run_cell_magic('warp', '-s {sid}', q)"
    for _ in range(2):
        front.run(code, cell=f"{sid}loop")
        assert prompts(front, sid) == ["x", "y", "z"]


def test_an_interrupted_cell_is_gone_on_with_in_the_same_turn(front, lab, sid):
    model = f"part@{sid}"
    lab.script(
        model, Reply(chunks=["one ", "two ", "three"], insert=(Fault.SILENT,), at=2), Reply(chunks=["and ", "on"])
    )
    front.run(f"%%warp -s {sid}\nfirst", cell=f"{sid}0")
    msg = front.start(f"%%warp -s {sid} -m lab:{model} -c 'Be brief.' -t 0\ncount", cell=f"{sid}1")
    front.until_text(msg, "one two ")
    front.interrupt()
    assert front.wait(msg).error["ename"] == "KeyboardInterrupt"
    lab.release()
    assert turns(front, sid)[1:] == [("count", "stopped", "one two ")]
    ran = front.run("%warp continue")
    assert text(ran) == "one two and on"
    assert turns(front, sid)[1:] == [("count", "complete", "one two and on")]
    asked = lab.calls(model)[-1]
    assert asked.body["temperature"] == 0
    assert [m["role"] for m in asked.messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert asked.messages[-2]["content"] == "one two "
    ran = front.run("%warp continue", ok=False)
    assert "whole" in ran.error["evalue"]


def test_continue_does_not_read_the_cache(lab):
    with home(lab, extra="[cache]\nenabled = true\n") as place, Kernel(place) as its:
        broken, more = Reply.broken(Fault.CUT, at=1, chunks=["one ", "two"]), Reply(chunks=["more"])
        lab.script("cached@go", broken, more, broken, more)
        for session in ("one", "two"):
            its.run(f"%%warp -s {session} -m lab:cached@go --on-break error\nx", ok=False)
            assert text(its.run("%warp continue")) == "one more"
        assert len(lab.calls("cached@go")) == 4


def test_resume_shows_a_finished_answer_and_one_that_is_being_made(place, lab):
    sid, model = f"again-{next(numbers)}", f"resumed@{next(numbers)}"
    with Kernel(place) as its:
        its.run(f"%%warp -s {sid}\nwhole")
        its.restart()
        assert text(its.run(f"%warp resume {sid}")) == "You said 'whole' in message 1."
        its.run(f"%warp use {sid}")
        assert text(its.run("%warp resume")) == "You said 'whole' in message 1."
        lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
        with Kernel(place) as other:
            msg = other.start(f"%%warp -s {sid} -m lab:{model}\nlive")
            other.until_text(msg, "one ")
            following = its.start("%warp resume")
            its.until_text(following, "one ")
            lab.release()
            assert text(its.wait(following)) == "one two"
            assert text(other.wait(msg)) == "one two"


def test_an_answer_outlives_the_kernel_at_the_servers_gateway_and_is_resumed(served, lab, sid):
    """A kernel that is restarted while its server's gateway answers: the answer is finished, and shown on demand."""
    model = f"outlives@{sid}"
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    msg = served.start(f"%%warp -s {sid} -m lab:{model}\nlive", cell=f"{sid}a")
    served.until_text(msg, "one ")
    served.restart()
    lab.release()
    assert text(served.run(f"%warp resume {sid}")) == "one two"
    assert turns(served, sid) == [("live", "complete", "one two")]
    served.run(f"%%warp -s {sid}\nlive", cell=f"{sid}a")
    assert prompts(served, sid) == ["live"]


def test_a_cell_run_again_stops_its_answer_that_is_still_being_made(served, lab, sid):
    model = f"left@{sid}"
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1), Reply(chunks=["anew"]))
    msg = served.start(f"%%warp -s {sid} -m lab:{model}\nlive", cell=f"{sid}a")
    served.until_text(msg, "one ")
    served.restart()
    assert text(served.run(f"%%warp -s {sid} -m lab:{model}\nlive", cell=f"{sid}a")) == "anew"
    assert turns(served, sid) == [("live", "complete", "anew")]
    assert turns(served, sid, 1) == [("live", "stopped", "one ")]
    lab.release()


def test_stop_ends_what_somebody_else_is_being_answered(front, place, lab, sid):
    model = f"stopped@{sid}"
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    front.run(f"{TALK}\nfrom warp_magics import Warp\nimport threading")
    front.run(f"live = Warp().stream('live', session={sid!r}, model='lab:{model}')\nnext(live)")
    assert "was stopped" in front.run(f"%warp stop {sid}").shown[0]["data"]["text/plain"]
    lab.release()
    assert turns(front, sid) == [("live", "stopped", "one ")]
    assert "Nothing is being answered" in front.run(f"%warp stop {sid}").shown[0]["data"]["text/plain"]
