"""What the OpenAI paths take, as models: what a caller wrote is checked by them, field by field.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

DATA_URL: Final = re.compile(r"data:(image/[a-z+.-]+);base64,(.*)", re.DOTALL)


def _data_url(url: str) -> str:
    if not DATA_URL.fullmatch(url):
        raise ValueError("is to be a data: URL of an image in base64; the gateway fetches nothing")
    return url


class _Part(BaseModel):
    """What clients send back of what they were given holds fields of all kinds: those not known are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class ImageUrl(_Part):
    """An image in a message."""

    url: Annotated[str, AfterValidator(_data_url)]
    detail: str = ""


class TextPart(_Part):
    """A text among the parts of a message."""

    type: Literal["text"]
    text: str


class ImagePart(_Part):
    """An image among the parts of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class RefusalPart(_Part):
    """What a model said in place of an answer."""

    type: Literal["refusal"]
    refusal: str


class CalledFunction(_Part):
    """What a tool call calls."""

    name: str
    arguments: str


class Kept(_Part):
    """What a provider wants back with its call, as ``openai_out`` has sent it along."""

    provider: str = ""
    extra: dict[str, Any] = {}


class CallPart(_Part):
    """A tool call of an earlier answer; ``extra_content`` is what came with it, unchanged."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    extra_content: Kept | None = None


_Words: TypeAlias = str | list[TextPart]
_Named: TypeAlias = Annotated[str, Field(max_length=64)]


class SystemMessage(_Part):
    """Instructions; ``developer`` is another word for ``system``."""

    role: Literal["system", "developer"]
    content: _Words
    name: _Named | None = None


class UserMessage(_Part):
    """What the user says."""

    role: Literal["user"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]
    name: _Named | None = None


class AssistantMessage(_Part):
    """What a model said."""

    role: Literal["assistant"]
    content: str | list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]] | None = None
    refusal: str | None = None
    name: _Named | None = None
    tool_calls: list[CallPart] | None = None


class ToolMessage(_Part):
    """What came of a tool call."""

    role: Literal["tool"]
    content: _Words
    tool_call_id: str


_Message: TypeAlias = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class FunctionTool(_Strict):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionPart(_Strict):
    """A tool."""

    type: Literal["function"]
    function: FunctionTool


class FunctionName(_Strict):
    """Which function."""

    name: str


class NamedChoice(_Strict):
    """The one tool to call."""

    type: Literal["function"]
    function: FunctionName


class JsonSchema(_Strict):
    """The schema that an answer is held to."""

    name: str = "answer"
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")] = {}
    strict: bool | None = None


class TextFormat(_Strict):
    """Any text."""

    type: Literal["text"]


class ObjectFormat(_Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(_Strict):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(_Strict):
    """What a stream has besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


_Penalty: TypeAlias = Annotated[float, Field(ge=-2, le=2)]
_Count: TypeAlias = Annotated[int, Field(ge=1)]


class Asked(_Strict):
    """What every provider has words for; ``fallbacks`` are the rest of the chain for this prompt."""

    model: Annotated[str, Field(min_length=1, description="`auto` (the configured chain), or a model's name.")]
    messages: Annotated[list[_Message], Field(min_length=1)]
    fallbacks: Annotated[list[str] | None, Field(description="Who is asked if that one fails, in order.")] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Literal[1] | None = None
    tools: list[FunctionPart] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    response_format: Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")] | None = None
    # What an answer here has no place for: said to be unwanted, it is no matter.
    logprobs: Literal[False] | None = None
    modalities: list[Literal["text"]] | None = None


class ChatCompletion(Asked):
    """The body of ``chat/completions``: the rest is passed on in the words it came in, to models that speak them.

    The last six are other servers' own.
    """

    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    logit_bias: dict[str, float] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    prediction: dict[str, Any] | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None

    @property
    def with_usage(self) -> bool:
        """Whether a stream is to tell its usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)
