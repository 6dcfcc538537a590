"""PROVIDERS: a vendor is one row; what it speaks is a dialect (a file in ``dialects/``).

Other packages add rows by the entry point ``warp_magics.providers``: a Provider, or a function that returns one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from . import plugins
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Provider:
    """Who is called: ``keys`` and ``base_urls`` are the environment variables read for them, first set wins.

    ``local`` providers need no key; they are configured by naming them in ``warp.toml`` or in a model spec.
    ``prices`` is its id in genai-prices.
    """

    name: str
    dialect: str
    base_url: str
    keys: tuple[str, ...] = ()
    base_urls: tuple[str, ...] = ()
    default_model: str | None = None
    local: bool = False
    prices: str | None = None


_ROWS: Final = (
    Provider(
        "openai",
        "openai",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL",),
        "gpt-4o-mini",
        prices="openai",
    ),
    Provider(
        "anthropic",
        "anthropic",
        "https://api.anthropic.com",
        ("ANTHROPIC_API_KEY",),
        ("ANTHROPIC_BASE_URL",),
        "claude-sonnet-4-5",
        prices="anthropic",
    ),
    Provider(
        "gemini",
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        (),
        "gemini-2.5-flash",
        prices="google",
    ),
    Provider(
        "deepseek",
        "deepseek",
        "https://api.deepseek.com",
        ("DEEPSEEK_API_KEY",),
        ("DEEPSEEK_BASE_URL",),
        "deepseek-chat",
        prices="deepseek",
    ),
    Provider(
        "cohere",
        "cohere",
        "https://api.cohere.com",
        ("COHERE_API_KEY", "CO_API_KEY"),
        ("CO_API_URL",),
        "command-a-03-2025",
        prices="cohere",
    ),
    Provider("mistral", "mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), prices="mistral"),
    Provider("groq", "openai", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), prices="groq"),
    Provider("openrouter", "openai", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), prices="openrouter"),
    Provider("together", "openai", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",), prices="together"),
    Provider("xai", "openai", "https://api.x.ai/v1", ("XAI_API_KEY",), prices="x-ai"),
    Provider("ollama", "openai", "http://127.0.0.1:11434/v1", (), ("OLLAMA_BASE_URL",), local=True),
    Provider("lmstudio", "openai", "http://127.0.0.1:1234/v1", (), (), local=True),
    Provider("vllm", "openai", "http://127.0.0.1:8000/v1", (), (), local=True),
    Provider("demo", "demo", "http://demo.invalid", (), (), "ok", local=True),
)

PROVIDERS: Final = {row.name: row for row in _ROWS}
DIALECTS: Final = frozenset({"anthropic", "cohere", "deepseek", "demo", "gemini", "mistral", "openai"})


@dataclass(frozen=True, slots=True)
class Rows:
    """All providers that can be named, the built-in ones first; ``warnings`` tell of packages that cannot be used."""

    providers: Mapping[str, Provider]
    warnings: tuple[str, ...] = ()


@cache
def rows() -> Rows:
    """Return PROVIDERS and what other packages add to them."""
    found, warnings = dict(PROVIDERS), []
    for name, point in sorted(plugins.points(plugins.PROVIDERS).items()):
        try:
            row = _row(name, plugins.load(point))
        except ConfigError as error:
            warnings.append(error.message)
        else:
            if found.setdefault(name, row) is not row:
                warnings.append(f"the provider {name!r} of another package is passed over: that name is built in")
    return Rows(MappingProxyType(found), tuple(warnings))


def _row(name: str, given: object) -> Provider:
    try:
        row = given() if callable(given) else given
    except Exception as error:
        raise ConfigError(f"the provider {name!r} of another package cannot be used: {error!r}") from error
    if not isinstance(row, Provider) or row.name != name:
        raise ConfigError(f"the provider {name!r} of another package is no Provider row of that name")
    return row


def dialects() -> tuple[str, ...]:
    """Return the names of all dialects, those of other packages too."""
    return tuple(sorted(DIALECTS | plugins.points(plugins.DIALECTS).keys()))
