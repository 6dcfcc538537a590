"""How long things took, from what was seen. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.crc import key_slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .talk import Asked, Conversation, Seen
    from .world import Fault


@dataclass
class Times:
    """Seconds, one for each."""

    told: list[float] = field(default_factory=list)
    """From a gateway's kill until a reader of an answer it was making was told that it is interrupted."""
    told_meanwhile: list[float] = field(default_factory=list)
    """The same where the session's primary had trouble meanwhile."""
    answers: list[float] = field(default_factory=list)
    """From a prompt's first asking until the end of an answer that is acknowledged."""
    unexplained: list[str] = field(default_factory=list)
    """Answers said to be interrupted that no killed gateway was making."""


def measure(conversations: Iterable[Conversation], faults: Sequence[Fault]) -> Times:
    """Return how long readers waited, given all that befell the world."""
    times = Times()
    for one in conversations:
        for asked in one.asked:
            readers = [asked.seen, *(seen for seen in one.followers if asked.seen.stream == seen.stream)]
            ended = [seen.ended_at for seen in readers if seen.ended_at is not None and interrupted(seen)]
            if ended:
                _told(times, asked, ended, faults)
            if asked.acknowledged and asked.seen.ended_at is not None:
                times.answers.append(asked.seen.ended_at - asked.asked_at)
    return times


def interrupted(seen: Seen) -> bool:
    """Whether this reader was told that the answer's gateway is gone."""
    return seen.end is not None and seen.end[0] == "error" and seen.end[1]["code"] == "INTERRUPTED"


def _told(times: Times, asked: Asked, ended: Sequence[float], faults: Sequence[Fault]) -> None:
    # Where more than one of those that were asked was killed, the first: rather too long than too short.
    last = max(ended)
    deaths = [fault.began for fault in faults if fault.url in asked.sent_to and asked.asked_at <= fault.began <= last]
    if not deaths:
        times.unexplained.append(f"{asked.turn_id} of {asked.seen.stream}")
        return
    slot = key_slot(f"warp:1:{{local/{asked.session}}}:meta".encode())
    struck = [fault for fault in faults if slot in fault.slots and fault.began <= last and fault.over >= deaths[0]]
    (times.told_meanwhile if struck else times.told).extend(at - deaths[0] for at in ended)
