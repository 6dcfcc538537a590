"""The API's description as a page for people: HTML and one style sheet, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from typing import TYPE_CHECKING, Any, Final

from .operations import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STYLE: Final = r"""
:root{color-scheme:light dark;--back:#fff;--text:#1d2229;--soft:#57606b;--line:#d8dde3;--box:#f5f7f9;--link:#0b5cad;
--get:#0b5cad;--post:#1a6b32;--patch:#855000;--delete:#b3261e}
@media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e3e6ea;--soft:#a3adb8;--line:#343b43;--box:#1d2228;
--link:#7ab8ff;--get:#7ab8ff;--post:#75d08d;--patch:#eeb75c;--delete:#ff9a92}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem 1rem 4rem;background:var(--back);color:var(--text);
font:1rem/1.55 system-ui,sans-serif}
h1{margin:0;font-size:1.9rem}h1 small{font-size:1rem;font-weight:400;color:var(--soft)}
h2{margin:2.5rem 0 .25rem;font-size:1.35rem}h3{margin:1.75rem 0 .25rem;font-size:1.05rem}
h4{margin:1.1rem 0 .3rem;font-size:.9rem;color:var(--soft)}
p{margin:.35rem 0;max-width:46rem}.soft{color:var(--soft)}
a{color:var(--link);text-underline-offset:.15em}
code,pre{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}code{overflow-wrap:anywhere}
pre{margin:.35rem 0;padding:.7rem .9rem;overflow-x:auto;background:var(--box);border:1px solid var(--line);
border-radius:.4rem}
nav ul{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;margin:.75rem 0;padding:0;list-style:none}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:.5rem}
summary{display:grid;grid-template-columns:1rem 4.2rem minmax(0,1.1fr) minmax(0,1fr);gap:0 .5rem;align-items:baseline;
padding:.55rem .8rem;cursor:pointer}
summary::-webkit-details-marker{display:none}
summary::before{content:"+";color:var(--soft);font-weight:700}details[open]>summary::before{content:"\2212"}
summary:hover{background:var(--box);border-radius:.5rem}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:.3rem}
details[open]>summary{border-bottom:1px solid var(--line);border-radius:.5rem .5rem 0 0}
.verb{font-weight:700;font-size:.85rem}.get{color:var(--get)}.post{color:var(--post)}.patch{color:var(--patch)}
.delete{color:var(--delete)}
.in{padding:.5rem .9rem .9rem;scroll-margin-top:6rem}
table{width:100%;border-collapse:collapse;font-size:.93rem}
th{text-align:left;font-size:.82rem;font-weight:600;color:var(--soft)}
th,td{padding:.35rem .9rem .35rem 0;vertical-align:top;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
td:first-child{width:24%}td:nth-child(2){width:28%}
.need{color:var(--delete);font-size:.8rem;white-space:nowrap}
@media(max-width:40rem){thead{display:none}tbody,tr,td{display:block}td,td:first-child,td:nth-child(2){width:auto;
padding:0;border:0}tr{padding:.45rem 0;border-bottom:1px solid var(--line)}tr:last-child{border:0}
summary{grid-template-columns:1rem minmax(0,1fr)}summary>*{grid-column:2}}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_FIELDS: Final = ("Field", "Type", "Meaning")
_SETUP: Final = (
    "export WARP=http://127.0.0.1:3042/warp   # in Jupyter: http://127.0.0.1:8888/warp\n"
    'export TOKEN="$(jupyter warp token)"     # in Jupyter: the server\'s token'
)


def page(document: Mapping[str, Any]) -> str:
    """Return the whole page."""
    info = document["info"]
    operations = [(verb, path, said) for path, verbs in document["paths"].items() for verb, said in verbs.items()]
    groups = "".join(_group(tag, operations, document) for tag in document["tags"])
    schemas = "".join(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Warp: the API</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body><header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small>"
        f'</h1><p>{_words(info["description"])}</p><p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"<pre>{escape(_SETUP)}</pre>{_contents(document)}</header><main>{groups}"
        f'<section><h2 id="schemas">Schemas</h2>{schemas}</section></main></body></html>'
    )


def _contents(document: Mapping[str, Any]) -> str:
    names = [tag["name"] for tag in document["tags"]]
    links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name in [*names, "Schemas"])
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _group(tag: Mapping[str, str], operations: Iterable[tuple[str, str, Any]], document: Mapping[str, Any]) -> str:
    own = [one for one in operations if tag["name"] in one[2]["tags"]]
    inner = "".join(_operation(verb, path, said, document) for verb, path, said in own)
    head = f'<h2 id="{_anchor(tag["name"])}">{escape(tag["name"])}</h2>'
    return f'<section>{head}<p class="soft">{_words(tag["description"])}</p>{inner}</section>'


def _operation(verb: str, path: str, said: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    body = said.get("requestBody", {}).get("content", {}).get(JSON)
    parts = [
        f"<p>{_words(said['description'])}</p>" if "description" in said else "",
        '<p class="soft">Open to strangers.</p>' if {} in said.get("security", ()) else "",
        _parameters(said.get("parameters", ())),
        f"<h4>Body: {_type(body['schema'])}</h4>{_fields(_followed(body['schema'], document))}" if body else "",
        _responses(said["responses"], document),
        *(f"<h4>{escape(one['label'])}</h4><pre>{escape(one['source'])}</pre>" for one in said["x-codeSamples"]),
    ]
    return (
        f'<details><summary><span class="verb {escape(verb)}">{escape(verb.upper())}</span><code>{escape(path)}</code>'
        f'<span class="soft">{_words(said["summary"])}</span></summary>'
        f'<div class="in" id="{escape(said["operationId"])}">{"".join(parts)}</div></details>'
    )


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"<code>{escape(one['name'])}</code> {_need(one.get('required'))}",
            f'{_type(one["schema"])} <span class="soft">in the {escape(one["in"])}</span>',
            _words(one["description"]),
        )
        for one in parameters
    ]
    return f"<h4>Parameters</h4>{_table(('Name', 'Type', 'Meaning'), rows)}" if rows else ""


def _fields(schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(name)}</code> {_need(name in needed)}",
            _type(field) + _default(field),
            _words(field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return _table(_FIELDS, rows) if rows else f"<p>{_type(schema)}</p>"


def _responses(responses: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    rows = []
    for status, response in responses.items():
        whole = _followed(response, document)
        kinds = [_media(kind, content) for kind, content in whole.get("content", {}).items()]
        headers = [f"header <code>{escape(name)}</code>" for name in whole.get("headers", ())]
        rows.append((f"<code>{escape(status)}</code>", "<br>".join([*kinds, *headers]), _words(whole["description"])))
    return f"<h4>Answers</h4>{_table(('Status', 'What', 'When'), rows)}"


def _media(kind: str, content: Mapping[str, Any]) -> str:
    events = [one["properties"] for one in content["schema"].get("oneOf", ())]
    if events:
        return f"<code>{escape(kind)}</code>: {', '.join(map(_event, events))}"
    said = _type(content["schema"])
    return said if kind == JSON and "href" in said else f"<code>{escape(kind)}</code>"


def _event(fields: Mapping[str, Any]) -> str:
    name = f"<code>{escape(fields['event']['const'])}</code> " if "event" in fields else ""
    return name + _type(fields["data"]["contentSchema"])


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    text = f"<p>{_words(schema['description'])}</p>" if "description" in schema else ""
    return f'<h3 id="{_anchor(name, "schema")}">{escape(name)}</h3>{text}{_fields(schema)}'


def _followed(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference means, or the schema itself."""
    if "$ref" not in schema:
        return schema
    found: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found  # type: ignore[no-any-return]


def _type(schema: Mapping[str, Any]) -> str:
    """Return a schema's kind in words, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_anchor(name, "schema")}">{escape(name)}</a>'
    if "anyOf" in schema and "properties" not in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"<code>{escape(str(one))}</code>" for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    kind = str(schema.get("format") or schema.get("type") or "anything")
    return f"{escape(kind)}{_bounds(schema)}"


_BOUNDS: Final = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "maxLength": "at most {} characters",
}


def _bounds(schema: Mapping[str, Any]) -> str:
    told = [text.format(f"{schema[name]:g}") for name, text in _BOUNDS.items() if name in schema]
    return f" {escape(', '.join(told))}" if told else ""


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return ""
    said = str(default).lower() if isinstance(default, bool) else str(default)
    return f' <span class="soft">default <code>{escape(said)}</code></span>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; cells are HTML already."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _need(required: object) -> str:
    return '<span class="need">required</span>' if required else ""


def _words(text: str) -> str:
    """Return text as HTML, what stands between back-ticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _anchor(name: str, kind: str = "group") -> str:
    return f"{kind}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}" if name != "Schemas" else "schemas"
