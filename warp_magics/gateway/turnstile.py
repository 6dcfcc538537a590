"""Turnstile: how many may go on in one turn of the event loop, of those that come at one moment."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

MANY: Final = 8
"""Of those who wait: the first of so many are to be nearly done when the last begin."""
PAUSE: Final = 4
"""Turns of the loop from one of many to the next."""


class Turnstile:
    """Lets in one at a turn of the loop, and one in PAUSE turns where MANY wait; first come, first served.

    What comes at one moment would else go through all its stages side by side, each in the way of all others, and all would
    be done only after the time that all together take. Let in by and by, the first are done while the last begin.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turning = False
        self._turns = 0

    async def enter(self) -> None:
        """Wait for one's turn, which comes by itself."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn, loop)
            return
        self._waiting.append(entered := loop.create_future())
        await entered

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turns += 1
        pauses = len(self._waiting) >= MANY and self._turns % PAUSE != 0
        if pauses or self._let_one_in():
            loop.call_soon(self._turn, loop)
        else:
            self._turning = False

    def _let_one_in(self) -> bool:
        while self._waiting:
            if not (entered := self._waiting.popleft()).done():  # else he has left
                entered.set_result(None)
                return True
        return False
