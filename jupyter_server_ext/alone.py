"""``jupyter warp``: the gateway alone, without notebooks around it, and what else can be done without one."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from warp_magics.gateway import EmbeddedServer, WarpConfig

    from .apart.guards import Guard
    from .apart.hub import Service

_BROKEN_OFF: Final = 130
_HIGHEST_PORT: Final = 65535


def main(args: Sequence[str] | None = None) -> int:
    """Run ``jupyter warp`` and return its exit status."""
    said = _parser().parse_args(args)
    from warp_magics.gateway import errors

    try:
        if said.command == "init":
            from .setup.wizard import run

            return run(force=said.force)
        if said.command == "storage":
            return _storage(said.what)
        return _token(said) if said.command == "token" else _serve(said)
    except errors.WarpError as error:
        wrong = error.message
    except OSError as error:
        wrong = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except KeyboardInterrupt:
        return _BROKEN_OFF
    print(wrong, file=sys.stderr)  # noqa: T201 - a command answers on its terminal
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter warp",
        description="Without a command: serve the gateway, without a notebook, until Ctrl-C.",
    )
    _add_places(parser, None)
    parser.add_argument("--host", help="where to listen (server.host, 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="where to listen (server.port, 3042); 0 picks one")
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="warning",
        help="what is logged (warning); info tells of each answer and try, never of what was said",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    init = commands.add_parser("init", help="ask for providers, keys and storage, and write warp.toml")
    init.add_argument("--force", action="store_true", help="replace a warp.toml that is there")
    storage = commands.add_parser("storage", help="the embedded store: status, stop, path")
    storage.add_argument("what", choices=["status", "stop", "path"])
    token = commands.add_parser("token", help="print the token that the gateway alone asks for")
    _add_places(token, argparse.SUPPRESS)  # what stands before the command holds, too
    return parser


def _add_places(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=default, help="the warp.toml ($WARP_CONFIG, Jupyter's folders)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", default=default, help="the token (server.token_file, Jupyter's data)"
    )


def _port(said: str) -> int:
    if not (said.isascii() and said.isdigit() and int(said) <= _HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"{said!r} is not a port: write a number up to {_HIGHEST_PORT}")
    return int(said)


def _folders() -> list[Path]:
    from jupyter_core.paths import jupyter_config_path

    return [Path(folder) for folder in jupyter_config_path()]


def _config(said: argparse.Namespace) -> WarpConfig:
    from warp_magics.gateway import load_config

    return load_config(path=said.config, folders=_folders())


def _token_file(said: argparse.Namespace, configured: str | None, source: Path | None) -> Path:
    if said.token_file:
        return Path(said.token_file).expanduser().absolute()
    if configured:
        folder = source.parent if source else Path.cwd()
        return folder / Path(configured).expanduser()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir(), "warp", "token").absolute()


def _token_place(said: argparse.Namespace) -> tuple[str | None, Path | None]:
    """Return what the file says of the token, and the file: who wants the token may not have the keys that it names."""
    from warp_magics.gateway import find, is_camel, parsed, server_says

    source = find(said.config, _folders(), os.environ)
    if source is None:
        return None, None
    camel = is_camel(source)
    with contextlib.suppress(OSError, ValueError, RecursionError):  # who reads it whole, below, says what is wrong
        named = server_says(parsed(source.read_text("utf-8-sig"), camel=camel), "tokenFile" if camel else "token_file")
        if named is None or (isinstance(named, str) and "{" not in named):
            return named, source
    config = _config(said)
    return config.server.token_file, config.source


def _token(said: argparse.Namespace) -> int:
    from warp_magics.gateway import errors

    from .apart.token_file import read_token

    path = _token_file(said, *_token_place(said))
    try:
        print(read_token(path))  # noqa: T201
    except FileNotFoundError:
        raise errors.ConfigError(f"{path} is not there: `jupyter warp` makes it at its first start.") from None
    return 0


def _serve(said: argparse.Namespace) -> int:
    logging.basicConfig(level=said.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from warp_magics.gateway import errors

    from .apart.hub import service
    from .apart.serve import is_loopback, listen, serve

    config = _config(said)
    if config.gateway:
        raise errors.ConfigError(
            f"{config.source} names another gateway under [gateway], which is for Jupyter Servers that pass on to it."
            " Name a file with models of its own: `jupyter warp --config FILE`."
        )
    hub = service(os.environ)
    host, port = (hub.host, hub.port) if hub else (config.server.host, config.server.port)
    with listen(host if said.host is None else said.host, port if said.port is None else said.port) as listening:
        for warning in config.warnings:
            _complain(f"warning: {warning}")
        way = _of_hub(said, config, hub, listening) if hub else _of_token_file(said, config, listening)
        if not is_loopback(listening):
            _complain("warning: other machines reach this, and the token travels in the clear: put TLS in front of it.")
        return serve(config, way.guard, listening, lambda: _welcome(config, way), below=way.below)


@dataclass(frozen=True, slots=True)
class _Way:
    """Where and by whom the gateway is reached; ``token`` and ``command`` say how one comes by a token."""

    below: str
    url: str
    guard: Guard
    token: str
    command: str


def _of_token_file(said: argparse.Namespace, config: WarpConfig, listening: socket.socket) -> _Way:
    from .apart.asgi import BELOW
    from .apart.guards import FixedTokens
    from .apart.serve import url_of
    from .apart.token_file import make_token, read_token

    path = _token_file(said, config.server.token_file, config.source)
    make_token(path)
    guard = FixedTokens({read_token(path): config.storage.owner or "local"})
    named = {"--config": said.config, "--token-file": said.token_file}
    options = "".join(f" {name} {shlex.quote(str(path))}" for name, path in named.items() if path)
    command = f"jupyter warp token{options}"
    return _Way(BELOW, url_of(listening), guard, f"{path} (`{command}` prints it)", f"$({command})")


def _of_hub(said: argparse.Namespace, config: WarpConfig, hub: Service, listening: socket.socket) -> _Way:
    from .apart.hub import HubTokens
    from .apart.serve import url_of

    if said.token_file or config.server.token_file:
        _complain("warning: the token file has no effect: JupyterHub knows the tokens")
    if config.storage.owner:
        _complain(f"warning: storage.owner makes all users of the Hub one: {config.storage.owner}")
    guard = HubTokens(config.storage.owner)
    return _Way(hub.below, url_of(listening, hub.below), guard, f"JupyterHub's, with {guard.scopes}", "$TOKEN")


def _welcome(config: WarpConfig, way: _Way) -> None:
    from warp_magics import __version__

    lines = {
        "listens": way.url,
        "config": config.source or "none: `jupyter warp init` writes one",
        "models": ", ".join(map(str, config.chain)) or "none: prompts are refused until one is configured",
        "token": way.token,
        "try": f"""curl {way.url}/api/v1/prompt -H "Authorization: Bearer {way.command}" -d '{{"prompt": "Hello"}}'""",
        "stop": "Ctrl-C",
    }
    print(f"Warp {__version__}")  # noqa: T201
    for name, value in lines.items():
        print(f"{name:8} {value}", flush=True)  # noqa: T201


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _storage(what: str) -> int:
    from warp_magics.gateway import EmbeddedServer

    server = EmbeddedServer()
    if what == "path":
        print(server.places.data)  # noqa: T201
    elif what == "stop":
        print("stopped" if server.stop() else "was not running")  # noqa: T201
    else:
        _tell(server)
    return 0


def _tell(server: EmbeddedServer) -> None:
    now = server.status()
    binary = now.binary
    lines = {
        "state": f"running, process {now.pid}" if now.running else "not running",
        "server": f"{now.kind} {now.version}" if now.running else "-",
        "would use": f"{binary.kind} {binary.version} from {binary.origin}" if binary else "none: memory",
        "socket": now.socket,
        "data": f"{now.data_dir} ({now.data_bytes} bytes)",
        "keeps on": "until stopped" if now.keep_running else "until its last client has left",
    }
    for name, value in lines.items():
        print(f"{name:10} {value}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
