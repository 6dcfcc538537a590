"""Where the contract is held: a gateway in this process, in a Jupyter Server, and alone; one provider behind all."""

from __future__ import annotations

import contextlib
import itertools
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.provider import FakeProvider, Reply, refused_url
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import KEY, toml
from tests.server.alone_process import running_alone
from tests.server.process import running_jupyter
from warp_magics.gateway.base import Chances, Gateway
from warp_magics.gateway.config import load_config
from warp_magics.gateway.local import LocalGateway
from warp_magics.gateway.remote import RemoteGateway
from warp_magics.gateway.tape import Reel, TapeGateway
from warp_magics.gateway.terms import Terms
from warp_magics.gateway.types import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KINDS = ("local-memory", "local-valkey", "jupyter", "alone", "tape")
OWNER = "local"
PATIENCE = 15.0
"""Seconds that a test waits for what comes at once on a machine that has the time for it."""
SESSION_WAIT = 3.0
COOLING = "fail-503@cooling"

_numbers = itertools.count()


@dataclass(frozen=True)
class World:
    """One place where a gateway lives; `open` connects to it anew. Servers stay, and so do their sessions."""

    kind: str
    lab: FakeProvider
    open: Callable[[], Gateway]

    @property
    def timeless(self) -> bool:
        """On a tape time stands still, and who is configured is not known."""
        return self.kind == "tape"

    @staticmethod
    def name(behaviour: str = "ok") -> str:
        """A model that behaves so and that no other test has spoilt."""
        return f"{behaviour}@{next(_numbers)}"

    def calls(self, name: str) -> list[Any]:
        return self.lab.calls(name)

    def held(self, at: int | None = 2) -> tuple[str, threading.Event]:
        """A model that waits after `at` words, with None before its headers, until the event is set."""
        name, go = self.name("held"), threading.Event()
        self.lab.script(name, Reply(before=[go]) if at is None else Reply(insert=[go], at=at))
        return name, go

    def says(self, *chunks: str, **fields: Any) -> str:
        """A model that answers so."""
        name = self.name("says")
        self.lab.script(name, Reply(chunks=chunks, **fields))
        return name


def asking(prompt: str = "hello there", session: str | None = None, *names: str, **fields: Any) -> ChatRequest:
    """A request of `names`, models of the provider `lab` where no other is named; a session is made on first use."""
    models = tuple(name if ":" in name else f"lab:{name}" for name in names)
    return ChatRequest(prompt, **{"session_id": session, "create_session": True, "models": models, **fields})


def new_id(what: str = "s") -> str:
    return f"{what}-{uuid.uuid4().hex[:12]}"


@contextlib.contextmanager
def world(kind: str, lab: FakeProvider, folder: Path) -> Iterator[World]:
    """Start what this kind of gateway needs."""
    with contextlib.ExitStack() as stack:
        storage = {"type": "memory"}
        if kind in ("local-valkey", "alone") and (servers := server_binaries()):
            store = stack.enter_context(running_server(next(iter(servers.values()))))
            storage = {"type": "valkey", "url": store.url}
        path = _configured(folder, lab, storage)
        env = {"WARP_CONFIG": str(path)}
        if kind == "jupyter":
            server = stack.enter_context(running_jupyter(folder / "server", env))
            yield World(kind, lab, lambda: RemoteGateway([server.warp], server.token, chances=Chances()))
        elif kind == "alone":
            alone = stack.enter_context(running_alone(folder / "alone", env))
            yield World(kind, lab, lambda: RemoteGateway([alone.url], alone.token, chances=Chances()))
        elif kind == "tape":
            yield World(kind, lab, lambda: _taped(path, folder / "tape"))
        else:
            yield World(kind, lab, lambda: LocalGateway(load_config(path=path, env={}), version="1"))


def _taped(path: Path, folder: Path) -> Gateway:
    """A tape that records around a gateway in this process."""
    inner = LocalGateway(load_config(path=path, env={}), version="1")

    class Both(TapeGateway):
        async def aclose(self) -> None:
            await super().aclose()
            await inner.aclose()

    return Both(Reel(folder), "record", inner.stream, terms=Terms(session_wait=SESSION_WAIT, total=None))


def _configured(folder: Path, lab: FakeProvider, storage: dict[str, str]) -> Path:
    tables = {
        "models": ["lab:ok"],
        "storage": storage,
        "model": [{"provider": "lab", "model": COOLING, "alias": "broken"}],
        "providers": {
            "lab": {"dialect": "openai", "base_url": lab.base_url, "api_key": KEY},
            "dead": {"dialect": "openai", "base_url": refused_url(), "api_key": KEY},
        },
        "limits": {
            "retry": {"max": 0},
            "session_wait": SESSION_WAIT,
            "rate": {"max": 100_000, "time_window": "1h"},
            "timeout": {"first_token": "1s"},
        },
    }
    path = folder / "warp.toml"
    path.write_text("".join(f"{name} = {toml(value)}\n" for name, value in tables.items()))
    return path
