"""Keys and secrets: read, and never shown."""

import json
import os
import pickle
import traceback
from copy import deepcopy

import pytest
from pydantic import ValidationError

from tests.gateway.config.values import OPENAI, PLANTED, PLANTS
from warp_magics.gateway.config import Secret
from warp_magics.gateway.config.schema import File
from warp_magics.gateway.errors import ConfigError


def test_a_literal_key_is_accepted_with_a_warning(load):
    config = load('models = ["openai:x"]\n[providers.openai]\napi_key = "sk-literal"', {})
    assert config.providers["openai"].api_key.reveal() == "sk-literal"
    (warning,) = config.warnings
    assert warning.startswith("providers.openai.api_key: the key itself stands in the file; ")
    assert "sk-literal" not in warning


def test_the_files_key_wins_over_the_environments(load):
    config = load('models = ["openai:x"]\n[providers.openai]\napi_key = "${OTHER}"', OPENAI | {"OTHER": " other\n"})
    assert config.providers["openai"].api_key.reveal() == "other"
    assert config.warnings == ()


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_key_file(load, tmp_path):
    toml = 'models = ["openai:x"]\n[providers.openai]\napi_key_file = "openai.key"'
    file = tmp_path / "openai.key"
    file.write_text(" sk-from-file\n")
    file.chmod(0o600)
    config = load(toml, {})
    assert (config.providers["openai"].api_key.reveal(), config.warnings) == ("sk-from-file", ())
    for mode in (0o640, 0o604):
        file.chmod(mode)
        assert load(toml, {}).warnings == (f"{file} can be read by others: chmod 600 it",)


def test_a_key_file_that_is_none(lines, tmp_path):
    toml = 'models = ["openai:x"]\n[providers.openai]\napi_key_file = "k"'
    file = tmp_path / "k"
    assert f"providers.openai.api_key_file: {file} cannot be read: No such file or directory" in lines(toml, {})
    for content in (b"", b"a\nb", b"\xff"):
        file.write_bytes(content)
        assert any(line.startswith(f"providers.openai.api_key_file: {file} ") for line in lines(toml, {}))
    told = lines(f'{toml}\napi_key = "k"', {})
    assert "providers.openai.api_key_file: stands beside api_key: write one of the two" in told


def test_paths_begin_at_the_files_folder(load, lines, tmp_path):
    (tmp_path / "ca.pem").write_text("x")
    config = load('models = ["openai:x"]\nproviders.openai.verify = "ca.pem"\nserver.token_file = "t/token"')
    assert config.providers["openai"].verify == str(tmp_path / "ca.pem")
    assert config.server.token_file == str(tmp_path / "t" / "token")
    told = f"{tmp_path / 'no.pem'} is no file; write the path of a file of CA certificates"
    assert lines('providers.openai.verify = "no.pem"') == [f"providers.openai.verify: {told}"]


@pytest.fixture
def key_file(tmp_path):
    (tmp_path / "mistral.key").write_text("PLANTED-file")
    (tmp_path / "mistral.key").chmod(0o644)


def test_no_secret_is_ever_shown(load, key_file):
    config = load(PLANTED, PLANTS)
    openai = config.providers["openai"]
    assert openai.revealed_headers() == {"x-key": "PLANTED-header", "x-other": "PLANTED-env-header"}
    assert openai.secrets() == ("PLANTED-literal-key", "PLANTED-env-header", "PLANTED-header", "PLANTED-proxy")
    assert config.providers["mistral"].api_key.reveal() == "PLANTED-file"
    assert config.storage.address() == "redis://PLANTED-user:PLANTED-password@h:1/0"
    views = [
        config,
        config.with_demo(),
        config.providers,
        config.storage,
        config.storage.parts,
        *config.providers.values(),
    ]
    views += [config.public(), config.warnings, config.models, openai.headers, openai.api_key]
    views += [config.settings(model) for model in config.described]
    for view in views:
        assert "PLANTED" not in f"{view!r} {view!s} {view}"
    assert len(config.warnings) == 2
    assert json.loads(json.dumps(config.public())) == config.public()
    assert config.public()["providers"]["openai"]["api_key"] == "***"
    assert config.public()["providers"]["openai"]["headers"] == {"x-key": "***", "x-other": "***"}


def test_the_storage_password_in_parts_is_not_shown(load):
    toml = '[storage]\nhost = "h"\nusername = "PLANTED-u"\npassword = "PLANTED-p"\n'
    config = load(toml + 'sentinel = { name = "m", hosts = ["h:1"], username = "PLANTED-s", password = "PLANTED-t" }')
    assert "PLANTED-p" in config.storage.address()
    assert "PLANTED" not in f"{config!r} {config.public()}"


WRONG = [
    "zzz = 1\n" + PLANTED,
    PLANTED.replace('"PLANTED-literal-key"', '["PLANTED-literal-key"]'),
    PLANTED.replace('"PLANTED-literal-key"', '{ key = "PLANTED-literal-key" }'),
    PLANTED.replace("PLANTED-literal-key", "PLANTED-literal\\nkey"),
    PLANTED.replace('"PLANTED-header"', '["PLANTED-header"]'),
    PLANTED.replace('{ "x-key"', '{ "x key"'),
    PLANTED.replace("http://u:PLANTED", "socks://u:PLANTED"),
    PLANTED.replace("http://h", "http://u:PLANTED-base@h"),
    PLANTED.replace("valkey://PLANTED", "amqp://PLANTED"),
    PLANTED.replace("@h:1/0", "@h:PLANTED-port/0"),
    PLANTED.replace("@h:1/0", "@h:1/PLANTED-database"),
    PLANTED.replace("valkey://PLANTED-user:PLANTED-password@h:1/0", "PLANTED-all"),
    PLANTED.replace('url = "valkey://', 'host = "x"\nurl = "valkey://'),
    PLANTED.replace("api_key = ", "apikey = "),
    PLANTED.replace('"openai:a"', '"${PLANT_KEY}"'),
    PLANTED.replace('"openai:a"', '"x:${PLANT_KEY}"'),
    'session_header = "x ${PLANT_KEY}"\n' + PLANTED,
    'on_disconnect = "PLANTED-env"\n' + PLANTED,
    'on_disconnect = "PLANTED-literal-key"\n' + PLANTED,
    'providers = "PLANTED-x"',
    'providers.openai = "PLANTED-x"',
    'providers.openai.headers = "PLANTED-x"',
    'providers.openai.headers = { "x key" = "PLANTED" }',
    'storage = "PLANTED-x"',
    'storage.url = ["PLANTED-x"]',
    '[[model]]\nprovider = "${PLANT_KEY}"\nmodel = "m"',
    PLANTED.replace('"PLANTED-literal-key"', '"PLANTED-literal-key'),
    PLANTED.replace("mistral.key", "PLANTED-header"),
]


@pytest.mark.parametrize("toml", WRONG)
def test_no_fault_shows_a_secret(load, key_file, toml):
    with pytest.raises(ConfigError) as caught:
        load(toml, PLANTS)
    error = caught.value
    told = "".join(traceback.format_exception(error, chain=True))
    assert "PLANTED" not in f"{error!r} {error!s} {error.message} {error.details} {told}"
    assert error.__context__ is None
    assert error.__cause__ is None


def test_pydantics_own_words_show_no_secret():
    with pytest.raises(ValidationError) as caught:
        File.model_validate({"providers": {"openai": {"api_key": ["PLANTED"]}}}, by_name=True)
    assert "PLANTED" not in str(caught.value)


def test_a_secret_is_shown_to_nobody():
    secret = Secret("PLANTED")
    assert (repr(secret), str(secret), f"{secret:>10}", f"{secret}") == ("***",) * 4
    assert deepcopy(secret) is secret
    assert (secret == Secret("PLANTED"), secret == Secret("x"), secret == "PLANTED", bool(Secret(""))) == (
        True,
        False,
        False,
        False,
    )
    assert len({secret, Secret("PLANTED")}) == 1
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert not hasattr(secret, "__dict__")
