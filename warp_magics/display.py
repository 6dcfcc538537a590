"""LiveReply: an output that grows, and the line under it that tells the answer's route.

Only the thread that IPython runs draws. In a kernel an answer is one display that is updated at most 20
times a second; where updates are not wanted it is shown once, whole; a terminal prints as it comes.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Final

from .formats import growing, whole
from .words import back_in, dollars, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from .gateway import Attempt, ChatResponse, Event
    from .grammar import Format

REDRAW_SECONDS: Final = 0.05
ENDINGS: Final = {
    "INCOMPLETE_MAX_TOKENS": "cut off: it has as many tokens as it may",
    "INCOMPLETE_STOPPED": "stopped",
    "INCOMPLETE_FILTERED": "withheld by the provider's filter",
    "INCOMPLETE_UNKNOWN": "not known to be whole",
}
"""What is said of an answer that is not whole."""


class LiveReply:
    """One answer on the screen. ``stream`` false shows it once, at its end. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        shell: InteractiveShell,
        *,
        stream: bool,
        format_: Format = "markdown",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._format = format_
        self._stream = stream and os.environ.get("WARP_STREAM") != "0"
        self._kernel = hasattr(shell, "kernel")
        self._clock = clock
        self._text = ""
        self._shown = 0
        self._drawn_at = float("-inf")
        self._handle: Any = None
        self.stream_id: str | None = None
        self.seen: str | None = None
        """The id of the last event that was shown."""

    @property
    def begun(self) -> bool:
        """True once a word of the answer has come."""
        return bool(self._text)

    def add(self, text: str) -> None:
        """Show ``text`` after what is there; in a kernel perhaps with the next piece, which may be empty."""
        self._text += text
        due = not self._kernel or self._clock() - self._drawn_at >= REDRAW_SECONDS
        if self._stream and due and len(self._text) > self._shown:
            self._draw({}, growing(self._format, self._text))

    def restart(self, why: str) -> None:
        """Forget the text so far: it comes anew. What a terminal has printed stays there, and it says ``why``."""
        if not self._kernel and self._shown:
            print(f"\n[{why}]")  # noqa: T201 - a terminal is drawn on so
        self._text, self._shown = "", 0

    def end(self, response: ChatResponse | None) -> None:
        """Show the whole text, and the route in the output's metadata; what is empty is not shown."""
        metadata = {} if response is None else {"warp": summary(response)}
        if self._text:
            of_format = response is not None and response.result == "COMPLETE"
            self._draw(metadata, (whole if of_format else growing)(self._format, self._text))
        if not self._kernel and self._text:
            print()  # noqa: T201 - a terminal's prompt begins on a line of its own

    def _draw(self, metadata: dict[str, Any], bundle: dict[str, Any]) -> None:
        self._drawn_at = self._clock()
        shown, self._shown = self._shown, len(self._text)
        if not self._kernel:
            print(self._text[shown:], end="", flush=True)  # noqa: T201 - that is how a terminal is drawn on
            return
        from IPython.display import display

        if self._handle is not None:
            # An update replaces data and metadata, so each one is whole.
            self._handle.update(bundle, raw=True, metadata=metadata)
        elif self._stream:
            self._handle = display(bundle, raw=True, metadata=metadata, display_id=True)
        else:
            display(bundle, raw=True, metadata=metadata)


def shown_live(events: Generator[Event, None, None], reply: LiveReply) -> ChatResponse:
    """Show an answer as it comes and return it whole, ``reply`` not yet ended: raises its error, which ends it.

    An interrupt does not: there may be more of the answer than has been read.
    """
    from .gateway import Ended, Failed, Restarted, Started, Text

    with contextlib.closing(events):
        for event in events:
            reply.seen = event.id or reply.seen
            match event:
                case Started(stream_id=stream_id):
                    reply.stream_id = stream_id
                case Text(text=text):
                    reply.add(text)
                case Restarted(to_model=model):
                    reply.restart(f"{model} begins anew")
                case Failed(error=error, response=part):
                    reply.end(part)
                    raise error
                case Ended(response=response):
                    return response
    raise AssertionError("a stream ends with Ended or Failed")


def show_route(response: ChatResponse, *, styled: bool = True) -> None:
    """Publish the route line, once, under an answer; what went wrong on the way is in the warning's colour.

    Not ``styled`` it is the same HTML in every version.
    """
    from IPython.display import display

    from .tables import html_route, html_small

    line = route_line(response)
    shown = html_route(_route_parts(response), line) if styled else html_small(line)
    display({"text/html": shown, "text/plain": line}, raw=True)


def route_line(response: ChatResponse) -> str:
    """Return an answer's route in one line: who answered, after whom, how fast, for how much."""
    return " · ".join(part for part, _ in _route_parts(response))


def _route_parts(response: ChatResponse) -> list[tuple[str, bool]]:
    """Return the route line's parts, and of each whether it tells of something that went wrong."""
    cached = bool(response.route) and response.route[-1].outcome == "cache"
    failed = [attempt for attempt in response.route if attempt.outcome not in {"ok", "cache", "stopped"}]
    others = {one.model: one for one in failed if one.model != response.model}  # the last try of each
    tries = sum(1 for one in failed if one.model == response.model)
    parts = [(response.model, False)] if response.model else []
    if others:
        told = [f"{one.model} ({_why(one)})" for one in others.values()]
        parts.append((f"fell back from {listed(told)}", True))
    if tries and response.route[-1].outcome == "ok":
        parts.append((f"answered at try {tries + 1}", True))
    if cached:
        parts.append(("from the cache", False))
    if response.first_token is not None:
        parts.append((f"first token {response.first_token:.1f} s", False))
    if response.usage.input_tokens or response.usage.output_tokens:
        parts.append((f"{response.usage.input_tokens}+{response.usage.output_tokens} tok", False))
    if response.cost is not None:
        parts.append((dollars(response.cost), False))
    if response.result in ENDINGS:
        parts.append((ENDINGS[response.result], True))
    return [*parts, *((warning, True) for warning in response.warnings)]


def _why(attempt: Attempt) -> str:
    from .gateway import errors

    passed_over = attempt.outcome in ("cooling", "probing")
    what = str(attempt.status or errors.brief_of((passed_over and attempt.reason) or attempt.outcome))
    return f"{what}, {back_in(attempt.restores_in)}" if attempt.restores_in else what


def summary(response: ChatResponse) -> dict[str, Any]:
    """Return what the output's metadata keeps of an answer: plain values, nothing of the prompt."""
    route = [
        {"model": one.model, "outcome": one.outcome, "status": one.status, "seconds": round(one.seconds, 3)}
        for one in response.route
    ]
    usage = response.usage
    return {
        "model": response.model,
        "result": str(response.result),
        "session": response.session_id,
        "turn": response.turn_id,
        "route": route,
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        "cost": response.cost,
        "warnings": list(response.warnings),
    }


def show(shown: object) -> None:
    """Display an object of ours."""
    from IPython.display import display

    display(shown)


def show_whole(text: str) -> None:
    """Display the whole text of an answer."""
    from IPython.display import display

    display(whole("markdown", text), raw=True)


def chosen(blocks: Sequence[str]) -> str:
    """Return the one of ``blocks`` that the user wants, the first where nobody can be asked."""
    if len(blocks) == 1:
        return blocks[0]
    for number, block in enumerate(blocks, start=1):
        print(f"{number}  {block.strip().splitlines()[0]}")  # noqa: T201 - a question is asked as input() asks it
    while True:
        try:
            said = input(f"Which of them goes into the next cell? 1 to {len(blocks)} [1]: ").strip() or "1"
        except (EOFError, RuntimeError):  # no terminal, or a front end that takes no input (StdinNotImplementedError)
            said = "1"
        if said.isdigit() and 1 <= int(said) <= len(blocks):
            return blocks[int(said) - 1]
