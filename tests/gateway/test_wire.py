"""AI Warp's JSON: bodies to requests, events and answers to bytes."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.kit import turn
from warp_magics.gateway import wire
from warp_magics.gateway.errors import (
    InvalidRequest,
    NoModelsAvailable,
    RateLimited,
    SessionBusy,
    UnprocessableRequest,
    WarpError,
)
from warp_magics.gateway.sse import Decoder
from warp_magics.gateway.types import (
    Attempt,
    Call,
    ChatRequest,
    ChatResponse,
    Ended,
    Exchange,
    Failed,
    GatewayStatus,
    ModelState,
    Parameters,
    Price,
    Reasoning,
    Restarted,
    Result,
    Source,
    Started,
    Text,
    ToolCall,
    Usage,
    Window,
)
from warp_magics.gateway.wire import error_json, event_bytes, read_ask, time_json, turn_json


def read(body, owner="local"):
    return read_ask(body if isinstance(body, bytes) else json.dumps(body).encode(), owner)


# -- in --------------------------------------------------------------------------------------------


def test_a_prompt_alone_is_a_request():
    assert read({"prompt": "hi"}) == ChatRequest("hi")


def test_every_field_has_its_place():
    body = {
        "prompt": "grüß",
        "sessionId": "s1",
        "createSession": True,
        "store": False,
        "context": "Be brief.",
        "temperature": 0,
        "maxTokens": 10,
        "topP": 0.5,
        "seed": 0,
        "stop": ["a", "b"],
        "models": ["openai:gpt-4o", {"provider": "lab", "model": "x:y"}],
        "history": [{"prompt": "a", "response": "b"}],
        "source": {"kind": "cell", "notebook": "n.ipynb", "cell": "c1"},
        "timeout": 1.5,
        "onBreak": "restart",
        "cache": False,
        "stream": True,
        "resume": True,
    }
    assert read(body, "ann") == ChatRequest(
        "grüß",
        session_id="s1",
        create_session=True,
        store=False,
        owner="ann",
        context="Be brief.",
        models=("openai:gpt-4o", "lab:x:y"),
        parameters=Parameters(0, 10, 0.5, 0, ("a", "b")),
        history=(Exchange("a", "b"),),
        source=Source("cell", "n.ipynb", "c1"),
        timeout=1.5,
        on_break="restart",
        cache=False,
    )


@pytest.mark.parametrize(
    ("field", "value", "name", "read_as"),
    [
        ("context", {"a": [1, "ü"]}, "context", '{"a":[1,"ü"]}'),
        ("context", [1, None], "context", "[1,null]"),
        ("context", None, "context", None),
        ("context", "", "context", ""),
        ("stop", "x", "parameters", Parameters(stop=("x",))),
        ("stop", None, "parameters", Parameters()),
        ("models", None, "models", ()),
        ("models", [], "models", ()),
        ("history", None, "history", ()),
        ("sessionId", None, "session_id", None),
        ("temperature", 2, "parameters", Parameters(temperature=2.0)),
        ("timeout", "30s", "timeout", 30.0),
        ("timeout", "250ms", "timeout", 0.25),
        ("timeout", 30, "timeout", 30.0),
        ("resume", False, "prompt", "hi"),
    ],
)
def test_ways_to_write_a_field(field, value, name, read_as):
    assert getattr(read({"prompt": "hi", field: value}), name) == read_as


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[]", b'"hi"', b"null", b"{}", b'{"prompt": ""}', b'{"prompt": null}']
)
def test_what_is_no_prompt_at_all_is_400(body):
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tempreature": 1, "max_tokens": 5, "session_id": "s"}, {"tempreature", "max_tokens", "session_id"}),
        ({"prompt": 5}, {"prompt"}),
        ({"temperature": 2.5}, {"temperature"}),
        ({"temperature": "hot"}, {"temperature"}),
        ({"temperature": []}, {"temperature"}),
        ({"maxTokens": 0}, {"maxTokens"}),
        ({"maxTokens": 1.5}, {"maxTokens"}),
        ({"topP": 0}, {"topP"}),
        ({"timeout": 0}, {"timeout"}),
        ({"timeout": "soon"}, {"timeout"}),
        ({"sessionId": 7}, {"sessionId"}),
        ({"history": [{"prompt": "a"}]}, {"history.0.response"}),
        ({"history": "x"}, {"history"}),
        ({"source": {"kind": "moon"}}, {"source.kind"}),
        ({"source": {"kind": "cell", "page": 1}}, {"source.page"}),
        ({"store": {}}, {"store"}),
    ],
)
def test_fields_that_are_wrong_are_422_with_their_names(fields, named):
    with pytest.raises(UnprocessableRequest) as caught:
        read({"prompt": "hi", **fields})
    assert caught.value.http_status == 422
    assert set(caught.value.details["fields"]) == named
    assert all(name in caught.value.message for name in named)


@pytest.mark.parametrize(
    "models", [[5], [{"provider": "lab"}], "lab:x", [{"provider": "lab", "model": "x", "key": "k"}]]
)
def test_models_that_are_none_are_named(models):
    with pytest.raises(UnprocessableRequest, match="models"):
        read({"prompt": "hi", "models": models})


def test_a_wrong_value_is_not_said_again():
    with pytest.raises(UnprocessableRequest) as caught:
        read({"prompt": "hi", "temperature": "sk-secret", "sk-field": "sk-other"})
    assert "sk-secret" not in str(error_json(caught.value))
    assert "sk-other" not in str(error_json(caught.value))


FIELDS = st.sampled_from(["prompt", "models", "history", "source", "context", "stop", "timeout", "provider", "model"])
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from([0.5, 1e308, "", "x", "5m", "lab:ok"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3))


@given(VALUES)
def test_no_json_whatever_is_a_crash(value):
    refused = set()
    for body in (value, {"prompt": "hi", "models": value, "context": value}):
        try:
            assert isinstance(read(body), ChatRequest)
        except InvalidRequest as error:
            refused.add(error.http_status)
    assert refused <= {400, 422}


# -- out -------------------------------------------------------------------------------------------

ROUTE = (Attempt("lab:a", "PROVIDER_RESPONSE_ERROR", 0.25, 503, "busy", 60.0), Attempt("lab:b", "ok", 1.23456))
ANSWER = ChatResponse(
    text="Hi\n🌍",
    result=Result.COMPLETE,
    model="lab:b",
    session_id="s1",
    turn_id="t1",
    stream_id="s1~1",
    usage=Usage(1, 2, 3, 4),
    cost=0.5,
    route=ROUTE,
    warnings=("w",),
)
ANSWER_JSON = {
    "text": "Hi\n🌍",
    "result": "COMPLETE",
    "sessionId": "s1",
    "turnId": "t1",
    "streamId": "s1~1",
    "model": "lab:b",
    "usage": {"inputTokens": 1, "outputTokens": 2, "cachedTokens": 3, "reasoningTokens": 4},
    "cost": 0.5,
    "route": [
        {
            "model": "lab:a",
            "outcome": "PROVIDER_RESPONSE_ERROR",
            "seconds": 0.25,
            "status": 503,
            "reason": "busy",
            "restoresIn": 60.0,
        },
        {"model": "lab:b", "outcome": "ok", "seconds": 1.2346},
    ],
    "warnings": ["w"],
}


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (
            Started("lab:b", "s1", "s1~1", "t1", id="1-1"),
            "start",
            {"sessionId": "s1", "streamId": "s1~1", "turnId": "t1", "model": "lab:b"},
        ),
        (Text("a\n\nb", id="1-2"), "content", {"response": "a\n\nb"}),
        (Reasoning("hm", id="1-3"), "reasoning", {"text": "hm"}),
        (ToolCall(Call("c", "f", "{}"), id="1-4"), "tool_call", {"id": "c", "name": "f", "arguments": "{}"}),
        (Restarted("cut", "a:a", "b:b", id="1-5"), "restart", {"reason": "cut", "from": "a:a", "to": "b:b"}),
        (Ended(ANSWER, id="1-6"), "end", {"response": ANSWER_JSON}),
        (
            Failed(RateLimited("slow", retry_after=1.23456, details={"provider": "p"}), ANSWER, id="1-7"),
            "error",
            {
                "code": "PROVIDER_RATE_LIMIT_ERROR",
                "message": "slow",
                "details": {"provider": "p"},
                "retryAfter": 1.235,
                "partial": "Hi\n🌍",
            },
        ),
    ],
)
def test_each_event_is_one_event_of_one_line_as_ai_warps_client_reads_it(event, name, data):
    raw = event_bytes(event)
    assert raw.decode().split("\n")[0] == f"event: {name}"
    assert raw.count(b"\n\n") == 1
    assert sum(line.startswith(b"data: ") for line in raw.split(b"\n")) == 1
    (decoded,) = Decoder().feed(raw)
    assert (decoded.event, decoded.id, json.loads(decoded.data)) == (name, event.id, data)


def test_tool_calls_are_in_an_answer_where_there_are_any():
    said = ChatResponse("", Result.TOOL_CALLS, "lab:a", tool_calls=(Call("c", "f", "{}"),))
    assert wire.response_json(said)["toolCalls"] == [{"id": "c", "name": "f", "arguments": "{}"}]
    assert "toolCalls" not in wire.response_json(ANSWER)


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (WarpError("no"), {"code": "WARP_ERROR", "message": "no"}),
        (SessionBusy("wait", retry_after=10.0), {"code": "SESSION_BUSY", "message": "wait", "retryAfter": 10.0}),
        (
            NoModelsAvailable("none", retry_after=0.0, details={"route": ROUTE[:1]}),
            {
                "code": "PROVIDER_NO_MODELS_AVAILABLE_ERROR",
                "message": "none",
                "details": {"route": ANSWER_JSON["route"][:1]},
                "retryAfter": 0.0,
            },
        ),
        (KeyError("secret"), {"code": "WARP_ERROR", "message": "The gateway failed."}),
    ],
)
def test_an_errors_body(error, body):
    assert json.loads(wire.json_bytes(error_json(error))) == body


def test_a_failure_before_the_first_word_is_an_event_too():
    (event,) = Decoder().feed(wire.failure_bytes(SessionBusy("wait")))
    assert (event.event, json.loads(event.data)) == ("error", {"code": "SESSION_BUSY", "message": "wait"})


def test_a_turn_as_history_lists_it():
    failed = turn(
        2,
        "ask",
        "part",
        status="interrupted",
        result=Result.UNKNOWN,
        source=Source("cell", "n.ipynb", "c1"),
        tool_calls=(Call("c", "f", "{}"),),
        first_token=0.5,
        error={"code": "X", "message": "y"},
        started_at=0.0,
        ended_at=1_700_000_000.5,
    )
    body = json.loads(wire.json_bytes(turn_json(failed)))
    assert body == {
        "turnId": "t2",
        "n": 2,
        "prompt": "ask",
        "attachments": [],
        "toolResults": [],
        "response": "part",
        "toolCalls": [{"id": "c", "name": "f", "arguments": "{}"}],
        "status": "interrupted",
        "result": "INCOMPLETE_UNKNOWN",
        "model": "lab:ok",
        "route": [],
        "usage": {"inputTokens": 0, "outputTokens": 0, "cachedTokens": 0, "reasoningTokens": 0},
        "cost": None,
        "firstToken": 0.5,
        "startedAt": "1970-01-01T00:00:00.000Z",
        "endedAt": "2023-11-14T22:13:20.500Z",
        "source": {"kind": "cell", "notebook": "n.ipynb", "cell": "c1"},
        "error": {"code": "X", "message": "y"},
    }
    assert "error" not in turn_json(turn(1))


def test_models_and_status():
    cooling = ModelState(
        "lab:x:y", "big", in_chain=True, state="cooling", reason="503", restores_in=7.5, window=Window(5, 60.0), left=3
    )
    assert wire.model_json(cooling) == {
        "model": "lab:x:y",
        "provider": "lab",
        "alias": "big",
        "inChain": True,
        "state": "cooling",
        "limits": {"rate": {"max": 5, "timeWindow": 60.0, "left": 3}},
        "price": None,
        "reason": "503",
        "restoresIn": 7.5,
    }
    assert wire.model_json(ModelState("lab:x"))["limits"] == {}
    limited = ModelState("lab:x", state="probing", token_window=Window(9, 1.0), tokens_left=4, price=Price(0.5, 2.0))
    told = wire.model_json(limited)
    assert (told["limits"], told["state"]) == ({"tokens": {"max": 9, "timeWindow": 1.0, "left": 4}}, "probing")
    assert told["price"] == {"input": 0.5, "output": 2.0}
    told = wire.status_json(
        GatewayStatus("g", "1", configured=True, ok=False, reasons=("storage: away",), storage={"type": "valkey"})
    )
    assert (told["status"], told["reasons"], told["storage"]) == ("degraded", ["storage: away"], {"type": "valkey"})
    assert wire.status_json(GatewayStatus("g", "1", configured=True, ok=True))["status"] == "ok"


@given(st.floats(0, 4e9))
def test_times_are_rfc_3339_in_utc(seconds):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time_json(seconds))
