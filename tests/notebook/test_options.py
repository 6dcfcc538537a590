"""The options of `%%warp` in a real kernel, with a gateway of its own and with its server's."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.fakes.provider import Reply

pytestmark = pytest.mark.slow

numbers = itertools.count()


@pytest.fixture
def model() -> str:
    """A model that nobody else asks."""
    return f"ok-{next(numbers)}-option"


def data(ran):
    """What the first output holds."""
    return ran.shown[0]["data"]


def asked(lab, model):
    """The messages of the one call, but for those before the last."""
    (call,) = lab.calls(model)
    return [(m["role"], m["content"]) for m in call.messages]


# -- replacing -------------------------------------------------------------------------------------


def test_names_in_braces_are_replaced_once(front, lab, model):
    front.run("class A:\n    shape = (2, 3)\ndf, rows, text = A(), [5, 6], '{df} {{rows}}'")
    front.run("1 + 1", store_history=True)
    front.run(f"%%warp -m lab:{model}\n{{df.shape}} {{rows[1]}} {{text}} {{{{rows}}}} {{'a'}} $x_{{rows}}$")
    assert asked(lab, model) == [("user", "(2, 3) 6 {df} {{rows}} {rows} {'a'} $x_{rows}$")]


def test_cells_outputs_and_errors_by_their_numbers(front, lab, model):
    front.run("6 * 7")
    front.run("1 / 0", ok=False)
    count = int(front.value("list(Out)[-1]"))
    front.run(f"%%warp -m lab:{model}\n{{In[{count}]}} = {{Out[{count}]}}; {{Err[{count + 1}]}}")
    ((_, prompt),) = asked(lab, model)
    assert prompt.startswith("6 * 7 = 42; Traceback")
    assert prompt.rstrip().endswith("ZeroDivisionError: division by zero")


def test_a_name_that_does_not_exist_is_an_error_before_anything_is_sent(front, lab, model):
    front.run("frame = 1")
    ran = front.run(f"%%warp -m lab:{model}\nsee {{frme}}", ok=False)
    assert ran.error["ename"] == "UsageError"
    for word in ("frme", "frame", "--raw"):
        assert word in ran.error["evalue"]
    assert lab.calls(model) == []
    front.run(f"%%warp -m lab:{model} --raw\nsee {{frme}}")
    assert asked(lab, model) == [("user", "see {frme}")]


def test_context_from_a_variable(front, lab, model):
    front.run("rules = 'Be {brief}.'")
    front.run(f"%%warp -m lab:{model} -c @rules\nhi")
    assert asked(lab, model) == [("system", "Be {brief}."), ("user", "hi")]
    assert "no rulez" in front.run("%%warp -c @rulez\nhi", ok=False).error["evalue"]


def test_parameters_are_sent(front, lab, model):
    front.run(f"%%warp -m lab:{model} -t 0 --max-tokens 9 --top-p 0.5 --seed 7 --stop END --stop FIN\nhi")
    (call,) = lab.calls(model)
    assert {call.body.get("temperature"), call.body.get("top_p"), call.body.get("seed")} == {0, 0.5, 7}
    assert call.body["stop"] == ["END", "FIN"]
    assert 9 in (call.body.get("max_tokens"), call.body.get("max_completion_tokens"))


def test_a_time_out(front):
    ran = front.run(f"%%warp -m lab:silent-1@t{next(numbers)} --timeout 0.2\nhi", ok=False)
    assert ran.error["ename"] == "TotalTimeout"
    assert "0.2 s" in ran.error["evalue"]


# -- formats ---------------------------------------------------------------------------------------


def test_text(front, lab, model):
    lab.script(model, Reply(chunks=["**a**"]))
    assert data(front.run(f"%%warp -m lab:{model} -f text\nhi")) == {"text/plain": "**a**"}


def test_json_is_parsed_and_what_is_none_raises(front, lab, model):
    lab.script(model, Reply(chunks=["```json\n", '{"a": [1]}', "\n```"]), Reply(chunks=["Sure!"]))
    ran = front.run(f"%%warp -m lab:{model} -f json -o r\nhi")
    assert data(ran)["application/json"] == {"a": [1]}
    assert front.value("(r.value, r.json(), r.text)") == ({"a": [1]}, {"a": [1]}, '```json\n{"a": [1]}\n```')
    assert "JSON" in dict(asked_first(lab, model))["system"]
    ran = front.run(f"%%warp -m lab:{model} -f json\nhi", ok=False)
    assert data(ran) == {"text/plain": "Sure!"}
    assert ran.error["ename"] == "NotJson"


def asked_first(lab, model):
    return [(m["role"], m["content"]) for m in lab.calls(model)[0].messages]


def test_html_is_shut_in_a_frame(front, lab, model):
    lab.script(model, Reply(chunks=["<h1>Hi</h1>", "<script>x</script>"]))
    shown = data(front.run(f"%%warp -m lab:{model} -f html\nhi"))["text/html"]
    assert shown.startswith('<iframe sandbox=""')
    assert "<script>" not in shown


def test_math(front, lab, model):
    lab.script(model, Reply(chunks=["E = ", "mc^2"]))
    assert data(front.run(f"%%warp -m lab:{model} -f math\nhi"))["text/latex"] == "$$E = mc^2$$"


def next_input(ran):
    return [one for one in ran.reply["payload"] if one["source"] == "set_next_input"]


def test_code_goes_into_the_next_cell(front, lab, model):
    lab.script(model, Reply(chunks=["So:\n```python\nx = 1\n", "```\nDone."]))
    ran = front.run(f"%%warp -m lab:{model} -f code\nhi")
    assert next_input(ran) == [{"source": "set_next_input", "text": "x = 1", "replace": False}]
    assert data(ran)["text/markdown"].startswith("So:")


@pytest.mark.parametrize("said", ["2", None])
def test_of_several_blocks_it_asks_which_where_it_can(front, lab, model, said):
    lab.script(model, Reply(chunks=["```\na\n```\nor\n```\nb\n```"]))
    code = f"%%warp -m lab:{model} -f code\nhi"
    if said is None:
        assert next_input(front.run(code))[0]["text"] == "a"
        return
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    msg = front.send("execute_request", content)
    request = front.client.stdin_channel.get_msg(timeout=20)
    assert "1 to 2" in request["content"]["prompt"]
    front.client.input(said)
    assert next_input(front.wait(msg))[0]["text"] == "b"


# -- attachments, schemas, dry runs ----------------------------------------------------------------

FRAME = "import pandas as pd\nframe = pd.DataFrame({'city': ['Paris', 'Rome'], 'people': [2.1, 2.8]})"
FIGURE = "from matplotlib.figure import Figure\nfig = Figure()\n_ = fig.subplots().plot([1, 2])"


def test_data_figures_files_and_exceptions_go_along(front, lab, model, tmp_path):
    (tmp_path / "notes.md").write_text("remember the milk")
    front.run(f"{FRAME}\n{FIGURE}\ntry:\n    {{}}['gone']\nexcept KeyError as e:\n    failure = e")
    front.run(f"%%warp -m lab:{model} -a frame -a fig -a failure -a {tmp_path}/notes.md -s along-{model}\nlook")
    (call,) = lab.calls(model)
    (message,) = call.messages
    text, image = message["content"]
    for part in ("pandas DataFrame: 2 rows", "Paris,2.1", "KeyError: 'gone'", "remember the milk", "look"):
        assert part in text["text"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing_like_it", "--attach nothing_like_it: the notebook has no nothing_like_it"),
        ("gone.csv", "--attach gone.csv: the notebook has no gone"),
        ("no/such.csv", "No such file"),
        ("thing", "a object is nothing"),
    ],
)
def test_what_cannot_go_along_is_named(front, lab, model, name, said):
    front.run("thing = object()")
    ran = front.run(f"%%warp -m lab:{model} -a {name}\nlook", ok=False)
    assert ran.error["ename"] == "UsageError"
    assert said in ran.error["evalue"]
    assert "--raw" not in ran.error["evalue"]
    assert lab.calls(model) == []


def test_a_model_that_takes_no_images_says_so(front, lab, model):
    lab.script(model, Reply.failing(400, "Invalid content type. image_url is only supported by certain models."))
    front.run(FIGURE)
    ran = front.run(f"%%warp -m lab:{model} -a fig\nlook", ok=False)
    assert "image_url is only supported by certain models" in ran.error["evalue"]
    assert "not every model takes images" in ran.error["evalue"]


CITY = "from pydantic import BaseModel\nclass City(BaseModel):\n    name: str\n    people: float"


def test_a_schema_gives_an_instance(front, lab, model):
    lab.script(model, Reply(chunks=['{"name": "Paris", ', '"people": 2.1}']))
    front.run(CITY)
    front.run(f"%%warp -m lab:{model} --schema City -o reply\nname one")
    assert front.value("(type(reply.value).__name__, reply.value.name)") == ("City", "Paris")
    (call,) = lab.calls(model)
    assert "people" in json.dumps(call.body["response_format"])


def test_what_does_not_fit_is_asked_for_once_more_in_the_same_place(front, lab, model):
    lab.script(model, Reply(chunks=['{"name": "Paris"}']), Reply(chunks=['{"name": "P", "people": 2}']))
    front.run(CITY)
    ran = front.run(f"%%warp -m lab:{model} --schema City -o reply -s schema-{model}\nname one", cell=model)
    assert front.value("reply.value.people") == 2.0
    assert data(ran)["application/json"] == {"name": "P", "people": 2}
    assert "asked once more" in ran.shown[-1]["data"]["text/plain"]
    first, second = lab.calls(model)
    assert "Field required" in second.messages[0]["content"]
    assert [m["content"] for m in second.messages[1:]] == [m["content"] for m in first.messages] == ["name one"]
    history = front.run(f"%warp history schema-{model}").shown[0]["data"]["text/plain"]
    assert history.count("name one") == 1


def test_what_does_not_fit_twice_raises_and_names_the_field(front, lab, model):
    lab.script(model, Reply(chunks=["no JSON at all"]))
    front.run(CITY)
    ran = front.run(f"%%warp -m lab:{model} --schema City\nname one", ok=False)
    assert ran.error["ename"] == "Misfit"
    assert "not one whole JSON value" in ran.error["evalue"]
    assert len(lab.calls(model)) == 2
    assert "Citty" in front.run("%%warp --schema Citty\nx", ok=False).error["evalue"]


def test_dry_shows_what_would_be_sent_and_sends_nothing(front, lab, model):
    front.run(FRAME)
    front.run(f"%%warp -s dry-{model} -m lab:{model}\none", cell=f"{model}1")
    calls = len(lab.requests)
    ran = front.run(f"%%warp -s dry-{model} -m lab:{model} -a frame -c Brief. --dry\ntwo {{frame.shape}}", cell="d")
    text = data(ran)["text/plain"]
    for part in ("Nothing was sent", f"lab:{model}", "tokens", "Brief.", "one", "Paris", "two (2, 2)"):
        assert part in text
    assert "<table" in data(ran)["text/html"]
    assert len(lab.requests) == calls
    assert "two" not in front.run(f"%warp history dry-{model}").shown[0]["data"]["text/plain"]


# -- help and Tab ----------------------------------------------------------------------------------


def test_question_mark_shows_the_options(front):
    told = front.run("%%warp?").reply["payload"][0]["data"]["text/plain"]
    for word in ("--session ID", "--attach NAME", "--dry"):
        assert word in told


def completions(kernel, line, body=""):
    content = {"code": line + body, "cursor_pos": len(line)}
    msg = kernel.send("complete_request", content)
    kernel.until(lambda: kernel.reply(msg))
    told = kernel.reply(msg)["content"]
    return [line[: told["cursor_start"]].split(" ")[-1].removesuffix("\n") + one for one in told["matches"]]


def test_tab_completes_through_the_kernel(front):
    front.run("%%warp -s completed\nhi")
    front.run("frame_one, frame_two = 1, 2")
    body = "\nsome {prompt}"
    assert completions(front, "%%warp --se", body) == ["--seed", "--session"]
    assert "completed" in completions(front, "%%warp --session comp", body)
    assert completions(front, "%%warp -a frame_", body) == ["frame_one", "frame_two"]
    assert completions(front, "%%warp -f m", body) == ["markdown", "math"]
    found = completions(front, "%%warp -m lab:o", body)
    assert found
    assert all(one.startswith("lab:ok") for one in found)
    assert completions(front, "%warp his") == ["history"]
    assert "completed" in completions(front, "%warp history comp")
    assert completions(front, "%warp config route") == ["route_line"]
    assert completions(front, "%%warp -s completed\nlook at {frame_") == ["{frame_one", "{frame_two"]
    assert "bit_length" in str(completions(front, "%%warp\nlook at {frame_one.bit_"))
