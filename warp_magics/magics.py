"""WarpMagics: a line and a cell become a request, and what comes of it is shown. Nothing else."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Bool

from . import grammar
from .connect import connect, connection, disconnect, wait_with

if TYPE_CHECKING:
    from collections.abc import Generator

    from IPython.core.interactiveshell import InteractiveShell

    from .connect import Connection
    from .display import LiveReply
    from .gateway import ChatRequest, ChatResponse, Event
    from .portal import Waiter
    from .tables import Table


@magics_class
class WarpMagics(Magics):
    """``%%warp`` and ``%warp``; see ``%warp help``."""

    keep_kernel_loop = Bool(
        default_value=False,
        help="While a cell waits for its answer, let the kernel's own loop go on serving widgets and comms.",
    ).tag(config=True)
    route_line = Bool(default_value=True, help="Show under each answer who gave it.").tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._shell = shell
        self._session: str | None = None
        self._said: set[str] = set()
        self._ran: set[str] = set()

    @no_var_expand
    @cell_magic
    def warp(self, line: str, cell: str) -> None:
        """Ask a model: ``%%warp [options]``, the prompt below. ``%warp help`` lists the options."""
        with _short_errors():
            options = grammar.cell_options(line)
            at = self._connection()
            request = self._request(options, cell, at)
            response = self._answer(at, request, stream=options.stream)
            if options.out:
                from .reply import Reply

                self._shell.user_ns[options.out] = Reply.of(response)

    @no_var_expand
    @line_magic("warp")  # type: ignore[arg-type]
    def warp_line(self, line: str) -> Table | None:
        """Look and choose: ``%warp``, ``%warp use ID``, ``%warp sessions``, … ``%warp help`` lists them."""
        from . import views

        with _short_errors():
            command = grammar.command(line)
            if command.name == "help":
                return views.help_table()
            if command.name == "use":
                self._use(command.words[0])
                return None
            if command.name == "connect":
                connect(command.words)
            return self._shown(command)

    def _shown(self, command: grammar.Command) -> Table:
        from . import views

        at, word = self._connection(), next(iter(command.words), None)
        gateway, call = at.gateway, at.portal.call
        if command.name == "sessions":
            found = call(lambda: gateway.sessions(at.owner, search=word or ""))
            return views.session_table(found.sessions, time.time())
        if command.name == "history":
            session = word or self._session
            if session is None:
                raise grammar.UsageError("%warp history ID: no session was chosen with %warp use ID yet.")
            turns = call(lambda: gateway.history(at.owner, session))
            return views.history_table(session, turns, time.time())
        models = call(gateway.models)
        if command.name == "models":
            return views.model_table(models)
        return views.overview(call(gateway.status), at.why, self._session, models)

    def _use(self, session: str) -> None:
        from .gateway import check_session_id

        self._session = check_session_id(session)

    def _request(self, options: grammar.CellOptions, cell: str, at: Connection) -> ChatRequest:
        from .gateway import ChatRequest, Parameters, Source, errors

        if not cell.strip():
            raise errors.InvalidRequest("The prompt is empty: write it below the %%warp line.")
        session = options.session or self._session
        notebook, cell_id = self._where()
        return ChatRequest(
            prompt=cell.strip("\n"),
            session_id=session,
            create_session=True,
            store=session is not None,
            owner=at.owner,
            context=options.context,
            models=options.models,
            parameters=Parameters(temperature=options.temperature, max_tokens=options.max_tokens),
            source=Source("cell", notebook, cell_id),
            on_disconnect="cancel",
            on_break=options.on_break,
            cache=self._cached(cell_id, wanted=options.cache),
        )

    def _cached(self, cell_id: str | None, *, wanted: bool) -> bool | None:
        """Return whether the cache is read: a cell that is run again wants a new answer, unless it says otherwise."""
        again = cell_id is not None and cell_id in self._ran
        if cell_id is not None:
            self._ran.add(cell_id)
        return True if wanted else False if again else None

    def _where(self) -> tuple[str | None, str | None]:
        """Return the notebook's path and the cell's id, as far as the front end tells them."""
        kernel = getattr(self._shell, "kernel", None)
        parent = kernel.get_parent() if kernel else {}
        notebook = self._shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
        return notebook, (parent.get("metadata") or {}).get("cellId")

    def _answer(self, at: Connection, request: ChatRequest, *, stream: bool) -> ChatResponse:
        """Show an answer as it comes; raises its error with the part that came left on the screen."""
        from .display import REDRAW_SECONDS, LiveReply, show_route
        from .gateway import Text

        reply = LiveReply(self._shell, stream=stream)
        nothing: Event = Text("")
        # In a lull the empty piece draws what came too soon after the last drawing.
        events = at.portal.stream(lambda: at.gateway.stream(request), lull=(REDRAW_SECONDS, nothing))
        response = _shown_live(events, reply)
        if self.route_line:
            show_route(response)
        return response

    def _connection(self) -> Connection:
        at = connection()
        for warning in at.warnings:
            if warning not in self._said:
                self._said.add(warning)
                warnings.warn(warning, stacklevel=2)
        return at

    def is_leaving(self) -> bool:
        """Tell that the kernel was told to end, or to start anew."""
        return bool(self._shell.exit_now)

    def waiter(self) -> Waiter:
        """Return how the main thread waits, as the configuration says at this moment."""
        if self.keep_kernel_loop:
            from .kernel_loop import kernel_waiter

            return kernel_waiter()
        from .portal import PlainWaiter

        return PlainWaiter()


def _shown_live(events: Generator[Event, None, None], reply: LiveReply) -> ChatResponse:
    from .gateway import Ended, Failed, Restarted, Text

    with contextlib.closing(events):
        try:
            for event in events:
                match event:
                    case Text(text=text):
                        reply.add(text)
                    case Restarted():
                        reply.restart()
                    case Failed(error=error, response=part):
                        reply.end(part)
                        raise error
                    case Ended(response=response):
                        reply.end(response)
                        return response
        except KeyboardInterrupt:
            reply.end(None)
            raise
    raise AssertionError("a stream ends with Ended or Failed")


@contextlib.contextmanager
def _short_errors() -> Generator[None, None, None]:
    """Raise our errors without the frames that lead to them: their sentence says what to do."""
    from .gateway import errors

    try:
        yield
    except (errors.WarpError, grammar.UsageError, KeyboardInterrupt) as error:
        shown = f"{type(error).__name__}: {str(error) or 'stopped; what was answered is kept.'}"
        error._render_traceback_ = lambda: [shown]  # type: ignore[union-attr]
        raise error.with_traceback(None) from None


def load(shell: InteractiveShell) -> None:
    """Register the magics with ``shell``."""
    magics = WarpMagics(shell)
    shell.register_magics(magics)
    wait_with(magics.waiter, magics.is_leaving)


def unload(shell: InteractiveShell) -> None:  # noqa: ARG001 - IPython hands it over
    """Close what the magics have opened."""
    disconnect()
