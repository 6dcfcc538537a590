import { escape, escapeProse } from "./text";

const KEPT = new Set(
  (
    "b strong i em u s del ins sub sup kbd mark code samp var small q cite br hr p pre blockquote ul ol li dl dt dd " +
    "table thead tbody tfoot tr th td caption details summary h1 h2 h3 h4 h5 h6"
  ).split(" "),
);

// They only arrange or style what they hold.
const DROPPED = new Set(
  "div span center font section article header footer main aside nav figure figcaption big tt wbr abbr".split(" "),
);

// A comment, a script with what it holds, or a tag.
const PIECE = new RegExp(
  [
    /<!--[^]*?(?:-->|$)/,
    /<(script|style)\b[^]*?(?:<\/\1\s*>|$)/,
    /<(\/?)([a-z][a-z\d]*)(?![\w:-])(?:"[^"]*"|'[^']*'|[^'"<>])*>/,
  ]
    .map((piece) => piece.source)
    .join("|"),
  "gi",
);

/** Gives the attributes of a tag, as a browser reads them. */
export type ReadAttributes = (tag: string) => { get(name: string): string };

/**
 * The HTML that a model wrote, written anew: of its tags only names are kept, of those that are known, so that no
 * attribute in the result is the model's; links and pictures are made like those of Markdown. Other tags are shown.
 */
export function rewrite(html: string, attributes: ReadAttributes): string {
  let result = "";
  let end = 0;
  for (const piece of html.matchAll(PIECE)) {
    const [whole, , slash, name] = piece;
    result += escapeProse(html.slice(end, piece.index));
    if (name !== undefined) result += tag(whole, slash ?? "", name.toLowerCase(), attributes);
    end = piece.index + whole.length;
  }
  return result + escapeProse(html.slice(end));
}

function tag(whole: string, slash: string, name: string, attributes: ReadAttributes): string {
  if (KEPT.has(name)) return `<${slash}${name}>`;
  if (DROPPED.has(name) || name === "script" || name === "style") return "";
  if (name === "a") return slash ? "</a>" : linkStart(escape(attributes(whole).get("href")));
  if (name === "img" && !slash) {
    const { get } = attributes(whole);
    return picture(escape(get("src")), escape(get("alt")));
  }
  return escape(whole);
}

/** The start of a link; what it is given is HTML already. Whether the address is a good one is seen to later. */
export function linkStart(address: string, title = ""): string {
  return `<a href="${address}"${title && ` title="${title}"`}>`;
}

/** The place of a picture that is not loaded yet; what it is given is HTML already. */
export function picture(address: string, alternative: string): string {
  return `<span class="warp-image" data-source="${address}">${alternative}</span>`;
}

/** How deeply the elements of `html`, written by this module, are nested. */
export function depth(html: string): number {
  let now = 0;
  let most = 0;
  for (const [, slash, name] of html.matchAll(/<(\/?)([a-z]\w*)[^>]*>/g)) {
    if (name === "br" || name === "hr") continue;
    now = slash ? Math.max(0, now - 1) : now + 1;
    most = Math.max(most, now);
  }
  return most;
}
