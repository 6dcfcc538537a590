"""A gateway that is elsewhere, over a network that fails: nothing is asked twice, shown twice, or lost."""

import asyncio
import contextlib
import logging

import pytest
import pytest_asyncio

from tests.fakes.gateway_server import Answer, Cut, FakeGateway, Pings, Reply, Silent
from tests.fakes.provider import refused_url
from tests.gateway.kit import Clock, turn
from warp_magics.gateway import wire
from warp_magics.gateway.errors import (
    ConfigError,
    GatewayRefused,
    GatewayUnreachable,
    InvalidRequest,
    NoModelsAvailable,
    NotFound,
    SessionBusy,
    SessionExists,
    SessionNotFound,
    ShuttingDown,
    StoreUnavailable,
    StreamBroken,
    StreamNotFound,
)
from warp_magics.gateway.remote import RemoteGateway, Waits
from warp_magics.gateway.types import (
    Attempt,
    Begun,
    Call,
    ChatRequest,
    ChatResponse,
    Ended,
    Failed,
    GatewayStatus,
    ModelState,
    Page,
    Reasoning,
    Restarted,
    Result,
    Session,
    SessionEvent,
    SessionKey,
    Started,
    Text,
    ToolCall,
    Usage,
)

TOKEN = "tok-0123456789-uvwxyz"
DEADLINE = 20
ROUTE = (Attempt("lab:a", "ok", 0.5),)
WHOLE = ChatResponse(
    "Hello, world",
    Result.COMPLETE,
    "lab:a",
    session_id="s1",
    turn_id="turn-1",
    stream_id="s1~1",
    usage=Usage(1, 2),
    route=ROUTE,
    warnings=("session expired, started again",),
    session_status="restarted",
    first_token=0.25,
)
START = Started(
    "lab:a", "s1", "s1~1", "turn-1", ("session expired, started again",), session_status="restarted", id="1-1"
)
EVENTS = [
    START,
    Reasoning("hm", id="1-2"),
    Text("Hello, ", id="1-3"),
    ToolCall(Call("c", "f", "{}"), id="1-4"),
    Text("wor\n\nld"[:3], id="1-5"),
    Text("ld", id="1-6"),
    Ended(WHOLE, id="1-7"),
]
ASK = ChatRequest("Hi", session_id="s1", create_session=True)
UNSTORED = [Started("lab:a", id="1-1"), Text("Hello, ", id="1-2"), Ended(ChatResponse("", Result.COMPLETE, "lab:a"))]
HTML = Reply(503, b"<html>Service Unavailable</html>", "text/html")


@pytest_asyncio.fixture
async def answer():
    return Answer(list(EVENTS))


@pytest_asyncio.fixture
async def one(answer):
    async with FakeGateway(answer) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def two(answer):
    async with FakeGateway(answer) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def at(clock):
    """A factory: the gateway at these instances."""
    async with contextlib.AsyncExitStack() as stack:

        def opened(*places, token=TOKEN, clock=clock, **waits):
            urls = [place if isinstance(place, str) else place.url for place in places]
            ids = iter(f"turn-{n}" for n in range(1, 100))
            gateway = RemoteGateway(
                urls, token, chances=clock.chances(), new_id=lambda: next(ids), waits=Waits(**waits)
            )
            stack.push_async_callback(gateway.aclose)
            return gateway

        yield opened


def nowhere():
    return refused_url().replace("/v1", "/warp")


async def read(events):
    async with asyncio.timeout(DEADLINE):
        return [event async for event in events]


async def fails(kind, events, *words):
    """What came before the error, and the error."""
    came = []

    async def drained():
        async with asyncio.timeout(DEADLINE):
            async for event in events:
                came.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(kind) as caught:
        await drained()
    assert type(caught.value) is kind
    assert all(word in caught.value.message for word in words), caught.value.message
    assert TOKEN not in repr(caught.value) + str(caught.value.details)
    return came, caught.value


def headers(gateway, name):
    return [seen.headers.get(name) for seen in gateway.requests]


# -- a good day ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_events_come_as_they_were_sent(one, at):
    assert await read(at(one).stream(ASK)) == EVENTS
    (seen,) = one.requests
    assert (seen.line, seen.body) == ("POST stream", {"prompt": "Hi", "sessionId": "s1", "createSession": True})
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["idempotency-key"] == "turn-1"


@pytest.mark.asyncio
async def test_the_whole_answer_is_that_of_a_gateway_here(one, at):
    assert await at(one).ask(ASK) == WHOLE


@pytest.mark.asyncio
async def test_the_askers_own_id_is_the_key(one, at):
    await at(one).ask(ChatRequest("Hi", turn_id="mine"))
    assert one.answer.keys == {"mine"}


@pytest.mark.asyncio
async def test_what_nobody_can_be_sent_is_not_sent(one, at):
    await fails(InvalidRequest, at(one).stream(ChatRequest(" ")))
    await fails(InvalidRequest, at(one).stream(ChatRequest("caf\udce9")))
    assert one.requests == []


@pytest.mark.asyncio
async def test_a_token_may_change_between_requests(one, at):
    tokens = iter(["a", "b"])
    gateway = at(one, token=lambda: next(tokens))
    await gateway.ask(ASK)
    await gateway.ask(ASK)
    assert headers(one, "authorization") == ["Bearer a", "Bearer b"]


@pytest.mark.asyncio
async def test_without_a_token_none_is_sent(one, at):
    await at(one, token=None).ask(ASK)
    assert headers(one, "authorization") == [None]


@pytest.mark.asyncio
@pytest.mark.parametrize("token", [f"{TOKEN}\nX: y", f"{TOKEN}ü"])
async def test_a_token_that_no_header_can_hold_is_not_told(one, at, token):
    await fails(InvalidRequest, at(one, token=token).stream(ASK), "token")
    assert one.requests == []


@pytest.mark.asyncio
async def test_the_systems_proxy_is_not_asked_for_this_machine(one, at, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, nowhere())
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert await at(one).ask(ASK) == WHOLE


# -- connections that break ------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("extra", [0, 15], ids=["between events", "within an event"])
@pytest.mark.parametrize("k", range(len(EVENTS)))
async def test_a_cut_anywhere_is_not_seen(one, at, k, extra):
    one.will(Cut(k, extra))
    assert await read(at(one).stream(ASK)) == EVENTS
    assert len(one.answer.keys) == 1
    if k:
        assert one.lines == ["POST stream", "GET streams/s1~1"]
        assert headers(one, "last-event-id") == [None, f"1-{k}"]
    else:
        assert one.lines == ["POST stream", "POST stream"]


@pytest.mark.asyncio
async def test_cuts_one_after_the_other_are_not_seen(one, at):
    one.will(*[Cut(1)] * 3, Cut(0), Cut(headers=False), Cut(1))
    assert await read(at(one).stream(ASK)) == EVENTS
    assert headers(one, "last-event-id") == [None, "1-1", "1-2", "1-3", "1-3", "1-3", "1-4"]


@pytest.mark.asyncio
async def test_a_prompt_lost_before_its_answer_is_asked_again_under_its_key(one, at):
    one.will(Cut(headers=False), Cut(headers=False))
    assert await at(one).ask(ASK) == WHOLE
    assert one.lines == ["POST stream"] * 3
    assert one.answer.keys == {"turn-1"}


@pytest.mark.asyncio
async def test_a_prompt_that_one_instance_lost_is_asked_at_the_next(one, two, at, clock):
    one.will(Cut(headers=False))
    assert await at(one, two).ask(ASK) == WHOLE
    assert (one.lines, two.lines, clock.slept) == (["POST stream"], ["POST stream"], [])
    assert one.answer.keys == {"turn-1"}


@pytest.mark.asyncio
async def test_an_answer_goes_on_at_another_instance_and_stays_there(one, two, at):
    one.will(Silent(3))
    gateway = at(one, two)
    events = gateway.stream(ASK)
    async with asyncio.timeout(DEADLINE):
        came = [await anext(events) for _ in range(3)]
    await one.close()
    assert came + await read(events) == EVENTS
    assert (two.lines, headers(two, "last-event-id")) == (["GET streams/s1~1"], ["1-3"])
    await gateway.ask(ASK)
    assert two.lines == ["GET streams/s1~1", "POST stream"]
    assert one.lines == ["POST stream"]


@pytest.mark.asyncio
@pytest.mark.parametrize("trouble", [HTML, Reply(503, wire.error_json(ShuttingDown("The gateway is shutting down.")))])
async def test_an_instance_that_cannot_is_passed_over(one, two, at, trouble):
    one.will(trouble)
    gateway = at(nowhere(), one, two)
    assert await gateway.ask(ASK) == WHOLE
    assert two.lines == ["POST stream"]
    await gateway.ask(ASK)
    assert two.lines == ["POST stream", "POST stream"]


@pytest.mark.asyncio
async def test_where_nobody_answers_it_is_said_at_once(at, clock):
    places = [nowhere(), nowhere()]
    hosts = [place.removeprefix("http://").removesuffix("/warp") for place in places]
    gateway = at(*places)
    await fails(GatewayUnreachable, gateway.stream(ASK), *hosts)
    for call in (gateway.models(), gateway.create("ann"), gateway.delete("ann", "s1"), anext(gateway.follow("a", "b"))):
        with pytest.raises(GatewayUnreachable, match=hosts[0]):
            await call
    assert clock.slept == []


@pytest.mark.asyncio
async def test_an_instance_that_is_busy_for_good_is_said_at_once(one, at, clock):
    one.will(HTML)
    await fails(GatewayUnreachable, at(one).stream(ASK), "503")
    assert clock.slept == []


@pytest.mark.asyncio
async def test_an_answer_that_cannot_be_gone_on_with_raises_with_its_part(one, at, clock):
    one.will(Silent(5))
    events = at(one).stream(ASK)
    async with asyncio.timeout(DEADLINE):
        came = [await anext(events) for _ in range(5)]
    await one.close()
    _, error = await fails(GatewayUnreachable, events)
    assert came == EVENTS[:5]
    assert error.details["partial"] == "Hello, wor"
    assert 60 <= sum(clock.slept) <= 62
    assert clock.slept[0] == pytest.approx(0.075)
    assert clock.slept[:5] == sorted(clock.slept[:5])
    assert max(clock.slept) <= 2


@pytest.mark.asyncio
async def test_an_answer_whose_log_is_gone_raises_with_its_part(one, at):
    one.will(Cut(5))
    one.answer.stream_id = "other~1"
    came, error = await fails(StreamNotFound, at(one).stream(ASK))
    assert (came, error.details["partial"]) == (EVENTS[:5], "Hello, wor")


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [True, False])
async def test_an_answer_that_is_not_kept_is_not_gone_on_with(one, at, clock, store):
    one.answer.events = UNSTORED
    one.will(Cut(2))
    came, error = await fails(GatewayUnreachable, at(one).stream(ChatRequest("Hi", store=store)), "not stored")
    assert (came, error.details["partial"]) == (UNSTORED[:2], "Hello, ")
    assert (one.lines, clock.slept) == (["POST stream"], [])


@pytest.mark.asyncio
async def test_a_part_begins_anew_where_the_answer_did(one, at):
    one.answer.events = [*EVENTS[:3], Restarted("cut", "lab:a", "lab:b", id="1-4"), Text("Hey", id="1-5")]
    one.will(Cut(5))
    one.answer.stream_id = "other~1"
    _, error = await fails(StreamNotFound, at(one).stream(ASK))
    assert error.details["partial"] == "Hey"


@pytest.mark.asyncio
@pytest.mark.parametrize("k", [0, 2])
async def test_silence_is_a_lost_connection(one, at, k):
    one.will(Silent(k))
    assert await read(at(one, silence=1.0).stream(ASK)) == EVENTS
    assert len(one.requests) == 2
    assert len(one.answer.keys) == 1
    async with asyncio.timeout(DEADLINE):
        await one.left.wait()


@pytest.mark.asyncio
async def test_pings_are_life(one, at):
    one.will(Pings(15, 0.1))
    assert await read(at(one, silence=1.0).stream(ASK)) == EVENTS
    assert one.lines == ["POST stream"]


# -- who is not let in, and who is no gateway ------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [401, 403])
async def test_who_is_not_let_in_is_told_what_to_set(one, two, at, status):
    refusal = Reply(status, {"message": "Forbidden", "reason": None})
    one.will(refusal)
    one.says["GET models"] = refusal
    gateway = at(one, two)
    _, error = await fails(GatewayRefused, gateway.stream(ASK), "WARP_GATEWAY_TOKEN", one.url.split("/")[2])
    assert "Forbidden" in error.details["reason"]
    with pytest.raises(GatewayRefused, match="WARP_GATEWAY_TOKEN"):
        await gateway.models()
    assert two.requests == []


@pytest.mark.asyncio
async def test_who_is_not_let_in_by_a_gateway_is_told_its_reason(one, at):
    reason = "The token is not known here. Ask your administrator."
    one.will(Reply(401, {"code": "UNAUTHORIZED", "message": reason}))
    _, error = await fails(GatewayRefused, at(one).stream(ASK), reason, "WARP_GATEWAY_TOKEN")
    assert error.details["reason"] == reason


@pytest.mark.asyncio
async def test_a_token_that_is_no_more_known_in_mid_answer_keeps_the_part(one, at):
    one.will(Cut(3), Reply(401, b""))
    _, error = await fails(GatewayRefused, at(one).stream(ASK))
    assert error.details["partial"] == "Hello, "


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_token_goes_where_it_belongs_and_nowhere_else(one, two, at, status):
    one.will(Reply(status, b"", headers={"Location": two.url + "/api/v1/stream"}))
    _, error = await fails(GatewayUnreachable, at(one).stream(ASK))
    assert f"HTTP {status}" in error.message
    assert "is the URL right?" in error.message
    assert two.requests == []


@pytest.mark.asyncio
async def test_a_stranger_does_not_take_the_status_for_an_answer(one, at):
    one.says["GET health/ready"] = Reply(200, {"status": "ok"})
    with pytest.raises(GatewayRefused):
        await at(one).status()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, b"<html>Welcome</html>", "text/html"), GatewayUnreachable),
        (Reply(200, b"data: {}\nevent: start\n\n", "text/event-stream"), GatewayUnreachable),
        (Reply(404, b"<html>Not here</html>", "text/html"), NotFound),
    ],
)
async def test_who_is_no_gateway_is_said_to_be_none(one, at, clock, reply, kind):
    one.will(reply)
    await fails(kind, at(one).stream(ASK))
    one.says["GET models"] = reply
    with pytest.raises(kind):
        await at(one).models()
    assert clock.slept == []


# -- what the gateway tells ------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_error_before_the_answer_is_raised_as_it_was(one, at):
    raised = NoModelsAvailable("None is left.", retry_after=7.0, details={"route": ROUTE})
    one.will(Reply(503, wire.json_bytes(wire.error_json(raised))))
    _, error = await fails(NoModelsAvailable, at(one).stream(ASK), "None is left.")
    assert (error.retry_after, error.details) == (7.0, {"route": ROUTE})
    assert len(one.requests) == 1


@pytest.mark.asyncio
async def test_an_error_after_the_status_went_out_is_raised_too(one, at):
    one.answer.events = [Failed(SessionBusy("wait", retry_after=1.0))]
    came, error = await fails(SessionBusy, at(one).stream(ASK), "wait")
    assert (came, error.retry_after) == ([], 1.0)
    assert "partial" not in error.details


@pytest.mark.asyncio
async def test_an_answer_that_broke_off_there(one, at):
    broken = StreamBroken("The connection broke.", details={"route": ROUTE})
    part = ChatResponse("Hello, ", Result.UNKNOWN, "lab:a")
    one.answer.events = [*EVENTS[:3], Failed(broken, part, "1-4")]
    *came, last = await read(at(one).stream(ASK))
    assert came == EVENTS[:3]
    assert isinstance(last.error, StreamBroken)
    assert last.response == ChatResponse(
        "Hello, ",
        Result.UNKNOWN,
        "lab:a",
        session_id="s1",
        turn_id="turn-1",
        stream_id="s1~1",
        session_status="restarted",
        route=ROUTE,
        warnings=START.warnings,
    )
    with pytest.raises(StreamBroken) as caught:
        await at(one).ask(ASK)
    assert caught.value.details == {"route": ROUTE, "partial": "Hello, "}


# -- who leaves ------------------------------------------------------------------------------------


async def left_after(k, gateway, request):
    events = gateway.stream(request)
    async with asyncio.timeout(DEADLINE):
        for _ in range(k):
            await anext(events)
        await events.aclose()


@pytest.mark.asyncio
async def test_who_leaves_and_said_so_stops_the_answer(one, at):
    one.says["POST streams/s1~1/stop"] = Reply(200, {"streamId": "s1~1", "status": "stopped"})
    one.will(Silent(3))
    await left_after(2, at(one), ChatRequest("Hi", on_disconnect="cancel"))
    assert one.lines == ["POST stream", "POST streams/s1~1/stop"]


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [True, False])
async def test_an_answer_that_has_not_begun_is_stopped_by_its_turn(one, at, store):
    one.says["POST streams/turn-1/stop"] = Reply(200, {"streamId": "s1~1", "status": "stopped"})
    one.will(Silent(0))
    reader = asyncio.create_task(at(one).ask(ChatRequest("Hi", on_disconnect="cancel", store=store)))
    async with asyncio.timeout(DEADLINE):
        await one.came.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    assert one.lines == ["POST stream", "POST streams/turn-1/stop"]


@pytest.mark.asyncio
@pytest.mark.parametrize("request_", [ASK, ChatRequest("Hi", on_disconnect="finish")])
async def test_who_leaves_else_just_leaves(one, at, request_):
    one.will(Silent(3))
    await left_after(2, at(one), request_)
    async with asyncio.timeout(DEADLINE):
        await one.left.wait()
    assert one.lines == ["POST stream"]


@pytest.mark.asyncio
async def test_an_answer_that_has_ended_is_not_stopped(one, at):
    await left_after(len(EVENTS), at(one), ChatRequest("Hi", on_disconnect="cancel"))
    assert one.lines == ["POST stream"]


@pytest.mark.asyncio
@pytest.mark.parametrize("reply", [Silent(0), Reply(404, b"no"), Reply(401, b""), Cut(headers=False)])
async def test_a_stop_that_fails_holds_nobody_up(one, at, caplog, reply):
    one.will(Silent(3), reply, reply)
    with caplog.at_level(logging.DEBUG, "warp_magics.remote"):
        loop = asyncio.get_running_loop()
        events = at(one).stream(ChatRequest("Hi", on_disconnect="cancel"))
        await anext(events)
        began = loop.time()
        await events.aclose()
    assert loop.time() - began < 5
    assert [record.levelname for record in caplog.records if record.name == "warp_magics.remote"] == ["DEBUG"]


# -- followers and watchers ------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_follower_gets_the_rest_over_any_number_of_connections(one, at):
    one.will(Cut(2), None, Cut(1))
    gateway = at(one)
    assert await read(gateway.follow("ann", "s1~1")) == EVENTS
    assert await read(gateway.follow("ann", "s1~1", "1-3")) == EVENTS[3:]
    assert headers(one, "last-event-id") == [None, "1-2", "1-3", "1-4"]
    assert await read(gateway.follow("ann", "s1~1", "1-7")) == []


@pytest.mark.asyncio
async def test_a_follower_sees_how_an_answer_failed(one, at):
    one.answer.events = [START, Failed(StreamBroken("broke"), ChatResponse("", Result.UNKNOWN, ""), "1-2")]
    _, last = await read(at(one).follow("ann", "s1~1"))
    assert isinstance(last.error, StreamBroken)


@pytest.mark.asyncio
async def test_a_stream_that_is_not_there(one, at):
    await fails(StreamNotFound, at(one).follow("ann", "s2~1"))
    with pytest.raises(StreamNotFound):
        await at(one).stop("ann", "s2~1")


@pytest.mark.asyncio
async def test_a_watcher_sees_what_happens_until_the_session_is_gone(one, at):
    one.answer.feed = [
        SessionEvent("turn-started", "s1", "1", "s1~1", "turn-1"),
        SessionEvent("turn-ended", "s1", "2", "s1~1", "turn-1", "complete"),
        SessionEvent("updated", "s1", "3"),
        SessionEvent("deleted", "s1", "4"),
    ]
    one.will(Cut(1), Cut(1))
    assert await read(at(one).watch("ann", "s1")) == one.answer.feed
    assert one.lines == ["GET sessions/s1/events"] * 3
    assert headers(one, "last-event-id") == [None, "1", "2"]
    assert await read(at(one).watch("ann", "s1", "3")) == one.answer.feed[3:]


@pytest.mark.asyncio
async def test_a_session_that_is_not_there_is_not_watched(one, at):
    one.will(Reply(404, {"code": "SESSION_NOT_FOUND", "message": "no"}))
    await fails(SessionNotFound, at(one).watch("ann", "s1"))


# -- plain calls -----------------------------------------------------------------------------------

SESSION = Session(SessionKey("ann", "s1"), turns=1, created_at=1.0, updated_at=2.0, title="Hi", metadata={"a": 1})
DESCRIBED = Reply(200, wire.session_json(SESSION))
FOUND = {"one": SESSION, "page": Page((SESSION,), "c2")}
TURNS = (turn(1, "a", "b"), turn(2, "c", "d"))
STATUS = GatewayStatus("g", "1", configured=True, ok=True, storage={"type": "memory"})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("call", "line", "query", "body", "reply", "result"),
    [
        (lambda g: g.session("ann", "s1"), "GET sessions/s1", {}, None, DESCRIBED, SESSION),
        (lambda g: g.create("ann", "s1"), "POST sessions", {}, {"sessionId": "s1"}, DESCRIBED, SESSION),
        (
            lambda g: g.create("ann", title="Hi", ttl=5.0, metadata={"a": 1}),
            "POST sessions",
            {},
            {"sessionId": "turn-1", "title": "Hi", "ttl": 5.0, "metadata": {"a": 1}},
            DESCRIBED,
            SESSION,
        ),
        (
            lambda g: g.sessions("ann", search="hü & x", limit=7, cursor="c/1"),
            "GET sessions",
            {"search": "hü & x", "limit": "7", "cursor": "c/1"},
            None,
            Reply(200, wire.page_json(FOUND["page"])),
            FOUND["page"],
        ),
        (
            lambda g: g.update("ann", "s1", title="", metadata={}),
            "PATCH sessions/s1",
            {},
            {"title": "", "metadata": {}},
            DESCRIBED,
            SESSION,
        ),
        (lambda g: g.delete("ann", "s1"), "DELETE sessions/s1", {}, None, Reply(204, b""), None),
        (
            lambda g: g.history("ann", "s1", 0),
            "GET sessions/s1/history",
            {"branch": "0"},
            None,
            Reply(200, {"turns": [wire.turn_json(one) for one in TURNS]}),
            TURNS,
        ),
        (
            lambda g: g.history("ann", "s1", 2, last=1),
            "GET sessions/s1/history",
            {"branch": "2", "last": "1"},
            None,
            Reply(200, {"turns": [wire.turn_json(TURNS[1])]}),
            TURNS[1:],
        ),
        (lambda g: g.history("ann", "s1"), "GET sessions/s1/history", {}, None, Reply(200, {"turns": []}), ()),
        (
            lambda g: g.fork("ann", "s1", at="t1", new_id="s2"),
            "POST sessions/s1/fork",
            {},
            {"at": "t1", "sessionId": "s2"},
            DESCRIBED,
            SESSION,
        ),
        (lambda g: g.rewind("ann", "s1", "t1"), "POST sessions/s1/rewind", {}, {"to": "t1"}, DESCRIBED, SESSION),
        (
            lambda g: g.stop("ann", "s1~1"),
            "POST streams/s1~1/stop",
            {},
            None,
            Reply(200, {"streamId": "s1~1", "status": "ended"}),
            False,
        ),
        (
            lambda g: g.models(),
            "GET models",
            {},
            None,
            Reply(200, {"models": [wire.model_json(ModelState("lab:a"))]}),
            (ModelState("lab:a"),),
        ),
        (lambda g: g.status(), "GET health/ready", {}, None, Reply(200, wire.status_json(STATUS)), STATUS),
    ],
)
async def test_each_verb_is_a_request(one, at, call, line, query, body, reply, result):  # noqa: PLR0917
    one.says[line] = reply
    assert await call(at(one)) == result
    (seen,) = one.requests
    assert (seen.query, seen.body) == (query, body)
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"


BEGUN = Begun("s1", "turn-1", "s1~1")


@pytest.mark.asyncio
async def test_a_prompt_is_begun_and_begun_again_under_its_key_where_that_was_lost(one, two, at):
    one.says["POST stream"] = [LOST, Reply(202, wire.begun_json(BEGUN))]
    assert await at(one).begin(ASK) == BEGUN
    assert headers(one, "idempotency-key") == ["turn-1"] * 2
    assert headers(one, "prefer") == ["respond-async"] * 2
    assert one.requests[0].body == {"prompt": "Hi", "sessionId": "s1", "createSession": True}
    two.says["POST stream"] = Reply(503, {"code": "STORAGE_UNAVAILABLE", "message": "away"})
    with pytest.raises(StoreUnavailable, match="away"):
        await at(two).begin(ASK)
    with pytest.raises(GatewayUnreachable):
        await at(nowhere()).begin(ASK)


@pytest.mark.asyncio
async def test_a_prompt_that_is_given_up_in_line_is_given_up_there(one, at):
    one.says["POST stream"] = Silent()
    waiting = asyncio.create_task(at(one).begin(ASK))
    await one.came.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(one.left.wait(), DEADLINE)


@pytest.mark.asyncio
async def test_an_id_cannot_change_the_path(one, at):
    one.says["GET sessions/a%2Fb%3Fc%23d"] = DESCRIBED
    await at(one).session("ann", "a/b?c#d")
    for bad in ("", ".", ".."):
        with pytest.raises(InvalidRequest):
            await at(one).delete("ann", bad)
    assert len(one.requests) == 1


LOST = Cut(headers=False)
EXISTS = Reply(409, {"code": "SESSION_EXISTS", "message": "taken"})
GONE = Reply(404, {"code": "SESSION_NOT_FOUND", "message": "no"})


@pytest.mark.asyncio
async def test_a_call_that_was_lost_is_made_again(one, two, at):
    one.says["POST sessions"] = [LOST, DESCRIBED]
    assert await at(one).create("ann") == SESSION
    assert [seen.body for seen in one.requests] == [{"sessionId": "turn-1"}] * 2
    one.says["GET models"] = [LOST]
    two.says["GET models"] = Reply(200, {"models": []})
    assert await at(one, two).models() == ()


@pytest.mark.asyncio
async def test_what_a_lost_call_did_is_done(one, at):
    gateway = at(one)
    one.says |= {
        "POST sessions": [LOST, EXISTS],
        "GET sessions/turn-1": DESCRIBED,
        "POST sessions/s1/fork": [LOST, EXISTS],
        "GET sessions/turn-2": DESCRIBED,
        "DELETE sessions/s1": [LOST, LOST, GONE],  # the HTTP client repeats a DELETE once by itself
    }
    assert await gateway.create("ann") == SESSION
    assert await gateway.fork("ann", "s1") == SESSION
    assert await gateway.delete("ann", "s1") is None


@pytest.mark.asyncio
async def test_what_a_call_could_not_do_is_told(one, at):
    one.says |= {
        "POST sessions": [LOST, EXISTS, EXISTS],
        "DELETE sessions/s1": [GONE],
        "GET models": [LOST],
    }
    with pytest.raises(SessionExists):
        await at(one).create("ann", "s1")  # a name that was given may have been somebody else's
    with pytest.raises(SessionExists):
        await at(one).create("ann", "s1")
    with pytest.raises(SessionNotFound):
        await at(one).delete("ann", "s1")
    with pytest.raises(GatewayUnreachable):
        await at(one).models()


@pytest.mark.asyncio
async def test_a_call_that_hangs_is_given_up(one, at):
    one.says["GET models"] = Silent()
    with pytest.raises(GatewayUnreachable, match="in time"):
        async with asyncio.timeout(DEADLINE):
            await at(one, call=0.2).models()


@pytest.mark.parametrize(
    "urls",
    [
        [],
        [""],
        ["127.0.0.1:8888"],
        ["ftp://a/warp"],
        ["http:///warp"],
        [f"http://ann:{TOKEN}@a"],
        [f"http://a?t={TOKEN}"],
    ],
)
def test_what_is_no_place_of_a_gateway_is_refused(urls):
    with pytest.raises(ConfigError) as caught:
        RemoteGateway(urls, TOKEN, chances=Clock().chances())
    assert TOKEN not in caught.value.message
