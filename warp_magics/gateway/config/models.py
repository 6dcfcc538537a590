"""The models a file speaks of: the chain, what ``[[model]]`` describes, and their aliases."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from ..errors import UnknownModel
from ..providers import rows
from ..types import Model
from .names import Names, NoKey
from .values import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .merge import ProviderSettings
    from .schema import File, ModelTable


class Catalog:
    """Resolves the names of ``file``; ``faults`` and ``warnings`` tell what it met."""

    def __init__(self, file: File, providers: Mapping[str, ProviderSettings]) -> None:
        self._providers = providers
        self._allow = file.allow
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.tables: dict[Model, ModelTable] = {}
        self.aliases: dict[str, Model] = {}
        for index, table in enumerate(file.model):
            self._describe(index, table)
        for index, table in enumerate(file.model):
            self._name(index, table)
        self.chain = self._chain(file.models) if file.models else self._default_chain()
        self.described = tuple(dict.fromkeys((*self.chain, *self.tables)))

    def _describe(self, index: int, table: ModelTable) -> None:
        model = Model(table.provider, table.model)
        if (text := self._stranger(table.provider)) is not None:
            self.faults.append(Fault(("model", index, "provider"), text))
        elif model in self.tables:
            self.faults.append(Fault(("model", index), f"describes {model} a second time"))
        else:
            self.tables[model] = table

    def _stranger(self, provider: str) -> str | None:
        if provider in self._providers:
            return None
        near = get_close_matches(provider.lower(), self._providers, n=1)
        known = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(self._providers)}"
        return f'there is no provider "{provider}"; {known}'

    def _name(self, index: int, table: ModelTable) -> None:
        model = Model(table.provider, table.model)
        if table.alias is None:
            return
        if table.alias in self.aliases:
            text = f'"{table.alias}" is the alias of {self.aliases[table.alias]} already'
            self.faults.append(Fault(("model", index, "alias"), text))
            return
        namesakes = [other for other in self.tables if other.name == table.alias and other != model]
        if namesakes:
            text = f'"{table.alias}" is the name of {namesakes[0]} already'
            self.faults.append(Fault(("model", index, "alias"), text))
        self.aliases[table.alias] = model

    def _chain(self, specs: tuple[str, ...]) -> tuple[Model, ...]:
        """The models of ``specs``, each once, in order."""
        halves = (spec.partition(":") for spec in specs if spec not in self.aliases)
        named = [Model(provider, name) for provider, _, name in halves if name and provider in self._providers]
        names = Names(self._providers, tuple(dict.fromkeys((*self.tables, *named))), self.aliases)
        chain: list[Model] = []
        keyless: list[Fault] = []
        for index, spec in enumerate(specs):
            try:
                chain.append(names.find(spec))
            except NoKey as error:
                keyless.append(Fault(("models", index), error.message))
            except UnknownModel as error:
                self.faults.append(Fault(("models", index), error.message))
        if chain:  # one file may serve people with keys of their own
            self.warnings += [f"models: {specs[fault.loc[1]]} is passed over: {fault.text}" for fault in keyless]  # type: ignore[index]
        else:
            self.faults += keyless
        twice = dict.fromkeys(model for model in chain if chain.count(model) > 1)
        self.warnings += [f"models names {model} more than once; it is asked once" for model in twice]
        return tuple(dict.fromkeys(chain))

    def _default_chain(self) -> tuple[Model, ...]:
        """The first provider that has a key and a default model, alone."""
        names = Names(self._providers, (), {}, self._allow)
        for row in rows().providers.values():
            if not self._providers[row.name].api_key:
                continue
            if row.default_model is None:
                self.warnings.append(f'{row.name} has a key but no default model: name one, "{row.name}:MODEL"')
            elif names.allows(model := Model(row.name, row.default_model)):
                return (model,)
        return ()
