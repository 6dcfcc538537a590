import assert from "node:assert/strict";
import { test } from "node:test";
import { JSDOM } from "jsdom";
import { cut } from "../src/markdown/parts";
import { createRenderer } from "../src/markdown/render";
import { Growing } from "../src/markdown/growing";
import type { PageWindow } from "../src/markdown/cleaning";
import { PAYLOADS } from "./payloads";

const renderer = createRenderer(new JSDOM("<!doctype html>").window as unknown as PageWindow);

const TAGS = new Set(
  (
    "a b strong i em u s del ins sub sup kbd mark code samp var small q cite br hr p pre span blockquote ul ol li dl dt dd " +
    "table thead tbody tfoot tr th td caption details summary h1 h2 h3 h4 h5 h6 " +
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow mspace msqrt mstyle msub " +
    "msubsup msup mtable mtd mtext mtr munder munderover none"
  ).split(" "),
);

const VALUES: Readonly<Record<string, RegExp>> = {
  href: /^(?:https?:\/\/[a-z\d.-]+(?::\d+)?(?:\/|\?|#|$)|mailto:)/i,
  target: /^_blank$/,
  rel: /^noopener noreferrer$/,
  title: /^[^]*$/,
  align: /^(?:left|right|center)$/,
  start: /^\d+$/,
  class: /^(?:(?:hljs|language-|tml-|wbk-|chr-)[\w+#.-]*|warp-(?:image|inline|display|plain)|[a-z]+_{1,2}| )+$/,
  "data-source": /^(?:https?:\/\/|data:image\/(?:png|jpeg|gif|webp);base64,)/,
  style: /^(?:[a-z-]+:[\w\s#%.]+;?)+$/,
};

const MATHS = "http://www.w3.org/1998/Math/MathML";

function check(html: string): JSDOM {
  const dom = new JSDOM(`<!doctype html><body>${html}`, { runScripts: "dangerously" });
  for (const element of dom.window.document.body.querySelectorAll("*")) {
    assert.ok(TAGS.has(element.localName), `<${element.localName}> in ${html}`);
    for (const { name, value } of element.attributes) {
      const allowed = VALUES[name] ?? (element.namespaceURI === MATHS ? /^[\w.#%+-]*$/ : undefined);
      assert.ok(allowed?.test(value), `${name}="${value}" in ${html}`);
      assert.doesNotMatch(name, /^(?:on|id$|name$|src|xlink)/);
      if (name === "style") assert.equal(element.namespaceURI, MATHS);
    }
  }
  assert.equal((dom.window as unknown as Record<string, unknown>)["__owned"], undefined);
  return dom;
}

test("there are payloads enough, each with its name", () => {
  assert.ok(PAYLOADS.length >= 60);
  assert.equal(new Set(PAYLOADS.map(({ name }) => name)).size, PAYLOADS.length);
});

for (const { name, text } of PAYLOADS) {
  test(`hostile: ${name}`, () => {
    const hosted = text.replaceAll("HOST", "host.example");
    const { document } = check(renderer.render(hosted)).window;
    if (name.startsWith("forged")) assert.equal(document.querySelector("[class^=warp-]"), null);
    check(renderer.render(`> 1. before ${hosted} after\n\n[__proto__]: javascript:x\n`));
    check(renderer.render(`<details><table><tr><td>\n\n${hosted}\n\n![p](http://host.example/p "t") $x$\n`));
  });
}

test("all payloads at once, and as they come", () => {
  const text = PAYLOADS.map((payload) => payload.text.replaceAll("HOST", "host.example")).join("\n\n");
  check(renderer.render(text));
  const growing = new Growing(renderer);
  for (let end = 0; end < text.length; end += 501) {
    check(
      growing
        .update(text.slice(0, end))
        .map(({ html }) => html)
        .join(""),
    );
  }
});

test("what is nested too deeply is shown as it came, or as text", () => {
  for (const unit of [
    ">",
    "[",
    "*",
    "> - ",
    "- ",
    "![",
    "**a _b ",
    "<b>",
    "<details>\n\n",
    "(",
    "{",
    "`",
    "~~a ",
    "$\\frac{",
  ]) {
    const text = unit.repeat(10_000);
    const { document } = check(renderer.render(text)).window;
    assert.ok(document.body.textContent.trim().length > 0 || /^[*\-\s`]*$/.test(text), unit);
  }
});

test("what would take long takes not long", () => {
  const units = [
    "_a*",
    "*a*",
    "**a**b*",
    "a_",
    "[a](",
    "[a](<b",
    "[a][",
    "![",
    "[`",
    "`a``",
    '<a b="',
    "<!-- >",
    "<?",
    "~a~~",
    "\\(",
    "\\[a ",
    "$a ",
    "$a$ ",
    "> a\nb\n",
    "> - a\nb\n",
    ">> a\nb\n",
    "- a\n",
    "a\n=\n",
    "a\n# b\n",
    "$$\na\n",
    "a\n$$b$$ c\n",
    "| a ",
    "|-|-|\n",
    "[a]: b\n",
    '[a]: b "\n',
    "```\n",
    "```js\n((((\n```\n",
    "http://a.",
    "a@a.",
    "<x y\n",
    "<p>\n",
    "a",
    "\u200f",
    "\ud800",
    "\0",
  ];
  for (const unit of units) {
    const text = "x " + unit.repeat(200_000 / unit.length);
    const start = performance.now();
    try {
      cut(text, {});
    } catch {
      // Shown as it came.
    }
    assert.ok(performance.now() - start < 5000, JSON.stringify(unit));
  }
  assert.ok(renderer.render("a".repeat(1_000_000)).length >= 1_000_000);
  check(renderer.render("**a [b](c) ".repeat(20_000)));
});

test("odd characters do no harm", () => {
  for (const text of ["", "\n", "\0", "\ud800", "\u202e", "\ufeff", "\r", "a\r\nb\rc", "\u2028"])
    check(renderer.render(text));
  assert.equal(renderer.render("a\r\n\r\nb"), renderer.render("a\n\nb"));
});
