"""The whole file: what it may say and what becomes of it."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.gateway.config.values import KEYS, PLANTED, PLANTS
from warp_magics.gateway.config import Secret, load_config
from warp_magics.gateway.types import Model, Window

# -- the whole file --------------------------------------------------------------------------------

EXAMPLE = """
models = ["openai:gpt-4o-mini", "gemini:gemini-2.5-flash", "deepseek:deepseek-chat"]
session_header = "x-session-id"
allow = ["openai:*", "lab:*"]
on_disconnect = "cancel"

[[model]]
provider = "openai"
model = "gpt-4o"
alias = "big"
context_tokens = 128_000
limits = { max_tokens = 4000, rate = { max = 100, time_window = "1m" }, tokens = { max = 200_000, time_window = "1m" } }
restore = { rate_limit = "5m" }

[providers.openai]
api_key = "${OPENAI_API_KEY}"
limits = { rate = { max = 500, time_window = "1m" } }
[providers.lab]
dialect = "openai"
base_url = "http://127.0.0.1:8080/v1"
headers = { "x-team" = "blue" }
proxy = "http://proxy:3128"

[storage]
type = "embedded"
url = "valkey://user:pass@host:6379/0"
prefix = "warp"
wait_replicas = 0
keep_running = false
stream_expiration = "1h"

[limits]
rate = { max = 200, time_window = "30s" }
history_expiration = "1d"
session_wait = "30s"
body_size = "10MB"
retry = { max = 1, interval = "1s" }
timeout = { connect = "5s", first_token = "30s", stall = "30s", total = "10m" }

[restore]
rate_limit = "1m"
timeout = "1m"
provider_error = "1m"
quota = "10m"

[routing]
strategy = "order"

[cache]
enabled = false
ttl = "1h"

[server]
host = "127.0.0.1"
port = 3042
cors_origins = []

# [gateway]
"""


def test_the_example_of_the_contract(load):
    config = load(EXAMPLE, KEYS)
    assert [str(model) for model in config.chain] == [
        "openai:gpt-4o-mini",
        "gemini:gemini-2.5-flash",
        "deepseek:deepseek-chat",
    ]
    assert config.described == (*config.chain, Model("openai", "gpt-4o"))
    assert config.aliases == {"big": Model("openai", "gpt-4o")}
    assert (config.session_header, config.on_disconnect, config.allow) == (
        "x-session-id",
        "cancel",
        ("openai:*", "lab:*"),
    )
    assert config.providers["openai"].limits.rate == Window(500, 60.0)
    assert config.providers["openai"].api_key == Secret("sk-openai-1234567890")
    lab = config.providers["lab"]
    assert (lab.dialect, lab.base_url, lab.proxy) == ("openai", "http://127.0.0.1:8080/v1", "http://proxy:3128")
    assert (lab.revealed_headers(), lab.api_key, lab.configured, lab.local) == ({"x-team": "blue"}, None, True, False)
    assert config.warnings == ('storage.url has no effect while storage.type is "embedded"',)
    big = config.settings(config.resolve("big"))
    assert (big.alias, big.context_tokens, big.max_tokens) == ("big", 128_000, 4000)
    assert (big.rate, big.tokens) == (Window(100, 60.0), Window(200_000, 60.0))
    assert big.restore == {"rate_limit": 300.0, "timeout": 60.0, "provider_error": 60.0, "quota": 600.0}


def test_the_example_says_what_the_defaults_are(load):
    """Everything the example sets is what holds without it, but for what it adds."""
    written, unwritten = load(EXAMPLE, KEYS), load("", KEYS)
    for name in ("limits", "restore", "routing", "cache", "server", "storage", "session_header"):
        assert getattr(written, name) == getattr(unwritten, name), name
    limits = unwritten.limits
    assert (limits.rate, limits.history_expiration, limits.session_wait) == (Window(200, 30.0), 86400.0, 30.0)
    assert (limits.body_size, limits.retry.max, limits.retry.interval) == (10_000_000, 1, 1.0)
    timeout = limits.timeout
    assert (timeout.connect, timeout.first_token, timeout.stall, timeout.total) == (5.0, 30.0, 30.0, 600.0)
    assert unwritten.restore == {"rate_limit": 60.0, "timeout": 60.0, "provider_error": 60.0, "quota": 600.0}
    assert (limits.history_tokens, limits.max_tokens, unwritten.on_disconnect) == (None, None, "finish")
    assert (unwritten.storage.type, unwritten.storage.owner, unwritten.gateway) == ("embedded", None, None)


def test_camel_case_json_says_the_same(load):
    def camel(value, *, names=False):
        if isinstance(value, dict):
            rename = (lambda key: key) if names else (lambda key: re.sub("_(.)", lambda m: m[1].upper(), key))
            return {rename(key): camel(item, names=key in {"providers", "headers"}) for key, item in value.items()}
        return [camel(item) for item in value] if isinstance(value, list) else value

    toml, other = load(EXAMPLE, KEYS), load(camel(tomllib.loads(EXAMPLE)), KEYS)
    for name in type(toml).__slots__:
        if name not in {"source", "warnings"}:
            assert getattr(toml, name) == getattr(other, name), name


# -- what has no effect ----------------------------------------------------------------------------


def test_where_another_gateway_answers_no_model_is_needed_and_none_is_missed(load):
    config = load('[gateway]\nurl = "https://hub/services/warp"\nauth = "hub"', {"OPENAI_API_KEY": "sk-planted"})
    assert (config.gateway.url, config.gateway.auth) == ("https://hub/services/warp", "hub")
    assert (config.chain, config.demo, config.warnings) == ((), False, ())
    assert not any(one.api_key for one in config.providers.values())


def test_what_an_answer_needs_has_no_effect_beside_another_gateway_and_that_is_told(load):
    config = load('models = ["openai:x"]\ncache.enabled = true\ngateway.url = "https://hub"')
    said = "has no effect beside gateway, which answers instead"
    assert config.warnings == (f"models {said}", f"cache {said}")
    assert config.chain == ()


def test_it_is_told_in_json_as_json_writes_it(load):
    config = load({"models": ["openai:x"], "gateway": {"url": "https://hub"}})
    assert config.warnings == ("models has no effect beside gateway, which answers instead",)


# -- frozen, and light -----------------------------------------------------------------------------


def test_everything_is_frozen(load):
    config = load(PLANTED.replace('api_key_file = "mistral.key"', 'api_key = "k"'), PLANTS)
    with pytest.raises(FrozenInstanceError):
        config.chain = ()
    with pytest.raises(FrozenInstanceError):
        config.storage.prefix = "x"
    with pytest.raises(FrozenInstanceError):
        config.providers["openai"].name = "x"
    for table in (config.limits, config.limits.timeout, config.server, config.routing, config.cache):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(table, next(iter(type(table).model_fields)), None)
    for mapping in (
        config.providers,
        config.restore,
        config.aliases,
        config.models,
        config.providers["openai"].headers,
    ):
        with pytest.raises(TypeError):
            mapping["x"] = None


def test_no_notebook_is_imported():
    code = "import sys, warp_magics.gateway.config as c; c.load_config(env={}); print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    loaded = {name.partition(".")[0] for name in told.stdout.split()}
    assert "pydantic" in loaded
    assert not loaded & {"IPython", "anywidget", "tornado", "redis", "jupyter_server", "aiohttp", "httpx", "orjson"}


def test_what_a_model_is_sent_besides_is_taken_as_it_is(load):
    toml = """
        [[model]]
        provider = "openai"
        model = "o3"
        stream = false
        body = { reasoning_effort = "high", extraBody = { topK = 3, list = ["${LATER_KEY}"] } }
    """
    config = load(toml, KEYS | {"LATER_KEY": "lk-1234567890"})
    settings = config.settings(Model("openai", "o3"))
    assert settings.stream is False
    assert settings.body == {"reasoning_effort": "high", "extraBody": {"topK": 3, "list": ["lk-1234567890"]}}
    assert "lk-1234567890" not in repr(config.public())
    assert config.settings(Model("openai", "other")).stream is True


def test_camel_case_leaves_the_names_in_a_body_alone(tmp_path):
    path = tmp_path / "warp.json"
    body = {"reasoning_effort": "high", "thinkingConfig": {"budget_tokens": 1}}
    path.write_text(json.dumps({"model": [{"provider": "openai", "model": "o3", "body": body}]}))
    assert load_config(path=path, env=KEYS).settings(Model("openai", "o3")).body == body
