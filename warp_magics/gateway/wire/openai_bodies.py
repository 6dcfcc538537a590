"""The bodies of the OpenAI paths to requests. snake_case lives here, in ``openai_requests`` and in ``openai_out``."""

from __future__ import annotations

from typing import Any, Final

from ..errors import InvalidRequest
from ..types import Attachment, Call, ChatRequest, Form, Message, Parameters, Tool, ToolResult
from .bodies import checked, read_object
from .openai_requests import (
    DATA_URL,
    Asked,
    AssistantMessage,
    CallPart,
    ChatCompletion,
    FunctionTool,
    ImagePart,
    ImageUrl,
    NamedChoice,
    ObjectFormat,
    RefusalPart,
    SchemaFormat,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)

AUTO: Final = "auto"
"""The model that means the configured chain."""
_ALSO: Final = {"image/jpg": "image/jpeg"}


def read_completion(body: bytes) -> ChatCompletion:
    """Return what ``body`` asks for; raises InvalidRequest, and UnprocessableRequest with the names of what is wrong."""
    raw = read_object(body, such_as='{"model": "auto", "messages": [{"role": "user", "content": "…"}]}')
    return checked(ChatCompletion, {name: value for name, value in raw.items() if value is not None})


def request_of(asked: ChatCompletion, owner: str) -> ChatRequest:
    """Return the request, whose ``messages`` are the whole conversation and which no session keeps."""
    choice = asked.tool_choice
    return ChatRequest(
        prompt="",
        store=False,
        owner=owner,
        models=_chain(asked),
        parameters=_parameters(asked),
        on_break="splice" if asked.stream else None,
        form=Form(
            tuple(_tool(one.function) for one in asked.tools or ()),
            choice.function.name if isinstance(choice, NamedChoice) else choice,
            *_schema(asked),
        ),
        messages=_messages(asked.messages),
    )


def _chain(asked: ChatCompletion) -> tuple[str, ...]:
    if asked.model == AUTO:
        if asked.fallbacks:
            raise InvalidRequest("fallbacks follow a model that is named; auto is the configured chain, whole.")
        return ()
    return (asked.model, *(asked.fallbacks or ()))


def _parameters(asked: ChatCompletion) -> Parameters:
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    named = (name for name in ChatCompletion.model_fields if name not in Asked.model_fields)
    extra = {name: value for name in named if (value := getattr(asked, name)) is not None}
    most = asked.max_completion_tokens or asked.max_tokens
    return Parameters(asked.temperature, most, asked.top_p, asked.seed, tuple(stop), extra)


def _schema(asked: ChatCompletion) -> tuple[dict[str, Any] | None, str, bool | None]:
    wanted = asked.response_format
    if isinstance(wanted, SchemaFormat):
        return wanted.json_schema.schema_, wanted.json_schema.name, wanted.json_schema.strict
    return ({"type": "object"} if isinstance(wanted, ObjectFormat) else None), "answer", None


def _tool(one: FunctionTool) -> Tool:
    return Tool(one.name, one.description or "", one.parameters or {}, one.strict)


def _messages(said: list[Any]) -> tuple[Message, ...]:
    """Return the messages as models are sent them: the results of calls stand at the head of what the user says then."""
    messages: list[Message] = []
    results: list[ToolResult] = []
    names: dict[str, str] = {}
    for one in said:
        if isinstance(one, ToolMessage):
            results.append(ToolResult(one.tool_call_id, _text(one.content), name=names.get(one.tool_call_id, "")))
            continue
        if results and not isinstance(one, UserMessage):
            messages.append(Message("user", "", tool_results=tuple(results)))
            results = []
        messages.append(_message(one, tuple(results)))
        results = []
        names |= {call.id: call.name for call in messages[-1].tool_calls}
    return (*messages, *([Message("user", "", tool_results=tuple(results))] if results else []))


def _message(one: SystemMessage | UserMessage | AssistantMessage, results: tuple[ToolResult, ...]) -> Message:
    name = one.name or ""
    if isinstance(one, AssistantMessage):
        calls = one.tool_calls or []
        provider = next((call.extra_content.provider for call in calls if call.extra_content), "")
        said = _text(one.content or one.refusal or "")
        return Message("assistant", said, tool_calls=tuple(map(_call, calls)), name=name, provider=provider)
    if isinstance(one, SystemMessage):
        return Message("system", _text(one.content), name=name)
    if isinstance(one.content, str):
        return Message("user", one.content, tool_results=results, name=name)
    parts = tuple(part.text if isinstance(part, TextPart) else _image(part.image_url) for part in one.content)
    images = tuple(part for part in parts if isinstance(part, Attachment))
    order = parts if len(parts) > 1 else ()
    return Message("user", _text(one.content), images, tool_results=results, parts=order, name=name)


def _call(one: CallPart) -> Call:
    return Call(one.id, one.function.name, one.function.arguments, one.extra_content.extra if one.extra_content else {})


def _text(content: str | list[Any]) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(
        part.refusal if isinstance(part, RefusalPart) else part.text
        for part in content
        if not isinstance(part, ImagePart)
    )


def _image(image: ImageUrl) -> Attachment:
    found = DATA_URL.fullmatch(image.url)
    assert found is not None, "checked when it was read"  # noqa: S101
    media_type = _ALSO.get(found[1], found[1])
    return Attachment("image", media_type=media_type, data=found[2], detail=image.detail)
