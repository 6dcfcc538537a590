"""The gateway's public face, and the one door to it: names only, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from . import errors, wire
    from .announced import KEYS_HIDDEN, SERVER_ID, Announcement, announce, announcements, parent_server, withdraw
    from .base import Chances, Gateway
    from .config import WarpConfig, load_config
    from .dialects.base import Dialect, StreamDecoder, WireRequest, arguments_of, left_out, with_schema
    from .dialects.reading import JsonDecoder, count, read_whole, words
    from .dialects.refusals import Phrase, refusal
    from .exports import export
    from .feeds import Told, merge
    from .finding import find, is_camel, parsed, server_says
    from .hiding import Environment, hide_keys
    from .local import LocalGateway
    from .prompt import heard
    from .providers import PROVIDERS, Provider
    from .remote import RemoteGateway
    from .signals import observe
    from .sse import Decoder, ServerSentEvent, comment, encode_line
    from .stores.embedded import EmbeddedServer, find_server
    from .tape import Heard, Mode, Reel, TapeGateway
    from .turns import check_session_id
    from .types import (
        Attachment,
        Attempt,
        Begun,
        Branch,
        Call,
        ChatRequest,
        ChatResponse,
        Conversation,
        Ended,
        Event,
        Exchange,
        Failed,
        Form,
        GatewayStatus,
        Message,
        Model,
        ModelState,
        Page,
        Parameters,
        Preview,
        Price,
        Reasoning,
        Restarted,
        Result,
        Session,
        SessionEvent,
        Source,
        Started,
        Text,
        Tool,
        ToolCall,
        ToolResult,
        Turn,
        Usage,
        UsageRow,
    )

_HOMES: Final = {
    "announced": (
        "KEYS_HIDDEN",
        "SERVER_ID",
        "Announcement",
        "announce",
        "announcements",
        "parent_server",
        "withdraw",
    ),
    "types": (
        "Attachment",
        "Attempt",
        "Begun",
        "Call",
        "Conversation",
        "Form",
        "Message",
        "Tool",
        "ToolResult",
        "SessionEvent",
        "Page",
        "Branch",
        "ChatRequest",
        "ChatResponse",
        "Ended",
        "Event",
        "Exchange",
        "Failed",
        "GatewayStatus",
        "Model",
        "ModelState",
        "Parameters",
        "Preview",
        "Reasoning",
        "Restarted",
        "Result",
        "Session",
        "Source",
        "Started",
        "Text",
        "ToolCall",
        "Turn",
        "Price",
        "Usage",
        "UsageRow",
    ),
    "base": ("Chances", "Gateway"),
    "config": ("WarpConfig", "load_config"),
    "dialects.base": ("Dialect", "StreamDecoder", "WireRequest", "arguments_of", "left_out", "with_schema"),
    "dialects.reading": ("JsonDecoder", "count", "read_whole", "words"),
    "dialects.refusals": ("Phrase", "refusal"),
    "exports": ("export",),
    "feeds": ("Told", "merge"),
    "finding": ("find", "is_camel", "parsed", "server_says"),
    "hiding": ("Environment", "hide_keys"),
    "local": ("LocalGateway",),
    "prompt": ("heard",),
    "providers": ("PROVIDERS", "Provider"),
    "remote": ("RemoteGateway",),
    "signals": ("observe",),
    "turns": ("check_session_id",),
    "sse": ("Decoder", "ServerSentEvent", "comment", "encode_line"),
    "stores.embedded": ("EmbeddedServer", "find_server"),
    "tape": ("Heard", "Mode", "Reel", "TapeGateway"),
}
_MODULES: Final = ("errors", "wire")
"""Offered whole: the errors by their names, the wire format to those who serve it."""
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "KEYS_HIDDEN",
    "PROVIDERS",
    "SERVER_ID",
    "Announcement",
    "Attachment",
    "Attempt",
    "Begun",
    "Branch",
    "Call",
    "Chances",
    "ChatRequest",
    "ChatResponse",
    "Conversation",
    "Decoder",
    "Dialect",
    "EmbeddedServer",
    "Ended",
    "Environment",
    "Event",
    "Exchange",
    "Failed",
    "Form",
    "Gateway",
    "GatewayStatus",
    "Heard",
    "JsonDecoder",
    "LocalGateway",
    "Message",
    "Mode",
    "Model",
    "ModelState",
    "Page",
    "Parameters",
    "Phrase",
    "Preview",
    "Price",
    "Provider",
    "Reasoning",
    "Reel",
    "RemoteGateway",
    "Restarted",
    "Result",
    "ServerSentEvent",
    "Session",
    "SessionEvent",
    "Source",
    "Started",
    "StreamDecoder",
    "TapeGateway",
    "Text",
    "Told",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Turn",
    "Usage",
    "UsageRow",
    "WarpConfig",
    "WireRequest",
    "announce",
    "announcements",
    "arguments_of",
    "check_session_id",
    "comment",
    "count",
    "encode_line",
    "errors",
    "export",
    "find",
    "find_server",
    "heard",
    "hide_keys",
    "is_camel",
    "left_out",
    "load_config",
    "merge",
    "observe",
    "parent_server",
    "parsed",
    "read_whole",
    "refusal",
    "server_says",
    "wire",
    "with_schema",
    "withdraw",
    "words",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value
