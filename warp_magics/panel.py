"""ChatPanel: a chat on a session, as a widget. It keeps nothing of its own; docs/contracts/PANEL.md says how it is built."""

from __future__ import annotations

import logging
import os
import threading
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anywidget
from IPython import get_ipython
from traitlets import Bool, Int, TraitError, Tuple, Unicode, observe, validate

from .attach import TOKENS
from .cells import cells_of
from .connect import shared
from .gateway import check_session_id, errors, wire
from .grammar import UsageError
from .mirror import Mirror, Reading, gateway_id, known, made
from .saved import saved_html, saved_text
from .switchboard import Switchboard
from .verbs import Notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connect import Connection, Link
    from .gateway import Turn
    from .switchboard import Said
    from .verbs import Answer

_STATIC: Final = Path(__file__).parent / "static"
_log = logging.getLogger("warp_magics.panel")


class ChatPanel(anywidget.AnyWidget):
    """A chat on ``session`` (None: a new one), made where it is not there; shown where it is a cell's last expression.

    ``model`` is whom its prompts ask (None: the configured chain), ``height`` is in pixels, at least 160; ``disabled``
    nothing can be asked or changed. Either side may change these. ``turns`` (dicts, as REST's ``history`` gives them)
    and ``value`` (the text of the last whole answer) follow the session, whoever goes on with it; ``observe`` them.
    Other keywords are a widget's own, such as ``layout``. A cell that is run again closes the panels it made before.
    Raises WarpError for an id or a model that is none, and UsageError outside of a notebook.
    """

    _esm = _STATIC / "panel.js"
    _css = _STATIC / "panel.css"
    session = Unicode(help="The session's id.").tag(sync=True)
    model = Unicode(help="provider:model or an alias; empty: the configured chain.").tag(sync=True)
    disabled = Bool(default_value=False, help="Show the conversation alone.").tag(sync=True)
    height = Int(480, min=160, help="Pixels.").tag(sync=True)
    turns = Tuple(read_only=True, help="The session's turns, oldest first.")
    value = Unicode(read_only=True, help="The text of the last whole answer.")
    _gateway = Unicode().tag(sync=True)
    _notebook = Unicode().tag(sync=True)
    _place = Unicode().tag(sync=True)

    _switchboard: Switchboard | None = None
    _mirror: Mirror | None = None

    def __init__(
        self,
        session: str | None = None,
        *,
        model: str | None = None,
        height: int = 480,
        disabled: bool = False,
        _link: Link | None = None,
        **traits: Any,
    ) -> None:
        shell = _shell()
        given = {"model": model or "", "height": height, "disabled": disabled, **traits}
        for name, value in given.items():
            trait = self.traits().get(name)
            if trait is None or trait.read_only or name.startswith("_"):
                raise TypeError(f"A ChatPanel has no {name!r} that could be given.")
            trait.validate(self, value)
        if session is not None:
            check_session_id(session)
        self._kernel, self._cells = shell.kernel, cells_of(shell)
        self._link = _link or shared()
        at = self._link.connection()
        for warning in at.warnings if _link is None else ():
            warnings.warn(warning, stacklevel=2)
        given["session"] = at.portal.call(lambda: made(at, session, given["model"]))
        self._reading = Reading()
        self._drawn: tuple[object, ...] | None = None  # what the output shows, once there is one
        self._asked: set[str] = set()
        self._made_by = _execution(self._kernel)
        super().__init__(**given, _gateway=at.portal.call(lambda: gateway_id(at)), _notebook=self._cells.notebook or "")
        self._place = self.model_id
        notebook = Notebook(self._cells, lambda: _tokens(shell))
        self._switchboard = Switchboard(self._link, notebook, self._out, self._answered)
        self.on_msg(lambda _, message, __: self._heard(message))
        self.comm.on_close(lambda _: self._left())
        # Else ipykernel 7.4 takes a page's messages to the shell that published last, and they wait for the cell there.
        self.comm._reply_subshell_for = lambda _, subshell: subshell  # noqa: SLF001
        self._follow(at)
        self._look()
        _add(self, shell)

    def close(self) -> None:
        """Close the widget and follow the session no more; twice is once."""
        switchboard, mirror, self._switchboard, self._mirror = self._switchboard, self._mirror, None, None
        if switchboard is not None:
            switchboard.close()
        if mirror is not None:
            mirror.close()
            _remove(self)
        super().close()

    def __repr__(self) -> str:
        return f"ChatPanel(session={self.session!r})"

    # -- what it shows -----------------------------------------------------------------------------

    def _ipython_display_(self, **_: object) -> None:
        from IPython.display import display

        kept = {"display_id": self._display_id} if self._is_updated else {}
        display(self._saved(), raw=True, **kept)
        if self._mirror is not None:
            self._drawn = self._what
            view = self._repr_mimebundle_()
            if view is not None:
                display(view[0], metadata=view[1], raw=True)

    @property
    def _what(self) -> tuple[str, tuple[Turn, ...]]:
        return self._reading.title or self.session, self._reading.turns

    def _saved(self) -> dict[str, str]:
        title, turns = self._what
        taped = self._mirror is not None and self._mirror.at.tape is not None
        return {
            "text/html": saved_html(title, turns, widget=self._mirror is not None, styled=not taped),
            "text/plain": saved_text(title, turns),
        }

    @property
    def _display_id(self) -> str:
        return f"warp-saved-{self._place}"

    @property
    def _is_updated(self) -> bool:
        """Whether what is saved is brought up to date: nbval ignores updates, and what is on a tape is to be the same."""
        return self._mirror is not None and self._mirror.at.tape is None and os.environ.get("WARP_STREAM") != "0"

    def _redraw(self) -> None:
        from IPython.display import update_display

        if self._is_updated and self._drawn not in (None, self._what):
            self._drawn = self._what
            update_display(self._saved(), display_id=self._display_id, raw=True)

    # -- pages -------------------------------------------------------------------------------------

    def _heard(self, message: object) -> None:
        if self._switchboard is not None:
            self._switchboard.heard(message)

    def _left(self) -> None:
        if self._switchboard is not None:
            self._switchboard.close()

    def _out(self, message: dict[str, Any]) -> None:
        if self.comm is not None:
            self.send(message)

    def _answered(self, said: Said, answer: Answer) -> None:
        """Note what a page has asked that cannot save it itself: when it is answered the notebook is to show it."""
        if said.verb == "ask" and isinstance(answer.body, dict) and not said.args.values.get("keeps"):
            self._asked.add(str(answer.body["turnId"]))
        if said.verb in ("ask", "create") and self._mirror is not None and not self._reading.exists:
            self._mirror.again()  # it waits for a session that had gone

    # -- the session -------------------------------------------------------------------------------

    @validate("session")
    def _check_session(self, proposal: dict[str, Any]) -> str:
        try:
            session_id = check_session_id(proposal["value"])
        except errors.InvalidSessionId as error:
            raise TraitError(error.message) from None  # of no other error does traitlets put back what there was
        if self._mirror is not None and "session" not in self._property_lock:  # a page waits for nothing
            at = self._link.connection()
            at.portal.call(Mirror(at, session_id, self._hear).create)
        return session_id

    @validate("model")
    def _check_model(self, proposal: dict[str, Any]) -> str:
        model: str = proposal["value"]
        if model and self._mirror is not None and "model" not in self._property_lock:
            at = self._link.connection()
            at.portal.call(lambda: known(at, model))
        return model

    @observe("session")
    def _session_changed(self, _: object) -> None:
        if self._mirror is not None:
            self._follow(self._link.opened() or self._mirror.at)
            if "session" not in self._property_lock:
                self._look()

    def _follow(self, at: Connection) -> None:
        if self._mirror is not None:
            self._mirror.close()
        self._mirror = Mirror(at, self.session, self._hear)
        self._mirror.start()

    def _hear(self, mirror: Mirror, reading: Reading) -> None:
        """Take in what was read behind the portal."""
        _on_main(self._kernel, lambda: self._apply(mirror, reading))

    def _apply(self, mirror: Mirror, reading: Reading) -> None:
        if mirror is not self._mirror or reading.number <= self._reading.number:
            return
        self._reading = reading
        whole = [one.response for one in reading.turns if one.status == "complete"]
        for name, value in (("turns", _told(reading.turns)), ("value", whole[-1] if whole else "")):
            try:
                self.set_trait(name, value)
            except Exception:  # noqa: BLE001 - of who observes it: shown as ipywidgets shows it
                get_ipython().showtraceback()
        answered = self._asked.intersection(one.id for one in reading.turns)
        if answered:
            self._asked.difference_update(answered)
            self._redraw()

    def _look(self) -> None:
        """See now what has changed; what fails is seen later, by the watching."""
        mirror = self._mirror
        if mirror is None or threading.current_thread() is not threading.main_thread():
            return
        try:
            reading = mirror.at.portal.call(mirror.look)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nobody has asked for it
            _log.warning("panel_not_looked session=%s reason=%r", self.session, error)
        else:
            self._apply(mirror, reading)

    def _after_cell(self) -> None:
        at = self._link.opened()
        if at is None or self._mirror is None:
            return
        if at is not self._mirror.at:
            self._move(at)
        self._notebook = self._cells.notebook or ""
        self._look()
        self._redraw()

    def _move(self, at: Connection) -> None:
        """Go on at another gateway; the page learns of it."""
        try:
            self._gateway = at.portal.call(lambda: gateway_id(at))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - it is tried again after the next cell
            _log.warning("panel_not_moved session=%s reason=%r", self.session, error)
            return
        self._follow(at)
        if self._switchboard is not None:
            self._switchboard.moved()


def _told(turns: tuple[Turn, ...]) -> tuple[dict[str, object], ...]:
    return tuple(wire.json_of(wire.json_bytes(wire.turn_json(one))) for one in turns)


def _tokens(shell: Any) -> int:
    magics = shell.magics_manager.registry.get("WarpMagics")
    return TOKENS if magics is None else int(magics.attach_tokens)


# -- the kernel ------------------------------------------------------------------------------------


def _shell() -> Any:
    shell = get_ipython()
    if getattr(shell, "kernel", None) is None:
        raise UsageError("The chat panel is a widget, so it needs a notebook; in a terminal %%warp and Warp ask.")
    return shell


def _execution(kernel: Any) -> tuple[str | None, str | None]:
    """Return the cell that runs, where the front end names it, and which run of it this is."""
    parent = kernel.get_parent()
    return (parent.get("metadata") or {}).get("cellId"), (parent.get("header") or {}).get("msg_id")


def _on_main(kernel: Any, work: Callable[[], None]) -> None:
    """Run ``work`` on the thread that runs cells, between two of them."""
    kernel.io_loop.add_callback(work)


_panels: weakref.WeakSet[ChatPanel] = weakref.WeakSet()
"""Those that are open."""


def _add(panel: ChatPanel, shell: Any) -> None:
    cell, run = panel._made_by  # noqa: SLF001
    for other in list(_panels):
        if cell is not None and other._made_by[0] == cell and other._made_by[1] != run:  # noqa: SLF001
            other.close()  # else each run of its cell would leave one behind
    if not _panels:
        shell.events.register("post_run_cell", _after_cell)
    _panels.add(panel)


def _remove(panel: ChatPanel) -> None:
    _panels.discard(panel)
    if not _panels and (shell := get_ipython()) is not None:
        shell.events.unregister("post_run_cell", _after_cell)


def _after_cell(_: object) -> None:
    for panel in list(_panels):
        try:
            panel._after_cell()  # noqa: SLF001
        except Exception:  # noqa: BLE001 - the cell is not to blame
            _log.exception("panel_failed session=%s", panel.session)
