"""`make chaos`: the long run, as a table. Ends with 1 where a conversation was harmed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .run import Plan, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .run import Outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    plan = Plan(said.seconds, said.conversations, pause=2.0, seed=said.seed)
    with tempfile.TemporaryDirectory(prefix="warp-chaos-") as folder:
        outcome = run(plan, Path(folder))
    rows = list(table(outcome))
    width = max(len(what) for what, _ in rows)
    print("\n".join(f"{what:{width}}  {value:>8}" for what, value in rows))
    notes = {
        **outcome.verdict.faults,
        "given up": outcome.verdict.given_up,
        "turned away": outcome.verdict.turned_away,
        "unexplained": outcome.times.unexplained,
    }
    for kind, lines in notes.items():
        for line in lines[:20]:
            print(f"{kind}: {line}", file=sys.stderr)
    return 0 if outcome.verdict.clean else 1


def table(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The rows: what was done to them, what became of the turns, how long it took, what is wrong."""
    faults, times = outcome.verdict.faults, outcome.times
    yield "seconds", f"{outcome.seconds:.0f}"
    yield from ((what, str(count)) for what, count in sorted(outcome.happened.items()))
    yield from ((what, str(count)) for what, count in sorted(outcome.verdict.counts.items()))
    yield "readers turned away before the end", str(len(outcome.verdict.turned_away))
    yield "answers interrupted that no killed gateway made", str(len(times.unexplained))
    yield "fail-overs after a primary's kill", str(len(outcome.healed))
    yield "longest fail-over, s", _longest(outcome.healed)
    yield "readers told that an answer's gateway was killed", str(len(times.told))
    yield "longest from the kill to that, s", _longest(times.told)
    yield "the same while the session's primary had trouble too", str(len(times.told_meanwhile))
    yield "longest from the kill to that, s", _longest(times.told_meanwhile)
    yield "acknowledged answers, median, s", f"{median(times.answers or [0]):.1f}"
    yield "longest, s", _longest(times.answers)
    yield "acknowledged turns lost", str(len(faults["lost"]))
    yield "doubled", str(len(faults["doubled"]))
    yield "out of order", str(len(faults["out of order"]))
    yield "readers of one stream with differing text", str(len(faults["differing"]))
    yield "turns asked without the turns before", str(len(faults["asked without"]))


def _longest(seconds: Sequence[float]) -> str:
    return f"{max(seconds, default=0):.1f}"


if __name__ == "__main__":
    sys.exit(main())
