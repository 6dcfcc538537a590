"""Samples of wire traffic, and how they are read: at every cut, with every line end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from warp_magics.gateway.sse import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from warp_magics.gateway.dialects.base import Dialect
    from warp_magics.gateway.types import Event

HERE = Path(__file__).parent
LINE_ENDS = (b"\n", b"\r\n", b"\r")


def sample(name: str) -> bytes:
    """The bytes of `tests/wire/NAME`, whose lines end with LF."""
    return (HERE / name).read_bytes()


def samples(dialect: str, ending: str) -> list[str]:
    """The names of a dialect's samples, for `sample`."""
    return sorted(str(path.relative_to(HERE)) for path in (HERE / dialect).glob(f"*.{ending}"))


def read(dialect: Dialect, pieces: Iterable[bytes]) -> list[Event]:
    """The events of a stream that comes in `pieces`; stops where the client would, at the end marker."""
    return list(_read(dialect, pieces))


def _read(dialect: Dialect, pieces: Iterable[bytes]) -> Iterator[Event]:
    lines, answer = Decoder(), dialect.decoder()
    for piece in pieces:
        for event in lines.feed(piece):
            yield from answer.feed(event)
        if answer.done:
            break
    yield from answer.end()


def read_until_error(dialect: Dialect, raw: bytes, kind: type[Exception]) -> tuple[list[Event], Exception]:
    """The events before the error that a stream reports, and the error."""
    events: list[Event] = []
    try:
        for event in _read(dialect, [raw]):
            events.append(event)  # noqa: PERF402 - those before the error are wanted too
    except kind as error:
        return events, error
    raise AssertionError(f"no {kind.__name__} came")


def read_anyhow(dialect: Dialect, raw: bytes) -> Sequence[Event]:
    """The events of a stream, which are the same wherever it is cut and whatever its lines end with."""
    whole = read(dialect, [raw])
    for line_end in LINE_ENDS:
        wire = raw.replace(b"\n", line_end)
        for cut in range(len(wire) + 1):
            assert read(dialect, [wire[:cut], wire[cut:]]) == whole, (line_end, cut)
        assert read(dialect, [wire[at : at + 1] for at in range(len(wire))]) == whole
    return whole
