"""Every path of the REST contract in one table, for whichever server answers them."""

from __future__ import annotations

import http
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qsl, unquote

from warp_magics.gateway import errors

from .endpoints import Endpoints, live
from .messages import Response, error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .messages import EventStream, Request


@dataclass(frozen=True, slots=True)
class Route:
    """One verb of one path. ``pattern`` is for the path below ``warp/``, still percent-encoded.

    ``call(endpoints, request, **groups)`` gets the pattern's groups decoded. ``action`` is what the user must be
    allowed to do; ``open`` lets strangers in. Where ``gateway`` is false, ``call`` takes None for the endpoints.
    """

    verb: str
    pattern: str
    call: Callable[..., Awaitable[Response | EventStream]]
    action: Literal["read", "write"]
    open: bool = False
    gateway: bool = True


@cache
def path_of(pattern: str) -> str:
    """Return a route's pattern as people write it, such as ``api/v1/sessions/{sessionId}``."""
    return _GROUP.sub(lambda found: f"{{{_camel(found[1])}}}", pattern).replace("\\.", ".")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


_GROUP: Final = re.compile(r"\(\?P<(\w+)>[^()]*\)")


def _openai(name: str) -> Callable[..., Awaitable[Response | EventStream]]:
    """Return what answers one of the OpenAI paths, loaded when one of them is first asked for."""

    async def call(endpoints: Endpoints, request: Request, **groups: str) -> Response | EventStream:
        from . import openai_api

        answer: Response | EventStream = await getattr(openai_api, name)(endpoints, request, **groups)
        return answer

    return call


async def _openapi(_: object, request: Request) -> Response:  # noqa: ARG001 - the same for every user
    """``GET openapi.json``."""
    return Response(document())


async def _docs(_: object, request: Request) -> Response:  # noqa: ARG001 - the same for every user
    """``GET docs``."""
    from . import page

    return Response(page.page(document()).encode(), headers=page.HEADERS)


def document() -> Mapping[str, object]:
    """Return the description of all of ROUTES, an OpenAPI document."""
    from . import openapi  # late: it loads the models that parse bodies

    return openapi.document(tuple((route.verb, path_of(route.pattern), route.open) for route in ROUTES))


_STREAM: Final = r"api/v1/streams/(?P<stream_id>[^/]+)"
_SESSION: Final = r"api/v1/sessions/(?P<session_id>[^/]+)"

ROUTES: Final = (
    Route("POST", r"api/v1/prompt", Endpoints.prompt, "write"),
    Route("POST", r"api/v1/stream", Endpoints.stream, "write"),
    Route("GET", _STREAM, Endpoints.follow, "read"),
    Route("POST", rf"{_STREAM}/stop", Endpoints.stop, "write"),
    Route("GET", r"api/v1/sessions", Endpoints.sessions, "read"),
    Route("POST", r"api/v1/sessions", Endpoints.create, "write"),
    Route("GET", _SESSION, Endpoints.session, "read"),
    Route("PATCH", _SESSION, Endpoints.update, "write"),
    Route("DELETE", _SESSION, Endpoints.delete, "write"),
    Route("GET", rf"{_SESSION}/history", Endpoints.history, "read"),
    Route("GET", rf"{_SESSION}/events", Endpoints.watch, "read"),
    Route("POST", rf"{_SESSION}/fork", Endpoints.fork, "write"),
    Route("POST", rf"{_SESSION}/rewind", Endpoints.rewind, "write"),
    Route("GET", rf"{_SESSION}/export", Endpoints.export, "read"),
    Route("GET", r"api/v1/events", Endpoints.events, "read"),
    Route("GET", r"api/v1/models", Endpoints.models, "read"),
    Route("GET", r"api/v1/usage", Endpoints.usage, "read"),
    Route("POST", r"v1/chat/completions", _openai("chat_completions"), "write"),
    Route("GET", r"v1/models", _openai("models"), "read"),
    Route("GET", r"v1/models/(?P<name>.+)", _openai("model"), "read"),
    Route("GET", r"api/v1/health/live", live, "read", open=True, gateway=False),
    Route("GET", r"api/v1/health/ready", Endpoints.ready, "read", open=True),
    Route("GET", r"metrics", Endpoints.metrics, "read"),
    Route("GET", r"openapi\.json", _openapi, "read", gateway=False),
    Route("GET", r"docs", _docs, "read", gateway=False),
)


def match(verb: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the route of ``verb`` at ``path`` and the groups it is called with; None where there is none.

    ``path`` is what stands below ``warp/``, still percent-encoded. Raises InvalidRequest where it is no UTF-8.
    """
    for route in ROUTES:
        if route.verb == verb and (found := re.fullmatch(route.pattern, path)):
            try:
                return route, {name: unquote(part, errors="strict") for name, part in found.groupdict().items()}
            except UnicodeDecodeError:
                raise errors.InvalidRequest(f"The path {path!r} is not UTF-8.") from None
    return None


def read_query(text: str) -> dict[str, tuple[str, ...]]:
    """Return each value of each name of a query, still percent-encoded; raises InvalidRequest where it is no UTF-8."""
    query: dict[str, tuple[str, ...]] = {}
    try:
        for name, value in parse_qsl(text, keep_blank_values=True, errors="strict"):
            query[name] = (*query.get(name, ()), value)
    except UnicodeDecodeError:
        raise errors.InvalidRequest("The query is not UTF-8.") from None
    return query


def allowed(path: str) -> tuple[str, ...]:
    """Return the verbs of ``path``; none where there is no such path."""
    return tuple(route.verb for route in ROUTES if re.fullmatch(route.pattern, path))


def unmatched(path: str) -> Response:
    """Return what a request without a route gets: 404, or 405 with the verbs that the path has."""
    verbs = allowed(path)
    if not verbs:
        return error_response(errors.NotFound(f"There is nothing at {path!r}."))
    status = http.HTTPStatus.METHOD_NOT_ALLOWED
    return Response({"code": status.name, "message": status.phrase}, status, {"Allow": ", ".join(verbs)})
