"""Requests that no client would send, as bytes on a connection: what each path answers to them."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .run import wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .run import Target

TIMEOUT = 20
DEEP = 3000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \r\n\t",
    "half a body": b'{"prompt": "Hel',
    "no JSON": b"prompt=Hello&sessionId=x",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1e999",
    "a string": b'"Hello"',
    "bad UTF-8": b'{"prompt": "\xff\xfe"}',
    "UTF-16": '{"prompt": "Hello"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + b'{"prompt": "Hello"}',
    "a lone surrogate": rb'{"prompt": "\ud800", "title": "\udfff", "to": "\ud800", "at": "\udc00"}',
    "a lone surrogate for an id": rb'{"prompt": "a", "sessionId": "\ud800"}',
    "NUL": rb'{"prompt": "a\u0000b", "title": "a\u0000b", "to": "\u0000", "at": "\u0000", "sessionId": "\u0000"}',
    "deep lists": b'{"prompt": "a", "context": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"metadata": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep metadata": b'{"metadata": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
    "a deep schema": b'{"prompt": "a", "responseSchema": ' + b'{"not":' * 300 + b"{}" + b"}" * 300 + b"}",
    "huge numbers": b'{"prompt": "a", "maxTokens": 1e400, "seed": ' + b"9" * 400 + b', "ttl": 1e308, "timeout": 1e308}',
    "a huge seed": b'{"prompt": "a", "seed": ' + b"9" * 400 + b"}",
    "a seed beyond 64 bits": b'{"prompt": "a", "seed": 18446744073709551616}',
    "a huge maxTokens": b'{"prompt": "a", "maxTokens": 9223372036854775807}',
    "a maxTokens beyond 64 bits": b'{"prompt": "a", "maxTokens": 18446744073709551616}',
    "a seed with an exponent": b'{"prompt": "a", "seed": 1e25}',
    "a maxTokens with an exponent": b'{"prompt": "a", "maxTokens": 1e25}',
    "a seed below 64 bits": b'{"prompt": "a", "seed": -1e25}',
    "a long time": b'{"prompt": "a", "timeout": 1e308, "ttl": 1e308}',
    "no number": b'{"prompt": "a", "temperature": NaN, "timeout": Infinity}',
    "a duration of digits": b'{"prompt": "a", "timeout": "' + b"9" * 400 + b'd", "ttl": "' + b"9" * 400 + b'd"}',
    "the same name twice": b'{"prompt": "a", "prompt": 1}',
    "an unknown field": b'{"prompt": "a", "__class__": "x", "to": "x"}',
    "the wrong kinds": b'{"prompt": 1, "sessionId": {}, "models": {}, "title": [], "ttl": {}, "to": 1, "at": [], "metadata": 1}',
    "a model that is none": b'{"prompt": "a", "models": ["", ":", "a:b:c", "demo:", ":ok", "\\u0000", "demo:\\ud800"]}',
    "a bad tool": b'{"prompt": "a", "tools": [{"type": "function", "function": {"type": "function", "function": {}}}]}',
    "a bad tool choice": b'{"prompt": "a", "toolChoice": "nobody", "tools": [{"name": "a\\u0000"}]}',
    "results of no call": b'{"toolResults": [{"id": "x", "content": "y"}], "sessionId": "known"}',
    "a bad image": b'{"prompt": "a", "attachments": [{"kind": "image", "mediaType": "image/png", "data": "!"}]}',
    "a bad media type": b'{"prompt": "a", "attachments": [{"kind": "image", "mediaType": "a\\r\\nb", "data": "AA=="}]}',
    "a bad schema": b'{"prompt": "a", "responseSchema": {"type": 7, "$ref": "http://127.0.0.1:9/x"}}',
    "an endless schema": b'{"prompt": "a", "responseSchema": {"$ref": "#"}}',
    "an empty continue": b'{"continue": "", "sessionId": "known"}',
    "a place of another": b'{"prompt": "a", "replaces": "nobody", "sessionId": "known"}',
    "a blank stop": b'{"prompt": "a", "stop": ["", "\\ud800"]}',
    "no messages": b'{"model": "auto", "messages": []}',
    "a message of nobody": b'{"model": "auto", "messages": [{"role": "nobody", "content": "a"}]}',
    "a message that is none": b'{"model": "auto", "messages": [null, 1, "a", {}]}',
    "a message without words": b'{"model": "auto", "messages": [{"role": "user", "content": []}]}',
    "a message of NUL": rb'{"model": "auto", "messages": [{"role": "user", "content": "\u0000"}]}',
    "a message of surrogates": rb'{"model": "auto", "messages": [{"role": "user", "content": "\ud800"}]}',
    "a result of no call": b'{"model": "auto", "messages": [{"role": "tool", "tool_call_id": "x", "content": "a"}]}',
    "only what a model said": b'{"model": "auto", "messages": [{"role": "assistant", "content": "a"}]}',
    "a refusal without words": b'{"model": "auto", "messages": [{"role": "assistant", "content": [{"type": "refusal", '
    b'"refusal": ""}]}, {"role": "user", "content": "a"}]}',
    "a link for an image": b'{"model": "auto", "messages": [{"role": "user", "content": [{"type": "image_url", '
    b'"image_url": {"url": "http://127.0.0.1:9/x"}}]}]}',
    "odd extras": b'{"model": "auto", "messages": [{"role": "user", "content": "a"}], "logit_bias": {"x": 1e308}, '
    b'"top_k": 1e30, "metadata": {"a": "\\u0000"}, "seed": 1e25, "max_tokens": 1e25}',
    "deep extras": b'{"model": "auto", "messages": [{"role": "user", "content": "a"}], "thinking": '
    + b'{"a":' * 400
    + b"1"
    + b"}" * 400
    + b"}",
    "many choices": b'{"model": "auto", "messages": [{"role": "user", "content": "a"}], "n": 2}',
    "a stream of what is none": b'{"model": "nobody", "stream": true, "messages": [{"role": "user", "content": "a"}]}',
    "a dry run that is none": b'{"prompt": "a", "dryRun": "true"}',
    "a dry run of nothing": b'{"dryRun": true}',
}
HEADERS: dict[str, tuple[str, ...]] = {
    "no content type": (),
    "text": ("Content-Type: text/plain",),
    "XML": ("Content-Type: application/xml",),
    "a form": ("Content-Type: multipart/form-data",),
    "a form with a boundary": ("Content-Type: multipart/form-data; boundary=x",),
    "a web form": ("Content-Type: application/x-www-form-urlencoded",),
    "no media type": ("Content-Type: ;;;",),
    "another charset": ("Content-Type: application/json; charset=utf-7",),
    "an encoding": ("Content-Encoding: gzip",),
    "an odd session": ("x-session-id: a b",),
    "a long session": (f"x-session-id: {'a' * 3000}",),
    "an odd count": ("x-stainless-retry-count: -1",),
    "an odd key": ("Idempotency-Key: \x01\u00ff",),
    "a long key": (f"Idempotency-Key: {'a' * 3000}",),
    "an odd place": ("Last-Event-ID: \u00ff-1",),
    "a far place": (f"Last-Event-ID: {'9' * 400}-{'9' * 400}",),
    "nothing accepted": ("Accept: ,;q=x",),
    "HTML accepted": ("Accept: text/html",),
    "another token too": ("Authorization: Bearer x",),
    "an odd language": ("Accept-Language: \u00ff",),
}
QUERIES = (
    "?limit=-1", "?limit=0", "?limit=1e9", "?limit=99999999999999999999", "?limit=%00", "?limit=1&limit=x", "?limit=",
    "?cursor=x", "?cursor=%ff", "?cursor=%00", "?search=%ed%a0%80", "?search=%00", "?search=" + "a" * 4000,
    "?branch=0", "?branch=x", "?branch=999999999", "?format=exe", "?format=%00", "?format=../x", "?by=owner", "?by=%ff",
    "?after=1-1", "?after=x", "?after=%00", "?after=known%7E1:9-9", "?session=%ff", "?session=" + "a" * 300,
    "?session=known&after=other:1", "?session=" + "&session=".join(map(str, range(101))), "?", "?&&==&", "?%", "?a=%zz",
    "?a;b",
)  # fmt: skip
IDS = (
    "%", "%zz", "%00", "%ff", "%ed%a0%80", "%2e", "%2e%2e", "..%2f..%2fetc", "a%20b", "%0d%0aX:1", "a" * 129, "a" * 5000,
    "~", "known~", "known~0", "known~-1", "known~99999999999999999999", "~1", "known~1~1", "%7e1", "%F0%9F%98%80", "'\"<x>",
)  # fmt: skip
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO", "get")
NO_HTTP = (b"", b"Invalid HTTP request received.")
"""How the servers' own parsers refuse what is no HTTP; it never becomes a request."""
TOLD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """A request, by the name of what is odd about it; `lines` are more headers."""

    name: str
    verb: str
    path: str
    body: bytes = b""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    status: int
    headers: dict[str, str]
    body: bytes


def asked(document: dict[str, object]) -> Iterator[Asked]:
    """Every request, of every path of the API's description."""
    for template, verbs in document["paths"].items():  # type: ignore[attr-defined]
        path = re.sub(r"{\w+}", "known~1" if "streamId" in template else "known", template)
        for verb in VERBS:
            yield Asked("verb", verb, path, b"{}" if verb.lower() not in verbs else b"")
        for query in QUERIES if "get" in verbs else ():
            if not (path.endswith("/events") and "known" in path):
                yield Asked(f"query {query[:30]}", "GET", path + query)
        for odd in IDS if "{" in template else ():
            for verb in verbs:
                yield Asked(f"id {odd[:30]}", verb.upper(), re.sub(r"{\w+}", odd, template), b"{}")
        for verb in {"post", "patch"} & set(verbs):
            for name, body in BODIES.items():
                yield Asked(f"body {name}", verb.upper(), path, body)
            for name, lines in HEADERS.items():
                yield Asked(f"header {name}", verb.upper(), path, b'{"prompt": "a"}', lines)


def send(target: Target, one: Asked) -> Said:
    """Send it on a connection of its own; an answer that goes on is read as far as its headers and what came with them."""
    at = urlsplit(target.url)
    token = target.session.headers["Authorization"]
    head = f"{one.verb} {at.path}{one.path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: {token}\r\nConnection: close\r\n"
    lines = "".join(f"{line}\r\n" for line in one.lines)
    sent = f"{head}{lines}Content-Length: {len(one.body)}\r\n\r\n".encode("latin-1") + one.body
    with socket.create_connection((at.hostname, at.port or 80), timeout=TIMEOUT) as link:  # type: ignore[type-var]
        link.sendall(sent)
        got = b""
        while b"\r\n\r\n" not in got or b"event-stream" not in got:
            more = link.recv(65536)
            if not more:
                break
            got += more
    found = TOLD.fullmatch(got)
    assert found, f"{one}: no HTTP: {got[:200]!r}"
    fields = [line.split(": ", 1) for line in found[2].decode("latin-1").splitlines()]
    return Said(int(found[1]), {name.lower(): value for name, value in fields}, found[3])


def faults(target: Target, one: Asked) -> list[str]:
    """What is wrong with the answer to `one`."""
    said = send(target, one)
    if one.verb == "HEAD":
        return [] if said.status < 500 and not said.body else [f"{said.status}, {said.body[:100]!r}"]
    if said.status == 400 and said.body in NO_HTTP:
        return []
    found = wrong(said.status, said.headers.get("content-type", ""), said.body)
    if said.status == 405:
        found += _unlike_its_verbs(target, one, said)
    elif said.status not in _documented(target, one):
        found.append(f"{said.status} is not documented: {said.body[:200]!r}")
    return found


def _unlike_its_verbs(target: Target, one: Asked, said: Said) -> list[str]:
    """405 comes with the path's verbs, and not for one of them."""
    verbs = {verb.upper() for verb in _verbs(target, one.path)}
    named = set(said.headers.get("allow", "").split(", "))
    return [] if verbs and verbs <= named and one.verb not in named else [f"Allow is {named}, the path has {verbs}"]


def _documented(target: Target, one: Asked) -> set[int]:
    operation = _verbs(target, one.path).get(one.verb.lower())
    # A path that is none, for lack of an id or by dots that were followed, is no path of the document.
    return {int(status) for status in operation["responses"]} if operation else {200, 204, 400, 404}


def _verbs(target: Target, path: str) -> dict[str, dict[str, dict[str, object]]]:
    for template, verbs in target.document["paths"].items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path.partition("?")[0]):
            return verbs  # type: ignore[no-any-return]
    return {}


def fuzz(target: Target) -> tuple[int, list[str]]:
    """Ask all: how many, and what is wrong."""
    target.prepare()
    found, count = [], 0
    for one in asked(target.document):
        count += 1
        found += [f"{one.verb} {one.path[:80]} ({one.name}): {fault}" for fault in faults(target, one)]
        if one.verb == "DELETE":
            target.prepare()
    return count, found
