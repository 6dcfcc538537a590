"""Attachments, tools and schemas: what may be asked with a prompt, and what an answer of a schema says. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Final

from .errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .types import Attachment, Form

IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What every provider with eyes takes."""
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHOICES: Final = ("auto", "none", "required")
_FENCED: Final = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL | re.IGNORECASE)


def check_attachments(attachments: Sequence[Attachment]) -> None:
    """Raise InvalidRequest for an attachment that is not what it says."""
    for one in attachments:
        what = f"The attachment {one.name!r}" if one.name else "An attachment"
        if one.kind == "text":
            if one.data or not one.text:
                raise InvalidRequest(f"{what} is a text, so it has text and no data.")
        elif one.media_type not in IMAGES:
            raise InvalidRequest(f"{what} has the media type {one.media_type!r}; images are {', '.join(IMAGES)}.")
        else:
            _check_base64(one.data, what)


def _check_base64(data: str, what: str) -> None:
    try:
        found = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise InvalidRequest(f"{what} is an image, so its data is the file in base64.")


def check_form(form: Form) -> None:
    """Raise InvalidRequest for tools that no provider takes, or a choice that is none of them."""
    names = [tool.name for tool in form.tools]
    for name in names:
        if not _TOOL_NAME.fullmatch(name):
            raise InvalidRequest(f"{name[:100]!r} is no tool's name: those are 1 to 64 of A-Z a-z 0-9 _ -.")
        if names.count(name) > 1:
            raise InvalidRequest(f"Two tools are called {name!r}.")
    if form.tool_choice is not None and form.tool_choice not in (*(_CHOICES if names else ()), *names):
        known = f"one of {', '.join((*_CHOICES, *names))}" if names else "of no use without tools"
        raise InvalidRequest(f"toolChoice {form.tool_choice[:100]!r} is {'not ' if names else ''}{known}.")


def value_of(text: str) -> tuple[Any, str | None]:
    """Return the JSON value that an answer of a schema is, and a warning where it is none.

    A model that is only told the schema in words may put its answer into a fence.
    """
    fenced = _FENCED.fullmatch(text.strip())
    try:
        return json.loads(fenced[1] if fenced else text), None
    except ValueError:
        return None, "the answer is not the JSON that was asked for"
