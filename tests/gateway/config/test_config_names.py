"""Names of models, and storage."""

import pytest

from tests.gateway.config.values import MINI
from warp_magics.gateway.errors import UnknownModel
from warp_magics.gateway.types import Window

# -- names -----------------------------------------------------------------------------------------

NAMED = """
models = ["big", "small", "openai:gpt-4o-mini"]
[[model]]
provider = "openai"
model = "gpt-4o"
alias = "big"
[[model]]
provider = "ollama"
model = "llama3:8b"
alias = "small"
[[model]]
provider = "deepseek"
model = "same"
[[model]]
provider = "lab"
model = "same"
[providers.lab]
dialect = "openai"
base_url = "http://h"
"""


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        ("big", "openai:gpt-4o"),
        ("gpt-4o", "openai:gpt-4o"),
        ("gpt-4o-mini", "openai:gpt-4o-mini"),
        ("llama3:8b", "ollama:llama3:8b"),
        ("ollama:llama3:8b", "ollama:llama3:8b"),
        ("openai:ft:gpt-4o:acme", "openai:ft:gpt-4o:acme"),
        ("openai:nobody-knows", "openai:nobody-knows"),
        ("lab:x", "lab:x"),
        ("vllm:x", "vllm:x"),
    ],
)
def test_a_model_is_found(load, spec, model):
    assert str(load(NAMED).resolve(spec)) == model


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            "gpt-4",
            'no model is called "gpt-4"; write provider:model; did you mean openai:gpt-4o or openai:gpt-4o-mini?',
        ),
        ("bigg", 'no model is called "bigg"; write provider:model; did you mean big?'),
        ("opnai:x", 'there is no provider "opnai"; did you mean openai:x or openai:gpt-4o?'),
        ("same", '"same" is more than one model\'s name; did you mean deepseek:same or lab:same?'),
        ("deepseek:x", "deepseek has no key: set DEEPSEEK_API_KEY, or write api_key under [providers.deepseek]"),
        ("", 'no model is called ""; write provider:model'),
        (
            "openai:",
            'no model is called "openai:"; write provider:model; did you mean openai:gpt-4o or openai:gpt-4o-mini?',
        ),
        (":x", 'no model is called ":x"; write provider:model'),
    ],
)
def test_a_model_is_not_found(load, spec, told):
    with pytest.raises(UnknownModel) as caught:
        load(NAMED).resolve(spec)
    assert caught.value.message == told


def test_nearest_names_are_for_programs_too(load):
    with pytest.raises(UnknownModel) as caught:
        load(NAMED).resolve("gpt-4")
    assert caught.value.details == {"nearest": ["openai:gpt-4o", "openai:gpt-4o-mini"]}


def test_chain_of_aliases_and_order(load):
    config = load(NAMED)
    assert [str(model) for model in config.chain] == ["openai:gpt-4o", "ollama:llama3:8b", "openai:gpt-4o-mini"]
    assert [str(model) for model in config.described[3:]] == ["deepseek:same", "lab:same"]
    assert len(config.described) == 5


def test_a_model_twice_in_the_chain_is_asked_once(load):
    config = load('models = ["openai:a", "openai:b", "openai:a"]')
    assert [str(model) for model in config.chain] == ["openai:a", "openai:b"]
    assert config.warnings == ("models names openai:a more than once; it is asked once",)


@pytest.mark.parametrize(
    ("allow", "spec", "fine"),
    [
        ('["openai:gpt-4o*"]', "openai:gpt-4o", True),
        ('["openai:gpt-4o*"]', "gpt-4o-mini", True),
        ('["openai:gpt-4o*"]', "openai:o3", False),
        ('["openai:*", "demo:*"]', "demo:ok", True),
        ('["openai:*"]', "demo:ok", False),
        ('["OPENAI:*"]', "openai:gpt-4o", False),
        ("[]", "openai:gpt-4o", False),
    ],
)
def test_allow_says_what_may_be_named(load, allow, spec, fine):
    config = load(f'allow = {allow}\nmodels = ["openai:gpt-4o-mini"]')
    assert config.chain == (MINI,)
    if fine:
        config.resolve(spec)
    else:
        with pytest.raises(UnknownModel, match="the configuration does not allow"):
            config.resolve(spec)


def test_a_refusal_names_no_refused_model(load):
    config = load('allow = ["openai:gpt-4o-mini"]\n[[model]]\nprovider = "openai"\nmodel = "gpt-4o"')
    with pytest.raises(UnknownModel) as caught:
        config.resolve("openai:gpt-4o")
    assert caught.value.details == {"nearest": ["openai:gpt-4o-mini"]}


def test_local_and_described_providers_need_no_key(load):
    toml = 'models = ["ollama:a", "lab:b", "demo:ok", "mistral:c"]\n'
    toml += '[providers.lab]\ndialect = "openai"\nbase_url = "http://h"\n[providers.mistral]\nbase_url = "http://m"'
    config = load(toml, {})
    assert len(config.chain) == 4
    ready = {name for name, provider in config.providers.items() if provider.configured}
    assert ready == {"ollama", "lmstudio", "vllm", "demo", "lab", "mistral"}


def test_a_models_settings_win_over_the_files(load):
    config = load(
        """
        models = ["openai:a", "openai:b"]
        [limits]
        max_tokens = 100
        rate = { max = 1, time_window = 2 }
        [restore]
        timeout = 7
        [[model]]
        provider = "openai"
        model = "a"
        limits = { max_tokens = 200 }
        restore = { quota = "1h", timeout = 0 }
        """
    )
    a, b = (config.settings(model) for model in config.chain)
    assert (a.max_tokens, b.max_tokens) == (200, 100)
    assert a.rate == b.rate == Window(1, 2.0)
    assert (a.restore["timeout"], a.restore["quota"], a.restore["rate_limit"]) == (0.0, 3600.0, 60.0)
    assert (b.restore["timeout"], b.restore["quota"]) == (7.0, 600.0)
    assert (a.restore_set, b.restore_set) == ({"timeout", "quota"}, {"timeout"})


# -- storage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "address", "server"),
    [
        ('url = "valkey://h"', "redis://h:6379/0", "redis://h:6379/0"),
        ('url = "valkeys://u:p%40@h:1/2"', "rediss://u:p%40@h:1/2", "rediss://h:1/2"),
        ('url = "redis://:p@h?db=3"', "redis://:p@h:6379/3", "redis://h:6379/3"),
        ('url = "rediss://[::1]:7"', "rediss://[::1]:7/0", "rediss://[::1]:7/0"),
        ('url = "unix:///run/v.sock?db=1"', "unix:///run/v.sock?db=1", "unix:///run/v.sock?db=1"),
        ('url = "unix://u:p@/run/v.sock"', "unix://u:p@/run/v.sock?db=0", "unix:///run/v.sock?db=0"),
        ('url = "${VALKEY}"', "redis://me:s3cret@v:6379/0", "redis://v:6379/0"),
        ('host = "h"\nport = 1\nusername = "u"\npassword = "p:/"\ndatabase = 2\ntls = true', "rediss://u:p%3A%2F@h:1/2", "rediss://h:1/2"),
        ('type = "valkey"', "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    ],
)  # fmt: skip
def test_a_store_has_one_address(load, toml, address, server):
    storage = load(f"[storage]\n{toml}", {"VALKEY": "valkey://me:s3cret@v"}).storage
    assert (storage.type, storage.address(), storage.server) == ("valkey", address, server)
    assert storage.url.reveal() == address


def test_a_store_of_several_servers(load):
    config = load('[storage]\nurl = "valkey://h:1"\ncluster = true\nwait_replicas = 1')
    storage = config.storage
    assert (storage.type, storage.cluster, storage.wait_replicas, storage.server) == (
        "valkey",
        True,
        1,
        "redis://h:1/0",
    )
    assert [text for text in config.warnings if "storage" in text] == []
    watched = '[storage]\npassword = "p"\nsentinel = { name = "main", hosts = ["a", "[::1]:2"], password = "${S}" }'
    config = load(watched, {"S": "s3cret"})
    storage = config.storage
    assert (storage.type, storage.server) == ("valkey", "main, as told by a, [::1]:2")
    assert storage.sentinel.password.reveal() == "s3cret"


@pytest.mark.parametrize(
    ("toml", "warning"),
    [
        ("wait_replicas = 1", 'storage.wait_replicas has no effect while storage.type is "embedded"'),
        (
            'type = "memory"\nwait_replicas = 1',
            'storage.wait_replicas has no effect while storage.type is "memory"',
        ),
        (
            'host = "h"\nsentinel = { name = "m", hosts = ["s"] }',
            "storage.host has no effect: the sentinels say where the store is",
        ),
    ],
)
def test_what_cannot_have_an_effect_is_told(load, toml, warning):
    assert warning in load(f"[storage]\n{toml}").warnings


def test_the_rest_of_storage(load):
    storage = load(
        '[storage]\ntype = "memory"\nprefix = "a:b"\nkeep_running = true\nowner = "me"\nstream_expiration = 5'
    )
    storage = storage.storage
    assert (storage.type, storage.prefix, storage.keep_running) == ("memory", "a:b", True)
    assert (storage.owner, storage.stream_expiration, storage.url, storage.server) == ("me", 5.0, None, None)
