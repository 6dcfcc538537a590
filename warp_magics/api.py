"""Warp: the gateway from Python, in a notebook or a script."""

from __future__ import annotations

import contextlib
import difflib
import warnings
from typing import TYPE_CHECKING, Any

from .connect import connection, link
from .reply import Reply

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .connect import Connection
    from .gateway import ChatRequest, Event

_OPTIONS = ("session", "model", "context", "temperature", "max_tokens", "top_p", "seed", "stop", "timeout", "cache")


class Warp:
    """The gateway this process uses (see ``%warp``). ``session`` and ``model`` are what its prompts take unless told.

    All verbs take ``session``, ``model`` (one spec or a chain of them), ``context``, ``temperature``,
    ``max_tokens``, ``top_p``, ``seed``, ``stop``, ``timeout`` (seconds) and ``cache`` (whether an answer given before may
    be given again), and raise WarpError.
    With ``url`` (or several: instances of one) it is the gateway there, for this object alone; without ``token`` the
    environment's is used, else it is asked for. A URL that cannot be one raises ConfigError.
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

    def ask(self, prompt: str, **options: Any) -> Reply:
        """Return the whole answer; Ctrl-C stops it and keeps what came."""
        at = self._connection()
        request = self._request(prompt, at.owner, options)
        return Reply.of(at.portal.call(lambda: at.gateway.ask(request)))

    def stream(self, prompt: str, **options: Any) -> Generator[str, None, None]:
        """Yield the answer's text as it comes. Closing the generator stops the answer and keeps what came."""
        at = self._connection()
        request = self._request(prompt, at.owner, options)
        with contextlib.closing(at.portal.stream(lambda: at.gateway.stream(request))) as events:
            for event in events:
                yield from _text(event)

    def _connection(self) -> Connection:
        at = self._link.connection() if self._link else connection()
        for warning in at.warnings:
            warnings.warn(warning, stacklevel=3)
        return at

    def _request(self, prompt: str, owner: str, options: dict[str, Any]) -> ChatRequest:
        from .gateway import ChatRequest, Parameters, Source, errors

        given = {"session": self._session, "model": self._model, **options}
        if unknown := [name for name in given if name not in _OPTIONS]:
            near = difflib.get_close_matches(unknown[0], _OPTIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_OPTIONS)}."
            raise errors.InvalidRequest(f"There is no option {unknown[0]!r}; {hint}")
        session, model, stop = given.pop("session"), given.pop("model"), given.pop("stop", None)
        context, timeout, cache = (given.pop(name, None) for name in ("context", "timeout", "cache"))
        parameters = Parameters(**given, stop=_names(stop))
        return ChatRequest(
            prompt=prompt,
            session_id=session,
            create_session=True,
            store=session is not None,
            owner=owner,
            context=context,
            models=_names(model),
            parameters=parameters,
            source=Source("python"),
            timeout=timeout,
            on_disconnect="cancel",
            cache=cache,
        )


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _text(event: Event) -> Generator[str, None, None]:
    from .gateway import Failed, Text

    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, Text):
        yield event.text
