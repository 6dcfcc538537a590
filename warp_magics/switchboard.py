"""Switchboard: the calls of pages over a widget's comm are answered, and what they watch is told, as docs/contracts/PANEL.md says.

A call may arrive on any thread, also while a cell computes, and never holds it up: what it asks is done behind the
portal, or in a thread of its own where it is the notebook's. Replies go out from there; ipykernel takes messages from
any thread.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import verbs
from .gateway import errors
from .news import News, Pace
from .verbs import Answer, Arguments, Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connect import Connection, Link
    from .verbs import Notebook

    Key: TypeAlias = tuple[str, int]

_REMEMBERED: Final = 512
_PAGES: Final = 16
"""How many pages may watch: one that was closed does not say so. Whose watch is ended all the same begins it anew."""
_log = logging.getLogger("warp_magics.panel")


@dataclass(frozen=True, slots=True)
class Said:
    """A call as a page has said it."""

    page: str
    call: int
    verb: str
    args: Arguments

    @property
    def key(self) -> Key:
        """What tells it from other calls, and is the same when it is sent again."""
        return self.page, self.call


def call_of(message: object) -> Said | None:
    """Return the call that ``message`` is; None for what cannot even be answered."""
    said = message if isinstance(message, dict) else {}
    page, call, verb, args = (said.get(name) for name in ("page", "call", "verb", "args"))
    if not isinstance(page, str) or not isinstance(call, int):
        return None
    return Said(page, call, str(verb), Arguments(args if isinstance(args, dict) else {}))


class Switchboard:
    """``send`` takes a message to the pages, on any thread; ``done`` is told of each call that was answered well."""

    def __init__(
        self,
        link: Link,
        notebook: Notebook,
        send: Callable[[dict[str, Any]], None],
        done: Callable[[Said, Answer], None],
        pace: Pace | None = None,
    ) -> None:
        self.pace = pace or Pace()
        self._link = link
        self._notebook = notebook
        self._send = send
        self._done = done
        self._closed = False
        self._lock = threading.Lock()
        self._replies: OrderedDict[Key, dict[str, Any] | None] = OrderedDict()
        """Of the newest calls that are run once; None while they run."""
        self._watches: dict[str, tuple[int, Callable[[], None]]] = {}
        """By page: the call that watches, and what ends it."""

    def heard(self, message: object) -> None:
        """Take in what a page has said; returns at once, whichever thread it is."""
        said = call_of(message)
        if said is None or self._closed:
            return
        if said.verb in verbs.OF_NOTEBOOK:
            self._apart(self._serve_notebook, said)
        elif (at := self._link.opened()) is not None:
            self._begin(at, said)
        else:
            self._apart(self._open, said)

    def moved(self) -> None:
        """Tell the pages that watch that the gateway is another one now: what they have seen is not of it."""
        with self._lock:
            watches, self._watches = self._watches, {}
        for page, (call, end) in watches.items():
            end()
            self._send({"page": page, "watch": call, "seq": 0, "events": [{"event": "moved", "id": "", "data": {}}]})

    def close(self) -> None:
        """Answer nobody any more; twice is once."""
        with self._lock:
            self._closed = True
            watches, self._watches = self._watches, {}
        for _, end in watches.values():
            end()

    # -- calls -------------------------------------------------------------------------------------

    @staticmethod
    def _apart(work: Callable[[Said], None], said: Said) -> None:
        threading.Thread(target=work, args=(said,), name="warp-panel", daemon=True).start()

    def _serve_notebook(self, said: Said) -> None:
        try:
            answer = verbs.OF_NOTEBOOK[said.verb](self._notebook, said.args)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page is told
            answer = self._failed(said, error)
        self._reply(said, answer)

    def _open(self, said: Said) -> None:
        try:
            at = self._link.connection(ask=False)
        except Exception as error:  # noqa: BLE001
            self._reply(said, self._failed(said, error))
        else:
            self._begin(at, said)

    def _begin(self, at: Connection, said: Said) -> None:
        if said.verb == "watch":
            self._watch(at, said)
        elif said.verb == "unwatch":
            self._unwatch(said)
        else:
            at.start(partial(self._serve, at, said))

    async def _serve(self, at: Connection, said: Said) -> None:
        if said.verb in verbs.ONCE and self._known(said):
            return
        try:
            answer = await self._answer(at, said)
        except BaseException:  # it was cut off: the page says it again
            with self._lock:
                self._replies.pop(said.key, None)
            raise
        self._reply(said, answer)

    async def _answer(self, at: Connection, said: Said) -> Answer:
        try:
            answer = await verbs.of_gateway(said.verb)(Call(at, said.args, self._notebook.cells.notebook))
        except Exception as error:  # noqa: BLE001
            return self._failed(said, error)
        self._done(said, answer)
        return answer

    @staticmethod
    def _failed(said: Said, error: Exception) -> Answer:
        if not isinstance(error, errors.WarpError):
            _log.error("call_failed verb=%s", said.verb, exc_info=error)
        return verbs.failed(error)

    def _known(self, said: Said) -> bool:
        """Return whether a call is being run or was; then its reply, where there is one, goes out again."""
        with self._lock:
            known, reply = said.key in self._replies, self._replies.get(said.key)
            self._replies.setdefault(said.key, None)
            while len(self._replies) > _REMEMBERED:
                self._replies.popitem(last=False)
        if reply is not None:
            self._send(reply)
        return known

    def _reply(self, said: Said, answer: Answer) -> None:
        reply = {"page": said.page, "reply": said.call, "status": answer.status, "body": answer.body}
        with self._lock:
            if said.key in self._replies:
                self._replies[said.key] = reply
        self._send(reply)

    # -- what is watched ---------------------------------------------------------------------------

    def _watch(self, at: Connection, said: Said) -> None:
        try:
            session_id, after = said.args.text("sessionId"), _after(said.args)
        except errors.WarpError as error:
            self._reply(said, verbs.failed(error))
            return

        async def run() -> None:
            self._reply(said, Answer({}))
            await News(partial(self._tell, said), self.pace).run(at, session_id, after)

        for end in self._kept(said, at.start(run)):
            end()

    def _kept(self, said: Said, end: Callable[[], None]) -> list[Callable[[], None]]:
        """Keep a watch that was begun, ``end`` ends it; returns what ends those that are to be told no more."""
        with self._lock:
            newest, before = self._watches.get(said.page, (0, None))
            if self._closed or newest > said.call:
                return [end]  # two threads brought them in, the later one first
            self._watches.pop(said.page, None)
            self._watches[said.page] = said.call, end
            over = [] if before is None else [before]
            if len(self._watches) > _PAGES:
                over.append(self._watches.pop(next(iter(self._watches)))[1])
        return over

    def _unwatch(self, said: Said) -> None:
        with self._lock:
            _, end = self._watches.pop(said.page, (0, None))
        if end is not None:
            end()
        self._reply(said, Answer({}))

    def _tell(self, said: Said, seq: int, events: list[dict[str, Any]]) -> None:
        self._send({"page": said.page, "watch": said.call, "seq": seq, "events": events})


def _after(args: Arguments) -> dict[str, str]:
    """Return the last event that was seen of each source; raises InvalidRequest."""
    after = args.values.get("after") or {}
    if not isinstance(after, dict) or not all(isinstance(one, str) for one in after.values()):
        raise errors.InvalidRequest("after is to have the id of an event by each source.")
    return after
