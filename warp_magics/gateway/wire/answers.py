"""What is answered, as models: the API's description is made of them, and tests hold ``out`` and ``dry`` to them.

A field that ``_maybe`` describes may be left out; one of type ``X | None`` may be null.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from typing import Any, Literal

from pydantic import Field

from ..types import Result  # noqa: TC001 - pydantic reads it
from .requests import Body, File, Origin, Outcome, ToolCall


def _maybe(description: str) -> Any:
    """Return a field that is not always there; ``schemas`` leaves its default out."""
    return Field(default=None, description=description)


class Usage(Body):
    """Tokens, as the provider counted them."""

    input_tokens: int = Field(ge=0, description="Of the prompt.")
    output_tokens: int = Field(ge=0, description="Of the answer.")
    cached_tokens: int = Field(ge=0, description="Part of the input that the provider had kept.")
    reasoning_tokens: int = Field(ge=0, description="Part of the output that was thought and not said.")


class Attempt(Body):
    """One try at one model."""

    model: str = Field(description="As provider:name.")
    outcome: str = Field(
        description="`ok`, `cache`, `stopped`, `cooling` or `probing` (passed over), `diverged`, or an error's code."
    )
    seconds: float = Field(ge=0, description="How long it took.")
    status: int = _maybe("The provider's HTTP status, where there was one.")
    reason: str = _maybe("What the provider said, or why the model was passed over.")
    restores_in: float = _maybe("Seconds for which the model is passed over after it.")


class Answer(Body):
    """A whole answer."""

    text: str = Field(description="What the model said.")
    result: Result = Field(description="How it ended.")
    session_id: str | None = Field(description="Its session; null where nothing was kept.")
    turn_id: str | None = Field(description="Its turn.")
    stream_id: str | None = Field(description="What it can be followed by, for a while; null where nothing was kept.")
    model: str = Field(description="Who answered, as provider:name; empty where nobody began.")
    usage: Usage = Field(description="What it used.")
    cost: float | None = Field(description="US dollars; null where the price is not known.")
    route: list[Attempt] = Field(description="Every model that was tried, in order.")
    warnings: list[str] = Field(description="What a person should know about this answer.")
    tool_calls: list[ToolCall] = _maybe("The tools that the model wants called.")
    session_status: Literal["restarted", "stateless"] = _maybe(
        "Set where the session had expired, or could not be kept."
    )
    first_token: float = _maybe("Seconds until the first word.")
    value: Any = _maybe("What the text says, where a `responseSchema` was asked for.")


class Begun(Body):
    """A prompt that has its turn, and is being answered."""

    session_id: str = Field(description="Its session.")
    turn_id: str = Field(description="Its turn.")
    stream_id: str = Field(description="What its answer is followed by.")


class ImageName(Body):
    """An image, without its content."""

    name: str = Field(description="What it is called.")
    media_type: str = Field(description="Its kind.")


class NamedOutcome(Outcome):
    """What came of a tool call, with the tool's name."""

    name: str = Field(description="The tool.")


class PreviewMessage(Body):
    """A message as it would be sent."""

    role: Literal["system", "user", "assistant"] = Field(description="Whose it is.")
    text: str = Field(description="Its text.")
    images: list[ImageName] = Field(description="Its images, by name alone.")
    tool_calls: list[ToolCall] = Field(description="The calls that it makes.")
    tool_results: list[NamedOutcome] = Field(description="The results that it brings.")


class Preview(Body):
    """What a dry run tells: nothing was sent."""

    dry_run: Literal[True] = Field(description="Tells it from an answer.")
    model: str = Field(description="Who would be asked first.")
    messages: list[PreviewMessage] = Field(description="What would be sent.")
    usage: Usage = Field(description="An estimate, for an answer as long as it may be.")
    cost: float | None = Field(description="US dollars, by that estimate; null where the price is not known.")
    warnings: list[str] = Field(description="What a person should know first.")


class Branch(Body):
    """Turns that a rewind put aside."""

    branch: int = Field(ge=1, description="Its number, for `?branch=`.")
    after: str | None = Field(description="The turn that it stood behind; null: the beginning.")
    turns: int = Field(ge=0, description="How many it has.")
    created_at: datetime = Field(description="When it was put aside.")


class ListedSession(Body):
    """A session as lists show it."""

    session_id: str = Field(description="Its id.")
    title: str = Field(description="What it is listed as.")
    turns: int = Field(ge=0, description="How many it has.")
    created_at: datetime = Field(description="When it began.")
    updated_at: datetime = Field(description="When it was last written.")
    expires_at: datetime | None = Field(description="When it ends, if it is not used before; null: never.")
    ttl: float | None = Field(description="Seconds that it is kept without use; null: as configured.")
    metadata: dict[str, Any] = Field(description="What was given with it.")
    models: list[str] = Field(description="Who has answered in it.")
    usage: Usage = Field(description="Of all turns it ever had.")
    cost: float | None = Field(description="US dollars, of all turns it ever had with a known price.")
    unpriced: int = Field(ge=0, description="How many turns have no known price.")


class Session(ListedSession):
    """A session's description."""

    live_stream_id: str | None = Field(description="The answer that is being made; null: none is.")
    live_turn_id: str | None = Field(description="Its turn, whether the answer has begun or not; null: none is made.")
    live_prompt: str | None = Field(description="Its prompt, empty where it goes on with a turn; null: none is made.")
    branches: list[Branch] = Field(description="What rewinds have put aside.")


class SessionPage(Body):
    """Some of the sessions, last used first."""

    sessions: list[ListedSession] = Field(description="Last used first.")
    next_cursor: str | None = Field(description="What `?cursor=` takes for the next ones; null: there are none.")


class TurnError(Body):
    """Why a turn failed."""

    code: str = Field(description="For programs.")
    message: str = Field(description="For people.")


class Turn(Body):
    """One prompt and its reply, as a session keeps it."""

    turn_id: str = Field(description="Its id.")
    n: int = Field(ge=1, description="Its number in the session, never given again.")
    prompt: str = Field(description="What was asked.")
    attachments: list[File] = Field(description="What the prompt had attached.")
    tool_results: list[Outcome] = Field(description="The results that the prompt brought.")
    response: str = Field(description="What was answered, as far as it came.")
    tool_calls: list[ToolCall] = Field(description="The calls that the answer made.")
    status: Literal["complete", "stopped", "failed", "interrupted"] = Field(description="What became of it.")
    result: Result = Field(description="How the answer ended.")
    model: str | None = Field(description="Who answered, as provider:name; null: nobody began.")
    route: list[Attempt] = Field(description="Every model that was tried, in order.")
    usage: Usage = Field(description="What it used.")
    cost: float | None = Field(description="US dollars; null where the price is not known.")
    first_token: float | None = Field(description="Seconds until the first word; null: there was none.")
    started_at: datetime = Field(description="When it was asked.")
    ended_at: datetime = Field(description="When its answer ended.")
    source: Origin = Field(description="Where the prompt came from.")
    error: TurnError = _maybe("Why it failed, where it has.")


class History(Body):
    """A session's turns."""

    turns: list[Turn] = Field(description="Oldest first.")


class Export(Body):
    """A session as a file of JSON."""

    session: Session = Field(description="Its description.")
    turns: list[Turn] = Field(description="Oldest first.")


class Stopped(Body):
    """What a stop has come to."""

    stream_id: str = Field(description="As it was named.")
    status: Literal["stopped", "ended"] = Field(description="`ended`: there was nothing left to stop.")


class Room(Body):
    """A limit, and what is left of it."""

    max: int = Field(ge=0, description="Requests or tokens in the window.")
    time_window: float = Field(description="Seconds.")
    left: int | None = Field(description="How many are left now.")


class Limits(Body):
    """The configured limits of a model."""

    rate: Room = _maybe("Of requests, where one is set.")
    tokens: Room = _maybe("Of tokens, where one is set.")


class Price(Body):
    """US dollars for a million tokens."""

    input: float = Field(description="Of the prompt.")
    output: float = Field(description="Of the answer.")


class Model(Body):
    """A configured model."""

    model: str = Field(description="As provider:name.")
    provider: str = Field(description="Who serves it.")
    alias: str | None = Field(description="What it may also be named by.")
    in_chain: bool = Field(description="Whether it is asked where nobody names a model.")
    state: Literal["ready", "cooling", "probing"] = Field(description="Whether it is passed over for a while.")
    limits: Limits = Field(description="What is configured, and left.")
    price: Price | None = Field(description="Null where it is not known.")
    reason: str | None = _maybe("Why it is not ready, where it is not.")
    restores_in: float | None = _maybe("Seconds until it is asked again, where it is not.")


class Models(Body):
    """The configured models."""

    models: list[Model] = Field(description="In the order of the configuration.")


class UsageRow(Body):
    """What was used under one model, session or day: the field that `by` names says which."""

    model: str = _maybe("With `by=model`: which.")
    session: str = _maybe("With `by=session`: which.")
    day: str = _maybe("With `by=day`: which, as YYYY-MM-DD.")
    answers: int = Field(ge=0, description="How many.")
    usage: Usage = Field(description="Their tokens.")
    cost: float | None = Field(description="US dollars, of the answers with a known price.")
    unpriced: int = Field(ge=0, description="How many answers have no known price.")


class UsageTable(Body):
    """What the caller has used in the last 13 months."""

    by: Literal["model", "session", "day"] = Field(description="What the rows are by.")
    usage: list[UsageRow] = Field(description="Days newest first.")


class Live(Body):
    """The process answers."""

    status: Literal["ok"] = Field(description="Always so.")


class Storage(Body):
    """Where conversations are kept."""

    type: str = Field(description="`memory`, `embedded`, `valkey` or `redis`.")
    server: str | None = Field(description="Its name and version, where it is a server and answers.")
    reachable: bool = Field(description="Whether it answers.")
    reason: str = _maybe("What is wrong with it.")
    program: str | None = _maybe("Which program runs, of an embedded one.")


class Ready(Body):
    """What a user is told of the gateway; a stranger is told the status alone."""

    status: Literal["ok", "degraded", "error"] = Field(description="`degraded`: it answers, but see the reasons.")
    reasons: list[str] = _maybe("What is wrong.")
    gateway_id: str = _maybe("Of this process.")
    version: str = _maybe("Of the package.")
    configured: bool = _maybe("False where only the demo would answer.")
    storage: Storage = _maybe("Where things are kept.")


class Error(Body):
    """What every failure is told as."""

    code: str = Field(description="For programs: it stays as it is from version to version.")
    message: str = Field(description="For people: what is wrong, and the way out.")
    details: dict[str, Any] = _maybe(
        "For programs: `fields` of a body, `route` of a prompt, the `provider`'s own words."
    )
    retry_after: float = _maybe("Seconds after which it may work.")


# -- events ----------------------------------------------------------------------------------------


class StartEvent(Body):
    """A model has begun to answer."""

    session_id: str | None = Field(description="The answer's session.")
    stream_id: str | None = Field(description="What it can be followed by.")
    turn_id: str | None = Field(description="Its turn.")
    model: str = Field(description="Who answers.")
    warnings: list[str] = _maybe("What a person should know.")
    session_status: Literal["restarted", "stateless"] = _maybe("Set where the session had expired, or cannot be kept.")


class ContentEvent(Body):
    """A piece of the answer."""

    response: str = Field(description="Its text.")


class ReasoningEvent(Body):
    """A piece of what the model thought; not part of the answer."""

    text: str = Field(description="Its text.")


class RestartEvent(Body):
    """Forget the text so far: it comes anew."""

    reason: str = Field(description="Why.")
    from_: str = Field(alias="from", description="Who broke off.")
    to: str = Field(description="Who begins anew.")


class EndEvent(Body):
    """The answer is whole; the last event."""

    response: Answer = Field(description="All of it.")


class ErrorEvent(Error):
    """The answer broke off; the last event."""

    partial: str = _maybe("The text that came.")


class SessionEvent(Body):
    """What happened to a session; its name says what."""

    session_id: str = Field(description="Which.")
    stream_id: str = _maybe("Of the turn that began or ended.")
    turn_id: str = _maybe("Of the turn that began or ended.")
    status: Literal["complete", "stopped", "failed", "interrupted"] = _maybe("What became of a turn that ended.")
