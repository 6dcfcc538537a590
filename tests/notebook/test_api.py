"""`Warp` in Python: in a script, inside a running loop and from a thread, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from warp_magics.api import Warp
from warp_magics.gateway import Usage, errors
from warp_magics.reply import Reply


@pytest.mark.slow
def test_in_a_script(script, lab):
    told = script(
        """
        reply = warp.ask("one", session="script", context="Be brief.", temperature=0, max_tokens=5, top_p=0.5, seed=7,
                         stop="END", model="lab:ok@script", timeout=30)
        tell([reply.text, reply.model, reply.session, reply.result])
        tell(list(warp.stream("two", session="script", model=["lab:fail-503@script", "lab:ok@script"])))
        tell(str(Warp(session="script", model="lab:ok@script").ask("three")))
        tell(warp.ask("alone", model="lab:ok@script").session)
        """
    )
    assert told[0] == ["You said 'one' in message 2.", "lab:ok@script", "script", "COMPLETE"]
    assert "".join(told[1]) == "You said 'two' in message 3."
    assert len(told[1]) > 1
    assert told[2:] == ["You said 'three' in message 5.", None]
    body = lab.calls("ok@script")[0].body
    assert (body["temperature"], body["top_p"], body["seed"]) == (0, 0.5, 7)
    assert body["stop"] in ("END", ["END"])


@pytest.mark.slow
def test_inside_a_running_loop_and_from_threads(script):
    told = script(
        """
        async def main():
            tell(warp.ask("inside").text)
            tell("".join(warp.stream("inside")))
            tell((await asyncio.to_thread(warp.ask, "thread")).text)
            tell(sorted([reply.text for reply in await asyncio.gather(
                *(asyncio.to_thread(warp.ask, f"{n}") for n in range(8)))]))
        asyncio.run(main())
        asyncio.run(main())
        thread = threading.Thread(target=lambda: tell(warp.ask("plain").text))
        thread.start()
        thread.join()
        """
    )
    many = [f"You said '{n}' in message 1." for n in range(8)]
    once = [*[f"You said '{what}' in message 1." for what in ("inside", "inside", "thread")], many]
    assert told == [*once, *once, "You said 'plain' in message 1."]


@pytest.mark.slow
def test_errors_and_parts(script):
    told = script(
        """
        from warp_magics.gateway import errors
        def caught(what):
            try:
                what()
            except errors.WarpError as error:
                tell([type(error).__name__, getattr(error, "details", {}).get("partial")])
        caught(lambda: warp.ask(""))
        caught(lambda: warp.ask("x", model="nobody:x"))
        caught(lambda: warp.ask("x", model="lab:fail-401@api"))
        caught(lambda: warp.ask("x", model="lab:cut-3@api"))
        caught(lambda: warp.ask("x", temprature=1))
        seen = []
        caught(lambda: [seen.append(piece) for piece in warp.stream("x", model="lab:cut-3@api2")])
        tell("".join(seen))
        """
    )
    part = "You said 'x'"
    assert told[:4] == [
        ["InvalidRequest", None],
        ["UnknownModel", None],
        ["AccessRefused", None],
        ["StreamBroken", part],
    ]
    assert told[4:] == [["InvalidRequest", None], ["StreamBroken", None], part]


@pytest.mark.slow
def test_closing_a_stream_stops_the_answer_and_keeps_the_part(script, lab):
    told = script(
        """
        from warp_magics.connect import connection
        stream = warp.stream("hello", session="left", model="lab:silent-2@left")
        tell([next(stream), next(stream)])
        stream.close()
        at = connection()
        tell([(turn.status, turn.response) for turn in at.portal.call(lambda: at.gateway.history(at.owner, "left"))])
        """
    )
    assert told == [["You", " said"], [["stopped", "You said"]]]
    lab.wait_until(lambda: lab.calls("silent-2@left")[0].disconnected_at)


@pytest.mark.slow
def test_a_script_that_ends_in_mid_stream_ends(script, lab):
    told = script("stream = warp.stream('hello', model='lab:silent-1@end')\ntell(next(stream))")
    assert told == ["You"]
    lab.wait_until(lambda: lab.calls("silent-1@end")[0].disconnected_at)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT from without")
@pytest.mark.slow
def test_ctrl_c_in_a_script(alone, lab):
    # A background job of a shell's is born deaf to Ctrl-C.
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from warp_magics import Warp\nprint(Warp().ask('hello', model='lab:hang@int'))"
    process = subprocess.Popen([sys.executable, "-c", code], env=alone.env, stderr=subprocess.PIPE, text=True)
    try:
        lab.wait_until(lambda: lab.calls("hang@int"), 30)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (-signal.SIGINT, 130)
    assert said.splitlines()[-1].startswith("KeyboardInterrupt")
    lab.wait_until(lambda: lab.calls("hang@int")[0].disconnected_at)


def test_a_misspelt_option_is_named(monkeypatch):
    with pytest.raises(errors.InvalidRequest, match=r"temprature.*did you mean temperature"):
        Warp()._request("x", "me", {"temprature": 1})


@pytest.mark.parametrize(
    ("given", "models"), [(None, ()), ("a:b", ("a:b",)), (["a:b", "c:d"], ("a:b", "c:d")), ((), ())]
)
def test_a_model_or_a_chain(given, models):
    assert Warp(model=given)._request("x", "me", {}).models == models
    assert Warp(model="other:x")._request("x", "me", {"model": given}).models == models


def test_a_reply():
    reply = Reply('{"a": [1]}', "m", Usage(1, 2), None, (), "s", "t", "COMPLETE")
    assert str(reply) == reply._repr_markdown_() == reply.text
    assert reply.json() == {"a": [1]}
    with pytest.raises(ValueError, match="Expecting value"):
        Reply("no", "m", Usage(), None, (), None, None, "COMPLETE").json()
