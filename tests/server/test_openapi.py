"""The API's description: it is whole, it is valid, and what the gateway answers is what it says."""

from __future__ import annotations

import base64
import copy
import json
import re

import jsonschema
import pytest
import schemathesis
from schemathesis.specs.openapi import definitions

from jupyter_server_ext.rest import routes
from jupyter_server_ext.rest.openapi import WORDS
from jupyter_server_ext.rest.operations import GROUPS, PATH
from jupyter_server_ext.rest.routes import ROUTES, path_of
from tests.fakes.provider import Reply
from warp_magics.gateway import errors, wire
from warp_magics.gateway.wire import answers, openai_answers, openai_requests, requests

IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture(scope="module")
def document():
    """As it is served: see the test that asks for it."""
    return json.loads(wire.json_bytes(routes.document()))


def operations(document):
    return {
        f"{verb.upper()} {path[1:]}": said for path, verbs in document["paths"].items() for verb, said in verbs.items()
    }


async def test_a_user_is_told_it_and_a_stranger_is_not(rest, document):
    assert (await rest("openapi.json", below="warp/")).json == document
    assert (await rest("openapi.json", below="warp/", headers={})).status == 403


# -- whole


def test_every_route_has_its_words_and_no_words_have_no_route():
    assert set(WORDS) == {f"{route.verb} {path_of(route.pattern)}" for route in ROUTES}
    assert {said.group for said in WORDS.values()} == set(GROUPS)
    assert len({said.id for said in WORDS.values()}) == len(WORDS)
    assert set(PATH) == {name for key in WORDS for name in re.findall(r"{(\w+)}", key)}


def test_it_describes_every_route_and_who_may_ask(document):
    told = operations(document)
    assert set(told) == set(WORDS)
    for route in ROUTES:
        said = told[f"{route.verb} {path_of(route.pattern)}"]
        assert ({} in said.get("security", [])) == route.open
        assert ("401" in said["responses"]) == (not route.open)


def test_bodies_are_described_by_the_models_that_parse_them(document):
    bodies = {
        key: said["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for key, said in operations(document).items()
        if "requestBody" in said
    }
    assert bodies == {
        "POST api/v1/prompt": "Ask",
        "POST api/v1/stream": "Ask",
        "POST v1/chat/completions": "ChatCompletion",
        "POST api/v1/sessions": "NewSession",
        "PATCH api/v1/sessions/{sessionId}": "Changes",
        "POST api/v1/sessions/{sessionId}/fork": "Fork",
        "POST api/v1/sessions/{sessionId}/rewind": "Rewind",
    }
    schema = document["components"]["schemas"]["Ask"]
    assert set(schema["properties"]) == {field.alias for field in wire.Ask.model_fields.values()}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("module", [requests, answers, openai_requests, openai_answers])
def test_every_field_says_what_it_means(document, module):
    schemas = document["components"]["schemas"]
    for name in {name for name in vars(module) if name in schemas}:
        assert schemas[name]["description"] or name == "Result"
        for field, schema in schemas[name].get("properties", {}).items():
            assert schema.get("description", "").endswith((".", "`", "…")), f"{name}.{field}"


def test_every_status_of_our_errors_is_described(document):
    def below(kind):
        return {kind, *(one for child in kind.__subclasses__() for one in below(child))}

    # A tape's misses and a gateway elsewhere are of other fronts.
    statuses = {kind.http_status for kind in below(errors.WarpError)}
    assert statuses <= {int(status) for said in operations(document).values() for status in said["responses"]}


# -- valid


def test_it_is_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    definitions.OPENAPI_31_VALIDATOR.validate(document)
    schemathesis.openapi.from_dict(document).validate()
    with pytest.raises(Exception, match="paths"):
        definitions.OPENAPI_31_VALIDATOR.validate({**document, "paths": {"/x": {"get": {"responses": 7}}}})


def test_its_schemas_are_schemas_and_its_references_lead_somewhere(document):
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        found = document
        for part in reference.split("/"):
            found = found[part]


def test_examples_are_good_bodies(document):
    for said in operations(document).values():
        for content in said.get("requestBody", {}).get("content", {}).values():
            validator(document, content["schema"]).validate(content["example"])


def test_its_address_is_told_by_where_it_is_served(document):
    assert [server["url"] for server in document["servers"]] == ["."]


# -- true


def strict(document):
    """The same, but what is answered has no field that is not described."""
    closed = copy.deepcopy(document)
    schemas = closed["components"]["schemas"]
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return closed


def validator(document, schema):
    whole = {**schema, "components": document["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


@pytest.fixture
def told(rest, document):
    """`await told("POST", "api/v1/prompt", {...})`: the answer, once it has been held against the description."""
    closed = strict(document)

    async def ask(verb, path, body=None, **more):
        at, _, _ = path.partition("?")
        said = await rest(path, body, method=verb, below="warp/", **more)
        keys = [key for key in WORDS if re.fullmatch(re.sub(r"{\w+}", "[^/]+", key), f"{verb} {at}")]
        held_against(closed, operations(closed)[keys[0]]["responses"], said)
        return said

    return ask


def held_against(document, responses, said):
    response = responses[str(said.status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if not response.get("content"):
        assert not said.body
        return
    kind = said.headers["Content-Type"].partition(";")[0]
    schema = response["content"][kind]["schema"]
    if kind == "application/json":
        validator(document, schema).validate(said.json)
    elif kind == "text/event-stream" and "event" not in schema["oneOf"][0]["properties"]:
        *chunks, done, rest = said.body.decode().split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        for chunk in chunks:
            validator(document, schema["oneOf"][0]["properties"]["data"]["contentSchema"]).validate(
                json.loads(chunk.removeprefix("data: "))
            )
    elif kind == "text/event-stream":
        known = {
            one["properties"]["event"]["const"]: one["properties"]["data"]["contentSchema"] for one in schema["oneOf"]
        }
        for event in said.events:
            validator(document, known[event.name]).validate(event.data)


async def test_prompts_of_every_kind(configure, fake, told):
    configure("tools", "ok")
    fake.script("json", Reply(chunks=['{"n": 7}']))
    ask = {"sessionId": "s", "createSession": True}
    called = await told("POST", "api/v1/prompt", {"prompt": "Weather?", "tools": [TOOL], **ask})
    assert called.json["result"] == "TOOL_CALLS"
    result = {"id": called.json["toolCalls"][0]["id"], "content": "Rain", "isError": False}
    body = {"toolResults": [result], "models": ["fake:ok"], "sessionId": "s"}
    assert (await told("POST", "api/v1/prompt", body)).json["result"] == "COMPLETE"
    file = {"kind": "text", "name": "a.txt", "text": "Hello"}
    image = {"kind": "image", "name": "a.png", "mediaType": "image/png", "data": IMAGE}
    body = {"prompt": "See", "attachments": [file, image], "models": ["fake:fail-503", "fake:ok"], "sessionId": "s"}
    assert len((await told("POST", "api/v1/prompt", body)).json["route"]) == 2
    assert (await told("POST", "api/v1/prompt", {**body, "dryRun": True})).json["messages"]
    body = {"prompt": "Seven", "responseSchema": SCHEMA, "models": ["fake:json"]}
    assert (await told("POST", "api/v1/prompt", body)).json["value"] == {"n": 7}
    assert (await told("POST", "api/v1/prompt", {"prompt": "No", "store": False, "models": ["fake:ok"]})).status == 200
    assert len((await told("GET", "api/v1/sessions/s/history")).json["turns"]) == 3
    assert (await told("GET", "api/v1/sessions/s/export")).json["turns"]


async def test_streams_of_every_kind(told, jp_serverapp):
    ask = {"prompt": "Hello", "sessionId": "s", "createSession": True}
    seen = set()
    for more in (
        {},
        {"models": ["fake:reasoning"]},
        {"models": ["fake:tools"], "tools": [TOOL]},
        {"models": ["fake:cut-2", "fake:ok"], "onBreak": "restart"},
        {"models": ["fake:cut-2"], "onBreak": "error"},
    ):
        said = await told("POST", "api/v1/stream", ask | more)
        seen |= {event.name for event in said.events}
        await told("GET", f"api/v1/streams/{said.headers['x-stream-id']}")
    assert seen == {"start", "content", "reasoning", "tool_call", "restart", "end", "error"}
    assert (await told("POST", "api/v1/stream", {**ask, "dryRun": True})).json["dryRun"] is True
    headers = {"Authorization": f"token {jp_serverapp.identity_provider.token}", "Prefer": "respond-async"}
    begun = await told("POST", "api/v1/stream", ask, headers=headers)
    assert (begun.status, begun.json["sessionId"]) == (202, "s")
    await told("GET", f"api/v1/streams/{begun.json['streamId']}")
    assert (await told("GET", "api/v1/streams/s~1")).status == 200
    assert (await told("GET", "api/v1/streams/s~1?after=1-999")).status in {200, 204}
    assert (await told("POST", "api/v1/streams/s~1/stop", b"")).json["status"] == "ended"
    history = (await told("GET", "api/v1/sessions/s/history")).json["turns"]
    assert {turn["status"] for turn in history} == {"complete", "interrupted"}


async def test_the_openai_paths(told):
    ask = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    tools = {"model": "fake:tools", "tools": [{"type": "function", "function": TOOL}]}
    assert (await told("POST", "v1/chat/completions", ask)).json["object"] == "chat.completion"
    assert (await told("POST", "v1/chat/completions", ask | tools)).json["choices"][0]["message"]["tool_calls"]
    for more in ({"stream_options": {"include_usage": True}}, tools, {"model": "fake:reasoning"}):
        assert (await told("POST", "v1/chat/completions", {**ask, "stream": True, **more})).status == 200
    assert (await told("GET", "v1/models")).json["data"][0]["id"] == "auto"
    assert (await told("GET", "v1/models/auto")).json["id"] == "auto"
    assert (await told("GET", "v1/models/nobody:x")).status == 404
    assert (await told("POST", "v1/chat/completions", {**ask, "nobody": 1})).status == 400
    assert (await told("POST", "v1/chat/completions", {**ask, "model": "fake:fail-500"})).status == 502
    assert (await told("POST", "v1/chat/completions", ask, headers={})).status == 401


async def test_sessions(told):
    made = await told("POST", "api/v1/sessions", {"sessionId": "s", "title": "T", "ttl": "1h", "metadata": {"a": [1]}})
    assert made.status == 201
    for prompt in ("One", "Two"):
        last = await told("POST", "api/v1/prompt", {"prompt": prompt, "sessionId": "s"})
    first = (await told("GET", "api/v1/sessions/s/history")).json["turns"][0]["turnId"]
    assert (await told("POST", "api/v1/sessions/s/rewind", {"to": first})).json["branches"]
    assert (await told("GET", "api/v1/sessions/s/history?branch=1")).json["turns"][0]["turnId"] == last.json["turnId"]
    assert (await told("POST", "api/v1/sessions/s/fork", {"at": first})).status == 201
    assert (await told("PATCH", "api/v1/sessions/s", {"title": "U"})).json["title"] == "U"
    assert (await told("GET", "api/v1/sessions")).json["sessions"]
    assert (await told("GET", "api/v1/sessions/s")).json["branches"]
    assert (await told("DELETE", "api/v1/sessions/s", b"")).status == 204


async def test_what_is_told_of_the_gateway(told):
    await told("POST", "api/v1/prompt", {"prompt": "One", "models": ["fake:fail-503", "fake:ok"]})
    assert (await told("GET", "api/v1/models")).json["models"]
    for by in ("model", "session", "day"):
        assert (await told("GET", f"api/v1/usage?by={by}")).json["usage"]
    assert (await told("GET", "api/v1/health/live", headers={})).json == {"status": "ok"}
    assert (await told("GET", "api/v1/health/ready", headers={})).json == {"status": "ok"}
    assert (await told("GET", "api/v1/health/ready")).json["gatewayId"]


async def test_failures_of_every_kind(configure, told):
    configure("ok", limits='rate = { max = 4, time_window = "1h" }')
    wanted = {
        400: ("POST", "api/v1/prompt", {"prompt": ""}),
        404: ("GET", "api/v1/sessions/never", None),
        409: ("POST", "api/v1/sessions", {"sessionId": "s"}),
        422: ("POST", "api/v1/prompt", {"prompt": "a", "nobody": 1}),
        502: ("POST", "api/v1/prompt", {"prompt": "a", "models": ["fake:fail-500"]}),
        503: ("POST", "api/v1/prompt", {"prompt": "a", "models": ["fake:fail-500@a", "fake:fail-500@b"]}),
        403: ("GET", "api/v1/models", None),
    }
    await told("POST", "api/v1/sessions", {"sessionId": "s"})
    for status, (verb, path, body) in wanted.items():
        said = await told(verb, path, body, headers={} if status == 403 else None)
        assert said.status == status
    statuses = {(await told("POST", "api/v1/prompt", {"prompt": "a"})).status for _ in range(6)}
    assert statuses == {200, 429}


async def test_a_query_that_is_no_text_is_refused_on_every_path(rest):
    for path in ("api/v1/sessions?search=%ff", "api/v1/models?x=%ed%a0%80"):
        said = await rest(path, below="warp/")
        assert (said.status, said.json["code"]) == (400, "INVALID_REQUEST")
        assert said.json["message"] == "The query is not UTF-8."


async def test_a_feed_that_cannot_be_gone_on_with_is_refused_before_it_begins(rest):
    await rest("sessions", {"sessionId": "s"})
    for path in ("sessions/s/events?after=x", "sessions/s/events?after=1-99999999999999999999"):
        said = await rest(path)
        assert (said.status, said.json["code"]) == (400, "INVALID_REQUEST")


async def test_a_query_is_read_as_it_stands(rest):
    await rest("sessions", {"sessionId": "s", "title": "two  words"})
    assert len((await rest("sessions?search=%20words")).json["sessions"]) == 1
    assert (await rest("sessions?limit=%205")).status == 400
