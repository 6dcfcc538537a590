"""The gateway as a Jupyter Server extension."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .extension import WarpExtension

    return [{"module": "jupyter_server_ext", "app": WarpExtension}]
