"""What goes wrong is the same error with the same words and the same part of an answer, wherever the gateway is."""

import asyncio

import pytest

from tests.gateway.contract.world import OWNER, SESSION_WAIT, asking, new_id
from tests.gateway.kit import ends, events_of, read, route, text_of
from warp_magics.gateway.errors import (
    AccessRefused,
    ContentFiltered,
    ContextTooLong,
    FirstTokenTimeout,
    InvalidRequest,
    InvalidSessionId,
    NoContent,
    NoModelsAvailable,
    ProviderError,
    ProviderUnreachable,
    QuotaExceeded,
    RateLimited,
    SessionBusy,
    SessionExists,
    SessionNotFound,
    StreamBroken,
    StreamNotFound,
    TurnNotFound,
    UnknownModel,
)
from warp_magics.gateway.types import Exchange, Failed, Parameters, Result

pytestmark = pytest.mark.asyncio


async def both(gateway, request, kind):
    """What `ask` and `stream` raise is one error; its details."""
    with pytest.raises(kind) as asked:
        await gateway.ask(request)
    with pytest.raises(kind) as streamed:
        await events_of(gateway, request)
    one, two = asked.value, streamed.value
    assert type(one) is type(two) is kind
    assert (one.code, one.message) == (two.code, two.message)
    return one


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({"prompt": "   "}, InvalidRequest, "The prompt is empty"),
        ({"prompt": ""}, InvalidRequest, "empty"),
        ({"prompt": "half \ud83d"}, InvalidRequest, "surrogate"),
        ({"session_id": "a b"}, InvalidSessionId, "'a b' is not a session id"),
        ({"session_id": "x" * 129}, InvalidSessionId, "1 to 128 characters"),
        ({"session_id": "ünï"}, InvalidSessionId, "A-Z a-z 0-9 . _ -"),
        ({"models": ("nobody:ok",)}, UnknownModel, 'there is no provider "nobody"'),
        ({"models": ("lab:ok", "unheard-of")}, UnknownModel, "unheard-of"),
        ({"parameters": Parameters(temperature=3.0)}, InvalidRequest, "temperature is from 0 to 2"),
        ({"timeout": -1.0}, InvalidRequest, "timeout is at least 0.001"),
        ({"turn_id": "a/b"}, InvalidRequest, "1 to 128 characters"),
        ({"session_id": "s", "history": (Exchange("a", "b"),)}, InvalidRequest, "history and sessionId exclude"),
        ({"session_id": "s", "store": False}, InvalidRequest, "store: false keeps no session"),
    ],
)
async def test_a_request_that_cannot_be_meant_so(gateway, there, fields, kind, told):
    error = await both(gateway, asking(**fields), kind)
    assert told in error.message
    assert error.http_status == 400


async def test_a_session_that_is_not_there(gateway, there, sid):
    error = await both(gateway, asking("hello", sid, create_session=False), SessionNotFound)
    assert sid in error.message
    calls = [
        lambda: gateway.session(OWNER, sid),
        lambda: gateway.history(OWNER, sid),
        lambda: gateway.update(OWNER, sid, title="x"),
        lambda: gateway.delete(OWNER, sid),
        lambda: gateway.fork(OWNER, sid),
        lambda: gateway.rewind(OWNER, sid, "t"),
        lambda: read(gateway.watch(OWNER, sid)),
    ]
    for call in calls:
        with pytest.raises(SessionNotFound, match=sid):
            await call()
    for call in (gateway.stop, lambda owner, one: read(gateway.follow(owner, one))):
        with pytest.raises(StreamNotFound):
            await call(OWNER, f"{sid}~1")


@pytest.mark.parametrize("bad", ["a b", "x" * 129, "ü", "a/b", "a?b#c", "%2e", "a~1"])
async def test_an_id_that_is_none_is_refused_by_every_verb(gateway, there, bad):
    calls = [
        lambda: gateway.create(OWNER, bad),
        lambda: gateway.session(OWNER, bad),
        lambda: gateway.history(OWNER, bad),
        lambda: gateway.update(OWNER, bad, title="x"),
        lambda: gateway.delete(OWNER, bad),
        lambda: gateway.fork(OWNER, bad),
        lambda: gateway.rewind(OWNER, bad, "t"),
        lambda: read(gateway.watch(OWNER, bad)),
    ]
    for call in calls:
        with pytest.raises(InvalidSessionId, match="is not a session id"):
            await call()
    for call in (gateway.stop, lambda owner, one: read(gateway.follow(owner, one))):
        with pytest.raises(StreamNotFound):
            await call(OWNER, f"{bad}~x")


async def test_what_a_session_does_not_have(gateway, there, sid):
    await gateway.ask(asking("one", sid, there.name()))
    for call in (
        lambda: gateway.fork(OWNER, sid, at="nothing"),
        lambda: gateway.rewind(OWNER, sid, "nothing"),
    ):
        with pytest.raises(TurnNotFound, match="nothing"):
            await call()
    for call in (lambda: gateway.create(OWNER, sid), lambda: gateway.fork(OWNER, sid, new_id=sid)):
        with pytest.raises(SessionExists, match=sid):
            await call()
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest, match="limit is from 1 to 1000"):
            await gateway.sessions(OWNER, limit=limit)
    for ttl in (0.0, -1.0):
        with pytest.raises(InvalidRequest, match="ttl"):
            await gateway.update(OWNER, sid, ttl=ttl)
        with pytest.raises(InvalidRequest, match="ttl"):
            await gateway.create(OWNER, new_id(), ttl=ttl)


@pytest.mark.parametrize(
    ("behaviour", "kind", "status", "told"),
    [
        ("fail-401", AccessRefused, 401, "Incorrect API key"),
        ("fail-403", AccessRefused, 403, "no access"),
        ("fail-429-retry-after-9", RateLimited, 429, "Rate limit reached"),
        ("quota", QuotaExceeded, 429, "exceeded your current quota"),
        ("context-too-long", ContextTooLong, 400, "maximum context length"),
        ("filtered", ContentFiltered, 400, "content management policy"),
        ("fail-500", ProviderError, 500, "had an error"),
        ("empty", NoContent, None, ""),
        ("reset", ProviderUnreachable, None, ""),
    ],
)
async def test_a_lone_model_that_fails_is_told_by_its_own_error(  # noqa: PLR0917
    gateway, there, sid, behaviour, kind, status, told
):
    model = there.name(behaviour)
    with pytest.raises(kind) as caught:
        await gateway.ask(asking("hello", sid, model))
    error = caught.value
    assert error.code == kind.code
    assert told in error.message
    assert route(error.details["route"]) == [(model, kind.code)]
    assert error.details["route"][0].status == status
    assert error.retry_after == (9.0 if behaviour.endswith("9") else None)
    assert "partial" not in error.details
    assert "sk-test" not in f"{error!r} {error.details}"
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.status, turn.response, turn.error["code"]) == ("failed", "", kind.code)
    assert turn.route == error.details["route"]


async def test_a_provider_that_is_down(gateway, there, sid):
    model = f"dead:{there.name()}"
    with pytest.raises(ProviderUnreachable) as caught:
        await gateway.ask(asking("hello", sid, model))
    (attempt,) = caught.value.details["route"]
    assert (attempt.model, attempt.outcome, attempt.status) == (model, "PROVIDER_UNREACHABLE_ERROR", None)
    assert attempt.restores_in == (None if there.timeless else 5)


async def test_models_that_are_all_down_are_all_named(gateway, there, sid):
    one, two = there.name("fail-503"), there.name("fail-429-retry-after-30")
    request = asking("hello", sid, one, f"dead:{two}", two)
    with pytest.raises(NoModelsAvailable) as caught:
        await gateway.ask(request)
    error = caught.value
    assert route(error.details["route"]) == [
        (one, "PROVIDER_RESPONSE_ERROR"),
        (f"dead:{two}", "PROVIDER_UNREACHABLE_ERROR"),
        (two, "PROVIDER_RATE_LIMIT_ERROR"),
    ]
    assert 0 < error.retry_after <= 30
    assert all(name in error.message for name in (one, two, "dead:"))
    with pytest.raises(NoModelsAvailable) as again:
        await gateway.ask(asking("hello", sid, two, two))
    (passed,) = again.value.details["route"]
    assert (passed.model, passed.outcome, passed.reason) == (f"lab:{two}", "cooling", "429")
    assert len(there.calls(two)) == 1


async def test_a_slow_first_word_is_a_timeout_where_there_is_another_model(gateway, there, sid):
    slow, bad = there.name("stall-first"), there.name("fail-503")
    with pytest.raises(NoModelsAvailable) as caught:
        await gateway.ask(asking("hello", sid, slow, bad))
    assert [one.outcome for one in caught.value.details["route"]] == [FirstTokenTimeout.code, "PROVIDER_RESPONSE_ERROR"]


@pytest.mark.parametrize("behaviour", ["cut-2", "end-2", "reset-2", "error-2"])
async def test_an_answer_that_breaks_off_keeps_its_part(gateway, there, sid, behaviour):
    model = there.name(behaviour)
    events = await events_of(gateway, asking("hello", sid, model, on_break="error"))
    last = ends(events)
    assert isinstance(last, Failed)
    assert isinstance(last.error, ProviderError)
    part = last.response
    assert (part.text, part.result, part.model) == ("You said", Result.UNKNOWN, f"lab:{model}")
    assert (part.session_id, part.stream_id) == (sid, f"{sid}~1")
    assert part.turn_id == events[0].turn_id
    assert route(part.route) == [(model, last.error.code)]
    assert last.error.details["route"] == part.route
    assert last.id == f"1-{len(events)}"
    (turn,) = await gateway.history(OWNER, sid)
    assert (turn.id, turn.status, turn.response) == (part.turn_id, "interrupted", "You said")
    assert turn.error == {"code": last.error.code, "message": last.error.message}
    if behaviour != "reset-2":  # a reset may overtake the words
        model = there.name(behaviour)
        with pytest.raises(type(last.error)) as caught:
            await gateway.ask(asking("hello", sid, model, on_break="error"))
        assert caught.value.details["partial"] == "You said"
        assert route(caught.value.details["route"]) == [(model, last.error.code)]


async def test_a_broken_answer_can_be_followed_and_gone_on_from(gateway, there, sid):
    events = await events_of(gateway, asking("hello", sid, there.name("cut-2")))
    seen = await read(gateway.follow(OWNER, f"{sid}~1", "1-1"))
    assert [event.id for event in seen] == [event.id for event in events[1:]]
    assert isinstance(seen[-1], Failed)
    assert isinstance(seen[-1].error, StreamBroken)
    assert seen[-1].response.text == "You said"
    answer = await gateway.ask(asking("go on", sid, there.name()))
    assert answer.text == "You said 'go on' in message 3."


async def test_a_session_that_is_kept_too_long_is_busy(gateway, there, sid):
    model, go = there.held(2)
    other = there.name()
    before = await gateway.ask(asking("before", sid, there.name()))
    events = gateway.stream(asking("first", sid, model))
    begun = await read(events, 3)
    with pytest.raises(SessionBusy) as caught:
        await gateway.ask(asking("second", sid, other))
    assert sid in caught.value.message
    assert f"{SESSION_WAIT:g} s" in caught.value.message
    assert caught.value.retry_after > 0
    with pytest.raises(SessionBusy, match=sid):
        await gateway.rewind(OWNER, sid, before.turn_id)
    assert there.calls(other) == []
    go.set()
    assert text_of([*begun, *await read(events)]) == "You said 'first' in message 3."
    assert (await gateway.ask(asking("third", sid, other))).stream_id == f"{sid}~3"


async def test_an_error_spoils_nothing_for_those_beside_it(gateway, there):
    sessions = [new_id() for _ in range(6)]
    models = [there.name("fail-503") if n % 2 else there.name() for n in range(6)]
    asked = (gateway.ask(asking("hi", one, model)) for one, model in zip(sessions, models, strict=True))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(answer, ProviderError) for answer in answers] == [False, True] * 3
