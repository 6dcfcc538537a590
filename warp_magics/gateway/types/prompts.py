"""What is asked: prompts on their way to a model. Frozen, slotted, standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider, written ``provider:name``; the name may hold colons itself."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"

    @classmethod
    def parse(cls, spec: str) -> Model:
        """Split ``spec`` at its first colon; raises ValueError where there is none or a side is empty."""
        provider, colon, name = spec.partition(":")
        if not (provider and colon and name):
            msg = f"{spec!r} is not of the form provider:model"
            raise ValueError(msg)
        return cls(provider, name)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What goes along with a prompt: a text, or an image as base64 in ``data``.

    ``detail`` is how closely an image is to be looked at, in OpenAI's words, for models that speak them.
    """

    kind: Literal["text", "image"]
    name: str = ""
    media_type: str = ""
    text: str = ""
    data: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model may call; ``parameters`` is the JSON Schema of its arguments, ``strict`` whether it is held to that.

    None leaves it to the provider.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call asked for by a model; ``arguments`` is the JSON text as the model wrote it.

    ``extra`` is what its provider wants back with the call when it is asked on, as a thought's signature; no other
    provider is sent it.
    """

    id: str
    name: str
    arguments: str
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of the call with that ``id``; ``name`` is the tool's."""

    id: str
    content: str
    is_error: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt and its answer that a request brings along itself; ``model`` is who answered, where that is known."""

    prompt: str
    response: str
    attachments: tuple[Attachment, ...] = ()
    tool_calls: tuple[Call, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    model: str | None = None


class _Written:
    """Room for what a message is on the wire that most servers speak, made once (``dialects.openai``); no field."""

    __slots__ = ("written",)
    written: Any


@dataclass(frozen=True, slots=True)
class Message(_Written):
    """One message of the prompt as a dialect encodes it.

    A user's holds, in this order: the results of the calls that the assistant's message before it asked for, its
    text, its images. An assistant's holds its text, then its calls. ``parts`` has the text and the images where their
    order is another; ``name`` tells speakers of one role apart, for providers that care. ``provider`` is whose the
    ``extra`` of its calls is.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[Attachment, ...] = ()
    tool_calls: tuple[Call, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    parts: tuple[str | Attachment, ...] = ()
    name: str = ""
    provider: str = ""

    @property
    def content(self) -> tuple[str | Attachment, ...]:
        """The text and the images, in their order."""
        return self.parts or (*((self.text,) if self.text else ()), *self.images)

    @property
    def is_text(self) -> bool:
        """True where it has nothing but its text."""
        return not (self.images or self.tool_calls or self.tool_results or self.parts or self.name)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Sampling parameters; None leaves a choice to the provider, 0 is a value.

    ``extra`` is in the words of OpenAI's format, for models that speak it.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer may be made of: calls of ``tools``, text that is JSON of ``schema``.

    ``tool_choice``: ``auto`` (what None means), ``none``, ``required``, or the name of the one tool to call.
    ``schema_name`` is for providers that want one; ``strict`` False holds nobody to the schema's every word.
    """

    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    schema: Mapping[str, object] | None = None
    schema_name: str = "answer"
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a prompt came from."""

    kind: Literal["cell", "panel", "python", "rest"] = "rest"
    notebook: str | None = None
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A session's identity: to another owner it does not exist."""

    owner: str
    id: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A prompt on its way to a model.

    ``models`` is the chain to try, as the asker wrote it; empty means the configured one.
    ``store=False`` keeps no session at all. ``history`` stands in for a session's turns and excludes ``session_id``.
    ``timeout`` is in seconds and bounds the whole answer. ``tool_results`` answer the calls of the last turn before; with
    them the prompt may be empty.
    ``on_disconnect`` says what a reader's leaving means: the answer is finished and kept, or cancelled.
    ``on_break`` says what follows when a model fails in mid-answer: another goes on unnoticed or not at all (``splice``),
    its text comes anew (``restart``), or the answer ends (``error``); None is ``splice`` where somebody reads along.
    ``cache`` says whether an answer given before may be given again, None: as configured.
    ``turn_id`` is the asker's own id for the turn: asked again with it, the answer is followed, not asked for anew.
    ``replaces`` asks in the place of a turn of the session, which moves to a branch with those behind it once the answer
    has begun: a turn's id, or ``source``, the turn of the same notebook and cell, where there is one. ``continues`` is the
    id of the session's last turn, which broke off and is to be gone on with; then there is no prompt.
    ``messages`` are a whole conversation, sent as it is: then there is no prompt, no context, no history and no session.
    ``before`` was said before the session began: a model is told it, and it is not kept.
    """

    prompt: str
    session_id: str | None = None
    create_session: bool = False
    store: bool = True
    owner: str = "local"
    context: str | None = None
    models: tuple[str, ...] = ()
    parameters: Parameters = Parameters()
    history: tuple[Exchange, ...] = ()
    source: Source = Source()
    timeout: float | None = None
    on_disconnect: Literal["finish", "cancel"] | None = None
    on_break: Literal["splice", "restart", "error"] | None = None
    cache: bool | None = None
    turn_id: str | None = None
    replaces: str | None = None
    continues: str | None = None
    attachments: tuple[Attachment, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    form: Form = Form()
    messages: tuple[Message, ...] = ()
    before: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one model is asked: the messages in order, the parameters, and what its answer may be made of.

    ``stream`` False asks for the answer in one piece; ``pieces`` False is for an answer that nobody reads along, of which
    texts that come together are one; ``body`` is merged into the request as it is; ``tokens`` is about how
    many the messages have.
    """

    model: Model
    messages: tuple[Message, ...]
    parameters: Parameters = Parameters()
    form: Form = Form()
    stream: bool = True
    pieces: bool = True
    body: Mapping[str, object] = field(default_factory=dict)
    tokens: int = 0
