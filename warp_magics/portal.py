"""Portal: this process's gateway lives on a loop in a thread of its own; the main thread waits and draws.

The kernel's own loop is not touched. Ctrl-C cancels what runs behind the portal, waits a moment for it to
keep the part that came, and then is a KeyboardInterrupt like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import signal
import sys
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from types import FrameType

    from anyio.from_thread import BlockingPortal

_T = TypeVar("_T")

GRACE_SECONDS: Final = 0.8
"""How long an interrupted call may clean up: a part to be stored, a connection to be closed."""
QUIET_SECONDS: Final = 0.1
"""A second Ctrl-C this soon after the first says the same; passed on, it can cost ipykernel the cell's reply."""
CLOSE_SECONDS: Final = 5.0
"""How long the process's end waits for each: what runs last on the loop, the loop's end, the thread's."""
POLL_SECONDS: Final = 0.1
"""A wait is a short one, again and again: on Windows, and where another thread took the signal, nothing breaks it."""
_log = logging.getLogger("warp_magics.portal")
_INTERRUPT: Final = object()
_LULL: Final = object()


class Waiter(Protocol):
    """How the main thread waits for what the portal's thread puts."""

    def put(self, item: object) -> None:
        """Hand ``item`` over; may be called from any thread and from a signal handler."""

    def get(self, until: float | None) -> Any:
        """Return the next item; raises queue.Empty at ``until`` (monotonic seconds, None: never)."""

    def close(self) -> None:
        """Undo what the waiter has changed around it."""


class PlainWaiter:
    """Blocks the main thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.put = self._queue.put

    def get(self, until: float | None) -> Any:
        """See Waiter."""
        while True:
            left = POLL_SECONDS if until is None else min(POLL_SECONDS, until - time.monotonic())
            try:
                return self._queue.get(timeout=max(0.0, left))
            except queue.Empty:
                if until is not None and time.monotonic() >= until:
                    raise

    def close(self) -> None:
        """See Waiter."""


class _End:
    """The call has ended: its error, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Portal:
    """One loop thread, started when first used; ``waiter`` gives each call its way of waiting."""

    def __init__(self, waiter: Callable[[], Waiter] = PlainWaiter) -> None:
        self._waiter = waiter
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._portal: BlockingPortal | None = None

    def call(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run ``work`` behind the portal and return what it returns; Ctrl-C cancels it."""
        with contextlib.closing(self.stream(_once(work))) as results:
            return next(results)

    def stream(
        self, source: Callable[[], AsyncGenerator[_T, None]], lull: tuple[float, _T] | None = None
    ) -> Generator[_T, None, None]:
        """Yield what ``source`` yields behind the portal. Close the generator: an early end cancels the source.

        ``lull`` is (seconds, item): where nothing comes for so long after an item, this one is yielded, once.
        """
        waiter = self._waiter()
        guard = _Sigint(waiter.put)
        running = _Running(source, waiter.put)
        try:
            with guard:
                self._started().start_task_soon(running.pump)
            yield from self._items(waiter, guard, running, lull)
        finally:
            try:
                if not running.ended:
                    _leave(waiter, guard, running)
            finally:
                waiter.close()

    @staticmethod
    def _items(
        waiter: Waiter, guard: _Sigint, running: _Running, lull: tuple[float, _T] | None
    ) -> Generator[Any, None, None]:
        until = None
        while True:
            with guard:  # only while waiting: the caller's own code is interrupted as ever
                item = _next(waiter, until)
                if item is _INTERRUPT:
                    guard.taken()
                    _drain(waiter, running)
                    raise _interrupted()
            if isinstance(item, _End):
                running.ended = True
                if item.error is not None:
                    raise item.error
                return
            until = None if lull is None or item is _LULL else time.monotonic() + lull[0]
            yield lull[1] if lull and item is _LULL else item

    def start(self, work: Callable[[], Awaitable[object]]) -> Callable[[], None]:
        """Run ``work`` behind the portal and wait for nothing; returns what cancels it, as the portal's end does, too.

        What it raises is logged. Nothing runs where the portal is being closed. Not for the portal's own thread.
        """
        running = _Running(_once(work), _logged)
        with contextlib.suppress(RuntimeError):
            self._started().start_task_soon(running.pump)
        return running.cancel

    async def acall(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """As ``call``, for who has a loop of his own, which goes on meanwhile; cancelling it cancels the work."""
        async with contextlib.aclosing(self.astream(_once(work))) as results:
            return await anext(results)

    async def astream(self, source: Callable[[], AsyncGenerator[_T, None]]) -> AsyncGenerator[_T, None]:
        """As ``stream``, for who has a loop of his own, which goes on meanwhile."""
        loop, items = asyncio.get_running_loop(), asyncio.Queue[Any]()

        def put(item: object) -> None:
            with contextlib.suppress(RuntimeError):  # that loop has ended before its generator was closed
                loop.call_soon_threadsafe(items.put_nowait, item)

        running = _Running(source, put)
        self._started().start_task_soon(running.pump)
        try:
            while not isinstance(item := await items.get(), _End):
                yield item
            running.ended = True
            if item.error is not None:
                raise item.error
        finally:
            if not running.ended:
                running.cancel()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE_SECONDS):
                        while not isinstance(await items.get(), _End):
                            pass

    def close(self, last: Callable[[], Awaitable[object]] | None = None) -> None:
        """End the thread, after ``last`` has run on its loop.

        What hangs there holds nobody up for longer than CLOSE_SECONDS each: a daemon's thread ends with its process.
        """
        with self._lock:
            portal, thread, self._portal, self._thread = self._portal, self._thread, None, None
            if portal is None or thread is None:
                return
            try:
                if last is not None:
                    with contextlib.suppress(TimeoutError):
                        portal.start_task_soon(last).result(CLOSE_SECONDS)
            finally:
                with contextlib.suppress(RuntimeError, TimeoutError):  # its loop has ended already
                    portal.start_task_soon(partial(portal.stop, cancel_remaining=True)).result(CLOSE_SECONDS)
                thread.join(CLOSE_SECONDS)

    def _started(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                opened: Future[BlockingPortal] = Future()
                # Not anyio's own way: that joins the thread for however long it takes, at the process's exit too.
                self._thread = threading.Thread(target=_run, args=(opened,), name="warp-gateway", daemon=True)
                self._thread.start()
                self._portal = opened.result()
            return self._portal


def _once(work: Callable[[], Awaitable[_T]]) -> Callable[[], AsyncGenerator[_T, None]]:
    async def once() -> AsyncGenerator[_T, None]:
        yield await work()

    return once


def _logged(item: object) -> None:
    error = item.error if isinstance(item, _End) else None
    if error is not None and not isinstance(error, asyncio.CancelledError):
        _log.error("work_failed", exc_info=error)


def _run(opened: Future[BlockingPortal]) -> None:
    from anyio.from_thread import BlockingPortal

    async def serve() -> None:
        async with BlockingPortal() as portal:
            opened.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        asyncio.run(serve())
    except BaseException as error:
        if opened.done():
            raise
        opened.set_exception(error)


class _Running:
    """A source being pumped on the portal's loop. A task of its own, so that one cancel lets its clean-up await."""

    def __init__(self, source: Callable[[], AsyncGenerator[Any, None]], put: Callable[[object], None]) -> None:
        self.ended = False
        self._source = source
        self._put = put
        self._cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    async def pump(self) -> None:
        self._loop = asyncio.get_running_loop()
        task = self._task = asyncio.ensure_future(self._consume())
        if self._cancelled:
            task.cancel()
        await asyncio.wait({task})
        self._put(_End(asyncio.CancelledError() if task.cancelled() else task.exception()))

    async def _consume(self) -> None:
        async with contextlib.aclosing(self._source()) as items:
            async for item in items:
                self._put(item)

    def cancel(self) -> None:
        """Ask the source to end; never blocks, and may come before the source has started."""
        self._cancelled = True
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the portal was closed, and with it the source
                self._loop.call_soon_threadsafe(self._task.cancel)


def _in_kernel() -> bool:
    """Return whether this process is a kernel; one that talks to kernels may have ipykernel imported, too."""
    kernelapp = sys.modules.get("ipykernel.kernelapp")
    return kernelapp is not None and bool(kernelapp.IPKernelApp.initialized())


def _next(waiter: Waiter, until: float | None) -> Any:
    try:
        return waiter.get(until)
    except queue.Empty:
        return _LULL
    except KeyboardInterrupt:  # see _Sigint: a second one, before the first was taken
        return _INTERRUPT


def _interrupted() -> KeyboardInterrupt:
    """Return Ctrl-C under its own name, by which front ends know it; IPython shows one line, none of our frames."""
    stopped = KeyboardInterrupt("stopped; what had come stays.")
    stopped._render_traceback_ = lambda: [f"KeyboardInterrupt: {stopped}"]  # type: ignore[attr-defined]
    return stopped


def _leave(waiter: Waiter, guard: _Sigint, running: _Running) -> None:
    """End a call whose caller wants no more of it; a Ctrl-C that comes meanwhile is the caller's."""
    with guard:
        if not _drain(waiter, running):
            guard.taken()
            raise _interrupted()


def _drain(waiter: Waiter, running: _Running) -> bool:
    """Cancel and wait for the clean-up, at most GRACE_SECONDS; returns False where the next Ctrl-C cut that short."""
    running.cancel()
    until = time.monotonic() + GRACE_SECONDS
    while (item := _next(waiter, until)) is not _INTERRUPT and item is not _LULL:
        if isinstance(item, _End):
            running.ended = True
            return True
    running.ended = True
    running.cancel()  # breaks an await in the clean-up; nobody waits for it any more
    return item is _LULL


class _Sigint:
    """While held, Ctrl-C is an item in the queue, so that it cannot hit between two lines of ours."""

    def __init__(self, put: Callable[[object], None]) -> None:
        self._put = put
        self._hits = 0
        self._interrupted = False
        self._before: Any = None

    def taken(self) -> None:
        """Note that the first Ctrl-C is being acted upon."""
        self._hits, self._interrupted = 0, True

    def _on(self, _signum: int, _frame: FrameType | None) -> None:
        self._hits += 1
        if self._hits > 1:  # the first was not taken yet: whoever waits is stuck in foreign code
            raise KeyboardInterrupt
        self._put(_INTERRUPT)

    def __enter__(self) -> None:
        self._hits, self._before = 0, None
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._on)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            quiet = self._interrupted and _in_kernel()  # which puts its own back after the cell
            signal.signal(signal.SIGINT, self._quiet(self._before) if quiet else self._before)

    @staticmethod
    def _quiet(before: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        until = time.monotonic() + QUIET_SECONDS

        def late(signum: int, frame: FrameType | None) -> None:
            if time.monotonic() >= until:
                before(signum, frame)

        return late
