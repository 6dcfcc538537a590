"""Which gateway this process uses, and why: one elsewhere, this kernel's server's, or one in this process.

Decided and opened when first used, closed at the process's exit; until ``disconnect`` it is not decided again.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from . import taping, ways
from .opening import GATEWAY_SECONDS, SERVER_SECONDS, Connection, elsewhere, near, taped, wait_with

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from .gateway import ChatRequest, Event
    from .taping import Tape

    _Ask: TypeAlias = Callable[[str], str]


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
                if used.mode == "record":  # what is wrong with it is said now, and who is asked for a token is there
                    used.reel.hide(self._real(ask=ask).secrets)
                self._close_taped()
                self._taped = _held(taped(used, None if used.mode == "replay" else self._ask))
            return self._taped

    def opened(self) -> Connection | None:
        """Return the connection where it is open; opens none and waits for nothing."""
        used = tape()
        at = self._now if used is None else self._taped
        return at if at is not None and at.is_open and at.tape is used else None

    def _real(self, *, ask: bool = True) -> Connection:
        if self._now is None:
            place = self._place or self._choose(None if ask else ways.unasked)
            seconds = GATEWAY_SECONDS if ask else SERVER_SECONDS
            return self._hold(elsewhere(place, seconds)[0] if place else near(), place)
        return self._now

    async def _ask(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Ask who is behind the tape."""
        import asyncio

        def opened() -> Connection:
            with self._lock:
                return self._real()

        at = await asyncio.to_thread(opened)
        if used := tape():
            used.reel.hide(at.secrets)
        asked = replace(request, owner=at.owner)
        async with contextlib.aclosing(at.portal.astream(lambda: at.gateway.stream(asked))) as events:
            async for event in events:
                yield event

    def move(self, place: ways.Place) -> Connection:
        """Use the gateway at ``place`` from now on; where that fails the connection there was stays."""
        with self._lock:
            at, _ = elsewhere(place, GATEWAY_SECONDS)
            try:
                self._close_real()  # a tape around it stays, and asks the other from now on
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
        self._close_real()

    def _close_real(self) -> None:
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


__all__ = [
    "GATEWAY_SECONDS",
    "SERVER_SECONDS",
    "Connection",
    "Link",
    "connect",
    "connection",
    "disconnect",
    "link",
    "shared",
    "tape",
    "use_tape",
    "wait_with",
]

_links: weakref.WeakSet[Link] = weakref.WeakSet()
_parents: list[Connection] = []  # kept in a forked child, where closing them would close what is the parent's
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

    Without a ``folder`` the one before stays. Where the environment wants this run replayed it is, unless a folder of
    another tape is named. Raises ConfigError for a ``mode`` that is none.
    """
    before = tape()
    if taping.holds(os.environ) and folder is None:
        mode = "replay"
    folder = folder or (str(before.reel.folder) if before else None)
    used = None if mode == taping.OFF else taping.new_tape(mode, folder, os.environ, realtime=realtime)
    _tape[:] = [used]
    for one in list(_links):
        one.let_go()


def shared() -> Link:
    """Return the link by which this process asks, unless told another."""
    return _process


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
