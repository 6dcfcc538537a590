"""Opening a connection: to a gateway elsewhere, to this kernel's server's, to one in this process, to a tape."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from . import ways

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from .gateway import ChatRequest, Event, Gateway, GatewayStatus, WarpConfig
    from .portal import Portal, Waiter
    from .taping import Tape

_T = TypeVar("_T")

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
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must not be on a tape."""
    _done: bool = field(default=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def is_live(self) -> bool:
        """Whether answers come as they are made: else they are shown once, whole."""
        return self.tape is None or self.tape.mode == "record"

    @property
    def is_open(self) -> bool:
        """Whether it can be used: it is not being closed."""
        return not self._done

    def call(self, work: Callable[[], Awaitable[_T]], seconds: float | None = None) -> _T:
        """Run ``work`` behind the portal and return what it returns; Ctrl-C cancels it.

        Raises GatewayUnreachable where that takes longer than ``seconds``, and once the connection is closed.
        """
        from .gateway import errors

        if self._done:
            raise errors.GatewayUnreachable(f"{self._name} is not used any more.")
        return self.portal.call(work if seconds is None else lambda: _in_time(work, seconds, self._name))

    def start(self, work: Callable[[], Awaitable[object]]) -> Callable[[], None]:
        """As the portal's ``start``; nothing runs once the connection is closed, where the portal would open anew."""
        with self._lock:
            return _nothing if self._done else self.portal.start(work)

    @property
    def _name(self) -> str:
        return _named(self.urls) if self.urls else "The gateway in this process"

    def close(self) -> None:
        """Stop live answers, keep their parts and end the portal's thread; twice is once."""
        with self._lock:
            done, self._done = self._done, True
        if not done:
            self.portal.close(self.gateway.aclose)


def _nothing() -> None:
    pass


def _named(urls: Sequence[str]) -> str:
    return f"The gateway at {' and '.join(urls)}"


async def _in_time(work: Callable[[], Awaitable[_T]], seconds: float, who: str) -> _T:
    """Return what ``work`` returns; raises GatewayUnreachable, which names ``who``, where it takes too long."""
    import asyncio

    from .gateway import errors

    try:
        async with asyncio.timeout(seconds):
            return await work()
    except TimeoutError:
        raise errors.GatewayUnreachable(f"{who} did not answer within {seconds:g} s.") from None


_waiter: Callable[[], Waiter] | None = None
_leaving: Callable[[], bool] | None = None


def wait_with(waiter: Callable[[], Waiter], leaving: Callable[[], bool] | None = None) -> None:
    """Have every call from now on wait by ``waiter``, whether a magic or ``Warp`` makes it.

    ``leaving`` tells that this process was told to end.
    """
    global _waiter, _leaving
    _waiter, _leaving = waiter, leaving


def _new_waiter() -> Waiter:
    from .portal import PlainWaiter

    return _waiter() if _waiter else PlainWaiter()


def elsewhere(place: ways.Place, seconds: float) -> tuple[Connection, GatewayStatus]:
    """Open the gateway at ``place`` and ask how it is, ``seconds`` long at most; raises what a gateway raises."""
    from .gateway import Chances, RemoteGateway
    from .portal import PlainWaiter, Portal

    asked = False
    # While a link is being opened nothing else may come in, as a kernel's loop that is kept running would let it.
    portal = Portal(lambda: _new_waiter() if asked else PlainWaiter())
    gateway = RemoteGateway(place.urls, place.token, chances=Chances(), leaving=_leaving)
    secrets = (place.token,) if isinstance(place.token, str) else ()
    at = Connection(gateway, portal, _user(), place.why, place.warnings, place.urls, secrets=secrets)
    try:
        status = portal.call(lambda: _status(gateway, place.urls, seconds))
    except BaseException:
        at.close()
        raise
    asked = True
    return at, status


async def _status(gateway: Gateway, urls: Sequence[str], seconds: float) -> GatewayStatus:
    """Return how the gateway is; raises GatewayUnreachable and GatewayRefused, which name it."""
    from .gateway import errors

    where = _named(urls)

    async def asked() -> GatewayStatus:
        try:
            return await gateway.status()
        except errors.GatewayRefused as error:
            reason = error.details.get("reason", error.message)
            raise errors.GatewayRefused(f"{where} refuses the token: {reason}") from None
        except errors.WarpError as error:
            raise errors.GatewayUnreachable(f"{where} cannot be used: {error.message}") from None

    return await _in_time(asked, seconds, where)


def taped(used: Tape, ask: Callable[[ChatRequest], AsyncGenerator[Event, None]] | None) -> Connection:
    """Return a connection to a tape, around whoever ``ask`` asks; None where nobody is asked."""
    from .gateway import TapeGateway
    from .portal import Portal

    gateway = TapeGateway(used.reel, used.mode, ask, realtime=used.realtime)
    why = f"a tape in {used.where}; %warp tape tells of it"
    return Connection(gateway, Portal(_new_waiter), "local", why, tape=used)


def near() -> Connection:
    """Return a connection to the gateway of this kernel's server, else to the one that the configuration says.

    Raises GatewayUnreachable where the server keeps its keys and cannot be asked: what it allows and limits holds here.
    """
    from jupyter_core.paths import jupyter_runtime_dir

    from .gateway import KEYS_HIDDEN, announcements, errors, parent_server

    passed = ""
    pid, server_id = parent_server(os.environ) or (0, "")
    for one in announcements(Path(jupyter_runtime_dir()), pid) if pid else ():
        if one.server_id != server_id:  # left by another process of that number
            continue
        try:
            why = f"this kernel's Jupyter Server at {one.url}, which has a configured model"
            at, status = elsewhere(ways.Place(ways.checked([one.url], "The server"), one.token, why), SERVER_SECONDS)
        except errors.WarpError as error:
            passed = str(error)
            continue
        if status.configured:
            return at
        at.close()
        passed = "No model is configured there."
    return _as_configured(passed, hidden=bool(pid and os.environ.get(KEYS_HIDDEN)))


def _as_configured(passed: str, *, hidden: bool) -> Connection:
    """Open what the configuration says that a server would read: the gateway that it names, else one of our own.

    Where the server has ``hidden`` the keys there is none of our own.
    """
    from jupyter_core.paths import jupyter_config_path

    from .gateway import errors, load_config

    try:
        config = load_config(folders=[Path(folder) for folder in jupyter_config_path()])
    except errors.ConfigError:
        if hidden:  # what is amiss are the keys, as it should be
            raise _unanswered(passed) from None
        raise
    if config.gateway is not None:
        at = ways.configured(config.gateway.url, config.gateway.auth, os.environ)
        why = f"{at.why} in {config.source}{_passed_over(passed)}"
        return elsewhere(replace(at, why=why, warnings=(*config.warnings, *at.warnings)), GATEWAY_SECONDS)[0]
    if hidden:
        raise _unanswered(passed)
    return _in_this_process(config, passed)


def _unanswered(passed: str) -> Exception:
    from .gateway import errors

    return errors.GatewayUnreachable(
        "This kernel's Jupyter Server answers for its kernels (server.hide_keys), and cannot be asked: "
        f"{passed.rstrip('.') or 'it has not told where its gateway is'}. Whoever runs it can put that right; "
        "with `hide_keys = false` under [server] of its warp.toml kernels have the keys, too, and answer themselves."
    )


def _passed_over(passed: str) -> str:
    return f". This kernel's Jupyter Server was passed over: {passed}" if passed else ""


def _in_this_process(config: WarpConfig, passed: str) -> Connection:
    from . import __version__
    from .gateway import LocalGateway
    from .portal import Portal

    why = f"in this process, configured by {config.source or 'the environment'}"
    if config.demo:
        config = config.with_demo()
        why = "in this process; no model is configured, so the demo provider answers"
    why += _passed_over(passed)
    gateway = LocalGateway(config, version=__version__)
    secrets = tuple(secret for provider in config.providers.values() for secret in provider.secrets())
    owner = config.storage.owner or _user()
    return Connection(gateway, Portal(_new_waiter), owner, why, gateway.warnings, secrets=secrets)


def _user() -> str:
    return os.environ.get("JUPYTERHUB_USER") or "local"
