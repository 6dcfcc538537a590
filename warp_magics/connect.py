"""Which gateway this process uses, and why: one elsewhere, this kernel's server's, or one in this process.

Decided and opened when first used, closed at the process's exit; until ``disconnect`` it is not decided again.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from . import taping, ways

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from .gateway import ChatRequest, Event, Gateway, GatewayStatus
    from .portal import Portal, Waiter
    from .taping import Tape

    _Ask: TypeAlias = Callable[[str], str]

SERVER_SECONDS: Final = 3.0
"""How long this kernel's server may take to say that it has a configured model; then it is passed over."""
GATEWAY_SECONDS: Final = 10.0
"""How long a gateway that was named may take to answer at all."""


@dataclass(slots=True)
class Connection:
    """A gateway and the portal it lives behind. ``why`` is a sentence for ``%warp``; ``urls`` are empty in-process.

    ``tape`` is what it records on or replays.
    """

    gateway: Gateway
    portal: Portal
    owner: str
    why: str
    warnings: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    tape: Tape | None = None
    _done: bool = field(default=False, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether answers come as they are made: else they are shown once, whole."""
        return self.tape is None or self.tape.mode == "record"

    def close(self) -> None:
        """Stop live answers, keep their parts and end the portal's thread; twice is once."""
        if not self._done:
            self._done = True
            self.portal.close(self.gateway.aclose)


class Link:
    """One connection, opened when first used. ``choose`` names a gateway elsewhere or, with None, leaves it open.

    Where a tape is used there is a second one around it, and it is opened only when somebody is asked. ``choose`` is told
    how to ask for a token, None for its own way. What was chosen is kept for forked children: who was asked for a token is
    not asked again.
    """

    def __init__(self, choose: Callable[[_Ask | None], ways.Place | None]) -> None:
        self._choose = choose
        self._place: ways.Place | None = None
        self._now: Connection | None = None
        self._taped: Connection | None = None
        self._lock = threading.Lock()
        _links.add(self)

    def connection(self, *, ask: bool = True) -> Connection:
        """Return the connection, opening it first; raises ConfigError, GatewayUnreachable, GatewayRefused.

        ``ask`` false is for what the user has not started: no token is asked for, and SERVER_SECONDS are enough.
        """
        used = tape()
        with self._lock:
            if used is None:
                return self._real(ask=ask)
            if self._taped is None or self._taped.tape is not used:
                if used.mode == "record":
                    self._real(ask=ask)  # what is wrong with it is said now, and who is asked for a token is there
                self._close_taped()
                self._taped = _held(_taped(used, None if used.mode == "replay" else self._ask))
            return self._taped

    def _real(self, *, ask: bool = True) -> Connection:
        if self._now is None:
            place = self._place or self._choose(None if ask else ways.unasked)
            seconds = GATEWAY_SECONDS if ask else SERVER_SECONDS
            return self._hold(_elsewhere(place, seconds)[0] if place else _near(), place)
        return self._now

    async def _ask(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Ask who is behind the tape."""
        import asyncio

        def opened() -> Connection:
            with self._lock:
                return self._real()

        at = await asyncio.to_thread(opened)
        asked = replace(request, owner=at.owner)
        async with contextlib.aclosing(at.portal.astream(lambda: at.gateway.stream(asked))) as events:
            async for event in events:
                yield event

    def move(self, place: ways.Place) -> Connection:
        """Use the gateway at ``place`` from now on; where that fails the connection there was stays."""
        with self._lock:
            at, _ = _elsewhere(place, GATEWAY_SECONDS)
            try:
                self._close()
            finally:
                self._hold(at, place)
            return at

    def disconnect(self) -> None:
        """Close the connection; the next use chooses anew."""
        with self._lock:
            self._close()
            self._place = None

    def let_go(self) -> None:
        """Close what is around the connection: another tape is used from now on, or none."""
        with self._lock:
            self._close_taped()

    def forget(self) -> None:
        """Leave the connection to the parent: its loop's thread is not in a forked child, which opens its own."""
        self._lock = threading.Lock()
        for one in (self._now, self._taped):
            if one is not None:
                atexit.unregister(one.close)
                _parents.append(one)
        self._now = self._taped = None

    def _hold(self, at: Connection, place: ways.Place | None) -> Connection:
        self._now, self._place = _held(at), place
        return at

    def _close(self) -> None:
        self._close_taped()
        if self._now is not None:
            _ended(self._now)
            self._now = None

    def _close_taped(self) -> None:
        if self._taped is not None:
            _ended(self._taped)
            self._taped = None


def _held(at: Connection) -> Connection:
    atexit.register(at.close)
    return at


def _ended(at: Connection) -> None:
    atexit.unregister(at.close)
    at.close()


_links: weakref.WeakSet[Link] = weakref.WeakSet()
_parents: list[Connection] = []  # kept in a forked child, where closing them would close what is the parent's
_waiter: Callable[[], Waiter] | None = None
_leaving: Callable[[], bool] | None = None
_process = Link(lambda ask: ways.named(os.environ, ask))
_tape: list[Tape | None] = []
"""The tape that is used, once that is known."""


def tape() -> Tape | None:
    """Return the tape that this process uses, as ``use_tape`` or else its environment says; raises ConfigError."""
    if not _tape:
        _tape.append(taping.tape_of(os.environ))
    return _tape[0]


def use_tape(mode: str, folder: str | None = None, *, realtime: bool = False) -> None:
    """Use a tape from now on, from its beginning, or none (``off``); sessions on the one before are gone.

    Raises ConfigError for a ``mode`` that is none.
    """
    used = None if mode == taping.OFF else taping.new_tape(mode, folder, os.environ, realtime=realtime)
    _tape[:] = [used]
    for one in list(_links):
        one.let_go()


def wait_with(waiter: Callable[[], Waiter], leaving: Callable[[], bool] | None = None) -> None:
    """Have every call from now on wait by ``waiter``, whether a magic or ``Warp`` makes it.

    ``leaving`` tells that this process was told to end.
    """
    global _waiter, _leaving
    _waiter, _leaving = waiter, leaving


def connection(*, ask: bool = True) -> Connection:
    """Return this process's connection, opening it first; see Link.connection."""
    return _process.connection(ask=ask)


def connect(urls: Sequence[str]) -> Connection:
    """Use the gateway at ``urls``, instances of one, from now on, with the environment's token or one asked for.

    Where a tape is replayed nobody is asked, nor for a token. Raises ConfigError, GatewayUnreachable, GatewayRefused;
    then the connection there was stays.
    """
    used = tape()
    if used is not None and used.mode == "replay":
        return _process.connection()
    _process.move(ways.place(urls, None, os.environ, "%warp connect"))
    return _process.connection()


def link(url: str | Sequence[str], token: str | None) -> Link:
    """Return a link of its own to the gateway at ``url``; raises ConfigError for what is no URL of one."""
    urls, who = [url] if isinstance(url, str) else list(url), "Warp(url=…)"
    ways.checked(urls, who)
    return Link(lambda ask: ways.place(urls, token, os.environ, who, ask))


def disconnect() -> None:
    """Close this process's connection; the next use chooses anew, with the configuration as it is then."""
    _process.disconnect()


def _forget() -> None:
    for one in list(_links):
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _new_waiter() -> Waiter:
    from .portal import PlainWaiter

    return _waiter() if _waiter else PlainWaiter()


def _elsewhere(place: ways.Place, seconds: float) -> tuple[Connection, GatewayStatus]:
    """Open the gateway at ``place`` and ask how it is, ``seconds`` long at most; raises what a gateway raises."""
    from .gateway import Chances, RemoteGateway
    from .portal import PlainWaiter, Portal

    asked = False
    # While a link is being opened nothing else may come in, as a kernel's loop that is kept running would let it.
    portal = Portal(lambda: _new_waiter() if asked else PlainWaiter())
    gateway = RemoteGateway(place.urls, place.token, chances=Chances(), leaving=_leaving)
    at = Connection(gateway, portal, _user(), place.why, place.warnings, place.urls)
    try:
        status = portal.call(lambda: _status(gateway, place.urls, seconds))
    except BaseException:
        at.close()
        raise
    asked = True
    return at, status


async def _status(gateway: Gateway, urls: Sequence[str], seconds: float) -> GatewayStatus:
    """Return how the gateway is; raises GatewayUnreachable and GatewayRefused, which name it."""
    import asyncio

    from .gateway import errors

    where = f"The gateway at {' and '.join(urls)}"
    try:
        async with asyncio.timeout(seconds):
            return await gateway.status()
    except TimeoutError:
        raise errors.GatewayUnreachable(f"{where} did not answer within {seconds:g} s.") from None
    except errors.GatewayRefused:
        raise errors.GatewayRefused(f"{where} refuses the token.") from None
    except errors.WarpError as error:
        raise errors.GatewayUnreachable(f"{where} cannot be used: {error.message}") from None


def _taped(used: Tape, ask: Callable[[ChatRequest], AsyncGenerator[Event, None]] | None) -> Connection:
    from .gateway import TapeGateway
    from .portal import Portal

    gateway = TapeGateway(used.reel, used.mode, ask, realtime=used.realtime)
    why = f"a tape in {used.where}; %warp tape tells of it"
    return Connection(gateway, Portal(_new_waiter), "local", why, tape=used)


def _near() -> Connection:
    """Return a connection to the gateway of this kernel's server, else to one in this process."""
    from jupyter_core.paths import jupyter_runtime_dir

    from .gateway import announcements, errors, parent_server

    passed = ""
    pid, server_id = parent_server(os.environ) or (0, "")
    for one in announcements(Path(jupyter_runtime_dir()), pid) if pid else ():
        if one.server_id != server_id:  # left by another process of that number
            continue
        try:
            why = f"this kernel's Jupyter Server at {one.url}, which has a configured model"
            at, status = _elsewhere(ways.Place(ways.checked([one.url], "The server"), one.token, why), SERVER_SECONDS)
        except errors.WarpError as error:
            passed = str(error)
            continue
        if status.configured:
            return at
        at.close()
        passed = "No model is configured there."
    return _in_this_process(passed)


def _in_this_process(passed: str) -> Connection:
    """Open a gateway of our own, from the same configuration a server would read."""
    from jupyter_core.paths import jupyter_config_path

    from . import __version__
    from .gateway import LocalGateway, load_config
    from .portal import Portal

    config = load_config(folders=[Path(folder) for folder in jupyter_config_path()])
    why = f"in this process, configured by {config.source or 'the environment'}"
    if config.demo:
        config = config.with_demo()
        why = "in this process; no model is configured, so the demo provider answers"
    if passed:
        why += f". This kernel's Jupyter Server was passed over: {passed}"
    gateway = LocalGateway(config, version=__version__)
    return Connection(gateway, Portal(_new_waiter), config.storage.owner or _user(), why, gateway.warnings)


def _user() -> str:
    return os.environ.get("JUPYTERHUB_USER") or "local"
