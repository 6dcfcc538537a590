"""Tab in real kernels and in a terminal: what is offered, what is not, and that it never holds anybody up."""

from __future__ import annotations

import contextlib
import socket
import sys
import time

import pexpect
import pytest

from tests.notebook.kernel import Kernel

pytestmark = pytest.mark.slow

AT_ONCE = 0.45
"""A reply that nothing was waited for, in seconds."""
SOON = 1.5
"""One that a gateway was waited for as long as a key press may take."""


def press(kernel, line, rest=""):
    """Press Tab at the end of ``line``: what that becomes by each match, and how many seconds the reply took."""
    began = time.monotonic()
    msg = kernel.send("complete_request", {"code": line + rest, "cursor_pos": len(line)})
    kernel.until(lambda: kernel.reply(msg))
    told = kernel.reply(msg)
    assert told["content"]["cursor_end"] == len(line)
    return [line[: told["content"]["cursor_start"]] + one for one in told["content"]["matches"]], told["at"] - began


def tab(kernel, line, rest=""):
    return press(kernel, line, rest)[0]


@pytest.fixture
def silent():
    """A URL at which somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/warp"


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("%%warp -t ", "\nhi"),
        ("%%warp --stop ", "\nhi"),
        ("%%warp -t i", ""),
        ("%%warp -s nosuch-session-", "\nhi"),
        ("%warp connect ", ""),
        ("%warp use nosuch-session-", ""),
        ("x = 1\n    %warp rewind i", ""),
        ("%%warp\nwrite a poem about f", ""),
        ("%%warp\n", ""),
    ],
)
def test_nobody_offers_python_in_our_lines(front, line, rest):
    assert tab(front, line, rest) == []


def test_blanks_of_every_kind(front):
    assert tab(front, "%%warp\t--se", "\nhi") == ["%%warp\t--seed", "%%warp\t--session"]
    assert tab(front, "if True:\n    %warp   us") == ["if True:\n    %warp   usage", "if True:\n    %warp   use"]


@pytest.fixture
def elsewhere(front, tmp_path):
    """The kernel works in a folder of the test's own, and then where it did."""
    front.run(f"import os, pathlib\nworked_in = os.getcwd()\nos.chdir({str(tmp_path)!r})")
    yield
    front.run("os.chdir(worked_in)")


@pytest.mark.usefixtures("elsewhere")
def test_files_where_a_file_may_stand(front):
    front.run("pathlib.Path('tab-files/two words').mkdir(parents=True, exist_ok=True)")
    front.run("pathlib.Path('tab-files/one.csv').touch(); tab_frame = 1")
    assert tab(front, "%%warp -a tab", "\nhi") == ["%%warp -a tab-files/", "%%warp -a tab_frame"]
    inside = ["tab-files/one.csv", "tab-files/two\\ words/"]
    assert tab(front, "%%warp -a ./tab-files/") == [f"%%warp -a ./{one}" for one in inside]
    assert tab(front, "%warp export nosuch tab-files/") == [f"%warp export nosuch {one}" for one in inside]
    ran = front.run("%%warp --dry -a tab-files/one.csv\nhi", ok=False)
    assert "no file" not in str(ran.everything)


def test_a_prompt_knows_names_and_what_is_behind_their_dots(front):
    front.run("frame_one, frame_two = 1, 2")
    assert tab(front, "%%warp\nlook at {frame_", "} now") == [
        "%%warp\nlook at {frame_one",
        "%%warp\nlook at {frame_two",
    ]
    assert any(one.endswith("{frame_one.bit_length") for one in tab(front, "%%warp\nlook at {frame_one.bit_l"))
    assert any(one.endswith("frame_one") for one in tab(front, "print(frame_o"))


def test_while_the_loop_is_kept_running(keeping):
    keeping.run("%%warp -s kept-tab\nhi")
    assert tab(keeping, "%%warp -s kept-t") == ["%%warp -s kept-tab"]
    assert tab(keeping, "%%warp -m lab:o")


def test_a_gateway_that_hangs_holds_nobody_up(place, silent):
    with Kernel(place.also(WARP_GATEWAY_URL=silent, WARP_GATEWAY_TOKEN="a-token")) as kernel:
        found, took = press(kernel, "%%warp -s ")
        assert (found, took < SOON) == ([], True)
        for line in ("%%warp -s ", "%%warp -m ", "%warp use "):
            found, took = press(kernel, line)
            assert (found, took < AT_ONCE) == ([], True)
        assert kernel.value("6 * 7") == 42
        assert tab(kernel, "%%warp --se") == ["%%warp --seed", "%%warp --session"]


def test_a_gateway_that_hangs_later_on_holds_nobody_up_either(front):
    front.run("%%warp -s tab-later\nhi")
    assert "%%warp -s tab-later" in tab(front, "%%warp -s tab-l")
    front.run(
        "import asyncio\nfrom warp_magics.connect import connection\ncalls, gateway = [], connection().gateway\n"
        "async def hang(*_, **__):\n    calls.append(1)\n    await asyncio.sleep(60)\ngateway.models = hang"
    )
    assert press(front, "%%warp -m lab:")[1] < SOON
    for _ in range(3):
        assert press(front, "%%warp -m lab:")[1] < AT_ONCE
    assert front.value("len(calls)") == 1
    front.run("del gateway.models")
    front.run("%%warp -s tab-after\nhi")
    front.until(lambda: tab(front, "%%warp -s tab-a"))  # it is asked again, after a while


def test_what_takes_long_is_there_for_a_later_tab(front):
    front.run(
        "import asyncio\nfrom warp_magics.connect import connection\ngateway = connection().gateway\n"
        "models = gateway.models\nasync def slow():\n    await asyncio.sleep(1.2)\n    return await models()\n"
        "import warp_magics.completion as c\nc.AGAIN_SECONDS = 0\ngateway.models = slow"
    )
    try:
        press(front, "%%warp -m lab:o")
        time.sleep(1.2)
        found, took = press(front, "%%warp -m lab:o")
        assert found
        assert took < SOON
    finally:
        front.run("del gateway.models; c.AGAIN_SECONDS = 5.0")


def test_a_kernel_is_not_asked_for_a_token_by_a_tab(place, silent):
    with Kernel(place.also(WARP_GATEWAY_URL=silent)) as kernel:
        content = {"code": "1", "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": True}
        kernel.wait(kernel.send("execute_request", content))
        for line in ("%%warp -s ", "%%warp -m ", "%warp use "):
            found, took = press(kernel, line)
            assert (found, took < SOON) == ([], True)
        assert not kernel.client.stdin_channel.msg_ready()


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect needs a terminal of Unix")
def test_a_terminal_is_not_asked_for_a_token_by_a_tab(place, silent):
    command = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
    env = place.env | {"TERM": "xterm", "WARP_GATEWAY_URL": silent}
    child = pexpect.spawn(
        sys.executable, command, env=env, cwd=str(place.root), encoding="utf-8", timeout=30, dimensions=(40, 80)
    )
    with contextlib.closing(child):
        child.expect(r"In \[")
        child.send("%load_ext warp_magics\r")
        child.expect(r"In \[")
        child.send("%warp use \t")
        assert child.expect(["Token for", pexpect.TIMEOUT], timeout=2) == 1
        child.send("\x15print(6 * 7)\r")
        child.expect("42")


def test_a_second_loading_adds_nothing(kernel):
    kernel.run("from warp_magics.magics import load\n%reload_ext warp_magics\nload(get_ipython())")
    ours = "[m for m in get_ipython().Completer.custom_matchers if m.matcher_identifier == 'warp_magics']"
    assert kernel.value(f"len({ours})") == 1
    assert tab(kernel, "%%warp --se") == ["%%warp --seed", "%%warp --session"]
