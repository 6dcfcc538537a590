"""Faults: where, what, and what is allowed."""

import pytest

from warp_magics.gateway.errors import ConfigError
from warp_magics.gateway.providers import PROVIDERS

WINDOW = 'provider = "openai"\nmodel = "m"\nlimits.rate = {{ max = 1, time_window = {} }}'
FAULTS = [
    # unknown keys
    ("modles = []", 'modles: unknown key; did you mean "models"?'),
    ("[limits]\nhistoryExpiration = 3", 'limits.historyExpiration: unknown key; did you mean "history_expiration"? Keys are snake_case in TOML'),
    ("[limits.timeout]\nfirstToken = 3", 'limits.timeout.firstToken: unknown key; did you mean "first_token"? Keys are snake_case in TOML'),
    ('[providers.openai]\napikey = "x"', 'providers.openai.apikey: unknown key; did you mean "api_key"?'),
    ('[providers.proxy]\ndialect = "openai"\nbase_url = "http://h"\nqqq = 1', "providers.proxy.qqq: unknown key; known are api_key, api_key_file, base_url, dialect, headers, limits, proxy, verify"),
    ("[[model]]\n" + WINDOW.format('"1m"') + "\nrestore.quotas = 1", 'model[0].restore.quotas: unknown key; did you mean "quota"?'),
    ("[server]\nzzz = 1", "server.zzz: unknown key; known are cors_origins, hide_keys, host, port, token_file"),
    # values
    ('[[model]]\nprovider = "openai"\nmodel = "n"\n[[model]]\n' + WINDOW.format('"1 moon"'), 'model[1].limits.rate.time_window: "1 moon" is not a duration; write 30, "30s", "5m", "1h" or "1d"'),
    ("[limits]\nsession_wait = true", 'limits.session_wait: true is not a duration; write 30, "30s", "5m", "1h" or "1d"'),
    ('[limits]\nsession_wait = "30"', 'limits.session_wait: "30" is not a duration; write 30, "30s", "5m", "1h" or "1d"'),
    ("[limits]\nsession_wait = -1", "limits.session_wait: -1 is not a duration: it must be 0 or more"),
    ("[limits]\nsession_wait = nan", "limits.session_wait: nan is not a duration: it must be 0 or more"),
    ("[limits]\nhistory_expiration = inf", 'limits.history_expiration: inf is too long a duration; "3650d" is the most'),
    ('[limits]\nhistory_expiration = "4000d"', 'limits.history_expiration: "4000d" is too long a duration; "3650d" is the most'),
    ("[limits]\nhistory_expiration = 0", 'limits.history_expiration: 0 is too short a duration; "1ms" is the least'),
    ('[limits]\nbody_size = "ten"', 'limits.body_size: "ten" is not a size; write a number of bytes, "500kB", "10MB" or "10MiB"'),
    ("[limits]\nbody_size = 0", "limits.body_size: must be at least 1"),
    ("[limits]\nmax_tokens = 1.5", "limits.max_tokens: 1.5 is not a whole number"),
    ("[limits]\nmax_tokens = true", "limits.max_tokens: true is not a whole number"),
    ("[limits]\nrate = { max = 0, time_window = 1 }", "limits.rate.max: must be at least 1"),
    ("[limits]\nrate = { max = 1 }", "limits.rate.time_window: is missing"),
    ("[limits]\nrate = 5", "limits.rate: is not a table"),
    ("[limits]\nretry = { max = -1 }", "limits.retry.max: must be at least 0"),
    ('on_disconnect = "keep"', 'on_disconnect: "keep" is not allowed; write "finish" or "cancel"'),
    ('[routing]\nstrategy = "best"', 'routing.strategy: "best" is not allowed; write "order", "cost", "latency" or "round_robin"'),
    ('[storage]\ntype = "redis"', 'storage.type: "redis" is not allowed; write "embedded", "valkey" or "memory"'),
    ('[storage]\nprefix = "a{b}"', 'storage.prefix: "a{b}" is not a prefix; write letters, digits, - _ . : or /'),
    ("[storage]\nsentinel = { name = 'm', hosts = [] }", "storage.sentinel.hosts: is empty"),
    ("[storage]\nsentinel = { name = 'm', hosts = ['h:x'] }", 'storage.sentinel.hosts[0]: is not a sentinel; write "host" or "host:port"'),
    ("[storage]\nsentinel = { name = 'm', hosts = ['h', 'u:p@h:1'] }", 'storage.sentinel.hosts[1]: is not a sentinel; write "host" or "host:port"'),
    ("[storage]\ncluster = true\nsentinel = { name = 'm', hosts = ['h'] }", "storage.sentinel: watches one server, and storage.cluster says that there are many: write one of the two"),
    ('[storage]\ncluster = true\nurl = "valkey://h/3"', "storage.cluster: has one database, 0, and another is named"),
    ('[storage]\ncluster = true\nurl = "unix:///s"', "storage.url: is a socket of this machine; servers that know of each other have hosts and ports"),
    ("[server]\nport = 65536", "server.port: must be at most 65535"),
    ('[server]\nhide_keys = "yes"', 'server.hide_keys: "yes" is not true or false'),
    ('[server]\ncors_origins = "*"', "server.cors_origins: is not a list"),
    ('[server]\ncors_origins = ["*", "https://a.example/"]', 'server.cors_origins[1]: "https://a.example/" is not an origin; write "https://host" or "https://host:port" and no path, or "*" for any'),
    ('[server]\ncors_origins = ["a.example"]', 'server.cors_origins[0]: "a.example" is not an origin; write "https://host" or "https://host:port" and no path, or "*" for any'),
    ('[server]\ncors_origins = ["http://a.example:70000"]', 'server.cors_origins[0]: "http://a.example:70000" is not an origin; write "https://host" or "https://host:port" and no path, or "*" for any'),
    ('[server]\ncors_origins = ["null"]', 'server.cors_origins[0]: "null" is not an origin; write "https://host" or "https://host:port" and no path, or "*" for any'),
    ('[server]\ncors_origins = ["https://*.a.example"]', 'server.cors_origins[0]: "https://*.a.example" is not an origin; write "https://host" or "https://host:port" and no path, or "*" for any'),
    ('session_header = "x session"', 'session_header: "x session" is not the name of a header'),
    ('models = "openai:x"', "models: is not a list"),
    ('models = [{ provider = "openai" }]', 'models[0]: is not a text of the form "provider:model"; what describes a model goes under [[model]]'),
    ('[[model]]\nprovider = "openai"', "model[0].model: is missing"),
    ("[gateway]\nauth = 'hub'", "gateway.url: is missing"),
    # providers
    ('[providers.lab]\nbase_url = "http://h"', f"providers.lab: is none of the known providers ({', '.join(PROVIDERS)}); a new one needs dialect"),
    ("[providers.lab]", f"providers.lab: is none of the known providers ({', '.join(PROVIDERS)}); a new one needs dialect and base_url"),
    ('[providers."a:b"]', 'providers."a:b": is not a name; write letters, digits, - _ or .'),
    ('[providers.openai]\ndialect = "grpc"', 'providers.openai.dialect: "grpc" is not a dialect; there are anthropic, cohere, deepseek, demo, gemini, mistral, openai'),
    ('[providers.openai]\nbase_url = "ftp://h"', "providers.openai.base_url: is not a URL that begins with http:// or https:// and names a host"),
    ('[providers.openai]\nbase_url = "http://h:99999"', "providers.openai.base_url: is not a URL that begins with http:// or https:// and names a host"),
    ('[providers.openai]\nbase_url = "http://u:p@h"', "providers.openai.base_url: holds a user or a password; a key goes into api_key or headers"),
    ('[providers.openai]\nbase_url = "http://h?key=1"', "providers.openai.base_url: holds a query or a fragment; write the URL without it"),
    ('[providers.openai]\nproxy = "socks5://h"', "providers.openai.proxy: is not a URL that begins with http:// or https:// and names a host"),
    ('[providers.openai]\napi_key = "${NOT_THERE}"', "providers.openai.api_key: the environment variable NOT_THERE is not set"),
    ('[providers.openai]\napi_key = "${OPENAI_API_KEY"', 'providers.openai.api_key: holds "${" but no placeholder; write "${NAME}"'),
    ('[providers.openai]\napi_key = " "', "providers.openai.api_key: is empty"),
    ('[providers.openai]\napi_key = "a\\nb"', "providers.openai.api_key: holds a character that cannot be sent in a header"),
    ('providers.openai = "sk-1"', "providers.openai: is not a table"),
    # models and names
    ('models = ["opnai:gpt-4o"]', 'models[0]: there is no provider "opnai"; did you mean openai:gpt-4o or openai:gpt-4o-mini?'),
    ('models = ["openai:gpt-4o", "gpt-4"]', 'models[1]: no model is called "gpt-4"; write provider:model; did you mean openai:gpt-4o or openai:gpt-4o-mini?'),
    ('models = ["deepseek:deepseek-chat"]', "models[0]: deepseek has no key: set DEEPSEEK_API_KEY, or write api_key under [providers.deepseek]"),
    ('[[model]]\nprovider = "opnai"\nmodel = "m"', 'model[0].provider: there is no provider "opnai"; did you mean "openai"?'),
    ('[[model]]\nprovider = "openai"\nmodel = "m"\n' * 2, "model[1]: describes openai:m a second time"),
    ('[[model]]\nprovider = "openai"\nmodel = "m"\nalias = "a"\n[[model]]\nprovider = "openai"\nmodel = "n"\nalias = "a"', 'model[1].alias: "a" is the alias of openai:m already'),
    ('[[model]]\nprovider = "openai"\nmodel = "m"\nalias = "n"\n[[model]]\nprovider = "openai"\nmodel = "n"', 'model[0].alias: "n" is the name of openai:n already'),
    ('[[model]]\nprovider = "openai"\nmodel = "m"\nalias = "openai:n"', 'model[0].alias: "openai:n" cannot be an alias: "auto" and names with a colon mean something else'),
    ('[[model]]\nprovider = "openai"\nmodel = "m"\nstream = "no"', 'model[0].stream: "no" is not true or false'),
    ('[[model]]\nprovider = "openai"\nmodel = "m"\nbody = "x"', "model[0].body: is not a table"),
    # storage
    ('[storage]\nurl = "http://h"', "storage.url: is not a URL that begins with valkey://, valkeys://, redis://, rediss:// or unix://"),
    ('[storage]\nurl = "valkey://h:x"', "storage.url: is not a URL: its host or port cannot be read"),
    ('[storage]\nurl = "valkey://h/zero"', "storage.url: names a database that is not a number"),
    ('[storage]\nurl = "valkey://h?ssl=1"', "storage.url: has parts that are not known: only ?db=NUMBER may stand behind the question mark"),
    ('[storage]\nurl = "unix://"', "storage.url: names no socket; write unix:///path/to/socket"),
    ('[storage]\nurl = "valkey://h"\nport = 1', "storage.url: says where the store is, and so does port: write one of the two"),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "told"), FAULTS)
def test_a_fault_is_told_with_its_place(lines, toml, told):
    assert lines(toml) == [told]


def test_all_faults_are_listed_once(lines):
    toml = """
        models = ["openai:gpt-4o", "opnai:x", "depseek:y"]
        zzz = 1
        [limits]
        session_wait = "x"
        body_size = "y"
        [providers.openai]
        api_key = "${GONE}"
        [storage]
        prefiks = "x"
        prefix = "${PREFIX}"
        port = "${PORT}"
    """
    told = lines(toml)
    places = sorted(line.split(": ")[0] for line in told)
    expected = ["limits.body_size", "limits.session_wait", "models[1]", "models[2]", "providers.openai.api_key"]
    assert places == sorted([*expected, "storage.port", "storage.prefiks", "storage.prefix", "zzz"])
    assert len(told) == len(set(told))


def test_no_fault_is_told_that_only_follows_from_another(lines):
    """A key that is misspelt is not also a key that is missing."""
    (told,) = lines('models = ["mistral:a"]\n[providers.mistral]\napikey = "k"')
    assert told == 'providers.mistral.apikey: unknown key; did you mean "api_key"?'


def test_an_unknown_key_hides_no_other_fault_of_its_table(lines):
    told = lines('[storage]\nprefiks = "x"\nurl = "http://h"')
    assert [line.split(":")[0] for line in told] == ["storage.prefiks", "storage.url"]


def test_a_message_of_several_faults(load, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load("a1 = 1\nb2 = 1")
    head, *rest = str(caught.value).splitlines()
    assert head == f"{tmp_path / 'warp.toml'}: 2 faults"
    assert [line.split(":")[0] for line in rest] == ["  a1", "  b2"]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"limits": {"history_expiration": 1}}, 'limits.history_expiration: unknown key; did you mean "historyExpiration"? Keys are camelCase in JSON'),
        ({"limits": {"historyExpiration": "1 moon"}}, 'limits.historyExpiration: "1 moon" is not a duration; write 30000, "30s", "5m", "1h" or "1d"'),
        ({"limits": {"requestTimeout": "x"}}, 'limits.requestTimeout: "x" is not a duration; write 30000, "30s", "5m", "1h" or "1d"'),
        ({"models": ["openai:a", {"provider": "openai", "model": "m", "limits": {"maxTokens": 0}}]}, "models[1].limits.maxTokens: must be at least 1"),
        ({"models": [{"provider": "openai"}]}, "models[0].model: is missing"),
        ({"models": [{"provider": 1, "model": "m"}]}, "models[0].provider: is not a text"),
        ({"models": [{"provider": "opnai", "model": "m", "restore": {"timeout": 1}}, 3]}, 'models[1]: is not a text of the form "provider:model"; what describes a model goes under [[model]]'),
        ({"models": [{"provider": "openai", "model": "m", "restore": {"providerExceededError": "x"}}]}, 'models[0].restore.providerExceededError: "x" is not a duration; write 30000, "30s", "5m", "1h" or "1d"'),
        ({"storage": {"type": "valkey", "valkey": {"port": 70_000}}}, "storage.valkey.port: must be at most 65535"),
        ({"storage": {"type": "valkey", "valkey": 3}}, "storage.valkey: unknown key; known are cluster, database, host, keepRunning, owner, password, port, prefix, sentinel, streamExpiration, tls, type, url, username, waitReplicas"),
        ({"providers": {"my_lab": {"dialect": "openai", "base_url": "http://h"}}}, 'providers.my_lab.base_url: unknown key; did you mean "baseUrl"? Keys are camelCase in JSON'),
        ({"ai": {"limits": {"rate": {"max": 1, "timeWindow": "x"}}}}, 'ai.limits.rate.timeWindow: "x" is not a duration; write 30000, "30s", "5m", "1h" or "1d"'),
        ({"ai": {"models": [{"provider": "opnai", "model": "m"}]}}, 'ai.models[0]: there is no provider "opnai"; did you mean openai:m or openai:gpt-4o-mini?'),
        ({"ai": {"models": [{"provider": "openai", "model": "m", "alias": "auto"}]}}, 'ai.models[0].alias: "auto" cannot be an alias: "auto" and names with a colon mean something else'),
        ({"ai": {"providers": {"openai": {"apiKey": "{GONE}"}}}}, "ai.providers.openai.apiKey: the environment variable GONE is not set"),
        ({"ai": {"headerSessionIdName": "a b"}}, 'ai.headerSessionIdName: "a b" is not the name of a header'),
        ({"ai": {}, "server": {"port": "x"}}, 'server.port: "x" is not a whole number'),
        ({"ai": 3}, "ai: unknown key; known are allow, cache, gateway, limits, model, models, onDisconnect, providers, restore, routing, server, sessionHeader, storage"),
    ],
)  # fmt: skip
def test_a_fault_in_json_is_told_where_it_stands(lines, document, told):
    assert told in lines(document)
    assert len(lines(document)) == 1
