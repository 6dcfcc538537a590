"""Files written and loaded."""

import json

import pytest

from tests.gateway.config.values import OPENAI
from warp_magics.gateway.config import load_config
from warp_magics.gateway.errors import ConfigError


@pytest.fixture
def load(tmp_path):
    """Writes a file and loads it; a dict becomes JSON."""

    def loaded(content="", env=OPENAI, name=None):
        path = tmp_path / (name or ("warp.json" if isinstance(content, dict) else "warp.toml"))
        path.write_text(json.dumps(content) if isinstance(content, dict) else content, "utf-8")
        return load_config(path=path, env=env)

    return loaded


@pytest.fixture
def lines(load):
    """The faults of a file, without its path."""

    def told(content, env=OPENAI):
        with pytest.raises(ConfigError) as caught:
            load(content, env)
        assert caught.value.message.startswith(caught.value.details["file"] + ": ")
        for line in caught.value.details["faults"]:
            assert line in caught.value.message
        return caught.value.details["faults"]

    return told
