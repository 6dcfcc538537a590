"""Shapes: an error as the clients of a path read it."""

from __future__ import annotations

from typing import Final

from warp_magics.gateway import errors, wire

from .messages import Response

OPENAI: Final = "v1/"
"""Where the paths of OpenAI's clients begin, below ``warp/``."""


def shaped(path: str, answer: Response) -> Response:
    """Return an answer to ``path`` (below ``warp/``), an error of these paths as OpenAI's clients read it."""
    told = answer.body
    if not (path.startswith(OPENAI) and isinstance(told, dict) and "code" in told and "message" in told):
        return answer
    body, status = wire.openai_error(told, answer.status)
    advice = {"x-should-retry": "false"} if errors.lasts(str(told["code"])) else {}
    return Response(body, status, {**answer.headers, **advice})
