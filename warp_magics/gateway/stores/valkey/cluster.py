"""Cluster: which of many places has a key. It asks the nodes when it has to, and never all its users at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from ...errors import StoreUnavailable
from .clients import CALL_SECONDS, MovedError, RedisError, address_of, first, key_slot, url_at, words
from .place import OPEN_SECONDS, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from .clients import AskError

    Address: TypeAlias = tuple[str, int]

_SLOTS: Final = 16384
_READ_SECONDS: Final = 0.5
"""The nodes are asked no more often than this who has what."""


class Cluster:
    """``seed`` returns the URL of any node; the others' have its user, password and encryption.

    The others become known from it, so that it may die later.
    """

    def __init__(self, seed: Callable[[], Awaitable[str]], clock: Callable[[], float]) -> None:
        self._seed = seed
        self._clock = clock
        self._url = ""
        self._places: dict[Address, Place] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._owners: list[Address | None] = []  # by slot
        self._primaries: set[Address] = set()
        self._replicas: set[Address] = set()
        self._reading: asyncio.Task[None] | None = None
        self._read_again_at = 0.0
        self._trouble = ""

    async def of(self, key: str | bytes | None, until: float) -> Place:
        """See Places. A place in trouble is looked for anew: another node may have taken over."""
        slot = None if key is None else key_slot(key.encode() if isinstance(key, str) else key)
        place = self._find(slot)
        if place is None or place.trouble:
            await self._read(until)
            place = self._find(slot)
        if place is None:
            raise StoreUnavailable(self._trouble or "No node of the store's cluster has this key.")
        return place

    def moved(self, error: AskError, place: Place) -> Place:
        """See Places."""
        host = next(host for (host, _), known in self._places.items() if known is place)
        address = (error.host or host, error.port)
        if isinstance(error, MovedError):
            self._owners[error.slot_id] = address
        return self._at(address)

    def all(self) -> list[Place]:
        """See Places."""
        return list(self._places.values())

    def counts(self) -> dict[str, int]:
        """See Places."""
        return {"primaries": len(self._primaries), "replicas": len(self._replicas)}

    async def aclose(self) -> None:
        """Close all connections."""
        if (reading := self._reading) is not None:
            reading.cancel()
            await asyncio.wait([reading])
        await asyncio.gather(*self._closing, *(place.aclose() for place in self.all()))

    def _find(self, slot: int | None) -> Place | None:
        if not self._owners:
            return None
        if slot is None:
            places = [self._at(address) for address in sorted(self._primaries)]
            return next((place for place in places if not place.trouble), places[0])
        address = self._owners[slot]
        return None if address is None else self._at(address)

    def _at(self, address: Address) -> Place:
        if address not in self._places:
            url = url_at(self._url, *address)

            async def locate() -> str:
                return url

            self._places[address] = Place(locate, self._clock)
        return self._places[address]

    async def _read(self, until: float) -> None:
        """Ask who has what, unless that was just done. Only who knows of no node at all waits for another's asking."""
        if self._reading is None:
            if self._clock() < self._read_again_at:
                return
            self._read_again_at = self._clock() + _READ_SECONDS
            self._reading = asyncio.ensure_future(self._look())
            self._reading.add_done_callback(self._has_read)
        elif self._owners:
            return
        try:
            async with asyncio.timeout_at(until):
                await asyncio.shield(self._reading)
        except TimeoutError as error:
            raise StoreUnavailable(words(error)) from error

    def _has_read(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # whoever waited has it

    async def _look(self) -> None:
        """Take the first answer: a node that sleeps or is cut off has none, or another puts it right (MOVED)."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                self._url = await self._seed()
                host, slots = await first(self._slots_of(address) for address in self._asked())
        except (RedisError, OSError, StoreUnavailable) as error:
            self._trouble = words(error)
            self._read_again_at = self._clock() + OPEN_SECONDS
            return
        self._trouble = ""
        self._learn(host, slots)

    def _asked(self) -> set[Address]:
        """All that may answer; those in trouble only where no other is left."""
        known = self._primaries | self._replicas | {address_of(self._url)}
        return {address for address in known if not self._at(address).trouble} or known

    async def _slots_of(self, address: Address) -> tuple[str, list[Any]]:
        [slots] = await self._at(address).send([("CLUSTER", "SLOTS")], asyncio.get_running_loop().time() + CALL_SECONDS)
        if not slots or isinstance(slots, Exception):
            raise StoreUnavailable(f"The store is no cluster (storage.cluster): {slots or 'no node has a slot'}")
        return address[0], slots

    def _learn(self, host: str, slots: list[Any]) -> None:
        owners: list[Address | None] = [None] * _SLOTS
        primaries: set[Address] = set()
        replicas: set[Address] = set()
        for low, high, *nodes in slots:
            primary, *others = [self._address(node, host) for node in nodes]
            owners[low : high + 1] = [primary] * (high + 1 - low)
            primaries.add(primary)
            replicas.update(others)
        self._owners, self._primaries, self._replicas = owners, primaries, replicas
        for gone in self._places.keys() - primaries - replicas - {address_of(self._url)}:
            closing = asyncio.ensure_future(self._places.pop(gone).aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _address(self, node: list[Any], host: str) -> Address:
        """Where a node is; one that does not say its host is where we asked."""
        named = node[0].decode() if node[0] else ""
        return (host if named in {"", "?"} else named, int(node[1]))
