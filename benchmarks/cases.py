"""What gateways are measured by, and how a case is run once."""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from benchmarks import sessions
from benchmarks.machine import REST, started

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gateways import Gateway
    from benchmarks.machine import Process


@dataclass(frozen=True)
class Case:
    """``model`` says how the provider answers (see ``provider``); ``each`` asks only so often over each connection.

    With ``turns`` each connection has a session of its own, which has so many already. Of the kind ``follow`` all read one
    stream, which another gateway on the same store makes.
    """

    name: str
    kind: str
    model: str
    connections: int
    seconds: float = 3.0
    each: int = 0
    turns: int | None = None

    @property
    def is_ours(self) -> bool:
        """True where only ours has what it takes."""
        return self.turns is not None or self.kind == "follow"


WHOLE = tuple(Case(f"whole answers, c={c}", "prompt", "50x0", c) for c in (1, 16, 64))
STREAMS = tuple(Case(f"50-chunk streams, c={c}", "stream", "50x1", c) for c in (1, 32))
HELD = Case("500 streams held for 10 s", "stream", "50x200", 500, 10.0, each=1)
FAR = Case("provider 200 ms away, c=64", "prompt", "1x0+200", 64)
TURNS = tuple(Case(f"sessions of {n} turns, c=16", "prompt", "50x0", 16, each=5, turns=n) for n in (1, 10, 100, 500))
FOLLOWED = tuple(Case(f"{n} followers of one stream", "follow", "50x20", n, each=1) for n in (1, 10, 100))
CASES = (*WHOLE, *STREAMS, FAR, HELD, *TURNS, *FOLLOWED)


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
    url, body = _asked(gateway, case)
    end = gateway.whole_end if case.kind == "prompt" else gateway.stream_end
    command = [sys.executable, "-m", "benchmarks.load", url, body]
    command += [f"--connections={case.connections}", f"--seconds={case.seconds}", f"--end={end}"]
    command += [f"--header={header}" for header in gateway.headers] + [f"--each={case.each}"]
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


def _asked(gateway: Gateway, case: Case) -> tuple[str, str]:
    """Return where ``gateway`` is asked for ``case``, and with what."""
    if case.kind == "follow":
        return _begun(gateway.other or gateway, gateway, case.model), ""
    body = gateway.body(case.kind, case.model)
    if case.turns is None or gateway.config is None:
        return gateway.url(case.kind), json.dumps(body)
    names = sessions.made(gateway.config, case.connections, case.turns)
    bodies = json.dumps([json.dumps(body | {"sessionId": name}) for name in names])
    for name in names:  # a session that is asked in is read once
        _post(gateway, gateway.url(case.kind), body | {"sessionId": name})
    return gateway.url(case.kind), bodies


def _begun(maker: Gateway, reader: Gateway, model: str) -> str:
    """Have ``maker`` make an answer, and return where ``reader`` tells its stream."""
    said = _post(maker, maker.url("stream"), maker.body("stream", model), ("Prefer: respond-async",))
    return f"{reader.base}streams/{said['streamId']}"


def _post(gateway: Gateway, url: str, body: dict[str, Any], headers: tuple[str, ...] = ()) -> dict[str, Any]:
    told = dict(header.split(": ", 1) for header in (*gateway.headers, *headers, "Content-Type: application/json"))
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), told), timeout=60) as answer:
        said: dict[str, Any] = json.load(answer)
    return said


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
