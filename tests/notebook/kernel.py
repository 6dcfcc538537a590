"""A real kernel in a process of its own, driven through jupyter_client, and the folders it lives in.

`with home(fake) as place, Kernel(place) as kernel: kernel.run("1 + 1").reply["status"]`. `start` and `wait` are the two
halves of `run`; whatever is said meanwhile is kept in `messages`, each with its channel and the time it came.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import zmq
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes.provider import FakeProvider

KEY = "sk-notebook-0123456789-uvwxyz"
SPOKEN = ("display_data", "update_display_data", "execute_result")
_OURS = ("WARP_", "JPY_", "JUPYTER", "IPYTHON", "PYDEVD", "MPLBACKEND")


@dataclass(frozen=True)
class Home:
    """Folders and a configuration that belong to no one else."""

    root: Path
    env: dict[str, str]

    @property
    def config(self) -> Path:
        return self.root / "warp.toml"

    def also(self, **env: str) -> Home:
        return Home(self.root, self.env | env)

    def profile(self, line: str) -> Home:
        """The same with an IPython profile of its own, which says `line`."""
        folder = Path(tempfile.mkdtemp(dir=self.root))
        (folder / "profile_default").mkdir()
        for name in ("ipython_kernel_config.py", "ipython_config.py"):
            (folder / "profile_default" / name).write_text(f"c = get_config()\n{line}\n", "utf-8")
        return self.also(IPYTHONDIR=str(folder))


@contextlib.contextmanager
def home(fake: FakeProvider, *, extra: str = "") -> Iterator[Home]:
    """Make the folders, short enough for a socket's path, and a `warp.toml` whose provider `lab` is the fake."""
    root = Path(tempfile.mkdtemp(prefix="w-", dir="/tmp" if sys.platform != "win32" else None))
    env = {k: v for k, v in os.environ.items() if not k.startswith(_OURS) and "_API_KEY" not in k}
    env |= {
        "WARP_CONFIG": str(root / "warp.toml"),
        "WARP_DATA_DIR": str(root / "data"),
        "WARP_RUN_DIR": str(root / "run"),
        "JUPYTER_CONFIG_DIR": str(root / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
        "IPYTHONDIR": str(root / "ipython"),
        "LAB_API_KEY": KEY,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), env.get("PYTHONPATH", "")]),
    }
    (root / "warp.toml").write_text(
        f'models = ["lab:ok"]\n[providers.lab]\ndialect = "openai"\nbase_url = "{fake.base_url}"\n'
        f'api_key = "${{LAB_API_KEY}}"\n[limits]\nretry = {{ max = 0 }}\n{extra}',
        "utf-8",
    )
    try:
        yield Home(root, env)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@dataclass(frozen=True)
class Ran:
    """What came of a cell: its reply and all that was published for it."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]]
    replied_at: float

    @property
    def status(self) -> str:
        return self.reply["status"]

    @property
    def error(self) -> dict[str, Any]:
        return next(m["content"] for m in self.messages if m["msg_type"] == "error")

    @property
    def displays(self) -> list[dict[str, Any]]:
        """Messages that show something, as they came."""
        return [m for m in self.messages if m["msg_type"] in SPOKEN]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """What stays on the screen: displays with their updates applied, in place."""
        found: list[dict[str, Any]] = []
        places: dict[str, int] = {}
        for message in self.displays:
            content, display_id = message["content"], message["content"].get("transient", {}).get("display_id")
            if message["msg_type"] == "update_display_data":
                found[places[display_id]] = content
                continue
            if display_id:
                places[display_id] = len(found)
            found.append(content)
        return found

    def stream(self, name: str = "stdout") -> str:
        said = [m["content"] for m in self.messages if m["msg_type"] == "stream"]
        return "".join(one["text"] for one in said if one["name"] == name)

    @property
    def everything(self) -> str:
        return repr(self.messages)


class Kernel:
    """A kernel process; `run` executes a cell, `interrupt` does what the stop button does."""

    def __init__(self, place: Home, *, load: bool = True) -> None:
        self._place = place
        self._load = load
        self.messages: list[dict[str, Any]] = []
        self.manager = KernelManager(kernel_name="python3", connection_file=str(place.root / f"k{id(self)}.json"))

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self.manager.start_kernel(env=self._place.env, cwd=str(self._place.root))
            undo.callback(self.manager.shutdown_kernel, now=True)
            self._connect()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    def restart(self) -> None:
        """Another process behind the same connection."""
        self.client.stop_channels()
        self.manager.restart_kernel(env=self._place.env, cwd=str(self._place.root))
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self._poller = zmq.Poller()
        self._channels = {}
        for name in ("shell", "control", "iopub"):
            channel = getattr(self.client, f"{name}_channel")
            self._channels[channel.socket] = (name, channel)
            self._poller.register(channel.socket, zmq.POLLIN)
        if self._load:
            self.run("%load_ext warp_magics")

    @property
    def pid(self) -> int:
        return self.manager.provisioner.pid

    # What is sent.

    def send(self, kind: str, content: dict[str, Any], *, channel: str = "shell", **parts: Any) -> str:
        """Send a message; `metadata` and `header` may be given."""
        message = self.client.session.msg(kind, content, metadata=parts.get("metadata"))
        message["header"].update(parts.get("header", {}))
        getattr(self.client, f"{channel}_channel").send(message)
        return message["header"]["msg_id"]

    def start(self, code: str, *, cell: str | None = None, stop_on_error: bool = False, **header: Any) -> str:
        """Send a cell off; `cell` is the id a front end gives it."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": stop_on_error}
        return self.send("execute_request", content, metadata={"cellId": cell} if cell else {}, header=header)

    def interrupt(self) -> float:
        """The stop button, and when it was pressed."""
        at = time.monotonic()
        self.manager.interrupt_kernel()
        return at

    def sigint(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    # What comes back.

    def poll(self, seconds: float) -> None:
        """Take in what has come, waiting at most `seconds` for the first of it."""
        for socket, _ in self._poller.poll(seconds * 1000):
            name, channel = self._channels[socket]
            while channel.msg_ready():
                message = channel.get_msg(timeout=0)
                self.messages.append(message | {"channel": name, "at": time.monotonic()})

    def until(self, seen: Callable[[], Any], within: float = 20) -> Any:
        """Take messages in until `seen()` is true, and return it."""
        deadline = time.monotonic() + within
        while not (found := seen()):
            left = deadline - time.monotonic()
            assert left > 0, f"not seen in {within} s; the last messages: {self.messages[-5:]}"
            self.poll(min(left, 0.05))
        return found

    def of(self, msg_id: str, *kinds: str) -> list[dict[str, Any]]:
        """The messages that have `msg_id` for a parent."""
        mine = [m for m in self.messages if m["parent_header"].get("msg_id") == msg_id]
        return [m for m in mine if not kinds or m["msg_type"] in kinds]

    def reply(self, msg_id: str) -> dict[str, Any] | None:
        return next((m for m in self.of(msg_id) if m["channel"] != "iopub"), None)

    def idle(self, msg_id: str) -> bool:
        return any(m["content"]["execution_state"] == "idle" for m in self.of(msg_id, "status"))

    def wait(self, msg_id: str, within: float = 30) -> Ran:
        """Wait for a cell's reply and the end of its output."""
        self.until(lambda: self.reply(msg_id) and self.idle(msg_id), within)
        reply = self.reply(msg_id)
        assert reply
        return Ran(reply["content"], [m for m in self.of(msg_id) if m["channel"] == "iopub"], reply["at"])

    def run(self, code: str, *, within: float = 30, ok: bool = True, **parts: Any) -> Ran:
        """Run a cell to its end; `ok` says that it must not fail."""
        ran = self.wait(self.start(code, **parts), within)
        assert not ok or ran.status == "ok", ran.reply
        return ran

    def value(self, expression: str) -> Any:
        """What an expression is in the kernel, by its repr."""
        import ast

        return ast.literal_eval(self.run(f"print(repr({expression}))").stream())

    def until_text(self, msg_id: str, text: str, within: float = 20) -> None:
        """Wait until a running cell shows or prints `text`."""
        self.until(lambda: any(text in str(m["content"]) for m in self.of(msg_id, *SPOKEN, "stream")), within)
