"""What is told of models, of what was used and of the gateway: to JSON and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..errors import GatewayRefused
from ..types import GatewayStatus, ModelState, Price, UsageRow, Window
from .back import reader, usage_from
from .out import usage_json


def model_json(state: ModelState) -> dict[str, object]:
    """Return a configured model as ``models`` lists it; durations in seconds."""
    windows = {"rate": (state.window, state.left), "tokens": (state.token_window, state.tokens_left)}
    body: dict[str, object] = {
        "model": state.model,
        "provider": state.model.partition(":")[0],
        "alias": state.alias,
        "inChain": state.in_chain,
        "state": state.state,
        "limits": {
            name: {"max": window.max, "timeWindow": window.seconds, "left": left}
            for name, (window, left) in windows.items()
            if window
        },
        "price": asdict(state.price) if state.price else None,
    }
    if state.state != "ready":
        body |= {"reason": state.reason, "restoresIn": state.restores_in}
    return body


def usage_row_json(row: UsageRow, by: str) -> dict[str, object]:
    """Return what was used, as ``usage`` lists it by model, session or day."""
    told = {by: row.key, "answers": row.answers, "usage": usage_json(row.usage), "cost": row.cost}
    return {**told, "unpriced": row.unpriced}


def status_json(status: GatewayStatus) -> dict[str, object]:
    """Return what ``health/ready`` tells a user."""
    return {
        "status": "ok" if status.ok else "degraded",
        "reasons": list(status.reasons),
        "gatewayId": status.gateway_id,
        "version": status.version,
        "configured": status.configured,
        "storage": dict(status.storage),
    }


@reader
def model_of(body: dict[str, Any]) -> ModelState:
    """Return the model that ``model_json`` wrote."""
    rate, tokens = body["limits"].get("rate"), body["limits"].get("tokens")
    return ModelState(
        model=body["model"],
        alias=body["alias"],
        in_chain=body["inChain"],
        state=body["state"],
        reason=body.get("reason"),
        restores_in=body.get("restoresIn"),
        window=Window(rate["max"], rate["timeWindow"]) if rate else None,
        left=rate["left"] if rate else None,
        token_window=Window(tokens["max"], tokens["timeWindow"]) if tokens else None,
        tokens_left=tokens["left"] if tokens else None,
        price=Price(**body["price"]) if body["price"] else None,
    )


@reader
def models_of(body: dict[str, Any]) -> tuple[ModelState, ...]:
    """Return the models that ``models`` lists."""
    return tuple(map(model_of, body["models"]))


@reader
def usage_of(body: dict[str, Any]) -> tuple[UsageRow, ...]:
    """Return what ``usage`` lists."""
    by = body["by"]
    rows = body["usage"]
    return tuple(
        UsageRow(one[by], one["answers"], usage_from(one["usage"]), one["cost"], one["unpriced"]) for one in rows
    )


@reader
def status_of(body: dict[str, Any]) -> GatewayStatus:
    """Return what ``status_json`` wrote; where its configuration is, a gateway elsewhere does not say.

    Raises GatewayRefused for what a stranger is told.
    """
    if body.keys() == {"status"}:
        raise GatewayRefused("The gateway takes us for a stranger. Set WARP_GATEWAY_TOKEN to a token that it knows.")
    return GatewayStatus(
        gateway_id=body["gatewayId"],
        version=body["version"],
        configured=body["configured"],
        ok=body["status"] == "ok",
        reasons=tuple(body["reasons"]),
        storage=dict(body["storage"]),
    )
