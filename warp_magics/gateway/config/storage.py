"""``[storage]`` as the stores want it: one URL, whichever way it was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from .values import Fault, Secret, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from urllib.parse import SplitResult

    from .schema import Sentinel, StorageTable

_TLS: Final = {"valkey": False, "valkeys": True, "redis": False, "rediss": True}
_PARTS: Final = ("host", "port", "username", "password", "database", "tls")
_HOST: Final = "127.0.0.1"
_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Valkey is: ``host`` and ``port``, or a ``socket``."""

    host: str = _HOST
    port: int = _PORT
    socket: str | None = None
    username: str | None = field(default=None, repr=False)
    password: Secret | None = None
    database: int = 0
    tls: bool = False

    @property
    def place(self) -> str:
        """The URL without user and password: for people."""
        return self._url("")

    @property
    def url(self) -> Secret:
        """The whole URL (``redis://``, ``rediss://`` or ``unix://``): for the client."""
        password = f":{quote(self.password.reveal(), safe='')}" if self.password else ""
        user = quote(self.username or "", safe="") + password
        return Secret(self._url(f"{user}@" if user else ""))

    def _url(self, user: str) -> str:
        if self.socket is not None:
            return f"unix://{user}{quote(self.socket)}?db={self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{user}{host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where sessions, streams and counters are kept; ``stream_expiration`` in seconds.

    ``url`` (whole, for the client) and ``server`` (without user and password, for people) are None unless ``type``
    is ``valkey``; ``parts`` are what they are made of. With ``cluster`` they are one of its nodes; with ``sentinel``
    the URL's host and port mean nothing.
    """

    type: Literal["embedded", "valkey", "memory"]
    url: Secret | None
    server: str | None
    parts: Address
    prefix: str
    wait_replicas: int
    keep_running: bool
    stream_expiration: float
    owner: str | None
    cluster: bool
    sentinel: Sentinel | None

    def address(self) -> str:
        """The whole URL as it is connected to, secrets and all."""
        return self.parts.url.reveal()


def storage_settings(table: StorageTable) -> tuple[StorageSettings, list[Fault], list[str]]:
    """The settings of ``[storage]``, what is wrong with them, and what has no effect."""
    given = [name for name in ("url", *_PARTS, "cluster", "sentinel") if getattr(table, name)]
    kind = table.type or ("valkey" if given else "embedded")
    faults, address = [], Address()
    try:
        address = _address(table)
    except Wrong as wrong:
        faults.append(Fault(("storage", "url"), wrong.text))
    remote = kind == "valkey"
    faults += [Fault(("storage", name), text) for name, text in _contradictions(table, address)] if remote else []
    idle = [] if remote else given + ["wait_replicas"] * bool(table.wait_replicas)
    warnings = [f'storage.{name} has no effect while storage.type is "{kind}"' for name in idle]
    if remote and table.sentinel:
        found = "has no effect: the sentinels say where the store is"
        warnings += [f"storage.{name} {found}" for name in ("host", "port") if getattr(table, name)]
    settings = StorageSettings(
        type=kind,
        url=address.url if remote else None,
        server=_server(table, address) if remote else None,
        parts=address if remote else Address(),
        prefix=table.prefix,
        wait_replicas=table.wait_replicas,
        keep_running=table.keep_running,
        stream_expiration=table.stream_expiration,
        owner=table.owner,
        cluster=table.cluster,
        sentinel=table.sentinel,
    )
    return settings, faults, warnings


def _contradictions(table: StorageTable, address: Address) -> Iterator[tuple[str, str]]:
    if table.cluster and table.sentinel:
        yield "sentinel", "watches one server, and storage.cluster says that there are many: write one of the two"
    if table.cluster and address.database:
        yield "cluster", "has one database, 0, and another is named"
    if address.socket is not None and (table.cluster or table.sentinel):
        yield "url", "is a socket of this machine; servers that know of each other have hosts and ports"


def _server(table: StorageTable, address: Address) -> str:
    if table.sentinel:
        return f"{table.sentinel.name}, as told by {', '.join(table.sentinel.hosts)}"
    return address.place


def _address(table: StorageTable) -> Address:
    given = {name: value for name in _PARTS if (value := getattr(table, name)) is not None}
    if table.url is None:
        return Address(**given)
    if given:
        raise Wrong(f"says where the store is, and so does {', '.join(given)}: write one of the two")
    return parsed(table.url.reveal())


def parsed(url: str) -> Address:
    """The address in ``url``; raises Wrong, which never shows it."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise Wrong("is not a URL: its host or port cannot be read") from None
    password = Secret(unquote(parts.password)) if parts.password else None
    user = unquote(parts.username) if parts.username else None
    if parts.scheme == "unix":
        if parts.hostname or not parts.path.strip("/"):
            raise Wrong("names no socket; write unix:///path/to/socket")
        return Address(socket=unquote(parts.path), username=user, password=password, database=_database(parts))
    if parts.scheme not in _TLS:
        raise Wrong("is not a URL that begins with valkey://, valkeys://, redis://, rediss:// or unix://")
    host, tls = parts.hostname or _HOST, _TLS[parts.scheme]
    return Address(host, port or _PORT, None, user, password, _database(parts), tls)


def _database(parts: SplitResult) -> int:
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    text = query.pop("db", "") or path or "0"
    if query or parts.fragment:
        raise Wrong("has parts that are not known: only ?db=NUMBER may stand behind the question mark")
    if not (text.isascii() and text.isdigit() and len(text) <= 4):  # noqa: PLR2004  a Valkey has a few databases
        raise Wrong("names a database that is not a number")
    return int(text)
