import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway.errors import (
    AccessRefused,
    ContextTooLong,
    ProviderFault,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
)
from warp_magics.gateway.policy import (
    LONGEST_BACKOFF,
    PATIENCE,
    candidates,
    cooldown,
    last_hope,
    pause_before_retry,
    reserved,
)
from warp_magics.gateway.types import Cooldown, Model, Usage

A, B, C = (Model("lab", name) for name in "abc")
RESTORE = {"rate_limit": 60.0, "timeout": 61.0, "provider_error": 62.0, "quota": 600.0}


def cooling(**models):
    return {Model("lab", name): Cooldown(abs(seconds), "503", named=seconds < 0) for name, seconds in models.items()}


@pytest.mark.parametrize(
    ("chain", "resting", "asked", "hope"),
    [
        ([A, B, C], {}, [A, B, C], None),
        ([A, B, C], cooling(a=5), [B, C], A),
        ([A, B, C], cooling(a=-5), [B, C], None),
        ([A, B, A], {}, [A, B], None),
        ([A, B, C], cooling(a=9, b=3, c=5), [], B),
        ([A, B], cooling(a=-1, b=50), [], B),
        ([A, B], cooling(a=-1, b=-2), [], None),
        ([A], cooling(a=60), [], A),
        ([A, B], cooling(a=0), [A, B], None),
        ([A, B], {A: Cooldown(0.0, "503", probing=True)}, [B], A),
        ([A], {A: Cooldown(0.0, "503", probing=True)}, [], A),
    ],
)
def test_who_is_asked_and_who_is_the_last_hope(chain, resting, asked, hope):
    """A negative time is one its provider named."""
    models = candidates(chain, resting)
    assert (models, last_hope(chain, resting, models)) == (asked, hope)


@given(st.lists(st.sampled_from([A, B, C]), min_size=1), st.dictionaries(st.sampled_from([A, B, C]), st.floats(0, 99)))
def test_candidates_keep_the_order_and_none_is_asked_twice(chain, seconds):
    resting = {model: Cooldown(rest, "503") for model, rest in seconds.items()}
    models = candidates(chain, resting)
    assert len(models) == len(set(models))
    assert models or last_hope(chain, resting, models)
    assert models == sorted(models, key=chain.index)


@pytest.mark.parametrize(
    ("error", "tries", "most", "pause"),
    [
        (ProviderFault("x"), 1, 0, None),
        (ProviderFault("x"), 1, 1, 0.5),
        (ProviderFault("x"), 2, 1, None),
        (ProviderFault("x"), 2, 3, 1.0),
        (ProviderFault("x"), 3, 3, 2.0),
        (AccessRefused("x"), 1, 9, None),
        (RequestRefused("x"), 1, 9, None),
        (QuotaExceeded("x"), 1, 9, None),
        (ContextTooLong("x"), 1, 9, None),
        (RateLimited("x", retry_after=3.0), 1, 1, 3.0),
        (RateLimited("x", retry_after=PATIENCE), 1, 1, PATIENCE),
        (RateLimited("x", retry_after=PATIENCE + 0.1), 1, 9, None),
        (RateLimited("x", retry_after=3.0), 2, 1, None),
        (RateLimited("x", retry_after=0.0), 1, 1, 0.0),
    ],
)
def test_pause_before_the_same_model_is_asked_again(error, tries, most, pause):
    assert pause_before_retry(error, tries, most, 1.0, 0.5) == pause


@given(st.integers(1, 5000), st.floats(0.001, 100), st.floats(0, 1, exclude_max=True))
def test_backoff_is_jittered_over_an_interval_that_doubles_up_to_a_bound(tries, interval, chance):
    pause = pause_before_retry(ProviderFault("x"), tries, tries, interval, chance)
    assert 0 <= pause <= min(LONGEST_BACKOFF, interval * 2 ** min(tries - 1, 20))
    assert pause == chance * pause_before_retry(ProviderFault("x"), tries, tries, interval, 1.0)


@pytest.mark.parametrize(
    ("error", "rest"),
    [
        (ProviderFault("x", status=503), (Cooldown(62.0, "503"), True)),
        (RateLimited("x", status=429), (Cooldown(60.0, "429"), False)),
        (RateLimited("x", status=429, retry_after=7.0), (Cooldown(7.0, "429", named=True), False)),
        (ProviderFault("x", status=503, retry_after=900.0), (Cooldown(900.0, "503", named=True), False)),
        (QuotaExceeded("x"), (Cooldown(600.0, "PROVIDER_EXCEEDED_QUOTA_ERROR"), True)),
        (RequestRefused("x", status=400), None),
        (ContextTooLong("x", status=400, retry_after=5.0), None),
    ],
)
def test_for_how_long_a_model_is_passed_over_and_whether_that_grows(error, rest):
    assert cooldown(error, RESTORE, {"rate_limit"}) == rest


@pytest.mark.parametrize(
    ("prompt", "answer", "windows", "tokens"),
    [(10, 90, [], 100), (10, 90, [500], 100), (10, 90, [50, 500], 50), (60, 90, [50], 60)],
)
def test_how_many_tokens_are_reserved(prompt, answer, windows, tokens):
    """An answer is never thought to need more than a window has; a prompt that has more is not to fit."""
    assert reserved(Usage(prompt, answer), windows) == tokens
