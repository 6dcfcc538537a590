"""AI Warp's words in ours: what its JSON names differently, and a Platformatic file around its ``ai`` block.

Values are not judged here; whatever has an unexpected type is left for the schema to refuse at its own place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .values import Fault, Loc

_RESTORES: Final = {"providerCommunicationError": "providerError", "providerExceededError": "quota"}
_PATHS: Final = {"promptPath": "/api/v1/prompt", "streamPath": "/api/v1/stream"}
_SILENT: Final = frozenset({"$schema", "module", "ai", "server"})


class Translation:
    """A document in our own camelCase; ``origins`` says where what was moved stands in the file."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.data: dict[str, Any] = {key: value for key, value in document.items() if key != "$schema"}
        self.origins: dict[Loc, Loc] = {}
        self.warnings: list[str] = []
        if isinstance(document.get("ai"), dict):
            self._unwrap(document)
        self._session_header()
        self._paths()
        self._models()
        self._limits()
        self._restore(self.data)
        self._storage()

    def origin(self, loc: Loc) -> Loc:
        """Where what now stands at ``loc`` stands in the file."""
        if str(loc[0]).startswith("$"):  # the fault is the environment's
            return loc
        for length in range(len(loc), -1, -1):
            if loc[:length] in self.origins:
                return self.origins[loc[:length]] + loc[length:]
        return loc

    def _unwrap(self, document: Mapping[str, Any]) -> None:
        self.data = dict(document["ai"])
        self.origins[()] = ("ai",)
        ignored = sorted(document.keys() - _SILENT)
        self.warnings += [f"{key} is Platformatic's and has no effect here" for key in ignored]
        server = document.get("server")
        if isinstance(server, dict) and "server" not in self.data:
            names = {"hostname": "host", "port": "port"}
            self.data["server"] = {ours: server[theirs] for theirs, ours in names.items() if theirs in server}
            self.origins |= {("server", ours): ("server", theirs) for theirs, ours in names.items()}

    def forgive(self, data: dict[str, Any], faults: list[Fault]) -> list[Fault]:
        """Platformatic's ``server`` is often ``{PORT}`` from a file we do not read: then our own default holds."""
        mine = [fault for fault in faults if self.origin(fault.loc)[0] == "server" and () in self.origins]
        for fault in mine:
            del data["server"][fault.loc[1]]
            self.warnings.append(f"server.{self.origin(fault.loc)[1]} has no effect: {fault.text}")
        return [fault for fault in faults if fault not in mine]

    def _session_header(self) -> None:
        if "headerSessionIdName" in self.data:
            self._move(self.data, "headerSessionIdName", "sessionHeader", ())

    def _paths(self) -> None:
        for key, usual in _PATHS.items():
            if self.data.pop(key, usual) != usual:
                self.warnings.append(f"{key} has no effect: the paths are fixed")

    def _models(self) -> None:
        """Entries of ``models`` that are objects: named in the chain, described under ``model``."""
        entries = self.data.get("models")
        described = self.data.get("model", [])
        if not (isinstance(entries, list) and isinstance(described, list)):
            return
        chain: list[Any] = []
        described = list(described)
        for index, entry in enumerate(entries):
            at = (*self.origin(("models",)), index)
            if not isinstance(entry, dict):
                self.origins["models", len(chain)] = at
                chain.append(entry)
                continue
            named = isinstance(entry.get("provider"), str) and isinstance(entry.get("model"), str)
            if named:
                self.origins["models", len(chain)] = at
                chain.append(f"{entry['provider']}:{entry['model']}")
            if not named or len(entry) > len(("provider", "model")):
                self.origins["model", len(described)] = at
                described.append(dict(entry))
        self.data |= {"models": chain, "model": described}
        for index, entry in enumerate(described):
            if isinstance(entry, dict):
                described[index] = dict(entry)
                self._restore(described[index], "model", index)

    def _limits(self) -> None:
        limits = self.data.get("limits")
        if not (isinstance(limits, dict) and "requestTimeout" in limits):
            return
        self.data["limits"] = limits = dict(limits)
        at = self.origin(("limits", "requestTimeout"))
        value = limits.pop("requestTimeout")
        timeout = limits.get("timeout", {})
        if isinstance(timeout, dict):
            limits["timeout"] = {"firstToken": value, "stall": value} | timeout
            moved = {"firstToken", "stall"} - timeout.keys()
            self.origins |= {("limits", "timeout", key): at for key in moved}

    def _restore(self, table: dict[str, Any], *loc: str | int) -> None:
        restore = table.get("restore")
        if not isinstance(restore, dict):
            return
        table["restore"] = restore = dict(restore)
        for theirs, ours in _RESTORES.items():
            if theirs in restore:
                self._move(restore, theirs, ours, (*loc, "restore"))
        if restore.pop("retry", None) is not None:
            self.warnings.append("restore.retry has no effect, as in AI Warp: no model is passed over for that reason")

    def _storage(self) -> None:
        storage = self.data.get("storage")
        if not (isinstance(storage, dict) and isinstance(storage.get("valkey"), dict)):
            return
        inner = storage["valkey"]
        self.origins |= {
            ("storage", key): self.origin(("storage", "valkey", key)) for key in inner.keys() - storage.keys()
        }
        self.data["storage"] = inner | {key: value for key, value in storage.items() if key != "valkey"}

    def _move(self, table: dict[str, Any], theirs: str, ours: str, loc: Loc) -> None:
        """Rename a key; where both are there, ours wins."""
        at = self.origin((*loc, theirs))
        value = table.pop(theirs)
        if ours not in table:
            table[ours] = value
            self.origins[*loc, ours] = at
