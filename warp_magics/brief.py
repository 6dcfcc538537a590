"""Our errors as a cell shows them: a sentence that says what to do, and none of the frames that led to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .gateway import errors

if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def short_errors() -> Generator[None, None, None]:
    """Raise our errors without the frames that lead to them: their sentence says what to do."""
    try:
        yield
    except (errors.WarpError, KeyboardInterrupt) as error:
        shown = [f"{type(error).__name__}: {str(error) or 'stopped; what had come stays.'}", *_notes(error)]
        error._render_traceback_ = lambda: shown  # type: ignore[union-attr]
        raise error.with_traceback(None) from None


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])
