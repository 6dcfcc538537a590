import assert from "node:assert/strict";
import { test } from "node:test";
import { JSDOM } from "jsdom";
import { createRenderer, images } from "../src/markdown/render";
import type { PageWindow } from "../src/markdown/cleaning";

const window = new JSDOM("<!doctype html>").window as unknown as PageWindow;
const { render } = createRenderer(window);

function page(text: string): HTMLElement {
  const root = window.document.createElement("div");
  root.innerHTML = render(text);
  return root;
}

/** The formulas in `text` as what their letters and signs spell. */
function formulas(text: string): string[] {
  return [...page(text).querySelectorAll("math")].map((formula) => formula.textContent);
}

function hrefs(text: string): (string | null)[] {
  return [...page(text).querySelectorAll("a")].map((link) => link.getAttribute("href"));
}

test("GitHub's Markdown", () => {
  const root = page(
    "# Title\n\nA **bold** _word_, ~~gone~~, `code`, https://example.org/x.\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n\n" +
      "3. three\n4. four\n\n- [x] done\n- [ ] open\n\n> quoted\n\n---\n",
  );
  for (const tag of ["h1", "strong", "em", "del", "code", "a", "table", "ol[start='3']", "blockquote", "hr"]) {
    assert.ok(root.querySelector(tag), tag);
  }
  assert.equal(root.querySelector("th")?.getAttribute("align"), "left");
  assert.deepEqual(
    [...root.querySelectorAll("ul li")].map((item) => item.textContent),
    ["☑ done", "☐ open"],
  );
});

test("links to elsewhere open apart, other links are their text", () => {
  const link = page("[a **b**](https://example.org/?x=1&y=2 'T')").querySelector("a");
  assert.equal(
    link?.outerHTML,
    '<a href="https://example.org/?x=1&amp;y=2" title="T" target="_blank" rel="noopener noreferrer">a <strong>b</strong></a>',
  );
  assert.deepEqual(hrefs("[a](mailto:a@b.example) <https://b.example> www.c.example d@e.example"), [
    "mailto:a@b.example",
    "https://b.example/",
    "http://www.c.example/",
    "mailto:d@e.example",
  ]);
  assert.equal(render("[a *b*](/x) [c](javascript:d)").trim(), "<p>a <em>b</em> c</p>");
  assert.deepEqual(hrefs("see <a href='https://a.example' onclick=x>this</a>"), ["https://a.example/"]);
});

test("code is coloured if its language is known, and not too long", () => {
  const code = (text: string): Element | null => page(text).querySelector("pre > code");
  for (const name of [
    "python",
    "py",
    "r",
    "julia",
    "sql",
    "bash",
    "sh",
    "json",
    "yaml",
    "toml",
    "js",
    "ts",
    "html",
    "c",
    "c++",
    "rust",
    "go",
    "diff",
    "dockerfile",
    "md",
    "{python}",
    "Python title=x",
  ]) {
    assert.ok(code(`\`\`\`${name}\nif x = "1": # 2\n\`\`\``)?.className.includes("hljs language-"), name);
  }
  assert.ok(code("```python\ndef f(): pass\n```")?.querySelector(".hljs-keyword"));
  for (const info of ["", "nope", "__proto__", "constructor", "toString"]) {
    const plain = code(`\`\`\`${info}\n<b> & "c"\n\`\`\``);
    assert.equal(plain?.textContent, '<b> & "c"\n');
    assert.equal(plain?.childElementCount, 0);
  }
  const long = code("```python\n" + "x = 1\n".repeat(4000) + "```");
  assert.equal(long?.childElementCount, 0);
  assert.equal(long?.textContent.length, 24_000);
});

test("code not closed yet is code", () => {
  assert.equal(page("```python\nx = 1").querySelector("code")?.textContent, "x = 1\n");
});

test("formulas, in a line and on their own", () => {
  assert.deepEqual(formulas("so $a_1 * b_2$, \\(c_3*d*e\\) and $n$th"), ["a1∗b2", "c3∗d∗e", "n"]);
  assert.deepEqual(formulas("Then\n$$\na\n+ b\n- c\n$$\nand \\[\nd\n\\] or $$e$$."), ["a+b−c", "d", "e"]);
  assert.deepEqual(formulas("- item\n\n  $$x$$\n\n> \\[y\\]"), ["x", "y"]);
  const aligned = page("$$\n\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}\n$$");
  assert.equal(aligned.querySelectorAll("math[display=block] mtr").length, 2);
  assert.equal(page("*em $a*b$ more*").querySelectorAll("em").length, 1);
  assert.equal(page("_a_ $x_1$ and $y_2$ _b_").querySelectorAll("em").length, 2);
});

test("prices, variables and code are no formulas", () => {
  for (const text of [
    "it costs $5 and $10 more",
    "$HOME and $PATH",
    "US$ 5 - US$ 7",
    "US$5 and US$6",
    "$5-$10",
    "$5, $6 or 7$",
    "`$x$`",
    "```\n$x$\n```",
    "    $x$",
    "\\$x\\$",
    "$HOME/$USER",
    "between $5 million and 10$",
    "[\\[1\\]](https://a.example)",
    "see \\[1\\]",
    "$$ unclosed\n\nhere",
    "a $x\n\ny$",
    "$ x$",
    "$x $",
  ]) {
    assert.deepEqual(formulas(text), [], text);
  }
});

test("what is no formula after all is shown as written", () => {
  assert.equal(page("$\\nonesuch{x}$").textContent.trim(), "$\\nonesuch{x}$");
  assert.equal(page("$$\\def\\a{b}\\a$$").textContent.trim(), "$$\\def\\a{b}\\a$$");
  assert.equal(page("$" + "{".repeat(3000) + "}".repeat(3000) + "$").querySelector("math"), null);
});

test("tags in Markdown: those of texts stay, bare; others are shown or go", () => {
  assert.equal(
    render("H<sub class=x>2</sub>O <KBD id=y>Ctrl</KBD><br/>").trim(),
    "<p>H<sub>2</sub>O <kbd>Ctrl</kbd><br></p>",
  );
  assert.equal(page("vector<int> and <T>").textContent.trim(), "vector<int> and <T>");
  assert.equal(page("a <script>b</script> c <style>d</style> e").textContent.trim(), "a  c  e");
  assert.equal(page("<div align=center>\n\n**x**\n\n</div>").innerHTML.trim(), "<p><strong>x</strong></p>");
  const details = page("<details>\n<summary>More</summary>\n\n**x**\n\n</details>\n\nafter").querySelector("details");
  assert.ok(details?.querySelector("strong"));
  assert.ok(!details?.textContent.includes("after"));
});

test("a picture is offered, and loaded when asked for", () => {
  const root = page("![A *cat*](https://a.example/cat.png) <img src='https://b.example/dog.png' alt='A \"dog\"'>");
  assert.equal(root.querySelector("img"), null);
  images(root);
  images(root);
  const buttons = [...root.querySelectorAll("button")];
  assert.deepEqual(
    buttons.map((button) => button.textContent),
    ["Show image from a.example: A cat", 'Show image from b.example: A "dog"'],
  );
  buttons[0]?.click();
  const image = root.querySelector("img");
  assert.equal(image?.src, "https://a.example/cat.png");
  assert.equal(image?.alt, "A cat");
  assert.equal(image?.referrerPolicy, "no-referrer");
  assert.equal(root.querySelectorAll("button").length, 1);
  images(root);
  assert.equal(root.querySelectorAll("button, img").length, 2);
  image?.dispatchEvent(new window.Event("error"));
  assert.equal(root.querySelector("img"), null);
});

test("pictures from nowhere good are their text", () => {
  for (const address of ["javascript:x", "data:image/svg+xml;base64,AAAA", "/x.png", "//a.example/x", "file:///x"]) {
    assert.equal(page(`![alt](${address})`).innerHTML.trim(), "<p>alt</p>", address);
  }
  const root = page("![dot](data:image/png;base64,iVBORw0KGgo=)");
  images(root);
  assert.equal(root.querySelector("button")?.textContent, "Show image that came with the answer: dot");
});

test("an answer's own tags cannot pass for the panel's", () => {
  const root = page(
    '<span class="warp-image" data-source="https://a.example/x">x</span> <b class="hljs-keyword">y</b>\n\n' +
      "<table \n\n![z](https://b.example/z)\n\n>",
  );
  assert.equal(root.querySelectorAll("[class]").length, 1);
  assert.equal(root.querySelector("[class]")?.tagName, "SPAN");
  assert.equal(root.querySelector("[class]")?.textContent, "z");
});
