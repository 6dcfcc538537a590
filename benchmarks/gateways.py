"""Gateways to measure, each started on the measured core: ours alone and inside Jupyter, a bare handler, and the peers."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import MEASURED, REST, Process, free_port, started, until_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
TOML = """
models = ["bench:50x0"]
[providers.bench]
dialect = "openai"
base_url = "{provider}/v1"
[limits]
rate = {{ max = 1000000, time_window = "1s" }}
[storage]
type = "valkey"
url = "valkey://127.0.0.1:{store}"
[server]
token_file = "token"
"""
"""Everything on: a rate limit for the model, sessions, the log of streams and counters in Valkey, and a token."""
_PATHS = {"prompt": "prompt", "stream": "stream"}
_OPENAI_PATHS = dict.fromkeys(_PATHS, "v1/chat/completions")


@dataclass(frozen=True)
class Place:
    """What a gateway needs: a folder of its own, the provider's address, the store's port."""

    folder: Path
    provider: str
    store: int
    peers: Path | None = None


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs. ``body(kind, model)`` is what it is asked with."""

    name: str
    base: str
    paths: dict[str, str]
    process: Process
    body: Callable[[str, str], dict[str, Any]]
    headers: tuple[str, ...] = ()
    whole_end: str = ""
    stream_end: str = ""
    config: Path | None = None
    """Of ours, its configuration."""
    other: Gateway | None = None
    """One over the same store."""

    def url(self, kind: str) -> str:
        """Return where it is asked for a ``prompt`` or a ``stream``."""
        return f"{self.base}{self.paths[kind]}"


def _ours(_: str, model: str) -> dict[str, Any]:
    return {"prompt": "Hello there", "models": [f"bench:{model}"]}


def _write_config(place: Place) -> Path:
    path = place.folder / "warp.toml"
    path.write_text(TOML.format(provider=place.provider, store=place.store), "utf-8")
    return path


@contextlib.contextmanager
def alone(place: Place) -> Iterator[Gateway]:
    """Ours, as ``jupyter warp`` runs it."""
    config, port = _write_config(place), free_port()
    command = [sys.executable, "-m", "jupyter_server_ext.alone", "--config", str(config), "--port", str(port)]
    with started(command, place.folder / "log", cores=MEASURED, cwd=HERE.parent) as process:
        base = f"http://127.0.0.1:{port}/warp/api/v1/"
        until_up(f"{base}health/live", process)
        token = (place.folder / "token").read_text().strip()
        yield Gateway(
            "Warp alone", base, _PATHS, process, _ours,
            (f"Authorization: Bearer {token}",), '"result":', "event: end", config,
        )  # fmt: skip


@contextlib.contextmanager
def jupyter(place: Place, other: Gateway) -> Iterator[tuple[Gateway, Gateway]]:
    """Ours inside a Jupyter Server, and a bare handler there that passes on what the provider says."""
    config, port, token = _write_config(place), free_port(), secrets.token_hex(16)
    extensions = {"ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True, "benchmarks.baseline": True}}}
    (place.folder / "config").mkdir()
    (place.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(extensions), "utf-8")
    env = {
        "BENCH_PROVIDER": f"{place.provider}/v1",
        "WARP_CONFIG": str(config),
        "PYTHONPATH": str(HERE.parent),
        "HOME": str(place.folder),
        "JUPYTER_CONFIG_DIR": str(place.folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(place.folder / "runtime"),
        "JUPYTER_DATA_DIR": str(place.folder / "share"),
        "JUPYTER_TOKEN": token,
    }
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--notebook-dir={place.folder}"]
    with started(command, place.folder / "log", env=env, cores=MEASURED, cwd=place.folder) as process:
        base, headers = f"http://127.0.0.1:{port}/", (f"Authorization: token {token}",)
        until_up(f"{base}warp/api/v1/health/live", process)
        ours = Gateway(
            "Warp in Jupyter", f"{base}warp/api/v1/", _PATHS, process, _ours, headers, '"result":', "event: end",
            config, other,
        )  # fmt: skip
        bare = Gateway(
            "bare Jupyter handler", f"{base}bench/", {"prompt": "proxy", "stream": "proxy"}, process, _openai, headers,
            '"choices"', "[DONE]",
        )  # fmt: skip
        yield ours, bare


def _openai(kind: str, model: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello there"}]}
    return asked | ({"stream": True} if kind == "stream" else {})


def _ai_warp(_: str, model: str) -> dict[str, Any]:
    return {"prompt": "Hello there", "model": model}


@contextlib.contextmanager
def ai_warp(place: Place, *, memory: bool = False) -> Iterator[Gateway]:
    """AI Warp: fastify-ai over ai-provider, on Valkey or in memory."""
    assert place.peers
    port = free_port()
    command = ["node", str(place.peers / "ai-warp.mjs"), str(port), place.provider, "" if memory else str(place.store)]
    with started(command, place.folder / "log", cores=MEASURED, cwd=place.peers) as process:
        base = f"http://127.0.0.1:{port}/"
        until_up(base, process)
        name = f"AI Warp {'in memory' if memory else 'on Valkey'}"
        yield Gateway(name, base, _PATHS, process, _ai_warp, (), '"result"', "event: end")


@contextlib.contextmanager
def litellm(place: Place) -> Iterator[Gateway]:
    """LiteLLM's proxy, with a master key, without a database."""
    assert place.peers
    port, key = free_port(), "sk-bench"
    models = [
        {"model_name": model, "litellm_params": {"model": f"openai/{model}", "api_base": f"{place.provider}/v1", "api_key": "k"}}
        for model in ("50x0", "50x1", "50x200", "1x0+200")
    ]  # fmt: skip
    config = place.folder / "config.json"
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": key}}), "utf-8")
    bin_folder = place.peers / "litellm" / "bin"
    command = [str(bin_folder / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    env = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    with started(command, place.folder / "log", env=env, cores=MEASURED) as process:
        base = f"http://127.0.0.1:{port}/"
        until_up(f"{base}health/liveliness", process)
        yield Gateway(
            "LiteLLM", base, _OPENAI_PATHS, process, _openai, (f"Authorization: Bearer {key}",), '"choices"', "[DONE]"
        )


@contextlib.contextmanager
def portkey(place: Place) -> Iterator[Gateway]:
    """Portkey's gateway, which keeps nothing."""
    assert place.peers
    port = free_port()
    script = place.peers / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command = ["node", str(script), f"--port={port}", "--headless"]
    with started(command, place.folder / "log", cores=MEASURED, cwd=place.peers) as process:
        base = f"http://127.0.0.1:{port}/"
        until_up(base, process)
        headers = (
            "Authorization: Bearer k", "x-portkey-provider: openai", f"x-portkey-custom-host: {place.provider}/v1",
        )  # fmt: skip
        yield Gateway("Portkey", base, _OPENAI_PATHS, process, _openai, headers, '"choices"', "[DONE]")


@contextlib.contextmanager
def provider(folder: Path) -> Iterator[tuple[str, Process]]:
    """The mock provider; yields its address."""
    port = free_port()
    with started(
        [sys.executable, str(HERE / "provider.py"), str(port)], folder / "provider.log", cores=REST
    ) as process:
        _listening(port)
        yield f"http://127.0.0.1:{port}", process


@contextlib.contextmanager
def store(folder: Path) -> Iterator[tuple[int, Process]]:
    """A Valkey or a Redis that keeps nothing on disk; yields its port."""
    from warp_magics.gateway.stores.places import find_server

    port = free_port()
    found = find_server()
    if found is None:
        raise SystemExit("a valkey-server or a redis-server is needed, and was not found")
    command = [str(found.path), "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
    with started(command, folder / "store.log", cores=REST) as process:
        _listening(port)
        yield port, process


def _listening(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:  # who does not listen yet refuses
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens at port {port}")
