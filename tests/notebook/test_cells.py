"""`%%warp` and `%warp` in a real kernel, as a front end sees them."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from unittest.mock import ANY

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.fakes.provider import Reply, refused_url
from tests.notebook.kernel import KEY, Kernel, home

pytestmark = pytest.mark.slow

numbers = itertools.count()
WORDS = [f"word{n} " for n in range(120)]


def fresh(behaviour: str = "ok") -> str:
    """A model nobody else asks."""
    return f"{behaviour}@cell{next(numbers)}"


def plain(shown: dict) -> str:
    return shown["data"]["text/plain"]


def when(message: dict) -> float:
    date = message["header"]["date"]
    return (date if isinstance(date, datetime) else datetime.fromisoformat(date)).timestamp()


def failed(ran, name: str, *said: str) -> None:
    """It raised, in one line, with nothing of ours to read but the sentence."""
    assert ran.status == "error"
    assert ran.reply["ename"] == ran.error["ename"] == name
    assert len(ran.reply["traceback"]) <= 2  # what happened, and what to do
    assert ran.reply["traceback"] == ran.error["traceback"]
    assert ran.reply["traceback"][0].startswith(f"{name}: ")
    for word in said:
        assert word in ran.reply["evalue"]
    assert "warp_magics" not in ran.everything
    assert KEY not in ran.everything


# -- an answer -------------------------------------------------------------------------------------


def test_an_answer_is_one_output_that_grows_then_the_route(kernel, lab):
    model = fresh()
    lab.script(model, Reply(chunks=WORDS, delay=0.005))
    ran = kernel.run(f"%%warp --session grows --model lab:{model}\nhello")
    first, *updates, route = ran.displays
    assert first["msg_type"] == "display_data"
    display_id = first["content"]["transient"]["display_id"]
    assert {m["msg_type"] for m in updates} == {"update_display_data"}
    assert {m["content"]["transient"]["display_id"] for m in updates} == {display_id}
    texts = [plain(m["content"]) for m in (first, *updates)]
    assert all("".join(WORDS).startswith(text) for text in texts)
    assert texts == sorted(texts, key=len)
    assert len(texts) > 3, "it did not grow"
    times = [when(m) for m in (first, *updates)]
    assert len(texts) <= 20 * (times[-1] - times[0]) + 3  # the first, the last and what the clock's grain gives
    last = updates[-1]["content"]
    assert last["data"] == {"text/markdown": "".join(WORDS), "text/plain": "".join(WORDS)}
    told = last["metadata"]["warp"]
    assert (told["model"], told["result"], told["session"]) == (f"lab:{model}", "COMPLETE", "grows")
    assert told["route"][0]["outcome"] == "ok"
    assert told["usage"] == {"input_tokens": 1, "output_tokens": 120}
    assert route["msg_type"] == "display_data"
    assert "display_id" not in route["content"].get("transient", {})
    assert set(route["content"]["data"]) == {"text/html", "text/plain"}
    assert plain(route["content"]).startswith(f"lab:{model} · first token ")
    assert "1+120 tok" in plain(route["content"])
    assert [m["msg_type"] for m in ran.messages if m["msg_type"] in ("execute_result", "stream")] == []


def test_what_came_is_seen_while_the_next_word_is_waited_for(kernel, lab):
    cell = kernel.start(f"%%warp -m lab:{fresh('silent-4')}\nhello you")
    kernel.until_text(cell, "You said 'hello you'")
    lab.wait_until(lambda: lab.release() or lab.requests[-1].ended_at)
    assert plain(kernel.wait(cell).shown[0]) == "You said 'hello you' in message 1."


@pytest.mark.parametrize("how", ["option", "variable"])
def test_an_answer_in_one_piece(kernel, lab, how):
    model = fresh()
    lab.script(model, Reply(chunks=WORDS, delay=0.002))
    if how == "variable":
        kernel.run("import os\nos.environ['WARP_STREAM'] = '0'")
    ran = kernel.run(f"%%warp -m lab:{model} {'--no-stream' if how == 'option' else ''}\nhello")
    kernel.run("import os\nos.environ.pop('WARP_STREAM', None)")
    answer, route = ran.displays
    assert answer["msg_type"] == route["msg_type"] == "display_data"
    assert not answer["content"].get("transient", {}).get("display_id")
    assert plain(answer["content"]) == "".join(WORDS)
    assert answer["content"]["metadata"]["warp"]["model"] == f"lab:{model}"


def test_an_empty_route_line_can_be_chosen(kernel):
    kernel.run("%config WarpMagics.route_line = False")
    try:
        ran = kernel.run("%%warp -m lab:ok\nhello")
    finally:
        kernel.run("%config WarpMagics.route_line = True")
    assert len(ran.shown) == 1
    assert ran.displays[-1]["content"]["metadata"]["warp"]["model"] == "lab:ok"


def test_the_profile_can_hide_the_route_line(place):
    with Kernel(place.profile("c.WarpMagics.route_line = False")) as its:
        assert len(its.run("%%warp -m lab:ok\nhello").shown) == 1


def test_the_magic_returns_nothing_and_out_binds_the_reply(kernel):
    assert kernel.value("get_ipython().run_cell_magic('warp', '--no-stream', 'hello')") is None
    ran = kernel.run("%%warp -o answer -s bound\nhello")
    assert not [m for m in ran.messages if m["msg_type"] == "execute_result"]
    fields = "type(answer).__name__, str(answer), answer.model, answer.session, answer.usage.output_tokens"
    said = "You said 'hello' in message 1."
    assert kernel.value(f"({fields})") == ("Reply", said, "lab:ok", "bound", 6)
    assert kernel.value("(answer.cost, answer.result, answer.route[0].outcome, answer.warnings)") == (
        None, "COMPLETE", "ok", (),
    )  # fmt: skip
    (shown,) = kernel.run("answer").shown
    assert shown["data"]["text/markdown"] == said


# -- what reaches the provider ---------------------------------------------------------------------


def test_the_options_reach_the_provider(kernel, lab):
    model = fresh()
    kernel.run(f"%%warp --model lab:{model} --temperature 0 --max-tokens 7 --context 'Be brief.'\nhello")
    (call,) = lab.calls(model)
    assert call.body["temperature"] == 0
    assert 7 in (call.body.get("max_tokens"), call.body.get("max_completion_tokens"))
    assert call.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert call.key == KEY


def test_what_is_not_said_is_not_sent(kernel, lab):
    model = fresh()
    kernel.run(f"%%warp -m lab:{model}\nhello")
    body = lab.calls(model)[0].body
    assert not {"temperature", "max_tokens", "max_completion_tokens", "top_p", "seed", "stop"} & set(body)
    assert body["messages"] == [{"role": "user", "content": "hello"}]


def test_what_is_no_name_in_braces_arrives_as_it_is(kernel, lab):
    model = fresh()
    prompt = 'Fix {"a": [$x, {1}]} and f"{x!r:>8}"\n\n  \\frac{1}{2} %d %% $HOME\n    indented'
    kernel.run("x = 'REPLACED'")
    kernel.run(f"%%warp -m lab:{model} --context '{{x}} and $x' -s {{x}}\n{prompt}", ok=False)
    kernel.run(f"%%warp -m lab:{model} --context '{{x}} and $x'\n\n{prompt}\n\n")
    (call,) = lab.calls(model)  # "{x}" is no name of a session
    assert [m["content"] for m in call.messages] == ["{x} and $x", prompt]


def test_a_fallback_chain_is_told(kernel, lab):
    first, second = fresh("fail-503"), fresh()
    ran = kernel.run(f"%%warp -m lab:{first} -m lab:{second}\nhello")
    assert f"lab:{second} · fell back from lab:{first} (503, back in " in plain(ran.shown[-1])
    assert [one["outcome"] for one in ran.shown[0]["metadata"]["warp"]["route"]][-1] == "ok"


# -- the conversation ------------------------------------------------------------------------------


def test_a_second_cell_sees_the_first(kernel, lab):
    model = fresh()
    for prompt in ("one", "two", "three"):
        kernel.run(f"%%warp -s seen -m lab:{model}\n{prompt}")
    last = lab.calls(model)[-1]
    assert [m["role"] for m in last.messages] == ["user", "assistant"] * 2 + ["user"]
    assert [m["content"] for m in last.messages][::2] == ["one", "two", "three"]


def test_use_chooses_the_session_of_cells_that_name_none(kernel, lab):
    model = fresh()
    kernel.run(f"%%warp -m lab:{model}\nalone")
    assert "chosen" in plain(kernel.run("%warp use chosen").shown[0])
    try:
        for prompt in ("one", "two"):
            kernel.run(f"%%warp -m lab:{model}\n{prompt}")
        kernel.run(f"%%warp -m lab:{model} -s other\nelsewhere")
        assert [len(call.messages) for call in lab.calls(model)] == [1, 1, 3, 1]
        told = plain(kernel.run("%warp history").shown[0])
        assert "chosen" in told
        assert "two" in told
        assert "elsewhere" not in told
        assert "chosen" in plain(kernel.run("%warp").shown[0])
    finally:
        kernel.run(
            "[m for m in get_ipython().configurables if type(m).__name__ == 'WarpMagics'][-1].cells.session = None"
        )


def test_a_turn_knows_its_cell(kernel):
    kernel.run("%%warp -s sourced\nhello", cell="cell-id-1")
    kernel.run("import os\nos.environ['JPY_SESSION_NAME'] = '/home/me/n.ipynb'")
    kernel.run("%%warp -s sourced\nhello", cell="cell-id-2")
    kernel.run("os.environ.pop('JPY_SESSION_NAME')\n__vsc_ipynb_file__ = '/home/me/v.ipynb'")
    kernel.run("%%warp -s sourced\nhello")
    kernel.run("del __vsc_ipynb_file__\nfrom warp_magics.connect import connection\nat = connection()")
    turns = "at.portal.call(lambda: at.gateway.history(at.owner, 'sourced'))"
    found = kernel.value(f"[(t.source.kind, t.source.notebook, t.source.cell) for t in {turns}]")
    assert found == [
        ("cell", None, "cell-id-1"), ("cell", "/home/me/n.ipynb", "cell-id-2"), ("cell", "/home/me/v.ipynb", ANY),
    ]  # fmt: skip
    assert found[2][2].startswith("text-")


def test_two_kernels_share_a_session_and_a_restart_keeps_it(place, lab, kernel):
    model = fresh()
    kernel.run(f"%%warp -s shared -m lab:{model}\nfrom the first")
    with Kernel(place) as other:
        assert "You said 'from the first'" in plain(other.run("%warp history shared").shown[0])
        other.run(f"%%warp -s shared -m lab:{model}\nfrom the second")
        other.restart()
        other.run(f"%%warp -s shared -m lab:{model}\nafter a restart")
    kernel.run(f"%%warp -s shared -m lab:{model}\nfrom the first again")
    asked = [m["content"] for m in lab.calls(model)[-1].messages if m["role"] == "user"]
    assert asked == ["from the first", "from the second", "after a restart", "from the first again"]


def test_a_kernel_that_is_killed_loses_nothing(place, lab):
    model = fresh()
    with Kernel(place) as its:
        its.run(f"%%warp -s killed -m lab:{model}\nbefore")
        its.restart()  # at once, without a farewell
        assert "before" in plain(its.run("%warp history killed").shown[0])


# -- errors ----------------------------------------------------------------------------------------

WRONG = {
    "unknown option": ("%%warp --modle x\nhi", "UsageError", ("--modle", "--model")),
    "value missing": ("%%warp --model\nhi", "UsageError", ("model",)),
    "not a number": ("%%warp -t hot\nhi", "UsageError", ("hot",)),
    "open quote": ('%%warp -c "open\nhi', "UsageError", ("quot",)),
    "empty prompt": ("%%warp\n   \n\n", "InvalidRequest", ("empty",)),
    "unknown model": ("%%warp -m lbo:ok\nhi", "UnknownModel", ("lbo", "lab:ok")),
    "bare model": ("%%warp -m nothing\nhi", "UnknownModel", ("nothing", "provider:model")),
    "bad session": ("%%warp -s 'a b'\nhi", "InvalidSessionId", ("a b",)),
    "unknown sub-command": ("%warp sesions", "UsageError", ("sesions", "sessions")),
    "too many words": ("%warp use a b", "UsageError", ("'b'",)),
    "use alone": ("%warp use", "UsageError", ("use",)),
    "use badly": ("%warp use a/b", "InvalidSessionId", ("a/b",)),
    "no such session": ("%warp history nowhere-to-be-found", "SessionNotFound", ("nowhere-to-be-found",)),
    "no session": ("%warp history", "UsageError", ("%warp use",)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_before_anything_is_sent(kernel, lab, kind):
    code, name, said = WRONG[kind]
    before = len(lab.requests)
    ran = kernel.run(code, ok=False)
    failed(ran, name, *said)
    assert ran.displays == []
    assert len(lab.requests) == before


@pytest.mark.parametrize(("behaviour", "name"), [("fail-401", "AccessRefused"), ("fail-400", "RequestRefused")])
def test_a_providers_refusal_is_raised_without_the_key(kernel, behaviour, name):
    ran = kernel.run(f"%%warp -s refused -m lab:{fresh(behaviour)}\nhello", ok=False)
    failed(ran, name)
    assert ran.displays == []
    shown = kernel.run("%warp history refused")
    assert KEY not in shown.everything
    assert "failed" in plain(shown.shown[0])


def test_the_part_answered_stays_when_the_provider_cuts(kernel):
    ran = kernel.run(f"%%warp -s cut -m lab:{fresh('cut-3')} -o never\nhello", ok=False)
    failed(ran, "StreamBroken")
    (part,) = ran.shown
    assert plain(part) == "You said 'hello'"
    assert part["metadata"]["warp"]["result"].startswith("INCOMPLETE")
    assert kernel.value("'never' in globals()") is False
    assert "[interrupted" in plain(kernel.run("%warp history cut").shown[0])


def test_no_stream_shows_the_part_answered_too(kernel):
    ran = kernel.run(f"%%warp --no-stream -m lab:{fresh('cut-3')}\nhello", ok=False)
    failed(ran, "StreamBroken")
    assert [plain(m["content"]) for m in ran.displays] == ["You said 'hello'"]


def test_a_provider_that_is_not_there(lab):
    class Nowhere:
        base_url = refused_url()

    with home(Nowhere) as place, Kernel(place) as its:
        failed(its.run("%%warp\nhello", ok=False), "ProviderUnreachable")


def test_a_configuration_that_is_wrong_and_then_mended(lab):
    with home(lab, extra='\n[restore]\nquota = "1 moon"\n') as place, Kernel(place) as its:
        failed(its.run("%%warp\nhello", ok=False), "ConfigError", "restore.quota", "1 moon", "warp.toml")
        failed(its.run("%warp", ok=False), "ConfigError", "restore.quota")
        place.config.write_text(place.config.read_text("utf-8").replace("1 moon", "1h"), "utf-8")
        assert its.run("%%warp\nhello").status == "ok"


def test_a_warning_of_the_configuration_is_shown_once(lab):
    with home(lab) as place:
        place.config.write_text(place.config.read_text("utf-8").replace("${LAB_API_KEY}", KEY), "utf-8")
        with Kernel(place) as its:
            said = [its.run(code).stream("stderr") for code in ("%%warp\nhello", "%%warp\nhello", "%warp")]
            assert "api_key" in said[0]
            assert said[1:] == ["", ""]
            assert KEY not in str(its.messages)


def test_without_a_model_the_demo_answers_and_says_so(lab):
    with home(lab) as place:
        place.config.write_text("", "utf-8")
        with Kernel(place) as its:
            ran = its.run("%%warp\nhello")
            assert "demo provider" in plain(ran.shown[0])
            assert "demo" in plain(ran.shown[1])
            assert "OPENAI_API_KEY" in plain(its.run("%warp").shown[0])


def test_leaving_and_loading_again(lab):
    with home(lab) as place, Kernel(place) as its:
        assert its.run("%%warp -s again\nhello").status == "ok"
        assert its.run("%reload_ext warp_magics\n%unload_ext warp_magics\n%load_ext warp_magics").status == "ok"
        assert "message 3" in plain(its.run("%%warp -s again\nhello").shown[0])
        names = its.value("[t.name for t in __import__('threading').enumerate()]")
        assert names.count("warp-gateway") == 1


# -- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sessions",
        "sessions tabled",
        "history tabled",
        "tree tabled",
        "models",
        "usage",
        "usage day",
        "config",
        "help",
    ],
)
def test_a_sub_command_returns_a_table(kernel, line):
    long = "A rather long prompt, with <b>markup</b> in it, that no terminal shows in one line of eighty columns."
    kernel.run(f"%%warp -s tabled\n{long}")
    ran = kernel.run(f"%warp {line}")
    (shown,) = ran.displays
    assert shown["msg_type"] == "execute_result"
    assert set(shown["content"]["data"]) == {"text/html", "text/plain"}
    text, html = plain(shown["content"]), shown["content"]["data"]["text/html"]
    if line:  # the overview's head holds a path of any length
        assert max(map(len, text.splitlines())) <= 80
    assert "<table" in html
    assert "<b>markup" not in html
    assert not ran.stream()
    assert not ran.stream("stderr")


def test_the_tables_tell(kernel, place):
    kernel.run("%%warp -s told\nhello")
    overview = plain(kernel.run("%warp").shown[0])
    assert str(place.config) in overview
    assert "embedded" in overview
    assert "lab:ok" in overview
    assert "told" in plain(kernel.run("%warp sessions told").shown[0])
    assert "told" not in plain(kernel.run("%warp sessions nobody-has-this").shown[0])
    history = plain(kernel.run("%warp history told").shown[0])
    assert "You said 'hello'" in history
    assert "just now" in history
    assert "ready" in plain(kernel.run("%warp models").shown[0])
    assert "%warp fork ID" in plain(kernel.run("%warp help").shown[0])
    assert kernel.value("type(get_ipython().run_line_magic('warp', 'models')).__name__") == "Table"


def test_a_model_that_cools_is_told(kernel):
    model = fresh("fail-429-retry-after-30")
    kernel.run(f"%%warp -m lab:{model} -m lab:ok\nhello")
    ran = kernel.run(f"%%warp -m lab:{model} -m lab:ok\nhello")
    assert f"fell back from lab:{model} (" in plain(ran.shown[-1])


# -- a notebook ------------------------------------------------------------------------------------


def notebook(*cells: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def run_all(place, monkeypatch, *cells: str) -> tuple[nbformat.NotebookNode, CellExecutionError | None]:
    for name, said in place.env.items():
        monkeypatch.setenv(name, said)
    made = notebook("%load_ext warp_magics", *cells)
    try:
        NotebookClient(made, kernel_name="python3", timeout=60).execute(cwd=str(place.root))
    except CellExecutionError as error:
        return made, error
    return made, None


def test_run_all_stops_at_a_cell_that_fails(place, monkeypatch, lab):
    model = fresh()
    cells = (
        f"%%warp -s all -m lab:{model}\nfirst",
        f"%%warp -m lab:{fresh('cut-2')}\nbreaks",
        f"%%warp -m lab:{model}\nlast",
    )
    made, error = run_all(place, monkeypatch, *cells)
    assert error is not None
    assert error.ename == "StreamBroken"
    outputs = [cell.outputs for cell in made.cells]
    assert [one.output_type for one in outputs[1]] == ["display_data", "display_data"]
    assert outputs[1][0].data["text/markdown"] == "You said 'first' in message 1."
    assert outputs[1][0].metadata["warp"]["model"] == f"lab:{model}"
    assert [one.output_type for one in outputs[2]] == ["display_data", "error"]
    assert outputs[3] == []
    assert len(lab.calls(model)) == 1
    nbformat.validate(made)
    assert KEY not in json.dumps(made)


def test_a_notebook_is_the_same_without_streaming(place, monkeypatch):
    both = []
    for stream in ("1", "0"):
        made, error = run_all(place.also(WARP_STREAM=stream), monkeypatch, "%%warp -m lab:ok\nhello")
        assert error is None
        both.append([dict(one.data).get("text/markdown") for one in made.cells[1].outputs])
    assert both[0] == both[1]
