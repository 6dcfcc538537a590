import { Parser, Renderer } from "marked";
import type { Token, Tokens } from "marked";
import { codeBlock } from "./code";
import { settings } from "./reading";
import { depth, linkStart, picture, rewrite } from "./tags";
import type { ReadAttributes } from "./tags";
import { escape, escapeProse } from "./text";

const DEEPEST = 120;
const MOST_TAGS = 20_000;

/** Writes tokens as HTML in which every tag and attribute is this module's own; the values may be hostile yet. */
class Writer extends Renderer {
  constructor(private readonly attributes: ReadAttributes) {
    super();
  }

  override code({ text, lang }: Tokens.Code): string {
    return codeBlock(text.replace(/\n?$/, "\n"), lang ?? "");
  }

  override html({ text }: Tokens.HTML | Tokens.Tag): string {
    return rewrite(text, this.attributes);
  }

  // Marked lets the text between tags such as <kbd> through as it is.
  override text(token: Tokens.Text | Tokens.Escape): string {
    if ("tokens" in token && token.tokens) return this.parser.parseInline(token.tokens);
    return escapeProse(token.text);
  }

  override checkbox({ checked }: Tokens.Checkbox): string {
    return checked ? "☑ " : "☐ ";
  }

  override link({ href, title, text, tokens, autolink }: Tokens.Link): string {
    if (autolink) return `${linkStart(escape(href))}${escape(text)}</a>`;
    return `${linkStart(attribute(href), escapeProse(title ?? ""))}${this.parser.parseInline(tokens)}</a>`;
  }

  override image({ href, text, tokens }: Tokens.Image): string {
    const alternative = tokens ? this.parser.parseInline(tokens, this.parser.textRenderer) : text;
    return picture(attribute(href), escapeProse(alternative));
  }
}

function attribute(address: string): string {
  return escapeProse(address.replaceAll(" ", "%20"));
}

/** The HTML of `tokens`, not yet cleaned. Raises an error if it is beyond what a page should be given. */
export function write(tokens: readonly Token[], attributes: ReadAttributes): string {
  const html = new Parser({ ...settings, renderer: new Writer(attributes) }).parse([...tokens]);
  if ((html.match(/<[a-z]/g)?.length ?? 0) > MOST_TAGS) throw new Error("too many elements");
  if (depth(html) > DEEPEST) throw new Error("elements nested too deeply");
  return html;
}
