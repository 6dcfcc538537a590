"""What must never be on a tape, in whichever way a text spells it. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN: Final = "••••"
_SHORTEST: Final = 8  # characters; a shorter secret may be a part of any word
_LONGEST_WORD: Final = 20  # letters; what has no more of them, and nothing else, may be a word


class Secrets:
    """Texts to hide, told one after another."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._spellings: dict[str, None] = {}
        self.add(texts)

    def add(self, texts: Iterable[str]) -> None:
        """Hide ``texts`` from now on, but for those that are too much like a word."""
        for text in map(str.strip, texts):
            if len(text) >= _SHORTEST and not (text.isalpha() and len(text) <= _LONGEST_WORD):
                spelt = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1])
                self._spellings |= dict.fromkeys((*spelt, json.dumps(spelt[1])[1:-1], quote(text, safe="")))

    def hide(self, text: str) -> str:
        """Return ``text`` without any of them."""
        for secret in sorted(self._spellings, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text
