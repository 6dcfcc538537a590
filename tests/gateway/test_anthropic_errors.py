"""What Anthropic's refusals mean."""

import json

import pytest

from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.dialects.anthropic_errors import PHRASES
from warp_magics.gateway.errors import (
    AccessRefused,
    ModelMissing,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
)

ANTHROPIC = dialect("anthropic")


def error(status, kind, message="So it is.", headers=None):
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return ANTHROPIC.error(status, headers or {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "kind", "meaning"),
    [
        (400, "invalid_request_error", RequestRefused),
        (401, "authentication_error", AccessRefused),
        (402, "billing_error", QuotaExceeded),
        (403, "permission_error", AccessRefused),
        (404, "not_found_error", ModelMissing),
        (413, "request_too_large", RequestRefused),
        (429, "rate_limit_error", RateLimited),
        (500, "api_error", ProviderFault),
        (504, "timeout_error", ProviderFault),
        (529, "overloaded_error", ProviderFault),
        (418, "a_kind_of_next_year", RequestRefused),
        (530, "a_kind_of_next_year", ProviderFault),
    ],
)
def test_what_an_error_means_by_its_type_and_its_status(status, kind, meaning):
    found = error(status, kind)
    assert type(found) is meaning
    assert (found.status, found.message, found.details) == (status, "So it is.", {"provider": "So it is."})


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_means_what_its_sample_says(phrase):
    assert type(error(400, "invalid_request_error", phrase.sample)) is phrase.kind
    assert [other.kind for other in PHRASES if other.fits(phrase.sample)] == [phrase.kind]


def test_words_of_a_servers_own_fault_mean_nothing_else():
    assert type(error(500, "api_error", "prompt is too long")) is ProviderFault


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "no"}', b'{"error": {"message": null}}', b"[1]"])
def test_bodies_of_others(body):
    assert type(ANTHROPIC.error(502, {}, body)) is ProviderFault
    assert ANTHROPIC.error(429, {}, body).message


def test_how_long_to_wait():
    assert error(429, "rate_limit_error", headers={"retry-after": "7"}).retry_after == 7
    headers = {
        "date": "Mon, 23 Nov 2026 20:00:00 GMT",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "10",
        "anthropic-ratelimit-requests-reset": "2026-11-23T20:05:00Z",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-23T20:00:30Z",
    }
    found = error(429, "rate_limit_error", headers=headers)
    assert found.retry_after == 30
    assert found.details["limits"]["requests"] == {"limit": 50, "remaining": 10, "reset": 300}
    assert error(529, "overloaded_error", headers=headers).retry_after is None
