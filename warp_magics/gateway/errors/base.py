"""WarpError: what all errors are, and how one that another process told of is made again."""

from __future__ import annotations

from typing import ClassVar, Literal

Restore = Literal["rate_limit", "timeout", "provider_error", "quota"]


class WarpError(Exception):
    """Base of all; ``message`` is for people, ``details`` for programs, ``retry_after`` in seconds."""

    code: ClassVar[str] = "WARP_ERROR"
    http_status: ClassVar[int] = 500
    retry: ClassVar[bool] = False
    fall_back: ClassVar[bool] = False
    restore: ClassVar[Restore | None] = None
    warns: ClassVar[bool] = False
    lasts: ClassVar[bool] = False
    """Whether the same again a moment later helps nobody, though its status says that it may."""
    brief: ClassVar[str] = "failed"

    def __init__(
        self, message: str, *, retry_after: float | None = None, details: dict[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.details = details or {}


def told(code: str, message: str, *, retry_after: float | None, details: dict[str, object] | None) -> WarpError:
    """Return the error that another process or a log tells of; one of no known ``code`` is a WarpError."""
    kind = _by_code(WarpError).get(code)
    if kind is None:
        return WarpError(message, retry_after=retry_after, details={"code": code, **(details or {})})
    return kind(message, retry_after=retry_after, details=details)


def brief_of(code: str) -> str:
    """Return in a word or two what an error of ``code`` is, for a line that has no room for its message."""
    kind = _by_code(WarpError).get(code)
    return kind.brief if kind else code.replace("_", " ").lower()


def lasts(code: str) -> bool:
    """Return whether an error of ``code`` is one that does not pass by itself."""
    kind = _by_code(WarpError).get(code)
    return kind is not None and kind.lasts


def _by_code(kind: type[WarpError]) -> dict[str, type[WarpError]]:
    """Return the classes by code; of a class and a kind of it that share one, the class."""
    found: dict[str, type[WarpError]] = {}
    for below in kind.__subclasses__():
        found |= _by_code(below)
    return found | {kind.code: kind}
