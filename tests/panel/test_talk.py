"""A conversation in the panel, by REST and by the comm: asked, streamed, stopped, gone on with, asked anew."""

from __future__ import annotations

import threading

import pytest
from playwright.sync_api import expect

from tests.fakes.provider import Fault, Reply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

RICH = """Here **it** is:

| month | sales |
|---|---:|
| May | 90 |

With $e^{i\\pi} = -1$ and

```python
x = 1
print("x")
```

That is all.
"""


def chunks(text, size=7):
    return [text[at : at + size] for at in range(0, len(text), size)]


def test_a_prompt_is_answered_and_both_are_in_the_session(front, lab, way):
    panel = front.panel(f"first-{way}")
    expect(panel.root.locator(".warp-empty")).to_be_visible()
    panel.asked("Hello there", "You said 'Hello there' in message 1.")
    expect(panel.root.locator(".warp-prompt")).to_have_text("Hello there")
    expect(panel.root.locator(".warp-model")).to_have_text("lab:ok")
    expect(panel.root.locator(".warp-route")).to_contain_text("lab:ok · first token")
    expect(panel.prompt).to_have_value("")
    panel.asked("And again", "in message 3.")
    told = front.print("[t['prompt'] for t in panel.turns], panel.value")
    assert told == """['Hello there', 'And again'] You said 'And again' in message 3."""


def test_an_answer_streams_as_markdown(front, lab, way):
    lab.script(f"rich@{way}", Reply(chunks=chunks(RICH), delay=0.01))
    panel = front.panel(f"rich-{way}", f"lab:rich@{way}")
    panel.asked("Show me", "That is all.")
    text = panel.root.locator(".warp-text")
    expect(text.locator("strong")).to_have_text("it")
    expect(text.locator("td").nth(1)).to_have_text("90")
    expect(text.locator("math")).to_have_count(1)
    expect(text.locator("pre .hljs-string")).to_have_text('"x"')


def test_code_is_copied_and_put_into_a_cell_below(front, lab, way):
    lab.script(f"code@{way}", Reply(chunks=["```python\n", "answer = 6 * 7\n", "```"]))
    panel = front.panel(f"code-{way}", f"lab:code@{way}")
    panel.asked("Code, please", "answer = 6 * 7")
    front.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.button("Copy").click()
    expect(panel.button("Copied")).to_be_visible()
    assert front.page.evaluate("navigator.clipboard.readText()") == "answer = 6 * 7"
    before = front.cells.count()
    panel.button("Insert below").click()
    expect(front.cells).to_have_count(before + 1)
    expect(front.cells.nth(before - 1).locator(".cm-content")).to_have_text("answer = 6 * 7")


def test_stop_keeps_what_has_come_and_continue_goes_on_in_the_same_turn(front, lab, way):
    hold = threading.Event()
    lab.script(f"held@{way}", Reply(chunks=["Once ", hold, "upon"]), Reply(chunks=["Once upon a time"]))
    panel = front.panel(f"held-{way}", f"lab:held@{way}")
    panel.ask("A story")
    expect(panel.answers.last).to_contain_text("Once", timeout=10_000)
    expect(panel.button("Send")).to_have_count(0)
    panel.button("Stop").click()
    panel.idle()
    hold.set()
    expect(panel.answers.last).to_contain_text("stopped")
    panel.button("Continue").click()
    expect(panel.answers.last).to_contain_text("Once upon a time", timeout=10_000)
    panel.idle()
    expect(panel.turns).to_have_count(1)


def test_asking_again_and_editing_take_the_turns_place(front, lab, way):
    panel = front.panel(f"again-{way}")
    panel.asked("One", "'One' in message 1")
    panel.asked("Two", "'Two' in message 3")
    panel.button("Ask again", panel.turns.last).click()
    expect(panel.turns).to_have_count(2)
    panel.idle()
    panel.turns.first.hover()
    panel.button("Edit and ask again", panel.turns.first).click()
    editor = panel.root.get_by_role("textbox", name="Edit prompt")
    editor.fill("Uno")
    editor.press("Enter")
    expect(panel.turns).to_have_count(1)
    expect(panel.answers.last).to_contain_text("'Uno' in message 1", timeout=10_000)
    panel.idle()
    told = front.run(
        "from warp_magics.connect import connection as c\nat = c()\n"
        f"s = at.portal.call(lambda: at.gateway.session(at.owner, 'again-{way}'))\n"
        "print(s.turns, [b.turns for b in s.branches])"
    )
    expect(told.locator(".jp-OutputArea-output")).to_have_text("1 [1, 2]")


def test_a_failure_says_what_happened_and_another_model_may_be_asked(front, lab, way):
    panel = front.panel(f"fails-{way}", f"lab:fail-503@{way}")
    panel.ask("Anybody?")
    expect(panel.root.locator(".warp-trouble")).to_be_visible(timeout=10_000)
    expect(panel.button("Try again")).to_be_visible()
    panel.root.get_by_role("combobox", name="Model").select_option("lab:ok")
    panel.button("Try again").click()
    expect(panel.answers.last).to_contain_text("You said 'Anybody?' in message 1", timeout=10_000)
    expect(panel.turns).to_have_count(1)


def test_a_broken_answer_keeps_its_part(front, lab, way):
    lab.script(f"broken@{way}", Reply(chunks=["All of ", "this ", "stays"], insert=[Fault.CUT], at=2))
    panel = front.panel(f"broken-{way}", f"lab:broken@{way}")
    panel.ask("Go")
    expect(panel.root.locator(".warp-trouble")).to_be_visible(timeout=10_000)
    expect(panel.answers.last).to_contain_text("All of this")
    expect(panel.button("Continue")).to_be_visible()


def test_who_is_waited_for_is_said_after_a_while(front, lab, way):
    panel = front.panel(f"waits-{way}", f"lab:stall-first@{way}")
    panel.ask("Hello?")
    expect(panel.answers.last).to_contain_text(f"waiting for lab:stall-first@{way}", timeout=10_000)
    panel.button("Stop").click()
    expect(panel.button("Send")).to_be_visible(timeout=10_000)


def test_the_prompt_is_written_with_the_keyboard(front, lab, way):
    panel = front.panel(f"keys-{way}")
    panel.type("one")
    front.page.keyboard.press("Shift+Enter")
    front.page.keyboard.insert_text("two")
    expect(panel.prompt).to_have_value("one\ntwo")
    front.page.keyboard.press("Enter")
    expect(panel.answers.last).to_contain_text("in message 1", timeout=10_000)
    panel.idle()
    expect(panel.prompt).to_be_focused()
    front.page.keyboard.press("ArrowUp")
    expect(panel.prompt).to_have_value("one\ntwo")


def test_many_chunks_do_not_freeze_the_page(front, lab, way):
    """10,000 chunks are drawn in far fewer drawings, and a click between them is heard."""
    lab.script(f"flood@{way}", Reply(chunks=[f"w{number} " for number in range(10_000)], split=1_000_000))
    panel = front.panel(f"flood-{way}", f"lab:flood@{way}")
    front.page.evaluate("""() => {
        const root = [...document.querySelectorAll('.warp-root')].at(-1);
        window.__drawings = 0;
        new MutationObserver(() => { window.__drawings += 1; })
            .observe(root.querySelector('.warp-turns'), {childList: true, subtree: true, characterData: true});
    }""")
    panel.ask("Flood")
    panel.button("Conversations").click()
    expect(panel.root.locator(".warp-sessions")).to_be_visible(timeout=5_000)
    panel.button("Conversations").click()
    expect(panel.answers.last).to_contain_text("w9999", timeout=60_000)
    assert front.page.evaluate("window.__drawings") < 1_000
