"""A gateway with a fake provider behind it, for clients that are installed as their users install them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.provider import FakeProvider, Fault, Reply
from tests.server.alone_process import running_alone
from tests.server.process import running_jupyter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
CLIENTS = HERE.parents[1] / ".venv-clients" / "bin"
"""Made by `make clients`."""
TOML = """
models = ["lab:ok"]
[providers.lab]
dialect = "openai"
base_url = "{base_url}"
[limits]
retry = {{ max = 0 }}
[storage]
type = "memory"
"""
CALLS = Reply(chunks=[], tools=[("weather", {"city": "Rome", "unit": "C"})])
SCRIPTS = {
    "tool": [CALLS],
    "after-tool": [Reply(chunks=["Sunny, then."])],
    "weather": [Reply(chunks=['{"city": "Rome",', ' "unit": "C"}'])],
    "broken": [Reply(chunks=["One ", Fault.CUT]), Reply(chunks=["Other", Fault.CUT])],
    "second-time": [Reply.failing(503), Reply(chunks=["At last."])],
}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeProvider]:
    with FakeProvider.in_thread() as provider:
        for name, entries in SCRIPTS.items():
            provider.script(name, *entries, cycle=name == "broken")
        provider.script("tool-then-text", CALLS, Reply(chunks=["Sunny, then."]), cycle=True)
        for name in ("late", "late-script"):  # later than an impatient client waits
            provider.script(name, Reply(chunks=["Late."], before=[2.5]))
        yield provider


@pytest.fixture(scope="module")
def config(fake: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clients") / "warp.toml"
    path.write_text(TOML.format(base_url=fake.base_url), "utf-8")
    return path


@pytest.fixture(scope="module")
def alone(config: Path) -> Iterator[Any]:
    with running_alone(config.parent / "alone", {}, "--config", str(config)) as warp:
        yield warp


@pytest.fixture(scope="module")
def jupyter(config: Path) -> Iterator[Any]:
    with running_jupyter(config.parent / "jupyter", {"WARP_CONFIG": str(config)}, counted=False) as server:
        yield server


@pytest.fixture(scope="module")
def play() -> Callable[..., dict[str, Any]]:
    """What a script of scenes has seen, by the name of each scene; `url` is the gateway's."""

    def run(script: str, url: str, token: str) -> dict[str, Any]:
        path = HERE / script
        command = node() if path.suffix == ".mjs" else str(client("python"))
        said = ran([command, str(path), f"{url}/v1", token])
        return json.loads(said.splitlines()[-1])

    return run


def node() -> str:
    found = shutil.which("node")
    assert found, "the test of OpenAI's JavaScript SDK needs Node.js on PATH"
    assert (HERE / "node_modules" / "openai").is_dir(), "`make clients` installs OpenAI's JavaScript SDK"
    return found


def client(name: str) -> Path:
    path = CLIENTS / name
    assert path.exists(), f"`make clients` installs the clients that are tested ({path} is not there)"
    return path


def ran(command: list[str], within: float = 150, **env: str) -> str:
    """What a command prints; its environment has none of this process's Python."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    said = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=within, check=False, env={**plain, **env}
    )
    assert said.returncode == 0, said.stderr[-3000:]
    return said.stdout
