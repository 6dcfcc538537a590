"""Which variables a server takes out of the environment that its kernels inherit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from warp_magics.gateway import PROVIDERS, errors, hide_keys, load_config

KEYS = sorted({variable for row in PROVIDERS.values() for variable in row.keys})
PLANTED = "planted-8c1f2e"
FILE = """
models = ["openai:x", "lab:y"]
[providers.lab]
dialect = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key = "${LAB_SECRET}"
headers = { "x-team" = "team ${TEAM_SECRET} of ${HOME}" }
[storage]
url = "valkey://u:${STORE_PASSWORD}@127.0.0.1:6379/0"
type = "valkey"
"""


@pytest.fixture
def env():
    named = ("LAB_SECRET", "TEAM_SECRET", "STORE_PASSWORD")
    plain = {"PATH": "/bin", "HOME": "/home/x", "OPENAI_BASE_URL": "http://127.0.0.1:2/v1", "MINE": "stays"}
    return dict.fromkeys((*KEYS, *named), PLANTED) | plain


def write(folder, text, name="warp.toml"):
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_without_a_file_nothing_is_taken(env, tmp_path):
    before = dict(env)
    assert hide_keys(env, None, [tmp_path]) is None
    assert env == before


def test_all_keys_and_what_the_file_names_are_taken_and_known_to_the_configuration(env, tmp_path):
    path = write(tmp_path, FILE)
    hidden = hide_keys(env, path, [])
    assert sorted(env) == ["HOME", "MINE", "OPENAI_BASE_URL", "PATH"]
    assert hidden.taken == tuple(sorted((*KEYS, "LAB_SECRET", "STORE_PASSWORD", "TEAM_SECRET")))
    config = load_config(path=path, env=hidden)
    assert config.providers["lab"].api_key.reveal() == PLANTED
    assert config.providers["openai"].api_key.reveal() == PLANTED
    assert config.server.hide_keys
    assert PLANTED not in repr(hidden) + str(hidden) + f"{hidden}"


def test_what_is_set_later_is_seen_and_wins(env, tmp_path):
    hidden = hide_keys(env, write(tmp_path, FILE), [])
    env |= {"LAB_SECRET": "newer", "LATER": "1"}
    assert (hidden["LAB_SECRET"], hidden["LATER"], hidden["TEAM_SECRET"]) == ("newer", "1", PLANTED)
    assert {"LAB_SECRET", "LATER", "TEAM_SECRET"} <= set(hidden)
    assert len(hidden) == len(list(hidden))
    with pytest.raises(KeyError):
        hidden["NEVER"]


@pytest.mark.parametrize(
    ("text", "name", "hides"),
    [
        ("", "warp.toml", True),
        ("[server]\nhide_keys = true", "warp.toml", True),
        ("[server]\nhide_keys = false", "warp.toml", False),
        ("server.hide_keys = false", "warp.toml", False),
        ("server = { hide_keys = false }", "warp.toml", False),
        ('[server]\nhide_keys = "${HIDE}"', "warp.toml", False),
        ('[server]\nhide_keys = "${MINE}"', "warp.toml", True),
        ("# hide_keys = false", "warp.toml", True),
        ("hide_keys = false", "warp.toml", True),  # at a place where it means nothing
        ("[server\nhide_keys = false", "warp.toml", False),  # malformed, and plain enough
        ("[server\n# hide_keys = false", "warp.toml", True),
        ("[server\nhide_keys = true", "warp.toml", True),
        ("models = [", "warp.toml", True),
        ("\x00\xff", "warp.toml", True),
        ('{"server": {"hideKeys": false}}', "warp.json", False),
        ('{"server": {"hideKeys": "{HIDE}"}}', "warp.json", False),
        ('{"server": {"hideKeys": true}}', "warp.json", True),
        ('{"server": {"hideKeys": false}', "warp.json", False),
        ('{"ai": {"server": {"hideKeys": false}}, "server": {"port": "{PORT}"}}', "platformatic.json", False),
        ('{"ai": {"models": []}, "server": {"hideKeys": false}}', "platformatic.json", True),
        ("[]", "warp.json", True),
        ("null", "warp.json", True),
    ],
)
def test_whether_keys_are_hidden(env, tmp_path, text, name, hides):
    env["HIDE"] = "false"
    assert (hide_keys(env, write(tmp_path, text, name), []) is not None) is hides
    assert ("OPENAI_API_KEY" not in env) is hides


def test_a_file_that_is_not_there_hides(env, tmp_path):
    env["WARP_CONFIG"] = str(tmp_path / "gone.toml")
    assert hide_keys(env, None, []).taken == tuple(KEYS)
    with pytest.raises(errors.ConfigError):
        load_config(env=env)


def test_the_environments_file_and_those_of_the_folders_are_found(env, tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    write(folder, FILE)
    assert "LAB_SECRET" in hide_keys(dict(env), None, [tmp_path, folder]).taken
    assert "LAB_SECRET" in hide_keys(env | {"WARP_CONFIG": str(folder / "warp.toml")}, None, []).taken


def test_in_json_the_bare_braces_count_too(env, tmp_path):
    text = json.dumps({"providers": {"openai": {"apiKey": "{LAB_SECRET}"}}, "x": "${TEAM_SECRET}"})
    taken = hide_keys(dict(env), write(tmp_path, text, "platformatic.json"), []).taken
    assert {"LAB_SECRET", "TEAM_SECRET"} <= set(taken)
    assert "LAB_SECRET" not in hide_keys(env, write(tmp_path, 'x = "{LAB_SECRET}"'), []).taken


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LC_ALL",
        "XDG_CONFIG_HOME",
        "JUPYTER_DATA_DIR",
        "JUPYTERHUB_USER",
        "PYTHONPATH",
        "WARP_CONFIG",
        "https_proxy",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
    ],
)
def test_what_kernels_need_stays_although_it_is_named(env, tmp_path, name):
    env[name] = "needed"
    assert name not in hide_keys(env, write(tmp_path, f'x = "${{{name}}}"'), []).taken
    assert env[name] == "needed"


def test_it_loads_nothing_that_a_servers_start_would_notice(tmp_path):
    write(tmp_path, FILE)
    code = (
        "import os, sys, pathlib\nfrom warp_magics.gateway import hide_keys\n"
        f"hide_keys(os.environ, None, [pathlib.Path({str(tmp_path)!r})])\n"
        "print(sorted({'pydantic', 'httpx', 'aiohttp', 'redis', 'orjson', 'IPython'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
