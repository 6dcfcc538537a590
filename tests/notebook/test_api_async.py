"""`Warp` where a loop runs already: `asyncio.run`, an ASGI handler; what comes of leaving early; schemas and attachments."""

import pytest

from tests.fakes.provider import Fault, Reply

pytestmark = pytest.mark.slow


def test_in_a_loop_that_goes_on_meanwhile(script):
    told = script(
        """
        async def main():
            ticks = 0
            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.005)
            ticking = asyncio.create_task(tick())
            tell((await warp.aask("one", session="async", model="lab:slow-0.02@async")).text)
            tell("".join([piece async for piece in warp.astream("two", session="async", model="lab:ok@async")]))
            many = await asyncio.gather(*(warp.aask(f"{n}", model="lab:ok@async") for n in range(8)))
            tell([reply.text for reply in many])
            tell(ticks > 5)
            ticking.cancel()
        asyncio.run(main())
        asyncio.run(main())
        """
    )
    first, second = told[:4], told[4:]
    assert first[0] == "You said 'one' in message 1."
    assert first[1] == "You said 'two' in message 3."
    assert first[2] == [f"You said '{n}' in message 1." for n in range(8)]
    assert first[3] is second[3] is True
    assert second[0] == "You said 'one' in message 5."


def test_in_an_asgi_handler(script):
    told = script(
        """
        import httpx
        async def app(scope, receive, send):
            query = scope["query_string"].decode()
            reply = await warp.aask(query, model="lab:ok@asgi")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": reply.text.encode()})
        async def main():
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                got = await asyncio.gather(*(client.get(f"/?q{n}") for n in range(4)))
                tell([one.text for one in got])
        asyncio.run(main())
        """
    )
    assert told == [[f"You said 'q{n}' in message 1." for n in range(4)]]


def test_the_same_errors_with_the_same_parts(script):
    told = script(
        """
        from warp_magics.gateway import errors
        async def caught(what):
            try:
                await what
            except errors.WarpError as error:
                tell([type(error).__name__, error.details.get("partial")])
        async def main():
            await caught(warp.aask(""))
            await caught(warp.aask("x", model="nobody:x"))
            await caught(warp.aask("x", temprature=1))
            await caught(warp.aask("x", model="lab:cut-3@async"))
            seen = []
            async def read():
                async for piece in warp.astream("x", model="lab:cut-3@async2"):
                    seen.append(piece)
            await caught(read())
            tell("".join(seen))
        asyncio.run(main())
        """
    )
    part = "You said 'x'"
    assert told == [
        ["InvalidRequest", None],
        ["UnknownModel", None],
        ["InvalidRequest", None],
        ["StreamBroken", part],
        ["StreamBroken", None],
        part,
    ]


@pytest.mark.parametrize("how", ["cancelled", "left"])
def test_who_leaves_early_stops_the_answer_and_its_part_is_kept(script, lab, how):
    model = f"part@{how}"
    lab.script(model, Reply(chunks=["one ", "two"], insert=(Fault.SILENT,), at=1))
    told = script(
        f"""
        async def left():
            async for piece in warp.astream("x", session="{how}", model="lab:{model}"):
                tell(piece)
                break
        async def cancelled():
            read = asyncio.Event()
            async def follow():
                async for piece in warp.astream("x", session="{how}", model="lab:{model}"):
                    tell(piece)
                    read.set()
            task = asyncio.create_task(follow())
            await read.wait()
            task.cancel()
            await asyncio.wait({{task}})
        async def main():
            await {how}()
            from warp_magics.connect import connection
            at = connection()
            while True:
                turns = await at.portal.acall(lambda: at.gateway.history(at.owner, "{how}"))
                if turns:
                    break
                await asyncio.sleep(0.01)
            tell([turns[0].status, turns[0].response])
        asyncio.run(main())
        """
    )
    assert told == ["one ", ["stopped", "one "]]
    lab.wait_until(lambda: [call for call in lab.disconnects if call.model == model])


def test_a_value_of_a_type_and_what_goes_along(script, lab, tmp_path):
    lab.script(
        "typed@py", Reply(chunks=['{"name": "Paris", "people": "many"}']), Reply(chunks=['{"name": "P", "people": 2}'])
    )
    (tmp_path / "notes.md").write_text("remember the milk")
    told = script(
        f"""
        from dataclasses import dataclass
        from pathlib import Path
        @dataclass
        class City:
            name: str
            people: int
        reply = warp.ask("?", model="lab:typed@py", session="typed", schema=City, attach={{"n": Path({str(tmp_path)!r}) / "notes.md"}})
        tell([type(reply.value).__name__, reply.value.people])
        from warp_magics.connect import connection
        at = connection()
        turns = at.portal.call(lambda: at.gateway.history(at.owner, "typed"))
        tell([[turn.prompt, turn.response] for turn in turns])
        """
    )
    assert told == [["City", 2], [["?", '{"name": "P", "people": 2}']]]
    first, second = (call.messages for call in lab.calls("typed@py"))
    assert "remember the milk" in first[-1]["content"]
    assert [message["role"] for message in second] == ["system", "user"]
    assert "people" in second[0]["content"]
