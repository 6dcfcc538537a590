"""docs/rest-api.md, run from top to bottom: each command answers what the page says, and no path is left out."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_server_ext.rest.routes import ROUTES, path_of
from tests.server.alone_process import running_alone
from tests.server.process import running_jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PAGE = (Path(__file__).parents[2] / "docs" / "rest-api.md").read_text("utf-8")
TOML = '{}\n[storage]\ntype = "memory"\n'
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ANY = "…"
# Keeps what the command's last curl was told, and hands it on as curl would.
CURL = r"""
set -u
curl() {
  if [ "$BASHPID" = "$$" ]; then command curl -sS -D head -o body "$@"; cat body; else command curl -sS "$@"; fi
}
"""


@dataclass(frozen=True)
class Shown:
    """A command, and the answer that the page shows under it."""

    command: str
    status: int
    headers: dict[str, str]
    body: str


def shown() -> list[Shown]:
    """The commands that have an answer, in order; those without one set the scene or are another's to tell."""
    found, command = [], ""
    for kind, text in BLOCK.findall(PAGE):
        if kind == "bash":
            command = text
        elif kind == "http":
            head, _, body = text.partition("\n\n")
            first, *lines = head.strip().split("\n")
            found.append(
                Shown(command, int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body.strip())
            )
    return found


def alike(said: object, told: object) -> bool:
    """Whether `said` is what the page has `told`: at least the fields shown, `…` for anything."""
    match told:
        case str() if ANY in told:
            return told == ANY or (isinstance(said, str) and glob(told).fullmatch(said) is not None)
        case dict():
            return isinstance(said, dict) and all(name in said and alike(said[name], told[name]) for name in told)
        case list():
            some = told[:-1] if told and told[-1] == ANY else told
            long_enough = isinstance(said, list) and (
                len(said) == len(told) if some is told else len(said) >= len(some)
            )
            return long_enough and all(map(alike, said, some))
    return type(said) is type(told) and said == told


def glob(text: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, text.split(ANY))), re.DOTALL)


def run(one: Shown, folder: Path, url: str, token: str) -> tuple[int, dict[str, str], str]:
    """Run a command; what its last curl was answered."""
    for name in ("head", "body"):
        (folder / name).write_bytes(b"")
    env = os.environ | {"WARP": url, "TOKEN": token}
    ran = subprocess.run(
        ["bash", "-c", CURL + one.command], cwd=folder, env=env, capture_output=True, timeout=60, check=False
    )
    head = (folder / "head").read_text("latin-1").strip()
    assert head, f"{one.command}\n{ran.stderr.decode()}"
    first, *lines = head.split("\n")
    fields = [line.partition(":") for line in lines]
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return int(first.split()[1]), headers, (folder / "body").read_text("utf-8")


def check(folder: Path, url: str, token: str) -> None:
    folder.mkdir()
    for one in shown():
        status, headers, body = run(one, folder, url, token)
        assert status == one.status, f"{one.command}\n{body}"
        assert headers.items() >= one.headers.items(), f"{one.command}\n{headers}"
        if one.body.startswith("{"):
            assert alike(json.loads(body), json.loads(one.body)), f"{one.command}\n{body}\n{one.body}"
        elif one.body:
            text = re.sub(r"\n\s*…\s*\n", "…", one.body)
            assert glob(f"{text}…").fullmatch(body), f"{one.command}\n{body}\n{one.body}"
        else:
            assert not body


@pytest.fixture
def config(tmp_path):
    """What the page has its reader write, with a store that ends with the test."""
    (text,) = [text for kind, text in BLOCK.findall(PAGE) if kind == "toml"]
    path = tmp_path / "warp.toml"
    path.write_text(TOML.format(text), "utf-8")
    return path


def test_it_is_true_of_the_gateway_alone(config, tmp_path):
    with running_alone(tmp_path / "one", {}, "--config", str(config)) as alone:
        check(tmp_path / "asked", alone.url, alone.token)


def test_it_is_true_of_a_jupyter_server(config, tmp_path):
    with running_jupyter(tmp_path / "one", {"WARP_CONFIG": str(config)}) as server:
        check(tmp_path / "asked", server.warp, server.token)


def test_it_shows_every_verb_of_every_path():
    commands = "\n".join(text.replace("\\\n", " ") for kind, text in BLOCK.findall(PAGE) if kind == "bash")
    for route in ROUTES:
        path = re.escape(path_of(route.pattern)).replace(r"\{", "{").replace(r"\}", "}")
        url = re.escape("$WARP/") + re.sub(r"{\w+}", '[^/"?]+', path) + r'["?]'
        lines = [line for line in commands.split("\n") if re.search(url, line)]
        asks = {verb(line) for line in lines}
        assert route.verb in asks, f"{route.verb} {path_of(route.pattern)} is not on the page"


def verb(command: str) -> str:
    said = re.search(r" -X (\w+)", command)
    return said[1] if said else "POST" if " -d " in command else "GET"


def test_what_the_page_shows_is_held_against_what_is_said():
    assert alike({"a": 1, "b": [1, 2]}, {"a": 1})
    assert alike(["x", "y"], ["x", ANY])
    assert alike({"a": "Hello there"}, {"a": "Hello…"})
    assert not alike({"a": 1}, {"a": 2})
    assert not alike({"a": 1}, {"b": ANY})
    assert not alike(["x", "y"], ["x"])
    assert not alike({"a": True}, {"a": 1})
