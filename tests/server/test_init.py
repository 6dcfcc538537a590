"""``jupyter warp init``: at a terminal, against a provider that is a process of its own; and the text it writes."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_server_ext.setup.private_files import Saving, write_new
from jupyter_server_ext.setup.toml_text import Answers, Chosen, quoted, toml_text
from tests.fakes.provider import provider_process, refused_url
from warp_magics.gateway import PROVIDERS, ChatRequest, LocalGateway, load_config

KEY = "sk-init-0123456789-uvwxyz"
KEPT = "sk-kept-fedcba9876543210"
OPENAI = str(1 + list(PROVIDERS).index("openai"))
DEMO = str(1 + list(PROVIDERS).index("demo"))
OTHER = str(1 + len(PROVIDERS))


@pytest.fixture(scope="module")
def provider():
    with provider_process() as process:
        yield process


@dataclass
class Terminal:
    """A user at a terminal: reads a prompt, types a line."""

    child: pexpect.spawn
    screen: io.StringIO

    def say(self, prompt: str, line: str) -> None:
        self.child.expect_exact(prompt)
        self.child.expect_exact(": ")
        if "(not shown" in prompt:
            self.child.waitnoecho(10)
        self.child.sendline(line)

    def end(self) -> int:
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus

    @property
    def shown(self) -> str:
        return self.screen.getvalue()


@dataclass
class Init:
    """``jupyter warp init`` with a Jupyter config folder of its own."""

    folder: Path
    env: dict[str, str]

    @property
    def file(self) -> Path:
        return self.folder / "warp.toml"

    def start(self, *options: str, **env: str) -> Terminal:
        screen = io.StringIO()
        child = pexpect.spawn(
            str(Path(sys.executable).with_name("jupyter")),
            ["warp", "init", *options],
            env=self.env | env,
            encoding="utf-8",
            timeout=40,
            dimensions=(60, 200),
        )
        child.logfile_read = screen
        return Terminal(child, screen)

    def left(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))


@pytest.fixture
def init(tmp_path):
    env = dict(os.environ) | {"JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter"), "TMPDIR": str(tmp_path)}
    return Init(tmp_path / "jupyter", env)


def add_server(terminal: Terminal, url: str, model: str, *, name: str = "lab", key: str = KEY, more: str = "") -> None:
    terminal.say("Name of the server", name)
    terminal.say("Base URL", url)
    terminal.say(f"Key of {name} (not shown", key)
    terminal.say(f"Model of {name}", model)
    terminal.say("One more such server", more)


def rest(terminal: Terminal, storage: str = "3", port: str = "") -> None:
    terminal.say("Storage", storage)
    terminal.say("Port of the gateway", port)


def write_one(init: Init, url: str, *options: str, model: str = "ok", key: str = KEY) -> Terminal:
    terminal = init.start(*options)
    terminal.say("Which ones?", OTHER)
    add_server(terminal, url, model, key=key)
    rest(terminal)
    assert terminal.end() == 0, terminal.shown
    return terminal


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def answer(path: Path) -> str:
    gateway = LocalGateway(load_config(path=path))
    try:
        return (await gateway.ask(ChatRequest("Hello", store=False))).text
    finally:
        await gateway.aclose()


@pytest.mark.slow
def test_it_asks_tries_and_writes_a_file_that_works(init, provider):
    terminal = write_one(init, provider.base_url)
    assert "lab:ok  ok, " in terminal.shown
    assert str(init.file) in terminal.shown
    assert "%load_ext warp_magics" in terminal.shown
    assert init.left() == ["warp-keys", "warp-keys/lab", "warp.toml"]
    assert [mode(init.folder / name) for name in init.left()] == [0o700, 0o600, 0o600]
    assert KEY not in terminal.shown + init.file.read_text()
    assert (init.folder / "warp-keys/lab").read_text() == f"{KEY}\n"
    config = load_config(path=init.file)
    assert config.warnings == ()
    assert [str(model) for model in config.chain] == ["lab:ok"]
    assert (config.storage.type, config.server.port) == ("memory", 3042)
    assert "Hello" in asyncio.run(answer(init.file))
    assert {call["headers"]["authorization"] for call in provider.requests("ok")} == {f"Bearer {KEY}"}


@pytest.mark.slow
def test_it_replaces_a_file_only_when_told_to_and_keeps_the_old_one(init, provider):
    write_one(init, provider.base_url)
    first, before = init.file.read_text(), init.left()
    again = init.start()
    assert again.end() == 1
    assert "--force" in again.shown
    assert (init.file.read_text(), init.left()) == (first, before)
    write_one(init, provider.base_url, "--force", key="sk-another-key-000")
    kept = init.folder / "warp.toml.bak"
    assert (kept.read_text(), mode(kept)) == (first, 0o600)
    assert load_config(path=kept).providers["lab"].api_key.reveal() == KEY
    assert load_config(path=init.file).providers["lab"].api_key.reveal() == "sk-another-key-000"


@pytest.mark.slow
@pytest.mark.parametrize("at", ["Which ones?", "Key of lab (not shown", "Port of the gateway"])
@pytest.mark.parametrize("how", ["sendintr", "sendeof"])
def test_breaking_off_leaves_nothing(init, at, how):
    terminal = init.start()
    lines = [
        ("Which ones?", OTHER),
        ("Name of the server", "lab"),
        ("Base URL", refused_url()),
        ("Key of lab (not shown", KEY),
        ("Model of lab", "ok"),
        ("One more such server", ""),
        ("Storage", ""),
    ]
    for prompt, line in lines:
        if prompt == at:
            break
        terminal.say(prompt, line)
    terminal.child.expect_exact(at)
    terminal.child.expect_exact(": ")
    if "not shown" in at:
        terminal.child.waitnoecho(10)
    getattr(terminal.child, how)()
    assert terminal.end() == 130
    assert terminal.shown.rstrip().endswith("Broken off: nothing was written.")
    assert "Traceback" not in terminal.shown
    assert not init.folder.exists() or init.left() == []


@pytest.mark.slow
def test_breaking_off_while_a_model_is_silent_leaves_nothing(init, provider):
    terminal = init.start()
    terminal.say("Which ones?", OTHER)
    add_server(terminal, provider.base_url, "hang")
    rest(terminal)
    terminal.child.expect_exact("Trying each model")
    until = time.monotonic() + 20
    while not provider.requests("hang") and time.monotonic() < until:
        time.sleep(0.02)
    terminal.child.sendintr()
    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown
    assert not init.folder.exists() or init.left() == []


@pytest.mark.slow
def test_models_that_fail_are_reported_without_the_key_and_may_be_dropped(init, provider):
    terminal = init.start()
    terminal.say("Which ones?", OTHER)
    add_server(terminal, provider.base_url, "fail-401", name="one", more="y")
    add_server(terminal, provider.base_url, "fail-403", name="two", key=KEY + "-two", more="y")
    add_server(terminal, refused_url(), "ok", name="three", key="")
    terminal.say("Storage", "memory")
    terminal.say("Port of the gateway", "")
    terminal.say("Order [1,2,3]", "3 1,2")
    terminal.say("Keep three:ok", "y")
    terminal.say("Keep one:fail-401", "n")
    terminal.say("Keep two:fail-403", "")
    assert terminal.end() == 0, terminal.shown
    assert "one:fail-401  failed: the key was refused (401)" in terminal.shown
    assert "three:ok  failed: No connection" in terminal.shown
    written = init.file.read_text()
    assert KEY not in terminal.shown + written
    assert "one" not in tomllib.loads(written)["providers"]
    assert init.left() == ["warp-keys", "warp-keys/two", "warp.toml"]
    assert [str(model) for model in load_config(path=init.file).chain] == ["three:ok", "two:fail-403"]


@pytest.mark.slow
def test_a_key_of_the_environment_stays_there(init, provider):
    terminal = init.start(OPENAI_API_KEY=KEPT, OPENAI_BASE_URL=provider.base_url)
    terminal.say("Which ones? Their numbers, as 1,3 [1]", f"{OPENAI},{DEMO}")
    terminal.say("Key of openai (not shown; Enter: keeps $OPENAI_API_KEY)", "")
    terminal.say("Model of openai [gpt-4o-mini]", "")
    terminal.say("Model of demo [ok]", "")
    terminal.say("Storage", "")
    terminal.say("Port of the gateway", "4000")
    terminal.say("Order [1,2]", "2,1")
    assert terminal.end() == 0, terminal.shown
    assert "OPENAI_API_KEY is set" in terminal.shown
    assert KEPT not in terminal.shown + init.file.read_text()
    assert init.left() == ["warp.toml"]
    written = tomllib.loads(init.file.read_text())
    assert written["providers"] == {"openai": {"api_key": "${OPENAI_API_KEY}"}}
    assert written["models"] == ["demo:ok", "openai:gpt-4o-mini"]
    config = load_config(path=init.file, env={"OPENAI_API_KEY": KEPT})
    assert (config.warnings, config.storage.type, config.server.port) == ((), "embedded", 4000)


@pytest.mark.slow
def test_what_cannot_be_is_asked_again_with_the_reason(init, provider):
    terminal = init.start(WARP_CONFIG="/elsewhere/warp.toml")
    for line, reason in (("", "An answer is needed"), ("99", "numbers 1 to"), ("1 1", "once")):
        terminal.say("Which ones?", line)
        terminal.child.expect_exact(reason)
    terminal.say("Which ones?", f"{OPENAI},{OTHER}")
    for line, reason in (("", "Paste one, or set OPENAI_API_KEY"), ("two words", "A key has no spaces")):
        terminal.say("Key of openai (not shown", line)
        terminal.child.expect_exact(reason)
    terminal.say("Key of openai (not shown", KEPT)
    terminal.say("Model of openai", "${NOT_SET_ANYWHERE}")
    terminal.child.expect_exact("NOT_SET_ANYWHERE is not set")
    terminal.say("Model of openai", "")
    for line, reason in (("demo", "demo is taken"), ("a b", "is not a name"), ("anthropic", "anthropic is taken")):
        terminal.say("Name of the server", line)
        terminal.child.expect_exact(reason)
    terminal.say("Name of the server", "my.lab")
    terminal.say("Base URL", "ftp://x")
    terminal.child.expect_exact("http://")
    terminal.say("Base URL", provider.base_url)
    terminal.say("Key of my.lab (not shown; Enter: it needs none)", "")
    terminal.say("Model of my.lab", "ok")
    terminal.say("One more such server", "maybe")
    terminal.child.expect_exact("y or n")
    terminal.say("One more such server", "n")
    terminal.say("Storage", "disk")
    terminal.child.expect_exact("embedded, valkey, memory")
    terminal.say("Storage", "valkey")
    terminal.say("Its URL", "http://x")
    terminal.child.expect_exact("storage.url")
    terminal.say("Its URL", "valkey://user:secretword@127.0.0.1:1/0")
    for line, reason in (("x", "A port is a number"), ("70000", "server.port")):
        terminal.say("Port of the gateway", line)
        terminal.child.expect_exact(reason)
    terminal.say("Port of the gateway", "")
    terminal.say("Order", "1")
    terminal.child.expect_exact("each of the numbers")
    terminal.say("Order", "2,1")
    terminal.say("Keep openai:gpt-4o-mini", "n")
    assert terminal.end() == 0, terminal.shown
    assert "the store  failed: " in terminal.shown
    assert "/elsewhere/warp.toml is read instead: WARP_CONFIG names it" in terminal.shown
    config = load_config(path=init.file)
    assert [str(model) for model in config.chain] == ["my.lab:ok"]
    assert config.storage.address() == "redis://user:secretword@127.0.0.1:1/0"


def test_without_a_terminal_it_says_so(init):
    command = [sys.executable, "-m", "jupyter_server_ext.alone", "init"]
    ran = subprocess.run(
        command, env=init.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 2
    assert "terminal" in ran.stderr
    assert not init.folder.exists()


# The text.

TEXTS = st.text()
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]*", fullmatch=True)
CHOSEN = st.builds(Chosen, NAMES, TEXTS, base_url=TEXTS, variable=NAMES | st.just(""), key_file=TEXTS)


@given(TEXTS)
def test_any_text_survives(text):
    assert tomllib.loads(f"x = {quoted(text)}")["x"] == text


@given(st.lists(CHOSEN, max_size=4, unique_by=lambda one: one.name), TEXTS, st.integers(0, 65535))
def test_any_answers_survive(chain, url, port):
    read = tomllib.loads(toml_text(Answers(tuple(chain), "valkey", url, port)))
    assert read["models"] == [chosen.spec for chosen in chain]
    assert read["storage"] == {"type": "valkey"} | ({"url": url} if url else {})
    assert read["server"] == {"port": port}
    for chosen in chain:
        told = read.get("providers", {}).get(chosen.name, {})
        assert told.get("base_url", "") == chosen.base_url
        assert told.get("api_key", "") == (f"${{{chosen.variable}}}" if chosen.variable else "")
        assert told.get("api_key_file", "") == chosen.key_file


def test_the_store_url_is_in_no_repr():
    assert "secretword" not in repr(Answers((), "valkey", "valkey://u:secretword@h"))


# The files.


def test_a_file_is_private_from_its_first_moment(tmp_path, monkeypatch):
    made = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda *said: made.append(said[1:]) or real(*said))
    old = os.umask(0)
    try:
        write_new(tmp_path / "key", b"x")
    finally:
        os.umask(old)
    assert mode(tmp_path / "key") == 0o600
    assert made[0][1] == 0o600
    assert made[0][0] & os.O_EXCL
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "key", b"y")


def test_what_fails_on_its_way_leaves_nothing_new(tmp_path):
    (tmp_path / "warp.toml").write_text("old")

    def refuse(_draft):
        raise ValueError("refused")

    def save():
        with Saving() as saving:
            saving.add(saving.folder(tmp_path / "keys"), "a", "key")
            saving.replace(tmp_path / "warp.toml", "new", check=refuse, force=True)

    with pytest.raises(ValueError, match="refused"):
        save()
    assert [path.name for path in tmp_path.iterdir()] == ["warp.toml"]
    assert (tmp_path / "warp.toml").read_text() == "old"


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path):
    (tmp_path / "warp.toml").write_text("old")
    with pytest.raises(FileExistsError), Saving() as saving:
        saving.replace(tmp_path / "warp.toml", "new", check=lambda draft: None, force=False)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_keys_are_not_put_behind_a_link(tmp_path):
    (tmp_path / "keys").symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError), Saving() as saving:
        saving.folder(tmp_path / "keys")


def test_a_folder_for_keys_becomes_private(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o755)
    with Saving() as saving:
        assert mode(saving.folder(tmp_path / "keys")) == 0o700
