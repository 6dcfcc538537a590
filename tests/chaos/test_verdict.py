"""The judge finds what was planted, and nothing where nothing was."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from .measure import measure
from .talk import Asked, Seen
from .verdict import judge
from .world import Fault


def seen(n: int, text: str, *, end: str = "end", code: str = "INTERRUPTED", warnings: tuple[str, ...] = ()) -> Seen:
    """What a reader saw who read all of turn n."""
    words = [("content", json.dumps({"response": word})) for word in text.split(" ")]
    last = {"response": {"text": text.replace(" ", ""), "warnings": warnings}} if end == "end" else {"code": code}
    events = [("start", "{}"), *words, (end, json.dumps(last))]
    return Seen(f"c~{n}", {f"{n}-{at}": event for at, event in enumerate(events, 1)})


def killed(url: str, at: float) -> Fault:
    return Fault("kill a gateway", at, at + 3, url)


@dataclass
class Case:
    """A conversation of three turns in which nothing is wrong, as its asker, the store and the provider have it."""

    asked: list[Asked] = field(default_factory=list)
    followers: list[Seen] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    calls: list[list[dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        before: list[str] = []
        for n in (1, 2, 3):
            turn = {"turnId": f"c-{n}", "n": n, "prompt": f"says {n}", "response": f"yes{n}", "status": "complete"}
            self.asked.append(Asked("c", turn["prompt"], turn["turnId"], seen(n, f"yes {n}")))
            self.followers.append(seen(n, f"yes {n}"))
            self.turns.append(turn)
            self.calls.append([{"content": text} for text in [*before, turn["prompt"]]])
            before += [turn["prompt"], turn["response"]]

    @property
    def talk(self) -> SimpleNamespace:
        return SimpleNamespace(name="c", asked=self.asked, followers=self.followers)

    def faults(self) -> set[str]:
        verdict = judge([self.talk], {"c": self.turns}, self.calls)
        assert verdict.clean == (not any(verdict.faults.values()))
        return {kind for kind, lines in verdict.faults.items() if lines}


@pytest.fixture
def case() -> Case:
    return Case()


def test_nothing_is_found_where_nothing_is_wrong(case: Case) -> None:
    assert case.faults() == set()


def test_an_acknowledged_turn_that_is_not_kept_is_lost(case: Case) -> None:
    del case.turns[2]
    assert case.faults() == {"lost"}


@pytest.mark.parametrize(
    "note", ["the turn could not be stored", "the turn is stored, but not yet on as many replicas as asked for"]
)
def test_a_turn_said_to_be_unsure_may_be_missing(case: Case, note: str) -> None:
    case.asked[2].seen = seen(3, "yes 3", warnings=(note,))
    del case.turns[2]
    assert case.faults() == set()


def test_a_turn_kept_twice_is_doubled(case: Case) -> None:
    case.turns.append({**case.turns[2], "n": 4})
    case.calls.append([{"content": text} for text in ("says 1", "yes1", "says 2", "yes2", "says 3", "yes3", "says 3")])
    assert case.faults() == {"doubled"}


def test_an_event_shown_twice_is_doubled(case: Case) -> None:
    case.followers[0].repeated = 1
    assert case.faults() == {"doubled"}


def test_turns_in_another_order_than_they_were_asked_in(case: Case) -> None:
    case.turns[1:] = [{**case.turns[2], "n": 2}, {**case.turns[1], "n": 3}]
    assert "out of order" in case.faults()


def test_a_number_given_twice_is_out_of_order(case: Case) -> None:
    case.turns[2]["n"] = 2
    assert case.faults() == {"out of order"}


def test_a_reader_who_saw_other_words(case: Case) -> None:
    case.followers[1] = seen(2, "yes 9")
    assert case.faults() == {"differing"}


def test_a_reader_who_missed_a_word_on_the_way(case: Case) -> None:
    del case.asked[0].seen.events["1-2"]
    assert case.faults() == {"differing"}


def test_a_reader_ahead_of_the_log_may_be_told_the_end_alone(case: Case) -> None:
    ahead = case.followers[1]
    del ahead.events["2-3"]
    assert case.faults() == {"differing"}
    ahead.jumped = True
    assert case.faults() == set()


def test_a_text_kept_that_is_not_the_one_shown(case: Case) -> None:
    case.turns[2]["response"] = "yes"
    assert case.faults() == {"differing"}


def test_a_turn_asked_without_one_before_it(case: Case) -> None:
    del case.calls[2][:2]
    assert case.faults() == {"asked without"}


def test_a_turn_asked_with_one_that_was_never_kept(case: Case) -> None:
    case.calls[2][-1:-1] = [{"content": "says 2"}, {"content": "yes2"}]
    assert case.faults() == {"asked without"}


def test_an_interrupted_turn_is_told_as_far_as_it_came(case: Case) -> None:
    case.asked[1].seen = seen(2, "yes", end="error")
    case.followers[1] = seen(2, "yes", end="error")
    case.turns[1] |= {"status": "interrupted", "response": "yes"}
    case.calls[2][3]["content"] = "yes"
    assert case.faults() == set()


def test_the_wait_for_a_killed_gateway_counts_from_its_kill_to_each_reader(case: Case) -> None:
    one = case.asked[1]
    one.asked_at, one.sent_to = 10.0, ["http://b"]
    one.seen, case.followers[1] = seen(2, "yes", end="error"), seen(2, "yes", end="error")
    one.seen.ended_at, case.followers[1].ended_at = 20.0, 21.5
    faults = [killed("http://b", 3.0), killed("http://a", 11.0), killed("http://b", 12.0)]
    times = measure([case.talk], faults)
    assert (times.told, times.told_meanwhile, times.unexplained) == ([8.0, 9.5], [], [])
    times = measure([case.talk], [*faults, Fault("freeze a primary", 21.0, 22.0, slots=range(16384))])
    assert (times.told, times.told_meanwhile, times.unexplained) == ([], [8.0, 9.5], [])


def test_an_interruption_that_no_kill_explains_is_named(case: Case) -> None:
    one = case.asked[1]
    one.asked_at, one.sent_to = 10.0, ["http://b"]
    one.seen = seen(2, "yes", end="error")
    one.seen.ended_at = 20.0
    times = measure([case.talk], [killed("http://a", 11.0)])
    assert (times.told, times.unexplained) == ([], ["c-2 of c~2"])
