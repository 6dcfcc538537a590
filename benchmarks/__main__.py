"""``python -m benchmarks``: what ours costs. ``--peers`` measures others beside it; see docs/performance.md."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import gateways, startup
from benchmarks.cases import CASES, Case, Watch, run
from benchmarks.machine import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.gateways import Gateway

HERE = Path(__file__).resolve().parent
PACKAGES = ("jupyter_server", "tornado", "uvicorn", "uvloop", "httptools", "aiohttp", "redis", "hiredis", "orjson")
FIGURES = ("per_second", "cpu_ms", "p50_ms", "first_p50_ms", "memory_mb")


def installed(peers: Path) -> Path:
    """Install the peers into a folder of their own, from their registries, and return it."""
    peers.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "ai-warp.mjs"):
        (peers / name).write_bytes((HERE / "peers" / name).read_bytes())
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=peers, check=True)
    if not (peers / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(peers / "litellm")], check=True)
    pip = [str(peers / "litellm" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", "-r", str(HERE / "peers" / "requirements.txt")], check=True)
    return peers


def measured(
    given: argparse.Namespace, peers: Path | None
) -> tuple[dict[str, dict[str, list[dict[str, Any]]]], dict[str, float]]:
    """Run all cases over all gateways, one after the other in each round.

    Returns case to gateway to rounds, and the megabytes that each gateway holds before it is asked anything.
    """
    seen: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with contextlib.ExitStack() as opened:
        top = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="warp-bench-")))
        provider, mock = opened.enter_context(gateways.provider(top))
        store, kept = opened.enter_context(gateways.store(top))
        watch = Watch(mock, kept)

        def place(name: str) -> gateways.Place:
            (top / name).mkdir()
            return gateways.Place(top / name, provider, store, peers)

        found: list[Gateway] = [opened.enter_context(gateways.alone(place("alone")))]
        found += opened.enter_context(gateways.jupyter(place("jupyter"), found[0]))
        found[0] = dataclasses.replace(found[0], other=found[1])
        if peers:
            makers = (gateways.ai_warp, partial(gateways.ai_warp, memory=True), gateways.portkey, gateways.litellm)
            found += [opened.enter_context(maker(place(f"peer{n}"))) for n, maker in enumerate(makers)]
        time.sleep(2)  # whatever they start with is over
        idle = {one.name: one.process.memory() for one in found}
        for number in range(given.rounds + 1):
            for case in _chosen(given.only):
                for gateway in found:
                    if (number == 0 and case.each) or (case.is_ours and gateway.config is None):
                        continue  # nothing to warm up, or not to be asked for
                    said = run(gateway, case, watch, top / "load.log")
                    if number:
                        seen.setdefault(case.name, {}).setdefault(gateway.name, []).append(said)
            print(f"round {number} of {given.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return seen, idle


def _chosen(only: Sequence[str]) -> Sequence[Case]:
    return [case for case in CASES if any(words in case.name for words in only)]


def table(seen: dict[str, dict[str, list[dict[str, Any]]]], to: str) -> str:
    """Return a Markdown table of medians; the ratio is of the rates within a round, to the gateway called ``to``."""
    rows = [
        f"| | | answers/s | least to most | to {to} | CPU, ms | p50, ms | first, ms | failed | MB | busy | rest |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case, of in seen.items():
        for name, rounds in of.items():
            middle = {key: statistics.median(one[key] for one in rounds) for key in (*FIGURES, "busy", "rest")}
            rates = [one["per_second"] for one in rounds]
            others = [one["per_second"] for one in of.get(to, rounds)]
            ratio = statistics.median(one / other if other else 0.0 for one, other in zip(rates, others, strict=True))
            failed = sum(one["failures"] for one in rounds)
            rows.append(
                f"| {case} | {name} | {middle['per_second']:.0f} | {min(rates):.0f} to {max(rates):.0f} | {ratio:.2f} "
                f"| {middle['cpu_ms']:.2f} | {middle['p50_ms']:.1f} | {middle['first_p50_ms']:.1f} | {failed} "
                f"| {middle['memory_mb']:.0f} | {middle['busy']:.0%} | {middle['rest']:.0%} |"
            )
    return "\n".join(rows)


def main() -> None:
    """Measure, print tables, and write JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="install AI Warp, LiteLLM and Portkey there, too")
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 21))
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORDS", help="the cases with such words in their names"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    peers = installed(given.peers.resolve()) if given.peers else None
    seen, idle = measured(given, peers)
    starts = [] if given.only != [""] or peers else startup.measured(given.rounds)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    where = machine()
    print(table(seen, "AI Warp on Valkey" if peers else "bare Jupyter handler"))
    print("\nidle, MB: " + ", ".join(f"{name} {size:.0f}" for name, size in idle.items()))
    if starts:
        print(f"\n{startup.table(starts)}")
    print(f"\n{where['processor']}, {where['cores']} cores; Python {where['python']}; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    if given.json:
        whole = {"machine": where, "versions": versions, "cases": seen, "idle_mb": idle, "starts": starts}
        given.json.write_text(json.dumps(whole, indent=1), "utf-8")


if __name__ == "__main__":
    main()
