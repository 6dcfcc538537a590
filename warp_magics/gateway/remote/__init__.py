"""RemoteGateway: the same protocol over REST."""

from .gateway import RemoteGateway
from .line import Waits

__all__ = ["RemoteGateway", "Waits"]
