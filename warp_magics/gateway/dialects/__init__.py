"""Wire formats, a file each; ``dialect`` finds one by the name a provider row gives.

Other packages add theirs by the entry point ``warp_magics.dialects``: a name, and a class without arguments.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from .. import plugins
from ..errors import ConfigError

if TYPE_CHECKING:
    from .base import Dialect

_CLASSES: Final = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "mistral": "Mistral",
    "demo": "Demo",
}


def dialect(name: str) -> Dialect:
    """Return the dialect called ``name``.

    Raises LookupError where there is none, ConfigError where the package that brings it cannot be used.
    """
    if name in _CLASSES:
        return getattr(import_module(f".{name}", __name__), _CLASSES[name])()  # type: ignore[no-any-return]
    point = plugins.points(plugins.DIALECTS).get(name)
    if point is None:
        raise LookupError(f"there is no dialect called {name!r}")
    made: Dialect = plugins.load(point, make=True)
    lacking = [
        method for method in ("encode", "decoder", "decode", "error") if not callable(getattr(made, method, None))
    ]
    if lacking:
        raise ConfigError(f"The dialect {name!r} of another package has no {' and no '.join(lacking)}.")
    return made
