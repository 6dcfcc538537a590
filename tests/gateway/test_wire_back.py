"""What goes over the wire comes back as it was: requests, answers, events, turns, sessions, errors."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway import wire
from warp_magics.gateway.errors import (
    BodyTooLarge,
    GatewayRefused,
    GatewayUnreachable,
    InvalidRequest,
    NoModelsAvailable,
    NotFound,
    RateLimited,
    SessionBusy,
    UnprocessableRequest,
    WarpError,
)
from warp_magics.gateway.sse import Decoder, ServerSentEvent
from warp_magics.gateway.types import (
    Attachment,
    Attempt,
    Begun,
    Branch,
    Call,
    ChatRequest,
    ChatResponse,
    Ended,
    Exchange,
    Failed,
    GatewayStatus,
    ModelState,
    Page,
    Parameters,
    Price,
    Reasoning,
    Restarted,
    Result,
    Session,
    SessionEvent,
    SessionKey,
    Source,
    Started,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    UsageRow,
    Window,
)

TEXT = st.text(max_size=20)
WORD = st.text("abcXYZ019._-~:", min_size=1, max_size=12)
IDS = st.builds("{}-{}".format, st.integers(1, 999), st.integers(1, 999))
COUNT = st.integers(0, 2**40)
SECONDS = st.floats(0, 1e6)
PLACES = st.integers(0, 10**9).map(lambda n: n / 10_000)  # an attempt's seconds have four places on the wire
TIMES = st.integers(0, 4_000_000_000_000).map(lambda n: n / 1000)  # times have milliseconds
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)


def maybe(strategy):
    return st.none() | strategy


def tuples(strategy):
    return st.lists(strategy, max_size=3).map(tuple)


USAGE = st.builds(Usage, COUNT, COUNT, COUNT, COUNT)
CALLS = st.builds(Call, TEXT, TEXT, TEXT)
ATTEMPTS = st.builds(Attempt, WORD, WORD, PLACES, maybe(st.integers(100, 599)), maybe(TEXT), maybe(SECONDS))
SOURCES = st.builds(Source, st.sampled_from(["cell", "panel", "python", "rest"]), maybe(TEXT), maybe(TEXT))
STATUS = maybe(st.sampled_from(["restarted", "stateless"]))
RESPONSES = st.builds(
    ChatResponse,
    text=TEXT,
    result=st.sampled_from(Result),
    model=WORD,
    session_id=maybe(WORD),
    turn_id=maybe(WORD),
    stream_id=maybe(WORD),
    session_status=STATUS,
    usage=USAGE,
    cost=maybe(SECONDS),
    route=tuples(ATTEMPTS),
    warnings=tuples(TEXT),
    tool_calls=tuples(CALLS),
    first_token=maybe(SECONDS),
)
EVENTS = st.one_of(
    st.builds(Started, WORD, maybe(WORD), maybe(WORD), maybe(WORD), tuples(TEXT), STATUS, IDS),
    st.builds(Text, TEXT, IDS),
    st.builds(Reasoning, TEXT, IDS),
    st.builds(ToolCall, CALLS, IDS),
    st.builds(Restarted, TEXT, WORD, WORD, IDS),
    st.builds(Ended, RESPONSES, IDS),
)
TURNS = st.builds(
    Turn,
    id=WORD,
    n=COUNT,
    prompt=TEXT,
    response=TEXT,
    status=st.sampled_from(["complete", "stopped", "failed", "interrupted"]),
    result=st.sampled_from(Result),
    model=maybe(WORD),
    started_at=TIMES,
    ended_at=TIMES,
    route=tuples(ATTEMPTS),
    usage=USAGE,
    cost=maybe(SECONDS),
    first_token=maybe(SECONDS),
    tool_calls=tuples(CALLS),
    source=SOURCES,
    error=maybe(OBJECTS.filter(bool)),
)
EXCHANGES = st.builds(
    Exchange,
    TEXT,
    TEXT,
    tuples(st.builds(Attachment, st.just("text"), TEXT, TEXT, TEXT)),
    tuples(CALLS),
    tuples(st.builds(ToolResult, WORD, TEXT, st.booleans())),
    maybe(WORD),
)
BRANCHES = st.builds(Branch, COUNT, maybe(WORD), COUNT, TIMES)
SESSIONS = st.builds(
    Session,
    key=st.builds(SessionKey, st.just("ann"), WORD),
    turns=COUNT,
    created_at=TIMES,
    updated_at=TIMES,
    expires_at=maybe(TIMES),
    title=TEXT,
    models=tuples(WORD),
    usage=USAGE,
    cost=maybe(SECONDS),
    ttl=maybe(SECONDS),
    metadata=OBJECTS,
    live_stream_id=maybe(WORD),
    live_turn_id=maybe(WORD),
    live_prompt=maybe(TEXT),
    branches=tuples(BRANCHES),
)
LISTED = SESSIONS.map(
    lambda one: Session(
        **{
            name: getattr(one, name)
            for name in one.__slots__
            if name not in ("live_stream_id", "live_turn_id", "live_prompt", "branches")
        }
    )
)


def sent(body):
    """What a reader gets of what a writer made."""
    return wire.json_of(wire.json_bytes(body))


def decoded(data):
    (event,) = Decoder().feed(data)
    return event


# -- requests --------------------------------------------------------------------------------------

REQUESTS = st.builds(
    ChatRequest,
    prompt=TEXT.filter(bool),
    session_id=maybe(WORD),
    create_session=st.booleans(),
    store=st.booleans(),
    owner=st.just("ann"),
    context=maybe(TEXT),
    models=tuples(WORD),
    parameters=st.builds(
        Parameters,
        maybe(st.floats(0, 2)),
        maybe(st.integers(1, 10**9)),
        maybe(st.floats(0, 1, exclude_min=True)),
        maybe(st.integers(-(2**53), 2**53)),
        tuples(TEXT),
    ),
    history=tuples(EXCHANGES),
    source=SOURCES,
    timeout=maybe(st.floats(0.001, 1e6)),
    turn_id=maybe(st.text("abcXYZ019._-", min_size=1, max_size=128)),
)


@given(REQUESTS)
def test_a_request_comes_back(request):
    assert wire.read_ask(wire.ask_bytes(request), "ann", request.turn_id) == request


def test_what_is_left_to_the_gateway_is_not_sent():
    assert wire.ask_bytes(ChatRequest("hi", owner="ann", on_disconnect="cancel", turn_id="t")) == b'{"prompt":"hi"}'


def test_text_that_has_no_bytes_is_the_askers_fault():
    with pytest.raises(InvalidRequest):
        wire.ask_bytes(ChatRequest("caf\udce9"))
    with pytest.raises(InvalidRequest):
        wire.session_bytes(metadata={"a": object()})


@pytest.mark.parametrize("key", ["", "a b", "ü", "a\n", "x" * 129, "../a"])
def test_a_key_that_is_no_id_is_refused(key):
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        wire.read_ask(b'{"prompt": "hi"}', "ann", key)


def test_bodies_about_sessions():
    new = wire.read_new_session(wire.session_bytes("s1", "A title", 90.0, {"a": [1]}))
    assert (new.session_id, new.title, new.ttl, new.metadata) == ("s1", "A title", 90.0, {"a": [1]})
    assert wire.read_new_session(b'{"ttl": "30d"}').ttl == 30 * 86400
    changes = wire.read_changes(wire.session_bytes(title=""))
    assert (changes.title, changes.ttl, changes.metadata) == ("", None, None)
    fork = wire.read_fork(wire.fork_bytes("t1", "s2"))
    assert (fork.at, fork.session_id) == ("t1", "s2")
    assert wire.read_rewind(wire.rewind_bytes("t1")) == "t1"


def test_no_body_is_an_empty_one_where_nothing_must_be_said():
    new, changes, fork = wire.read_new_session(b""), wire.read_changes(b""), wire.read_fork(b"")
    assert (new.session_id, new.title, new.ttl, new.metadata) == (None, "", None, None)
    assert (changes.title, changes.ttl, changes.metadata) == (None, None, None)
    assert (fork.at, fork.session_id) == (None, None)


def deep(levels):
    return {"a": deep(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("read", "body", "named"),
    [
        (wire.read_new_session, {"session_id": "s", "titel": "x"}, {"session_id", "titel"}),
        (wire.read_new_session, {"title": "x" * 201}, {"title"}),
        (wire.read_new_session, {"ttl": 0}, {"ttl"}),
        (wire.read_new_session, {"ttl": "soon"}, {"ttl"}),
        (wire.read_new_session, {"ttl": 1e300}, {"ttl"}),
        (wire.read_new_session, {"metadata": {"a": "x" * 16384}}, {"metadata"}),
        (wire.read_new_session, {"metadata": [1]}, {"metadata"}),
        (wire.read_new_session, {"metadata": deep(300)}, {"metadata"}),
        (wire.read_changes, {"sessionId": "s"}, {"sessionId"}),
        (wire.read_changes, {"title": 5, "ttl": {}}, {"title", "ttl"}),
        (wire.read_fork, {"at": 5, "to": "t"}, {"at", "to"}),
        (wire.read_rewind, {}, {"to"}),
        (wire.read_rewind, {"to": None}, {"to"}),
    ],
)
def test_fields_that_are_wrong_are_named(read, body, named):
    with pytest.raises(UnprocessableRequest) as caught:
        read(json.dumps(body).encode())
    assert set(caught.value.details["fields"]) == named


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff"])
@pytest.mark.parametrize("read", [wire.read_new_session, wire.read_changes, wire.read_fork, wire.read_rewind])
def test_what_is_no_object_is_400(read, body):
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert caught.value.http_status == 400


def test_metadata_is_allowed_16_kilobytes():
    body = {"a": "x" * (16384 - len('{"a":""}'))}
    assert wire.read_changes(json.dumps({"metadata": body}).encode()).metadata == body


# -- answers and events ----------------------------------------------------------------------------


@given(RESPONSES)
def test_an_answer_comes_back(said):
    assert wire.response_of(sent(wire.response_json(said))) == said


@given(WORD, WORD, WORD)
def test_a_prompt_that_has_its_turn_comes_back(session, turn, stream):
    begun = Begun(session, turn, stream)
    assert wire.begun_of(sent(wire.begun_json(begun))) == begun


@given(EVENTS)
def test_an_event_comes_back_and_has_the_same_bytes_again(event):
    data = wire.event_bytes(event)
    assert wire.event_of(decoded(data)) == event
    assert wire.event_bytes(wire.event_of(decoded(data))) == data


@given(SECONDS)
def test_seconds_are_rounded_once(seconds):
    said = ChatResponse("", Result.COMPLETE, "a:b", route=(Attempt("a:b", "ok", seconds),))
    data = wire.event_bytes(Ended(said, "1-1"))
    assert wire.event_bytes(wire.event_of(decoded(data))) == data


ERRORS = st.sampled_from([WarpError, SessionBusy, RateLimited, NoModelsAvailable, GatewayUnreachable])
DETAILS = st.dictionaries(TEXT.filter(lambda name: name not in ("route", "code")), JSON, max_size=2)


@given(ERRORS, TEXT, maybe(SECONDS), DETAILS, tuples(ATTEMPTS), maybe(TEXT), IDS)
def test_a_failure_comes_back(kind, message, wait, details, route, part, id):  # noqa: A002, PLR0917
    error = kind(message, retry_after=wait, details={**details, "route": route})
    failed = Failed(error, part if part is None else ChatResponse(part, Result.UNKNOWN, ""), id)
    data = wire.event_bytes(failed)
    back = wire.event_of(decoded(data))
    assert (type(back.error), back.error.message, back.error.details) == (kind, message, error.details)
    assert back.error.retry_after == (None if wait is None else round(wait, 3))
    assert (back.response, back.id) == (failed.response, id)
    assert wire.event_bytes(back) == data


@pytest.mark.parametrize("error", [KeyError("x"), WarpError("no", details={"code": "OF_A_NEWER_GATEWAY", "a": 1})])
def test_failures_that_have_no_class_keep_their_bytes(error):
    data = wire.failure_bytes(error)
    assert wire.event_bytes(Failed(wire.event_of(decoded(data)).error)) == data


def test_a_code_of_a_newer_gateway_is_handed_on():
    told = b'{"code":"OF_A_NEWER_GATEWAY","message":"no"}'
    assert wire.json_bytes(wire.error_json(wire.error_of(500, told))) == told


def test_comments_and_kinds_of_a_newer_gateway_are_no_events():
    assert Decoder().feed(b": ping\n\n") == []
    assert wire.event_of(ServerSentEvent("{}", "moon", "1-1")) is None
    assert wire.event_of(ServerSentEvent("hello")) is None
    assert wire.session_event_of(ServerSentEvent("{}", "moon", "1-1")) is None


@pytest.mark.parametrize("data", ["", "{", "[]", "null", "5", "{}", '{"response": {}}'])
@pytest.mark.parametrize("kind", ["start", "reasoning", "tool_call", "restart", "end", "error"])
def test_an_event_of_ours_that_is_none_is_a_value_error(kind, data):
    with pytest.raises(ValueError, match="no JSON of a gateway"):
        wire.event_of(ServerSentEvent(data, kind, "1-1"))


@given(JSON)
def test_junk_is_a_value_error_for_every_reader(junk):
    for read in (wire.response_of, wire.turn_of, wire.model_of, wire.stopped_of, wire.turns_of, wire.models_of):
        with pytest.raises(ValueError, match="no JSON of a gateway"):
            read(junk)
    for read in (wire.session_of, wire.page_of):
        with pytest.raises(ValueError, match="no JSON of a gateway"):
            read(junk, "ann")


# -- errors ----------------------------------------------------------------------------------------


def test_an_error_is_told_by_its_code():
    route = (Attempt("a:b", "RATE_LIMIT_EXCEEDED", 0.5, 429, "busy", 7.0),)
    raised = NoModelsAvailable("none", retry_after=7.0, details={"route": route, "partial": "Hi"})
    error = wire.error_of(503, wire.json_bytes(wire.error_json(raised)))
    assert type(error) is NoModelsAvailable
    assert (error.message, error.retry_after, error.details) == ("none", 7.0, raised.details)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, GatewayRefused),
        (403, GatewayRefused),
        (404, NotFound),
        (413, BodyTooLarge),
        (500, WarpError),
        (502, GatewayUnreachable),
        (503, GatewayUnreachable),
        (504, GatewayUnreachable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>oh</html>", b"[]", b"\xff", b'{"message": "oh", "reason": null}'])
def test_who_is_no_gateway_is_told_by_the_status(status, kind, body):
    error = wire.error_of(status, body)
    assert type(error) is kind
    assert str(status) in error.message
    assert "<" not in error.message


@given(st.integers(300, 599), st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_of_an_error_is_a_crash(status, body):
    assert isinstance(wire.error_of(status, body), WarpError)


@pytest.mark.parametrize("field", ["code", "message", "details", "retryAfter"])
@given(value=JSON)
def test_no_field_of_an_error_is_a_crash(field, value):
    body = {"code": "SESSION_BUSY", "message": "no", "details": {"route": [{}]} if field == "details" else {}}
    error = wire.error_of(500, json.dumps({**body, field: value}).encode())
    assert isinstance(error.message, str)
    assert wire.json_bytes(wire.error_json(error))


# -- turns, sessions, the gateway's state ----------------------------------------------------------


@given(TURNS)
def test_a_turn_comes_back(turn):
    assert wire.turn_of(sent(wire.turn_json(turn))) == turn


@given(SESSIONS)
def test_a_session_comes_back(session):
    assert wire.session_of(sent(wire.session_json(session)), "ann") == session


@given(tuples(LISTED), maybe(TEXT))
def test_a_page_comes_back(sessions, cursor):
    assert wire.page_of(sent(wire.page_json(Page(sessions, cursor))), "ann") == Page(sessions, cursor)


def test_a_session_as_rest_describes_it():
    session = Session(
        SessionKey("ann", "s1"),
        turns=2,
        created_at=0.0,
        updated_at=1.5,
        title="Hi",
        models=("lab:a",),
        ttl=60.0,
        metadata={"a": 1},
        live_stream_id="s1~3",
        live_turn_id="t3",
        live_prompt="Why?",
        branches=(Branch(1, "t1", 4, 1.0),),
    )
    listed = {
        "sessionId": "s1",
        "title": "Hi",
        "turns": 2,
        "createdAt": "1970-01-01T00:00:00.000Z",
        "updatedAt": "1970-01-01T00:00:01.500Z",
        "expiresAt": None,
        "ttl": 60.0,
        "metadata": {"a": 1},
        "models": ["lab:a"],
        "usage": {"inputTokens": 0, "outputTokens": 0, "cachedTokens": 0, "reasoningTokens": 0},
        "cost": None,
        "unpriced": 0,
    }
    branches = [{"branch": 1, "after": "t1", "turns": 4, "createdAt": "1970-01-01T00:00:01.000Z"}]
    assert wire.session_json(session) == {
        **listed,
        "liveStreamId": "s1~3",
        "liveTurnId": "t3",
        "livePrompt": "Why?",
        "branches": branches,
    }
    assert wire.page_json(Page((session,), "c")) == {"sessions": [listed], "nextCursor": "c"}


@given(
    st.builds(
        SessionEvent,
        st.sampled_from(["turn-started", "turn-ended", "rewound", "updated", "deleted"]),
        WORD,
        IDS,
        maybe(WORD),
        maybe(WORD),
        maybe(st.sampled_from(["complete", "stopped", "failed", "interrupted"])),
    )
)
def test_what_happens_to_a_session_comes_back(event):
    data = wire.session_event_bytes(event)
    assert wire.session_event_of(decoded(data)) == event
    assert decoded(data).event == event.kind


@pytest.mark.parametrize("by", ["model", "session", "day"])
def test_what_was_used_comes_back(by):
    rows = (UsageRow("a", 3, Usage(1, 2, 3, 4), 0.5, 1), UsageRow("b", 1, Usage(), None))
    told = [wire.usage_row_json(row, by) for row in rows]
    assert [row[by] for row in told] == ["a", "b"]
    assert wire.usage_of(sent({"by": by, "usage": told})) == rows


@pytest.mark.parametrize(
    "state",
    [
        ModelState("lab:a"),
        ModelState("lab:a:b", "big", in_chain=True, window=Window(5, 60.0), left=0),
        ModelState("lab:a", state="cooling", reason="503", restores_in=7.5),
        ModelState("lab:a", state="probing", reason="503", restores_in=0.0, price=Price(0.5, 2.0)),
        ModelState("lab:a", token_window=Window(9, 1.0), tokens_left=4),
    ],
)
def test_a_models_state_comes_back(state):
    assert wire.models_of(sent({"models": [wire.model_json(state)]})) == (state,)


@pytest.mark.parametrize("configured", [True, False])
def test_the_gateways_state_comes_back(configured):
    status = GatewayStatus("g", "1", configured=configured, ok=False, reasons=("a",), storage={"type": "memory"})
    assert wire.status_of(sent(wire.status_json(status))) == status


def test_who_is_told_the_status_alone_is_a_stranger():
    with pytest.raises(GatewayRefused):
        wire.status_of({"status": "ok"})


def test_reading_answers_needs_nothing_of_what_parses_bodies():
    code = "import sys\nfrom warp_magics.gateway import wire\nwire.event_of, wire.ask_bytes\nassert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_name_is_there():
    assert sorted(set(wire.__all__)) == sorted(wire.__all__)
    assert all(hasattr(wire, name) for name in wire.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        wire.no_such_name  # noqa: B018 - looking is the test
