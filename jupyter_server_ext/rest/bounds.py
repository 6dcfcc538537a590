"""How long clients that are slow are waited for, at either server, and how large what they send may be."""

from __future__ import annotations

from typing import Final

from warp_magics.gateway import errors

BODY_SECONDS: Final = 120.0
"""How long a body may take to arrive."""
READER_SECONDS: Final = 60.0
"""How long a reader may take nothing of what waits for it."""
LINGER_SECONDS: Final = 2.0
"""How long the rest of a body that was refused is read past, so that its sender sees the refusal before the end."""


def too_large(most: int) -> errors.BodyTooLarge:
    """Return what the sender of a body over ``most`` bytes is told."""
    return errors.BodyTooLarge(f"The body is over {most} bytes (limits.body_size).")
