"""A dry run on the wire: what would be sent, to JSON and back. Of images their names and kinds go along alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..types import Attachment, Call, Message, Preview, ToolResult
from .back import reader, usage_from
from .out import usage_json

if TYPE_CHECKING:
    from collections.abc import Mapping


def preview_json(one: Preview) -> dict[str, object]:
    """Return what a dry run tells."""
    return {
        "dryRun": True,
        "model": one.model,
        "messages": [_told(message) for message in one.messages],
        "usage": usage_json(one.usage),
        "cost": one.cost,
        "warnings": list(one.warnings),
    }


def _told(one: Message) -> dict[str, object]:
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in one.tool_calls]
    results = [
        {"id": result.id, "content": result.content, "isError": result.is_error, "name": result.name}
        for result in one.tool_results
    ]
    images = [{"name": image.name, "mediaType": image.media_type} for image in one.images]
    return {"role": one.role, "text": one.text, "images": images, "toolCalls": calls, "toolResults": results}


@reader
def preview_of(body: Mapping[str, Any]) -> Preview:
    """Return the preview that ``preview_json`` wrote."""
    return Preview(
        model=body["model"],
        messages=tuple(map(_message, body["messages"])),
        usage=usage_from(body["usage"]),
        cost=body["cost"],
        warnings=tuple(body["warnings"]),
    )


def _message(body: Mapping[str, Any]) -> Message:
    return Message(
        role=body["role"],
        text=body["text"],
        images=tuple(Attachment("image", one["name"], one["mediaType"]) for one in body["images"]),
        tool_calls=tuple(Call(one["id"], one["name"], one["arguments"]) for one in body["toolCalls"]),
        tool_results=tuple(
            ToolResult(one["id"], one["content"], one["isError"], one["name"]) for one in body["toolResults"]
        ),
    )
