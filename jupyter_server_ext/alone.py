"""``jupyter warp``: what can be done without a notebook."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warp_magics.gateway import EmbeddedServer


def main(args: Sequence[str] | None = None) -> int:
    """Run ``jupyter warp`` and return its exit status."""
    parser = argparse.ArgumentParser(prog="jupyter warp", description="The gateway, without a notebook.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    init = commands.add_parser("init", help="ask for providers, keys and storage, and write warp.toml")
    init.add_argument("--force", action="store_true", help="replace a warp.toml that is there")
    storage = commands.add_parser("storage", help="the embedded store: status, stop, path")
    storage.add_argument("what", choices=["status", "stop", "path"])
    said = parser.parse_args(args)
    from warp_magics.gateway import errors

    try:
        if said.command == "init":
            from .wizard import run

            return run(force=said.force)
        return _storage(said.what)
    except errors.WarpError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - a command answers on its terminal
        return 1


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
