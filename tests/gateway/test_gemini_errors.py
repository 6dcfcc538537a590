"""What Gemini's refusals mean."""

import json

import pytest

from tests.wire.kit import sample
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.dialects.gemini_errors import PHRASES
from warp_magics.gateway.errors import (
    AccessRefused,
    ModelMissing,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
)

GEMINI = dialect("gemini")


def error(status, name, message="So it is.", details=()):
    body = {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
    return GEMINI.error(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "name", "meaning"),
    [
        (400, "INVALID_ARGUMENT", RequestRefused),
        (400, "FAILED_PRECONDITION", RequestRefused),
        (401, "UNAUTHENTICATED", AccessRefused),
        (403, "PERMISSION_DENIED", AccessRefused),
        (404, "NOT_FOUND", ModelMissing),
        (429, "RESOURCE_EXHAUSTED", RateLimited),
        (499, "CANCELLED", ProviderFault),
        (500, "INTERNAL", ProviderFault),
        (503, "UNAVAILABLE", ProviderFault),
        (504, "DEADLINE_EXCEEDED", ProviderFault),
        (418, "A_STATUS_OF_NEXT_YEAR", RequestRefused),
    ],
)
def test_what_an_error_means_by_its_status(status, name, meaning):
    found = error(status, name)
    assert type(found) is meaning
    assert (found.status, found.message, found.details) == (status, "So it is.", {"provider": "So it is."})


@pytest.mark.parametrize(
    ("name", "status", "meaning", "wait"),
    [
        ("error_quota", 429, QuotaExceeded, 36),
        ("error_rate", 429, RateLimited, 12.5),
        ("error_key", 400, AccessRefused, None),
    ],
)
def test_what_the_details_say(name, status, meaning, wait):
    body = sample(f"gemini/{name}.json")
    found = GEMINI.error(status, {}, body)
    assert (type(found), found.retry_after) == (meaning, wait)
    assert type(GEMINI.error(status, {}, b"[" + body + b"]\n")) is meaning
    assert GEMINI.error(status, {"retry-after": "3"}, body).retry_after == 3


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_means_what_its_sample_says(phrase):
    assert type(error(400, "INVALID_ARGUMENT", phrase.sample)) is phrase.kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"error": "no"}',
        b'{"error": {"message": 3, "details": 3}}',
        b'{"error": {"details": [3, {}]}}',
        b"[1]",
    ],
)
def test_bodies_of_others(body):
    assert type(GEMINI.error(502, {}, body)) is ProviderFault
    assert GEMINI.error(429, {}, body).message
