"""What all dialects read out of a refusal's headers: how long to wait, and how much is left."""

import pytest

from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.dialects.refusals import error_class, limits, refusal, retry_after
from warp_magics.gateway.errors import ProviderFault, RateLimited, RequestRefused

OPENAI = dialect("openai")
DATE = "Mon, 23 Nov 2026 20:00:00 GMT"
NOON = 1795464000  # the same as Unix seconds
MONTH = 30 * 86400.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "99999999999"}, MONTH),
        ({"retry-after": "Mon, 23 Nov 2026 20:02:00 GMT", "date": DATE}, 120.0),
        ({"retry-after": "Mon, 23 Nov 2026 19:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 20:02:00 GMT"}, None),
        ({"retry-after": "soon", "date": DATE}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "-1"}, 0.0),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_milliseconds_or_a_date(headers, seconds):
    assert retry_after(headers) == seconds
    assert OPENAI.error(429, headers, b"{}").retry_after == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1.0),
        ("6ms", 0.006),
        ("7.66s", 7.66),
        ("2m59.56s", 179.56),
        ("1h30m0s", 5400.0),
        ("500us", 0.0005),
        ("500µs", 0.0005),
        ("12", 12.0),
        ("0.5", 0.5),
        ("-5", 0.0),
        (str(NOON + 60), 60.0),
        (str((NOON + 60) * 1000), 60.0),
        (str(NOON - 60), 0.0),
        ("2026-11-23T20:00:30Z", 30.0),
        ("2026-11-23T21:00:30+01:00", 30.0),
        ("2999-01-01T00:00:00Z", MONTH),
        ("9000h", MONTH),
        ("2026-11-23T20:00:30", None),
        ("1d", None),
        ("1m 30s", None),
        ("soon", None),
        ("", None),
        ("99999999999999999", None),
    ],
)
def test_a_window_opens_anew_after_a_duration_or_at_a_time(reset, seconds):
    windows = limits({"x-ratelimit-reset-tokens": reset, "date": DATE})
    assert windows == ({} if seconds is None else {"tokens": {"reset": pytest.approx(seconds)}})


def test_a_time_means_nothing_without_the_answers_own_date():
    assert limits({"x-ratelimit-reset": str(NOON)}) == {}
    assert limits({"x-ratelimit-reset": str(NOON), "date": "yesterday"}) == {}


@pytest.mark.parametrize(
    ("headers", "windows"),
    [
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            {
                "requests": {"limit": 60, "remaining": 0, "reset": 1},
                "tokens": {"limit": 150000, "remaining": 149984, "reset": 360},
            },
        ),
        (
            {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOON * 1000 + 500)},
            {"requests": {"limit": 50, "remaining": 0, "reset": 0.5}},
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-input-tokens-remaining": "39000",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-23T20:00:02Z",
            },
            {"input-tokens": {"limit": 40000, "remaining": 39000, "reset": 2}},
        ),
        ({"x-ratelimit-limit-tokens": "many", "x-ratelimit": "5", "ratelimit-limit": "5"}, {}),
    ],
)
def test_what_is_left_of_each_window_is_told(headers, windows):
    assert limits({**headers, "date": DATE}) == windows
    details = OPENAI.error(429, {**headers, "date": DATE}, b"{}").details
    assert details.get("limits", {}) == windows


def window(name, remaining, reset):
    return {f"x-ratelimit-remaining-{name}": remaining, f"x-ratelimit-reset-{name}": reset}


def test_only_a_spent_window_is_waited_for_and_only_where_the_refusal_was_for_it():
    headers = {**window("requests", "0", "2s"), **window("tokens", "5", "300s"), **window("days", "0", "8s")}
    assert OPENAI.error(429, headers, b"{}").retry_after == 8
    assert OPENAI.error(429, window("tokens", "5", "300s"), b"{}").retry_after is None
    assert OPENAI.error(429, {"x-ratelimit-remaining": "0"}, b"{}").retry_after is None
    assert OPENAI.error(500, headers, b"{}").retry_after is None
    assert OPENAI.error(429, {**headers, "retry-after": "1"}, b"{}").retry_after == 1


def test_a_wait_that_the_body_names_counts_where_the_headers_name_none():
    assert refusal("no", 429, {}, wait=3.5).retry_after == 3.5
    assert refusal("no", 503, {}, wait=-1).retry_after == 0
    assert refusal("no", 429, {}, wait=1e12).retry_after == MONTH
    assert refusal("no", 429, {"retry-after": "1"}, wait=3.5).retry_after == 1
    assert refusal("no", 429, window("tokens", "0", "9s"), wait=3.5).retry_after == 3.5


@pytest.mark.parametrize(
    ("status", "kind"), [(418, RequestRefused), (599, ProviderFault), (302, ProviderFault), (429, RateLimited)]
)
def test_a_status_alone_says_whose_fault_it_is(status, kind):
    assert error_class(status) is kind
