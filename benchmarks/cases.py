"""What gateways are measured by, and how a case is run once."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from benchmarks.machine import REST, started

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gateways import Gateway
    from benchmarks.machine import Process


@dataclass(frozen=True)
class Case:
    """``model`` says how the provider answers (see ``provider``); ``once`` asks once over each connection."""

    name: str
    kind: str
    model: str
    connections: int
    seconds: float = 3.0
    once: bool = False


WHOLE = tuple(Case(f"whole answers, c={c}", "prompt", "50x0", c) for c in (1, 16, 64))
STREAMS = tuple(Case(f"50-chunk streams, c={c}", "stream", "50x1", c) for c in (1, 32))
HELD = Case("500 streams held for 10 s", "stream", "50x200", 500, 10.0, once=True)
FAR = Case("provider 200 ms away, c=64", "prompt", "1x0+200", 64)
CASES = (*WHOLE, *STREAMS, FAR, HELD)


@dataclass
class Watch:
    """What runs beside the gateway, of which it is to be known that it is not what is measured."""

    provider: Process
    store: Process


def run(gateway: Gateway, case: Case, watch: Watch, log: Path) -> dict[str, Any]:
    """Ask ``gateway`` as ``case`` says, and return what that took.

    ``cpu_ms`` is its CPU time an answer, ``busy`` its share of its core, ``rest`` that of all others on theirs, ``memory`` the
    most megabytes that it held.
    """
    body = json.dumps(gateway.body(case.kind, case.model))
    end = gateway.stream_end if case.kind == "stream" else gateway.whole_end
    command = [sys.executable, "-m", "benchmarks.load", gateway.url(case.kind), body]
    command += [f"--connections={case.connections}", f"--seconds={case.seconds}", f"--end={end}"]
    command += [f"--header={header}" for header in gateway.headers] + (["--hold"] if case.once else [])
    others = (watch.provider, watch.store)
    before, beside = gateway.process.cpu(), sum(one.cpu() for one in others)
    with _Peak(gateway.process) as peak, started(command, log, cores=REST) as load:
        load.popen.wait(case.seconds + 120)
    said = json.loads(log.read_text().splitlines()[-1])
    spent, beside = gateway.process.cpu() - before, sum(one.cpu() for one in others) - beside
    seconds = said.pop("seconds")
    rest = beside / seconds + said.pop("own_share")
    answers = said["answers"] or said["failures"] or 1
    return said | {
        "cpu_ms": spent / answers * 1000,
        "busy": spent / seconds,
        "rest": rest,
        "memory_mb": peak.most,
    }


class _Peak:
    """Looks twice a second how much memory a process holds."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most = process.memory()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self.most = max(self.most, self._process.memory())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
