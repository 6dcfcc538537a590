"""A session as a file: JSON for programs, Markdown to read, a notebook to run again. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from . import wire
from .errors import InvalidRequest
from .types import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .types import Session, Turn


@dataclass(frozen=True, slots=True)
class Exported:
    """A file: its bytes, its media type, and a name that is safe in a header and on a disk."""

    data: bytes
    media_type: str
    file_name: str


def export(session: Session, turns: Sequence[Turn], form: str) -> Exported:
    """Return ``turns`` (oldest first) as a file of ``form``: ``json``, ``md`` or ``ipynb``; the same ones give the same.

    Raises InvalidRequest for another form.
    """
    if form not in _FORMS:
        raise InvalidRequest(f"A session is exported as {', '.join(_FORMS)}, not as {form!r}.")
    media_type, write = _FORMS[form]
    # Half a character has no bytes; JSON reads the escape that stands for it then as what it was.
    data = write(session, turns).encode("utf-8", "backslashreplace")
    return Exported(data, media_type, f"{_file_stem(session.key.id)}.{form}")


def _file_stem(session_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", session_id).lstrip(".-") or "session"


# -- JSON ------------------------------------------------------------------------------------------


def _json(session: Session, turns: Sequence[Turn]) -> str:
    body = {"session": wire.session_json(session), "turns": [wire.turn_json(turn) for turn in turns]}
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


# -- Markdown --------------------------------------------------------------------------------------

_CONTROLS: Final = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}  # Unicode has pictures of these
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)


def _markdown(session: Session, turns: Sequence[Turn]) -> str:
    about = f"Session {session.key.id}, begun {_time(session.created_at)}, {_count(len(turns))}"
    head = f"# {_escaped(session.title) or _escaped(session.key.id)}\n\n*{_escaped(about)}*\n"
    return "\n---\n\n".join([head, *(_section(turn) for turn in turns)])


def _section(turn: Turn) -> str:
    prompt, answer = _shown(turn.prompt), _shown(_answer(turn))
    asked = _quoted(prompt if _stands_alone(prompt) else _fenced(prompt)) if prompt else ""
    given = _given(turn)
    said = answer if _stands_alone(answer) else _fenced(answer, "markdown")
    return "\n\n".join([part for part in (given, asked, said, f"*{_escaped(_footer(turn))}*") if part]) + "\n"


def _given(turn: Turn) -> str:
    """Return what went along with the prompt: results of tools, texts, images."""
    parts = [f"Result of a tool:\n\n{_fenced(one.content)}" for one in turn.tool_results]
    for one in turn.attachments:
        name = _escaped(one.name) or "attached"
        image = f"![{name}](data:{one.media_type};base64,{one.data})"
        parts.append(image if one.kind == "image" else f"{name}:\n\n{_fenced(one.text)}")
    return _quoted(_shown("\n\n".join(parts))) if parts else ""


def _answer(turn: Turn) -> str:
    """Return what was answered, the tool calls in words."""
    calls = [f"Calls the tool {_escaped(call.name)}:\n\n{_fenced(call.arguments, 'json')}" for call in turn.tool_calls]
    return "\n\n".join([*([turn.response] if turn.response else []), *calls])


def _footer(turn: Turn) -> str:
    usage = turn.usage
    spent = f"{usage.input_tokens}+{usage.output_tokens} tok" if usage.input_tokens or usage.output_tokens else None
    parts = (turn.model, _time(turn.started_at), spent, _trouble(turn))
    return " · ".join(part for part in parts if part)


def _trouble(turn: Turn) -> str:
    """Return what kept an answer from being complete, empty where it is."""
    if turn.status == "complete":
        whole = turn.result in {Result.COMPLETE, Result.TOOL_CALLS}
        return "" if whole else turn.result.removeprefix("INCOMPLETE_").replace("_", " ").lower()
    return f"{turn.status}: {turn.error['message']}" if turn.error else turn.status


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _count(turns: int) -> str:
    return f"{turns} turn" if turns == 1 else f"{turns} turns"


def _shown(text: str) -> str:
    """Return ``text`` with line ends of one kind, and signs in place of what would steer a terminal."""
    return re.sub(r"\r\n?", "\n", text).translate(_CONTROLS).strip("\n")


def _escaped(text: str) -> str:
    """Return ``text`` in one line in which Markdown finds nothing."""
    line = " ".join(_shown(text).split())
    return re.sub(r"[\\`*\[\]<>&#~$|]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n"))


def _fenced(text: str, language: str = "") -> str:
    """Return ``text`` in a fence longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


_OPENS: Final = re.compile(r"( *)(`{3,}(?!.*`)|~{3,})")
_DOUBTFUL: Final = re.compile(r"[\s>*+\-\d.)]*(?:```|~~~|<(?!https?:|mailto:)[A-Za-z/!?])")


def _stands_alone(text: str) -> bool:
    """Tell whether Markdown ends with ``text``: no fence or HTML runs on into what follows.

    In doubt it does not: how deep a fence lies in lists and quotes is not worked out, but that it ends as far in as
    it began, and nothing between them is further out.
    """
    depth, fence = 0, ""
    for line in text.expandtabs(4).split("\n"):
        indent = len(line) - len(line.lstrip(" "))
        if not fence:
            if found := _OPENS.match(line):
                depth, fence = len(found[1]), found[2]
            elif _DOUBTFUL.match(line):
                return False
        elif line.strip() and indent < depth:
            return False
        elif _closes(line.strip(), fence):
            if depth and indent != depth:
                return False
            if indent - depth < 4:  # noqa: PLR2004 - with more it is code
                fence = ""
    return not fence


def _closes(line: str, fence: str) -> bool:
    return len(line) >= len(fence) and not line.strip(fence[0])


# -- a notebook ------------------------------------------------------------------------------------

_PROMPTED: Final = re.compile(r"\s*(?:>>>|\.\.\.|(?:\[\w+\]\s)?In \[)")


def _notebook(session: Session, turns: Sequence[Turn]) -> str:
    cells = [_code_cell("load", "%load_ext warp_magics"), *(_cell(session, turn) for turn in turns)]
    body = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "title": session.title or session.key.id,
            "warp": {"session": session.key.id},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    # As nbformat writes it, so that the first saving changes nothing.
    return json.dumps(body, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _cell(session: Session, turn: Turn) -> dict[str, Any]:
    cell_id, about = f"turn-{turn.n}", _about(turn)
    if not turn.prompt.strip():  # tool results, say: there is nothing that a cell could ask
        said = "\n\n".join(part for part in (_given(turn), _answer(turn)) if part)
        text = {"cell_type": "markdown", "id": cell_id, "source": _lines(said)}
        return {**text, "metadata": {"warp": about}}
    source = _source(session.key.id, turn.prompt)
    return _code_cell(cell_id, source, {"warp": about}, list(_outputs(session, turn)))


def _code_cell(
    cell_id: str, source: str, metadata: dict[str, Any] | None = None, outputs: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id,
        "metadata": metadata or {},
        "outputs": list(outputs),
        "source": _lines(source),
    }


def _source(session_id: str, prompt: str) -> str:
    """Return a cell that asks ``prompt``; line breaks around it are lost, as in any ``%%warp`` cell."""
    line = f"--session={session_id}" if session_id.startswith("-") else f"--session {session_id}"
    if "{" in prompt:
        line += " --raw"
    prompt = prompt.strip("\n")
    if not _changed_in_a_cell(prompt):
        return f"%%warp {line}\n{prompt}"
    literals = "\n".join(f"    {text!r}" for text in _lines(prompt))
    return f"get_ipython().run_cell_magic(\n    'warp',\n    {line!r},\n{literals},\n)"


def _changed_in_a_cell(prompt: str) -> bool:
    """Tell whether IPython would take something off: prompts of Python's or its own, or what blank lines hold."""
    prompted = any(_PROMPTED.match(text) for text in prompt.splitlines())
    return prompted or any(text.isspace() for text in prompt.split("\n"))


def _outputs(session: Session, turn: Turn) -> Iterator[dict[str, Any]]:
    if answer := _answer(turn):
        data = {"text/markdown": _lines(answer), "text/plain": _lines(answer)}
        yield {"data": data, "metadata": {"warp": _summary(session, turn)}, "output_type": "display_data"}
    if turn.error:
        code, message = str(turn.error["code"]), str(turn.error["message"])
        yield {"ename": code, "evalue": message, "output_type": "error", "traceback": [f"{code}: {message}"]}


def _about(turn: Turn) -> dict[str, Any]:
    about: dict[str, Any] = {"turn": turn.id, "n": turn.n, "asked": wire.time_json(turn.started_at)}
    if turn.source.kind == "cell":
        about["source"] = {"notebook": turn.source.notebook, "cell": turn.source.cell}
    return about


def _summary(session: Session, turn: Turn) -> dict[str, Any]:
    """Return what a live answer's output keeps in its metadata too, and the turn's status."""
    return {
        "model": turn.model,
        "result": str(turn.result),
        "status": turn.status,
        "session": session.key.id,
        "turn": turn.id,
        "usage": {"input_tokens": turn.usage.input_tokens, "output_tokens": turn.usage.output_tokens},
        "cost": turn.cost,
    }


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


_FORMS: Final[dict[str, tuple[str, Callable[[Session, Sequence[Turn]], str]]]] = {
    "json": ("application/json", _json),
    "md": ("text/markdown; charset=utf-8", _markdown),
    "ipynb": ("application/x-ipynb+json", _notebook),
}
