"""Where the configuration is found, and what holds without one."""

from pathlib import Path

import pytest

from tests.gateway.config.values import KEYS, MINI, OPENAI
from warp_magics.gateway.config import load_config
from warp_magics.gateway.errors import ConfigError
from warp_magics.gateway.types import Model

# -- where it is found -----------------------------------------------------------------------------


def test_path_wins_over_variable_over_folders(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / name / "warp.toml").write_text(f'session_header = "x-{name}"')
    folders = [tmp_path / "d", tmp_path / "c", tmp_path / "b"]
    env = {"WARP_CONFIG": str(tmp_path / "b" / "warp.toml")}
    assert load_config(path=tmp_path / "a" / "warp.toml", folders=folders, env=env).session_header == "x-a"
    assert load_config(folders=folders, env=env).session_header == "x-b"
    found = load_config(folders=folders, env={})
    assert (found.session_header, found.source) == ("x-c", tmp_path / "c" / "warp.toml")
    assert load_config(folders=[tmp_path / "d"], env={}).source is None


def test_the_working_folder_is_not_looked_in(tmp_path, monkeypatch):
    (tmp_path / "warp.toml").write_text("nonsense =")
    monkeypatch.chdir(tmp_path)
    assert load_config(env={}).source is None


def test_a_relative_path_outlives_a_change_of_folder(tmp_path, monkeypatch):
    (tmp_path / "warp.toml").write_text('server.token_file = "token"')
    monkeypatch.chdir(tmp_path)
    for found in ({"path": Path("warp.toml")}, {"folders": [Path()]}, {"env": {"WARP_CONFIG": "warp.toml"}}):
        config = load_config(**({"env": {}} | found))
        assert (config.source, config.server.token_file) == (tmp_path / "warp.toml", str(tmp_path / "token"))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone.toml", None, "cannot be read: No such file or directory"),
        ("dir.toml", ..., "cannot be read: Is a directory"),
        ("bad.toml", b'models = [\n"a:b",\nx', r"is not TOML: .*line 3, column 1"),
        ("twice.toml", b"[server]\n[server]\n", r"is not TOML: .*line 2"),
        ("bad.json", b'{\n"models": [}', r"line 2, column 12: "),
        ("list.json", b"[]", "does not hold a JSON object"),
        ("latin.toml", b'session_header = "\xe4"', "is not UTF-8: byte 18"),
        ("deep.json", b'{"a":' + b"[" * 100_000, "a number is too long or tables are nested too deep"),
        ("long.json", b'{"a":' + b"9" * 9999 + b"}", "a number is too long or tables are nested too deep"),
    ],
)
def test_unreadable_files(tmp_path, name, content, told):
    path = tmp_path / name
    if content is ...:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=told) as caught:
        load_config(env={"WARP_CONFIG": str(path)})
    assert str(path) in caught.value.message
    assert caught.value.__context__ is None


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "warp.toml").write_bytes(b'\xef\xbb\xbfsession_header = "x-bom"\r\n')
    assert load_config(folders=[tmp_path], env={}).session_header == "x-bom"


# -- no file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "chain"),
    [
        ({}, []),
        ({"OPENAI_API_KEY": "  "}, []),
        (OPENAI, ["openai:gpt-4o-mini"]),
        (KEYS, ["openai:gpt-4o-mini"]),
        ({"DEEPSEEK_API_KEY": "k"}, ["deepseek:deepseek-chat"]),
        ({"MISTRAL_API_KEY": "k", "DEEPSEEK_API_KEY": "k"}, ["deepseek:deepseek-chat"]),
        ({"MISTRAL_API_KEY": "k"}, []),
        ({"OLLAMA_BASE_URL": "http://127.0.0.1:1/v1"}, []),
    ],
)
def test_without_a_file_the_first_key_decides(env, chain):
    config = load_config(env=env)
    assert [str(model) for model in config.chain] == chain
    assert config.described == config.chain
    assert config.demo is (not chain)
    assert (config.source, config.server.hide_keys) == (None, False)


def test_a_key_without_a_model_is_told():
    assert load_config(env={"MISTRAL_API_KEY": "k"}).warnings == (
        'mistral has a key but no default model: name one, "mistral:MODEL"',
    )


def test_other_keys_stay_nameable():
    config = load_config(env=KEYS | {"GROQ_API_KEY": "k"})
    assert config.resolve("deepseek:deepseek-chat") == Model("deepseek", "deepseek-chat")
    assert config.resolve("groq:a:b") == Model("groq", "a:b")


def test_demo_is_asked_for():
    config = load_config(env={})
    demo = config.with_demo()
    assert (config.chain, demo.chain, demo.described) == ((), (Model("demo", "ok"),), (Model("demo", "ok"),))
    assert config.resolve("demo:slow") == Model("demo", "slow")


def test_a_file_without_models_is_told_which_one_answers(load):
    config = load("[cache]\nttl = 5\n")
    assert (config.chain, config.server.hide_keys) == ((MINI,), True)
    assert config.warnings == ("models is not set: openai:gpt-4o-mini is the chain, because its provider has a key",)


def test_the_default_model_respects_allow(load):
    assert load('allow = ["deepseek:*"]', KEYS).chain == (Model("deepseek", "deepseek-chat"),)


def test_base_urls_of_the_environment():
    config = load_config(env=OPENAI | {"OPENAI_BASE_URL": "http://proxy/v1/", "OLLAMA_BASE_URL": "http://box:1/v1"})
    assert config.providers["openai"].base_url == "http://proxy/v1"
    assert config.providers["ollama"].base_url == "http://box:1/v1"
    with pytest.raises(ConfigError, match=r"^the environment: \$OPENAI_BASE_URL: is not a URL that begins with http"):
        load_config(env={"OPENAI_BASE_URL": "localhost:8080"})
