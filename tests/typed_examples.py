"""How typed code uses Warp: read by the type checker, never run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_type

from warp_magics import ChatPanel, Reply, Warp


@dataclass
class City:
    name: str
    people: int


def in_a_script() -> str:
    warp = Warp(session="analysis", model=["openai:gpt-4o-mini", "gemini:gemini-2.5-flash"])
    reply = warp.ask("Why?", temperature=0, max_tokens=50, stop=["END"], timeout=30.0)
    assert_type(reply, Reply)
    assert_type(reply.text, str)
    assert_type(reply.cost, float | None)
    assert_type(reply.usage.input_tokens, int)
    assert_type([attempt.outcome for attempt in reply.route], list[str])
    for piece in warp.stream("Go on.", attach={"notes": Path("notes.md")}):
        assert_type(piece, str)
    assert_type(warp.chat("analysis", height=600), ChatPanel)
    city: City = warp.ask("Name one.", schema=City).value
    warp.ask("x", temprature=0)  # type: ignore[call-arg]  # a misspelt option is no option
    warp.ask("x", seed="seven")  # type: ignore[arg-type]
    Warp("analysis")  # type: ignore[call-arg]  # by name alone
    return city.name


async def in_a_loop() -> None:
    with Warp(url="https://hub.example/warp", token="…") as warp:
        assert_type(await warp.aask("Why?", session=None), Reply)
        async for piece in warp.astream("Go on.", attach=[City("Paris", 2)], cache=False):
            assert_type(piece, str)
