"""WarpMagics: a line and a cell become a request, and what comes of it is shown. Nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Bool, Enum, Int

from . import grammar, taping
from .brief import short_errors
from .cells import cells_of
from .completion import install, remove
from .connect import connect, connection, disconnect, shared, tape, use_tape, wait_with
from .gateway import errors

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .answers import Answers
    from .connect import Connection
    from .gateway import ChatRequest, ChatResponse
    from .panel import ChatPanel
    from .portal import Waiter
    from .tables import Table

_FIX: Final = (
    "This cell of a notebook failed:\n\n```python\n{code}\n```\n\n```\n{traceback}\n```\n\n"
    "Say in a few sentences why. Then give the whole cell, mended, in one ```python block."
)


@magics_class
class WarpMagics(Magics):
    """``%%warp`` and ``%warp``; see ``%warp help``."""

    keep_kernel_loop = Bool(
        default_value=False,
        help="While a cell waits for its answer, let the kernel's own loop go on serving widgets and comms.",
    ).tag(config=True)
    route_line = Bool(default_value=True, help="Show under each answer who gave it.").tag(config=True)
    attach_tokens = Int(default_value=4000, min=100, help="The most tokens of a text that is attached.").tag(
        config=True
    )

    tape = Enum(
        (taping.OFF, *taping.MODES), taping.OFF, help="Record answers beside the notebook, or give those again."
    ).tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        with contextlib.suppress(errors.ConfigError):  # of the environment: each line that needs it says so
            used = tape()
            if used is not None:  # the environment's, or the one before a reload
                self.tape = used.mode
            elif self.tape != taping.OFF and taping.MODE not in os.environ:
                use_tape(self.tape)
        self._shell = shell
        self._said: set[str] = set()
        self._asked: dict[str, ChatRequest] = {}  # what was asked last in each session
        self.cells = cells_of(shell)

    @no_var_expand
    @cell_magic
    def warp(self, line: str, cell: str) -> None:
        """Ask a model; the line's options are below, ``%warp help`` lists what else there is."""
        with short_errors():
            from .asking import asked

            options = grammar.cell_options(line)
            at = self._connection()
            said = asked(
                cell,
                options,
                self.cells.names(),
                owner=at.owner,
                session=self.cells.session,
                attach_tokens=self.attach_tokens,
            )
            if options.dry:
                self._show_preview(at, said.request)
                return
            request = self._placed(said.request, f"{line}\n{cell}", options)
            format_ = "json" if said.wanted else options.format
            answer = self._answers().ask(at, request, stream=options.stream, format_=format_, wanted=said.wanted)
            if options.out:
                from .reply import Reply

                self._shell.user_ns[options.out] = Reply.of(answer.response, answer.value)
            if answer.fault is not None:
                raise answer.fault
            if options.format == "code":
                self._next_cell(answer.response, otherwise=answer.response.text.strip())

    warp.__doc__ = grammar.cell_help()  # what %%warp? shows

    @no_var_expand
    @line_magic("warp")  # type: ignore[arg-type]
    def warp_line(self, line: str) -> Table | ChatPanel | None:
        """Look and choose: ``%warp``, ``%warp use ID``, ``%warp sessions``, … ``%warp help`` lists them."""
        from . import commands, views

        with short_errors():
            command = grammar.command(line)
            own = {"use": self._use, "new": self._new, "config": self._configure, "fix": self._fix}
            own |= {"resume": self._resume, "continue": self._continue, "tape": self._tape}
            shown: Table | None
            if command.name == "chat":
                return self._chat(command)
            if command.name == "help":
                shown = views.help_table()
            elif command.name in own:
                shown = own[command.name](command)
            else:
                if command.name == "connect":
                    connect(command.words)
                shown = commands.run(commands.Desk(self._connection(), self.cells.session, time.time()), command)
            if command.name == "delete":
                self._forget(command.words[0])
            return self._stable(shown)

    warp_line.__doc__ = grammar.line_help()  # type: ignore[assignment]  # what %warp? shows

    # -- asking ------------------------------------------------------------------------------------

    def _placed(self, request: ChatRequest, text: str, options: grammar.CellOptions) -> ChatRequest:
        """Return ``request`` with its cell: one that is run again wants a new answer, in the place of its last."""
        source = self.cells.source(text)
        again = self.cells.runs_again(source)
        session = request.session_id
        if session is not None:
            self._asked.pop(session, None)
            self._asked[session] = replace(request, prompt="", attachments=(), source=source)
        return replace(
            request,
            source=source,
            cache=True if options.cache else False if again else None,
            replaces="source" if source.cell and session and not options.append else None,
        )

    def _show_preview(self, at: Connection, request: ChatRequest) -> None:
        from .display import show
        from .views import preview_table

        show(self._stable(preview_table(at.portal.call(lambda: at.gateway.preview(request)), request.form.schema)))

    def _answers(self) -> Answers:
        from .answers import Answers

        return Answers(self._shell, lambda: self.route_line)

    def _next_cell(self, response: ChatResponse, otherwise: str | None = None) -> None:
        """Put the code of a whole answer into the next cell; ``otherwise`` is for one without a fence."""
        from .display import chosen, show
        from .formats import code_blocks
        from .views import note

        blocks = code_blocks(response.text) or ([otherwise] if otherwise else [])
        if response.result != "COMPLETE":
            show(note("The answer is not whole, so nothing was put into the next cell."))
        elif not blocks:
            show(note("The answer has no code in it, so nothing was put into the next cell."))
        else:
            self._shell.set_next_input(chosen(blocks), replace=False)

    # -- sub-commands that are this notebook's business -----------------------------------------------

    def _use(self, command: grammar.Command) -> Table:
        from . import views
        from .gateway import check_session_id

        self.cells.session = check_session_id(command.words[0])
        return views.note(f"Cells that name no session are now in {self.cells.session}.")

    def _new(self, command: grammar.Command) -> Table:
        from . import views

        at, name = self._connection(), next(iter(command.words), None)
        self.cells.session = at.portal.call(lambda: at.gateway.create(at.owner, name)).key.id
        return views.note(f"Session {self.cells.session} was begun; cells that name no session are now in it.")

    def _configure(self, command: grammar.Command) -> Table:
        from . import views

        if command.words:
            self._set(*command.words)
        traits = self.traits(config=True)
        return views.setting_table(
            [(name, _said(getattr(self, name)), one.help) for name, one in sorted(traits.items())]
        )

    def _tape(self, command: grammar.Command) -> Table:
        from . import views

        what = next(iter(command.words), "status")
        if what in (taping.OFF, *taping.MODES):
            use_tape(what, next(iter(command.words[1:]), None), realtime=command.realtime)
        used = tape()
        self.tape = used.mode if used else taping.OFF
        if what in taping.MODES and used:
            return views.note(f"From here on answers are on the tape in {used.where}.")  # the same in each mode
        if used is None or what == taping.OFF:
            return views.note("No tape is used; %warp tape record begins one beside this notebook.")
        if what == "prune":
            notebook = self.cells.notebook
            name = PurePath(notebook).name if notebook else None
            gone = used.reel.prune(name, everything=command.everything)
            return views.pruned(*gone, used.reel.heard())
        return views.tape_table(used, used.reel.heard())

    @staticmethod
    def _stable(shown: Table | None) -> Table | None:
        """Return ``shown`` as it is in every version, where a tape is to give the same outputs in each."""
        return shown.bare() if shown is not None and tape() is not None else shown

    def _set(self, name: str, value: str | None = None) -> None:
        from traitlets import TraitError

        traits = self.traits(config=True)
        if name not in traits:
            raise grammar.UsageError(f"There is no setting {name!r}; there are {', '.join(sorted(traits))}.")
        trait = traits[name]
        given: Any = {"on": True, "off": False}.get(value or "", value) if isinstance(trait, Bool) else value
        try:
            setattr(self, name, int(given) if isinstance(trait, Int) else given)
        except (TraitError, TypeError, ValueError):
            how = "a whole number, at least 100" if isinstance(trait, Int) else "on or off"
            how = ", ".join(trait.values or ()) if isinstance(trait, Enum) else how
            raise grammar.UsageError(f"%warp config {name} takes {how}, not {value!r}.") from None
        if name == "tape":
            self._tape(grammar.Command("tape", (str(value),)))

    def _fix(self, _: grammar.Command) -> None:
        from .gateway import ChatRequest, Source

        failure = next((one for one in reversed(self.cells.failures.values()) if one.mendable), None)
        if failure is None:
            raise grammar.UsageError("%warp fix explains the last exception of this kernel; there was none yet.")
        at = self._connection()
        prompt = _FIX.format(code=failure.code, traceback=failure.traceback)
        source = Source("cell", self.cells.notebook)
        request = ChatRequest(prompt, store=False, owner=at.owner, source=source, on_disconnect="cancel")
        self._next_cell(self._answers().ask(at, request).response)

    def _resume(self, command: grammar.Command) -> None:
        from .display import show_whole
        from .gateway import errors

        at, session = self._connection(), self._session_of(command)
        call, gateway = at.portal.call, at.gateway
        stream_id = call(lambda: gateway.session(at.owner, session)).live_stream_id
        turns = () if stream_id else call(lambda: gateway.history(at.owner, session))
        if stream_id is None and not turns:
            raise grammar.UsageError(f"The session {session!r} has no turns yet.")
        try:
            self._answers().show(at, lambda: gateway.follow(at.owner, stream_id or f"{session}~{turns[-1].n}"))
        except errors.StreamNotFound:  # its log has expired; its turn has not
            if not turns:
                raise
            show_whole(turns[-1].response or f"[{turns[-1].status}]")

    def _continue(self, command: grammar.Command) -> None:
        from .gateway import ChatRequest, Form, Source

        at, session = self._connection(), self._session_of(command)
        turns = at.portal.call(lambda: at.gateway.history(at.owner, session))
        if not turns:
            raise grammar.UsageError(f"The session {session!r} has no turns yet.")
        last = self._asked.get(session, ChatRequest("", session, source=Source("cell"), on_disconnect="cancel"))
        # What is left of an answer of a schema is none of that schema.
        request = replace(last, owner=at.owner, continues=turns[-1].id, cache=False, form=Form())
        self._answers().ask(at, request)

    def _chat(self, command: grammar.Command) -> ChatPanel:
        from .panel import ChatPanel

        self._connection()
        named = next(iter(command.words), None) or self.cells.session or next(reversed(self._asked), None)
        return ChatPanel(named, _link=shared())

    def _forget(self, session: str) -> None:
        self._asked.pop(session, None)
        if self.cells.session == session:
            self.cells.session = None

    def _session_of(self, command: grammar.Command) -> str:
        """Return the session that is named, else the current one, else the last that this notebook has asked in."""
        named = next(iter(command.words), None) or self.cells.session or next(reversed(self._asked), None)
        if named is None:
            raise grammar.UsageError(
                f"%warp {command.name}: nothing was asked in a session yet by this kernel; %warp use ID says which."
            )
        return named

    # -- what they share ---------------------------------------------------------------------------

    def _connection(self) -> Connection:
        at = connection()
        for warning in at.warnings:
            if warning not in self._said:
                self._said.add(warning)
                print(f"Warning: {warning}", file=sys.stderr)  # noqa: T201 - a warning of Python's shows our source
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


def _said(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def load(shell: InteractiveShell) -> None:
    """Register the magics with ``shell``."""
    magics = WarpMagics(shell)
    shell.register_magics(magics)
    shell.events.register("post_run_cell", magics.cells.ended)
    install(shell, magics.trait_names(config=True))
    wait_with(magics.waiter, magics.is_leaving)


def unload(shell: InteractiveShell) -> None:
    """Close what the magics have opened."""
    with contextlib.suppress(ValueError):  # never loaded
        shell.events.unregister("post_run_cell", cells_of(shell).ended)
    remove(shell)
    disconnect()
