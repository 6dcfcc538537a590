import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.kit import turn
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
    conversation,
    cooldown,
    pause_before_retry,
    tokens,
)
from warp_magics.gateway.types import Cooldown, Message, Model

A, B, C = (Model("lab", name) for name in "abc")
RESTORE = {"rate_limit": 60.0, "timeout": 61.0, "provider_error": 62.0, "quota": 600.0}


def cooling(**models):
    return {Model("lab", name): Cooldown(abs(seconds), "503", named=seconds < 0) for name, seconds in models.items()}


@pytest.mark.parametrize(
    ("chain", "resting", "asked"),
    [
        ([A, B, C], {}, [A, B, C]),
        ([A, B, C], cooling(a=5), [B, C]),
        ([A, B, A], {}, [A, B]),
        ([A, B, C], cooling(a=9, b=3, c=5), [B]),
        ([A, B], cooling(a=-1, b=50), [B]),
        ([A, B], cooling(a=-1, b=-2), []),
        ([A], cooling(a=60), [A]),
        ([A, A], cooling(a=60), [A]),
    ],
)
def test_who_is_asked_and_who_is_the_last_hope(chain, resting, asked):
    """A negative time is one its provider named."""
    assert candidates(chain, resting) == asked


@given(st.lists(st.sampled_from([A, B, C]), min_size=1), st.dictionaries(st.sampled_from([A, B, C]), st.floats(0, 99)))
def test_candidates_keep_the_order_and_none_is_asked_twice(chain, seconds):
    models = candidates(chain, {model: Cooldown(rest, "503") for model, rest in seconds.items()})
    assert 0 < len(models) == len(set(models))
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
        (ProviderFault("x", status=503), Cooldown(62.0, "503")),
        (RateLimited("x", status=429), Cooldown(60.0, "429")),
        (RateLimited("x", status=429, retry_after=7.0), Cooldown(7.0, "429", named=True)),
        (ProviderFault("x", status=503, retry_after=900.0), Cooldown(900.0, "503", named=True)),
        (QuotaExceeded("x"), Cooldown(600.0, "PROVIDER_EXCEEDED_QUOTA_ERROR")),
        (RequestRefused("x", status=400), None),
        (ContextTooLong("x", status=400, retry_after=5.0), None),
    ],
)
def test_for_how_long_a_model_is_passed_over(error, rest):
    assert cooldown(error, RESTORE) == rest


# -- what a model is sent --------------------------------------------------------------------------

TURNS = [turn(n, f"ask {n}", f"reply {n}") for n in range(1, 5)]


def told(turns, context=None, budget=None):
    messages, left_out = conversation(context, turns, "now?", budget)
    return [message.text for message in messages], left_out


def test_everything_goes_along_without_a_budget():
    assert told(TURNS[:2], "Be brief.") == (["Be brief.", "ask 1", "reply 1", "ask 2", "reply 2", "now?"], 0)
    assert conversation("", [], "now?", None) == ((Message("user", "now?"),), 0)


def test_what_has_no_word_of_an_answer_is_not_told_to_a_model():
    shown = [
        turn(1, "a", "part", status="interrupted"),
        turn(2, "b", "", status="failed"),
        turn(3, "c", "part", status="stopped"),
        turn(4, "d", "", status="stopped"),
        turn(5, "e", ""),
    ]
    assert told(shown) == (["a", "part", "c", "part", "now?"], 0)


WORDS = st.text("ab ", min_size=1, max_size=60)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=8), st.none() | WORDS, st.integers(-50, 200))
def test_the_newest_turns_that_fit_go_along_in_order(pairs, context, budget):
    turns = [turn(n, prompt, reply) for n, (prompt, reply) in enumerate(pairs, start=1)]
    messages, left_out = conversation(context, turns, "now?", budget)
    head = [Message("system", context)] if context else []
    kept = [message for one in turns[left_out:] for message in (one.prompt, one.response)]
    assert [message.text for message in messages[len(head) : -1]] == kept
    assert list(messages[: len(head)]) == head
    assert messages[-1] == Message("user", "now?")
    needed = sum(tokens(message.text) for message in messages)
    assert needed <= budget or not kept
    if left_out:
        dropped = turns[left_out - 1]
        assert needed + tokens(dropped.prompt) + tokens(dropped.response) > budget
