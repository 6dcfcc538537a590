"""What Cohere's refusals mean, and its errors in the midst of an answer."""

import json

import pytest

from tests.wire.kit import read, read_until_error, sample, samples
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.dialects.cohere_errors import PHRASES
from warp_magics.gateway.errors import (
    AccessRefused,
    ContentFiltered,
    ContextTooLong,
    ModelMissing,
    NoContent,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    StreamBroken,
)
from warp_magics.gateway.types import Text

COHERE = dialect("cohere")
KINDS = {
    "access": AccessRefused,
    "billing": QuotaExceeded,
    "cancelled": ProviderFault,
    "field": RequestRefused,
    "gateway": ProviderFault,
    "hallucinated": ProviderFault,
    "key": AccessRefused,
    "max_tokens": RequestRefused,
    "minute": RateLimited,
    "model": ModelMissing,
    "model_month": QuotaExceeded,
    "no_response": NoContent,
    "server": ProviderFault,
    "temperature": RequestRefused,
    "tokens_minute": RateLimited,
    "too_long": ContextTooLong,
    "too_long_multi_hop": ContextTooLong,
    "tool_generation": ProviderFault,
    "trial_minute": RateLimited,
    "trial_month": QuotaExceeded,
    "unavailable": ProviderFault,
    "unsafe": ContentFiltered,
}


def test_every_sample_of_a_refusal_is_read():
    refusals = [name for name in samples("cohere", "json") if "/error_" in name]
    assert {name.removeprefix("cohere/error_").removesuffix(".json") for name in refusals} == KINDS.keys()


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_what_a_refusal_means(name, kind):
    told = json.loads(sample(f"cohere/error_{name}.json"))
    error = COHERE.error(told["status"], {}, json.dumps(told["body"]).encode())
    message = told["body"]["message"]
    assert type(error) is kind
    assert (error.status, error.message, error.details) == (told["status"], message, {"provider": message})
    assert error.retry_after is None


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.pattern)
def test_each_phrase_means_its_kind_and_says_where_it_was_seen(phrase):
    body = json.dumps({"message": phrase.sample}).encode()
    assert [type(COHERE.error(status, {}, body)) for status in (400, 422, 429)] == [phrase.kind] * 3
    assert type(COHERE.error(500, {}, body)) is ProviderFault
    assert phrase.source.startswith("https://")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "no"}', "no"),
        (b'{"error": "no"}', "no"),
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"detail": [{"loc": ["p"]}]}', '[{"loc":["p"]}]'),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"[1]", "[1]"),
        (b'{"message": null}', '{"message": null}'),
        (b"", "status 502"),
    ],
)
def test_an_errors_words_are_found_wherever_they_are(body, message):
    assert COHERE.error(502, {}, body).message == message


def test_a_proxy_that_names_a_wait_is_heard():
    assert COHERE.error(429, {"retry-after": "7"}, b'{"message": "slow down"}').retry_after == 7.0


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("error_finish", ContextTooLong, "too many tokens: size limit exceeded by 12 tokens."),
        ("error_in_stream", ProviderFault, "internal server error"),
        ("timeout", StreamBroken, "The provider's answer broke off before its end."),
    ],
)
def test_an_error_in_mid_stream_is_raised_after_what_was_said(name, kind, message):
    said, error = read_until_error(COHERE, sample(f"cohere/{name}.sse"), kind)
    assert said == [Text("I ")]
    assert type(error) is kind
    assert error.message == message


@pytest.mark.parametrize("name", ["error_finish", "error_in_stream", "timeout"])
def test_it_is_the_same_error_at_every_cut(name):
    raw = sample(f"cohere/{name}.sse")
    kinds = set()
    for cut in range(len(raw)):
        with pytest.raises((StreamBroken, ContextTooLong, ProviderFault)) as caught:
            read(COHERE, [raw[:cut], raw[cut:]])
        kinds.add((type(caught.value), caught.value.message))
    assert len(kinds) == 1


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT", "USER_CANCEL"])
def test_an_answer_that_its_sender_calls_broken_is(reason):
    told = {"type": "message-end", "delta": {"finish_reason": reason, "error": "the model went away"}}
    with pytest.raises(StreamBroken, match="the model went away"):
        read(COHERE, [f"data: {json.dumps(told)}\n\ndata: [DONE]\n\n".encode()])


def test_an_error_event_has_its_code_heard():
    told = {"error_type": "NO_VALID_RESPONSE_GENERATED", "message": "No valid response generated"}
    with pytest.raises(NoContent):
        read(COHERE, [f"event: error\ndata: {json.dumps(told)}\n\n".encode()])
