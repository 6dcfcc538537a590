"""Entries: one answer as JSON that people read, compare and merge. Pure.

Text is kept as lines, so that a change is a line of a diff; where its pieces began, and when they came, are short texts
beside it. Seconds are all that a replay needs of time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final

from ..stores.logs import error_fields, error_from
from ..types import (
    Attempt,
    Call,
    ChatResponse,
    Ended,
    Failed,
    Reasoning,
    Restarted,
    Result,
    Started,
    Text,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..types import Event

VERSION: Final = 1
_PIECES: Final = (Text, Reasoning)


class Damaged(ValueError):
    """What was read is no entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was asked (``shape``) and the events of its answer, with the seconds from each to the one before.

    The last event is an Ended or a Failed; nothing in them tells of a time, a session or a turn. ``notebooks`` are the
    names of the files that have recorded it, as far as they are known.
    """

    asked: Mapping[str, Any]
    events: tuple[Event, ...]
    seconds: tuple[float, ...]
    notebooks: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """What of the answer makes it another one: who gave it, its text, its end, its calls and its tokens."""
        last = self.events[-1]
        if isinstance(last, Failed):
            return (getattr(last.error, "code", ""), str(last.error), _text(self.events))
        said = last.response if isinstance(last, Ended) else ChatResponse("", Result.UNKNOWN, "")
        calls = tuple((call.name, call.arguments) for call in said.tool_calls)
        return (said.model, said.text, said.result, calls, said.usage)


def timeless(response: ChatResponse) -> ChatResponse:
    """Return an answer without what differs from run to run: its ids and its times."""
    return replace(
        response, session_id=None, turn_id=None, stream_id=None, first_token=None, route=route_of(response.route)
    )


def route_of(route: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return ``route`` without its times."""
    return tuple(replace(one, seconds=0.0, restores_in=None) for one in route)


# -- to JSON ---------------------------------------------------------------------------------------


def dump(entry: Entry, hidden: Callable[[str], str] = str) -> str:
    """Return ``entry`` as text; ``hidden`` takes out of each text what must not be on a tape."""
    told = {"tape": VERSION, "asked": entry.asked, "events": _events(entry, hidden)}
    told |= {"notebooks": list(entry.notebooks)} if entry.notebooks else {}
    return json.dumps(clean(told, hidden), indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"


def clean(value: Any, hidden: Callable[[str], str]) -> Any:
    """Return JSON without what is ``hidden``, and without half characters, which no file can hold."""
    if isinstance(value, str):
        return hidden(value).encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {hidden(str(name)): clean(one, hidden) for name, one in value.items()}
    return [clean(one, hidden) for one in value] if isinstance(value, list | tuple) else value


def _events(entry: Entry, hidden: Callable[[str], str]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    run: list[tuple[str, float]] = []
    events = list(zip(entry.events, entry.seconds, strict=True))
    for at, (event, seconds) in enumerate(events):
        if isinstance(event, _PIECES):
            run.append((event.text, seconds))
            if type(event) is not type(events[at + 1][0]):
                told.append({"kind": "text" if isinstance(event, Text) else "reasoning", **_pieces(run, hidden)})
                run = []
        else:
            told.append({**_event(event), "seconds": _number(seconds)})
    return told


def _pieces(run: Sequence[tuple[str, float]], hidden: Callable[[str], str]) -> dict[str, Any]:
    return {
        # What is hidden may lie over two lines.
        "lines": hidden("".join(text for text, _ in run)).splitlines(keepends=True),
        "pieces": " ".join(str(len(text)) for text, _ in run),
        "seconds": " ".join(f"{_number(seconds)}" for _, seconds in run),
    }


def _event(event: Event) -> dict[str, Any]:
    match event:
        case Started(model=model, warnings=warnings):
            return {"kind": "started", "model": model, "warnings": list(warnings)}
        case ToolCall(call=call):
            return {"kind": "tool_call", **asdict(call)}
        case Restarted():
            return {"kind": "restarted", "reason": event.reason, "from": event.from_model, "to": event.to_model}
        case Ended(response=response):
            return {"kind": "ended", **_response(response)}
        case Failed(error=error, response=part):
            told = {"kind": "failed", "error": error_fields(error)}
            return told | ({"part": _response(part)} if part else {})
    raise AssertionError(f"{type(event).__name__} is no event of an answer")


def _response(said: ChatResponse) -> dict[str, Any]:
    told = {
        "model": said.model,
        "result": str(said.result),
        "usage": asdict(said.usage),
        "cost": said.cost,
        "route": [{name: value for name, value in _tried(one).items() if value is not None} for one in said.route],
        "warnings": list(said.warnings),
    }
    return told | ({} if said.value is None else {"value": said.value})


def _tried(one: Attempt) -> dict[str, Any]:
    return {"model": one.model, "outcome": one.outcome, "status": one.status, "reason": one.reason}


def _number(seconds: float) -> float:
    return round(max(seconds, 0.0), 3)


# -- from JSON -------------------------------------------------------------------------------------


def load(text: str) -> Entry:
    """Return the entry that ``dump`` wrote, in this version or an older one; raises Damaged, which says why."""
    try:
        raw = json.loads(text)
        version = raw["tape"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        conflict = "it holds a merge conflict" if "<<<<<<<" in text else f"it is not JSON of a tape ({error})"
        raise Damaged(conflict) from None
    if type(version) is not int or not 1 <= version <= VERSION:
        raise Damaged(f"it is of version {version!r} of the format, and this one reads up to {VERSION}")
    try:
        timed = [pair for one in raw["events"] for pair in _read(one)]
        events = tuple(event for event, _ in timed)
        seconds = tuple(seconds for _, seconds in timed)
        return Entry(_checked(raw["asked"]), _whole(events), seconds, _texts(raw.get("notebooks", ())))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"it cannot be read ({type(error).__name__}: {error})") from None


def _checked(asked: Any) -> Mapping[str, Any]:
    """Return what was asked, of which other code relies on these fields; raises TypeError."""
    turns, attachments = asked.get("turns", []), asked.get("attachments", [])
    texts = (asked.get("prompt", ""), asked.get("context", ""))
    if not all(isinstance(text, str) for text in texts) or not isinstance(asked.get("parameters", {}), dict):
        raise TypeError("asked has a field of another kind")
    if not all(isinstance(one, dict) for one in (*turns, *attachments)):
        raise TypeError("asked has turns or attachments of another kind")
    found: Mapping[str, Any] = asked
    return found


def _texts(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise TypeError("a list of texts is something else")
    return tuple(given)


def _amount(given: Any) -> Any:
    """Return a number as it is; raises TypeError for what is none, or is no finite one."""
    if type(given) not in (int, float) or not 0 <= given < float("inf"):
        raise TypeError(f"{str(given)[:20]!r} is no amount")
    return given


def _read(raw: Mapping[str, Any]) -> list[tuple[Event, float]]:
    kind = raw["kind"]
    if kind in ("text", "reasoning"):
        return _read_pieces(Text if kind == "text" else Reasoning, raw)
    return [(_READ[kind](raw), float(_amount(raw.get("seconds", 0.0))))]


def _read_pieces(kind: type[Text | Reasoning], raw: Mapping[str, Any]) -> list[tuple[Event, float]]:
    """Return the pieces of a text; one that was changed by hand is one piece."""
    text = "".join(raw["lines"])
    lengths = [int(word) for word in raw.get("pieces", "").split()]
    times = [float(word) for word in raw.get("seconds", "").split()]
    fits = sum(lengths) == len(text) and min(lengths, default=0) >= 0 and len(times) == len(lengths)
    if not fits or not all(map(_amount, (1, *(1 + time for time in times)))):
        return [(kind(text), sum(times))]
    places = pairwise(accumulate(lengths, initial=0))
    return [(kind(text[begin:end]), seconds) for (begin, end), seconds in zip(places, times, strict=True)]


def _read_response(raw: Mapping[str, Any]) -> ChatResponse:
    return ChatResponse(
        text="",
        result=Result(raw["result"]),
        model=str(raw["model"]),
        usage=Usage(**{name: _amount(count) for name, count in raw["usage"].items()}),
        cost=None if raw["cost"] is None else _amount(raw["cost"]),
        route=tuple(
            Attempt(one["model"], one["outcome"], 0.0, one.get("status"), one.get("reason")) for one in raw["route"]
        ),
        warnings=_texts(raw["warnings"]),
        value=raw.get("value"),
    )


_READ: Final[dict[str, Callable[[Mapping[str, Any]], Event]]] = {
    "started": lambda raw: Started(raw["model"], warnings=_texts(raw["warnings"])),
    "tool_call": lambda raw: ToolCall(Call(raw["id"], raw["name"], raw["arguments"], raw.get("extra", {}))),
    "restarted": lambda raw: Restarted(raw["reason"], raw["from"], raw["to"]),
    "ended": lambda raw: Ended(_read_response(raw)),
    "failed": lambda raw: Failed(error_from(raw["error"]), _read_response(raw["part"]) if "part" in raw else None),
}


def _whole(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return ``events`` with the text and the calls in the last one; raises Damaged where that is no end."""
    *before, last = events
    if not isinstance(last, Ended | Failed) or any(isinstance(one, Ended | Failed) for one in before):
        raise Damaged("its answer has no end, or more than one")
    if last.response is None:
        return events
    said = replace(last.response, text=_text(before), tool_calls=_calls(before))
    return (*before, replace(last, response=said))


def _since_restart(events: Sequence[Event]) -> Sequence[Event]:
    begun = max((at for at, one in enumerate(events) if isinstance(one, Restarted)), default=-1)
    return events[begun + 1 :]


def _text(events: Sequence[Event]) -> str:
    return "".join(one.text for one in _since_restart(events) if isinstance(one, Text))


def _calls(events: Sequence[Event]) -> tuple[Call, ...]:
    return tuple(one.call for one in _since_restart(events) if isinstance(one, ToolCall))
