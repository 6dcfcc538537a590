"""docs/add-a-provider.md, followed: its files are written, its packages installed, its servers asked, from outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fakes.cage import Cage
from warp_magics.gateway import Conversation, Message, Model
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.providers import DIALECTS

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "tests/example_package"
PAGE = (ROOT / "docs/add-a-provider.md").read_text("utf-8")
ASK = """
import json, sys
from warp_magics import Warp
from warp_magics.gateway import errors
said = []
for model in json.loads(sys.argv[1]):
    try:
        reply = Warp().ask("Hello", model=model)
        said.append({"text": reply.text, "model": reply.model, "warnings": reply.warnings})
    except errors.WarpError as error:
        said.append({"code": error.code, "message": error.message, "retry_after": error.retry_after})
print(json.dumps(said))
"""
NETWORK = {
    name: value
    for name, value in os.environ.items()
    if name.upper().endswith(("_PROXY", "_CA_BUNDLE", "_CERT_FILE")) or name.startswith("PIP_")
}
"""What pip may need to find the build tool; of no use to what is asked on this machine."""
BROKEN = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "warp-magics-broken"
version = "0.1.0"

[project.entry-points."warp_magics.providers"]
broken = "warp_magics_broken.raises:ROW"
demo = "warp_magics_broken.rows:demo"
later = "warp_magics_broken.rows:later"
misnamed = "warp_magics_broken.rows:demo"

[project.entry-points."warp_magics.dialects"]
broken = "warp_magics_broken.raises:Dialect"
openai = "warp_magics_broken.raises:Dialect"
""",
    "warp_magics_broken/__init__.py": "",
    "warp_magics_broken/raises.py": 'raise RuntimeError("out of order")\n',
    "warp_magics_broken/rows.py": """
from warp_magics.gateway import Provider

def demo():
    return Provider("demo", "openai", "http://127.0.0.1:1", local=True)

def later():
    return Provider("later", "demo", "http://later.invalid", local=True)
""",
}
"""A package that cannot be used, but for one row: what it has of a built-in name is never asked."""


@dataclass(frozen=True)
class Block:
    """A block of code of the page; `path` is the file that it is, empty for what is run."""

    path: str
    language: str
    text: str


BLOCKS = [
    Block(*found)
    for found in re.findall(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]
TABLES = [block.text for block in BLOCKS if block.path == "warp.toml"]
INSTALLS = [block.text for block in BLOCKS if block.text.startswith("pip install")]


# -- the page --------------------------------------------------------------------------------------


def test_every_block_of_the_page_is_known_here():
    assert len(BLOCKS) == PAGE.count("\n```") / 2
    three_lines = ["warp.toml", "python", "warp.toml"]
    row = ["warp-magics-acme/pyproject.toml", "warp-magics-acme/warp_magics_acme.py", "bash"]
    example = [f"warp-magics-example/{name}" for name in ("pyproject.toml", "warp_magics_example.py", "test_parrot.py")]
    known = [*three_lines, *row, *example, "bash", "bash", "warp.toml"]
    assert [block.path or block.language for block in BLOCKS] == known


def test_the_example_is_the_pages():
    files = {path.name: path.read_text("utf-8") for path in EXAMPLE.iterdir() if path.is_file()}
    assert files == {
        Path(block.path).name: block.text for block in BLOCKS if block.path.startswith("warp-magics-example/")
    }


@pytest.mark.parametrize("name", sorted(DIALECTS - {"demo"}))
def test_every_dialect_is_asked_as_the_page_says(name):
    section = PAGE.partition("\n## The dialects\n")[2].partition("\n## ")[0]
    where, _ = re.findall(rf"^\| `{name}` \|.*", section, re.MULTILINE)
    asked = Conversation(Model("any", "MODEL"), (Message("user", "Hello"),))
    request = dialect(name).encode(asked, "the-key")
    assert f"`{request.path}`" in where
    (header,) = [header for header, value in request.headers.items() if "the-key" in value]
    assert f"`{header}`" in where


# -- an environment that has what the page says ----------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A folder with the page's files, an environment where its packages are, and what it said to the installing."""

    folder: Path
    python: Path
    env: dict[str, str] = field(repr=False)
    said: list[str]

    def run(self, *command: object, status: int = 0, **env: str) -> str:
        done = subprocess.run(
            [*map(str, command)],
            env=self.env | env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def ask(self, *models: str | None, toml: str = "", **env: str) -> list[dict]:
        """What came of a prompt to each of `models`, None for the configured chain."""
        return json.loads(self.told(*models, toml=toml, **env).splitlines()[-1])

    def told(self, *models: str | None, toml: str = "", **env: str) -> str:
        """All that a process says which asks each of `models`."""
        return self.run(self.python, "-c", ASK, json.dumps(models), **self.configured(toml), **env)

    def configured(self, toml: str) -> dict[str, str]:
        path = self.folder / "warp.toml"
        path.write_text(f'{toml}\n[storage]\ntype = "memory"\n[limits.retry]\nmax = 0\n', "utf-8")
        return {"WARP_CONFIG": str(path)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Nothing of this process's environment but its libraries: not its warp-magics, which is built and installed."""
    folder = tmp_path_factory.mktemp("page")
    for block in BLOCKS:
        if block.path and block.path != "warp.toml":
            (folder / block.path).parent.mkdir(exist_ok=True)
            (folder / block.path).write_text(block.text, "utf-8")
    venv.create(folder / "venv", symlinks=True)
    python, commands = folder / "venv/bin/python", folder / "venv/bin"
    site = python.parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    for tool in ("pip", "pytest"):
        (commands / tool).write_text(f'#!/bin/sh\nexec "{python}" -m {tool} "$@"\n', "utf-8")
        (commands / tool).chmod(0o755)
    runtime = tempfile.mkdtemp(prefix="warp-page-")  # short: a socket lies in it
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    env = kept | {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "JUPYTER_CONFIG_DIR": str(folder / "home/config"),
        "WARP_DATA_DIR": str(folder / "data"),
        "WARP_RUN_DIR": runtime,
    }
    place = Place(folder, python, env, [])
    place.run("pip", "install", "--quiet", "--no-deps", ROOT, **NETWORK)
    place.said.extend(place.run("bash", "-euc", script, **NETWORK) for script in INSTALLS)
    yield place
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture(scope="module")
def broken(place):
    """What the environment of somebody who has BROKEN too holds."""
    source, target = place.folder / "broken", place.folder / "broken-installed"
    for name, text in BROKEN.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, "utf-8")
    place.run("pip", "install", "--quiet", "--no-deps", "--target", target, source, **NETWORK)
    return {"PYTHONPATH": str(target)}


@pytest.fixture
def cage():
    with Cage.open() as server:
        yield server


@pytest.fixture
def parrot(cage):
    """What the environment of somebody with a key for it holds."""
    return {"PARROT_API_KEY": "seeds-and-nuts", "PARROT_BASE_URL": cage.url}


def only(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


# -- three lines -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_three_lines_make_a_server_answer(place, fake):
    toml = only(TABLES[0], "http://127.0.0.1:8080/v1", fake.base_url)
    (script,) = [block.text for block in BLOCKS if block.language == "python" and not block.path]
    said = place.run(place.python, "-c", script, **place.configured(toml))
    assert said == "You said 'Hello' in message 1.\n"
    assert [call.body["stream"] for call in fake.calls("llama3")] == [True]


@pytest.mark.slow
def test_all_that_a_table_can_say_is_done(place, fake):
    authorities = ssl.create_default_context().get_ca_certs(binary_form=True)
    (place.folder / "lab-ca.pem").write_text("".join(map(ssl.DER_cert_to_PEM_cert, authorities)), "utf-8")
    toml = only(TABLES[1], "http://proxy.lab.example:3128", fake.url)  # what is asked there is asked for elsewhere
    streamed, whole = place.ask(None, "lab:qwen3", toml=toml, LAB_API_KEY="lab-key-1234")
    assert (streamed["model"], whole["model"]) == ("lab:llama3", "lab:qwen3")
    assert streamed["text"] == whole["text"] == "You said 'Hello' in message 1."
    (first,), (second,) = fake.calls("llama3"), fake.calls("qwen3")
    for call in (first, second):
        assert call.key == "lab-key-1234"
        assert (call.headers["x-team"], call.headers["host"]) == ("birds", "models.lab.example")
    assert first.body["stream"]
    assert "reasoning_effort" not in first.body
    assert not second.body.get("stream")
    assert second.body["reasoning_effort"] == "high"
    assert second.body["chat_template_kwargs"] == {"enable_thinking": True}


# -- packages --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_packages_row_answers_where_its_key_is_the_first(place, fake):
    env = {"ACME_API_KEY": "acme-key-1234", "ACME_BASE_URL": fake.base_url, "PARROT_API_KEY": "goes-after-it"}
    said = place.run(place.python, "-c", 'from warp_magics import Warp; print(Warp().ask("Hello").model)', **env)
    assert said == "acme:acme-large\n"
    assert [call.key for call in fake.calls("acme-large")] == ["acme-key-1234"]


@pytest.mark.slow
def test_a_packages_row_is_told_of_by_name_where_its_key_is_missing(place):
    (said,) = place.ask("acme:acme-large")
    assert said["message"] == "acme has no key: set ACME_API_KEY, or write api_key under [providers.acme]"


@pytest.mark.slow
def test_the_examples_own_tests_pass_where_it_is_installed(place):
    assert re.search(r"\b15 passed\b", place.said[-1])


@pytest.mark.slow
def test_a_packages_dialect_answers_where_its_key_is_the_only_one(place, cage):
    (script,) = [block.text for block in BLOCKS if block.text.startswith("export")]
    assert place.run("bash", "-euc", script, PARROT_BASE_URL=cage.url) == "Parrot says Hello\n"
    (asked,) = cage.asked
    assert (asked["path"], asked["key"], asked["stream"]) == ("/talk", "a-key", True)


@pytest.mark.slow
def test_a_packages_dialect_streams_and_reads_whole_answers(place, cage, parrot):
    toml = '[[model]]\nprovider = "parrot"\nmodel = "deaf"\nstream = false\nbody = { volume = 11 }'
    answers = place.ask("parrot:grey", "parrot:deaf", "parrot:whole", toml=toml, **parrot)
    assert [answer["text"] for answer in answers] == ["Parrot says Hello"] * 3
    assert [(one["stream"], one.get("volume")) for one in cage.asked] == [(True, None), (False, 11), (True, None)]


@pytest.mark.slow
def test_what_goes_wrong_on_a_packages_wire_is_told_as_it_is(place, parrot):
    busy, cut, tired = place.ask("parrot:busy", "parrot:cut", "parrot:tired", **parrot)
    assert (busy["code"], busy["retry_after"]) == ("PROVIDER_RATE_LIMIT_ERROR", 7)
    assert cut["code"] == "PROVIDER_REQUEST_END_ERROR"
    assert (tired["code"], tired["message"]) == ("PROVIDER_EXCEEDED_QUOTA_ERROR", "No seeds left.")


@pytest.mark.slow
def test_another_model_answers_where_a_packages_is_busy(place, parrot):
    (answer,) = place.ask(None, toml='models = ["parrot:busy", "parrot:grey"]', **parrot)
    assert answer["model"] == "parrot:grey"


@pytest.mark.slow
def test_a_packages_dialect_serves_any_provider(place, cage):
    toml = only(TABLES[2], "http://127.0.0.1:8090", cage.url)
    (answer,) = place.ask("aviary:grey", toml=toml)
    assert answer["text"] == "Parrot says Hello"
    assert cage.asked[0]["key"] is None


@pytest.mark.slow
def test_an_unknown_dialects_error_names_those_there_are(place):
    toml = TABLES[2].replace('"parrot"', '"owl"')
    (said,) = place.ask(None, toml=toml)
    there = ", ".join(sorted(DIALECTS | {"parrot"}))
    assert f'providers.aviary.dialect: "owl" is not a dialect; there are {there}' in said["message"]


# -- a package that cannot be used -----------------------------------------------------------------


@pytest.mark.slow
def test_a_row_that_cannot_be_used_is_warned_of_and_the_rest_answers(place, parrot, broken):
    said = place.told("parrot:grey", "later:ok", "demo:ok", **parrot, **broken)
    assert "'broken' of the package warp-magics-broken cannot be used: RuntimeError: out of order" in said
    assert "'misnamed' of another package is no Provider row of that name" in said
    answers = json.loads(said.splitlines()[-1])
    assert [answer.get("model") for answer in answers] == ["parrot:grey", "later:ok", "demo:ok"]


@pytest.mark.slow
def test_a_built_in_dialect_is_no_other_packages(place, fake, broken):
    (answer,) = place.ask("acme:any", ACME_API_KEY="acme-key-1234", ACME_BASE_URL=fake.base_url, **broken)
    assert answer["text"] == "You said 'Hello' in message 1."


@pytest.mark.slow
def test_a_dialect_that_cannot_be_used_is_an_error_where_it_is_asked(place, parrot, broken):
    toml = 'models = ["nest:any", "parrot:grey"]\n[providers.nest]\ndialect = "broken"\nbase_url = "http://127.0.0.1:1"'
    alone, chain = place.ask("nest:any", None, toml=toml, **parrot, **broken)
    assert "warp-magics-broken" in alone["message"]
    assert "out of order" in alone["message"]
    assert chain["model"] == "parrot:grey"
