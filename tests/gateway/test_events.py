"""What is logged and observed: stable names, all of them documented, and nothing in them that is secret."""

import ast
import logging
import re
from pathlib import Path

import pytest

from tests.gateway.kit import KEY, opened
from warp_magics.gateway import observe
from warp_magics.gateway.types import ChatRequest as Ask

ROOT = Path(__file__).resolve().parents[2]
PROMPT, SECRET = "a prompt about penguins", "an answer about walruses"


@pytest.fixture
def seen():
    events = []
    stop = observe(lambda name, fields: events.append((name, fields)))
    yield events
    stop()


@pytest.mark.asyncio
async def test_the_way_of_an_answer_is_told_to_the_log_and_to_observers(fake, config, seen, caplog):
    caplog.set_level(logging.INFO, "warp_magics")
    async with opened(config("fail-401", "ok")) as gateway:
        answer = await gateway.ask(Ask(PROMPT, session_id="s1", create_session=True, turn_id="t1"))
    assert [name for name, _ in seen] == [
        "answer_started",
        "attempt_started",
        "model_cooling",
        "attempt_failed",
        "attempt_started",
        "attempt_ended",
        "answer_ended",
    ]
    ended = seen[-1][1]
    assert (ended["turn"], ended["status"], ended["model"], ended["cost"]) == ("t1", "complete", "lab:ok", None)
    assert (ended["input_tokens"], ended["output_tokens"]) == (answer.usage.input_tokens, answer.usage.output_tokens)
    failed = next(fields for name, fields in seen if name == "attempt_failed")
    assert (str(failed["model"]), failed["code"], failed["status"]) == ("lab:fail-401", "PROVIDER_ACCESS_ERROR", 401)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("warp_magics")]
    assert [line.partition(" ")[0] for line in logged] == [name for name, _ in seen]
    told = "\n".join([*logged, str(seen)])
    for secret in (PROMPT, "penguins", answer.text, KEY):
        assert secret not in told


@pytest.mark.asyncio
async def test_an_observer_that_fails_is_nobodys_trouble(fake, config, caplog):
    def fails(name, fields):
        raise RuntimeError(name)

    stop = observe(fails)
    try:
        async with opened(config("ok")) as gateway:
            assert (await gateway.ask(Ask("hi"))).text
    finally:
        stop()
    assert "observer_failed event=answer_ended" in caplog.text


def told_in(tree):
    """Events and their fields, as `tell(log, name, ...)` and `log.exception("name ...")` have them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "tell":
            yield node.args[1].value, {one.arg for one in node.keywords} - {"level"}
        elif isinstance(node.func, ast.Attribute) and node.func.attr in {"exception", "error"}:
            for text in (one for one in node.args[:1] if isinstance(one, ast.Constant)):
                yield re.match(r"\w+", text.value)[0], set()


def test_every_event_is_documented_with_its_fields():
    page = (ROOT / "docs/events.md").read_text("utf-8").partition("\n## Metrics\n")[0]
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    documented = {name: set(re.findall(r"`(\w+)`", row[3])) for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    documented |= {name: set() for name in re.findall(r"`(\w+)`", page[page.rindex("|\n") :])}
    found = {}
    for path in (ROOT / "warp_magics/gateway").rglob("*.py"):
        for name, fields in told_in(ast.parse(path.read_text("utf-8"))):
            found[name] = found.get(name, set()) | fields
    assert found == documented
