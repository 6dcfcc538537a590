"""Recording and replaying around a gateway: what was answered is answered again, with nobody asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from dataclasses import replace

import pytest

from tests.fakes.provider import Fault, Reply
from tests.gateway.kit import KEY, Clock, configured, opened
from warp_magics.gateway.errors import (
    GatewayUnreachable,
    InvalidRequest,
    NoModelsAvailable,
    RateLimited,
    ShuttingDown,
    StreamBroken,
    TapeMiss,
    TotalTimeout,
    UnknownModel,
    WarpError,
)
from warp_magics.gateway.tape import Reel, TapeGateway
from warp_magics.gateway.types import (
    Attachment,
    ChatRequest,
    ChatResponse,
    Failed,
    Form,
    Parameters,
    Restarted,
    Result,
    Source,
    Started,
    Text,
    Tool,
    ToolResult,
)

pytestmark = pytest.mark.asyncio

DOT = Attachment("image", "dot", "image/png", data="iVBORw0KGgo=")
CELL = Source("cell", "/home/me/a.ipynb", "c1")


def asking(prompt="hello", session=None, *models, **fields):
    return ChatRequest(prompt, session, create_session=True, store=session is not None,
                       models=tuple(f"lab:{name}" for name in models), **fields)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tape"


@contextlib.asynccontextmanager
async def recording(tmp_path, fake, folder, mode="record", **tables):
    """A tape around a gateway whose provider is the fake."""
    async with opened(configured(tmp_path, fake.base_url, "ok", **tables)) as inner:
        tape = TapeGateway(Reel(folder), mode, inner.stream)
        try:
            yield tape
        finally:
            await tape.aclose()


@contextlib.asynccontextmanager
async def replaying(folder, **how):
    tape = TapeGateway(Reel(folder), "replay", **how)
    try:
        yield tape
    finally:
        await tape.aclose()


async def events_of(gateway, request):
    """All events of an answer; what it raises before one is one too."""
    try:
        return [event async for event in gateway.stream(request)]
    except WarpError as error:
        return [(type(error), str(error), getattr(error, "details", None))]


def plain(events):
    """Events with errors that can be compared."""
    told = []
    for event in events:
        if isinstance(event, Failed):
            told.append((type(event.error), str(event.error), event.error.details, event.response, event.id))
        else:
            told.append(event)
    return told


ASKED = {
    "an answer": [asking("one", "s", "ok"), asking("two", "s", "ok"), asking("alone")],
    "parameters": [asking("one", "s", "ok", context="Be brief.", parameters=Parameters(temperature=0.0, stop=("x",)))],
    "attachments": [asking("look", "s", "ok", attachments=(DOT, Attachment("text", "n", text="notes"))), asking("again", "s", "ok")],
    "a fallback": [asking("one", "s", "fail-429-retry-after-7", "ok")],
    "a break": [asking("one", "s", "cut-3", "ok", on_break="restart")],
    "a splice": [asking("one", "s", "cut-3", "ok", on_break="splice")],
    "broken off": [asking("one", "s", "cut-3", on_break="error"), asking("two", "s", "ok")],
    "refused": [asking("one", "s", "fail-401"), asking("two", "s", "ok")],
    "nobody": [asking("one", "s", "fail-401", "fail-503")],
    "unknown": [replace(asking("one", "s"), models=("nobody:x",))],
    "thoughts": [asking("think", "s", "thinks")],
    "a schema": [asking("json", "s", "says-json", form=Form(schema={"type": "object"}))],
    "tools": [
        asking("look", "s", "calls", form=Form(tools=(Tool("look"),))),
        asking("", "s", "ok", tool_results=(ToolResult("call_0", "found"),)),
    ],
    "run again": [asking(one, "s", "ok", source=CELL, replaces="source") for one in ("one", "edited")],
}  # fmt: skip


@pytest.mark.parametrize("what", ASKED)
async def test_a_replay_is_what_was_recorded(tmp_path, fake, folder, what):
    fake.script("thinks", Reply(chunks=["So."], reasoning=["hm ", "well"]))
    fake.script("says-json", Reply(chunks=['{"a": ', "1}"]))
    fake.script("calls", Reply(chunks=["I look."], tools=[("look", {"at": 1})]))
    async with recording(tmp_path, fake, folder) as tape:
        recorded = [await events_of(tape, one) for one in ASKED[what]]
        history = await tape.history("local", "s")
        usage = await tape.usage("local"), await tape.usage("local", "day"), await tape.models()
    asked = len(fake.requests)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert KEY not in str(files)
    async with replaying(folder) as tape:
        replayed = [await events_of(tape, one) for one in ASKED[what]]
        assert await tape.history("local", "s") == history
        assert (await tape.usage("local"), await tape.usage("local", "day"), await tape.models()) == usage
    assert [plain(one) for one in replayed] == [plain(one) for one in recorded]
    assert len(fake.requests) == asked
    async with recording(tmp_path, fake, folder) as tape:  # nothing is new: nothing is written
        for one in ASKED[what]:
            await events_of(tape, one)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


async def test_the_pieces_and_the_route_without_its_times(tmp_path, fake, folder):
    fake.script("pieces", Reply(chunks=["one ", "two ", "three"]))
    async with recording(tmp_path, fake, folder) as tape:
        await events_of(tape, asking("x", "s", "fail-429-retry-after-7", "pieces"))
    async with replaying(folder) as tape:
        events = await events_of(tape, asking("x", "s", "fail-429-retry-after-7", "pieces"))
    assert [event.text for event in events if isinstance(event, Text)] == ["one ", "two ", "three"]
    said = events[-1].response
    assert [(one.model, one.outcome, one.status, one.seconds, one.restores_in) for one in said.route] == [
        ("lab:fail-429-retry-after-7", RateLimited.code, 429, 0.0, None),
        ("lab:pieces", "ok", None, 0.0, None),
    ]
    assert (said.model, said.first_token, said.session_id, said.stream_id) == ("lab:pieces", None, "s", "s~1")
    entry = json.loads(next(folder.iterdir()).read_text("utf-8"))
    assert entry["events"][-1]["model"] == "lab:pieces"
    assert entry["asked"]["models"] == ["lab:fail-429-retry-after-7", "lab:pieces"]


async def test_what_breaks_is_replayed_as_it_broke(tmp_path, fake, folder):
    async with recording(tmp_path, fake, folder) as tape:
        await events_of(tape, asking("x", None, "cut-3", "ok", on_break="restart"))
        await events_of(tape, asking("y", None, "cut-3", on_break="error"))
        with pytest.raises(NoModelsAvailable):
            await tape.ask(asking("z", None, "fail-401", "fail-503"))
        with pytest.raises(UnknownModel):
            await tape.ask(replace(asking("u"), models=("nobody:x",)))
    async with replaying(folder) as tape:
        events = await events_of(tape, asking("x", None, "cut-3", "ok", on_break="restart"))
        (restarted,) = [event for event in events if isinstance(event, Restarted)]
        assert (restarted.from_model, restarted.to_model) == ("lab:cut-3", "lab:ok")
        assert events[-1].response.text == "You said 'x' in message 1."
        with pytest.raises(StreamBroken) as caught:
            await tape.ask(asking("y", None, "cut-3", on_break="error"))
        assert caught.value.details["partial"] == "You said 'y'"
        with pytest.raises(NoModelsAvailable) as caught:
            await tape.ask(asking("z", None, "fail-401", "fail-503"))
        assert [one.status for one in caught.value.details["route"]] == [401, 503]
        with pytest.raises(UnknownModel):
            await tape.ask(replace(asking("u"), models=("nobody:x",)))


async def test_the_real_sessions_are_left_alone(tmp_path, fake, folder):
    async with opened(configured(tmp_path, fake.base_url, "ok")) as inner:
        await inner.ask(asking("real", "s"))
        tape = TapeGateway(Reel(folder), "record", inner.stream)
        said = await tape.ask(asking("taped", "s"))
        assert said.text == "You said 'taped' in message 1."
        await tape.aclose()
        assert [turn.prompt for turn in await inner.history("local", "s")] == ["real"]
        assert len((await inner.sessions("local")).sessions) == 1


async def test_turns_before_go_along_with_all_that_they_hold(tmp_path, fake, folder):
    fake.script("calls", Reply(tools=[("look", {"at": 1})]))
    async with recording(tmp_path, fake, folder) as tape:
        await tape.ask(asking("look", "s", "calls", attachments=(DOT,), form=Form(tools=(Tool("look"),))))
        (turn,) = await tape.history("local", "s")
        await tape.ask(asking("", "s", "ok", tool_results=(ToolResult(turn.tool_calls[0].id, "found"),)))
    first, call, result = fake.calls("ok")[0].messages
    assert first["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert call["tool_calls"][0]["function"]["name"] == "look"
    assert (result["role"], result["content"]) == ("tool", "found")


async def test_a_miss_says_which_prompt_and_what_differs(tmp_path, fake, folder):
    async with recording(tmp_path, fake, folder) as tape:
        await tape.ask(asking("What is the capital of France?", "s"))
        await tape.ask(asking("And of Italy?", "s"))
    async with replaying(folder) as tape:
        with pytest.raises(TapeMiss) as caught:
            await tape.ask(asking("What is the capital of Spain?", "s", source=CELL))
        told = caught.value.message
        for part in (
            "“What is the capital of Spain?”",
            "cell c1 of a.ipynb",
            "[-France-]{+Spain+}",
            "WARP_TAPE=record",
        ):
            assert part in told
        assert str(tmp_path) not in told
        with pytest.raises(TapeMiss, match="turns before it"):
            await tape.ask(asking("And of Italy?", "s"))
        assert [one.state for one in tape_of(tape).heard()] == ["missing", "missing", "unused", "unused"]
    async with replaying(folder) as tape:
        await tape.ask(asking("What is the capital of France?"))
        with pytest.raises(TapeMiss, match=r"asking number 2 of this run; the tape has number 1\."):
            await tape.ask(asking("What is the capital of France?"))


def tape_of(gateway):
    return gateway._answers._reel


async def test_auto_asks_for_what_is_missing_alone(tmp_path, fake, folder):
    async with recording(tmp_path, fake, folder) as tape:
        await tape.ask(asking("one", "s"))
    async with recording(tmp_path, fake, folder, "auto") as tape:
        await tape.ask(asking("one", "s"))
        await tape.ask(asking("two", "s"))
    assert [call.messages[-1]["content"] for call in fake.requests] == ["one", "two"]
    async with replaying(folder) as tape:
        assert (await tape.ask(asking("one", "s"))).text
        assert (await tape.ask(asking("two", "s"))).text == "You said 'two' in message 3."


async def test_a_damaged_entry_is_said_with_its_file(tmp_path, fake, folder):
    async with recording(tmp_path, fake, folder) as tape:
        await tape.ask(asking("one"))
    (path,) = folder.iterdir()
    path.write_text(path.read_text("utf-8")[:-20], "utf-8")
    async with replaying(folder) as tape:
        with pytest.raises(Exception, match=path.name):
            await tape.ask(asking("one"))


async def test_what_is_no_answer_is_not_recorded(tmp_path, folder):
    async def away(_):
        raise GatewayUnreachable("away")
        yield

    tape = TapeGateway(Reel(folder), "record", away)
    with pytest.raises(GatewayUnreachable):
        await tape.ask(asking("one"))
    with pytest.raises(InvalidRequest):
        await tape.ask(asking(" "))
    await tape.aclose()
    assert not folder.exists()


async def test_what_is_stopped_is_not_recorded(tmp_path, fake, folder):
    go = threading.Event()
    fake.script("held", Reply(chunks=["one ", "two"], insert=[go], at=1))
    async with recording(tmp_path, fake, folder) as tape:
        events = tape.stream(asking("x", "s", "held", on_disconnect="cancel"))
        seen = [await anext(events), await anext(events)]
        assert seen[1].text == "one "
        await events.aclose()
        (turn,) = await tape.history("local", "s")
        assert (turn.status, turn.response) == ("stopped", "one ")
    go.set()
    fake.wait_until(lambda: fake.disconnects)
    assert not folder.exists()


async def test_realtime_is_as_far_apart_as_it_came(tmp_path, fake, folder):
    clock = Clock()
    fake.script("slow", Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    async with opened(configured(tmp_path, fake.base_url, "slow")) as inner:
        tape = TapeGateway(Reel(folder), "record", inner.stream, chances=clock.chances())
        events = tape.stream(asking("x"))
        async for event in events:
            if isinstance(event, Text) and event.text == "one ":
                clock.now += 2.5
                fake.release()
        await tape.aclose()
    clock.slept.clear()
    async with replaying(folder, realtime=True, chances=clock.chances()) as tape:
        await tape.ask(asking("x"))
    assert sum(clock.slept) == pytest.approx(2.5)
    clock.slept.clear()
    async with replaying(folder, chances=clock.chances()) as tape:
        await tape.ask(asking("x"))
    assert clock.slept == []


async def test_many_at_once_have_entries_of_their_own(tmp_path, fake, folder):
    fake.script("ok", *(Reply(chunks=[f"answer {n}"]) for n in range(5)))
    async with recording(tmp_path, fake, folder) as tape:
        said = await asyncio.gather(*(tape.ask(asking("same")) for _ in range(5)))
    async with replaying(folder) as tape:
        again = await asyncio.gather(*(tape.ask(asking("same")) for _ in range(5)))
    assert sorted(one.text for one in again) == sorted(one.text for one in said)
    assert len({one.text for one in again}) == 5


async def test_a_dry_run_is_the_same_with_and_without_a_model(tmp_path, fake, folder):
    request = asking("two", "s", context="Be brief.")
    async with recording(tmp_path, fake, folder) as tape:
        await tape.ask(asking("one", "s"))
        told = await tape.preview(request)
    async with replaying(folder) as tape:
        await tape.ask(asking("one", "s"))
        assert await tape.preview(request) == told
        formed = await tape.preview(replace(request, form=Form(schema={"type": "object", "title": "long " * 50})))
    assert formed.usage.input_tokens > told.usage.input_tokens + 50  # the schema is sent, too
    assert [one.role for one in told.messages] == ["system", "user", "assistant", "user"]
    assert told.cost is None
    assert len(fake.requests) == 1


async def test_a_time_out_is_recorded_as_it_came(tmp_path, fake, folder):
    request = asking("x", None, "hang", timeout=0.2)
    async with recording(tmp_path, fake, folder) as tape:
        with pytest.raises(TotalTimeout, match=r"0\.2 s") as caught:
            await tape.ask(request)
    async with replaying(folder) as tape:
        with pytest.raises(TotalTimeout) as again:
            await tape.ask(request)
    assert str(again.value) == str(caught.value)


async def test_a_failure_that_is_no_answer_is_not_recorded_though_a_model_had_begun(tmp_path, folder):
    async def dying(_):
        yield Started("a:b")
        yield Failed(ShuttingDown("going"), ChatResponse("", Result.UNKNOWN, "a:b"))

    tape = TapeGateway(Reel(folder), "record", dying)
    with pytest.raises(ShuttingDown):
        await tape.ask(asking("one"))
    await tape.aclose()
    assert not folder.exists()


async def test_after_a_stop_the_next_asking_has_its_number(tmp_path, fake, folder):
    go = threading.Event()
    fake.script("held", Reply(chunks=["one ", "two"], insert=[go], at=1), Reply(chunks=["all"]))
    async with recording(tmp_path, fake, folder) as tape:
        events = tape.stream(asking("x", None, "held", on_disconnect="cancel"))
        assert isinstance(await anext(events), Started)
        await events.aclose()
        go.set()
        assert (await tape.ask(asking("x", None, "held"))).text == "all"
    async with replaying(folder) as tape:
        assert (await tape.ask(asking("x", None, "held"))).text == "all"


async def test_what_is_hidden_is_hidden_in_every_run_alike(tmp_path, fake, folder):
    secret = "sk-planted-0123"
    for mode in ("record", "replay"):
        async with opened(configured(tmp_path, fake.base_url, "ok")) as inner:
            tape = TapeGateway(Reel(folder, lambda: [secret]), mode, inner.stream)
            events = await events_of(tape, asking(f"my key is {secret}", "s"))
            assert secret not in str(events)
            await tape.aclose()
    async with replaying(folder) as tape:  # also by who has it not
        assert (await tape.ask(asking("my key is ••••", "s"))).text


async def test_keys_of_headers_errors_and_the_configuration_are_on_no_tape(tmp_path, fake, folder):
    """Planted wherever a provider is told one, and told back by one that fails."""
    header = "header-secret-0123"
    fake.script("tells", Reply.failing(400, f"bad: {{key}} and {header}"))
    fake.script("busy", Reply.failing(503, f"down: {{key}} and {header}", headers={"x-key": KEY}))
    providers = {"lab": {"dialect": "openai", "base_url": fake.base_url, "api_key": KEY, "headers": {"x-more": header}}}
    async with opened(configured(tmp_path, fake.base_url, "ok", providers=providers)) as inner:
        reel = Reel(folder)
        reel.hide([KEY, header])
        tape = TapeGateway(reel, "record", inner.stream)
        for request in (asking("a", None, "tells"), asking("b", None, "busy", "ok"), asking("c", None, "fail-401")):
            await events_of(tape, request)
        await events_of(tape, asking(f"my keys: {KEY} {header}", "s"))
        await tape.aclose()
    assert fake.requests[0].headers["x-more"] == header
    texts = [path.read_text("utf-8") for path in folder.iterdir()]
    assert len(texts) == 4
    for secret in (KEY, header, KEY[-6:], header[-6:]):
        assert not any(secret in text for text in texts)
