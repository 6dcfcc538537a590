"""What a caller may write: the models that parse the bodies, and that the API's description is made of."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

TOO_DEEP: Final = "is nested too deeply"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)")
_METADATA: Final = 16 * 1024
"""Bytes of JSON that a session's metadata may have."""
_TITLE: Final = 200
_CENTURY: Final = 36525 * 86400.0


def _seconds(value: object) -> object:
    """Return a duration with a unit in seconds, anything else as it is."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else value


def _function(value: object) -> object:
    """Return a tool as OpenAI's clients write it (``{"type": "function", "function": {…}}``) as the function alone."""
    if isinstance(value, dict) and value.get("type") == "function" and value.keys() == {"type", "function"}:
        return value["function"]
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise ValueError(TOO_DEEP) from None
    if size > _METADATA:
        raise ValueError("is over 16 KB of JSON")
    return value


_Written = Annotated[float, Field(gt=0)] | Annotated[str, Field(pattern=f"^{_DURATION.pattern}$")]
"""A duration as one writes it."""
_Title = Annotated[str, Field(max_length=_TITLE)]
_Metadata = Annotated[dict[str, Any], AfterValidator(_small)]
# A store keeps milliseconds, and cannot count to infinity.
_Ttl = Annotated[float, Field(ge=0.001, le=_CENTURY), BeforeValidator(_seconds, json_schema_input_type=_Written)]
_Timeout = Annotated[float, Field(gt=0), BeforeValidator(_seconds, json_schema_input_type=_Written)]
_Id = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"})]
"""The pattern is for the description alone: a wrong id is refused later, with a code of its own."""


class Body(BaseModel):
    """A JSON object of the wire: its names are in camelCase, and it has no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class ModelName(Body):
    """A model as AI Warp's client may write it."""

    provider: str = Field(description="A configured provider.")
    model: str = Field(description="The model's name at that provider.")


class Origin(Body):
    """Where a prompt came from; it is kept with the turn."""

    kind: Literal["cell", "panel", "python", "rest"] = Field(default="rest", description="Which front asked.")
    notebook: str | None = Field(default=None, description="The notebook's path.")
    cell: str | None = Field(default=None, description="The cell's id.")


class File(Body):
    """An attachment: a text, or an image as base64."""

    kind: Literal["text", "image"] = Field(description="What it is.")
    name: str = Field(default="", description="What the model is told that it is called.")
    media_type: str = Field(default="", description="Of an image: image/png, image/jpeg, image/gif or image/webp.")
    text: str = Field(default="", description="A text's content.")
    data: str = Field(default="", description="An image's content, as base64.")


class Function(Body):
    """A tool that the model may call."""

    name: str = Field(description="What the model calls it by.")
    description: str = Field(default="", description="What it does, for the model.")
    parameters: dict[str, Any] = Field(default={}, description="The JSON Schema of its arguments.")
    strict: bool | None = Field(default=None, description="Whether it is held to that; null leaves it to the provider.")


class WrappedFunction(Body):
    """A tool, as OpenAI's clients write it."""

    type: Literal["function"] = Field(description="The only kind.")
    function: Function = Field(description="The tool.")


class Outcome(Body):
    """What came of a tool call."""

    id: str = Field(description="The call's id.")
    content: str = Field(description="What the tool returned, as text.")
    is_error: bool = Field(default=False, description="True where the tool failed.")


class ToolCall(Body):
    """A call that an answer has made."""

    id: str = Field(description="What its result names.")
    name: str = Field(description="The tool.")
    arguments: str = Field(description="The arguments as JSON text, as the model wrote them.")
    extra: dict[str, Any] = Field(default={}, description="What the provider wants back with the call.")


class Past(Body):
    """A turn before this one."""

    prompt: str = Field(description="What was asked.")
    response: str = Field(description="What was answered.")
    model: str | None = Field(default=None, description="Who answered, as provider:name.")
    attachments: list[File] = Field(default=[], description="What the prompt had attached.")
    tool_calls: list[ToolCall] = Field(default=[], description="The calls that the answer made.")
    tool_results: list[Outcome] = Field(default=[], description="The results that the prompt brought.")


def _none_given(value: object) -> object:
    return [] if value is None else value


_Models = list[str | ModelName]
_Turns = list[Past]


class Ask(Body):
    """A prompt, and how it is to be answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["prompt"], "properties": {"prompt": {"minLength": 1}}},
                {"required": ["continue"]},
                {"required": ["toolResults"]},
            ]
        }
    )

    prompt: str = Field(default="", description="What is asked. It may be empty only with `continue` or `toolResults`.")
    session_id: _Id | None = Field(
        default=None,
        description="The session to go on with: 1 to 128 characters of A-Z a-z 0-9 . _ -. Without it: a new one.",
    )
    create_session: bool = Field(default=False, description="Make the session where it is not there.")
    store: bool = Field(default=True, description="False: no session; nothing is kept of prompt and answer.")
    context: str | dict[str, Any] | list[Any] | None = Field(
        default=None, description="What the model is to know besides: a text, or JSON that it is sent as text."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="How free the choice of words is."
    )
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(default=None, description="How long the answer may be.")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(default=None, description="Nucleus sampling.")
    seed: int | None = Field(default=None, description="For answers that repeat, where the provider can.")
    stop: list[str] | str | None = Field(default=None, description="Texts at which the answer ends.")
    models: Annotated[_Models, BeforeValidator(_none_given, json_schema_input_type=_Models | None)] = Field(
        default=[],
        description="Who is asked, in this order: provider:name, a configured name or alias. Left out: the chain.",
    )
    history: Annotated[_Turns, BeforeValidator(_none_given, json_schema_input_type=_Turns | None)] = Field(
        default=[], description="The turns before, oldest first; not with `sessionId`."
    )
    source: Origin = Field(default=Origin(), description="Where the prompt came from.")
    timeout: _Timeout | None = Field(
        default=None, description="How long the whole answer may take: seconds, or with a unit."
    )
    on_break: Literal["splice", "restart", "error"] | None = Field(
        default=None,
        description="What follows if an answer breaks off. Left out: `splice` for streams, else `restart`.",
    )
    cache: bool | None = Field(
        default=None, description="Whether the same prompt may get the same answer without a call."
    )
    replaces: str | None = Field(
        default=None,
        description="A turn to take the place of, by its id; `source`: the one of the same notebook and cell.",
    )
    continues: str | None = Field(
        default=None, alias="continue", description="The session's last turn, which stopped too early, by its id."
    )
    attachments: list[File] = Field(default=[], description="Texts and images that belong to the prompt.")
    tools: list[Annotated[Function, BeforeValidator(_function, json_schema_input_type=Function | WrappedFunction)]] = (
        Field(default=[], description="Tools that may be called.")
    )
    tool_choice: str | None = Field(default=None, description="`auto`, `none`, `required` or a tool's name.")
    tool_results: list[Outcome] = Field(default=[], description="Answers to the calls of the session's last turn.")
    response_schema: dict[str, Any] | None = Field(
        default=None, description="A JSON Schema that the answer is to fit; `value` is then what its text says."
    )
    # The path asks for it: a request is the same, sent or not.
    dry_run: bool = Field(default=False, description="Send nothing; tell what would be sent, and its cost.")
    # AI Warp's client always sends these two; the path says whether to stream, a Last-Event-ID what to resume.
    stream: bool | None = Field(default=None, description="Accepted from AI Warp's client; the path decides.")
    resume: bool | None = Field(
        default=None,
        description="With `sessionId` and the header Last-Event-ID on `stream`: follow that answer, ask nothing.",
    )


class NewSession(Body):
    """A session to be made."""

    session_id: _Id | None = Field(
        default=None, description="Its id: 1 to 128 characters of A-Z a-z 0-9 . _ -. Left out: a new one."
    )
    title: _Title = Field(default="", description="What it is listed as.")
    ttl: _Ttl | None = Field(default=None, description="How long it is kept without use: seconds, or with a unit.")
    metadata: _Metadata | None = Field(default=None, description="Anything, up to 16 KB of JSON.")


class Changes(Body):
    """What is to change of a session; what is left out stays."""

    title: _Title | None = Field(default=None, description="What it is listed as.")
    ttl: _Ttl | None = Field(default=None, description="How long it is kept without use: seconds, or with a unit.")
    metadata: _Metadata | None = Field(
        default=None, description="Anything, up to 16 KB of JSON, in place of what there was."
    )


class Fork(Body):
    """Where a session is to be forked."""

    at: str | None = Field(
        default=None, description="The last turn that the new session has, by its id. Left out: all turns."
    )
    session_id: _Id | None = Field(default=None, description="The new session's id. Left out: a fresh one.")


class Rewind(Body):
    """Where a session is to go back to."""

    to: str = Field(description="The turn that is to be its last, by its id.")
