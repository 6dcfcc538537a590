"""{name} in prompts, as docs/contracts/MAGICS.md says."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from warp_magics.grammar import UsageError
from warp_magics.interpolate import REFERENCE, interpolate


class Broken:
    def __str__(self):
        raise KeyError("boom")

    def __getitem__(self, index):
        return 1 / index

    @property
    def lazy(self):
        raise RuntimeError("boom\nmore of it")

    @property
    def lost(self):
        raise AttributeError("gone with the file")


class Own:
    def _repr_llm_(self):
        raise ArithmeticError


NAMES = {
    "broken": Broken(),
    "own": Own(),
    "x": 3,
    "name": "Ada",
    "rows": [[1, 2], {"a b": 7}],
    "df": SimpleNamespace(shape=(3, 4), cols=["p", "q"]),
    "i": 1,
    "In": ["", "1 + 1"],
    "Out": {1: 2},
    "Err": {2: "ValueError: no"},
    "größe": 5,
}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("{x}", "3"),
        ("{name}, {name}!", "Ada, Ada!"),
        ("{df.shape} {df.cols[0]} {df.cols[-1]}", "(3, 4) p q"),
        ("{rows[0][1]} {rows[1]['a b']} {rows[i]}", "2 7 {'a b': 7}"),
        ('{rows[1]["a b"]}', "7"),
        ("{In[1]} = {Out[1]}; {Err[2]}", "1 + 1 = 2; ValueError: no"),
        ("{größe}", "5"),
        ("{{x}}", "{x}"),
        ("{{df.shape}} is {df.shape}", "{df.shape} is (3, 4)"),
        ("costs $5 and {x} costs $6", "costs $5 and 3 costs $6"),
        ("it is $x$ and {x}", "it is $x$ and 3"),
        ("\\alpha {x}", "\\alpha 3"),
        ("file_{x} but {x}", "file_{x} but 3"),
        ("\\frac{x} and {x}", "\\frac{x} and 3"),
        ("```python\nf'{x}'\n```", "```python\nf'3'\n```"),
        ("$5\n\n{x}$", "$5\n\n3$"),
        ("\\{{x}\\}", "\\{3\\}"),
    ],
)
def test_what_is_replaced(text, becomes):
    assert interpolate(text, NAMES) == becomes


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}',
        "{x, y}",
        "{ x }",
        "{x:.2f}",
        "{x!r}",
        "{}",
        "{0}",
        "{{}}",
        '{{"x": {"y": 1}}}',
        "{x + 1}",
        "{f()}",
        "{True} {None} {lambda}",
        "{% if x %}",
        "${x}$",
        "$$\n{x}\n$$",
        "\\({x}\\)",
        "\\[{x}\n{name}\\]",
        "\\frac{x}{name}",
        "\\sum_{i}^{x}",
        "\\text{mean of {x}}{name}",
        "x_{name}",
        "e^{x}",
        "\\begin{x}",
        "$a$ $\\hat{x}$",
    ],
)
def test_what_stays(text):
    assert interpolate(text, NAMES) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{nam}", "no nam. Did you mean name?"),
        ("{zzz}", "no zzz"),
        ("{df.shappe}", "df has no .shappe"),
        ("{rows[9]}", "rows has no [9]"),
        ("{rows[j]}", "{rows[j]}: the notebook has no j."),
        ("{x.y.z}", "x has no .y"),
        ("{Err[7]}", "Err has no [7]"),
        ("{x[0]}", "x has no [0]"),
        ("{rows[²]}", "{rows[²]}: the notebook has no ²."),
        (f"{{rows[{'9' * 5000}]}}", "is no index"),
        ("{broken}", "{broken}: str() of a Broken raised KeyError: 'boom'."),
        ("{broken.lazy}", "{broken.lazy}: broken.lazy raised RuntimeError: boom."),
        ("{broken.lost}", "broken has no .lost (AttributeError: gone with the file)"),
        ("{broken[0]}", "broken[0] raised ZeroDivisionError: division by zero."),
        ("{own}", "{own}: _repr_llm_() of a Own raised ArithmeticError."),
    ],
)
def test_what_does_not_exist_is_named_with_the_way_out(text, said):
    with pytest.raises(UsageError) as caught:
        interpolate(text, NAMES)
    assert said in str(caught.value)
    assert "--raw" in str(caught.value)


@pytest.mark.parametrize("name", ["opn", "ext", "quits", "Inn", "Outt", "get_ipythn", "_secre"])
def test_only_names_of_the_users_are_proposed(name):
    shell = {"In": [], "Out": {}, "exit": 0, "quit": 0, "open": open, "get_ipython": 0, "_secret": 1}
    with pytest.raises(UsageError, match=f"the notebook has no {name}. Write"):
        interpolate(f"{{{name}}}", shell)


def test_an_object_may_say_how_a_model_reads_it():
    class Table:
        def _repr_llm_(self):
            return "a | b"

    assert interpolate("{t}", {"t": Table()}) == "a | b"


PIECES = st.sampled_from(
    ["{", "}", "{{", "}}", "$", "\\", "\\frac", "_", "^", "x", "name", " ", "\n", ":", '"', "[0]", "."]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))


@given(TEXTS)
def test_any_text_without_a_reference_in_braces_stays(text):
    assume(not re.search(rf"\{{{REFERENCE.pattern}\}}", text))
    assert interpolate(text, {}) == text


@given(TEXTS, TEXTS)
def test_a_value_is_never_read_again(value, around):
    assume(not re.search(r"[{}$\\]|[_^]$", around))
    told = interpolate(f"{around} {{v}}{{w}} {around}", {"v": value, "w": "{v}", "name": "no", "x": "no"})
    assert told == f"{around} {value}{{v}} {around}"


@given(TEXTS)
def test_braces_doubled_are_braces(around):
    assume(not re.search(r"[{}$\\]|[_^]$", around))
    assert interpolate(f"{around} {{{{v}}}}", {}) == f"{around} {{v}}"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "a^{b ",
        "\\a{",
        "\\a{{",
        "\\( a",
        "\\[ a\n",
        "$$$ a\\$$ ",
        "{{",
        "{{x",
        "_{}{",
        "\\(\\[$$",
        "$ a",
        "$a ",
        "{x['",
        "\n \t",
    ],
)
def test_what_is_opened_and_never_closed_is_read_once(piece):
    """At a hundred thousand of them a second look at the rest of the text for each would take hours."""
    text = piece * 100_000
    assert interpolate(text, NAMES) == text
