"""Random and malformed requests of every operation of the API's description, and what is wrong with the answers."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis import Case, Response

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
SESSIONS = ("known", "other")
TURN = "turn-1"
FEED_SECONDS = 0.3
"""A feed that is there never ends: so long it is read."""
EXAMPLES = 6
"""Of one operation in one round and mode."""
HARD = ("models", "fallbacks", "history", "replaces", "continue", "attachments", "toolResults", "toolChoice", "timeout")
"""Fields that name what is there: nearly all of chance's are refused, and what comes behind them is never reached."""
OUT_OF_ORDER = {
    "PROVIDER_NO_MODELS_AVAILABLE_ERROR",  # a body's `timeout` may be shorter than any answer takes
    "PROVIDER_TOTAL_TIMEOUT_ERROR",
}
"""5xx that a request may bring about by what it asks for."""

NOT_FOR_PEOPLE = re.compile(r"Traceback|File \"|0x[0-9a-f]{8}")


@dataclass
class Report:
    """What was asked, and what is wrong: `asked` counts operations and the statuses they got."""

    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """A line an operation, then the faults."""
        for label in sorted({label for label, _ in self.asked}):
            told = {status: count for (of, status), count in sorted(self.asked.items()) if of == label}
            yield f"{label:45} {sum(told.values()):6}  {' '.join(f'{s}:{c}' for s, c in told.items())}"
        for where, what in self.faults.items():
            yield f"WRONG {where}\n{what}"


class Target:
    """A gateway that is asked: `url` ends in `/warp`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.streams: dict[str, str] = {}
        self.document: dict[str, Any] = self.session.get(f"{url}/openapi.json", timeout=30).json()

    def prepare(self) -> None:
        """Make sessions with turns for requests to hit, anew where they were deleted."""
        for session_id in SESSIONS:
            body = {"prompt": "Hello", "sessionId": session_id, "createSession": True}
            headers = {"Idempotency-Key": TURN}
            said = self.session.post(f"{self.url}/api/v1/prompt", json=body, headers=headers, timeout=30)
            # Numbers are never given again: who deletes a session does not get the same stream anew.
            self.streams[session_id] = said.headers.get("x-stream-id") or f"{session_id}~1"


def fuzz(target: Target, seconds: float, start: int = 0) -> Report:
    """Ask for so long, in rounds over all operations, and at least one whole round; the same `start` asks much the same."""
    report, until, number = Report(), time.monotonic() + seconds, start
    operations = [found.ok() for found in schemathesis.openapi.from_dict(target.document).get_all_operations()]
    operations.sort(key=lambda one: one.method == "delete")  # else the others of a round find nothing
    while number == start or time.monotonic() < until:
        target.prepare()
        for operation in operations:
            _round(target, operation, number, until if number > start else math.inf, report)
        number += 1
    return report


def _round(target: Target, operation: Any, number: int, until: float, report: Report) -> None:
    """Ask some right and some wrong requests of one operation."""
    for mode in MODES:
        _ask(target, operation.as_strategy(generation_mode=mode), number, until, report)


def _ask(target: Target, cases: Any, number: int, until: float, report: Report) -> None:
    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, known=st.data())
    def ask(case: Case, known: st.DataObject) -> None:
        _aim(target, case, known.draw)  # whatever the time: what is drawn may not depend on it
        if time.monotonic() < until:
            _judge(target, case, report)

    with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
        ask()


def _aim(target: Target, case: Case, draw: Callable[[Any], Any]) -> None:
    """Make a request hit something that is there, now and then."""
    if not draw(st.booleans()):
        return
    session = draw(st.sampled_from(SESSIONS))
    stream = target.streams[session]
    there = {"sessionId": session, "streamId": stream, "name": "auto"}
    for name in case.path_parameters or {}:
        case.path_parameters[name] = there[name]
    if "Last-Event-ID" in (case.headers or {}) and draw(st.booleans()):
        case.headers["Last-Event-ID"] = f"{stream.rpartition('~')[2]}-{draw(st.integers(1, 99))}"
    if isinstance(case.body, dict):
        for name, value in (("sessionId", session), ("at", TURN), ("to", TURN), ("replaces", TURN)):
            if name in case.body and draw(st.booleans()):
                case.body[name] = value
        if "messages" in case.body and draw(st.booleans()):
            case.body["model"] = "auto"
        for name in HARD:
            if name in case.body and draw(st.integers(0, 3)):
                del case.body[name]


def _judge(target: Target, case: Case, report: Report) -> None:
    label = case.operation.label
    feed = case.operation.path.endswith("/events")
    try:
        response = case.call(base_url=target.url, session=target.session, timeout=FEED_SECONDS if feed else 30)
    except requests.exceptions.InvalidHeader:
        assume(condition=False)  # requests itself refuses to send it
        return
    report.asked[label, response.status_code] += 1
    wrong = [*_wrong(response), *_unlike_the_document(case, response)]
    if wrong:
        key = f"{label} {response.status_code} {wrong[0].splitlines()[0]}"
        report.faults.setdefault(key, "\n".join([*wrong, case.as_curl_command(), response.text[:500]]))


def _unlike_the_document(case: Case, response: Response) -> list[str]:
    try:
        case.validate_response(response, checks=CHECKS)
    except BaseExceptionGroup as failures:
        return [f"{type(one).__name__}: {one}" for one in failures.exceptions]
    except AssertionError as failure:
        return [f"{type(failure).__name__}: {failure}"]
    return []


def _wrong(response: Response) -> list[str]:
    """What no answer may be, whatever the document says."""
    return wrong(response.status_code, (response.headers.get("content-type") or [""])[0], response.content)


def wrong(status: int, kind: str, body: bytes) -> list[str]:
    """What no answer may be: a fault of the server, a failure that is not in the gateway's shape."""
    if status < 400:
        return []
    if not kind.startswith("application/json"):
        return [f"a failure as {kind or 'nothing'}"]
    said = json.loads(body)
    said = said.get("error", said)  # as OpenAI's clients are told
    if set(said) == {"status"}:  # what a stranger is told
        return []
    if not (isinstance(said.get("code"), str) and isinstance(said.get("message"), str) and said["message"]):
        return [f"a failure without code or message: {said}"]
    found = [f"a server error: {said}"] if status >= 500 and said["code"] not in OUT_OF_ORDER else []
    return [*found, *(["a message that is not for people"] if NOT_FOR_PEOPLE.search(said["message"]) else [])]
