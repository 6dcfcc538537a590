"""`make faults`: every fault at every door, as a table. Exits with 1 where something did not come as it should."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import cancel, crowd
from .cases import CASES
from .doors import doors, run, world

if TYPE_CHECKING:
    from .doors import Row

WIDTHS = (34, 15, 10, 9, 42, 7)


def line(*cells: str) -> str:
    return "  ".join(cell[:width].ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def told(row: Row) -> str:
    said = row.outcome
    outcome = f"{said.status} {said.code}" if said.code else f"answered, {said.result}"
    calls = "+".join(map(str, row.calls))
    wrong = "".join(f"\n    WRONG {one}" for one in row.wrong)
    return line(row.case.fault, row.door, row.dialect, calls, outcome, f"{row.seconds:.2f}") + wrong


def main() -> int:
    """Run all and print them."""
    print(line("fault", "door", "dialect", "attempts", "outcome", "seconds"))  # noqa: T201
    bad = 0
    with world() as place, doors(place) as (gateway, rest, cell):
        for door in (gateway, rest, cell):
            for row in run(place, door, CASES):
                bad += bool(row.wrong)
                print(told(row), flush=True)  # noqa: T201
        for way in cancel.WAYS:
            took = cancel.seconds(place, gateway, cell, way)  # type: ignore[arg-type]
            print(f"{way}: the provider knows after {1000 * took:.1f} ms (promised: {1000 * cancel.PROMISED:.0f})")  # noqa: T201
    print(f"\n{'prompts beside 200 slow clients and 1,000 idle streams':54}  before  during (median, ms)")  # noqa: T201
    for measured in crowd.rows():
        bad += measured.wrong
        print(f"{measured.server:54}  {1000 * measured.before:6.1f}  {1000 * measured.during:6.1f}", flush=True)  # noqa: T201
    print(f"{bad} wrong")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
