"""Tapes: answers recorded beside a notebook and given again, around any gateway. Names only."""

from .gateway import TapeGateway
from .reel import Heard, Mode, Reel

__all__ = ["Heard", "Mode", "Reel", "TapeGateway"]
