"""An answer's formats: what a model is told of each, and how the whole answer is shown. Pure."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any, Final

from .gateway import errors
from .tables import RULE

if TYPE_CHECKING:
    from .grammar import Format

HINTS: Final[dict[Format, str]] = {
    "code": "Answer with code in one fenced block, and with nothing but what must be said beside it.",
    "json": "Answer with one JSON value and nothing else: no fence, no words around it.",
    "html": "Answer with HTML and nothing else: no fence, no words around it, no scripts, nothing from other servers.",
    "math": "Answer with one formula in LaTeX and nothing else: no fence, no words around it.",
}
"""What is added to the system text."""
_FENCE: Final = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[^\n`]*\n(?P<body>.*?)(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
"""Also one in a list, which is indented."""
_MATHS: Final = re.compile(r"\s*(?:\$|\\\[|\\\(|\\begin\b)")
# A page of its own without scripts, forms or any server: what a model writes is not to be trusted with the notebook's.
_POLICY: Final = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:\">"
)


class NotJson(errors.WarpError, ValueError):
    """An answer that was to be JSON is none."""


def growing(format_: Format, text: str) -> dict[str, Any]:
    """Return how a part of an answer is shown while more is to come."""
    markdown = {"text/markdown": text} if format_ in ("markdown", "code", "math") else {}
    return {**markdown, "text/plain": text}


def whole(format_: Format, text: str) -> dict[str, Any]:
    """Return how a whole answer is shown; what is not of its format is shown as text."""
    if format_ == "json":
        try:
            return _json(json_of(text))
        except NotJson:
            return {"text/plain": text}
    if format_ == "html":
        return {"text/html": _page(unfenced(text)), "text/plain": text}
    if format_ == "math":
        formula = unfenced(text).strip()
        return {"text/latex": formula if _MATHS.match(formula) else f"$${formula}$$", "text/plain": text}
    return growing(format_, text)


def json_of(text: str) -> Any:
    """Return the JSON value that an answer is, also one in a fence; raises NotJson."""
    try:
        return json.loads(unfenced(text))
    except ValueError as error:
        raise NotJson(f"The answer is not JSON ({error}). Ask again, or with --schema.") from None


def code_blocks(text: str) -> list[str]:
    """Return the code in an answer's fences."""
    return [body for found in _FENCE.finditer(text) if (body := _body(found).rstrip("\n")).strip()]


def _body(fence: re.Match[str]) -> str:
    """Return what is in a fence, without the blanks that the fence itself has before it."""
    return "".join(line.removeprefix(fence["indent"]) for line in fence["body"].splitlines(keepends=True))


def unfenced(text: str) -> str:
    """Return what is in the one fence that is all of ``text``, else ``text``."""
    found = _FENCE.fullmatch(text.strip())
    return _body(found) if found else text


def _json(value: Any) -> dict[str, Any]:
    plain = json.dumps(value, indent=2, ensure_ascii=False)
    told = {"text/plain": plain.encode("utf-8", "replace").decode()}  # half a character cannot be sent to a front end
    return {"application/json": value, **told} if isinstance(value, dict | list) else told


def _page(body: str) -> str:
    style = f"width:100%; height:240px; border:1px solid {RULE}; background:white; color-scheme:light; resize:vertical"
    return f'<iframe sandbox="" title="The answer as a page" style="{style}" srcdoc="{html.escape(_POLICY + body)}"></iframe>'
