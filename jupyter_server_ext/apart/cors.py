"""What browsers are told: which pages of elsewhere may ask and read, and what to make of an answer (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAFE_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""Of each answer that does not say otherwise: it is what its type says, no page, in no frame and in no cache."""
_ASKED: Final = ("authorization", "content-type", "idempotency-key", "last-event-id", "prefer", "user-agent")
_OPENAIS: Final = ("openai-organization", "openai-project")
_TOLD: Final = ("retry-after", "x-session-status", "x-stream-id")
_CLIENTS: Final = "x-stainless-"
_SECONDS: Final = "600"
_MOST: Final = 64


class Cors:
    """``origins`` are the pages' that are let in, ``*`` any; ``session_header`` is what they may send and read.

    A browser is never told to send cookies along: who asks is known by a token, which a page has or has not.
    """

    def __init__(self, origins: Sequence[str] = (), session_header: str = "x-session-id") -> None:
        self._origins = frozenset(origins)
        self._session_header = session_header.lower()

    def headers(self, origin: str | None) -> dict[str, str]:
        """Return what an answer to a page of ``origin`` says besides."""
        if not self._origins:
            return {}
        told = {} if "*" in self._origins else {"vary": "Origin"}
        if origin is not None and (allowed := self._allowed(origin)):
            told["access-control-allow-origin"] = allowed
            told["access-control-expose-headers"] = ", ".join((self._session_header, *_TOLD))
        return told

    def preflight(self, headers: Mapping[str, str], verbs: Sequence[str]) -> dict[str, str] | None:
        """Return the answer's headers to a browser that asks before it asks; None where ``headers`` are not of one."""
        origin = headers.get("origin")
        if not self._origins or origin is None or "access-control-request-method" not in headers:
            return None
        told = self.headers(origin)
        if "access-control-allow-origin" not in told:
            return told
        asked = [name.strip().lower() for name in headers.get("access-control-request-headers", "").split(",")[:_MOST]]
        known = {*_ASKED, *_OPENAIS, self._session_header}
        clients = [name for name in asked if name.startswith(_CLIENTS) and name.replace("-", "").isalnum()]
        return {
            **told,
            "access-control-allow-methods": ", ".join(verbs),
            "access-control-allow-headers": ", ".join(sorted({*known, *clients})),
            "access-control-max-age": _SECONDS,
        }

    def _allowed(self, origin: str) -> str:
        if "*" in self._origins:
            return "*"
        return origin if origin in self._origins else ""
