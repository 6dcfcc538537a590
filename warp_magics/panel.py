"""ChatPanel: a chat on a session, as a widget. It keeps nothing of its own; docs/contracts/PANEL.md says how it is built."""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anywidget
from IPython import get_ipython
from traitlets import Bool, Int, TraitError, Tuple, Unicode, observe, validate

from .attach import TOKENS
from .cells import cells_of
from .connect import GATEWAY_SECONDS, shared
from .gateway import check_session_id, errors, wire
from .grammar import UsageError
from .mirror import Mirror, Reading, known, left, made_soon, opened
from .panels import PANELS, is_main, on_main, run_of
from .saved import saved_html, saved_text
from .switchboard import Switchboard
from .verbs import Notebook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .connect import Connection, Link
    from .gateway import Turn
    from .switchboard import Said
    from .verbs import Answer

_STATIC: Final = Path(__file__).parent / "static"
_CHECKED: Final = ("model", "height", "disabled")
"""What is looked at before anything happens; of a widget's own keywords some make widgets of what they are given."""


class ChatPanel(anywidget.AnyWidget):
    """A chat on ``session`` (None: a new one), made where it is not there; shown where it is a cell's last expression.

    ``model`` is whom its prompts ask (None: the configured chain), ``height`` is in pixels, at least 160; ``disabled``
    nothing can be asked or changed. Either side may change these. ``turns`` (dicts, as REST's ``history`` gives them)
    and ``value`` (the text of the last whole answer) follow the session, whoever goes on with it; ``observe`` them.
    Other keywords are a widget's own, such as ``layout``. A cell that is run again closes the panels it made before.
    Raises WarpError for an id or a model that is none or a gateway that does not answer, and UsageError outside of a
    notebook.
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
    """There is one while the panel is open."""

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
        self._check(given)
        if session is not None:
            check_session_id(session)
        self._kernel, self._cells = shell.kernel, cells_of(shell)
        self._link = _link or shared()
        at = self._link.connection()
        for warning in at.warnings if _link is None else ():
            warnings.warn(warning, stacklevel=2)
        self._mirror = at.call(lambda: opened(at, session, given["model"], self._session_read), GATEWAY_SECONDS)
        self._own = self._mirror.session_id if session is None else None
        self._ready: Mirror | None = None  # one that has read the session which is just being set
        self._applied: Reading | None = None
        self._drawn: tuple[object, ...] | None = None  # what the output shows, once there is one
        self._unsaved_asks: set[str] = set()
        self._has_moved = False
        self._made_by = run_of(self._kernel)
        super().__init__(
            **given,
            session=self._mirror.session_id,
            _gateway=self._mirror.gateway_id or "",
            _notebook=self._cells.notebook or "",
        )
        self._place = self.model_id
        notebook = Notebook(self._cells, lambda: _tokens(shell))
        self._switchboard = Switchboard(self._link, notebook, self._out, self._answered)
        self.on_msg(lambda _, message, __: self._page_said(message))
        self.comm.on_close(lambda _: on_main(self._kernel, self.close))
        # Else ipykernel 7.4 takes a page's messages to the shell that published last, and they wait for the cell there.
        self.comm._reply_subshell_for = lambda _, subshell: subshell  # noqa: SLF001
        self._apply(self._mirror)
        self._mirror.start()
        PANELS.add(self, shell)

    def _check(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            trait = self.traits().get(name)
            if trait is None or trait.read_only or name.startswith("_"):
                raise TypeError(f"A ChatPanel has no {name!r} that could be given.")
            if name in _CHECKED:
                trait.validate(self, value)

    def close(self) -> None:
        """Close the widget and follow the session no more; twice is once."""
        switchboard, self._switchboard = self._switchboard, None
        if switchboard is not None:
            switchboard.close()
            self._mirror.close()
            PANELS.remove(self)
        super().close()

    def __repr__(self) -> str:
        return f"ChatPanel(session={self.session!r})"

    # -- what it shows -----------------------------------------------------------------------------

    def _ipython_display_(self, **_: object) -> None:
        from IPython.display import display

        kept = {"display_id": self._display_id} if self._is_updated else {}
        display(self._saved(), raw=True, **kept)
        if self._switchboard is not None:
            self._drawn = self._what
            view = self._repr_mimebundle_()
            if view is not None:
                display(view[0], metadata=view[1], raw=True)

    @property
    def _what(self) -> tuple[str, tuple[Turn, ...]]:
        reading = self._mirror.latest or Reading()
        return reading.title or self.session, reading.turns

    def _saved(self) -> dict[str, str]:
        title, turns = self._what
        is_open, is_taped = self._switchboard is not None, self._mirror.at.tape is not None
        return {
            "text/html": saved_html(title, turns, widget=is_open, styled=not is_taped),
            "text/plain": saved_text(title, turns),
        }

    @property
    def _display_id(self) -> str:
        return f"warp-saved-{self._place}"

    @property
    def _is_updated(self) -> bool:
        """Whether what is saved is brought up to date: nbval ignores updates, and what is on a tape is to be the same."""
        is_taped = self._mirror.at.tape is not None
        return self._switchboard is not None and not is_taped and os.environ.get("WARP_STREAM") != "0"

    def _redraw(self) -> None:
        from IPython.display import update_display

        if self._is_updated and self._drawn not in (None, self._what):
            self._drawn = self._what
            update_display(self._saved(), display_id=self._display_id, raw=True)

    # -- pages -------------------------------------------------------------------------------------

    def _page_said(self, message: object) -> None:
        if self._switchboard is not None:
            self._switchboard.heard(message)

    def _out(self, message: dict[str, Any]) -> None:
        if self.comm is not None:
            self.send(message)

    def _answered(self, said: Said, answer: Answer) -> None:
        """Note what a page has asked, behind the portal."""
        mirror = self._mirror
        if said.verb in ("ask", "create") and mirror.is_gone:
            mirror.retry_now()  # it waits for a session that had gone
        if said.verb == "ask" and isinstance(answer.body, dict) and not said.args.values.get("keeps"):
            turn_id = str(answer.body["turnId"])
            on_main(self._kernel, lambda: self._note_ask(turn_id))

    def _note_ask(self, turn_id: str) -> None:
        """Remember a prompt of a page that cannot save it itself: once it is answered the notebook is to show it."""
        self._unsaved_asks.add(turn_id)
        self._draw_asks()

    def _draw_asks(self) -> None:
        _, turns = self._what
        answered = self._unsaved_asks.intersection(one.id for one in turns)
        if answered:
            self._unsaved_asks -= answered
            self._redraw()

    # -- the session -------------------------------------------------------------------------------

    @validate("session")
    def _check_session(self, proposal: dict[str, Any]) -> str:
        try:
            session_id = check_session_id(proposal["value"])
            if self._is_waited_for and session_id != self._mirror.session_id:
                at = self._link.connection()
                self._ready = at.call(lambda: opened(at, session_id, "", self._session_read), GATEWAY_SECONDS)
        except errors.WarpError as error:
            raise TraitError(error.message) from None  # of no other error does traitlets put back what there was
        return session_id

    @validate("model")
    def _check_model(self, proposal: dict[str, Any]) -> str:
        model: str = proposal["value"]
        if model and self._is_waited_for:
            try:
                at = self._link.connection()
                at.call(lambda: known(at, model), GATEWAY_SECONDS)
            except errors.WarpError as error:
                raise TraitError(error.message) from None
        return model

    @property
    def _is_waited_for(self) -> bool:
        """Whether who sets a trait may be held up: a cell that does so is to see at once what is wrong or there."""
        return self._switchboard is not None and PANELS.in_cell()

    @observe("session")
    def _session_changed(self, _: object) -> None:
        if self._switchboard is None:
            return
        if is_main() and PANELS.follows(self):
            self._follow_session()
            return
        at = self._link.opened()
        if at is not None:  # made now: the cell that computes meanwhile may take long
            at.start(partial(made_soon, at, self.session))
        on_main(self._kernel, self._follow_session)

    def _follow_session(self) -> None:
        if PANELS.follows(self):
            self._catch_up()
            self._apply(self._mirror)

    def _catch_up(self) -> Mirror | None:
        """See Panels. Whatever a panel follows it begins to follow here."""
        at = self._link.opened()
        if at is None:
            return None
        self._notebook = self._cells.notebook or ""
        if at is not self._mirror.at or self.session != self._mirror.session_id:
            self._follow(at)
        return self._mirror

    def _follow(self, at: Connection) -> None:
        before, ready = self._mirror, self._ready
        before.close()
        self._ready = None
        if ready is None or (ready.at, ready.session_id) != (at, self.session):
            ready = Mirror(at, self.session, self._session_read)
        if at is before.at:
            ready.gateway_id = ready.gateway_id or before.gateway_id
        else:
            self._has_moved = True
        self._mirror = ready
        ready.start()

    def _session_read(self, mirror: Mirror) -> None:
        """Take in what was read behind the portal."""
        on_main(self._kernel, lambda: self._apply(mirror))

    def _apply(self, mirror: Mirror) -> None:
        if mirror is not self._mirror or self._switchboard is None:
            return
        self._gateway = mirror.gateway_id or ""
        reading = mirror.latest
        if reading is None or reading is self._applied:
            return
        self._applied = reading
        whole = [one.response for one in reading.turns if one.status == "complete"]
        for name, value in (("turns", _told(reading.turns)), ("value", whole[-1] if whole else "")):
            try:
                self.set_trait(name, value)
            except Exception:  # noqa: BLE001 - of who observes it: shown as ipywidgets shows it
                get_ipython().showtraceback()
        self._draw_asks()

    def _show(self) -> None:
        """See Panels; pages learn here that the gateway is another one, for now it is known which."""
        self._apply(self._mirror)
        moved, self._has_moved = self._has_moved, False
        if moved and self._switchboard is not None:
            self._switchboard.moved()
        self._redraw()

    def _rest(self) -> None:
        """See Panels."""
        self._mirror.close()

    def _give_way(self) -> None:
        """See Panels; the session goes along where the panel has made it and nobody has used it."""
        self.close()
        mirror = self._mirror
        if mirror.session_id == self._own and not PANELS.shows(mirror.session_id):
            mirror.at.start(partial(left, mirror.at, mirror.session_id))


def _told(turns: tuple[Turn, ...]) -> tuple[dict[str, object], ...]:
    return tuple(wire.json_of(wire.json_bytes(wire.turn_json(one))) for one in turns)


def _tokens(shell: Any) -> int:
    magics = shell.magics_manager.registry.get("WarpMagics")
    return TOKENS if magics is None else int(magics.attach_tokens)


def _shell() -> Any:
    shell = get_ipython()
    if getattr(shell, "kernel", None) is None:
        raise UsageError("The chat panel is a widget, so it needs a notebook; in a terminal %%warp and Warp ask.")
    return shell
