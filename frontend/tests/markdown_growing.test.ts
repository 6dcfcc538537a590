import assert from "node:assert/strict";
import { test } from "node:test";
import { JSDOM } from "jsdom";
import { Growing } from "../src/markdown/growing";
import type { Block } from "../src/markdown/growing";
import { createRenderer } from "../src/markdown/render";
import type { Renderer } from "../src/markdown/render";
import type { PageWindow } from "../src/markdown/cleaning";

/** A renderer with a page of its own, for jsdom keeps what it once parsed. */
function newRenderer(): Renderer {
  return createRenderer(new JSDOM("<!doctype html>").window as unknown as PageWindow);
}

const PROSE = "Some words that are long enough to be worth a block of their own. ".repeat(4);

const CORPUS = [
  PROSE,
  `${PROSE}\n===`,
  `# ${PROSE}`,
  "text\n#hashtag",
  "text\n```py`",
  "- a\n- b\n\n- c\n\n  more\n\n      code",
  "1. a\n\n2. b\n\n3. c",
  "```python\nx = 1\n\n\n# y\n```",
  "~~~\n\n```\n\n~~~",
  "    indented\n\n    more",
  "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
  "text\n| a |\n|---|\n| 1 |",
  "$$\na\n- b\n\\begin{align}x &= y\\end{align}\n$$",
  "\\[\nx\n\\]",
  "Where $x_1$ is *one*, $y$\nis two.",
  "$$ open",
  "> quote\nlazy\n\n> another",
  "> - a\n> - b\n\nafter",
  "<details>\n<summary>S</summary>\n\ninside\n\n- x\n\n</details>",
  "<p>\nraw <b>b\n\nc",
  "<!-- a\n\nb -->",
  "<script>\n\nx\n\n</script>",
  "[a]: https://a.example 'T'",
  "see [a] and [b][a] and [late]",
  "***",
  "text\n***bold***",
  "---",
  "**open",
  "[text](https://b.exam",
  "![p](https://c.example/p.png)",
  "a\r\nb\r\n\r\nc",
  "- [x] task\n- [ ] task",
  "*\n\n+ x\n\n1) y",
  "<a href=https://a.example>open",
  "https://d.example/x_y_z",
  "$$x$$ is nice\n- a",
  "\ud83d\ude00 \u202e",
  "***\n\n***",
];

/** Numbers from 0 to below 1 that are the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
}

function text(next: () => number): string {
  const pieces = Array.from({ length: 4 + next() * 12 }, () => CORPUS[Math.floor(next() * CORPUS.length)] ?? "");
  return pieces.map((piece) => piece + (next() < 0.8 ? "\n\n" : "\n")).join("") + "[late]: https://late.example\n";
}

function html(blocks: readonly Block[]): string {
  return blocks.map((block) => block.html).join("");
}

test("a text that comes bit by bit ends as the whole text, and what is settled stays", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const renderer = newRenderer();
    const next = numbers(seed);
    const whole = text(next);
    const growing = new Growing(renderer);
    let before: readonly Block[] = [];
    let settled = 0;
    for (let end = 0; end < whole.length; end += 1 + Math.floor(next() * 60)) {
      const blocks = growing.update(whole.slice(0, end));
      assert.deepEqual(blocks.slice(0, settled), before.slice(0, settled), `seed ${seed}`);
      blocks.forEach((block, index) => assert.equal(block.key, index));
      settled = Math.max(settled, Math.min(settledOf(growing), blocks.length));
      before = blocks;
    }
    const last = growing.update(whole);
    const done = growing.whole(whole);
    assert.equal(html(done), renderer.render(whole), `seed ${seed}`);
    done.forEach((block, index) => {
      if (block.html === last[index]?.html) assert.equal(block, last[index]);
    });
  }
});

test("without references that come late, the blocks that grew are those of the whole text", () => {
  const late = /\[late\]|\[a\]|\[b\]/;
  for (let seed = 100; seed < 120; seed++) {
    const renderer = newRenderer();
    const next = numbers(seed);
    const whole =
      text(next)
        .split("\n\n")
        .filter((piece) => !late.test(piece))
        .join("\n\n") + "\n";
    const growing = new Growing(renderer);
    for (let end = 0; end < whole.length; end += 1 + Math.floor(next() * 15)) growing.update(whole.slice(0, end));
    assert.equal(html(growing.update(whole)), renderer.render(whole), `seed ${seed}`);
  }
});

test("blocks that did not change are the same objects", () => {
  const growing = new Growing(newRenderer());
  const first = growing.update(`${PROSE}\n\n${PROSE}\n\nnew`);
  const second = growing.update(`${PROSE}\n\n${PROSE}\n\nnew words`);
  assert.equal(first.length, 3);
  assert.equal(second[0], first[0]);
  assert.equal(second[1], first[1]);
  assert.notEqual(second[2], first[2]);
  assert.equal(second[2]?.key, first[2]?.key);
});

test("an answer begun anew", () => {
  const renderer = newRenderer();
  const growing = new Growing(renderer);
  growing.update(`${PROSE}\n\n${PROSE}\n\nold`);
  assert.equal(html(growing.update("new")), renderer.render("new"));
});

test("a reference defined before holds in what follows, one defined later in the end", () => {
  const growing = new Growing(newRenderer());
  const known = `[a]: https://a.example\n\n${PROSE}\n\n${PROSE}\n\nsee [a] and [b]\n\n${PROSE}\n\n`;
  growing.update(known);
  assert.match(html(growing.update(`${known}x\n`)), /href="https:\/\/a\.example/);
  assert.match(html(growing.whole(`${known}[b]: https://b.example`)), /href="https:\/\/b\.example/);
});

test("only the tail is read again", () => {
  const growing = new Growing(counting(newRenderer()));
  let answer = "";
  for (let count = 0; count < 400; count++) {
    answer += `${PROSE}\n\n`;
    growing.update(answer);
  }
  assert.ok(read < 5 * answer.length, `${read} characters read of ${answer.length}`);
});

test("a long tail that does not end is not read for each word", () => {
  const renderer = newRenderer();
  const growing = new Growing(counting(renderer));
  let answer = "```\n";
  for (let count = 0; count < 4000; count++) {
    answer += "some words\n";
    growing.update(answer);
  }
  assert.ok(read < 60 * answer.length, `${read} characters read of ${answer.length}`);
  assert.equal(html(growing.whole(answer)), renderer.render(answer));
});

let read = 0;

function counting(one: Renderer): Renderer {
  read = 0;
  return {
    render: (given) => one.render(given),
    pieces(given, links) {
      read += given.length;
      return one.pieces(given, links);
    },
  };
}

function settledOf(growing: Growing): number {
  return (growing as unknown as { frozen: readonly string[] }).frozen.length;
}
