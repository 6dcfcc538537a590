"""An answer that another model goes on with: only what is new comes out, however it is cut into pieces."""

from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway.splice import Splice

TEXT = st.text(alphabet="ab é\n", max_size=30)


def fed(sent, pieces):
    splice = Splice(sent)
    return splice, "".join(splice.feed(piece) for piece in pieces)


@st.composite
def cut(draw, text):
    """`text` in pieces, some of them empty."""
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[one:other] for one, other in zip([0, *at], [*at, len(text)], strict=True)]


@given(TEXT, TEXT, st.data())
def test_of_an_answer_that_begins_as_the_one_before_the_rest_comes_out(sent, rest, data):
    splice, out = fed(sent, data.draw(cut(sent + rest)))
    assert (out, splice.caught_up, splice.diverged) == (rest, True, False)


@given(TEXT, TEXT, st.data())
def test_of_any_other_answer_nothing_comes_out_that_was_not_in_both(sent, answer, data):
    splice, out = fed(sent, data.draw(cut(answer)))
    begins_as = answer.startswith(sent)
    assert splice.caught_up == begins_as
    assert splice.diverged == (not begins_as and not sent.startswith(answer))
    assert out == (answer[len(sent) :] if begins_as else "")


def test_what_has_diverged_stays_so():
    splice, _ = fed("abc", ["ab", "x"])
    assert (splice.feed("c"), splice.diverged, splice.caught_up) == ("", True, False)
