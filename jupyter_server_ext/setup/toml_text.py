"""Answers to ``jupyter warp init`` as the text of a ``warp.toml``. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Storage: TypeAlias = Literal["embedded", "valkey", "memory"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_DELETE: Final = "\x7f"  # the one control character that JSON leaves as it is and TOML refuses
_WHERE: Final[dict[Storage, str]] = {
    "embedded": "a Valkey of your own, shared by your notebooks and your server",
    "valkey": "a Valkey or Redis that runs elsewhere",
    "memory": "conversations end with the process",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A provider that is to be called, and its model in the chain.

    Its key is in the environment's ``variable``, in ``key_file``, or it needs none. ``base_url`` makes it a server
    that speaks OpenAI's dialect, beside the providers that are known by name.
    """

    name: str
    model: str
    base_url: str = ""
    variable: str = ""
    key_file: str = ""

    @property
    def spec(self) -> str:
        """``provider:model``."""
        return f"{self.name}:{self.model}"


@dataclass(frozen=True, slots=True)
class Answers:
    """What is to be in the file; ``chain`` is in the order of asking, ``storage_url`` may hold a password."""

    chain: tuple[Chosen, ...]
    storage: Storage = "embedded"
    storage_url: str = field(default="", repr=False)
    port: int = 3042


def toml_text(answers: Answers) -> str:
    """The whole file, with comments."""
    return "\n".join(_lines(answers)) + "\n"


def quoted(text: str) -> str:
    """``text`` as a TOML string on one line; any text but one with lone surrogates."""
    return json.dumps(text, ensure_ascii=False).replace(_DELETE, "\\u007f")


def _lines(answers: Answers) -> Iterator[str]:
    yield "# Written by `jupyter warp init`."
    yield ""
    yield "# Asked in this order: the next one answers when one cannot."
    yield f"models = [{', '.join(quoted(chosen.spec) for chosen in answers.chain)}]"
    for chosen in answers.chain:
        if settings := list(_provider(chosen)):
            yield from ("", f"[providers.{_key(chosen.name)}]", *settings)
    yield from ("", "[storage]", f"type = {quoted(answers.storage)}  # {_WHERE[answers.storage]}")
    if answers.storage_url:
        yield f"url = {quoted(answers.storage_url)}"
    yield from ("", "[server]", f"port = {answers.port}  # of the gateway alone; a Jupyter Server has its own")


def _provider(chosen: Chosen) -> Iterator[str]:
    if chosen.base_url:
        yield 'dialect = "openai"'
        yield f"base_url = {quoted(chosen.base_url)}"
    if chosen.variable:
        yield f"api_key = {quoted(f'${{{chosen.variable}}}')}  # from the environment"
    if chosen.key_file:
        yield f"api_key_file = {quoted(chosen.key_file)}  # holds the key and nothing else"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else quoted(name)
