"""WarpConfig: ``warp.toml`` read once, validated whole, frozen; CONFIG.md is its contract.

What a file may hold is in ``schema``, what becomes of it here; the rest of the gateway imports only this.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from ..errors import ConfigError, Restore
from ..finding import find
from ..providers import rows
from ..types import Model, Window
from .faults import redacted, secrets, validate, written
from .merge import Providers, ProviderSettings
from .models import Catalog
from .names import Names
from .public import plain
from .read import read
from .schema import Cache, File, Limits, ModelTable, Restores, Routing, Server
from .storage import StorageSettings, storage_settings
from .values import Expanded, Fault, Secret, expanded, to_camel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .read import Document
    from .schema import GatewayTable
    from .values import Loc

__all__ = [
    "Cache",
    "Limits",
    "ModelSettings",
    "ProviderSettings",
    "Routing",
    "Secret",
    "Server",
    "StorageSettings",
    "WarpConfig",
    "load_config",
]

_RESTORE: Final[Mapping[str, float]] = MappingProxyType(
    {"rate_limit": 60.0, "timeout": 60.0, "provider_error": 60.0, "quota": 600.0}
)
_ANSWERING: Final = ("models", "allow", "model", "providers", "storage", "restore", "routing", "cache")
"""What only a gateway that answers itself acts upon."""
_LONG: Final = 8  # characters; a shorter value from the environment may be a part of any word


_REMEMBERED: Final = 1000
"""Models whose settings are at hand; any name may be asked for."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What holds for one model; ``restore`` is in seconds, ``restore_set`` says which of it somebody wrote."""

    model: Model
    alias: str | None
    context_tokens: int | None
    max_tokens: int | None
    rate: Window | None
    tokens: Window | None
    restore: Mapping[str, float]
    restore_set: frozenset[str]
    stream: bool
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WarpConfig:
    """The configuration. Durations are seconds, sizes bytes; secrets show themselves only to ``reveal()``.

    ``chain`` is asked in order where nobody names a model; it is empty, and ``demo`` true, where none can be. Where
    another ``gateway`` answers, both are not.
    """

    source: Path | None
    warnings: tuple[str, ...]
    chain: tuple[Model, ...]
    demo: bool
    described: tuple[Model, ...]
    """The chain and what ``[[model]]`` describes, in order."""
    aliases: Mapping[str, Model]
    providers: Mapping[str, ProviderSettings]
    session_header: str
    on_disconnect: Literal["finish", "cancel"]
    allow: tuple[str, ...] | None
    storage: StorageSettings
    limits: Limits
    restore: Mapping[str, float]
    restore_set: frozenset[str]
    routing: Routing
    cache: Cache
    server: Server
    gateway: GatewayTable | None
    models: Mapping[Model, ModelTable]
    """What ``[[model]]`` says, as it says it; ``settings`` has the whole."""
    _settings: dict[Model, ModelSettings] = field(default_factory=dict, init=False, repr=False, compare=False)

    def resolve(self, spec: str) -> Model:
        """The model that ``spec`` means (``provider:model``, an alias, a bare configured name).

        Raises UnknownModel, with the nearest names, or with what to do where only the key is missing.
        """
        return Names(self.providers, self.described, self.aliases, self.allow).resolve(spec)

    def settings(self, model: Model) -> ModelSettings:
        """What holds for ``model``: its own, else the file's, else the defaults."""
        if model not in self._settings:
            if len(self._settings) >= _REMEMBERED:
                self._settings.clear()
            self._settings[model] = self._settings_of(model)
        return self._settings[model]

    def _settings_of(self, model: Model) -> ModelSettings:
        table = self.models.get(model) or ModelTable(provider=model.provider, model=model.name)
        own = _restores(table.restore)
        return ModelSettings(
            model=model,
            alias=table.alias,
            context_tokens=table.context_tokens,
            max_tokens=table.limits.max_tokens or self.limits.max_tokens,
            rate=table.limits.rate or self.limits.rate,
            tokens=table.limits.tokens,
            restore=MappingProxyType({**self.restore, **own}),
            restore_set=self.restore_set | frozenset(own),
            stream=table.stream,
            body=MappingProxyType(table.body),
        )

    def with_demo(self) -> WarpConfig:
        """The same with the built-in demo model as the chain."""
        demo = Model("demo", "ok")
        return replace(self, chain=(demo,), described=tuple(dict.fromkeys((demo, *self.described))))

    def public(self) -> dict[str, Any]:
        """Everything but the secrets, as JSON knows it: for ``%warp config``."""
        shown: dict[str, Any] = plain(self)
        return shown | {"models": [plain(self.settings(model)) for model in self.described]}


def load_config(
    *, path: Path | None = None, folders: Sequence[Path] = (), env: Mapping[str, str] = os.environ
) -> WarpConfig:
    """Read the configuration: at ``path``, else ``$WARP_CONFIG``, else ``warp.toml`` in the first of ``folders``.

    With no file the environment's keys decide. Raises ConfigError, which tells everything that is wrong.
    """
    document = read(find(path, folders, env), env)
    file, faults, whole = validate(document.data, document.shown, camel=document.camel)
    unread = {fault.loc for fault in document.faults}
    faults = [*document.faults, *(fault for fault in faults if fault.loc not in unread)]
    hidden = _hidden(document, env)
    if whole and not any(loc[0] in {"models", "model"} for loc in unread):
        config, more = _built(document, file, env)
        faults += [fault for fault in more if fault.loc not in unread]
    if faults:
        raise _complaint(document, faults, hidden)
    return replace(config, warnings=tuple(dict.fromkeys(redacted(text, hidden) for text in config.warnings)))


def _built(document: Document, file: File, env: Mapping[str, str]) -> tuple[WarpConfig, list[Fault]]:
    idle = _answering(file) if file.gateway else ()
    if file.gateway:  # another answers: what an answer needs is neither read nor missed
        file, env = file.model_copy(update={name: getattr(File(), name) for name in idle}), {}
    providers = Providers(env, document.folder)
    merged = providers.merged(file.providers)
    catalog = Catalog(file, merged)
    storage, storage_faults, storage_warnings = storage_settings(file.storage)
    warnings = [*document.translation.warnings, *_literal_keys(document), *rows().warnings]
    warnings += [*providers.warnings, *catalog.warnings]
    warnings += storage_warnings
    warnings += [f"{_place(document, (name,))} has no effect beside gateway, which answers instead" for name in idle]
    if document.source and catalog.chain and not file.models:
        warnings.append(f"models is not set: {catalog.chain[0]} is the chain, because its provider has a key")
    restore = _restores(file.restore)
    config = WarpConfig(
        source=document.source,
        warnings=tuple(warnings),
        chain=catalog.chain,
        demo=not catalog.chain and file.gateway is None,
        described=catalog.described,
        aliases=MappingProxyType(catalog.aliases),
        providers=merged,
        session_header=file.session_header,
        on_disconnect=file.on_disconnect,
        allow=file.allow,
        storage=storage,
        limits=file.limits,
        restore=MappingProxyType({**_RESTORE, **restore}),
        restore_set=frozenset(restore),
        routing=file.routing,
        cache=file.cache,
        server=_server(file.server, document),
        gateway=file.gateway,
        models=MappingProxyType(catalog.tables),
    )
    faults = [*providers.faults, *catalog.faults, *storage_faults]
    return config, [Fault(_in_style(document, fault.loc), fault.text) for fault in faults]


def _answering(file: File) -> tuple[str, ...]:
    """Return what somebody wrote of that which only a gateway that answers itself acts upon."""
    usual = File()
    return tuple(name for name in _ANSWERING if getattr(file, name) != getattr(usual, name))


def _restores(table: Restores) -> dict[str, float]:
    values: dict[str, float | None] = {name: getattr(table, name) for name in get_args(Restore)}
    return {name: value for name, value in values.items() if value is not None}


def _server(server: Server, document: Document) -> Server:
    """With paths from the file's folder on, and keys hidden unless there is no file or it says otherwise."""
    hide = document.source is not None if server.hide_keys is None else server.hide_keys
    token_file = server.token_file and str(document.folder / Path(server.token_file).expanduser())
    return server.model_copy(update={"hide_keys": hide, "token_file": token_file})


def _literal_keys(document: Document) -> Iterator[str]:
    key = "apiKey" if document.camel else "api_key"
    for name, table in document.data.get("providers", {}).items():
        if key in table and not isinstance(table[key], Expanded):
            place = _place(document, ("providers", name, key))
            yield f'{place}: the key itself stands in the file; write "${{VARIABLE}}" or use {key}{"File" if document.camel else "_file"}'


def _in_style(document: Document, loc: Loc) -> Loc:
    """``loc`` as the file writes it: camelCase in JSON, but for the names somebody gave."""
    if not document.camel:
        return loc
    given = 1 if loc[0] == "providers" else None
    return tuple(to_camel(part) if isinstance(part, str) and at != given else part for at, part in enumerate(loc))


def _place(document: Document, loc: Loc) -> str:
    return written(document.translation.origin(_in_style(document, loc)))


def _hidden(document: Document, env: Mapping[str, str]) -> set[str]:
    """What no message may hold, were it to get there by a way nobody thought of."""
    keys = (env.get(variable, "").strip() for row in rows().providers.values() for variable in row.keys)
    texts = (*expanded(document.data), *keys)
    return secrets(document.data) | {text for text in texts if len(text) >= _LONG}


def _complaint(document: Document, faults: Iterable[Fault], hidden: set[str]) -> ConfigError:
    places = ((written(document.translation.origin(fault.loc)), fault.text) for fault in faults)
    lines = list(dict.fromkeys(redacted(f"{place}: {text}", hidden) for place, text in places))
    source = str(document.source or "the environment")
    text = lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} faults", *lines])
    return ConfigError(f"{source}: {text}", details={"file": source, "faults": lines})
