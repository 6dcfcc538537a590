"""What a cell says of the router's conduct: the cache, and an answer that breaks off."""

import pytest

from tests.fakes.provider import FakeProvider
from tests.notebook.kernel import Kernel, home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fake():
    with FakeProvider.in_thread() as provider:
        yield provider


@pytest.fixture(scope="module")
def kernel(fake):
    with home(fake, extra="[cache]\nenabled = true\n") as place, Kernel(place) as running:
        yield running


def line_of(ran):
    """The route line."""
    return next(one["data"]["text/plain"] for one in ran.shown if "text/html" in one["data"])


def text_of(ran):
    return next(one["data"]["text/markdown"] for one in ran.shown if "text/markdown" in one["data"])


def test_a_cell_run_again_wants_a_new_answer_unless_it_says_otherwise(fake, kernel):
    asked = "%%warp\nhow many?"
    first = kernel.run(asked, cell="c1")
    assert "from the cache" not in line_of(first)
    other = kernel.run(asked, cell="c2")
    assert "from the cache" in line_of(other)
    assert "$0.0000" in line_of(other)
    assert text_of(other) == text_of(first)
    assert len(fake.requests) == 1
    again = kernel.run(asked, cell="c1")
    assert "from the cache" not in line_of(again)
    assert len(fake.requests) == 2
    assert "from the cache" in line_of(kernel.run("%%warp --cache\nhow many?", cell="c1"))
    assert len(fake.requests) == 2


def test_an_answer_that_breaks_off_is_begun_anew_on_the_screen(kernel):
    ran = kernel.run("%%warp -m lab:cut-3 -m lab:other\nhi")
    assert text_of(ran) == "Something else."
    assert "fell back from lab:cut-3" in line_of(ran)


@pytest.mark.parametrize("how", ["splice", "error"])
def test_or_ends_with_its_part(kernel, how):
    ran = kernel.run(f"%%warp --on-break {how} -m lab:cut-3@{how} -m lab:other\nhi", ok=False)
    assert text_of(ran) == "You said 'hi'"
    assert ran.error["ename"] == "StreamBroken"
    wrong = kernel.run(f"%%warp --on-break {how}d\nhi", ok=False)
    assert "--on-break" in wrong.error["evalue"]
    assert how in wrong.error["evalue"]
