"""What providers do wrong, and what is to come of it: the table of the fault suite, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DIALECTS = ("openai", "anthropic", "gemini", "cohere")
OTHER = "Something else."
END, STALL = "PROVIDER_REQUEST_END_ERROR", "PROVIDER_REQUEST_STREAM_TIMEOUT_ERROR"
NONE_LEFT = "PROVIDER_NO_MODELS_AVAILABLE_ERROR"


@dataclass(frozen=True)
class Case:
    """A chain of the fake's models is asked once; their names say what they do.

    It ends with a whole answer, the whole echo unless `text` says which, or with the error `code`, `text` its part.
    `calls` is how often each model is called at the provider. `seconds` is the longest that its time-outs and pauses
    allow.
    """

    fault: str
    chain: tuple[str, ...]
    calls: tuple[int, ...]
    code: str = ""
    status: int = 200
    text: str = ""
    result: str = "COMPLETE"
    on_break: Literal["splice", "restart", "error"] = "splice"
    warned: str = ""
    seconds: float = 1.0
    dialects: tuple[str, ...] = DIALECTS

    def __str__(self) -> str:
        return f"{self.fault}: {' > '.join(self.chain)}"


def _broken(fault: str, model: str, code: str, status: int, seconds: float = 1.0) -> list[Case]:
    """After three chunks: spliced by the next model, or the same; begun anew; or ended with the part."""
    part = "You said '{prompt}'"
    told = {"code": code, "status": status, "text": part, "seconds": seconds}
    return [
        Case(fault, (model, "ok"), (1, 1), seconds=seconds),
        Case(f"{fault}, alone", (model,), (2,), **{**told, "seconds": 2 * seconds}),
        Case(f"{fault}, then another text", (model, "other"), (1, 1), **told),
        Case(f"{fault}, restart", (model, "other"), (1, 1), text=OTHER, on_break="restart", seconds=seconds),
        Case(f"{fault}, error", (model, "ok"), (1, 0), on_break="error", **told),
    ]


CASES = (
    Case("429", ("fail-429", "ok"), (2, 1)),
    Case("429, Retry-After 1", ("fail-429-retry-after-1", "ok"), (2, 1), seconds=2),
    Case("429, Retry-After 60", ("fail-429-retry-after-60", "ok"), (1, 1)),
    Case("429, alone", ("fail-429",), (2,), code="PROVIDER_RATE_LIMIT_ERROR", status=429),
    Case("quota", ("quota", "ok"), (1, 1)),
    Case("500 once", ("fail-500-once", "ok"), (2, 0)),
    Case("503 for good", ("fail-503", "ok"), (2, 1)),
    Case("503 for good, all", ("fail-503", "fail-503@b"), (2, 2), code=NONE_LEFT, status=503),
    Case("503 for good, alone", ("fail-503",), (2,), code="PROVIDER_RESPONSE_ERROR", status=502),
    Case("401", ("fail-401", "ok"), (1, 1), warned="passed over"),
    Case("404", ("fail-404", "ok"), (1, 1), warned="passed over"),
    Case("400", ("fail-400", "ok"), (1, 0), code="PROVIDER_REQUEST_ERROR", status=400),
    Case("reset before headers", ("reset", "ok"), (2, 1)),
    Case("refused connection", ("refused:m", "ok"), (0, 1)),
    Case("DNS failure", ("nowhere:m", "ok"), (0, 1)),
    Case("no response", ("hang", "ok"), (1, 1)),
    Case("no response, alone", ("hang",), (1,), code="PROVIDER_TOTAL_TIMEOUT_ERROR", status=504, seconds=4),
    Case("slow first token", ("late-2", "ok"), (1, 1)),
    Case("slow first token, alone", ("late-2",), (1,), seconds=2),
    *_broken("cut after 3 chunks", "cut-3", END, 502),
    *_broken("silent after 3 chunks", "silent-3", STALL, 504),
    Case("cut before a chunk", ("cut-0", "ok"), (2, 1)),
    Case("no end marker", ("end-6", "ok"), (1, 1)),
    Case("end without content", ("empty", "ok"), (2, 1)),
    Case("malformed chunk", ("malformed-2", "ok"), (1, 0), warned="malformed", dialects=("openai",)),
    Case("context too long", ("context-too-long", "ok"), (1, 1)),
    Case("context too long, alone", ("context-too-long",), (1,), code="PROVIDER_CONTEXT_LENGTH_ERROR", status=400),
    Case("content filter", ("filtered", "ok"), (1, 0), code="CONTENT_FILTERED", status=422),
    Case("content filter, after 2", ("filtered-after-2", "ok"), (1, 0), text="You said", result="INCOMPLETE_FILTERED"),
    Case("goes on, refuses prefill", ("cut-3", "no-prefill"), (1, 1)),
    Case("flapping", ("flap", "ok"), (2, 0)),
)
