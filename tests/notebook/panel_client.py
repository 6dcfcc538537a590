"""A page's end of a panel's comm: what the front end does, without one.

The kernel opens the comm; `PanelClient(kernel, "panel")` finds that of the kernel's variable. Calls go out as `custom`
messages, replies and news are picked out of what the kernel publishes.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.notebook.kernel import Kernel


class PanelClient:
    """One view of a panel; another one of the same panel is another page."""

    _pages = itertools.count(1)

    def __init__(self, kernel: Kernel, panel: str, *, subshell: str | None = None) -> None:
        self.kernel = kernel
        self.comm = kernel.value(f"{panel}.model_id")
        self.page = f"page-{next(self._pages)}"
        self.subshell = subshell
        self._calls = itertools.count(1)

    # What is sent.

    def send(self, data: dict[str, Any]) -> str:
        content = {"comm_id": self.comm, "data": data}
        return self.kernel.send("comm_msg", content, header={"subshell_id": self.subshell} if self.subshell else {})

    def set(self, **state: Any) -> None:
        """Change synced traits."""
        self.send({"method": "update", "state": state, "buffer_paths": []})

    def say(self, verb: str, *, call: int | None = None, **args: Any) -> int:
        """Send a call off, and return its number."""
        call = next(self._calls) if call is None else call
        message = {"page": self.page, "call": call, "verb": verb, "args": args}
        self.send({"method": "custom", "content": message})
        return call

    # What comes back.

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """The `custom` messages to this page that are a `reply`, or of a `watch`."""
        found = []
        for message in self.kernel.messages:
            if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self.comm:
                said = message["content"]["data"].get("content") or {}
                if said.get("page") == self.page and kind in said:
                    found.append(said | {"at": message["at"]})
        return found

    def replies(self, call: int) -> list[dict[str, Any]]:
        return [one for one in self.heard("reply") if one["reply"] == call]

    def reply(self, call: int, within: float = 20) -> tuple[int, Any]:
        """The status and body of a call's reply."""
        found = self.kernel.until(lambda: self.replies(call), within)
        return found[0]["status"], found[0]["body"]

    def ask(self, verb: str, within: float = 20, **args: Any) -> tuple[int, Any]:
        """Call, and return the status and body of the reply."""
        return self.reply(self.say(verb, **args), within)

    def body(self, verb: str, **args: Any) -> Any:
        """What a call gives that must go well."""
        status, body = self.ask(verb, **args)
        assert status < 300, body
        return body

    def events(self, watch: int) -> list[dict[str, Any]]:
        return [event for one in self.heard("watch") if one["watch"] == watch for event in one["events"]]

    def until_event(self, watch: int, name: str, within: float = 20, **data: Any) -> dict[str, Any]:
        """Wait for an event of that name and with these data."""

        def found() -> dict[str, Any] | None:
            named = (one for one in self.events(watch) if one["event"] == name)
            return next((one for one in named if data.items() <= one["data"].items()), None)

        event: dict[str, Any] = self.kernel.until(found, within)
        return event

    def state(self, name: str) -> Any:
        """A synced trait as the kernel has told it last."""
        told = None
        for message in self.kernel.messages:
            content = message["content"]
            if message["msg_type"] in ("comm_open", "comm_msg") and content["comm_id"] == self.comm:
                told = content["data"].get("state", {}).get(name, told)
        return told


def settled(kernel: Kernel, seen: Callable[[], Any], within: float = 10) -> Any:
    """Run cells until `seen`, which may run some, is true."""
    deadline = time.monotonic() + within
    while not (found := seen()):
        assert time.monotonic() < deadline, f"not seen in {within} s"
        time.sleep(0.05)
    return found
