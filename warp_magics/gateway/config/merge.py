"""Who can be called: each row of ``providers`` with what the file and the environment say about it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..providers import Provider, rows
from .schema import ProviderTable, RateLimits, http_url
from .values import Fault, Secret, Wrong

if TYPE_CHECKING:
    from collections.abc import Mapping

_TELLING: Final = 4


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A provider as it is called. ``limits`` hold over all its models; ``verify`` is a file of CA certificates.

    ``configured``: it can be called: it has a key, needs none, or the file says where it is.
    """

    name: str
    dialect: str
    base_url: str
    api_key: Secret | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)
    verify: str | None = None
    proxy: str | None = field(default=None, repr=False)
    limits: RateLimits = field(default_factory=RateLimits)
    local: bool = False
    configured: bool = False
    prices: str | None = None
    """Its id in genai-prices."""
    variables: tuple[str, ...] = ()
    """The environment variables that can hold its key."""

    def secrets(self) -> tuple[str, ...]:
        """What no message about it may hold. Shorter texts (a local server's "x") are parts of any word."""
        proxy = urlsplit(self.proxy).password if self.proxy else None
        texts = (self.api_key.reveal() if self.api_key else "", *self.revealed_headers().values(), proxy or "")
        return tuple(sorted({text for text in texts if len(text) >= _TELLING}, key=len, reverse=True))

    def revealed_headers(self) -> dict[str, str]:
        """The configured headers as they are sent."""
        return {name: value.reveal() for name, value in self.headers.items()}


class Providers:
    """Merges the rows with the file's tables and the environment; ``faults`` and ``warnings`` tell what it met."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = env
        self._folder = folder
        self.faults: list[Fault] = []
        self.warnings: list[str] = []

    def merged(self, tables: Mapping[str, ProviderTable]) -> Mapping[str, ProviderSettings]:
        """Every provider that can be named, the rows first, in their order."""
        known = rows().providers
        merged = {name: self._provider(row, tables.get(name, ProviderTable())) for name, row in known.items()}
        for name, table in tables.items():
            if name not in known and (row := self._new(name, table)):
                merged[name] = self._provider(row, table)
        return MappingProxyType(merged)

    def _new(self, name: str, table: ProviderTable) -> Provider | None:
        lacking = [key for key in ("dialect", "base_url") if getattr(table, key) is None]
        if lacking:
            self._fault(
                f"is none of the known providers ({', '.join(rows().providers)}); a new one needs {' and '.join(lacking)}",
                name,
            )
            return None
        return Provider(name, str(table.dialect), str(table.base_url))

    def _provider(self, row: Provider, table: ProviderTable) -> ProviderSettings:
        api_key = self._key(row, table)
        return ProviderSettings(
            name=row.name,
            dialect=table.dialect or row.dialect,
            base_url=table.base_url or self._base_url(row),
            api_key=api_key,
            headers=MappingProxyType(dict(table.headers)),
            verify=self._verify(row.name, table),
            proxy=table.proxy.reveal() if table.proxy else None,
            limits=table.limits,
            local=row.local,
            configured=bool(api_key or row.local or table.base_url),
            prices=row.prices,
            variables=row.keys,
        )

    def _base_url(self, row: Provider) -> str:
        for variable in row.base_urls:
            if value := self._env.get(variable, "").strip():
                try:
                    return http_url(value)
                except Wrong as wrong:
                    self.faults.append(Fault((f"${variable}",), wrong.text))
        return row.base_url

    def _key(self, row: Provider, table: ProviderTable) -> Secret | None:
        if table.api_key and table.api_key_file:
            self._fault("stands beside api_key: write one of the two", row.name, "api_key_file")
        if table.api_key:
            return table.api_key
        if table.api_key_file:
            return self._key_file(row.name, self._path(table.api_key_file))
        values = (self._env.get(variable, "").strip() for variable in row.keys)
        return next((Secret(value) for value in values if value), None)

    def _key_file(self, name: str, path: Path) -> Secret | None:
        try:
            text = path.read_text("utf-8").strip()
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "is not a text file"
            self._fault(f"{path} cannot be read: {why}", name, "api_key_file")
            return None
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            self.warnings.append(f"{path} can be read by others: chmod 600 it")
        if not (text and text.isascii() and text.isprintable()):
            self._fault(f"{path} is empty or holds more than a key", name, "api_key_file")
            return None
        return Secret(text)

    def _verify(self, name: str, table: ProviderTable) -> str | None:
        if table.verify is None:
            return None
        path = self._path(table.verify)
        if not path.is_file():
            self._fault(f"{path} is no file; write the path of a file of CA certificates", name, "verify")
        return str(path)

    def _path(self, text: str) -> Path:
        return self._folder / Path(text).expanduser()

    def _fault(self, text: str, *loc: str) -> None:
        self.faults.append(Fault(("providers", *loc), text))
