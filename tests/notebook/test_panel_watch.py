"""What a page is told of a session over a panel's comm: numbered, gathered, while a cell computes, to several pages."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.notebook.panel_client import PanelClient, settled

pytestmark = pytest.mark.slow

numbers = itertools.count()


@pytest.fixture
def client(front):
    front.run(f"from warp_magics import ChatPanel\npanel = ChatPanel('watch-{next(numbers)}')")
    client = PanelClient(front, "panel")
    yield client
    front.run("panel.close()")


def session_of(client):
    return client.kernel.value("panel.session")


def ask(client, prompt="hello", **more):
    return client.body(
        "ask", key=f"key-{next(numbers)}", ask={"prompt": prompt, "sessionId": session_of(client), **more}
    )


def watched(client, **after):
    watch = client.say("watch", sessionId=session_of(client), after=after)
    assert client.reply(watch) == (200, {})
    client.until_event(watch, "watching")
    return watch


def happened(client, watch):
    return [one for one in client.events(watch) if one["event"] != "watching"]


def text(client, watch):
    return "".join(one["data"]["response"] for one in client.events(watch) if one["event"] == "content")


def numbered(client, watch):
    return [one["seq"] for one in client.heard("watch") if one["watch"] == watch]


def test_an_answer_comes_in_numbered_news(client):
    watch = watched(client)
    body = ask(client, "say it")
    client.until_event(watch, "end")
    client.until_event(watch, "turn-ended", turnId=body["turnId"], status="complete")
    assert text(client, watch) == "You said 'say it' in message 1."
    assert numbered(client, watch) == list(range(1, len(numbered(client, watch)) + 1))
    assert {one["data"]["streamId"] for one in happened(client, watch)} == {body["streamId"]}


def test_what_comes_at_once_is_told_at_once(client):
    watch = watched(client)
    ask(client)
    client.until_event(watch, "turn-ended")
    client.until_event(watch, "end")
    assert len(client.heard("watch")) < len(client.events(watch)) / 2


def test_a_page_reads_on_from_what_it_has_seen(client):
    watch = watched(client)
    ask(client, "for some time", models=["lab:slow-0.1@on"])
    first = client.until_event(watch, "content")
    begun = client.until_event(watch, "turn-started")
    source = first["data"]["streamId"]
    again = watched(client, **{session_of(client): begun["id"], source: first["id"]})
    client.until_event(again, "end")
    assert first["data"]["response"] + text(client, again) == "You said 'for some time' in message 1."
    client.until_event(again, "turn-ended")
    assert not [one for one in client.events(again) if one["event"] == "turn-started"]


def test_a_later_watch_takes_the_place_of_the_earlier(client):
    first = watched(client)
    client.kernel.run("panel2 = ChatPanel()")
    watch = client.say("watch", sessionId=client.kernel.value("panel2.session"), after={})
    client.until_event(watch, "watching")
    seen = len(client.heard("watch"))
    ask(client)
    client.kernel.run("import time; time.sleep(0.5)")
    assert len(client.heard("watch")) == seen
    assert not happened(client, first)
    client.kernel.run("panel2.close()")


def test_what_is_not_watched_any_more_is_not_told(client):
    watch = watched(client)
    assert client.ask("unwatch") == (200, {})
    assert client.ask("unwatch") == (200, {})
    ask(client)
    client.kernel.run("import time; time.sleep(0.3)")
    assert not happened(client, watch)


def test_in_silence_a_page_is_told_that_nothing_was_lost(client):
    client.kernel.run("from warp_magics.news import Pace\npanel._switchboard.pace = Pace(silence=0.2)")
    watch = watched(client)
    client.kernel.until(lambda: len(numbered(client, watch)) >= 2)
    assert set(numbered(client, watch)) == {1}
    ask(client)
    client.until_event(watch, "turn-ended")
    last = numbered(client, watch)[-1]
    assert last > 1
    client.kernel.until(lambda: [one for one in client.heard("watch") if one["seq"] >= last][-1]["events"] == [])


def test_two_pages_are_told_the_same(client):
    other = PanelClient(client.kernel, "panel")
    watches = [(one, watched(one)) for one in (client, other)]
    ask(client)
    for one, watch in watches:
        one.until_event(watch, "end")
        assert text(one, watch) == "You said 'hello' in message 1."


def test_a_session_that_is_not_there_is_told(client):
    watch = client.say("watch", sessionId="nowhere-at-all", after={})
    client.until_event(watch, "error", code="SESSION_NOT_FOUND")


def test_the_watching_ends_with_the_session(client):
    watch = watched(client)
    client.body("delete", sessionId=session_of(client))
    client.until_event(watch, "deleted")


def test_it_ends_with_the_panel(client):
    watch = watched(client)
    session = session_of(client)
    client.kernel.run("panel.close()")
    client.kernel.run(f"%%warp -s {session}\nhello")
    assert not happened(client, watch)
    client.say("ready")
    client.kernel.run("1")
    assert len(client.heard("reply")) == 1


def test_it_ends_with_the_comm(client):
    watch = watched(client)
    client.kernel.send("comm_close", {"comm_id": client.comm, "data": {}})
    client.kernel.run(f"%%warp -s {session_of(client)}\nhello")
    client.kernel.run("import time; time.sleep(0.3)")
    assert not happened(client, watch)
    assert (
        client.kernel.value("panel.value") == ""
    )  # nobody can see the panel any more: it is closed, and asks for nothing
    assert client.kernel.value("panel.comm") is None


def test_of_watches_that_come_at_once_the_newest_is_told(client):
    session = session_of(client)
    client.kernel.run(
        "import sys, threading\nsys.setswitchinterval(1e-6)\nbarrier = threading.Barrier(16)\n"
        f"def say(call):\n    message = dict(page='{client.page}', call=call, verb='watch')\n"
        f"    message['args'] = dict(sessionId='{session}', after={{}})\n"
        "    barrier.wait()\n    panel._switchboard.heard(message)\n"
        "threads = [threading.Thread(target=say, args=(1000 + call,)) for call in range(16)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()\nsys.setswitchinterval(0.005)"
    )
    client.until_event(1015, "watching")
    ask(client)
    client.until_event(1015, "turn-ended")
    client.kernel.run("import time; time.sleep(0.2)")
    assert {one["watch"] for one in client.heard("watch") if len(one["events"]) > 1} == {1015}


def test_a_watch_that_comes_as_the_panel_closes_never_begins(client):
    told = client.kernel.value(
        "(lambda switchboard, pace, link, said, time: ("
        "switchboards := [switchboard.Switchboard(link.shared(), panel._switchboard._notebook, said.append,"
        " lambda *_: None, pace.Pace(silence=0.05))],"
        " link.disconnect(),"
        " switchboards[0].heard({'page': 'p', 'call': 1, 'verb': 'watch', 'args': {'sessionId': panel.session}}),"
        " switchboards[0].close(), time.sleep(1), [one for one in said if 'watch' in one])[-1])("
        "*(__import__(f'warp_magics.{one}', fromlist=['']) for one in ('switchboard', 'news', 'connect')), [],"
        " __import__('time'))"
    )
    assert told == []


def test_a_watch_that_breaks_in_an_unexpected_way_tells_so(client):
    client.kernel.run(
        "gateway = __import__('warp_magics.connect').connect.connection().gateway\n"
        "def watch(*_): raise LookupError('unexpected')\ngateway.watch = watch"
    )
    watch = client.say("watch", sessionId=session_of(client), after={})
    client.until_event(watch, "error")
    client.kernel.run("del gateway.watch")


# -- while a cell computes -------------------------------------------------------------------------


@pytest.fixture
def aside(client):
    """The page's calls over a sub-shell, as JupyterLab sends them."""
    request = client.kernel.send("create_subshell_request", {}, channel="control")
    client.subshell = client.kernel.until(lambda: client.kernel.reply(request))["content"]["subshell_id"]
    yield client
    client.kernel.send("delete_subshell_request", {"subshell_id": client.subshell}, channel="control")


def test_all_goes_on_while_a_cell_computes(aside):
    session = session_of(aside)
    aside.kernel.run("held = [1, 2]")
    cell = aside.kernel.start("import time\nfor _ in range(80): time.sleep(0.1)")
    aside.kernel.until(lambda: aside.kernel.of(cell, "execute_input"))
    watch = aside.say("watch", sessionId=session, after={})
    aside.until_event(watch, "watching")
    body = aside.body("ask", key="busy", ask={"prompt": "now?", "sessionId": session})
    aside.until_event(watch, "end")
    assert text(aside, watch) == "You said 'now?' in message 1."
    assert aside.body("history", sessionId=session)["turns"][0]["turnId"] == body["turnId"]
    assert "held" in [one["name"] for one in aside.body("names")["names"]]
    assert aside.body("attach", name="held")["attachment"]["text"] == "[1, 2]"
    assert not aside.kernel.reply(cell)
    aside.kernel.interrupt()
    aside.kernel.wait(cell)
    assert settled(aside.kernel, lambda: aside.kernel.value("panel.value")) == "You said 'now?' in message 1."


def test_a_page_changes_the_session_while_a_cell_computes(aside):
    cell = aside.kernel.start("import time\nfor _ in range(80): time.sleep(0.1)")
    aside.kernel.until(lambda: aside.kernel.of(cell, "execute_input"))
    session = f"other-{next(numbers)}"
    aside.set(session=session)
    settled(aside.kernel, lambda: aside.ask("session", sessionId=session)[0] == 200)
    assert not aside.kernel.reply(cell)
    aside.kernel.interrupt()
    aside.kernel.wait(cell)
    assert session_of(aside) == session


def test_traits_change_on_the_main_thread(aside):
    aside.kernel.run(
        "import threading\nthreads = []\n"
        "panel.observe(lambda change: threads.append((change['name'], threading.current_thread().name)), ['turns', 'value'])"
    )
    session = session_of(aside)
    cell = aside.kernel.start("import time\ntime.sleep(1.5)")
    aside.kernel.until(lambda: aside.kernel.of(cell, "execute_input"))
    aside.body("ask", key="threads", ask={"prompt": "hi", "sessionId": session})
    aside.kernel.wait(cell)
    settled(aside.kernel, lambda: aside.kernel.value("len(threads)") >= 2)
    assert aside.kernel.value("threads") == [("turns", "MainThread"), ("value", "MainThread")]


def test_with_the_kernels_loop_kept_traits_change_while_a_cell_waits(keeping, lab):
    keeping.run("%warp models\nfrom warp_magics import ChatPanel\npanel = ChatPanel('kept-loop')\nseen = []")
    keeping.run("panel.observe(lambda change: seen.append(waiting), 'value')\nwaiting = False")
    client = PanelClient(keeping, "panel")
    cell = keeping.start(
        "waiting = True\nget_ipython().run_cell_magic('warp', '-m lab:silent-1@panel', 'hello')\nwaiting = False"
    )
    keeping.until_text(cell, "You")
    client.body("ask", key="kept", ask={"prompt": "hi", "sessionId": "kept-loop"})
    time.sleep(1)
    lab.wait_until(lambda: lab.release() or all(call.ended_at for call in lab.requests), 20)
    keeping.wait(cell)
    assert keeping.value("seen") == [True]
    keeping.run("panel.close()")
