"""Live: one answer being made here. An event is numbered, logged in batches, and shown once the store has it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .errors import FenceLost, StoreUnavailable
from .signals import tell
from .types import Begun, Ended, Failed, Text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from .stores.base import Hold, Lives, Store
    from .turns import Opened
    from .types import Event

log = logging.getLogger("warp_magics.streams")

LOG_SECONDS: Final = 0.25
"""A store that takes longer over a batch is waited for no more: the answer goes on unlogged."""
_AGAIN_SECONDS: Final = 1.0  # as long as a store in trouble is left alone
_BATCH: Final = 1000  # events; a script takes only so many arguments
_REST: Final = 4000
_MANY: Final = 64
WHOLE_SECONDS: Final = 0.1
"""How long the pieces of an answer that is asked for whole gather before they are logged: what a lost process may lose."""
NOT_LOGGED: Final = "storage was slow or away: some of this answer was shown before it was logged"


class Shown:
    """The events of one stream that may be seen, from the first on, for any number of readers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._error: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._patient: list[asyncio.Future[None]] = []
        """Those who wait for the end alone."""

    def add(self, events: Sequence[Event]) -> None:
        """Show ``events``, too."""
        self.events.extend(events)
        self._wake()

    def fail(self, error: Exception) -> None:
        """Have all readers end with ``error``: nothing more can be read."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._error or self.ended:
            waiting += self._patient
            self._patient = []
        _wake(waiting)

    @property
    def ended(self) -> bool:
        """True once the terminal event can be seen."""
        return bool(self.events) and isinstance(self.events[-1], Ended | Failed)

    async def read(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Yield the events behind number ``after``, those to come included, until the terminal one."""
        while True:
            while after < len(self.events):
                event = self.events[after]
                after += 1
                yield event
                if isinstance(event, Ended | Failed):
                    return
            if self.ended:
                return
            if self._error is not None:
                raise self._error
            await _woken(self._waiting)

    async def last(self) -> Event:
        """Return the terminal event, once it is there."""
        if not self.ended and self._error is None:
            await _woken(self._patient)
        if self._error is not None:
            raise self._error
        return self.events[-1]


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for one in waiting:
        if not one.done():
            one.set_result(None)


async def _woken(waiting: list[asyncio.Future[None]]) -> None:
    waiting.append(woken := asyncio.get_running_loop().create_future())
    await woken


class Live:
    """One answer being made: its log here, its log in the store, and the task that makes it.

    ``read_along`` False is of one that is asked for whole: its events gather for WHOLE_SECONDS before they are logged.
    """

    def __init__(
        self, owner: str, turn_id: str, session_id: str | None, *, unread: bool = False, read_along: bool = True
    ) -> None:
        self.read_along = read_along
        self.owner = owner
        self.turn_id = turn_id
        self.session_id = session_id
        """As its asker gave it."""
        self.unread = unread
        """True where whoever asks reads nothing here: an answer that cannot be followed is then of no use."""
        self.askers = 0
        self.stream_id: str | None = None
        self.made_as: str | None = None
        """The stream that is shown here, where another answer than one of ours is."""
        self.begun: Begun | None = None
        self.placed = asyncio.Event()
        """Set once ``begun`` says which turn this is, or it is known that it is none."""
        self.task: asyncio.Task[None] | None = None
        self.stoppable = True
        """False once only the storing is left: what has come is never dropped for a stop that comes late."""
        self.shown = Shown()
        self.unlogged = False
        """True once an event was shown that the store may not have."""
        self._prefix = "1"
        self._minted: list[Event] = []
        self._logged = 0
        self._more = asyncio.Event()
        self._held_up: list[asyncio.Future[None]] = []
        self._log: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Writes the log, where there is one, until the end."""
        self._writing: asyncio.Task[None] | None = None
        """That at work, once there is something to write: most answers that are asked for whole are over before."""
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, opened: Opened, store: Store, lives: Lives) -> None:
        """Take on the turn's number, from which events have their ids; log them from now on, where it is kept."""
        self.stream_id, self._prefix = opened.stream_id, str(opened.n)
        if opened.hold is not None:
            self.begun = Begun(opened.hold.key.id, opened.turn_id, f"{opened.hold.key.id}~{opened.n}")
            self._log = partial(self._write, store, opened.hold, lives)
        self.placed.set()

    def is_elsewhere(self, begun: Begun) -> None:
        """Take it that this turn has its answer already, which is what is shown here."""
        self.begun, self.made_as = begun, begun.stream_id
        self.placed.set()

    def put(self, events: Sequence[Event]) -> None:
        """Give ``events`` the next ids and show them as soon as they may be seen."""
        if not events:
            return
        for event in events:
            self._minted.append(self.named(event))
        if self._log is None or self.unlogged:
            self._show(len(self._minted))
        if self._log is None:
            return
        if self.read_along or len(self._minted) - self._logged >= _BATCH:
            self._write_now()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WHOLE_SECONDS, self._write_now)

    def _write_now(self) -> None:
        self._drop_timer()
        if self._log is not None and self._writing is None:
            self._writing = asyncio.create_task(self._log())
            self._writing.add_done_callback(lambda _: self._go_on())
        self._more.set()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def relay(self, events: Sequence[Event]) -> None:
        """Show ``events`` of an answer made elsewhere, which have their ids."""
        self._minted += events
        self._show(len(self._minted))

    def named(self, event: Event) -> Event:
        """Return ``event`` with the id that it would have now."""
        name = f"{self._prefix}-{len(self._minted) + 1}"
        if isinstance(event, Text):  # most are
            return Text(event.text, name)
        return Ended(event.response, name) if isinstance(event, Ended) else replace(event, id=name)

    def rest(self) -> list[Event]:
        """Return the events not known to be logged; none where they are too many to be logged with the turn."""
        rest = self._minted[self._logged :]
        return rest if len(rest) <= _REST else []

    def end(self, event: Event) -> None:
        """Show ``event``, the last one, and all before it."""
        self._log = None
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._drop_timer()
        self.put([event])
        self.placed.set()

    async def keep_up(self) -> None:
        """Let a provider that floods us wait: for others to have their turn, and for its words to be logged."""
        if len(self._minted) - len(self.shown.events) > _MANY:
            await asyncio.sleep(0)
        while len(self._minted) - self._logged > 2 * _BATCH and self._is_logging():
            await _woken(self._held_up)

    def _is_logging(self) -> bool:
        return self._writing is not None and not self._writing.done() and not self.unlogged

    @property
    def notes(self) -> tuple[str, ...]:
        """What its asker is to be warned of."""
        return (NOT_LOGGED,) if self.unlogged else ()

    def stop(self) -> None:
        """Have the answer end here; its part is kept as a stopped turn."""
        if self.task is not None and self.stoppable:
            self.stoppable = False
            self.task.cancel()

    def _show(self, upto: int) -> None:
        seen = len(self.shown.events)
        if upto > seen:
            self.shown.add(self._minted[seen:upto])

    def _go_unlogged(self) -> None:
        if not self.unlogged:
            tell(log, "stream_unlogged", level=logging.WARNING, stream=self.stream_id)
            self.unlogged = True
            self._show(len(self._minted))
            self._go_on()

    def _go_on(self) -> None:
        held_up, self._held_up = self._held_up, []
        _wake(held_up)

    async def _write(self, store: Store, hold: Hold, lives: Lives) -> None:
        """Log batch after batch: while one is on its way, the next gathers."""
        loop = asyncio.get_running_loop()
        while True:
            await self._more.wait()
            batch = self._minted[self._logged : self._logged + _BATCH]
            upto = self._logged + len(batch)
            if upto == len(self._minted):
                self._more.clear()
            if not batch:
                continue
            patience = loop.call_later(LOG_SECONDS, self._go_unlogged)
            try:
                said = await store.log(hold, batch, lives)
            except StoreUnavailable:
                self._go_unlogged()
                await asyncio.sleep(_AGAIN_SECONDS)
                self._more.set()
                continue
            except FenceLost:
                if self.stoppable:  # else its turn, stored with all that was left, has overtaken this batch
                    self._go_unlogged()
                return
            finally:
                patience.cancel()
            self._logged = said.last
            if said.last < upto:  # the log lacks some of those before
                self._more.set()
            self._show(said.last)
            self._go_on()
            if said.stop:
                self.stop()
