"""Warp: the gateway from Python, in a notebook or a script."""

from __future__ import annotations

import contextlib
import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from .cells import python_source
from .connect import connection, link, shared
from .grammar import UsageError
from .reply import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from typing import Self, Unpack

    from .connect import Connection
    from .gateway import Attachment, ChatRequest, Event
    from .panel import ChatPanel
    from .schema import Wanted


class Options(TypedDict, total=False):
    """What all verbs of Warp take besides the prompt; None, or left out, is "not said"."""

    session: str | None
    model: str | Sequence[str] | None
    context: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    timeout: float | None
    cache: bool | None
    attach: Mapping[str, object] | Sequence[object] | object | None
    schema: Any


class Warp:
    """The gateway this process uses (see ``%warp``). ``session`` and ``model`` are what its prompts take unless told.

    All verbs take ``session``, ``model`` (one spec or a chain of them), ``context``, ``temperature``,
    ``max_tokens``, ``top_p``, ``seed``, ``stop``, ``timeout`` (seconds), ``cache`` (whether an answer given before may
    be given again), ``attach`` (what ``%%warp -a`` takes, alone, in a list, or by name in a dict; a Path is read) and
    ``schema`` (a Pydantic model, dataclass, TypedDict or JSON Schema, of which ``Reply.value`` is an instance; a stream
    is only asked for it). They raise WarpError: UsageError for what cannot be attached or is no type, Misfit where an
    answer, asked twice, does not fit its schema.
    With ``url`` (or several: instances of one) it is the gateway there, for this object alone, closed by ``close`` or at
    the end of a ``with``; without ``token`` the environment's is used, else it is asked for. A URL that cannot be one raises
    ConfigError.
    """

    def __init__(
        self,
        *,
        session: str | None = None,
        model: str | Sequence[str] | None = None,
        url: str | Sequence[str] | None = None,
        token: str | None = None,
    ) -> None:
        if token is not None and url is None:
            raise TypeError("Warp(token=…) needs the url= it is for")
        self._session = session
        self._model = model
        self._link = None if url is None else link(url, token)

    def ask(self, prompt: str, **options: Unpack[Options]) -> Reply:
        """Return the whole answer; Ctrl-C stops it and keeps what came."""
        at = self._connection()
        wanted = _wanted(options)
        request = self._request(prompt, at.owner, options, wanted)
        return at.portal.call(lambda: _whole(at, request, wanted))

    def stream(self, prompt: str, **options: Unpack[Options]) -> Generator[str, None, None]:
        """Yield the answer's text as it comes. Closing the generator stops the answer and keeps what came."""
        at = self._connection()
        request = self._request(prompt, at.owner, options, _wanted(options))
        with contextlib.closing(at.portal.stream(lambda: at.gateway.stream(request))) as events:
            for event in events:
                yield from _text(event)

    async def aask(self, prompt: str, **options: Unpack[Options]) -> Reply:
        """As ``ask``, with the caller's loop going on meanwhile; cancelling it stops the answer and keeps what came."""
        at = await self._opened()
        wanted = _wanted(options)
        request = self._request(prompt, at.owner, options, wanted)
        return await at.portal.acall(lambda: _whole(at, request, wanted))

    async def astream(self, prompt: str, **options: Unpack[Options]) -> AsyncGenerator[str, None]:
        """As ``stream``, with the caller's loop going on meanwhile."""
        at = await self._opened()
        request = self._request(prompt, at.owner, options, _wanted(options))
        async with contextlib.aclosing(at.portal.astream(lambda: at.gateway.stream(request))) as events:
            async for event in events:
                for text in _text(event):
                    yield text

    def chat(self, session: str | None = None, **traits: Any) -> ChatPanel:
        """Return a panel that chats in ``session`` (None: this object's, else a new one); see ChatPanel for the rest.

        Of a chain of models it asks the first, where ``model`` names no other.
        """
        from .panel import ChatPanel

        self._connection()
        traits.setdefault("model", next(iter(_names(self._model)), None))
        session = self._session if session is None else session
        return ChatPanel(session, _link=self._link or shared(), **traits)

    def close(self) -> None:
        """Close the connection to ``url``; that of the process, which others share, stays."""
        if self._link is not None:
            self._link.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connection(self) -> Connection:
        at = self._link.connection() if self._link else connection()
        for warning in at.warnings:
            warnings.warn(warning, stacklevel=3)
        return at

    async def _opened(self) -> Connection:
        import asyncio

        return await asyncio.to_thread(self._connection)  # the first time it may take a while

    def _request(self, prompt: str, owner: str, options: Options, wanted: Wanted | None = None) -> ChatRequest:
        from .gateway import ChatRequest, Form, Parameters

        given: dict[str, Any] = {"session": self._session, "model": self._model, **_checked(options)}
        parameters: dict[str, Any] = {name: given.get(name) for name in ("temperature", "max_tokens", "top_p", "seed")}
        return ChatRequest(
            prompt=prompt,
            session_id=given["session"],
            create_session=True,
            store=given["session"] is not None,
            owner=owner,
            context=given.get("context"),
            models=_names(given["model"]),
            parameters=Parameters(**parameters, stop=_names(given.get("stop"))),
            source=python_source(),
            timeout=given.get("timeout"),
            on_disconnect="cancel",
            cache=given.get("cache"),
            attachments=_attachments(given.get("attach")),
            form=Form(schema=wanted.schema if wanted else None),
        )


async def _whole(at: Connection, request: ChatRequest, wanted: Wanted | None) -> Reply:
    """Return the whole answer; one that does not fit its schema is asked for once more."""
    from .repairs import given_up, judged, repaired

    response = await at.gateway.ask(request)
    value, misfit = judged(wanted, response)
    if wanted is not None and misfit is not None:
        second = await at.gateway.ask(wanted.again(request, response, misfit))
        response = repaired(response, second, misfit)
        value, misfit = judged(wanted, second)
    if misfit is not None:
        raise given_up(response, misfit)
    return Reply.of(response, value)


def _wanted(options: Options) -> Wanted | None:
    if options.get("schema") is None:
        return None
    from .schema import wanted

    with _named("--schema schema", "schema"):
        return wanted("schema", options["schema"])


@contextlib.contextmanager
def _named(option: str, name: str) -> Generator[None, None, None]:
    """Have errors call what was given as it is called here, not as an option of a cell."""
    try:
        yield
    except UsageError as error:
        raise UsageError(error.message.replace(option, name, 1)) from None


def _checked(options: Options) -> Options:
    from .gateway import errors

    known = Options.__annotations__
    if unknown := [name for name in options if name not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
        raise errors.InvalidRequest(f"There is no option {unknown[0]!r}; {hint}")
    return options


def _attachments(given: object) -> tuple[Attachment, ...]:
    """Return what goes along: all of a dict, by name; all of a list or tuple; else the one thing that ``given`` is."""
    if given is None:
        return ()
    from .attach import attached

    if not isinstance(given, Mapping):
        several = given if isinstance(given, list | tuple) else [given]
        given = {f"attachment {number}": value for number, value in enumerate(several, start=1)}
    with _named("--attach ", "attach: "):
        return tuple(attached(str(name), value) for name, value in given.items())


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _text(event: Event) -> Generator[str, None, None]:
    from .gateway import Failed, Text

    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, Text):
        yield event.text
