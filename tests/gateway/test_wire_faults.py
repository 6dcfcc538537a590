"""Bodies whose faults are said by the path a client wrote, never by the name of one of our types."""

import json

import pytest

from warp_magics.gateway.errors import UnprocessableRequest
from warp_magics.gateway.wire import read_ask


def faults(**fields):
    with pytest.raises(UnprocessableRequest) as caught:
        read_ask(json.dumps({"prompt": "hi", **fields}).encode(), "local")
    assert caught.value.http_status == 422
    return caught.value.details["fields"]


def nested(depth, wrap=lambda inner: [inner]):
    value = []
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_a_context_nested_too_deeply_is_said_to_be(wrap):
    context = {"a": nested(300, wrap)}
    assert faults(context=context) == {"context": "is nested too deeply"}
    assert faults(context=[context]) == {"context": "is nested too deeply"}


def test_a_context_nested_deeply_is_taken():
    context = nested(100)
    assert json.loads(read_ask(json.dumps({"prompt": "hi", "context": context}).encode(), "local").context) == context


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"models": [5]}, {"models.0"}),
        ({"models": ["lab:ok", None]}, {"models.1"}),
        ({"models": [{"provider": "lab"}]}, {"models.0.model"}),
        ({"models": [{"provider": "lab", "model": "x", "key": "k"}]}, {"models.0.key"}),
        ({"stop": ["a", 5]}, {"stop.1"}),
        ({"stop": 5}, {"stop"}),
        ({"context": 5}, {"context"}),
        ({"history": [{"prompt": "a"}]}, {"history.0.response"}),
    ],
)
def test_the_paths_of_faults_are_those_of_the_body(fields, paths):
    assert set(faults(**fields)) == paths


def test_where_several_types_were_tried_all_that_is_wrong_is_said():
    assert faults(stop=5)["stop"] == "Input should be a valid list; or: Input should be a valid string"
