"""warp-magics: a production AI gateway in Jupyter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .api import Warp
    from .gateway import errors
    from .panel import ChatPanel
    from .reply import Reply

    WarpError = errors.WarpError

# Without it Python prints warnings of a library into the cell; who wants them adds a handler.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
__all__ = ["ChatPanel", "Reply", "Warp", "WarpError", "load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Load ``%%warp`` and ``%warp`` into ``shell``."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop live answers and close connections."""
    from .magics import unload

    unload(shell)


def __getattr__(name: str) -> Any:
    if name == "Warp":
        from .api import Warp

        return Warp
    if name == "ChatPanel":
        from .panel import ChatPanel

        return ChatPanel
    if name == "WarpError":
        from .gateway import errors

        return errors.WarpError
    if name == "Reply":
        from .reply import Reply

        return Reply
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
