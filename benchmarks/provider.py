"""A provider that costs next to nothing: an asyncio protocol with ready-made answers in OpenAI's format.

The model's name says how it answers: ``50x5`` in 50 chunks, 5 ms apart; ``50x5+200`` is 200 ms away. Prints its port when
it listens, which may be given.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from functools import lru_cache

import uvloop

WORDS = ("The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "again")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"


def event(body: dict[str, object]) -> bytes:
    base = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1700000000, "model": "bench"}
    return b"data: " + json.dumps(base | body, separators=(",", ":")).encode() + b"\n\n"


def part(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def delta(word: str) -> bytes:
    return part(event({"choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]}))


PARTS = [delta(word) for word in WORDS]
USAGE = {"prompt_tokens": 9, "completion_tokens": 50, "total_tokens": 59}
LAST = (
    part(event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    + part(event({"choices": [], "usage": USAGE}))
    + part(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
CHUNKED = HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n"


@lru_cache
def whole(chunks: int) -> bytes:
    text = "".join(f"{WORDS[n % len(WORDS)]} " for n in range(chunks))
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = json.dumps({"id": "chatcmpl-bench", "choices": [message], "usage": USAGE}).encode()
    return HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Provider(asyncio.Protocol):
    def __init__(self) -> None:
        self.rest = b""
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        head, end, body = self.rest.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if end and length and len(body) >= int(length[1]):
            self.rest = b""
            self.answer(body)

    def answer(self, body: bytes) -> None:
        found = re.search(rb'"model": *"(\d+)x(\d+)(?:\+(\d+))?"', body)
        chunks, pause, away = int(found[1]), int(found[2]) / 1000, int(found[3] or 0) / 1000
        if away:
            self.loop.call_later(away, self.said, body, chunks, pause)
        else:
            self.said(body, chunks, pause)

    def said(self, body: bytes, chunks: int, pause: float) -> None:
        if not re.search(rb'"stream": *true', body):
            self.loop.call_later(chunks * pause, self.transport.write, whole(chunks))
            return
        if not pause:  # timers of one moment may come in any order
            parts = (PARTS[n % len(PARTS)] for n in range(chunks))
            self.transport.write(b"".join((CHUNKED, *parts, LAST)))
            return
        self.transport.write(CHUNKED)
        began = self.loop.time()
        for n in range(chunks):
            self.loop.call_at(began + n * pause, self.transport.write, PARTS[n % len(PARTS)])
        self.loop.call_at(began + chunks * pause, self.transport.write, LAST)


async def main() -> None:
    port = int(sys.argv[1]) if sys.argv[1:] else 0
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
