"""How soon a provider sees that nobody waits any more: a reader gone, a stop, an interrupt, a time-out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from warp_magics.gateway.types import ChatRequest, Text

from .doors import NUMBERS, CellDoor, GatewayDoor, World

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS = ("reader gone", "stop", "timeout", "kernel interrupt")
PROMISED = 0.1
"""Seconds."""
WITHIN = 10 * PROMISED


def seconds(place: World, gateway: GatewayDoor, cell: CellDoor, way: str) -> float:
    """Return the seconds from the word that ends an answer to the provider's knowing of it."""
    model = f"silent-1@c{next(NUMBERS)}"
    by_kernel = way == "kernel interrupt"
    at = _interrupted(cell, model) if by_kernel else gateway.run(_ended(gateway, model, way), 30)
    seen = _until(lambda: _call(place, model)["disconnected_at"])
    return float(seen) - at


async def _ended(door: GatewayDoor, model: str, way: str) -> float:
    timeout = 0.5 if way == "timeout" else None
    request = ChatRequest(
        "hi",
        models=(f"openai:{model}",),
        store=False,
        timeout=timeout,
        on_break="error",
        turn_id=model.replace("@", "-"),
    )
    began = time.monotonic()
    events = door.gateway.stream(request)
    async for event in events:
        if isinstance(event, Text) and way != "timeout":
            break
    if way == "timeout":
        return began + 0.5
    at = time.monotonic()
    if way == "stop":
        await door.gateway.stop("local", model.replace("@", "-"))
    await events.aclose()
    return at


def _interrupted(cell: CellDoor, model: str) -> float:
    msg_id = cell.kernel.start(f"%%warp -m openai:{model}\nhi")
    cell.kernel.until_text(msg_id, "You")
    at = cell.kernel.interrupt()
    cell.kernel.wait(msg_id)
    return at


def _call(place: World, model: str) -> dict[str, Any]:
    (call,) = place.fake.requests(model)
    return call


def _until(seen: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (found := seen()):
        assert time.monotonic() < deadline, "the provider was not told"
        time.sleep(0.01)
    return found
