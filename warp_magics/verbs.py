"""What a page may ask over a widget's comm: of the gateway as REST has it, and of the notebook, which only the kernel knows."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .attach import attached, read
from .gateway import errors, wire
from .grammar import UsageError
from .interpolate import lookup
from .nearby import nearby
from .suggestions import suggestions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .cells import Cells
    from .connect import Connection
    from .gateway import Attachment

_PAGE: Final = 50
_CREATED: Final = 201
_GONE: Final = 204
_TOO_LARGE: Final = 10**9
"""REST reads numbers of nine digits."""
_FILE: Final = 20_000_000
"""Bytes that a file may have."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What goes with a verb, as the page has written it."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return the text ``name``; raises InvalidRequest."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise errors.InvalidRequest(f"{name} is to be a text.")
        return value

    def maybe(self, name: str) -> str | None:
        """Return the text ``name``, or None where it is not given."""
        return None if self.values.get(name) is None else self.text(name)

    def number(self, name: str) -> int | None:
        """Return the whole number ``name``, or None where it is not given; raises InvalidRequest."""
        value = self.values.get(name)
        if value is not None and (type(value) is not int or not 0 <= value < _TOO_LARGE):
            raise errors.InvalidRequest(f"{name} is to be a whole number.")
        return value


@dataclass(frozen=True, slots=True)
class Call:
    """A verb's arguments, the connection it goes over, and the path of the notebook it comes from, as far as known."""

    at: Connection
    args: Arguments
    notebook: str | None = None

    @property
    def session(self) -> str:
        """The session that is meant."""
        return self.args.text("sessionId")


@dataclass(frozen=True, slots=True)
class Notebook:
    """The notebook's variables and failures; ``tokens`` says how many a text of it may have."""

    cells: Cells
    tokens: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What REST would have answered."""

    body: object
    status: int = 200


def failed(error: Exception) -> Answer:
    """Return the answer that an error is."""
    return Answer(wire.error_json(error), error.http_status if isinstance(error, errors.WarpError) else 500)


def as_json(said: object) -> bytes:
    """Return what a page has said as the JSON that it was; raises InvalidRequest for half a character in it."""
    try:
        return wire.json_bytes(said)
    except TypeError as error:
        raise errors.InvalidRequest(f"The arguments cannot be read: {error}.") from None


async def _ready(call: Call) -> Answer:
    return Answer(wire.status_json(await call.at.gateway.status()))


async def _models(call: Call) -> Answer:
    return Answer({"models": [wire.model_json(state) for state in await call.at.gateway.models()]})


async def _sessions(call: Call) -> Answer:
    limit = call.args.number("limit")
    page = await call.at.gateway.sessions(
        call.at.owner,
        search=call.args.maybe("search") or "",
        limit=_PAGE if limit is None else limit,
        cursor=call.args.maybe("cursor"),
    )
    return Answer(wire.page_json(page))


async def _session(call: Call) -> Answer:
    return Answer(wire.session_json(await call.at.gateway.session(call.at.owner, call.session)))


async def _delete(call: Call) -> Answer:
    await call.at.gateway.delete(call.at.owner, call.session)
    return Answer(None, _GONE)


async def _history(call: Call) -> Answer:
    turns = await call.at.gateway.history(call.at.owner, call.session, last=call.args.number("last"))
    return Answer({"turns": [wire.turn_json(turn) for turn in turns]})


async def _create(call: Call) -> Answer:
    new = wire.read_new_session(as_json(call.args.values))
    made = await call.at.gateway.create(
        call.at.owner, new.session_id, title=new.title, ttl=new.ttl, metadata=new.metadata
    )
    return Answer(wire.session_json(made), _CREATED)


async def _update(call: Call) -> Answer:
    to = wire.read_changes(as_json({name: value for name, value in call.args.values.items() if name != "sessionId"}))
    changed = await call.at.gateway.update(
        call.at.owner, call.session, title=to.title, ttl=to.ttl, metadata=to.metadata
    )
    return Answer(wire.session_json(changed))


async def _fork(call: Call) -> Answer:
    made = await call.at.gateway.fork(call.at.owner, call.session, at=call.args.maybe("at"))
    return Answer(wire.session_json(made), _CREATED)


async def _rewind(call: Call) -> Answer:
    return Answer(wire.session_json(await call.at.gateway.rewind(call.at.owner, call.session, call.args.text("to"))))


async def _export(call: Call) -> Answer:
    from .gateway import export

    described = await call.at.gateway.session(call.at.owner, call.session)
    turns = await call.at.gateway.history(call.at.owner, call.session)
    file = export(described, turns, call.args.maybe("format") or "json")
    return Answer({"name": file.file_name, "mediaType": file.media_type, "text": file.data.decode()})


async def _ask(call: Call) -> Answer:
    """Ask, and return once the prompt has its turn; the answer is made whether somebody reads it or not."""
    request = wire.read_ask(as_json(call.args.values.get("ask")), call.at.owner, turn_id=call.args.text("key"))
    source = replace(request.source, kind="panel", notebook=request.source.notebook or call.notebook)
    request = replace(request, source=source, create_session=True, on_disconnect="finish")
    return Answer(wire.begun_json(await call.at.gateway.begin(request)))


async def _stop(call: Call) -> Answer:
    stopped = await call.at.gateway.stop(call.at.owner, call.args.text("streamId"))
    return Answer({"streamId": call.args.text("streamId"), "status": "stopped" if stopped else "ended"})


# -- the notebook ----------------------------------------------------------------------------------


def _names(notebook: Notebook, _: Arguments) -> Answer:
    found = nearby(notebook.cells.names())
    return Answer({"names": [{"name": one.name, "kind": one.kind, "detail": one.detail} for one in found]})


def _attach(notebook: Notebook, args: Arguments) -> Answer:
    name = args.text("name")
    value = lookup(name, notebook.cells.names())
    return _attachment(lambda: attached(name, value, notebook.tokens()))


def _file(notebook: Notebook, args: Arguments) -> Answer:
    name, data = args.text("name"), args.text("data")
    if len(data) > _FILE * 4 / 3 + 4:
        raise errors.BodyTooLarge(f"{name} is larger than {_FILE // 1_000_000} MB, the most that can be attached.")
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise errors.InvalidRequest("data is to be a file's content as base64.") from None
    return _attachment(lambda: read(name, content, notebook.tokens()))


def _attachment(make: Callable[[], Attachment]) -> Answer:
    try:
        return Answer({"attachment": wire.attachment_json(make())})
    except UsageError as error:
        raise UsageError(error.message.removeprefix("--attach ")) from None


def _suggestions(notebook: Notebook, _: Arguments) -> Answer:
    failed_in = next((count for count, one in reversed(list(notebook.cells.failures.items())) if one.mendable), None)
    found = suggestions(nearby(notebook.cells.names()), None if failed_in is None else f"Err[{failed_in}]")
    return Answer({"prompts": [{"text": one.text, "attach": list(one.attach)} for one in found]})


OF_GATEWAY: Final[dict[str, Callable[[Call], Awaitable[Answer]]]] = {
    "ready": _ready,
    "models": _models,
    "sessions": _sessions,
    "session": _session,
    "delete": _delete,
    "history": _history,
    "create": _create,
    "update": _update,
    "fork": _fork,
    "rewind": _rewind,
    "export": _export,
    "ask": _ask,
    "stop": _stop,
}
OF_NOTEBOOK: Final[dict[str, Callable[[Notebook, Arguments], Answer]]] = {
    "names": _names,
    "attach": _attach,
    "file": _file,
    "suggestions": _suggestions,
}
ONCE: Final = frozenset({"delete", "create", "update", "fork", "rewind", "ask", "stop"})
"""Those that change something: a call that is heard twice is run once."""


def of_gateway(verb: str) -> Callable[[Call], Awaitable[Answer]]:
    """Return what ``verb`` does; raises NotFound."""
    try:
        return OF_GATEWAY[verb]
    except KeyError:
        raise errors.NotFound(f"There is no verb {verb[:40]!r}.") from None
