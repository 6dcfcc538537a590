"""`make fuzz`: random and malformed requests of every operation, for minutes. Ends with 1 where an answer was wrong."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fakes.provider import provider_process

from . import malformed, run
from .world import SERVERS, target


def main() -> int:
    """Ask both servers and print what they answered."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=240, help="for each server (240)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="the same one asks much the same")
    said = parser.parse_args()
    bad = 0
    for server in SERVERS:
        with (
            tempfile.TemporaryDirectory(prefix="warp-fuzz-") as folder,
            provider_process() as fake,
            target(server, fake.base_url, Path(folder)) as gateway,
        ):
            count, faults = malformed.fuzz(gateway)
            print(f"\n{server}: {count} malformed requests, {len(faults)} wrong answers", *faults, sep="\n", flush=True)
            print(f"\n{server}: random ones for {said.seconds:g} s, --seed {said.seed}", flush=True)
            report = run.fuzz(gateway, said.seconds, said.seed)
            print(*report.lines(), sep="\n", flush=True)
            bad += len(faults) + len(report.faults)
    print(f"\n{bad or 'no'} wrong answers")
    return 1 if bad else 0


sys.exit(main())
