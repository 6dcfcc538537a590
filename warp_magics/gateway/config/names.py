"""What models are called: ``provider:model``, an alias, or a bare name that is configured once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ..errors import UnknownModel
from ..providers import rows
from ..types import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .merge import ProviderSettings


class NoKey(UnknownModel):
    """A model's provider cannot be called for want of a key."""


@dataclass(frozen=True, slots=True)
class Names:
    """Finds the model somebody means. ``described`` are those the file names, ``allow`` which may be asked for."""

    providers: Mapping[str, ProviderSettings]
    described: Sequence[Model]
    aliases: Mapping[str, Model]
    allow: Sequence[str] | None = None

    def resolve(self, spec: str) -> Model:
        """The model ``spec`` means, if it may be named and its provider can be called; raises UnknownModel."""
        model = self.find(spec)
        if not self.allows(model):
            raise self._unknown(f"the configuration does not allow {model}", spec)
        return model

    def find(self, spec: str) -> Model:
        """The same without a look at ``allow``: the chain is the configuration's own choice."""
        if not spec.isprintable():
            raise self._unknown(
                f"{_quoted(spec)} holds a line break or another character that no model's name has", spec
            )
        model = self.aliases.get(spec) or self._qualified(spec) or self._bare(spec)
        if not self.providers[model.provider].configured:
            raise NoKey(f"{model.provider} has no key: {how_to_add_key(model.provider)}")
        return model

    def _qualified(self, spec: str) -> Model | None:
        provider, colon, name = spec.partition(":")
        return Model(provider, name) if colon and name and provider in self.providers else None

    def _bare(self, spec: str) -> Model:
        found = [model for model in self.described if model.name == spec]
        if len(found) == 1:
            return found[0]
        if found:
            raise self._unknown(f"{_quoted(spec)} is more than one model's name", spec, *map(str, found))
        provider, colon, name = spec.partition(":")
        if not (colon and provider and name):
            raise self._unknown(f"no model is called {_quoted(spec)}; write provider:model", spec)
        near = get_close_matches(provider.lower(), self.providers, n=1)
        raise self._unknown(f"there is no provider {_quoted(provider)}", spec, *(f"{one}:{name}" for one in near))

    def allows(self, model: Model) -> bool:
        """Whether ``model`` may be asked for by name."""
        return self.allow is None or any(fnmatchcase(str(model), pattern) for pattern in self.allow)

    def _unknown(self, text: str, spec: str, *first: str) -> UnknownModel:
        near = list(dict.fromkeys((*first, *self._nearest(spec))))
        advice = f"; did you mean {' or '.join(near)}?" if near else ""
        return UnknownModel(text + advice, details={"nearest": near})

    def _nearest(self, spec: str) -> list[str]:
        """The names nearest to ``spec`` of models that would be answered for."""
        usual = (Model(row.name, row.default_model) for row in rows().providers.values() if row.default_model)
        models = [
            one for one in (*self.described, *usual) if self.allows(one) and self.providers[one.provider].configured
        ]
        names = {str(one): str(one) for one in models} | {one.name: str(one) for one in models}
        names |= {alias: alias for alias, model in self.aliases.items() if model in models}
        near = get_close_matches(spec[:100], names, n=3, cutoff=0.5)
        return [names[one] for one in near if one != spec]


def how_to_add_key(provider: str) -> str:
    """What a person does to make ``provider`` callable."""
    row = rows().providers.get(provider)
    variable = f"set {' or '.join(row.keys)}, or " if row and row.keys else ""
    return f"{variable}write api_key under [providers.{provider}]"


def _quoted(text: str) -> str:
    return json.dumps(text[:100], ensure_ascii=not text.isprintable())
