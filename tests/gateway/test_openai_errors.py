"""What a provider's refusals mean."""

import json

import pytest

from tests.wire.kit import sample, samples
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.dialects.openai_errors import PHRASES
from warp_magics.gateway.dialects.refusals import StreamRefused, error_class
from warp_magics.gateway.errors import (
    AccessRefused,
    ContentFiltered,
    ContextTooLong,
    ModelMissing,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
)

OPENAI = dialect("openai")


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        (400, {}, RequestRefused),
        (400, {"code": "context_length_exceeded"}, ContextTooLong),
        (400, {"code": "content_filter"}, ContentFiltered),
        (400, {"code": "content_policy_violation"}, ContentFiltered),
        (401, {"code": "invalid_api_key"}, AccessRefused),
        (400, {"code": "invalid_api_key"}, AccessRefused),
        (402, {}, QuotaExceeded),
        (403, {}, AccessRefused),
        (404, {"code": "model_not_found"}, ModelMissing),
        (413, {}, RequestRefused),
        (422, {}, RequestRefused),
        (429, {"code": "rate_limit_exceeded"}, RateLimited),
        (429, {"type": "insufficient_quota"}, QuotaExceeded),
        (429, {"code": "insufficient_quota"}, QuotaExceeded),
        (429, {"type": "insufficient_quota", "code": "credit_balance_exhausted"}, QuotaExceeded),
        (429, {"code": "billing_not_active"}, QuotaExceeded),
        (408, {}, ProviderFault),
        (500, {}, ProviderFault),
        (503, {"code": "overloaded"}, ProviderFault),
        (529, {}, ProviderFault),
        (302, {}, ProviderFault),
    ],
)
def test_what_an_error_means_by_its_code_and_its_status(status, fields, kind):
    error = OPENAI.error(status, {}, json.dumps({"error": {"message": "so it is", **fields}}).encode())
    assert type(error) is kind
    assert (error.status, error.message, error.details) == (status, "so it is", {"provider": "so it is"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": "no"}', "no"),
        (b'{"message": "no"}', "no"),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"", "status 502"),
        (b"[1]", "[1]"),
        (b'{"error": {"message": null}}', '{"error": {"message": null}}'),
    ],
)
def test_an_errors_words_are_found_wherever_they_are(body, message):
    assert OPENAI.error(502, {}, body).message == message


def test_consequences_hang_together():
    assert (RequestRefused.fall_back, RequestRefused.retry, RequestRefused.restore) == (False, False, None)
    assert (ContentFiltered.fall_back, ContentFiltered.restore) == (False, None)
    assert (ContextTooLong.fall_back, ContextTooLong.retry, ContextTooLong.restore) == (True, False, None)
    assert (AccessRefused.retry, ModelMissing.retry, QuotaExceeded.retry) == (False, False, False)
    assert (RateLimited.restore, QuotaExceeded.restore) == ("rate_limit", "quota")
    assert error_class(418) is RequestRefused


SAMPLES = {
    "error_openai_context": (400, ContextTooLong),
    "error_openai_quota": (429, QuotaExceeded),
    "error_openai_key": (401, AccessRefused),
    "error_openai_unverified": (400, StreamRefused),
    "error_openai_too_large": (429, ContextTooLong),
    "error_azure_filter": (400, ContentFiltered),
    "error_deepseek_balance": (402, QuotaExceeded),
    "error_mistral_context": (400, ContextTooLong),
    "error_mistral_key": (401, AccessRefused),
    "error_mistral_fields": (422, RequestRefused),
    "error_groq_too_large": (413, ContextTooLong),
    "error_openrouter_moderated": (403, ContentFiltered),
    "error_openrouter_upstream": (400, ContextTooLong),
    "error_openrouter_free": (429, RateLimited),
    "error_openrouter_credits": (402, QuotaExceeded),
    "error_together_context": (422, ContextTooLong),
    "error_xai_key": (400, AccessRefused),
    "error_xai_safety": (403, ContentFiltered),
    "error_ollama_model": (404, ModelMissing),
    "error_lmstudio_context": (400, ContextTooLong),
    "error_vllm_context": (400, ContextTooLong),
    "error_llamacpp_context": (400, ContextTooLong),
    "error_llamacpp_loading": (503, ProviderFault),
}


def refused(name, headers=None):
    return OPENAI.error(SAMPLES[name][0], headers or {}, sample(f"openai/{name}.json"))


def test_each_sample_is_read_by_a_test():
    assert {name.removeprefix("openai/") for name in samples("openai", "json") if "/error_" in name} == {
        f"{name}.json" for name in SAMPLES
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_servers_refusal_means(name):
    error = refused(name)
    assert type(error) is SAMPLES[name][1]
    assert error.status == SAMPLES[name][0]
    assert error.message
    assert not error.message.startswith('{"error"')


def test_what_the_provider_behind_openrouter_said_is_told_too():
    assert refused("error_openrouter_upstream").message.startswith("Provider returned error: {")
    assert "Extra inputs are not permitted" in refused("error_mistral_fields").message


def test_openrouter_tells_in_its_body_when_the_free_day_is_over():
    error = refused("error_openrouter_free", {"date": "Mon, 23 Nov 2026 20:00:00 GMT"})
    assert error.retry_after == 3600
    assert error.details["limits"] == {"requests": {"limit": 50, "remaining": 0, "reset": 3600}}


@pytest.mark.parametrize("metadata", [None, 5, [], {"raw": {"error": "x"}, "headers": "x"}, {"raw": ""}])
def test_odd_metadata_are_passed_over(metadata):
    body = json.dumps({"error": {"message": "no", "metadata": metadata}}).encode()
    assert OPENAI.error(400, {}, body).message == "no"


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.sample[:30])
def test_each_phrase_means_its_kind_and_no_other(phrase):
    assert phrase.fits(phrase.sample)
    assert {one.kind for one in PHRASES if one.fits(phrase.sample)} == {phrase.kind}
    assert type(OPENAI.error(400, {}, json.dumps({"error": phrase.sample}).encode())) is phrase.kind
    assert phrase.source


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'usr'. Supported values are: 'system', 'assistant', 'user', and 'tool'.",
        "max_tokens is too large: 200000. This model supports at most 16384 completion tokens.",
        "Unsupported parameter: 'max_tokens' is not supported with this model.",
        "The request is too large to be logged.",
        "Unexpected role 'user' after role 'tool'",
        "",
    ],
)
def test_words_nobody_knows_leave_the_plain_error_of_the_status(message):
    body = json.dumps({"error": {"message": message}}).encode()
    assert type(OPENAI.error(400, {}, body)) is RequestRefused


def test_what_a_server_says_of_its_own_faults_is_no_judgement_of_the_request():
    body = json.dumps({"error": {"message": "This model's maximum context length is broken"}}).encode()
    assert type(OPENAI.error(500, {}, body)) is ProviderFault
