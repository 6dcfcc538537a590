"""PROVIDERS: a vendor is one row; what it speaks is a dialect (a file in ``dialects/``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Provider:
    """Who is called: ``keys`` and ``base_urls`` are the environment variables read for them, first set wins.

    ``local`` providers need no key; they are configured by naming them in ``warp.toml`` or in a model spec.
    """

    name: str
    dialect: str
    base_url: str
    keys: tuple[str, ...] = ()
    base_urls: tuple[str, ...] = ()
    default_model: str | None = None
    local: bool = False


_ROWS: Final = (
    Provider("openai", "openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), ("OPENAI_BASE_URL",), "gpt-4o-mini"),
    Provider(
        "deepseek",
        "openai",
        "https://api.deepseek.com",
        ("DEEPSEEK_API_KEY",),
        ("DEEPSEEK_BASE_URL",),
        "deepseek-chat",
    ),
    Provider("mistral", "openai", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
    Provider("groq", "openai", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
    Provider("openrouter", "openai", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
    Provider("together", "openai", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
    Provider("xai", "openai", "https://api.x.ai/v1", ("XAI_API_KEY",)),
    Provider("ollama", "openai", "http://127.0.0.1:11434/v1", (), ("OLLAMA_BASE_URL",), local=True),
    Provider("lmstudio", "openai", "http://127.0.0.1:1234/v1", (), (), local=True),
    Provider("vllm", "openai", "http://127.0.0.1:8000/v1", (), (), local=True),
    Provider("demo", "demo", "http://demo.invalid", (), (), "ok", local=True),
)

PROVIDERS: Final = {row.name: row for row in _ROWS}
