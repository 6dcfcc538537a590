"""A server of the wire that docs/add-a-provider.md invents."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cage(ThreadingHTTPServer):
    """`asked` are the bodies that came, each with the path and the key that came along."""

    asked: list[dict[str, Any]]

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Self]:
        """Serve until the block is left."""
        with cls(("127.0.0.1", 0), _Parrot) as server:
            server.asked = []
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Parrot(BaseHTTPRequestHandler):
    """Answers as the model's name says: grey, whole (whatever was asked), cut, tired (in mid-answer), busy."""

    server: Cage

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append({"path": self.path, "key": self.headers["x-parrot-key"], **asked})
        model, said = asked["model"], asked["turns"][-1]["says"]
        end = {"why": "done", "tokens": {"in": 1, "out": 2}}
        if model == "busy":
            self.send(429, "application/json", json.dumps({"code": "slow_down", "message": "Too fast."}).encode())
        elif model == "whole" or not asked["stream"]:
            self.send(200, "application/json", json.dumps({"says": f"Parrot says {said}", **end}).encode())
        else:
            last = {"cut": b"", "tired": event("error", code="no_credit", message="No seeds left.")}
            words = event("says", says="Parrot ") + event("says", says=f"says {said}")
            self.send(200, "text/event-stream", words + last.get(model, event("end", **end)))

    def send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def event(name: str, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
