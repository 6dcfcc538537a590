"""What every conversation must show afterwards, whatever broke. Pure: histories and what was seen in, faults out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .talk import Asked, Conversation, Seen

UNSURE = "turns answered, not known to be kept"


@dataclass
class Verdict:
    """Faults by kind, each a line; and what happened, counted."""

    faults: dict[str, list[str]] = field(
        default_factory=lambda: {kind: [] for kind in ("lost", "doubled", "out of order", "differing", "asked without")}
    )
    counts: Counter[str] = field(default_factory=Counter)
    given_up: list[str] = field(default_factory=list)
    turned_away: list[str] = field(default_factory=list)
    """Readers who were told that there is no more before they had seen an end."""

    @property
    def clean(self) -> bool:
        return not any(self.faults.values())


def judge(
    conversations: Iterable[Conversation],
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    calls: Sequence[Sequence[Mapping[str, str]]],
) -> Verdict:
    """Return what is wrong. ``histories`` are REST's turns by session, ``calls`` the messages a provider was sent."""
    verdict = Verdict()
    sent: dict[str, list[list[str]]] = {}
    for messages in calls:
        sent.setdefault(messages[-1]["content"], []).append([one["content"] for one in messages[:-1]])
    for one in conversations:
        turns = histories[one.name]
        _turns(verdict, one.name, one.asked, turns)
        _told(verdict, one.name, turns, sent)
        _streams(verdict, [*(asked.seen for asked in one.asked), *one.followers])
    return verdict


def _turns(verdict: Verdict, name: str, asked: Sequence[Asked], turns: Sequence[Mapping[str, Any]]) -> None:
    kept = Counter(turn["turnId"] for turn in turns)
    text = {turn["turnId"]: turn["response"] for turn in turns}
    for one in asked:
        verdict.counts[_fate(one)] += 1
        verdict.counts[f"{UNSURE}: kept after all"] += _fate(one) == UNSURE and kept[one.turn_id] > 0
        if one.gave_up:
            verdict.given_up.append(f"{name}: {one.turn_id}: {one.gave_up}")
        if one.acknowledged and not kept[one.turn_id]:
            verdict.faults["lost"].append(f"{name}: {one.turn_id}")
        if one.acknowledged and kept[one.turn_id] and text[one.turn_id] != one.seen.end[1]["response"]["text"]:
            verdict.faults["differing"].append(f"{name}: {one.turn_id} is kept with another text than was shown")
    verdict.faults["doubled"] += [f"{name}: {turn_id} x{times}" for turn_id, times in kept.items() if times > 1]
    order = [int(turn["turnId"].rpartition("-")[2]) for turn in turns]
    numbers = [turn["n"] for turn in turns]
    if order != sorted(order) or numbers != sorted(set(numbers)):
        verdict.faults["out of order"].append(f"{name}: {order} {numbers}")


def _told(verdict: Verdict, name: str, turns: Sequence[Mapping[str, Any]], sent: Mapping[str, list[list[str]]]) -> None:
    """Each turn was asked with exactly the turns before it that a model is told."""
    before: list[str] = []
    for turn in turns:
        if turn["status"] == "complete" and before not in sent.get(turn["prompt"], []):
            verdict.faults["asked without"].append(f"{name}: {turn['turnId']}")
        if turn["response"]:
            before = [*before, turn["prompt"], turn["response"]]


def _streams(verdict: Verdict, readers: Sequence[Seen]) -> None:
    by_stream: dict[str, list[Seen]] = {}
    for seen in readers:
        if seen.stream:
            by_stream.setdefault(seen.stream, []).append(seen)
        verdict.counts["readers cut off"] += seen.cuts
        verdict.counts["readers told the end ahead of the rest"] += seen.jumped
        if seen.turned_away:
            verdict.turned_away.append(f"{seen.stream}: {seen.turned_away} behind {seen.last}: {seen.text!r}")
        if seen.repeated:
            verdict.faults["doubled"].append(f"{seen.stream}: {seen.repeated} events were shown twice to one reader")
    for stream, group in by_stream.items():
        verdict.counts["streams with several readers"] += len(group) > 1
        longest = max((seen.text for seen in group), key=len)
        for seen in group:
            whole = seen.end[1]["response"]["text"] if seen.end is not None and seen.end[0] == "end" else None
            told = whole is None or (whole.startswith(seen.text) if seen.jumped else whole == seen.text)
            if not (told and longest.startswith(seen.text)):
                verdict.faults["differing"].append(f"{stream}: {seen.text!r} and {longest!r}, {seen.end}")


def _fate(asked: Asked) -> str:
    if asked.acknowledged:
        return "turns acknowledged"
    if asked.gave_up:
        return "turns given up by their asker"
    if asked.stateless:
        return "answers without history"
    if asked.seen.end is not None and asked.seen.end[0] == "end":
        return UNSURE
    code = asked.seen.end[1]["code"] if asked.seen.end else asked.refused or "nothing"
    return f"turns ended with {code}"
