import json
import re
from dataclasses import replace

import mistune
import nbformat
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from tests.gateway.kit import turn
from warp_magics.gateway import wire
from warp_magics.gateway.errors import InvalidRequest
from warp_magics.gateway.exports import export
from warp_magics.gateway.types import Attachment, Call, Result, Session, SessionKey, Source, ToolResult, Usage
from warp_magics.grammar import cell_options

BEGUN = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
SESSION = Session(SessionKey("ada", "orbits"), turns=2, created_at=BEGUN, updated_at=BEGUN + 90, title="Two bodies")


def asked(n, prompt, response, **fields):
    whole = {"model": f"lab:m{n}", "started_at": BEGUN + 60 * n, "usage": Usage(800 + n, 100 + n), **fields}
    return turn(n, prompt, response, **whole)


TURNS = (
    asked(1, "What is $e$?", "The **eccentricity**.", source=Source("cell", "notes/orbits.ipynb", "a1")),
    asked(2, "And for {body}?\n\nIn short.", "0.0167", source=Source("panel")),
)

MARKS = st.sampled_from(
    ["```", "````", "~~~", "`", "\n", "\n\n", "\r", "\r\n", "   ", "  ", "\t", "- ", "1. ", "> ", "# ", "---", "==="]
)
HTML = st.sampled_from(["<!--", "<div>", "<pre>", "<https://a.example>", "$$", "[a]: b", "|", "*", "_", "word", "über"])
CELLS = st.sampled_from(
    ["%%html", "%load", "!ls", "{x}", "{{y}}", ">>> ", "... ", "In [3]: ", "   ...: ", "'''", '"""', "\\", "?"]
)
CONTROLS = st.sampled_from(["\0", "\x1b[31m", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\x9b"])
ROUGH = st.lists(MARKS | HTML | CELLS | CONTROLS, max_size=14).map("".join) | st.text(max_size=20)
"""Texts of what has a meaning for Markdown, for IPython or for a terminal."""


def notebook(turns=TURNS, session=SESSION):
    return nbformat.reads(export(session, turns, "ipynb").data.decode(), as_version=4)


def document(turns=TURNS, session=SESSION):
    return export(session, turns, "md").data.decode()


def asks(source):
    """What IPython hands to ``%%warp`` of a cell: the line and the prompt as the magic reads them."""
    calls = []
    shell = type("Shell", (), {"run_cell_magic": lambda self, *call: calls.append(call)})()
    exec(TransformerManager().transform_cell(source), {"get_ipython": lambda: shell})
    [(name, line, cell)] = calls
    assert name == "warp"
    return line, cell.strip("\n")


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "media_type", "name"),
    [
        ("json", "application/json", "orbits.json"),
        ("md", "text/markdown; charset=utf-8", "orbits.md"),
        ("ipynb", "application/x-ipynb+json", "orbits.ipynb"),
    ],
)
def test_a_file_has_its_type_its_name_and_the_same_bytes_each_time(form, media_type, name):
    file = export(SESSION, TURNS, form)
    assert (file.media_type, file.file_name) == (media_type, name)
    assert file == export(SESSION, list(TURNS), form)


def test_another_form_is_refused_with_those_there_are():
    with pytest.raises(InvalidRequest, match=r"json, md, ipynb, not as 'pdf'"):
        export(SESSION, TURNS, "pdf")


@given(st.text() | st.sampled_from(["..", "../../etc/passwd", '";x="', "a\r\nSet-Cookie: b", "-rf", ".hidden"]))
def test_a_file_name_is_safe_in_a_header_and_on_a_disk(session_id):
    name = export(replace(SESSION, key=SessionKey("ada", session_id)), (), "json").file_name
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.json", name)


@pytest.mark.parametrize("form", ["json", "md", "ipynb"])
def test_a_session_without_turns_and_half_a_character_are_files_too(form):
    assert export(SESSION, (), form).data
    assert export(SESSION, [asked(1, "a\ud800", "b\udfff")], form).data.decode()


# -- JSON ------------------------------------------------------------------------------------------


@given(ROUGH, ROUGH)
def test_json_is_what_rest_tells_of_the_session_and_its_turns(prompt, response):
    turns = [*TURNS, asked(3, prompt, response)]
    told = json.loads(export(SESSION, turns, "json").data)
    assert told["turns"] == [json.loads(wire.json_bytes(wire.turn_json(one))) for one in turns]
    assert told["session"] == json.loads(wire.json_bytes(wire.session_json(SESSION)))


def test_json_is_for_eyes_too():
    text = export(SESSION, [asked(1, "größer?", "ja")], "json").data.decode()
    assert '\n      "prompt": "größer?",\n' in text
    assert text.endswith("}\n")


# -- Markdown --------------------------------------------------------------------------------------


def test_a_document_reads_like_a_conversation():
    assert document() == (
        "# Two bodies\n"
        "\n"
        "*Session orbits, begun 2026-09-21 14:13 UTC, 2 turns*\n"
        "\n---\n\n"
        "> What is $e$?\n"
        "\n"
        "The **eccentricity**.\n"
        "\n"
        "*lab:m1 · 2026-09-21 14:14 UTC · 801+101 tok*\n"
        "\n---\n\n"
        "> And for {body}?\n"
        ">\n"
        "> In short.\n"
        "\n"
        "0.0167\n"
        "\n"
        "*lab:m2 · 2026-09-21 14:15 UTC · 802+102 tok*\n"
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "801+101 tok*"),
        ({"result": Result.MAX_TOKENS}, "801+101 tok · max tokens*"),
        ({"status": "stopped", "result": Result.STOPPED}, "tok · stopped*"),
        (
            {"status": "failed", "error": {"code": "X", "message": "No *model*\nis left."}},
            r"failed: No \*model\* is left.*",
        ),
        ({"model": None, "usage": Usage(), "status": "failed"}, "*2026-09-21 14:14 UTC · failed*"),
    ],
)
def test_what_is_not_complete_says_so(fields, told):
    assert document([asked(1, "p", "", **fields)]).rstrip("\n").endswith(told)


def test_a_tool_call_is_shown():
    turns = [asked(1, "p", "", result=Result.TOOL_CALLS, tool_calls=(Call("c1", "weather", '{"city": "Ulm"}'),))]
    shown = 'Calls the tool weather:\n\n```json\n{"city": "Ulm"}\n```'
    assert shown in document(turns)
    assert notebook(turns).cells[1].outputs[0].data["text/markdown"] == shown


def test_what_went_along_is_shown_and_kept():
    given = {
        "attachments": (
            Attachment("image", "dot.png", "image/png", data="iVBORw0KGgo="),
            Attachment("text", "a_b.txt", text="# Not a heading\n```"),
        ),
        "tool_results": (ToolResult("c1", "21 °C"),),
    }
    turns = [asked(1, "p", "a", **given)]
    text = document(turns)
    assert "> ![dot.png](data:image/png;base64,iVBORw0KGgo=)" in text
    assert "> Result of a tool:\n>\n> ```\n> 21 °C\n> ```" in text
    assert "> ````\n> # Not a heading\n> ```\n> ````" in text
    assert json.loads(export(SESSION, turns, "json").data)["turns"][0]["attachments"][0]["data"] == "iVBORw0KGgo="
    (_, told) = notebook([asked(1, "", "a", **given)]).cells
    assert "21 °C" in told.source


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nprint(1)\n```",
        "# A heading\n\n- one\n- two",
        "1. First:\n   ```bash\n   ls\n   ```\n2. Then:\n    ```\n    cd\n    ```",
        "````md\n```\ninside\n```\n````",
        "~~~\n```\n~~~",
        "```\n    ```\n```",
        "see <https://a.example>\n<https://b.example>",
        "inline ```code``` only",
    ],
)
def test_an_answer_that_stands_by_itself_is_left_as_it_is(answer):
    assert f"\n\n{answer}\n\n*lab:m1" in document([asked(1, "p", answer)])


def test_an_answer_that_broke_off_in_its_code_is_fenced_in():
    assert "\n\n````markdown\nLike so:\n```python\nprint(\n````\n\n*lab:m1" in document(
        [asked(1, "p", "Like so:\n```python\nprint(", status="interrupted")]
    )


@pytest.mark.parametrize(
    "answer",
    ["- a\n   ```\nb\n   ```", "   ```\n    ```", "- ```", "> ```", "<details>", "<!-- a", "~~~\n```", "```\n``"],
)
def test_an_answer_that_may_run_on_is_fenced_in(answer):
    assert re.search(rf"\n\n(`{{3,}})markdown\n{re.escape(answer)}\n\1\n\n\*lab:m1", document([asked(1, "p", answer)]))


def test_nothing_in_a_document_steers_a_terminal():
    shown = document([asked(1, "a\x1b]0;x\x07b\rc", "d\x9be\0\x7f")], replace(SESSION, title="\x1b[2J"))
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert "> a␛]0;x␇b\n> c\n" in shown


def words(node):
    return node.get("raw", "") + "".join(words(one) for one in node.get("children", []))


def blocks(text):
    """The top-level blocks of a document, each with its words."""
    return [(one["type"], words(one)) for one in mistune.create_markdown(renderer="ast")(text)]


@given(ROUGH, ROUGH)
@example("```", "# h\n- a\n   ```\nb\n```")
@example("<!--", "<!--\n\n```\n")
@example("- ```", "> ```\n")
def test_whatever_was_asked_and_answered_the_next_turn_is_a_turn(prompt, answer):
    found = blocks(document([asked(1, prompt, answer), asked(2, "next?", "next!")]))
    ends = [text.partition(" ")[0] for kind, text in found if kind == "paragraph" and " tok" in text]
    assert ends[-2:] == ["lab:m1", "lab:m2"]
    assert [one for one in found if one[0] not in {"blank_line", "thematic_break"}][-3:-1] == [
        ("block_quote", "next?"),
        ("paragraph", "next!"),
    ]


@given(ROUGH)
def test_a_title_is_one_heading_in_its_own_words(title):
    kind, text = blocks(document((), replace(SESSION, title=title)))[0]
    assert kind == "heading"
    assume(title.isprintable() and title.strip())
    assert text.split() == title.split()


# -- a notebook ------------------------------------------------------------------------------------


def test_a_notebook_loads_the_magics_and_asks_each_prompt():
    load, first, second = notebook().cells
    assert load.source == "%load_ext warp_magics"
    assert first.source == "%%warp --session orbits\nWhat is $e$?"
    assert [one.output_type for one in first.outputs] == ["display_data"]
    assert first.outputs[0].data == dict.fromkeys(("text/markdown", "text/plain"), "The **eccentricity**.")
    assert second.source == "%%warp --session orbits --raw\nAnd for {body}?\n\nIn short."


def test_a_notebook_tells_of_each_turn_who_answered_it_and_where_it_was_asked():
    _, first, second = notebook().cells
    assert first.metadata["warp"] == {
        "turn": "t1",
        "n": 1,
        "asked": "2026-09-21T14:14:20.000Z",
        "source": {"notebook": "notes/orbits.ipynb", "cell": "a1"},
    }
    assert "source" not in second.metadata["warp"]
    assert first.outputs[0].metadata["warp"]["model"] == "lab:m1"
    assert first.outputs[0].metadata["warp"]["usage"] == {"input_tokens": 801, "output_tokens": 101}


def test_a_turn_that_failed_has_its_part_and_its_error_and_may_have_no_answer():
    failed = asked(1, "p", "par", status="interrupted", error={"code": "BROKEN", "message": "It broke off."})
    part, error = notebook([failed]).cells[1].outputs
    assert part.data["text/plain"] == "par"
    assert (error.ename, error.evalue) == ("BROKEN", "It broke off.")
    assert notebook([asked(1, "p", "", status="stopped")]).cells[1].outputs == []


def test_a_turn_without_a_prompt_is_text():
    cell = notebook([asked(1, " \n", "Sunny.")]).cells[1]
    assert (cell.cell_type, cell.source) == ("markdown", "Sunny.")


def test_a_session_that_looks_like_an_option_is_a_session():
    line, _ = asks(notebook([asked(1, "p", "a")], replace(SESSION, key=SessionKey("ada", "-t"))).cells[1].source)
    assert cell_options(line).session == "-t"


@given(ROUGH, ROUGH)
def test_a_notebook_is_valid_and_saved_as_it_was(prompt, answer):
    turns = [
        asked(4, prompt, answer),
        asked(9, answer, prompt, status="failed", error={"code": "X", "message": prompt}),
    ]
    text = export(SESSION, turns, "ipynb").data.decode()
    found = nbformat.reads(text, as_version=4)
    nbformat.validate(found, relax_add_props=False)
    assert nbformat.writes(found) + "\n" == text
    assert [cell.id for cell in found.cells] == ["load", "turn-4", "turn-9"]


@given(ROUGH)
@example("why?\n>>> 1/0\n... 2\n'''\n>>> 3")
@example("In [3]: x")
@example("%%html\n<b>")
@example("a\rb\r\nc\r")
@example("   ...: y")
@example("def f():\n    \n    pass")
def test_a_notebook_that_is_run_asks_the_same(prompt):
    assume(prompt.strip())
    line, heard = asks(notebook([asked(1, prompt, "a")]).cells[1].source)
    assert heard == prompt.strip("\n")
    options, _, raw = line.partition(" --raw")
    assert (" --raw" in line, raw) == ("{" in prompt, "")
    assert cell_options(options).session == "orbits"


@given(ROUGH)
def test_a_notebook_shows_the_answer_as_it_came(answer):
    assume(answer)
    data = notebook([asked(1, "p", answer)]).cells[1].outputs[0].data
    assert data == {"text/markdown": answer, "text/plain": answer}
