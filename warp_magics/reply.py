"""Reply: an answer as notebooks and scripts hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .formats import json_of

if TYPE_CHECKING:
    from .gateway import Attempt, ChatResponse, Usage

_SHOWN: Final = 60  # characters of the text in a repr


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """``cost`` is in US dollars, None where the price is not known; ``session`` None where nothing was kept.

    ``value`` is what the answer says where it was asked for as JSON or as an instance of a schema.
    """

    text: str
    model: str
    usage: Usage
    cost: float | None
    route: tuple[Attempt, ...]
    session: str | None
    turn: str | None
    result: str
    warnings: tuple[str, ...] = ()
    value: Any = None

    @classmethod
    def of(cls, response: ChatResponse, value: Any = None) -> Reply:
        """Return the reply that ``response`` is, and the ``value`` that it has."""
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
            value=value,
        )

    def json(self) -> Any:
        """Return the text parsed as JSON, also out of a fence; raises NotJson, a ValueError, where it is none."""
        return json_of(self.text)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}…"
        return f"Reply({text!r}, model={self.model!r}, result={self.result!r}, session={self.session!r})"

    def __str__(self) -> str:
        return self.text

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001 - IPython's signature
        printer.text(self.text)

    def _repr_markdown_(self) -> str:
        return self.text
