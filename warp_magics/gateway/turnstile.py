"""Turnstile: how many may go on in one turn of the event loop, of those that come at one moment."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

MOST: Final = 2


class Turnstile:
    """Lets in MOST at a turn of the loop, first come, first served.

    What comes at one moment would else go through all its stages side by side, each in the way of all others, and all would
    be done only after the time that all together take. Let in by and by, the first are done while the last begin.
    """

    def __init__(self) -> None:
        self._let_in = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turning = False

    async def enter(self) -> None:
        """Wait for one's turn, which comes by itself."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn, loop)
        if self._let_in < MOST:
            self._let_in += 1
            return
        self._waiting.append(entered := loop.create_future())
        await entered

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._let_in = 0
        while self._waiting and self._let_in < MOST:
            if not (entered := self._waiting.popleft()).done():
                entered.set_result(None)
                self._let_in += 1
        if self._let_in:
            loop.call_soon(self._turn, loop)
        else:
            self._turning = False
