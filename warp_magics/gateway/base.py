"""Gateway: what the fronts know, one protocol wherever it runs; and the chances it takes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from .types import ChatRequest, ChatResponse, Event, GatewayStatus, ModelState, Session, Turn


@dataclass(frozen=True, slots=True)
class Chances:
    """Time and chance as arguments: monotonic seconds, a number in [0, 1), a sleep."""

    clock: Callable[[], float]
    random: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Gateway(Protocol):
    """All verbs raise WarpError. ``owner`` is whose sessions are meant."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Return the whole answer; one that breaks off raises, its part in ``details["partial"]``."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Yield an answer's events as they come; what fails before a model has begun raises."""

    async def stop(self, owner: str, stream_id: str) -> bool:
        """Stop a live answer and keep its part; returns whether there was one."""

    async def history(self, owner: str, session_id: str) -> tuple[Turn, ...]:
        """Return a session's turns, oldest first; raises SessionNotFound."""

    async def sessions(self, owner: str, *, search: str = "", limit: int = 50) -> list[Session]:
        """Return the owner's sessions, last used first, whose id or title holds ``search``."""

    async def models(self) -> tuple[ModelState, ...]:
        """Return each configured model with its state."""

    async def status(self) -> GatewayStatus:
        """Return how the gateway is."""

    async def aclose(self) -> None:
        """Stop live answers, keep their parts, close connections."""
