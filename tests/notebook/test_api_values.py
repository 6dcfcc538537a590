"""`Warp` refuses a misspelt option by the nearest there is, and a value that no model can be sent by its name."""

import pytest

from warp_magics.api import Warp
from warp_magics.connect import disconnect
from warp_magics.gateway.errors import InvalidRequest, WarpError


@pytest.fixture
def warp(fake, config_file, monkeypatch):
    lab = f'[providers.lab]\ndialect = "openai"\nbase_url = "{fake.base_url}"\napi_key = "sk-test-0123456789-uvwxyz"\n'
    path = config_file(f'models = ["lab:ok"]\n{lab}[storage]\ntype = "memory"\n')
    monkeypatch.setenv("WARP_CONFIG", str(path))
    disconnect()
    yield Warp()
    disconnect()


def refused(ask, *words):
    with pytest.raises(InvalidRequest) as caught:
        ask()
    assert isinstance(caught.value, WarpError)
    assert all(word in caught.value.message for word in words), caught.value.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("temprature", ("'temprature'", "did you mean temperature?")),
        ("max_token", ("'max_token'", "did you mean max_tokens?")),
        ("sesion", ("'sesion'", "did you mean session?")),
        ("models", ("'models'", "did you mean model?")),
        ("frobnicate", ("'frobnicate'", "session, model, context")),
    ],
)
def test_a_misspelt_option_is_answered_with_the_nearest(fake, warp, wrong, words):
    refused(lambda: warp.ask("hi", **{wrong: 1}), *words)
    refused(lambda: list(warp.stream("hi", **{wrong: 1})), *words)
    assert fake.requests == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("temperature", 5, "not 5"),
        ("temperature", "hot", "'hot'"),
        ("max_tokens", 0, "not 0"),
        ("timeout", 0, "not 0"),
        ("timeout", "soon", "'soon'"),
        ("top_p", 2, "not 2"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(fake, warp, option, value, said):
    refused(lambda: warp.ask("hi", session="s", **{option: value}), option, said)
    refused(lambda: list(warp.stream("hi", session="s", **{option: value})), option, said)
    assert fake.requests == []
    assert str(warp.ask("hi", session="s")) == "You said 'hi' in message 1."
