"""What the OpenAI paths answer, as models: the API's description is made of them, and tests hold ``openai_out`` to them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..types import Result  # noqa: TC001 - pydantic reads it


def _maybe(description: str) -> Any:
    """Return a field that is not always there; ``schemas`` leaves its default out."""
    return Field(default=None, description=description)


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalledTool(_Shape):
    """A function that the model wants called."""

    name: str = Field(description="Which.")
    arguments: str = Field(description="The arguments as JSON text, as the model wrote them.")


class CompletionCall(_Shape):
    """A tool call."""

    id: str = Field(description="What its result names.")
    type: Literal["function"] = Field(description="The only kind.")
    function: CalledTool = Field(description="What is called.")
    extra_content: dict[str, Any] = _maybe("What the provider wants back with the call: send it along.")


class CompletionMessage(_Shape):
    """A message of the model."""

    role: Literal["assistant"] = Field(description="Always so.")
    content: str | None = Field(description="Its text; null where it only calls tools.")
    refusal: None = Field(description="Always null.")
    tool_calls: list[CompletionCall] = _maybe("The tools that it wants called.")


class Choice(_Shape):
    """The answer."""

    index: Literal[0] = Field(description="There is one.")
    message: CompletionMessage = Field(description="What the model said.")
    logprobs: None = Field(description="Always null.")
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] = Field(
        description="How it ended; `length` for all that is not whole."
    )


class PromptTokens(_Shape):
    """Of the tokens of the prompt."""

    cached_tokens: int = Field(description="Those that the provider had kept.")


class CompletionTokens(_Shape):
    """Of the tokens of the answer."""

    reasoning_tokens: int = Field(description="Those that were thought and not said.")


class CompletionUsage(_Shape):
    """Tokens, as the provider counted them."""

    prompt_tokens: int = Field(description="Of the prompt.")
    completion_tokens: int = Field(description="Of the answer.")
    total_tokens: int = Field(description="Of both.")
    prompt_tokens_details: PromptTokens = Field(description="Of the first.")
    completion_tokens_details: CompletionTokens = Field(description="Of the second.")


class CompletionAttempt(_Shape):
    """One try at one model."""

    model: str = Field(description="As provider:name.")
    outcome: str = Field(description="`ok`, `cache`, `stopped`, `cooling`, `probing`, `diverged`, or an error's code.")
    seconds: float = Field(description="How long it took.")
    status: int = _maybe("The provider's HTTP status, where there was one.")
    reason: str = _maybe("What the provider said, or why the model was passed over.")
    restores_in: float = _maybe("Seconds for which the model is passed over after it.")


class Warp(_Shape):
    """What the gateway has to say of an answer, where OpenAI's fields have no place for it."""

    session_id: str | None = Field(description="Its session, where one keeps it.")
    turn_id: str | None = Field(description="Its turn.")
    stream_id: str | None = Field(description="What it can be followed by, where a session keeps it.")
    result: Result = Field(description="How it ended.")
    cost: float | None = Field(description="US dollars; null where the price is not known.")
    route: list[CompletionAttempt] = Field(description="Every model that was tried, in order.")
    warnings: list[str] = Field(description="What a person should know.")


class Completion(_Shape):
    """A whole answer."""

    id: str = Field(description="chatcmpl- and the turn's id.")
    object: Literal["chat.completion"] = Field(description="Its kind.")
    created: int = Field(description="Unix seconds.")
    model: str = Field(description="Who really answered, as provider:name.")
    choices: list[Choice] = Field(min_length=1, max_length=1, description="The answer.")
    usage: CompletionUsage = Field(description="What it used.")
    warp: Warp = Field(description="What the gateway adds.")


class CompletionCallDelta(CompletionCall):
    """A tool call in a stream: it comes whole."""

    index: int = Field(description="Its place among the calls.")


class Delta(_Shape):
    """What a chunk adds."""

    role: Literal["assistant"] = _maybe("In the first chunk.")
    content: str = _maybe("A piece of the text.")
    refusal: None = _maybe("Always null.")
    reasoning_content: str = _maybe("A piece of what was thought; not part of the answer.")
    tool_calls: list[CompletionCallDelta] = _maybe("A call.")


class ChunkChoice(_Shape):
    """The answer, a piece of it."""

    index: Literal[0] = Field(description="There is one.")
    delta: Delta = Field(description="What it adds.")
    logprobs: None = Field(description="Always null.")
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] | None = Field(
        description="How the answer ended, in its last chunk."
    )


class CompletionChunk(_Shape):
    """A piece of a streamed answer."""

    id: str = Field(description="The same in all chunks.")
    object: Literal["chat.completion.chunk"] = Field(description="Its kind.")
    created: int = Field(description="Unix seconds.")
    model: str = Field(description="Who answers, as provider:name.")
    choices: list[ChunkChoice] = Field(description="One; none in the chunk that tells the usage.")
    usage: CompletionUsage | None = _maybe("With `stream_options.include_usage`: in the last chunk, null before.")
    warp: Warp = _maybe("What the gateway adds, with the `finish_reason`.")


class ListedModel(_Shape):
    """A name by which a model can be asked."""

    id: str = Field(description="`auto` (the configured chain), provider:name, or an alias.")
    object: Literal["model"] = Field(description="Its kind.")
    created: int = Field(description="Always 0.")
    owned_by: str = Field(description="The provider.")


class ModelList(_Shape):
    """The names by which models can be asked."""

    object: Literal["list"] = Field(description="Its kind.")
    data: list[ListedModel] = Field(description="`auto` first.")


class OpenAIFailure(_Shape):
    """What went wrong."""

    message: str = Field(description="For people.")
    type: str = Field(description="As OpenAI's: `invalid_request_error`, `server_error`, …")
    code: str = Field(description="For programs: OpenAI's where it has one, else the gateway's.")
    param: str | None = Field(description="The field that is wrong, where one is.")
    details: dict[str, Any] = _maybe("More for programs: the `route`, the `provider`'s own words.")
    retry_after: float = _maybe("Seconds after which it may work.")


class OpenAIError(_Shape):
    """A failure, as OpenAI tells it."""

    error: OpenAIFailure = Field(description="All that is told of it.")
