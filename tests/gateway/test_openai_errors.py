"""What a provider's refusals mean."""

import json

import pytest

from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.dialects.base import error_class, retry_after
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
        (402, {}, QuotaExceeded),
        (403, {}, AccessRefused),
        (404, {"code": "model_not_found"}, ModelMissing),
        (413, {}, RequestRefused),
        (422, {}, RequestRefused),
        (429, {"code": "rate_limit_exceeded"}, RateLimited),
        (429, {"type": "insufficient_quota"}, QuotaExceeded),
        (429, {"code": "insufficient_quota"}, QuotaExceeded),
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


DATE = "Mon, 23 Nov 2026 20:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 20:02:00 GMT", "date": DATE}, 120.0),
        ({"retry-after": "Mon, 23 Nov 2026 19:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 20:02:00 GMT"}, None),
        ({"retry-after": "soon", "date": DATE}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers, seconds):
    assert retry_after(headers) == seconds
    assert OPENAI.error(429, headers, b"{}").retry_after == seconds
