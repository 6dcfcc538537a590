"""KernelLoopWaiter: the opt-in ``c.WarpMagics.keep_kernel_loop``. While a cell waits, comms are served.

The kernel's own loop runs on, nested (nest-asyncio2), so that widgets answer in front ends that open no
sub-shell. ipykernel 7 runs all messages of its shell in one context, which the waiting cell has entered, so
nesting alone would put every one of them off; comm messages are therefore given a context of their own,
by the path ipykernel itself takes while a cell awaits. All other messages wait for the cell, as ever.
Where ipykernel has not that path, comms wait too and nothing is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import queue
import sys
import threading
import time
from typing import Any, Final

from .portal import POLL_SECONDS, PlainWaiter, Waiter

_COMM: Final = frozenset({"comm_open", "comm_msg", "comm_close"})


def kernel_waiter() -> Waiter:
    """Return a waiter that keeps the kernel's loop going; a plain one outside a kernel's main thread."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    if kernel is None or threading.current_thread() is not threading.main_thread():
        return PlainWaiter()
    try:
        loop = asyncio.get_running_loop()
        import nest_asyncio2

        nest_asyncio2.apply(loop)
    except (RuntimeError, ValueError):  # no loop runs here, or it is one that cannot be nested (uvloop)
        return PlainWaiter()
    return KernelLoopWaiter(kernel, loop)


class KernelLoopWaiter:
    """See the module's docstring."""

    def __init__(self, kernel: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._arrived: asyncio.Future[None] | None = None
        self._comms = _CommRoute.open(kernel, loop)

    def put(self, item: object) -> None:
        """See Waiter."""
        self._queue.put(item)
        with contextlib.suppress(RuntimeError):  # the kernel's loop is closed: nobody waits there any more
            self._loop.call_soon_threadsafe(self._wake)

    def get(self, until: float | None) -> Any:
        """See Waiter. Waits on a bare future: an interrupt leaves no task behind in the kernel's loop."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._queue.get_nowait()
            if until is not None and time.monotonic() >= until:
                raise queue.Empty
            self._wait(until)

    def _wait(self, until: float | None) -> None:
        outer, self._arrived = self._arrived, self._loop.create_future()
        left = POLL_SECONDS if until is None else min(POLL_SECONDS, until - time.monotonic())
        timer = self._loop.call_later(max(0.0, left), self._wake)
        try:
            if self._queue.empty():
                self._loop.run_until_complete(self._arrived)
        finally:
            timer.cancel()
            self._arrived = outer

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def close(self) -> None:
        """See Waiter."""
        if self._comms is not None:
            self._comms.close()


class _CommRoute:
    """Takes comm messages out of the shell's stream and serves them at once; the rest goes its way."""

    def __init__(self, kernel: Any, loop: asyncio.AbstractEventLoop, stream: Any) -> None:
        self._kernel = kernel
        self._loop = loop
        self._stream = stream
        self._others = stream._recv_callback  # noqa: SLF001 - ipykernel has no public seam here
        stream.on_recv(self._on_message, copy=False)

    @classmethod
    def open(cls, kernel: Any, loop: asyncio.AbstractEventLoop) -> _CommRoute | None:
        """Return a route, or None where this ipykernel has no such path or a route is in place already."""
        try:
            stream = kernel.shell_channel_thread.manager._shell_channel_to_main.to_stream  # noqa: SLF001
            current = stream._recv_callback  # noqa: SLF001
        except AttributeError:
            return None
        if isinstance(getattr(current, "__self__", None), _CommRoute):
            return None
        if "concurrent" not in inspect.signature(kernel.dispatch_shell).parameters:
            return None
        return cls(kernel, loop, stream)

    def _on_message(self, message: Any) -> Any:
        header = self._header(message)
        if header is None or header.get("msg_type") not in _COMM:
            return self._others(message)
        return self._loop.create_task(self._serve(message, header), context=contextvars.copy_context())

    def _header(self, message: Any) -> dict[str, Any] | None:
        session = self._kernel.session
        try:
            _, parts = session.feed_identities(message, copy=False)
            header: dict[str, Any] = session.unpack(parts[1].bytes)
        except Exception:  # noqa: BLE001 - whatever it is, ipykernel is to judge it, not we
            return None
        return header

    async def _serve(self, message: Any, header: dict[str, Any]) -> None:
        """Dispatch one comm message with its own busy and idle, then give the cell its parent back."""
        kernel = self._kernel
        ident = kernel._get_shell_context_var(kernel._shell_parent_ident)  # noqa: SLF001
        outer = kernel.get_parent("shell")
        parent = {"header": header}
        kernel._publish_status("busy", "shell", parent)  # noqa: SLF001 - ipywidgets sends on only after idle
        try:
            await kernel.dispatch_shell(message, subshell_id=None, concurrent=True)
        finally:
            kernel.set_parent(ident, outer, channel="shell")
            kernel._publish_status("idle", "shell", parent)  # noqa: SLF001

    def close(self) -> None:
        """Put the stream back as it was."""
        self._stream.on_recv(self._others, copy=False)
