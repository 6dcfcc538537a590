"""Reply: an answer as notebooks and scripts hold it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gateway import Attempt, ChatResponse, Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """``cost`` is in US dollars, None where the price is not known; ``session`` None where nothing was kept."""

    text: str
    model: str
    usage: Usage
    cost: float | None
    route: tuple[Attempt, ...]
    session: str | None
    turn: str | None
    result: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, response: ChatResponse) -> Reply:
        """Return the reply that ``response`` is."""
        return cls(
            text=response.text,
            model=response.model,
            usage=response.usage,
            cost=response.cost,
            route=response.route,
            session=response.session_id,
            turn=response.turn_id,
            result=str(response.result),
            warnings=response.warnings,
        )

    def json(self) -> Any:
        """Return the text parsed as JSON; raises ValueError where it is none."""
        return json.loads(self.text)

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text
