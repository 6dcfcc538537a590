"""What all tests share: an environment that is nobody's, a place to write a warp.toml, a fake provider."""

from __future__ import annotations

import ast
import gc
import os
import shutil
import tempfile
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_server.serverapp import ServerApp

from tests.fakes.provider import FakeProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_parse = ast.parse


@wraps(_parse)
def parse(*args: Any, **named: Any) -> ast.AST:
    """As ever, but without a collection in its midst: one whose finalizers import a module, which pytest parses to
    rewrite it, upsets the depth that CPython counts ("AST constructor recursion depth mismatch")."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return _parse(*args, **named)
    finally:
        if collects:
            gc.enable()


ast.parse = parse

pytest_plugins = ["pytest_jupyter.jupyter_server"]

OURS = ("WARP_", "XDG_", "JUPYTER", "JPY_", "IPYTHON")
PROVIDERS = ("_API_KEY", "_BASE_URL")


@pytest.fixture(scope="session", autouse=True)
def isolated() -> Iterator[Path]:
    """No test reads or writes what belongs to the user who runs them, and none finds a key. A short path: sockets."""
    top = Path(tempfile.mkdtemp(prefix="warp-")).resolve()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(OURS) or name.endswith(PROVIDERS)]:
            patch.delenv(name)
        keep_pip_working(patch)
        patch.setenv("HOME", str(made(top / "home")))
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(made(top / name.lower())))
        patch.setenv("WARP_DATA_DIR", str(top / "data"))
        patch.setenv("WARP_RUN_DIR", str(top / "run"))
        yield top
    shutil.rmtree(top, ignore_errors=True)


def keep_pip_working(patch: pytest.MonkeyPatch) -> None:
    """The test of the wheel installs it with the user's pip settings and cache, which are found by HOME."""
    home = Path.home()
    found = {"PIP_CONFIG_FILE": home / ".config/pip/pip.conf", "PIP_CACHE_DIR": home / ".cache/pip"}
    for name, path in found.items():
        if path.exists() and name not in os.environ:
            patch.setenv(name, str(path))


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a warp.toml, which nobody reads unless told its path."""

    def write(text: str) -> Path:
        path = tmp_path / "warp.toml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    """A provider that does as its model's name says."""
    with FakeProvider.in_thread() as provider:
        yield provider


@pytest.fixture(autouse=True)
def jp_server_cleanup(request: pytest.FixtureRequest) -> Iterator[None]:
    """pytest-jupyter's own would make a server after every test, only to end it."""
    loop = request.getfixturevalue("jp_asyncio_loop")
    yield
    if ServerApp.initialized():
        app = ServerApp.instance()
        try:
            loop.run_until_complete(app._cleanup())
        finally:
            app.kernel_manager.context.destroy()
            ServerApp.clear_instance()
