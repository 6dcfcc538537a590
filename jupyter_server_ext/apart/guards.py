"""Who is let in to the gateway alone: by tokens that are known here, or by whoever else knows them."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Guard(Protocol):
    """Knows tokens. ``hint`` tells a stranger, in a sentence, where to get one."""

    hint: str

    async def owner(self, token: str) -> str | None:
        """Return whose sessions the token's bearer means; None for a stranger, who has an empty one or none we know.

        Raises a WarpError for one who is known and not let in, and where it cannot be told now.
        """
        ...


class FixedTokens:
    """Lets in by the tokens of ``owners``, which holds the owner of each. The time it takes tells nothing of them."""

    hint = "`jupyter warp token` prints the token."

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = {token.encode(): owner for token, owner in owners.items()}

    async def owner(self, token: str) -> str | None:
        """Compare with each."""
        said = token.encode()
        known = [owner for right, owner in self._owners.items() if hmac.compare_digest(said, right)]
        return known[0] if known else None
