"""What shapes an answer: all that a notebook says of it, as plain JSON, and the key that comes of it. Pure.

Not in it: who would answer where nobody is named, times, ids, the session's name.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from .. import prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..types import Attachment, Call, ChatRequest, ToolResult, Turn

DEFAULT: Final = "default"
"""What stands for the models where a prompt names none."""
_DIGITS: Final = 16


def shape(request: ChatRequest, turns: Sequence[Turn]) -> dict[str, Any]:
    """Return what shapes the answer to ``request`` behind ``turns``; what is not said is left out."""
    given, form = request.parameters, request.form
    return {
        "models": list(request.models) or DEFAULT,
        **_said(
            prompt=request.prompt,
            context=request.context,
            attachments=[_attachment(one) for one in request.attachments],
            tool_results=[_result(one) for one in request.tool_results],
            parameters=_said(
                temperature=given.temperature,
                max_tokens=given.max_tokens,
                top_p=given.top_p,
                seed=given.seed,
                stop=list(given.stop),
                extra=dict(given.extra),
            ),
            tools=[
                _said(name=one.name, description=one.description, parameters=dict(one.parameters)) for one in form.tools
            ],
            tool_choice=form.tool_choice,
            schema=None if form.schema is None else dict(form.schema),
            turns=[_turn(one) for one in prompt.heard(turns)],
        ),
    }


def key_of(shaped: dict[str, Any]) -> str:
    """Return the key of what ``shape`` has returned."""
    text = json.dumps(shaped, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def _said(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _turn(one: Turn) -> dict[str, Any]:
    return _said(
        prompt=one.prompt,
        attachments=[_attachment(file) for file in one.attachments],
        tool_results=[_result(result) for result in one.tool_results],
        response=one.response,
        calls=[_call(call) for call in one.tool_calls],
    )


def _attachment(one: Attachment) -> dict[str, Any]:
    content = one.text if one.kind == "text" else one.data
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return _said(kind=one.kind, name=one.name, media_type=one.media_type, sha256=digest)


def _call(one: Call) -> dict[str, Any]:
    return _said(name=one.name, arguments=one.arguments)


def _result(one: ToolResult) -> dict[str, Any]:
    return _said(content=one.content, is_error=one.is_error or None)
