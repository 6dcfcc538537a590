"""Two hundred turns in one panel: the page's memory does not grow after the first fifty."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.fakes.provider import Reply
from tests.panel.test_talk import RICH

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

TURNS, WARM = 200, 50


def measured(front):
    """Bytes that the page's scripts hold, its nodes and its listeners, once all that nobody holds is gone."""
    session = front.page.context.new_cdp_session(front.page)
    session.send("HeapProfiler.enable")
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return metrics["JSHeapUsedSize"], metrics["Nodes"], metrics["JSEventListeners"]


def test_two_hundred_turns_cost_no_more_than_fifty(front, lab, way):
    lab.script(f"soak@{way}", Reply(chunks=[RICH[at : at + 100] for at in range(0, len(RICH), 100)]))
    panel = front.panel(f"soak-{way}", f"lab:soak@{way}")
    ask = """async ([name, count]) => {
        const root = [...document.querySelectorAll('.warp-root')].at(-1);
        const area = root.querySelector('.warp-composer textarea');
        const until = async look => { while (!look()) await new Promise(done => setTimeout(done, 5)); };
        for (let number = 0; number < count; number++) {
            await until(() => root.querySelector('.warp-send') && !root.querySelector('[aria-busy=true]'));
            Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(area, `${name} ${number}`);
            area.dispatchEvent(new Event('input', {bubbles: true}));
            await until(() => !root.querySelector('.warp-send').disabled);
            root.querySelector('.warp-send').click();
            await until(() => root.querySelector('.warp-turns').textContent.includes(`${name} ${number}`));
        }
    }"""
    front.page.evaluate(ask, ["warm", WARM + 10])
    panel.idle()
    before = measured(front)
    front.page.evaluate(ask, ["soak", TURNS - WARM - 10])
    panel.idle()
    after = measured(front)
    expect(panel.turns).to_have_count(50)
    assert front.print("len(panel.turns)") == str(TURNS)
    heap, nodes, listeners = (now - then for now, then in zip(after, before, strict=True))
    assert heap < 3_000_000, (before, after)
    assert nodes < 500, (before, after)
    assert listeners < 100, (before, after)
