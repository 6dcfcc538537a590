"""The gateway's public face, and the one door to it: names only, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from . import errors, wire
    from .announced import SERVER_ID, Announcement, announce, announcements, parent_server, withdraw
    from .base import Chances, Gateway
    from .config import WarpConfig, load_config
    from .exports import export
    from .local import LocalGateway
    from .providers import PROVIDERS, Provider
    from .remote import RemoteGateway
    from .sse import comment, encode
    from .stores.embedded import EmbeddedServer, find_server
    from .turns import check_session_id
    from .types import (
        Attempt,
        Branch,
        ChatRequest,
        ChatResponse,
        Ended,
        Event,
        Failed,
        GatewayStatus,
        Model,
        ModelState,
        Page,
        Parameters,
        Reasoning,
        Restarted,
        Result,
        Session,
        SessionEvent,
        Source,
        Started,
        Text,
        ToolCall,
        Turn,
        Usage,
    )

_HOMES: Final = {
    "announced": ("SERVER_ID", "Announcement", "announce", "announcements", "parent_server", "withdraw"),
    "types": (
        "Attempt",
        "SessionEvent",
        "Page",
        "Branch",
        "ChatRequest",
        "ChatResponse",
        "Ended",
        "Event",
        "Failed",
        "GatewayStatus",
        "Model",
        "ModelState",
        "Parameters",
        "Reasoning",
        "Restarted",
        "Result",
        "Session",
        "Source",
        "Started",
        "Text",
        "ToolCall",
        "Turn",
        "Usage",
    ),
    "base": ("Chances", "Gateway"),
    "config": ("WarpConfig", "load_config"),
    "exports": ("export",),
    "local": ("LocalGateway",),
    "providers": ("PROVIDERS", "Provider"),
    "remote": ("RemoteGateway",),
    "turns": ("check_session_id",),
    "sse": ("comment", "encode"),
    "stores.embedded": ("EmbeddedServer", "find_server"),
}
_MODULES: Final = ("errors", "wire")
"""Offered whole: the errors by their names, the wire format to those who serve it."""
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PROVIDERS",
    "SERVER_ID",
    "Announcement",
    "Attempt",
    "Branch",
    "Chances",
    "ChatRequest",
    "ChatResponse",
    "EmbeddedServer",
    "Ended",
    "Event",
    "Failed",
    "Gateway",
    "GatewayStatus",
    "LocalGateway",
    "Model",
    "ModelState",
    "Page",
    "Parameters",
    "Provider",
    "Reasoning",
    "RemoteGateway",
    "Restarted",
    "Result",
    "Session",
    "SessionEvent",
    "Source",
    "Started",
    "Text",
    "ToolCall",
    "Turn",
    "Usage",
    "WarpConfig",
    "announce",
    "announcements",
    "check_session_id",
    "comment",
    "encode",
    "errors",
    "export",
    "find_server",
    "load_config",
    "parent_server",
    "wire",
    "withdraw",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value
