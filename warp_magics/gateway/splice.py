"""Splice: an answer that another model began is gone on with as if nothing had happened. Pure."""

from __future__ import annotations


class Splice:
    """Holds back what a new answer says until it has said all that was ``sent`` already."""

    def __init__(self, sent: str) -> None:
        self._sent = sent
        self._at = 0
        self.diverged = False
        """True once the new answer is known to be another than the one that was begun."""

    @property
    def caught_up(self) -> bool:
        """True once all that was sent has been said again, so that what follows is new."""
        return self._at == len(self._sent) and not self.diverged

    def feed(self, text: str) -> str:
        """Return what of ``text`` was not sent yet; nothing of an answer that has diverged."""
        if self.diverged:
            return ""
        known = text[: len(self._sent) - self._at]
        if not self._sent.startswith(known, self._at):
            self.diverged = True
            return ""
        self._at += len(known)
        return text[len(known) :]
