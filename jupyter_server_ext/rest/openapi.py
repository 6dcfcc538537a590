"""The OpenAPI 3.1 document of the gateway, made from the table of routes, their words and the wire's models."""

from __future__ import annotations

import http
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from warp_magics import __version__
from warp_magics.gateway import wire

from .openai_operations import OPENAI_OPERATIONS
from .operations import EVENTS, GROUPS, JSON, OPERATIONS, PATH

if TYPE_CHECKING:
    from .operations import Operation, Parameter, Reply

WORDS: Final = {**OPERATIONS, **OPENAI_OPERATIONS}
"""The words of every verb and path."""
_REFUSALS: Final = {
    400: "The request cannot be understood, or contradicts itself; the provider refused it.",
    401: "Not signed in (the gateway alone).",
    403: "Not signed in, or not allowed to (in Jupyter).",
    404: "There is no such thing for this user.",
    408: "The body did not arrive in time (the gateway alone).",
    409: "Something else has it: another turn its session, another session its id.",
    413: "The body is larger than `limits.body_size`.",
    422: "Fields of the body are wrong or unknown; `details.fields` names each. Or the provider refused the content.",
    429: "A limit is reached; `retryAfter` tells for how long.",
    500: "The configuration is wrong, and the message says where; or the gateway failed.",
    502: "The provider failed, or the answer broke off.",
    503: "No model can be asked now, the store does not answer, or the gateway is shutting down.",
    504: "No answer in time.",
}
_WAITS: Final = frozenset({429, 503})
_HEADERS: Final = {
    "x-session-id": "The answer's session; `session_header` gives it another name.",
    "x-stream-id": "What the answer can be followed by.",
    "x-session-status": "`restarted` where the session had expired, `stateless` where it could not be kept.",
    "Retry-After": "Seconds after which it may work.",
    "Content-Disposition": "The file's name.",
    "Location": "Where the answer can be followed, as a reference relative to this path.",
    "Preference-Applied": "`respond-async`.",
}
_INTRODUCTION: Final = (
    "Sessions, streams and models of the gateway, below `/warp/` of a Jupyter Server or of `jupyter warp`. "
    "JSON names are in camelCase, durations are numbers of seconds or texts with a unit (`30s`, `7d`), times are "
    "RFC 3339 in UTC. A body without a content type is read as JSON. Every failure is told as an `Error`."
)


@cache
def document(routes: tuple[tuple[str, str, bool], ...]) -> dict[str, Any]:
    """Return the document of ``routes``: verb, path, and whether strangers are let in. It is made once."""
    paths: dict[str, dict[str, Any]] = {}
    for verb, path, open_ in routes:
        said = WORDS[f"{verb} {path}"]
        sample = {"lang": "Shell", "label": "curl", "source": curl(verb, path, said)}
        paths.setdefault(f"/{path}", {})[verb.lower()] = {
            **_operation(said, path, open_=open_),
            "x-codeSamples": [sample],
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Warp", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": ".", "description": "Where this document is served."}],
        "tags": [{"name": name, "description": text} for name, text in GROUPS.items()],
        "security": [{name: []} for name in _SCHEMES],
        "paths": paths,
        "components": {
            "schemas": wire.schemas("#/components/schemas/{model}"),
            "responses": {_refusal(status): _refused(status) for status in _REFUSALS},
            "securitySchemes": _SCHEMES,
        },
    }


def curl(verb: str, path: str, said: Operation) -> str:
    """Return a command that works where $WARP and $TOKEN are set and the page's first prompt was sent."""
    streams = any(EVENTS in reply.content for reply in said.replies.values())
    by_body = verb == "POST" and said.sample is not None
    options = f"{' -N' if streams else ''}{'' if verb == 'GET' or by_body else f' -X {verb}'}"
    lines = [f'curl{options} "$WARP/{path.format(**_NAMED)}{said.query}"', '-H "Authorization: Bearer $TOKEN"']
    lines += [f'-H "{name}: {value}"' for name, value in said.headers.items()]
    if said.sample is not None:
        lines.append(f"-d '{json.dumps(said.sample)}'")
    return " \\\n  ".join(lines)


_NAMED: Final = {"sessionId": "talk", "streamId": "talk~1", "name": "auto"}
_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer TOKEN`. In Jupyter the server's token; alone what `jupyter warp token` prints.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "username-127-0-0-1-8888",
        "description": "In Jupyter only: the cookie of who has signed in there, named for the server's address; with it "
        "all but GET need the header X-XSRFToken.",
    },
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _one_of(schema: str) -> dict[str, Any]:
    names = schema.split("|")
    return _ref(schema) if len(names) == 1 else {"anyOf": [_ref(name) for name in names]}


def _operation(said: Operation, path: str, *, open_: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": said.id, "tags": [said.group], "summary": said.summary}
    if said.text:
        made["description"] = said.text
    if parameters := [*_of_path(path), *map(_parameter, said.parameters)]:
        made["parameters"] = parameters
    if said.body:
        # An empty body is an empty object.
        made["requestBody"] = {
            "required": said.body in {"Ask", "ChatCompletion", "Rewind"},
            "content": {JSON: _content(said)},
        }
    errors = {*said.errors, 400, 500, 503, *(() if open_ else (401, 403))}
    made["responses"] = {str(status): _reply(reply) for status, reply in said.replies.items()} | {
        str(status): _refusal_of(said, status, open_=open_) for status in sorted(errors)
    }
    if open_:
        made["security"] = [{}, *({name: []} for name in _SCHEMES)]
    return made


def _content(said: Operation) -> dict[str, Any]:
    return {"schema": _ref(said.body), "example": dict(said.sample or {})}


def _of_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": PATH[name][0], "schema": dict(PATH[name][1])}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _parameter(one: Parameter) -> dict[str, Any]:
    told = {"name": one.name, "in": one.where, "description": one.text, "schema": dict(one.schema)}
    return {**told, "required": True} if one.required else told


def _reply(reply: Reply) -> dict[str, Any]:
    made: dict[str, Any] = {"description": reply.text}
    if reply.headers:
        made["headers"] = {name: _header(name) for name in reply.headers}
    if reply.content:
        made["content"] = {kind: _media(kind, schema, reply) for kind, schema in reply.content.items()}
    return made


def _media(kind: str, schema: str, reply: Reply) -> dict[str, Any]:
    if kind == EVENTS:
        return {"schema": {"oneOf": [_event(name, data) for name, data in reply.events.items()]}}
    if schema:
        return {"schema": _one_of(schema)}
    return {"schema": {"type": "object"} if kind.endswith("json") else {"type": "string"}}


def _event(name: str, data: str) -> dict[str, Any]:
    """Return the schema of one server-sent event: its data is JSON text."""
    text = {"type": "string", "contentMediaType": JSON, "contentSchema": _one_of(data)}
    if not name:
        return {"type": "object", "properties": {"data": text}, "required": ["data"]}
    fields = {"event": {"const": name}, "id": {"type": "string"}, "data": text}
    return {"type": "object", "properties": fields, "required": ["event", "data"]}


def _header(name: str) -> dict[str, Any]:
    return {"description": _HEADERS[name], "schema": {"type": "string"}}


def _refusal(status: int) -> str:
    return http.HTTPStatus(status).name.title().replace("_", "")


def _refusal_of(said: Operation, status: int, *, open_: bool) -> dict[str, Any]:
    """Return a failure; on an open path who is not signed in learns that it is one, and no more."""
    if open_:
        return _refused(status, "Error|Ready")
    if said.failure != "Error":
        return _refused(status, said.failure)
    return {"$ref": f"#/components/responses/{_refusal(status)}"}


def _refused(status: int, schema: str = "Error") -> dict[str, Any]:
    made: dict[str, Any] = {"description": _REFUSALS[status], "content": {JSON: {"schema": _one_of(schema)}}}
    return {**made, "headers": {"Retry-After": _header("Retry-After")}} if status in _WAITS else made
