"""AI Warp's wire format: JSON bodies and events to our types and back. camelCase lives here and nowhere else.

Names only, each loaded when it is first used: who reads answers needs nothing of what parses bodies.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .back import (
        begun_of,
        error_of,
        event_of,
        json_of,
        page_of,
        response_of,
        session_event_of,
        session_of,
        stopped_of,
        turn_of,
        turns_of,
    )
    from .bodies import (
        read_ask,
        read_changes,
        read_fork,
        read_new_session,
        read_rewind,
    )
    from .dry import preview_json, preview_of
    from .openai_bodies import read_completion, request_of
    from .openai_out import (
        ChunkWriter,
        completion_json,
        models_json,
        openai_error,
        openai_failure_bytes,
    )
    from .out import (
        ask_bytes,
        attachment_json,
        begun_json,
        error_json,
        event_bytes,
        event_parts,
        failure_bytes,
        fork_bytes,
        json_bytes,
        page_json,
        response_json,
        rewind_bytes,
        session_bytes,
        session_event_bytes,
        session_event_json,
        session_json,
        time_json,
        turn_json,
        usage_json,
    )
    from .requests import Ask, Changes, Fork, NewSession, Rewind
    from .schemas import schemas
    from .states import (
        model_json,
        model_of,
        models_of,
        status_json,
        status_of,
        usage_of,
        usage_row_json,
    )

_HOMES: Final = {
    "back": (
        "begun_of",
        "error_of",
        "event_of",
        "json_of",
        "page_of",
        "response_of",
        "session_event_of",
        "session_of",
        "stopped_of",
        "turn_of",
        "turns_of",
    ),
    "bodies": (
        "read_ask",
        "read_changes",
        "read_fork",
        "read_new_session",
        "read_rewind",
    ),
    "dry": ("preview_json", "preview_of"),
    "openai_bodies": ("read_completion", "request_of"),
    "openai_out": (
        "ChunkWriter",
        "completion_json",
        "models_json",
        "openai_error",
        "openai_failure_bytes",
    ),
    "out": (
        "ask_bytes",
        "attachment_json",
        "begun_json",
        "error_json",
        "event_bytes",
        "event_parts",
        "failure_bytes",
        "fork_bytes",
        "json_bytes",
        "page_json",
        "response_json",
        "rewind_bytes",
        "session_bytes",
        "session_event_bytes",
        "session_event_json",
        "session_json",
        "time_json",
        "turn_json",
        "usage_json",
    ),
    "requests": ("Ask", "Changes", "Fork", "NewSession", "Rewind"),
    "schemas": ("schemas",),
    "states": (
        "model_json",
        "model_of",
        "models_of",
        "status_json",
        "status_of",
        "usage_of",
        "usage_row_json",
    ),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Ask",
    "Changes",
    "ChunkWriter",
    "Fork",
    "NewSession",
    "Rewind",
    "ask_bytes",
    "attachment_json",
    "begun_json",
    "begun_of",
    "completion_json",
    "error_json",
    "error_of",
    "event_bytes",
    "event_of",
    "event_parts",
    "failure_bytes",
    "fork_bytes",
    "json_bytes",
    "json_of",
    "model_json",
    "model_of",
    "models_json",
    "models_of",
    "openai_error",
    "openai_failure_bytes",
    "page_json",
    "page_of",
    "preview_json",
    "preview_of",
    "read_ask",
    "read_changes",
    "read_completion",
    "read_fork",
    "read_new_session",
    "read_rewind",
    "request_of",
    "response_json",
    "response_of",
    "rewind_bytes",
    "schemas",
    "session_bytes",
    "session_event_bytes",
    "session_event_json",
    "session_event_of",
    "session_json",
    "session_of",
    "status_json",
    "status_of",
    "stopped_of",
    "time_json",
    "turn_json",
    "turn_of",
    "turns_of",
    "usage_json",
    "usage_of",
    "usage_row_json",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value
