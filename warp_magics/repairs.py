"""Repairs: whether an answer is of the type it was asked for, and what two answers to one prompt come to. Pure."""

from __future__ import annotations

from dataclasses import astuple, replace
from operator import add
from typing import TYPE_CHECKING, Any

from .schema import Misfit

if TYPE_CHECKING:
    from .gateway import ChatResponse
    from .schema import Wanted


def judged(wanted: Wanted | None, response: ChatResponse) -> tuple[Any, Misfit | None]:
    """Return the value that ``response`` is, and why it is none."""
    if wanted is None:
        return None, None
    try:
        return wanted.value(response), None
    except Misfit as misfit:
        return None, misfit


def repaired(first: ChatResponse, second: ChatResponse, misfit: Misfit) -> ChatResponse:
    """Return the second answer as the whole of what was asked: with what both have used, and a word of the first."""
    from .gateway import Usage

    costs = [one.cost for one in (first, second)]
    known = [cost for cost in costs if cost is not None]
    return replace(
        second,
        usage=Usage(*map(add, astuple(first.usage), astuple(second.usage))),
        cost=sum(known) if len(known) == len(costs) else None,
        warnings=(*second.warnings, f"asked once more: the first answer did not fit ({str(misfit).rstrip('.')})"),
    )


def given_up(response: ChatResponse, misfit: Misfit) -> Misfit:
    """Return what is raised where the second answer does not fit either."""
    return Misfit(f"The answer of {response.model} does not fit, asked twice: {misfit}")
